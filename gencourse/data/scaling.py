"""From bytes to the range a network wants, and back, with the usual mistakes named."""

import numpy as np

RANGES = {"unit": (0.0, 1.0), "tanh": (-1.0, 1.0)}
TOLERANCE = 1e-5  # rounding in float32 may step this far over the edge


def scale(images, to: str):
    """Scale uint8 pictures (N, H, W, C) to float32, same shape.

    to: "unit" gives [0, 1], for likelihoods; "tanh" gives [-1, 1], for generators that
    end in tanh. Works on NumPy and JAX arrays, and inside `jax.jit`. What it returns
    is read-only, as what data.load gives: `.copy()` it to change it.
    """
    low, high = _range(to)
    _check_rank(images)
    if _is_float(images):
        raise TypeError(f"the pictures are already {images.dtype}: scaled twice?")
    if images.dtype != np.uint8:
        raise TypeError(
            f"the pictures are {images.dtype}, not uint8 as data.load gives them: "
            "if they hold bytes, convert with .astype('uint8') first"
        )
    return _read_only(images.astype(np.float32) / (255 / (high - low)) + low)


def to_unit(images) -> np.ndarray:
    """Bring pictures from [-1, 1], the range of tanh, to [0, 1]: same shape, float32.

    Judges and plots take pictures in [0, 1]. Of any shape, in the range of tanh.

    Raises:
      TypeError: if they are not floats. ValueError: if a value is not finite or not in
        [-1, 1].
    """
    if not _is_float(images):
        raise TypeError(
            f"the pictures are {_dtype(images)}, not float in [-1, 1]: "
            'bytes are scaled by data.scale(images, "unit")'
        )
    images = np.asarray(images).astype(np.float32)
    _check_values(images, -1.0, 1.0, _unscale_hint("tanh"))
    return (images + 1) / 2


def unscale(images, from_: str) -> np.ndarray:
    """Bring float pictures (N, H, W, C) in the range `from_` back to uint8, rounded.

    The inverse of `scale`. Raises if a value is not finite or out of the range.
    """
    low, high = _range(from_)
    if not _is_float(images):
        raise TypeError(
            f"the pictures are {_dtype(images)}, not float: unscaled twice?"
        )
    images = np.asarray(images).astype(np.float32)
    _check_rank(images)
    _check_values(images, low, high, _unscale_hint(from_))
    return np.rint((images - low) * (255 / (high - low))).clip(0, 255).astype(np.uint8)


def pad(images, size: int) -> np.ndarray:
    """Pad pictures (N, H, W, C) with black on all sides to (N, size, size, C).

    Takes uint8, or float in [0, 1], and keeps the dtype. Where the difference is odd
    the bottom and the right get the extra line. Pictures in [-1, 1] are refused: black
    is -1 there, so pad before you scale. The result is read-only.
    """
    _check_rank(images)
    if _is_float(images):
        images = np.asarray(images)
        _check_values(images, 0.0, 1.0, _pad_hint)
    elif images.dtype != np.uint8:
        raise TypeError(f"the pictures are {images.dtype}: pad takes uint8, or float")
    if max(images.shape[1:3]) > size:
        raise ValueError(f"pictures {images.shape[1:3]} do not fit in {size} x {size}")
    sides = [((size - n) // 2, (size - n + 1) // 2) for n in images.shape[1:3]]
    return _read_only(np.pad(images, [(0, 0), *sides, (0, 0)]))


def _read_only(images):
    """Return NumPy pictures write-protected: `fit` checks and sends such a set once."""
    if isinstance(images, np.ndarray):
        images.flags.writeable = False
    return images


def _range(name):
    if name not in RANGES:
        raise ValueError(
            f'the range is "unit" for [0, 1] or "tanh" for [-1, 1], not {name!r}'
        )
    return RANGES[name]


def _dtype(images):
    return getattr(images, "dtype", type(images).__name__)


def _is_float(images):
    return "float" in str(_dtype(images))  # bfloat16 is no np.floating


def _check_rank(images):
    shape = getattr(images, "shape", None)
    if shape is None:
        raise TypeError(f"pictures must be an array, not {type(images).__name__}")
    if len(shape) == 4:
        return
    hint = ""
    if len(shape) == 3 and shape[-1] in (1, 3):
        hint = ": one picture? Add the batch axis, images[None]"
    elif len(shape) == 3:
        hint = ": add the channel axis, images[..., None]"
    elif len(shape) == 2:
        hint = ": one picture, or flattened? Reshape to (N, H, W, C)"
    raise ValueError(f"pictures must be (N, H, W, C), not {shape}{hint}")


def _check_values(images, low, high, hint):
    if images.size == 0:
        return
    least, most = float(images.min()), float(images.max())
    if not (np.isfinite(least) and np.isfinite(most)):  # min and max carry NaN along
        raise ValueError(
            "the pictures hold NaN or infinity: has training diverged? "
            "Look at the losses before the pictures"
        )
    if least < low - TOLERANCE or most > high + TOLERANCE:
        raise ValueError(
            f"values from {least:.4g} to {most:.4g} are not in [{low:g}, {high:g}]: "
            + hint(least, most)
        )


def _unscale_hint(from_):
    def hint(least, most):
        if most > 2:
            return "bytes that were never scaled, or logits before the sigmoid?"
        if from_ == "unit" and least >= -1 - TOLERANCE and most <= 1 + TOLERANCE:
            return 'this looks like the tanh range, use unscale(images, "tanh")'
        return "does the network end in a sigmoid (unit) or a tanh (tanh)?"

    return hint


def _pad_hint(least, most):
    if least < 0:
        return "in [-1, 1] black is -1, not 0, so pad before you scale"
    return "bytes as floats? Pad the uint8 pictures, then scale"
