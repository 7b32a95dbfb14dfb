"""What a conditional network may be told: labels, or vectors in their place.

JAX itself would take anything: an array is clamped to its last row, an embedding
answers label 10 of 10 classes with NaN and label -1 with the last row, a one-hot vector
is then all 0.
"""

import numpy as np


def check_labels(labels, network=None, n=None):
    """`labels` as an array (N,), int32, or vectors (N, E), float32; a ValueError where
    `network` cannot be told them.

    n: how many there must be.
    """
    y = np.asarray(labels)
    if y.ndim == 2 and y.dtype.kind == "f":
        return _check_vectors(y, network, n)
    if y.ndim != 1 or y.dtype.kind not in "iu" or not len(y):
        raise ValueError(
            f"Labels are whole numbers (N,), one a picture, N 1 or more; given "
            f"{y.dtype} {y.shape}. For seven pictures of a 3: np.full(7, 3)."
        )
    _check_number(y, n)
    classes = getattr(network, "classes", None)
    least = np.iinfo(np.int32).max + 1 if classes is None else classes
    if y.min() < 0 or y.max() >= least:
        many = "0 or more, and below 2**31"
        many = many if classes is None else f"0..{classes - 1}, of {classes} classes"
        at = int(np.argmin(y) if y.min() < 0 else np.argmax(y))
        raise ValueError(f"Labels are {many}; labels[{at}] is {y[at]}.")
    return y.astype(np.int32)


def _check_vectors(y, network, n):
    _check_number(y, n)
    wanted = getattr(network, "embedding", None)
    if wanted and y.shape[1] != wanted:
        raise ValueError(
            f"This network is told {wanted} numbers a picture: labels (N,), int, or "
            f"vectors (N, {wanted}); given {y.shape}."
        )
    if not len(y):
        raise ValueError(f"There is no vector at all: given {y.shape}.")
    if not (np.abs(y) <= np.finfo(np.float32).max).all():  # NaN is not either
        raise ValueError("There are NaN or infinite numbers in the labels' vectors.")
    return y.astype(np.float32)


def _check_number(y, n):
    if n is not None and len(y) != n:
        raise ValueError(f"There are {len(y)} labels for {n}: one each, in order.")
