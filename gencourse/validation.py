"""Check what networks are given: pictures, latent vectors, labels, numbers.

JAX itself would take nearly anything: an index is clamped to the last row, an embedding
answers label 10 of 10 classes with NaN and label -1 with the last row, and a one-hot
vector is then all 0; pixels in another range train, and give poor pictures.
"""

import functools
import operator

import jax.numpy as jnp
import numpy as np


def check_pictures(batch, objects=(), expect_negative=True):
    """Raise ValueError if `batch` is not pictures (B, H, W, C), float, in [-1, 1].

    Rows (B, D) pass as points, of any finite numbers.

    objects: not used; fit passes them to every check.
    expect_negative: whether pictures must have a pixel below 0; a set without one
      probably lies in [0, 1].
    """
    if not hasattr(batch, "shape"):
        raise ValueError(
            "The GAN learns from pictures alone: give one array of them. It has no "
            "use for labels; the conditional GAN has."
        )
    if np.ndim(batch) not in (2, 4) or not len(batch):
        raise ValueError(
            f"Pictures have shape (B, H, W, C), points (B, D), and B is 1 or more; "
            f"given {np.shape(batch)}."
        )
    if not jnp.issubdtype(batch.dtype, jnp.floating):
        raise ValueError(
            f"These are {batch.dtype}, not float. Scale pictures to [-1, 1]: "
            f'data.scale(images, "tanh").'
        )
    low, high = float(batch.min()), float(batch.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError("There are NaN or infinite numbers in the batch.")
    if np.ndim(batch) == 4 and (low < -1 or high > 1 or (expect_negative and low >= 0)):
        raise ValueError(
            f"Pixels lie in [{low:g}, {high:g}]; a generator that ends in tanh makes "
            f"them in [-1, 1], where black is -1. D would tell the two apart by that "
            f'alone. Scale the bytes with data.scale(images, "tanh").'
        )


def check_latent(generator, z, n=None):
    """Raise ValueError if z is not latent vectors (N, latent), float, finite.

    n: how many there must be; None: one or more.
    """
    rows = np.shape(z)[:1]
    if np.shape(z) != (*rows, generator.latent) or rows in {(), (0,)}:
        raise ValueError(
            f"This generator's latent vectors have shape (N, {generator.latent}); "
            f"given {np.shape(z)}."
        )
    if n is not None and n != len(z):
        raise ValueError(f"There are {len(z)} latent vectors and {n} labels: one each.")
    if not jnp.issubdtype(np.asarray(z).dtype, jnp.floating):
        raise ValueError(f"Latent vectors are floats; given {np.asarray(z).dtype}.")
    if not (np.abs(z) <= np.finfo(np.float32).max).all():  # False for NaN, too
        raise ValueError("There are NaN or infinite numbers in the latent vectors.")


def check_same_shape(fake, batch):
    """Raise ValueError if the fakes and the batch have different shapes."""
    if getattr(batch, "shape", None) != fake.shape:  # also if it is not an array
        given = getattr(batch, "shape", type(batch).__name__)
        raise ValueError(
            f"The generator makes {fake.shape} and the batch is {given}: both "
            f"must have the same shape. (Chapter 3's step takes an array, without "
            f"labels.)"
        )


def check_image_shape(x, shape):
    """Raise ValueError if x is not (B, *shape). Sides of 26 and 27 are halved to 7 as
    28 is, and would go unnoticed."""
    if x.shape[1:] != shape:
        raise ValueError(
            f"This discriminator looks at pictures (B, {str(shape)[1:]}; given "
            f"{x.shape}."
        )


def unpack_batch(batch):
    """Return `batch` as (x, labels); raise ValueError if it is not a pair of them."""
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise ValueError(
            f"The conditional GAN learns from pictures and their labels: give the pair "
            f"(x, labels); given {type(batch).__name__}."
        )
    x, y = batch
    if jnp.ndim(y) not in (1, 2):
        raise ValueError(f"Labels are (B,), vectors (B, E); given {jnp.shape(y)}.")
    return x, y


def check_pair(batch):
    """Return `batch` as (x, y), pictures of one number and one side, or raise."""
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise ValueError(
            f"Pairs are (x, y), what is given and what is wanted; given "
            f"{type(batch).__name__}."
        )
    x, y = batch
    if jnp.ndim(x) != 4 or jnp.ndim(y) != 4 or x.shape[:3] != y.shape[:3]:
        raise ValueError(
            f"Pairs are two arrays of as many pictures, (N, H, W, C), of the same "
            f"sides; given {jnp.shape(x)} and {jnp.shape(y)}."
        )
    return x, y


def check_labels(labels, classes=None, n=None):
    """Return `labels` as an array (N,), int32.

    Raise ValueError if they are not whole numbers in 0..classes - 1.

    classes: None: any number, 0 or more. n: how many there must be; None: 1 or more.
    """
    y = np.asarray(labels)
    if y.ndim != 1 or y.dtype.kind not in "iu" or not len(y):
        raise ValueError(
            f"Labels are whole numbers (N,), one a picture, N 1 or more; given "
            f"{y.dtype} {y.shape}. For seven pictures of a 3: np.full(7, 3). A judge's "
            f"probabilities become labels by .argmax(-1)."
        )
    _check_number(y, n)
    limit = np.iinfo(np.int32).max + 1 if classes is None else classes
    if y.min() < 0 or y.max() >= limit:
        allowed = f"0..{classes - 1}, of {classes} classes"
        allowed = "0 or more, and below 2**31" if classes is None else allowed
        at = int(np.argmin(y) if y.min() < 0 else np.argmax(y))
        raise ValueError(f"Labels are {allowed}; labels[{at}] is {y[at]}.")
    return y.astype(np.int32)


def check_condition(condition, network=None, n=None):
    """Return what a conditional network is told as labels (N,), int32, or, for a
    network of `classes=None`, as vectors (N, E), float32.

    Raise ValueError if `network` is not made for them: were both allowed, one-hot
    vectors would train, and labels be asked for afterwards that were never learned.

    n: how many there must be; None: 1 or more.
    """
    y = np.asarray(condition)
    is_vectors = y.ndim == 2 and y.dtype.kind == "f"
    check_kind(is_vectors, network, y)
    if is_vectors:
        return _check_vectors(y, network, n)
    return check_labels(y, getattr(network, "classes", None), n)


def check_kind(is_vectors, network, y):
    """Raise ValueError if labels are given to a network of vectors, or the reverse.

    is_vectors: whether y, an array, is vectors (N, E), float.
    """
    if is_vectors and getattr(network, "classes", None) is not None:
        raise ValueError(
            f"This network takes labels (N,), int, in 0..{network.classes - 1}; given "
            f"{y.dtype} {y.shape}. One-hot vectors are turned into labels by "
            f"y.argmax(axis=1). For vectors that are no labels, make G and D with "
            f"classes=None."
        )
    if not is_vectors and hasattr(network, "classes") and network.classes is None:
        raise ValueError(
            f"This network takes vectors (N, {network.embedding}), float, in place of "
            f"labels: it was made with classes=None. Given {y.dtype} {y.shape}."
        )


def _check_vectors(y, network, n):
    _check_number(y, n)
    wanted = getattr(network, "embedding", None)
    if wanted and y.shape[1] != wanted:
        raise ValueError(
            f"This network takes vectors (N, {wanted}), one a picture; given {y.shape}."
        )
    if not len(y):
        raise ValueError(f"There is no vector at all: given {y.shape}.")
    if not (np.abs(y) <= np.finfo(np.float32).max).all():  # False for NaN, too
        raise ValueError("There are NaN or infinite numbers in the labels' vectors.")
    return y.astype(np.float32)


def _check_number(y, n):
    if n is not None and len(y) != n:
        raise ValueError(f"There are {len(y)} labels for {n}: one each, in order.")


def check_integer_labels(y):
    """Return labels y (B,), traced or not; raise ValueError if not whole numbers."""
    if not jnp.issubdtype(y.dtype, jnp.integer):
        raise ValueError(f"Labels (B,) are whole numbers; given {y.dtype} {y.shape}.")
    return y


def check_mismatch_weight(mismatch_weight, y, classes):
    """Raise ValueError if `mismatch_weight` is out of range, or there are no wrong
    labels to draw."""
    if not isinstance(mismatch_weight, (int, float, np.number)):  # fit traces numbers
        raise ValueError(
            f"mismatch_weight is fixed before the step is compiled: train with "
            f"functools.partial(cgan.train_step, mismatch_weight=0.5). Given "
            f"{mismatch_weight!r}."
        )
    if mismatch_weight and classes is not None and classes < 2:
        raise ValueError(f"Of {classes} class there is no wrong label.")
    if not 0 <= mismatch_weight <= 1:
        raise ValueError(
            f"mismatch_weight is a number from 0 to 1; given {mismatch_weight!r}."
        )
    if mismatch_weight and jnp.ndim(y) == 2 and len(y) < 2:
        raise ValueError(
            "The wrong vector is that of another picture of the batch, and there is "
            "one picture alone: take larger batches, or leave mismatch_weight at 0."
        )


def unwrap(function):
    """Yield a function, and what each functools.partial and wrapper around it holds."""
    while function is not None:
        yield function
        partial = isinstance(function, functools.partial)
        function = function.func if partial else getattr(function, "__wrapped__", None)


def check_of(function):
    """Return the `check_batch` that travels with a function, or None."""
    found = (getattr(layer, "check_batch", None) for layer in unwrap(function))
    return next(filter(None, found), None)


def check_hidden(hidden, least=1):
    """Raise ValueError if `hidden` is not widths of `least` dense layers or more."""
    if not isinstance(hidden, (tuple, list)) or len(hidden) < least:
        raise ValueError(
            f"hidden is widths of dense layers, such as (256, 512); given {hidden!r}."
        )
    for width in hidden:
        check_int("a width in hidden", width)


def check_numbers(**named):
    """Raise ValueError if one of the `named` is not a whole number, 1 or more."""
    for name, value in named.items():
        check_int(name, value)


def check_int(name, value, least=1, most=None, why=""):
    """Return `value` as an int; raise ValueError if it is not a whole number in range.

    NumPy's integers pass; True and False do not.

    least, most: the range, both included. why: what `most` is.
    """
    try:
        n = operator.index(value)
    except TypeError:
        n = None
    outside = n is None or n < least or (most is not None and n > most)
    if outside or isinstance(value, (bool, np.bool_)):
        bounds = f", {least} or more"
        if most is not None:
            bounds = f" between {least} and {most}, {why}"
        raise ValueError(f"{name} is a whole number{bounds}; given {value!r}.")
    return n
