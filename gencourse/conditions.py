"""What a network is told besides its input: labels, as vectors or as constant maps.

    labels y (B,) --embed_labels, one_hot--> (B, E) --concat_condition--> beside x

Chapter 5's networks have these in common. D is taught by wrong labels, too.
"""

import itertools

import jax
import jax.numpy as jnp
from flax import nnx

from gencourse.validation import check_integer_labels, check_kind


def embed_labels(network: nnx.Module, y: jax.Array) -> jax.Array:
    """Return the learned vectors (B, embedding), float, of labels y (B,), int.

    A label out of range becomes NaN, at which training stops. If `network.classes` is
    None, y is such vectors already, and is returned as it is.
    """
    check_kind(y.ndim != 1, network, y)
    if network.classes is None:
        return y
    # Embed would take -1 as the last class; index `classes` gives NaN.
    y = jnp.where(y < 0, network.classes, check_integer_labels(y))
    return network.embed(y)


def one_hot(network: nnx.Module, y: jax.Array) -> jax.Array:
    """Return labels y (B,), int, as one-hot vectors (B, classes), float.

    A label out of range becomes NaN, at which training stops. If `network.classes` is
    None, y is vectors already, and is returned as it is.
    """
    check_kind(y.ndim != 1, network, y)
    if network.classes is None:
        return y
    inside = (y >= 0) & (y < network.classes)
    vectors = nnx.one_hot(check_integer_labels(y), network.classes)
    return jnp.where(inside[:, None], vectors, jnp.nan)


def by_vectors(network: nnx.Module) -> nnx.Module:
    """Return a copy of a network that takes vectors (B, embedding) in place of labels.

    The vectors are what labels become, `network.embed_labels(y)`, and what lies between
    them: to ask for something between two labels.
    """
    copy = nnx.clone(network)
    copy.classes = None
    return copy


def concat_condition(x: jax.Array, y: jax.Array) -> jax.Array:
    """Append y (B, E) to the channels of x, rows (B, D) or maps (B, H, W, C), float.

    Returns:
      (B, D + E) or (B, H, W, C + E): y is the same at each place of a map.
    """
    if len(x) != len(y):  # a single label would broadcast to every row
        raise ValueError(f"There are {len(y)} labels for {len(x)}: one each, in order.")
    places = y.reshape(len(y), *(1,) * (x.ndim - 2), -1)  # (B, 1, 1, E)
    condition = jnp.broadcast_to(places, (*x.shape[:-1], y.shape[-1]))
    return jnp.concatenate([x, condition], axis=-1)


def wrong_labels(key: jax.Array, y: jax.Array, classes: int = 10) -> jax.Array:
    """Draw for each label of y (N,), int, one of the other `classes`: (N,), int.

    Each of them is equally likely; there must be 2 classes or more. Of vectors y
    (N, E), N at least 2, each gets the vector of another row, all shifted by one random
    number; if the two rows are equal, it is not wrong. For one-hot vectors side by side
    see `exchange_one`.
    """
    if y.ndim == 2:
        return jnp.roll(y, jax.random.randint(key, (), 1, len(y)), axis=0)
    return (y + jax.random.randint(key, y.shape, 1, classes)) % classes


def exchange_one(
    key: jax.Array, y: jax.Array, classes: int | None = None, *, sizes: tuple[int, ...]
) -> jax.Array:
    """Exchange one of several labels for another: nearly right, and wrong.

    Args:
      key: for which one it is, and what it becomes; all are equally likely.
      y: (N, sum(sizes)), float: one-hot vectors side by side, as of skin and of hair.
      classes: not used; `wrong_labels` has it, whose place this may take.
      sizes: how many classes each of the vectors has, 2 or more.

    Raises:
      ValueError: if y is not as wide as the sizes together, or a size is less than 2.
    """
    if y.shape[1:] != (sum(sizes),) or min(sizes) < 2:
        raise ValueError(
            f"One-hot vectors of {sizes} classes, each 2 or more, side by side are "
            f"(N, {sum(sizes)}); given {y.shape}."
        )
    which_key, *keys = jax.random.split(key, len(sizes) + 1)
    which = jax.random.randint(which_key, (len(y), 1), 0, len(sizes))
    ends = list(itertools.accumulate(sizes))
    parts = jnp.split(y, ends[:-1], axis=1)  # (N, size) each
    for i, size in enumerate(sizes):
        label = parts[i].argmax(axis=1)  # (N,)
        other = nnx.one_hot(wrong_labels(keys[i], label, size), size)
        parts[i] = jnp.where(which == i, other, parts[i])
    return jnp.concatenate(parts, axis=1)
