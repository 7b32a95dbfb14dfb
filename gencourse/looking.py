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


def in_chunks(f, network, *rows, size=1000):
    """f(network, *rows) over 1,000 rows at a time, so that memory stays small."""
    starts = range(0, len(rows[0]), size)
    parts = [f(network, *(jnp.asarray(a[i : i + size]) for a in rows)) for i in starts]
    return jnp.concatenate(parts)


@nnx.jit
def _output(network, *rows):
    return network(*rows)


@nnx.jit
def _probability(network, *rows):
    return nnx.sigmoid(network(*rows))
