"""Chapter 2's module: both terms in closed form, the step, and what it refuses."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from helpers import ADAM, assert_lowers, numbers, quickly, same, set_rate, unmoved
from scipy import integrate, stats

from gencourse import data, vae, vae_faces
from gencourse.autoencoder import reconstruction_loss
from gencourse.metrics.likelihood import importance_weighted_bound
from gencourse.train import fit


def new(latent=2, rate=1e-3, **networks):
    model, optimizer = nnx.clone(made(latent, *networks.items()))
    set_rate(optimizer, rate)
    return model, optimizer


@functools.cache
def made(latent, *networks):
    model = quickly(lambda: vae.VAE(latent, rngs=nnx.Rngs(0), **dict(networks)))
    return model, nnx.Optimizer(model, ADAM, wrt=nnx.Param)


SMALL_FACES = {
    "encoder": functools.partial(vae_faces.Encoder, width=4),
    "decoder": functools.partial(vae_faces.Decoder, width=4),
    "likelihood": functools.partial(vae_faces.squared_error, variance=0.1),
}


@pytest.fixture(scope="module")
def pictures():
    images, _ = data.load("fashion_mnist", "test")
    return data.scale(data.pad(images[:40], 32), "unit")


@pytest.fixture(scope="module")
def portraits():
    return jax.random.uniform(jax.random.key(0), (6, 64, 64, 3))


# --- the two terms --------------------------------------------------------------


@pytest.mark.parametrize("mean, log_var", [(0, 0), (1.5, 0), (0, -3), (-0.7, 1.2)])
def test_the_kl_is_the_integral_that_it_stands_for(mean, log_var):
    q, p = stats.norm(mean, np.exp(log_var / 2)), stats.norm()

    def inside(z):
        return q.pdf(z) * (q.logpdf(z) - p.logpdf(z))

    wanted, _ = integrate.quad(inside, mean - 20, mean + 20, points=[mean])
    given = vae.kl_per_latent(jnp.full((1, 1), mean), jnp.full((1, 1), log_var))
    np.testing.assert_allclose(given, [[wanted]], rtol=1e-5, atol=1e-6)


def test_the_kl_is_summed_over_latents_and_keeps_images_apart():
    mean = jnp.array([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
    kl = vae.kl_to_standard_normal(mean, jnp.zeros((2, 3)))
    np.testing.assert_allclose(kl, [0, (1 + 4 + 9) / 2])


def test_codes_have_the_asked_mean_and_deviation_and_chance_of_their_own():
    mean, log_var = jnp.array([[3.0, -1.0]]), jnp.log(jnp.array([[0.25, 4.0]]))
    many = [jnp.tile(a, (20_000, 1)) for a in (mean, log_var)]
    z = vae.reparameterise(*many, jax.random.key(0))
    np.testing.assert_allclose(z.mean(0), [3, -1], atol=0.05)
    np.testing.assert_allclose(z.std(0), [0.5, 2], rtol=0.03)
    assert abs(np.corrcoef(z.T)[0, 1]) < 0.03
    assert len(np.unique(z[:, 0])) > 15_000, "one noise for all pictures"
    assert not same(z, vae.reparameterise(*many, jax.random.key(1)))


def test_the_gradient_passes_through_the_chance():
    """Of E[z^2] = mean^2 + exp(log_var): 2 mean, and exp(log_var)."""

    def square(mean, log_var):
        many = [jnp.full((50_000, 1), a) for a in (mean, log_var)]
        return (vae.reparameterise(*many, jax.random.key(0)) ** 2).mean()

    by_mean, by_log_var = jax.grad(square, argnums=(0, 1))(1.5, -0.4)
    np.testing.assert_allclose(by_mean, 3.0, rtol=0.02)
    np.testing.assert_allclose(by_log_var, np.exp(-0.4), rtol=0.05)


def test_the_elbo_is_a_bound_and_its_gap_is_the_posterior_s_error():
    """One latent, one pixel that does not depend on it: log p(x) is known."""
    model, _ = new(1)
    key = jax.random.key(0)
    model.encoder = lambda x: jnp.tile(jnp.array([[0.6, -0.5]]), (len(x), 1))
    model.decoder = lambda z: jnp.full((len(z), 1, 1, 1), 0.8)
    reconstruction, kl = vae.negative_elbo(model, jnp.ones((9, 1, 1, 1)), key)
    exact = np.log1p(np.exp(-0.8))  # -log sigmoid(0.8)
    np.testing.assert_allclose(reconstruction, np.full(9, exact), rtol=1e-6)
    gap = 0.5 * (0.36 + np.exp(-0.5) - 1 + 0.5)
    np.testing.assert_allclose(reconstruction + kl - exact, np.full(9, gap), rtol=1e-5)


@pytest.mark.parametrize("logit", [-30.0, -2.0, -0.11, -0.09, 0.0, 1e-4, 0.5, 30.0])
def test_the_continuous_bernoulli_is_a_density(logit):
    def density(x):
        at = jnp.full((1, 1, 1, 1), logit), jnp.full((1, 1, 1, 1), x)
        return np.exp(-float(vae.continuous_bernoulli_loss(*at)[0]))

    total, _ = integrate.quad(density, 0, 1, limit=100)
    np.testing.assert_allclose(total, 1, rtol=1e-4)
    slope = jax.grad(lambda a: vae.continuous_bernoulli_loss(a, 0.3 + 0 * a).sum())
    assert jnp.isfinite(slope(jnp.full((1, 1, 1, 1), logit))).all()


def test_binary_cross_entropy_of_greys_is_none():
    def density(x):
        at = jnp.zeros((1, 1, 1, 1)), jnp.full((1, 1, 1, 1), x)
        return np.exp(-float(reconstruction_loss(*at)[0]))

    assert abs(integrate.quad(density, 0, 1)[0] - 0.5) < 1e-6


def test_binarised_pixels_keep_their_mean():
    grey = jnp.full((4000, 2, 2, 1), 0.3)
    pixels = vae.binarise(grey, jax.random.key(0))
    assert pixels.dtype == grey.dtype and set(np.unique(pixels)) == {0.0, 1.0}
    np.testing.assert_allclose(pixels.mean(0), np.full((2, 2, 1), 0.3), atol=0.03)


# --- the step -------------------------------------------------------------------


def test_beta_weighs_the_kl_alone_and_compiles_nothing_anew(pictures):
    key, traces = jax.random.key(0), []

    def counted(logits, x):
        traces.append(1)
        return reconstruction_loss(logits, x)

    objects = new(likelihood=counted)
    for beta in (0.0, 0.5, 4.0):
        metrics = vae.train_step(*objects, pictures, key, jnp.float32(beta))
        parts = metrics["reconstruction"] + beta * metrics["kl"]
        np.testing.assert_allclose(metrics["loss"], parts, rtol=1e-6)
        assert metrics["kl"] > 0
    assert len(traces) == 1
    once = vae.train_step(*new(), pictures, key)  # beta is 1 if not given
    np.testing.assert_allclose(once["loss"], once["reconstruction"] + once["kl"])


def test_beta_can_be_annealed_in_fit(pictures):
    options = dict(batch_size=20, steps=4, key=jax.random.key(0), progress=False)
    history = fit(
        vae.train_step,
        new(),
        pictures,
        beta=lambda step: jnp.minimum(1.0, step / 2),
        **options,
    )
    beta = (history["loss"] - history["reconstruction"]) / history["kl"]
    np.testing.assert_allclose(beta, [0, 0.5, 1, 1], atol=0.05)


def test_a_step_goes_downhill_and_moves_every_parameter(pictures):
    model, optimizer = new()
    before, key = numbers(model), jax.random.key(0)
    first = vae.train_step(model, optimizer, pictures, key)
    still = unmoved(before, nnx.state(model))
    assert not still, f"no gradient reaches {still}"
    assert vae.train_step(model, optimizer, pictures, key)["loss"] < first["loss"]


def train(few, steps, beta):
    model, optimizer = new(rate=3e-3)
    options = dict(batch_size=4, steps=steps, key=jax.random.key(0), progress=False)
    fit(vae.train_step, (model, optimizer), few, beta=beta, **options)
    return model


def test_a_great_beta_pulls_the_clouds_onto_the_prior(pictures):
    """With the KL's sign turned it would drive them away for ever."""
    mean, log_var = vae.encode(train(pictures[:4], 60, beta=1000.0), pictures[:4])
    assert vae.kl_to_standard_normal(mean, log_var).mean() < 0.05


