"""Flax's initialisers, quick to begin with: the same numbers of fewer programs.

    key, shape --one program for many shapes--> flat numbers --cut, fold--> array

JAX compiles a program for each shape that it draws, and on a CPU that takes longer than
training's first steps. Here an array is the beginning of a flat one, whose length is
one of few, so that layers and models share their programs. JAX's own random bits have
this property: a longer draw of one key begins as a shorter one does
(`jax_threefry_partitionable`). Zeros and ones are no programs at all.

The numbers are those of `nnx.initializers`, to the bit. Whatever is rarer (another
type than float32, another kind of key, a key that is traced) is left to Flax.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

# For programs that run seldom. On a CPU XLA compiles them in less than half the time,
# and they take longer to run. Level 0 would round a few numbers otherwise.
HASTE = {"xla_backend_optimization_level": 1, "xla_cpu_use_fusion_emitters": False}
LEAST = 2**16  # numbers of the shortest flat draw; the next is 4 times as long


def jit_in_haste(function, **options):
    """Return `jax.jit(function, **options)`, on a CPU compiled as HASTE has it."""
    quick = jax.jit(function, compiler_options=HASTE, **options)
    plain = jax.jit(function, **options)

    @functools.wraps(function)
    def call(*args):
        if jax.default_backend() == "cpu":
            try:
                return quick(*args)
            except Exception:  # inside of another jit, or XLA knows HASTE no more
                pass
        return plain(*args)

    return call


def lecun_normal():
    """Return `nnx.initializers.lecun_normal()`: deviation 1 / sqrt(inputs)."""
    flax = nnx.initializers.lecun_normal()

    def init(key, shape, dtype=jnp.float32, **options):
        if len(shape) < 2 or options or _is_rare(key, shape, dtype):
            return flax(key, shape, dtype, **options)
        variance = np.float32(1 / math.prod(shape[:-1]))
        # the second number is the deviation of a normal distribution cut at 2
        deviation = np.sqrt(variance) / np.float32(0.87962566103423978)
        return _draw(_truncated_normal, key, shape, deviation)

    return init


def normal(stddev=0.01):
    """Return `nnx.initializers.normal(stddev)`."""
    flax = nnx.initializers.normal(stddev)

    def init(key, shape, dtype=jnp.float32, **options):
        if options or _is_rare(key, shape, dtype):
            return flax(key, shape, dtype, **options)
        return _draw(_normal, key, shape, np.float32(stddev))

    return init


def uniform(bound):
    """Return an initialiser: from -bound to bound, each number as likely."""

    def init(key, shape, dtype=jnp.float32, **options):
        if options or _is_rare(key, shape, dtype):
            return jax.random.uniform(key, shape, dtype, -bound, bound, **options)
        return _draw(functools.partial(_uniform, bound), key, shape)

    return init


def zeros(key, shape, dtype=jnp.float32, **options):
    """Return zeros, as `nnx.initializers.zeros_init()` does; the key is not used."""
    return _constant(nnx.initializers.zeros_init(), 0, key, shape, dtype, options)


def ones(key, shape, dtype=jnp.float32, **options):
    """Return ones, as `nnx.initializers.ones_init()` does; the key is not used."""
    return _constant(nnx.initializers.ones_init(), 1, key, shape, dtype, options)


def _constant(flax, number, key, shape, dtype, options):
    if options or isinstance(key, jax.core.Tracer):
        return flax(key, shape, dtype, **options)
    return jax.device_put(np.full(shape, number, dtype))


def _is_rare(key, shape, dtype):
    """Return True for a key, a shape or a type that no chapter's network has."""
    if isinstance(key, jax.core.Tracer) or dtype != jnp.float32 or 0 in shape:
        return True
    if not (isinstance(key, jax.Array) and key.shape == ()):
        return True
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return True
    known = str(jax.random.key_impl(key)) == "threefry2x32"
    return not (known and jax.config.jax_threefry_partitionable)


def _draw(distribution, key, shape, scale=1):
    """Draw a flat array and return its first numbers in this shape, cut on the host.

    Flax multiplies by the scale in a program of its own, and so does this: within
    one XLA might round once where there are two products.
    """
    n, size = math.prod(shape), LEAST
    while size < n:
        size *= 4
    flat = distribution(key, size)
    if isinstance(flat, jax.core.Tracer):
        return flat[:n].reshape(shape) * scale
    return jax.device_put((np.asarray(flat)[:n] * np.float32(scale)).reshape(shape))


@functools.partial(jit_in_haste, static_argnums=1)
def _truncated_normal(key, n):
    return jax.random.truncated_normal(key, -2, 2, (n,), jnp.float32)


@functools.partial(jit_in_haste, static_argnums=1)
def _normal(key, n):
    return jax.random.normal(key, (n,), jnp.float32)


@functools.partial(jit_in_haste, static_argnums=(0, 2))
def _uniform(bound, key, n):
    return jax.random.uniform(key, (n,), jnp.float32, -bound, bound)
