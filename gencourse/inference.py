"""Run a network in inference mode, in batches; its state does not change."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike


def predict(network: nnx.Module, *rows: ArrayLike) -> jax.Array:
    """Apply a network to arrays (N, ...) in batches, in inference mode: (N, ...)."""
    return map_batches(_predict, eval_view(network), *rows)


def predict_probability(network: nnx.Module, *rows: ArrayLike) -> jax.Array:
    """Return the sigmoids of a network's logits of arrays (N, ...): (N,)."""
    return map_batches(_predict_probability, eval_view(network), *rows)


def eval_view(network: nnx.Module) -> nnx.Module:
    """Return a view of the network with its BatchNorms at their running statistics and
    its dropout switched off, if it has any. The network itself stays in its mode."""
    modes = dict(use_running_average=True, deterministic=True)
    return nnx.view(network, **modes, raise_if_not_found=False)


def map_batches(
    f: Callable, network: nnx.Module, *rows: ArrayLike, size: int = 250
) -> jax.Array:
    """Apply f(network, *rows) to 250 rows at a time, so that memory stays small.

    A convolution's maps of a thousand pictures take half a gigabyte and more, and on a
    CPU fewer at once are as quick. Where fewer are left the last of them is repeated,
    up to 16 or 64 rows or all 250, and its copies are thrown away: so f is compiled
    for three sizes at most, and not for each number of rows that anybody looks at.

    Args:
      f: jitted. network: its first argument. rows: arrays (N, ...), of one N.
      size: how many rows at once, 64 or more; fewer where pictures are large.
    """
    many, parts = len(rows[0]), []
    for i in range(0, many, size):
        some = [jnp.asarray(a[i : i + size]) for a in rows]
        few = len(some[0])
        fill = next(n for n in (16, 64, size) if few <= n) - few
        if fill:
            some = [jnp.concatenate([a, jnp.repeat(a[-1:], fill, 0)]) for a in some]
        parts.append(f(network, *some))
    return jnp.concatenate(parts)[:many]


@nnx.jit
def _predict(network, *rows):
    return network(*rows)


@nnx.jit
def _predict_probability(network, *rows):
    return nnx.sigmoid(network(*rows))
