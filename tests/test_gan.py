"""Chapter 3's module: its losses in closed form, what it learns, what it refuses.

What its networks share with those of later chapters is tested in test_games.py.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from helpers import ADAM, KEY, as_it_is, numbers, quickly, same, with_optimizers

from gencourse import data, gan
from gencourse.train import fit

SQUARED = dict(d_loss=gan.d_loss_squared, g_loss=gan.g_loss_squared)


def in_the_plane(prior=jax.random.normal, hidden=(32,)):
    rngs = nnx.Rngs(0)
    options = dict(hidden=hidden, shape=(2,), norm=False, rngs=rngs)
    generator = gan.Generator(3, output_activation=as_it_is, prior=prior, **options)
    return generator, gan.Discriminator(**options)


def of_pictures():
    def make():
        rngs = nnx.Rngs(0)
        generator = gan.Generator(5, hidden=(16, 8), rngs=rngs)
        return generator, gan.Discriminator(hidden=(8, 16), norm=True, rngs=rngs)

    return quickly(make)


@pytest.fixture(scope="module")
def pictures():
    images, _ = data.load("fashion_mnist", "test")
    return data.scale(images[:40], "tanh")


@pytest.fixture(scope="module")
def points():
    """A cloud round (2, -1), deviation 0.5."""
    noise = np.random.default_rng(0).normal(size=(4000, 2)).astype(np.float32)
    return 0.5 * noise + np.float32([[2, -1]])


# --- the losses -----------------------------------------------------------------


def test_each_loss_is_what_it_says_of_probabilities():
    real, fake = np.linspace(-5, 4, 9), np.linspace(-3, 5, 9)
    p_real, p_fake = (1 / (1 + np.exp(-a)) for a in (real, fake))  # float64
    real, fake = jnp.float32(real), jnp.float32(fake)
    wanted = {
        gan.d_loss: (-np.log(p_real), -np.log(1 - p_fake)),
        gan.d_loss_squared: ((p_real - 1) ** 2, p_fake**2),
    }
    for loss, terms in wanted.items():
        means = [term.mean() for term in terms]
        np.testing.assert_allclose(loss(real, fake), means, rtol=1e-5)
    wanted = {
        gan.g_loss: -np.log(p_fake),
        gan.g_loss_saturating: np.log(1 - p_fake),
        gan.g_loss_squared: (p_fake - 1) ** 2,
    }
    for loss, term in wanted.items():
        np.testing.assert_allclose(loss(fake), term.mean(), rtol=1e-5)


def test_where_d_cannot_tell_it_pays_ln_2_or_a_quarter_each():
    none = jnp.zeros(6)
    ln2 = np.log(2)
    np.testing.assert_allclose(gan.d_loss(none, none), [ln2, ln2], rtol=1e-6)
    np.testing.assert_allclose(gan.g_loss(none), ln2, rtol=1e-6)
    np.testing.assert_allclose(gan.g_loss_saturating(none), -ln2, rtol=1e-6)
    np.testing.assert_allclose(gan.d_loss_squared(none, none), [0.25, 0.25])
    np.testing.assert_allclose(gan.g_loss_squared(none), 0.25)


def slope(loss, logit):
    return float(jax.grad(lambda a: loss(a[None]))(jnp.float32(logit)))


GOOD, BAD = jnp.full(1, 100.0), jnp.full(1, -100.0)


def on_real(a):
    return gan.d_loss(a, BAD)[0]


def on_fake(a):
    return gan.d_loss(GOOD, a)[1]


@pytest.mark.parametrize(
    "loss, at_minus_100, at_100",  # (value, slope) at either logit
    [
        (on_real, (100, -1), (0, 0)),
        (on_fake, (0, 0), (100, 1)),
        (gan.g_loss, (100, -1), (0, 0)),
        (gan.g_loss_saturating, (0, 0), (-100, -1)),
        (gan.g_loss_squared, (1, 0), (0, 0)),
        (lambda a: gan.d_loss_squared(a, BAD)[0], (1, 0), (0, 0)),
        (lambda a: gan.d_loss_squared(GOOD, a)[1], (0, 0), (1, 0)),
    ],
    ids=["real", "fake", "g", "min-max", "g squared", "real squared", "fake squared"],
)
def test_logits_of_a_hundred_are_no_trouble(loss, at_minus_100, at_100):
    for logit, wanted in ((-100.0, at_minus_100), (100.0, at_100)):
        given = float(loss(jnp.full(1, logit))), slope(loss, logit)
        np.testing.assert_allclose(given, wanted, atol=1e-30)


def test_only_the_non_saturating_loss_is_steep_where_g_is_bad():
    """Slopes in the fake's logit: P - 1, -P and 2 (P - 1) P (1 - P)."""
    for logit in (-6.0, -1.0, 0.5, 6.0):
        p = 1 / (1 + np.exp(-logit))
        np.testing.assert_allclose(slope(gan.g_loss, logit), p - 1, rtol=1e-4)
        np.testing.assert_allclose(slope(gan.g_loss_saturating, logit), -p, rtol=1e-4)
        squared = -2 * p * (1 - p) ** 2
        np.testing.assert_allclose(slope(gan.g_loss_squared, logit), squared, 1e-4)
    assert slope(gan.g_loss, -6) < -0.99
    assert -0.003 < slope(gan.g_loss_saturating, -6) < 0
    assert -0.005 < slope(gan.g_loss_squared, -6) < 0