def test_without_the_kl_it_overfits_a_few_pictures(pictures):
    few = pictures[:4]
    model = train(few, 300, beta=1e-4)
    inside = np.clip(few.astype(np.float64), 1e-9, 1 - 1e-9)
    floor = -(inside * np.log(inside) + (1 - inside) * np.log(1 - inside)).sum() / 4
    nats = vae.evaluate(model, few, jax.random.key(1))["reconstruction"]
    assert nats < floor + 0.02 * 1024


@pytest.mark.parametrize("kind", ["clothes", "faces"])
def test_the_step_lowers_for_cpu_cuda_and_tpu(kind, pictures, portraits):
    faced = kind == "faces"
    x, networks = (portraits, SMALL_FACES) if faced else (pictures, {})
    step = vae.train_step.__wrapped__
    assert_lowers(step, new(**networks), x, jax.random.key(0), 1.0)


# --- using it -------------------------------------------------------------------


def test_shapes_all_the_way(pictures):
    model, _ = new(3)
    mean, log_var = vae.encode(model, pictures)
    assert mean.shape == log_var.shape == (40, 3)
    assert vae.reconstruct(model, pictures).shape == pictures.shape
    new_ones = vae.sample(model, 5, jax.random.key(0))
    assert new_ones.shape == (5, 32, 32, 1)
    assert 0 <= new_ones.min() and new_ones.max() <= 1
    assert same(new_ones, vae.sample(model, 5, jax.random.key(0)))


