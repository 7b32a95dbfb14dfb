"""Compile a training step: cut a batch, call the step, return the updated state.

    leaves, count, order --one compiled call--> leaves, count + many, metrics

What XLA is asked for on a CPU is told here too; what each of it gains is measured in
`benchmarks/NOTES.md`.
"""

import functools

import jax
import jax.numpy as jnp
from flax import nnx

from gencourse.layers.sharding import shard_batch
from gencourse.train import resolve
from gencourse.train.devices import jit


def compile_step(step, graphdef, treedef, batch_size, transform, functions, mesh):
    """Compile a step into one function over the data, which returns the updated state.

    Args:
      step: not jitted.
      graphdef, treedef: what, with their leaves, are the step's objects.
      batch_size: rows that a step cuts.
      transform: a function of a batch, or None.
      functions: (name, function of the number of steps done) pairs, hashable.
      mesh: of `gencourse.train.devices`, or None.

    Returns:
      A function of: the carry, (leaves, int32 number of steps done), whose memory it
      uses again; the data; an epoch's order, int (N,); which of the epoch's batches
      is next; the key of all steps; the numbers passed by name; and, by name, how
      `many` steps. It returns the carry after them, and their metrics by name,
      float32: scalars of one step, (many,) of several.
    """

    def train_one(carry, data, order, at, key, numbers):
        leaves, count = carry
        objects = nnx.merge(graphdef, jax.tree.unflatten(treedef, leaves))
        rows = jax.lax.dynamic_slice(order, (at * batch_size,), (batch_size,))
        batch = shard_batch(jax.tree.map(lambda a: a[rows], data))
        batch = transform(batch) if transform else batch
        annealed = {name: f(count) for name, f in functions}
        key = jax.random.fold_in(key, count)
        before = resolve.parameters(objects)
        metrics = _float32(step(*objects, batch, key, **numbers, **annealed))
        if not resolve.moved(objects, before):
            raise ValueError(
                "The step moved no nnx.Param of its objects: it would train nothing. "
                "Does it call optimizer.update(model, grads)? Is the function under a "
                "jax.jit, which works on copies? Then use nnx.jit, or none."
            )
        after, state = nnx.split(objects)
        if after != graphdef:
            raise ValueError(
                "The step changed the structure of its objects, not only their "
                "numbers: it set or removed an attribute. fit cannot carry that."
            )
        return (jax.tree.leaves(state), count + 1), metrics

    def train_many(carry, data, order, at, key, numbers, n_steps):
        if n_steps == 1:
            return train_one(carry, data, order, at, key, numbers)

        def body(carry, i):
            return train_one(carry, data, order, at + i, key, numbers)

        return jax.lax.scan(body, carry, jnp.arange(n_steps))

    return jit(
        train_many,
        mesh,
        donate_argnums=0,
        static_argnames="n_steps",
        compiler_options=compiler_options(),
    )


# Cached: a second fit with the same step does not recompile.
compile_step_cached = functools.lru_cache(maxsize=8)(compile_step)


def steps_per_call():
    """Return the number of steps run per compiled call.

    A GPU or TPU does a small step sooner than Python can ask for the next: several
    go in one call, as a scan. On a CPU a convolution inside of a loop loses its quick
    form, and asking costs little: one.
    """
    return 1 if jax.default_backend() == "cpu" else 10


# What XLA's CPU compiler shall hand to its library YNNPACK: sums, and products that
# stand alone. By default it also fuses products with what surrounds them, and that
# keeps two cores less busy.
CPU_OPTIONS = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE,"
    "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"
}


@functools.cache
def compiler_options():
    """Return CPU_OPTIONS on a CPU; None elsewhere, or if XLA no longer knows them."""
    if jax.default_backend() != "cpu":
        return None
    try:
        jax.jit(lambda x: x + 1, compiler_options=CPU_OPTIONS)(0.0)
    except Exception:  # which kind it is depends on the version
        return None
    return CPU_OPTIONS


def _float32(metrics):
    if not isinstance(metrics, dict) or not metrics:
        raise TypeError(
            f"A step returns its metrics, a dict of scalars such as "
            f'{{"loss": loss}}; this one returned {metrics!r}.'
        )
    for name, value in metrics.items():
        if isinstance(value, dict) or jnp.shape(value) != ():
            raise TypeError(f"The metric {name!r} is no scalar: {value!r}.")
    return {name: jnp.asarray(value, jnp.float32) for name, value in metrics.items()}
