"""What faces would look like if one factor were another: made pictures beside them.

The faces are put together from parts, so the very picture that a translation should
have drawn exists, and so do those that it might have drawn as well.
"""

import numpy as np
from jax.typing import ArrayLike

from gencourse.data import compose, factors, part_map, parts


def colour_distances(
    pictures: ArrayLike,
    attributes: dict[str, np.ndarray],
    factor: str = "clothes_colour",
    part: str = "clothes",
) -> np.ndarray:
    """Return how far a part's colour is from that of each face it might have been.

    A part's colour is the median of each channel over its pixels: a line or a speck on
    it does not count. Its pixels are those of the real face with the first value.

    Args:
      pictures: (N, 64, 64, 3), float in [0, 1].
      attributes: of each, {factor: int (N,)}, as `data.attributes` gives them.
      factor: which one is exchanged. part: one of `data.parts`.

    Returns:
      (N, values of the factor), float: the mean of |difference| over the channels, of
      [0, 1]. NaN where a face has no pixel of the part.

    Raises:
      ValueError: for a factor or part that there is not, for pictures of another shape
        or range, and for attributes of another number.
    """
    pictures = np.asarray(pictures)
    if factor not in factors:
        raise ValueError(f"no factor {factor!r}; there are: {list(factors)}")
    if part not in parts:
        raise ValueError(f"no part {part!r}; there are: {list(parts)}")
    if pictures.ndim != 4 or pictures.shape[1:] != (64, 64, 3):
        raise ValueError(
            f"Pictures of faces are (N, 64, 64, 3); given {pictures.shape}."
        )
    if pictures.dtype.kind != "f" or not 0 <= pictures.min() <= pictures.max() <= 1:
        raise ValueError(
            f"Pictures are float and in [0, 1]: data.to_unit(x) brings them there from "
            f"[-1, 1]. Given {pictures.dtype} in [{pictures.min():g}, "
            f"{pictures.max():g}]."
        )
    n = len(pictures)
    lengths = {name: np.size(column) for name, column in attributes.items()}
    if set(lengths.values()) != {n}:
        raise ValueError(f"{n} pictures, but attributes of {lengths}.")
    values = [attributes | {factor: np.full(n, v)} for v in range(len(factors[factor]))]
    where = part_map(**values[0]) == parts.index(part)
    mine = _medians(pictures, where)
    real = [_medians(compose(**v) / np.float32(255), where) for v in values]
    return np.stack([np.abs(mine - colour).mean(axis=1) for colour in real], axis=1)


def _medians(pictures, where):
    """Return each channel's median over the pixels `where` (N, 64, 64): (N, 3)."""
    inside = [picture[mask] for picture, mask in zip(pictures, where, strict=True)]
    nothing = np.full((1, 3), np.nan)
    return np.stack([np.median(p if len(p) else nothing, axis=0) for p in inside])


def share_of_copying(
    pictures: ArrayLike, x: ArrayLike, truth: ArrayLike, where: ArrayLike | None = None
) -> float:
    """Return how far pictures are from the truth, in units of doing nothing: 0 is
    perfect, and 1 as good as x itself, untouched.

    Args:
      pictures, x, truth: what was drawn, out of what, and what it should have been: of
        one shape, (N, H, W, C), float, and of one range.
      where: bool (N, H, W), the pixels that count; None: all.

    Returns:
      The mean of |pictures - truth| over that of |x - truth|.

    Raises:
      ValueError: if shapes differ, or if x is the truth already.
    """
    arrays = [np.asarray(a) for a in (pictures, x, truth)]
    shapes = {a.shape for a in arrays}
    if len(shapes) > 1 or arrays[0].ndim != 4:
        raise ValueError(
            f"What was drawn, x and the truth are of one shape, (N, H, W, C); given "
            f"{[a.shape for a in arrays]}."
        )
    if not all(a.dtype.kind == "f" for a in arrays):
        raise ValueError(
            f"Give floats: bytes wrap round when they are subtracted. Given "
            f"{[str(a.dtype) for a in arrays]}."
        )
    counted = np.ones(arrays[0].shape[:3], bool) if where is None else where
    if np.shape(counted) != arrays[0].shape[:3]:
        raise ValueError(
            f"where is (N, H, W), {arrays[0].shape[:3]}; given {np.shape(counted)}."
        )
    drawn, x, truth = (a[np.asarray(counted, bool)] for a in arrays)
    copied = float(np.abs(x - truth).mean()) if x.size else 0.0
    if not copied:
        raise ValueError("x is the truth already, there is nothing to translate.")
    return float(np.abs(drawn - truth).mean()) / copied
