"""Several devices, one training: who holds what. JAX's compiler does the rest.

    batch (B, ...)            cut along B, a part for each device
    objects, data, metrics    whole, and the same on every device

The step is compiled once, for all devices together. A number that depends on the whole
batch, such as a mean loss, a gradient or BatchNorm's statistics, is still the whole
batch's: the compiler puts the exchange between the devices where it is needed. The
devices may belong to several processes, each of which runs the same Python
(`jax.distributed.initialize`).

Source: Y. Xu and others, "GSPMD: general and scalable parallelization for ML
computation graphs", 2021.
"""

import contextlib
import zlib
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gencourse.layers.sharding import AXIS


def make_mesh(devices, batch_size):
    """Return a mesh of the devices, or None for None: JAX's default device.

    Raises:
      ValueError: where `devices` is no sequence of devices, is empty, has one twice
        or two kinds; where batch_size is no multiple of their number; where there are
        several processes and the devices are not of all of them.
    """
    if devices is None:
        return None
    several = isinstance(devices, Iterable) and not isinstance(devices, str)
    devices = list(devices) if several else devices
    if not several or not all(isinstance(d, jax.Device) for d in devices):
        raise ValueError(
            f"devices is None or a sequence of JAX's devices, such as jax.devices(); "
            f"given {devices!r}."
        )
    if not devices:
        raise ValueError("devices is empty: give one or more, or None.")
    if len(set(devices)) < len(devices):
        raise ValueError(f"devices has one of them twice: {devices}.")
    if len({d.platform for d in devices}) > 1:
        raise ValueError(f"devices has two kinds, and a step runs on one: {devices}.")
    if batch_size % len(devices):
        raise ValueError(
            f"batch_size is {batch_size} and there are {len(devices)} devices: it must "
            f"be a multiple of their number, so that each gets as many rows."
        )
    missing = set(range(jax.process_count())) - {d.process_index for d in devices}
    if missing:
        raise ValueError(
            f"There are {jax.process_count()} processes, and devices has none of "
            f"process {', '.join(map(str, sorted(missing)))}. Give every process the "
            f"same, jax.devices(); jax.local_devices() are those of one alone."
        )
    return Mesh(np.array(devices), (AXIS,))


def jit(function, mesh, **options):
    """Compile with `jax.jit`; with a mesh, `shard_batch` acts inside, and results are
    on every device."""
    if mesh is None:
        return jax.jit(function, **options)

    def over_the_mesh(*args, **kwargs):
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return function(*args, **kwargs)

    whole = NamedSharding(mesh, PartitionSpec())
    return jax.jit(over_the_mesh, out_shardings=whole, **options)


def replicate(tree, mesh):
    """Copy every array of the tree to each device; anything else stays as it is.

    Each process gives its own copy, of the same numbers.
    """

    def put(x):
        if not isinstance(x, jax.Array | np.ndarray):
            return x
        whole = NamedSharding(mesh, PartitionSpec())
        return jax.make_array_from_process_local_data(whole, x, x.shape)

    return tree if mesh is None else jax.tree.map(put, tree)


def to_local(tree, mesh):
    """Copy replicated arrays back to one local device."""

    def get(x):
        x = x.addressable_data(0)
        if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jnp.asarray(np.asarray(x))  # by the host: bound to no device
        data = jnp.asarray(np.asarray(jax.random.key_data(x)))
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))

    return tree if mesh is None else jax.tree.map(get, tree)


def process_role(mesh):
    """Return (are there several processes?, does this one report and save?)."""
    several = mesh is not None and mesh.is_multi_process
    return several, not several or jax.process_index() == 0


@contextlib.contextmanager
def fail_together(mesh):
    """Raise in every process if the block fails in one of them."""
    several, _ = process_role(mesh)
    try:
        yield
    except Exception:
        if several:
            _gather([1])
        raise
    failed = np.flatnonzero(_gather([0])[:, 0]) if several else []
    if len(failed):
        raise RuntimeError(f"Process {failed[0]} failed; its own message says why.")


def check_same_on_all_processes(mesh, given, advice=""):
    """Raise ValueError, in every process, if `given` is not the same in all.

    given: a dict from names to whole numbers, or to trees of arrays and numbers, which
    are compared by a checksum. Every process waits here for all others.
    """
    if not process_role(mesh)[0]:
        return
    table = _gather([x if _whole(x) else _checksum(x) for x in given.values()])
    for (name, x), column in zip(given.items(), table.T, strict=True):
        other = np.flatnonzero(column != column[0])
        if len(other):
            here, there = (f" ({column[i]})" * _whole(x) for i in (0, other[0]))
            raise ValueError(
                f"{name} is not the same in process 0{here} and in process "
                f"{other[0]}{there}.{advice}"
            )


def _gather(numbers):
    """Gather uint32 numbers of all processes: (processes, numbers)."""
    from jax.experimental import multihost_utils

    row = np.array(numbers, np.uint32)
    return np.asarray(multihost_utils.process_allgather(row))


def _whole(x):
    """Return True if x can be sent as it is."""
    return isinstance(x, int) and 0 <= x < 2**32


def _checksum(tree):
    """Return a checksum of arrays and numbers; functions do not count."""
    total = 0
    for x in jax.tree.leaves(tree):
        if not callable(x):
            key = jnp.issubdtype(jnp.result_type(x), jax.dtypes.prng_key)
            x = np.ascontiguousarray(jax.random.key_data(x) if key else x)
            total = zlib.crc32(x.reshape(-1).view(np.uint8), total)
    return total
