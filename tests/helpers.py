"""What several test files need of networks, their numbers and their optimizers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import export

KEY = jax.random.key(0)
PLATFORMS = ("cpu", "cuda", "tpu")

# Made once, and the rate is part of their state: whatever it is, nothing is compiled
# again. A rate of 0 moves nothing, to the bit.
SGD = optax.inject_hyperparams(optax.sgd)(learning_rate=0.1, momentum=0.9)
ADAM = optax.inject_hyperparams(optax.adam)(learning_rate=1e-3, b1=0.5)


def same_latents(key, shape):
    """Draw latent vectors for a test that has to know them: the same for every key."""
    return jax.random.normal(jax.random.key(7), shape)


def as_it_is(x):
    return x


def leaky(x):
    return jnp.where(x > 0, x, 0.2 * x)


def numbers(model, kind=...):
    """A copy of a model's numbers, or of those of one kind."""
    return jax.tree.map(jnp.copy, nnx.state(model, kind))


def same(a, b):
    """Whether two trees of arrays are equal to the bit."""
    return all(jax.tree.leaves(jax.tree.map(lambda x, y: bool((x == y).all()), a, b)))


def unmoved(before, after):
    """The paths of the arrays in which no number has changed."""
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), before, after)
    return [path for path, m in jax.tree_util.tree_leaves_with_path(moved) if not m]


def assert_close(a, b, rtol=1e-4, atol=1e-6):
    a, b = (jax.tree_util.tree_leaves_with_path(tree) for tree in (a, b))
    for (path, x), (_, y) in zip(a, b, strict=True):
        np.testing.assert_allclose(x, y, rtol, atol, err_msg=str(path))


def with_optimizers(networks, rule=SGD, rates=None):
    """The four objects of a step; `rates`: of G's and of D's optimizer."""
    optimizers = [nnx.Optimizer(n, rule, wrt=nnx.Param) for n in networks]
    for optimizer, rate in zip(optimizers, rates or (), strict=rates is not None):
        set_rate(optimizer, rate)
    return *networks, *optimizers


def set_rate(optimizer, rate):
    optimizer.opt_state.hyperparams["learning_rate"][...] = jnp.float32(rate)


def assert_lowers(step, objects, *given):
    """Hold that a step, not jitted, is lowered for each of the three platforms."""
    graphdef, state = nnx.split(tuple(objects))

    def pure(state, *given):
        objects = nnx.merge(graphdef, state)
        return step(*objects, *given), nnx.state(objects)

    lowered = export.export(jax.jit(pure), platforms=PLATFORMS)(state, *given)
    assert lowered.platforms == PLATFORMS


def quickly(make, seed=0):
    """What `make()` makes, its numbers drawn by NumPy.

    JAX would compile a program for each shape; where the first numbers are not what a
    test is about, these serve as well. Kernels have deviation 1 / sqrt(inputs).
    """
    made, rng = jax.eval_shape(make), np.random.default_rng(seed)

    def fill(path, a):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        if a.ndim > 1:
            numbers = rng.normal(size=a.shape) / np.prod(a.shape[:-1]) ** 0.5
        else:
            numbers = np.full(a.shape, {"scale", "var"} & set(name.split(".")) != set())
        return jnp.asarray(numbers, a.dtype)

    nnx.update(made, jax.tree_util.tree_map_with_path(fill, nnx.state(made)))
    return made


def values_and_gradients(layer, x):
    """Return a layer's output, and the gradients of its parameters and its input."""

    def f(layer, x):
        y = layer(x)
        return jnp.sum(jnp.sin(y)), y  # sin: a gradient that differs everywhere

    grads, y = jax.jit(nnx.grad(f, argnums=(0, 1), has_aux=True))(layer, x)
    return jax.tree.leaves((y, grads))


def assert_equal_to_flax(ours, theirs, x):
    """Assert that two convolutions have the same values and gradients."""
    mine, flax = values_and_gradients(ours, x), values_and_gradients(theirs, x)
    assert len(mine) == len(flax) == 4  # output, bias, kernel, input
    for a, b in zip(mine, flax, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        assert jnp.abs(a - b).max() <= 1e-5 * jnp.abs(b).max()
