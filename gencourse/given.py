"""What networks may be given: pictures, seeds, labels, numbers; else a ValueError.

JAX itself would take nearly anything: an array is clamped to its last row, an embedding
answers label 10 of 10 classes with NaN and label -1 with the last row, a one-hot vector
is then all 0; pixels in another range train, and give poor pictures.
"""

import operator

import jax.numpy as jnp
import numpy as np


def check_pictures(batch, objects=(), dark=True):
    """Raise a ValueError where `batch` is not (B, ...), float, finite; if pictures,
    (B, H, W, C) in [-1, 1] and, where `dark`, with a pixel below 0: a set without one
    lies in [0, 1]. Flat rows (B, D) pass as points, of any range.

    objects: not looked at; fit gives them to every check.
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
    if np.ndim(batch) == 4 and (low < -1 or high > 1 or (dark and low >= 0)):
        raise ValueError(
            f"Pixels lie in [{low:g}, {high:g}]; a generator that ends in tanh makes "
            f"them in [-1, 1], where black is -1. D would tell the two apart by that "
            f'alone. Scale the bytes with data.scale(images, "tanh").'
        )


def check_seeds(generator, z, n=None):
    """A ValueError where z is not (N, latent), float, finite.

    n: how many there must be; None: one or more.
    """
    many = np.shape(z)[:1]
    if np.shape(z) != (*many, generator.latent) or many in {(), (0,)}:
        raise ValueError(
            f"This generator's seeds have shape (N, {generator.latent}); given "
            f"{np.shape(z)}."
        )
    if n is not None and n != len(z):
        raise ValueError(f"There are {len(z)} seeds and {n} labels: one each.")
    if not jnp.issubdtype(np.asarray(z).dtype, jnp.floating):
        raise ValueError(f"Seeds are floats; given {np.asarray(z).dtype}.")
    if not (np.abs(z) <= np.finfo(np.float32).max).all():  # NaN is not either
        raise ValueError("There are NaN or infinite numbers among the seeds.")


def check_alike(fake, batch):
    """A ValueError where fakes and the batch are not of one shape."""
    if getattr(batch, "shape", None) != fake.shape:  # also where it is no array
        given = getattr(batch, "shape", type(batch).__name__)
        raise ValueError(
            f"The generator makes {fake.shape} and the batch is {given}: pictures must "
            f"be alike. (Chapter 3's step takes an array without labels.)"
        )


def check_sides(x, shape):
    """A ValueError where x is not (B, *shape). Sides of 26 and 27 are halved to 7 as 28
    is, and would pass unseen."""
    if x.shape[1:] != shape:
        raise ValueError(
            f"This discriminator looks at pictures (B, {str(shape)[1:]}; given "
            f"{x.shape}."
        )


def pair(batch):
    """`batch` as (x, labels); a ValueError where it is no tuple or list of two."""
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise ValueError(
            f"The conditional GAN learns from pictures and their labels: give the pair "
            f"(x, labels); given {type(batch).__name__}."
        )
    x, y = batch
    if jnp.ndim(y) not in (1, 2):
        raise ValueError(f"Labels are (B,), vectors (B, E); given {jnp.shape(y)}.")
    return x, y


def check_labels(labels, network=None, n=None):
    """Return `labels` as an array (N,), int32, or vectors (N, E), float32.

    Raise a ValueError if `network` is not made for them. One with `classes` takes
    labels alone; one with classes=None takes vectors alone: were both allowed, one-hot
    vectors would train, and labels be asked for afterwards that were never learned.

    n: how many there must be.
    """
    y = np.asarray(labels)
    vectors = y.ndim == 2 and y.dtype.kind == "f"
    check_kind(vectors, network, y)
    if vectors:
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


def check_kind(vectors, network, y):
    """Raise a ValueError if labels are given to a network of vectors, or the reverse.

    vectors: whether y, an array, is vectors (N, E), float.
    """
    if vectors and getattr(network, "classes", None) is not None:
        raise ValueError(
            f"This network takes labels (N,), int, in 0..{network.classes - 1}; given "
            f"{y.dtype} {y.shape}. One-hot vectors are turned into labels by "
            f"y.argmax(axis=1). For vectors that are no labels, make G and D with "
            f"classes=None."
        )
    if not vectors and hasattr(network, "classes") and network.classes is None:
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
    if not (np.abs(y) <= np.finfo(np.float32).max).all():  # NaN is not either
        raise ValueError("There are NaN or infinite numbers in the labels' vectors.")
    return y.astype(np.float32)


def _check_number(y, n):
    if n is not None and len(y) != n:
        raise ValueError(f"There are {len(y)} labels for {n}: one each, in order.")


def whole(y):
    """Labels y (B,), traced or not; a ValueError where they are no whole numbers."""
    if not jnp.issubdtype(y.dtype, jnp.integer):
        raise ValueError(f"Labels (B,) are whole numbers; given {y.dtype} {y.shape}.")
    return y


def check_mismatched(mismatched, y, classes):
    """A ValueError where `mismatched` is no share, or there are no wrong labels."""
    if not isinstance(mismatched, (int, float, np.number)):  # what fit is given varies
        raise ValueError(
            f"mismatched is fixed before the step is compiled: train with "
            f"functools.partial(cgan.train_step, mismatched=0.5). Given {mismatched!r}."
        )
    if mismatched and classes is not None and classes < 2:
        raise ValueError(f"Of {classes} class there is no wrong label.")
    if not 0 <= mismatched <= 1:
        raise ValueError(f"mismatched is a share, from 0 to 1; given {mismatched!r}.")
    if mismatched and jnp.ndim(y) != 1:
        raise ValueError(
            f"Wrong labels are drawn for labels (B,) alone; these are vectors "
            f"{jnp.shape(y)}: leave mismatched at 0."
        )


def check_hidden(hidden, least=1):
    """A ValueError where `hidden` is not widths, of `least` dense layers or more."""
    if not isinstance(hidden, (tuple, list)) or len(hidden) < least:
        raise ValueError(
            f"hidden is widths of dense layers, such as (256, 512); given {hidden!r}."
        )
    for width in hidden:
        as_whole("a width in hidden", width)


def check_numbers(**named):
    """A ValueError where one of the `named` is no whole number, 1 or more."""
    for name, value in named.items():
        as_whole(name, value)


def as_whole(name, value, least=1, most=None, why=""):
    """`value` as an int; a ValueError where it is no whole number, `least` or more.

    NumPy's whole numbers pass; True and False do not. `most`: no more than that, and
    `why` says what it is.
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
