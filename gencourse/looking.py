"""Looking at a trained network: row by row the same, and nothing of it moves."""

import jax.numpy as jnp
from flax import nnx


def output(network, *rows):
    """What a network makes of arrays (N, ...), row by row: (N, ...)."""
    return in_chunks(_output, still(network), *rows)


def probability(network, *rows):
    """The sigmoids of a network's logits of arrays (N, ...): (N,)."""
    return in_chunks(_probability, still(network), *rows)


def still(network):
    """The same network with its BatchNorms, if any, at their running statistics, and
    its dropout, if any, switched off. The network itself stays in its mode."""
    modes = dict(use_running_average=True, deterministic=True)
    return nnx.view(network, **modes, raise_if_not_found=False)


def in_chunks(f, network, *rows, size=250):
    """f(network, *rows) over 250 rows at a time, so that memory stays small.

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
def _output(network, *rows):
    return network(*rows)


@nnx.jit
def _probability(network, *rows):
    return nnx.sigmoid(network(*rows))
