"""What faces would look like if one factor were another: made pictures beside them.

The faces are put together from parts, so the very picture that a translation should
have drawn exists, and so do those that it might have drawn as well.
"""

import numpy as np
from jax.typing import ArrayLike

from gencourse.data import compose, factors, part_map, parts


def distances(
    pictures: ArrayLike,
    attributes: dict[str, np.ndarray],
    factor: str,
    part: str | None = None,
) -> np.ndarray:
    """Return how far pictures are from each face with another value of a factor.

    Args:
      pictures: (N, 64, 64, 3), float in [0, 1].
      attributes: of each, {factor: int (N,)}, as `data.attributes` gives them.
      factor: which one is exchanged, as "clothes_colour".
      part: one of `data.parts`, as "clothes": look at its pixels alone. They are those
        of the face with the first value. None looks at all.

    Returns:
      (N, values of the factor), float: the mean of |difference|, of [0, 1]. NaN where
      a face has no pixel of the part.

    Raises:
      ValueError: for a factor or part that there is not, for pictures of another shape
        or range, and for attributes of another number.
    """
    pictures = np.asarray(pictures)
    if factor not in factors:
        raise ValueError(f"no factor {factor!r}; there are: {list(factors)}")
    if part is not None and part not in parts:
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
    where = np.ones((n, 64, 64), bool)
    if part:
        where = part_map(**values[0]) == parts.index(part)
    counts = where.sum(axis=(1, 2))
    columns = []
    for value in values:
        off = np.abs(compose(**value) / np.float32(255) - pictures).mean(axis=-1)
        total = (off * where).sum(axis=(1, 2))
        columns.append(np.divide(total, counts, np.full(n, np.nan), where=counts > 0))
    return np.stack(columns, axis=1)
