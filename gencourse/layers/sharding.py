"""Share a batch among several devices, when a step is compiled for them.

A model asks this of its layers; `gencourse.train.devices` sets up the devices.
"""

from typing import Any

import jax
from jax.sharding import PartitionSpec

AXIS = "batch"


def shard_batch(tree: Any) -> Any:
    """Return the arrays (B, ...) cut along B, one part for each device.

    Outside a step compiled for several devices, and if B is not a multiple of their
    number, nothing happens. The numbers are the same either way; this says who computes
    them. What is computed from a batch follows the batch. What a step draws again, such
    as a GAN's latent vectors, has nothing to follow: without this, each device would
    compute all of it.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if AXIS not in mesh.axis_names:
        return tree
    cut = PartitionSpec(AXIS)
    return jax.tree.map(
        lambda x: x if len(x) % mesh.size else jax.lax.with_sharding_constraint(x, cut),
        tree,
    )