# --- the step -------------------------------------------------------------------


def test_d_s_own_dropout_works_where_a_key_is_given_and_nowhere_else(points):
    def new(dropout):
        options = dict(hidden=(64, 64), shape=(2,), dropout=dropout)
        return quickly(lambda: gan.Discriminator(**options, rngs=nnx.Rngs(0)))

    half, none, points = new(0.5), new(0.0), points[:100]
    np.testing.assert_array_equal(half(points), none(points))
    np.testing.assert_array_equal(none(points, KEY), none(points))
    one, other = half(points, KEY), half(points, jax.random.key(1))
    assert (one != other).all() and (one != half(points)).all()
    np.testing.assert_array_equal(gan.p_real(half, points), gan.p_real(none, points))

    # Ones all the way, but where something is left out: two layers of 64, so the
    # logit's mean stays and its variance is (1/64 + 1) (1/64 + 1) - 1 of its square.
    for dense in (*half.hidden, half.logit):
        dense.kernel[...] = jnp.full_like(dense.kernel[...], 1 / dense.in_features)
    logits = half(jnp.ones((4000, 2)), KEY)
    np.testing.assert_allclose(logits.mean(), 1, atol=0.02)
    np.testing.assert_allclose(logits.var(), (1 + 1 / 64) ** 2 - 1, rtol=0.15)


def train(networks, rates, points, steps):
    """The same program for any rates of G and D: one compilation for all."""
    objects = with_optimizers(networks, ADAM, rates)
    options = dict(batch_size=128, steps=steps, key=KEY, progress=False)
    return fit(gan.train_step, objects, points, **options)


def test_d_alone_learns_to_tell_and_g_alone_to_deceive(points):
    networks = in_the_plane()
    history = train(networks, (0, 1e-2), points, 300)
    assert (
        history["d_accuracy_real"][-1] > 0.95 and history["d_accuracy_fake"][-1] > 0.95
    )
    assert history["p_real"][-1] > 0.9 > 0.1 > history["p_fake"][-1]
    assert history["d_loss"][-1] < 0.2 < history["d_loss"][0]
    history = train(networks, (1e-2, 0), points, 400)
    assert history["g_loss"][-1] < history["g_loss"][0]
    assert history["p_fake"][-1] > 0.8 > 0.1 > history["p_fake"][0]


def test_it_learns_a_cloud_in_the_plane(points):
    """With the sign of either loss turned the fakes would run away from it."""
    networks = in_the_plane()
    history = train(networks, (1e-3, 5e-3), points, 1500)  # D ahead: it settles
    fakes = gan.sample(networks[0], 2000, jax.random.key(1))
    np.testing.assert_allclose(fakes.mean(0), [2, -1], atol=0.25)
    assert (0.25 < fakes.std(0)).all() and (fakes.std(0) < 0.75).all()
    assert 0.4 < history["p_real"][-200:].mean() < 0.6


def test_other_batches_and_keys_compile_nothing_anew(points):
    traces = []

    def draw(key, shape):
        traces.append(shape)
        return jax.random.normal(key, shape)

    objects = with_optimizers(in_the_plane(draw, hidden=(4,)))
    for i in range(3):
        gan.train_step(*objects, points[:8] + i, jax.random.key(i))
    assert len(traces) == 1
    step = functools.partial(gan.train_step, **SQUARED)
    for i in range(3):
        step(*objects, points[:8], jax.random.key(i))
    assert len(traces) == 2  # other losses are another program


def test_the_fakes_are_made_once():
    """G's pass stands twice in the step; the compiler finds that it is one."""
    hidden = {"latent": 64, "hidden": (256,), "shape": (256,)}
    generator = gan.Generator(**hidden, norm=False, rngs=nnx.Rngs(0))
    discriminator = gan.Discriminator((256,), (256,), rngs=nnx.Rngs(1))
    objects = with_optimizers((generator, discriminator))
    rows, key = 256, jax.random.key(0)
    step = gan.train_step.lower(*objects, jnp.zeros((rows, 256)), key).compile()
    g, d = 64 * 256 + 256 * 256, 256 * 256 + 256  # multiplications a row of a pass
    of_d = 2 * d + (2 * d + 2 * 256)  # both passes, and back, but not to the pictures
    of_g = g + 2 * d + (2 * g - 64 * 256)  # ahead, through D both ways, and back
    once, a_pass = (2 * rows * n for n in (of_d + of_g, g))
    assert once <= step.cost_analysis()["flops"] < once + a_pass / 2


# --- using it -------------------------------------------------------------------


