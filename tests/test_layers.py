"""gencourse.layers against Flax's own: same parameters, values and gradients."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from helpers import assert_equal_to_flax, values_and_gradients
from jax import export

from gencourse import layers
from gencourse.layers import convolution

PAIRS = [(layers.Conv, nnx.Conv), (layers.ConvTranspose, nnx.ConvTranspose)]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("ours, theirs", PAIRS, ids=["Conv", "ConvTranspose"])
def test_equal_to_flax_in_value_and_every_gradient(ours, theirs, kernel, stride):
    x = jax.random.normal(jax.random.key(1), (2, 7, 8, 3))  # an odd and an even side
    for padding in ("SAME", "VALID"):
        a, b = (
            cls(3, 4, (kernel,) * 2, (stride,) * 2, padding=padding, rngs=nnx.Rngs(0))
            for cls in (ours, theirs)
        )
        assert_equal_to_flax(a, b, x)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("strides", [(1, 1), (3, 3), (2, 1)], ids=str)
@pytest.mark.parametrize("ours, theirs", PAIRS, ids=["Conv", "ConvTranspose"])
def test_rare_strides_in_the_quick_ways_too(ours, theirs, strides, padding):
    """Strides larger than the kernel, uneven ones; odd and even sides."""
    x = jax.random.normal(jax.random.key(1), (3, 17, 18, 16))
    for kernel in (2, 4):
        a, b = (
            cls(16, 16, (kernel,) * 2, strides, padding=padding, rngs=nnx.Rngs(0))
            for cls in (ours, theirs)
        )
        assert_equal_to_flax(a, b, x)


@pytest.mark.parametrize("stride", [1, 2])
def test_an_empty_batch_has_a_gradient(stride):
    for cls in (layers.Conv, layers.ConvTranspose):
        for channels in ((16, 16), (16, 1)):
            layer = cls(*channels, (3, 3), (stride,) * 2, rngs=nnx.Rngs(0))
            _, _, kernel, _ = values_and_gradients(layer, jnp.zeros((0, 16, 16, 16)))
            assert not kernel.any()


def test_uneven_kernels_and_strides():
    options = dict(kernel_size=(4, 3), strides=(2, 1), rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(1), (2, 6, 5, 3))
    ours, theirs = (cls(3, 2, **options) for cls in PAIRS[1])
    theirs.kernel[...] = ours.kernel[...]
    assert_equal_to_flax(ours, theirs, x)


@pytest.mark.parametrize(
    "options",
    [
        {"padding": "CIRCULAR"},
        {"padding": ((1, 1), (2, 0))},
        {"kernel_dilation": (2, 2)},
        {"transpose_kernel": True},
    ],
)
def test_rare_options_go_through_flax(options):
    x = jax.random.normal(jax.random.key(1), (2, 6, 6, 3))
    a, b = (cls(3, 4, (3, 3), rngs=nnx.Rngs(0), **options) for cls in PAIRS[1])
    assert_equal_to_flax(a, b, x)


def test_half_precision_and_no_bias():
    x = jax.random.normal(jax.random.key(1), (2, 6, 6, 3))
    a, b = (
        cls(3, 4, (3, 3), dtype=jnp.bfloat16, use_bias=False, rngs=nnx.Rngs(0))
        for cls in PAIRS[1]
    )
    assert a(x).dtype == b(x).dtype == jnp.bfloat16
    assert jnp.array_equal(a(x), b(x))


def test_a_transposed_convolution_is_the_adjoint_of_a_strided_one():
    """<conv_transpose(x, w), y> = <x, conv(y, w')>: the identity of the docstring."""
    x = jax.random.normal(jax.random.key(0), (2, 5, 5, 3))
    w = jax.random.normal(jax.random.key(1), (4, 4, 3, 2))
    up = convolution.conv_transpose(x, w, (2, 2), "SAME")  # (2, 10, 10, 2)
    y = jax.random.normal(jax.random.key(2), up.shape)
    flipped = jnp.flip(w, (0, 1)).swapaxes(2, 3)
    down = jax.lax.conv_general_dilated(
        y, flipped, (2, 2), [(1, 1), (1, 1)], dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    assert down.shape == x.shape
    assert jnp.allclose(jnp.sum(up * y), jnp.sum(x * down), rtol=1e-5)


@pytest.mark.parametrize("channels", [(2, 2), (16, 16), (16, 1)], ids=str)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("ours, theirs", PAIRS, ids=["Conv", "ConvTranspose"])
def test_second_derivatives_exist(ours, theirs, stride, channels):
    """A gradient penalty differentiates the gradient."""

    def penalty(layer, x):
        return jnp.sum(jax.grad(lambda x: jnp.sum(layer(x) ** 2))(x) ** 2)

    x = jax.random.normal(jax.random.key(1), (2, 16, 16, channels[0]))
    mine, flax = (
        jax.jit(nnx.grad(penalty))(
            cls(*channels, (3, 3), (stride,) * 2, rngs=nnx.Rngs(0)), x
        ).kernel[...]
        for cls in (ours, theirs)
    )
    assert jnp.abs(mine - flax).max() <= 1e-4 * jnp.abs(flax).max()


def test_single_precision_where_double_is_allowed():
    """Constants must be of the arrays' own type."""
    with jax.enable_x64(True):
        for cls in (layers.Conv, layers.ConvTranspose):
            for channels in ((16, 16), (16, 1)):
                layer = cls(
                    *channels, (3, 3), param_dtype=jnp.float32, rngs=nnx.Rngs(0)
                )
                x = jnp.ones((2, 16, 16, 16), jnp.float32)
                y, *_ = values_and_gradients(layer, x)
                assert y.dtype == jnp.float32


@pytest.mark.parametrize("ours, theirs", PAIRS, ids=["Conv", "ConvTranspose"])
def test_other_devices_get_the_plain_form(ours, theirs):
    """For a GPU it lowers to what Flax's own layer lowers to; for a CPU not."""

    def convolutions(cls, platform):
        layer = cls(16, 16, (3, 3), (2, 2), rngs=nnx.Rngs(0))
        graphdef, state = nnx.split(layer)

        def f(state, x):
            return jnp.sum(nnx.merge(graphdef, state)(x) ** 2)

        step = jax.jit(jax.grad(f, argnums=(0, 1)))
        x = jnp.zeros((2, 16, 16, 16))
        text = export.export(step, platforms=[platform])(state, x).mlir_module()
        lines = [line for line in text.splitlines() if "stablehlo.convolution" in line]
        return sorted(line.split("window")[1].split(" loc")[0] for line in lines)

    for platform in ("cuda", "tpu"):
        assert convolutions(ours, platform) == convolutions(theirs, platform)
    assert convolutions(ours, "cpu") != convolutions(theirs, "cpu")


def test_kernels_of_another_number_of_dimensions_are_refused():
    for cls in (layers.Conv, layers.ConvTranspose):
        for kernel in (3, (3,), (3, 3, 3)):
            with pytest.raises(TypeError, match="another number of dimensions"):
                cls(1, 4, kernel, rngs=nnx.Rngs(0))


def test_wrong_shapes_are_named():
    layer = layers.Conv(3, 4, (3, 3), rngs=nnx.Rngs(0))
    for shape in ((8, 8, 3), (2, 8, 8, 1)):
        with pytest.raises(ValueError, match="Conv expects pictures of shape"):
            layer(jnp.zeros(shape))


def test_columns_and_phases_are_taken_where_they_should_be():
    """Else the tests above would compare lax with itself."""

    def text(x, w):
        def f(x, w):
            return convolution.conv_transpose(x, w, (2, 2), "SAME").sum()

        return jax.jit(jax.grad(f, (0, 1))).lower(x, w).as_text()

    def count(side):
        x, w = jnp.ones((4, side, side, 16)), jnp.ones((3, 3, 16, 16))
        value = jax.jit(lambda x, w: convolution.conv_transpose(x, w, (2, 2), "SAME"))
        return value.lower(x, w).as_text().count("stablehlo.convolution"), text(x, w)

    phases, small = count(8)
    _, large = count(16)
    assert phases == 4  # lax has one convolution here
    assert "stablehlo.while" not in small and "stablehlo.while" in large


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.97])
def test_dropout_keeps_its_rate_and_the_mean(rate):
    x = jnp.ones((400, 500))
    y = layers.Dropout(rate)(x, rngs=jax.random.key(0))
    kept = float((y != 0).mean())
    true = 1 - round(256 * rate) / 256
    assert abs(kept - true) < 5 * (true * (1 - true) / x.size) ** 0.5
    assert abs(true - (1 - rate)) <= 1 / 512
    assert jnp.allclose(y[y != 0], 1 / true)
    # No pattern along rows, columns, or the four bytes of a word.
    for masks in (y != 0, (y != 0).T, (y != 0).reshape(-1, 4).T):
        share = masks.mean(1)
        deviation = (true * (1 - true) / masks.shape[1]) ** 0.5
        assert jnp.abs(share - true).max() < 5 * deviation
        assert abs(float((share - true).std()) / deviation - 1) < 0.35 or len(share) < 9


def test_dropout_is_flaxs_otherwise():
    x = jnp.arange(15.0).reshape(3, 5) + 1
    drop, key = layers.Dropout(0.5), jax.random.key(1)
    assert jnp.array_equal(drop(x, deterministic=True), x)
    assert jnp.array_equal(layers.Dropout(0.0)(x, rngs=key), x)
    assert not layers.Dropout(1.0)(x, rngs=key).any()
    assert jnp.array_equal(drop(x, rngs=key), drop(x, rngs=key))
    assert not jnp.array_equal(drop(x, rngs=key), drop(x, rngs=jax.random.key(2)))
    assert drop(x, rngs=nnx.Rngs(dropout=0)).shape == (3, 5)
    assert jnp.array_equal(nnx.view(drop, deterministic=True)(x), x)
    rows = layers.Dropout(0.5, broadcast_dims=(1,))(jnp.ones((64, 5)), rngs=key)
    assert jnp.array_equal(rows, jnp.broadcast_to(rows[:, :1], rows.shape))
    assert jnp.array_equal(drop(x), x)  # without rngs nothing is dropped