def test_evaluate_is_the_mean_over_all_pictures(pictures):
    model, _ = new()
    many = np.tile(pictures, (26, 1, 1, 1))  # 1,000 rows, and 40 more
    terms = vae.evaluate(model, many, jax.random.key(0))
    mean, log_var = vae.encode(model, pictures)
    kl = float(vae.kl_to_standard_normal(mean, log_var).mean())
    np.testing.assert_allclose(terms["kl"], kl, rtol=1e-4)
    assert terms["nats"] == terms["reconstruction"] + terms["kl"]
    decode = nnx.jit(lambda decoder, z: decoder(z))
    bce = reconstruction_loss(decode(model.decoder, mean), pictures).mean()
    np.testing.assert_allclose(terms["reconstruction"], bce, rtol=0.02)


def test_log_weight_is_prior_and_likelihood_over_posterior():
    """A decoder that gives z itself as the logit: each density is known."""
    model, _ = new(1)
    model.encoder = lambda x: jnp.tile(jnp.array([[0.6, -0.5]]), (len(x), 1))
    model.decoder = lambda z: z.reshape(-1, 1, 1, 1)
    x, key = jnp.ones((7, 1, 1, 1)), jax.random.key(0)
    z = np.asarray(model(x, key)[1], np.float64)[:, 0]
    assert np.ptp(z) > 0.5
    log_joint = stats.norm().logpdf(z) - np.log1p(np.exp(-z))
    log_posterior = stats.norm(0.6, np.exp(-0.25)).logpdf(z)
    given = vae.log_importance_weight(model, x, key)
    np.testing.assert_allclose(given, log_joint - log_posterior, atol=1e-5)


def test_batchnorm_learns_in_training_and_keeps_still_elsewhere(portraits):
    model, optimizer = new(2, **SMALL_FACES)
    before = numbers(model)
    key = jax.random.key(0)
    vae.encode(model, portraits), vae.sample(model, len(portraits), key)
    vae.reconstruct(model, portraits), vae.evaluate(model, portraits, key)
    importance_weighted_bound(
        vae.log_importance_weight, model, portraits, key, samples=2
    )
    assert same(before, numbers(model)), "looking at it has changed the model"
    together, alone = (vae.encode(model, a)[0] for a in (portraits, portraits[:1]))
    np.testing.assert_allclose(alone, together[:1], atol=1e-4)
    vae.train_step(model, optimizer, portraits, key)
    old, now = (m["encoder"]["norm1"]["mean"] for m in (before, nnx.state(model)))
    assert not same(old, now), "training has not moved the running statistics"