def test_latents_come_from_g_s_prior():
    generator, _ = in_the_plane(jax.random.uniform)
    z = gan.sample_latent(generator, 4000, KEY)
    assert z.shape == (4000, 3) and 0 <= z.min() and z.max() <= 1
    np.testing.assert_allclose(z.mean(0), [0.5] * 3, atol=0.03)


@pytest.mark.parametrize("norm", [False, True])
def test_both_networks_by_hand(norm):
    """Dense, activation, LayerNorm where asked for; G's last function is as given."""
    rngs = nnx.Rngs(0)
    options = dict(hidden=(4,), shape=(2,), activation=jnp.sin, norm=norm, rngs=rngs)
    generator = gan.Generator(3, output_activation=nnx.sigmoid, **options)
    discriminator = gan.Discriminator(**options)

    def hidden(x, dense):
        x = jnp.sin(x @ dense.kernel[...])  # no bias at first
        centred = x - x.mean(1, keepdims=True)
        return centred / x.std(1, keepdims=True) if norm else x

    z = jax.random.normal(KEY, (6, 3))
    wanted = nnx.sigmoid(hidden(z, generator.hidden[0]) @ generator.out.kernel[...])
    np.testing.assert_allclose(generator(z), wanted, rtol=1e-3)
    inside = hidden(z[:, :2], discriminator.hidden[0])
    wanted = (inside @ discriminator.logit.kernel[...])[:, 0]
    np.testing.assert_allclose(discriminator(z[:, :2]), wanted, rtol=1e-3, atol=1e-5)
    assert len(generator.norms) == len(discriminator.norms) == norm


# --- what it refuses ------------------------------------------------------------


def bytes_of(x):
    return ((x + 1) * 127.5).astype(np.uint8)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda x: (x + 1) / 2, r"lie in \[0, 1\].*tanh"),
        (lambda x: (x + 1) * 127.5, r"lie in \[0, 255\]"),
        (lambda x: x * 1.5, r"lie in \[-1.5, 1.5\]"),
        (bytes_of, "uint8, not float"),
        (lambda x: np.where(x > 0.5, np.nan, x), "NaN or infinite"),
        (lambda x: np.where(x > 0.5, np.inf, x), "NaN or infinite"),
        (lambda x: x[:, 0, 0, 0], r"points \(B, D\)"),
        (lambda x: (x, np.zeros(len(x))), "no use for labels"),
    ],
    ids=["unit", "bytes", "wide", "uint8", "nan", "inf", "flat", "labels"],
)
def test_bad_pictures_are_refused(pictures, change, message):
    objects = with_optimizers(of_pictures())
    before, bad = numbers(objects), change(pictures)
    for use in (
        lambda: gan.check(bad),
        # white pictures may be asked about: a collapsed G draws such
        lambda: gan.check(bad) if "tanh" in message else gan.p_real(objects[1], bad),
        lambda: fit(gan.train_step, objects, bad, batch_size=20, steps=2, key=KEY),
        lambda: fit(
            functools.partial(gan.train_step, **SQUARED),
            *(objects, bad),
            **dict(batch_size=20, steps=2, key=KEY),
        ),
    ):
        with pytest.raises(ValueError, match=message):
            use()
    assert same(before, numbers(objects))


def test_good_data_pass(pictures, points):
    assert pictures.min() == -1
    for batch in (pictures, jnp.asarray(pictures), points, points * 10):
        gan.check(batch)


def test_an_empty_batch_is_refused(pictures):
    with pytest.raises(ValueError, match="B is 1 or more"):
        gan.check(pictures[:0])


def test_a_batch_greater_than_the_data_is_refused(pictures):
    objects = with_optimizers(of_pictures())
    with pytest.raises(
        ValueError, match="between 1 and 40, the rows of data; given 64"
    ):
        fit(gan.train_step, objects, pictures, batch_size=64, steps=2, key=KEY)


def test_a_step_by_hand_refuses_other_shapes_and_labels(pictures):
    objects = with_optimizers(of_pictures())
    before = numbers(objects)
    made = r"generator makes \(40, 28, 28, 1\) and the batch is \(40, "
    for bad in (pictures[:, :20], pictures[..., 0], pictures.reshape(40, 784)):
        with pytest.raises(ValueError, match=made):
            gan.train_step(*objects, bad, KEY)
    with pytest.raises(ValueError, match="without labels"):
        gan.train_step(*objects, (pictures, jnp.zeros(40)), KEY)
    assert same(before, numbers(objects))


def test_bad_latents_and_numbers_are_refused():
    generator, _ = of_pictures()
    for z in (np.zeros((4, 3)), np.zeros(5), np.zeros((0, 5)), np.zeros((1, 5, 1))):
        with pytest.raises(ValueError, match=r"latent vectors have shape \(N, 5\)"):
            gan.generate(generator, z)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="in the latent vectors"):
            gan.generate(generator, np.full((2, 5), bad))
    for n in (0, -1, 2.0, None):
        with pytest.raises(ValueError, match="whole number"):
            gan.sample(generator, n, KEY)
