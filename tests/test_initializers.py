"""Layers begin with Flax's own numbers, and make few programs of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from gencourse import autoencoder, layers
from gencourse.layers import initializers

IN_HASTE = False  # these are about bits

# class: the arguments of several layers, small, and larger than the shortest draw
LAYERS = {
    "Linear": [(3, 5), (300, 500)],
    "Conv": [(1, 4, (3, 3)), (64, 130, (3, 3))],
    "ConvTranspose": [(4, 2, (4, 4)), (130, 64, (3, 3))],
    "Embed": [(10, 7), (2, 3)],
    "BatchNorm": [(6,)],
    "LayerNorm": [(6,)],
}
CASES = [(name, args) for name, several in LAYERS.items() for args in several]


def state(layer):
    return {
        jax.tree_util.keystr(path): leaf
        for path, leaf in jax.tree.leaves_with_path(nnx.state(layer))
    }


def check_equal(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, leaf in theirs.items():
        assert (ours[name].dtype, ours[name].shape) == (leaf.dtype, leaf.shape)
        assert ours[name].weak_type == leaf.weak_type
        np.testing.assert_array_equal(ours[name], leaf, err_msg=name)


@pytest.mark.parametrize("name, args", CASES)
def test_layers_begin_as_flaxs_do_to_the_bit(name, args):
    ours, theirs = (
        state(getattr(module, name)(*args, rngs=nnx.Rngs(3)))
        for module in (layers, nnx)
    )
    check_equal(ours, theirs)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_that_are_made_inside_of_a_program_are_flaxs(name):
    def make(module):
        return nnx.state(getattr(module, name)(*LAYERS[name][0], rngs=nnx.Rngs(3)))

    ours, theirs = (jax.jit(make, static_argnums=0)(m) for m in (layers, nnx))
    check_equal(state(ours), state(theirs))
    shapes = jax.tree.leaves(jax.eval_shape(lambda: make(layers)))
    assert [leaf.shape for leaf in shapes] == [x.shape for x in jax.tree.leaves(ours)]


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (initializers.lecun_normal(), nnx.initializers.lecun_normal()),
        (initializers.normal(0.02), nnx.initializers.normal(0.02)),
        (initializers.uniform(0.05), lambda *a: jax.random.uniform(*a, -0.05, 0.05)),
    ],
)
@pytest.mark.parametrize(
    "key, dtype",
    [
        (jax.random.key(5), jnp.float32),
        (jax.random.key(5), jnp.bfloat16),
        (jax.random.key(5, impl="rbg"), jnp.float32),
        (jax.random.PRNGKey(5), jnp.float32),
    ],
    ids=["float32", "bfloat16", "rbg", "raw"],
)
def test_initialisers_are_flaxs_for_every_type_and_key(ours, theirs, key, dtype):
    x, y = (init(key, (30, 7), dtype) for init in (ours, theirs))
    assert x.dtype == dtype
    np.testing.assert_array_equal(x, y)


def test_layers_take_other_initialisers_and_no_bias():
    ones = nnx.initializers.ones_init()
    linear = layers.Linear(2, 3, use_bias=False, kernel_init=ones, rngs=nnx.Rngs(0))
    assert linear.bias is None
    np.testing.assert_array_equal(linear.kernel[...], np.ones((2, 3)))


def test_models_share_their_programs():
    """What JAX compiles is counted; a model of another latent size adds nothing."""
    compiled = []

    def note(event, seconds, **about):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(about.get("fun_name"))

    jax.clear_caches()
    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        autoencoder.Autoencoder(2, rngs=nnx.Rngs(0))
        first = len(compiled)
        autoencoder.Autoencoder(3, rngs=nnx.Rngs(1))
    finally:
        jax.monitoring.unregister_event_duration_listener(note)
    assert 0 < first <= 10, compiled  # the seed, the keys, and two sizes of draw
    assert len(compiled) == first, compiled[first:]


def test_haste_is_no_condition(monkeypatch):
    """XLA may forget an option, and a program may be part of another."""
    monkeypatch.setattr(initializers, "HASTE", {"xla_of_another_year": True})
    double = initializers.jit_in_haste(lambda x: 2 * x)
    assert double(3) == 6
    assert jax.jit(lambda x: double(x) + 1)(3) == 7