def test_squared_error_is_a_gaussian_s_log_density():
    logits = jax.random.normal(jax.random.key(0), (2, 64, 64, 3))
    x = jax.random.uniform(jax.random.key(1), logits.shape)
    picture = np.asarray(nnx.sigmoid(logits))
    wanted = -stats.norm(picture, 0.3).logpdf(x).sum((1, 2, 3))
    constant = 0.5 * np.log(2 * np.pi * 0.09) * vae_faces.BOOK_VARIANCE * 4000
    given = vae_faces.squared_error(logits, x, 0.09) + constant
    np.testing.assert_allclose(given, wanted, rtol=1e-4)
    weighted = 2000 * ((picture - x) ** 2).mean((1, 2, 3))  # the book's way
    given = vae_faces.squared_error(logits, x, vae_faces.BOOK_VARIANCE)
    np.testing.assert_allclose(given, weighted, rtol=1e-5)


def test_a_map_of_variances_weighs_each_pixel_by_its_own():
    logits = jax.random.normal(jax.random.key(0), (2, 64, 64, 3))
    x = jax.random.uniform(jax.random.key(1), logits.shape)
    half = np.full((64, 64, 1), 0.1, np.float32)
    half[32:] = 0.5
    apart = [
        vae_faces.squared_error(logits[:, rows], x[:, rows], variance)
        for rows, variance in ((slice(32), 0.1), (slice(32, 64), 0.5))
    ]
    given = vae_faces.squared_error(logits, x, half)
    np.testing.assert_allclose(given, sum(apart), rtol=1e-5)
    inside = jax.jit(functools.partial(vae_faces.squared_error, variance=half))
    np.testing.assert_allclose(inside(logits, x), given, rtol=1e-5)
    for wrong in (half[..., 0], half[:32], np.ones(3)):
        with pytest.raises(ValueError, match=r"a number or a map \(64, 64, 1\)"):
            vae_faces.squared_error(logits, x, wrong)


# --- what it refuses ------------------------------------------------------------


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda x: x * 2 - 1, r"needs \[0, 1\]"),
        (lambda x: x * 255, r"needs \[0, 1\]"),
        (lambda x: (x * 255).astype(np.uint8), "uint8, not float"),
        (lambda x: np.where(x > 0.5, np.nan, x), r"needs \[0, 1\]"),
        (lambda x: x[..., 0], r"have shape \(B, H, W, C\)"),
        (lambda x: (x, np.zeros(len(x))), "no use for labels"),
    ],
    ids=["tanh", "bytes", "uint8", "nan", "no channel", "labels"],
)
def test_bad_pictures_are_refused(pictures, change, message):
    model, optimizer = new()
    before, key = numbers(model), jax.random.key(0)
    bad = change(pictures)
    for use in (
        lambda: vae.encode(model, bad),
        lambda: vae.binarise(bad, key),
        lambda: importance_weighted_bound(vae.log_importance_weight, model, bad, key),
        lambda: vae.evaluate(model, bad, key),
        lambda: fit(
            vae.train_step, (model, optimizer), bad, batch_size=20, steps=2, key=key
        ),
    ):
        with pytest.raises(ValueError, match=message):
            use()
    assert same(before, numbers(model))


def test_pictures_of_another_side_are_refused(pictures):
    with pytest.raises(ValueError, match=r"logits are \(40, 32, 32, 1\) and pictures"):
        vae.train_step(*new(), jnp.asarray(pictures[:, 2:30, 2:30]), jax.random.key(0))


def test_28_by_28_are_refused_where_they_would_slip_through(pictures):
    small = pictures[:, 2:30, 2:30]  # 28, 14, 7, 4: the encoder would take them
    for use in (vae.encode, vae.reconstruct):
        with pytest.raises(ValueError, match=r"makes pictures \(32, 32, 1\).*Pad"):
            use(new()[0], small)


def test_a_variance_of_nothing_is_refused(portraits):
    for variance in (0, -1.0, np.nan):
        with pytest.raises(ValueError, match="greater than 0"):
            vae_faces.squared_error(portraits, portraits, variance)


def test_latents_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match=r"one shape, \(B, latent\)"):
        vae.reparameterise(jnp.zeros((5, 3)), jnp.zeros((5, 2)), jax.random.key(0))
    with pytest.raises(ValueError, match=r"one shape, \(B, latent\)"):
        vae.kl_to_standard_normal(jnp.zeros((5, 3)), jnp.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"codes have shape \(N, 2\)"):
        vae.decode(new()[0], np.zeros((4, 3)))
    for latent in (0, 2.0, None):
        with pytest.raises(ValueError, match="whole number"):
            new(latent)
    with pytest.raises(ValueError, match="whole number"):
        vae.sample(new()[0], 0, jax.random.key(0))
