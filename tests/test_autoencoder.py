"""Chapter 1's module: the loss in closed form, the step, and what it refuses."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from helpers import ADAM, assert_lowers, numbers, quickly, set_rate, unmoved

from gencourse import autoencoder, data
from gencourse.train import fit


def new(latent=2, rate=1e-3):
    model, optimizer = nnx.clone(made(latent))
    set_rate(optimizer, rate)
    return model, optimizer


@functools.cache
def made(latent):
    model = quickly(lambda: autoencoder.Autoencoder(latent, rngs=nnx.Rngs(0)))
    return model, nnx.Optimizer(model, ADAM, wrt=nnx.Param)


@pytest.fixture(scope="module")
def pictures():
    images, _ = data.load("fashion_mnist", "test")
    return data.scale(data.pad(images[:40], 32), "unit")


def test_the_loss_in_closed_form():
    x = jnp.array([0.0, 1.0, 0.5]).reshape(3, 1, 1, 1)
    sure = jnp.array([-30.0, 30.0, 0.0]).reshape(3, 1, 1, 1)
    losses = autoencoder.reconstruction_loss(sure, x)  # perfect copies
    np.testing.assert_allclose(losses, [0, 0, np.log(2)], atol=1e-6)
    # a bet on the contrary costs |logit|
    wrong = autoencoder.reconstruction_loss(-sure, x)
    np.testing.assert_allclose(wrong, [30, 30, np.log(2)], rtol=1e-6)
    huge = autoencoder.reconstruction_loss(
        jnp.full((1, 1, 1, 1), 1e4), jnp.zeros((1, 1, 1, 1))
    )
    np.testing.assert_allclose(huge, 1e4)


def test_the_loss_sums_over_pixels_and_keeps_images_apart():
    logits, x = jnp.zeros((3, 4, 5, 2)), jnp.ones((3, 4, 5, 2))
    losses = autoencoder.reconstruction_loss(logits, x)
    np.testing.assert_allclose(losses, np.full(3, 40 * np.log(2)), rtol=1e-6)


def test_the_loss_is_least_where_the_picture_is():
    x = jax.random.uniform(jax.random.key(0), (2, 4, 4, 1), minval=0.1, maxval=0.9)
    best = jnp.log(x / (1 - x))

    def total(logits):
        return autoencoder.reconstruction_loss(logits, x).sum()

    assert jnp.abs(jax.grad(total)(best)).max() < 1e-5
    for shift in (-0.1, 0.1):
        assert total(best + shift) > total(best)


def test_shapes_all_the_way(pictures):
    model, _ = new(latent=3)
    z = autoencoder.encode(model, pictures)
    assert z.shape == (40, 3) and z.dtype == jnp.float32
    assert jax.eval_shape(model.decoder, z).shape == (40, 32, 32, 1)
    walk = autoencoder.interpolate(model, z[0], z[1], n=5)
    assert walk.shape == (5, 32, 32, 1) and 0 <= walk.min() and walk.max() <= 1
    ends = autoencoder.decode(model, z[:5])[:2]
    np.testing.assert_allclose(walk[np.array([0, -1])], ends, atol=1e-5)


def test_chunks_change_nothing(pictures):
    model, _ = new(latent=3)
    many = np.tile(pictures, (26, 1, 1, 1))  # 1,000 rows, and 40 more
    once = autoencoder.reconstruct(model, pictures)
    np.testing.assert_allclose(
        autoencoder.reconstruct(model, many)[-40:], once, atol=1e-6
    )
    np.testing.assert_allclose(
        autoencoder.bce_per_pixel(model, many),
        autoencoder.bce_per_pixel(model, pictures),
        rtol=1e-5,
    )


def test_it_overfits_a_few_pictures(pictures):
    """Were encoder or decoder cut off from the gradient, this would fail."""
    few = pictures[:4]
    model, optimizer = new(latent=2, rate=3e-3)
    options = dict(batch_size=4, steps=300, key=jax.random.key(0), progress=False)
    fit(autoencoder.train_step, (model, optimizer), few, **options)
    inside = np.clip(few.astype(np.float64), 1e-9, 1 - 1e-9)
    floor = -(inside * np.log(inside) + (1 - inside) * np.log(1 - inside)).mean()
    assert autoencoder.bce_per_pixel(model, few) < floor + 0.02


def test_a_step_goes_downhill_and_moves_every_parameter(pictures):
    model, optimizer = new()
    before, key = numbers(model), jax.random.key(0)
    first = autoencoder.train_step(model, optimizer, pictures, key)
    still = unmoved(before, nnx.state(model))
    assert not still, f"no gradient reaches {still}"
    second = autoencoder.train_step(model, optimizer, pictures, key)
    assert second["loss"] < first["loss"]
    np.testing.assert_allclose(first["bce"] * 32 * 32, first["loss"], rtol=1e-6)


def test_the_step_lowers_for_cpu_cuda_and_tpu(pictures):
    step = autoencoder.train_step.__wrapped__
    assert_lowers(step, new(), pictures, jax.random.key(0))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda x: x * 2 - 1, r"needs \[0, 1\]"),
        (lambda x: x * 255, r"needs \[0, 1\]"),
        (lambda x: (x * 255).astype(np.uint8), "uint8, not float"),
        (lambda x: np.where(x > 0.5, np.nan, x), r"needs \[0, 1\]"),
        (lambda x: x[:, 2:30, 2:30], "Pad 28x28 pictures"),
        (lambda x: x[..., 0], r"shape \(B, 32, 32, 1\)"),
    ],
    ids=["tanh", "bytes", "uint8", "nan", "28x28", "no channel"],
)
def test_bad_pictures_are_refused(pictures, change, message):
    for use in (autoencoder.encode, autoencoder.bce_per_pixel, autoencoder.reconstruct):
        with pytest.raises(ValueError, match=message):
            use(new()[0], change(pictures))


def test_codes_of_another_width_are_refused():
    for z in (np.zeros((5, 3)), np.zeros(2)):
        with pytest.raises(ValueError, match=r"codes have shape \(N, 2\)"):
            autoencoder.decode(new()[0], z)
