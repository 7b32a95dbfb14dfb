"""Chapter 3's module: losses in closed form, both updates, and what it refuses."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax import export

from gencourse import data, gan
from gencourse.train import fit

KEY = jax.random.key(0)
SQUARED = dict(d_loss=gan.d_squared_error, g_loss=gan.g_squared_error)
MIN_MAX = dict(g_loss=gan.g_loss_min_max)
LOSSES = {"plain": {}, "squared error": SQUARED, "min-max": MIN_MAX}
losses_of_a_step = pytest.mark.parametrize("losses", LOSSES.values(), ids=LOSSES)


def same_seeds(key, shape):
    """What a generator draws where a test has to know its seeds."""
    return jax.random.normal(jax.random.key(7), shape)


def as_it_is(x):
    return x


class NormedGenerator(nnx.Module):
    """Its BatchNorm sees the seeds themselves."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.latent, self.draw = 3, same_seeds
        self.norm = nnx.BatchNorm(3, momentum=0.9, rngs=rngs)
        self.out = nnx.Linear(3, 2, rngs=rngs)

    def __call__(self, z):
        return self.out(self.norm(z))  # (B, 2)


class NormedDiscriminator(nnx.Module):
    """Its BatchNorm sees the points themselves; dropout follows."""

    def __init__(self, rate=0.0, *, rngs: nnx.Rngs):
        self.norm = nnx.BatchNorm(2, momentum=0.9, rngs=rngs)
        self.dense = nnx.Linear(2, 32, rngs=rngs)
        self.dropout = nnx.Dropout(rate)
        self.verdict = nnx.Linear(32, 1, rngs=rngs)

    def __call__(self, x, key=None):
        x = nnx.leaky_relu(self.dense(self.norm(x)))  # (B, 32)
        return self.verdict(self.dropout(x, rngs=key))[:, 0]  # (B,)


def normed(rate=0.0):
    rngs = nnx.Rngs(0)
    return NormedGenerator(rngs=rngs), NormedDiscriminator(rate, rngs=rngs)


def in_the_plane(draw=same_seeds, hidden=(16,), seed=0):
    rngs = nnx.Rngs(seed)
    options = dict(hidden=hidden, shape=(2,), norm=False, rngs=rngs)
    return gan.Generator(3, last=as_it_is, draw=draw, **options), gan.Discriminator(
        **options
    )


def of_pictures():
    rngs = nnx.Rngs(0)
    generator = gan.Generator(5, hidden=(16, 8), rngs=rngs)
    return generator, gan.Discriminator(hidden=(8, 16), norm=True, rngs=rngs)


STILL = optax.set_to_zero()


def with_optimizers(networks, g=None, d=None):
    """The four objects of a step; optax.sgd(0.1) where nothing is given."""
    rules = [optax.sgd(0.1) if rule is None else rule for rule in (g, d)]
    pairs = zip(networks, rules, strict=True)
    return *networks, *(nnx.Optimizer(n, rule, wrt=nnx.Param) for n, rule in pairs)


@pytest.fixture(scope="module")
def pictures():
    images, _ = data.load("fashion_mnist", "test")
    return data.scale(images[:40], "tanh")


@pytest.fixture(scope="module")
def points():
    """A cloud round (2, -1), deviation 0.5."""
    noise = jax.random.normal(jax.random.key(3), (64, 2))
    return 0.5 * noise + jnp.array([[2.0, -1.0]])


def numbers(model, kind=...):
    return jax.tree.map(jnp.copy, nnx.state(model, kind))


def same(a, b):
    return all(jax.tree.leaves(jax.tree.map(lambda x, y: bool((x == y).all()), a, b)))


def assert_close(a, b, **tolerance):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, **tolerance)


# --- the losses -----------------------------------------------------------------


def test_each_loss_is_what_it_says_of_probabilities():
    real, fake = np.linspace(-5, 4, 9), np.linspace(-3, 5, 9)
    p_real, p_fake = (1 / (1 + np.exp(-a)) for a in (real, fake))  # float64
    real, fake = jnp.float32(real), jnp.float32(fake)
    wanted = {
        gan.d_loss: (-np.log(p_real), -np.log(1 - p_fake)),
        gan.d_squared_error: ((p_real - 1) ** 2, p_fake**2),
    }
    for loss, terms in wanted.items():
        means = [term.mean() for term in terms]
        np.testing.assert_allclose(loss(real, fake), means, rtol=1e-5)
    wanted = {
        gan.g_loss: -np.log(p_fake),
        gan.g_loss_min_max: np.log(1 - p_fake),
        gan.g_squared_error: (p_fake - 1) ** 2,
    }
    for loss, term in wanted.items():
        np.testing.assert_allclose(loss(fake), term.mean(), rtol=1e-5)


def test_where_d_cannot_tell_it_pays_ln_2_or_a_quarter_each():
    none = jnp.zeros(6)
    ln2 = np.log(2)
    np.testing.assert_allclose(gan.d_loss(none, none), [ln2, ln2], rtol=1e-6)
    np.testing.assert_allclose(gan.g_loss(none), ln2, rtol=1e-6)
    np.testing.assert_allclose(gan.g_loss_min_max(none), -ln2, rtol=1e-6)
    np.testing.assert_allclose(gan.d_squared_error(none, none), [0.25, 0.25])
    np.testing.assert_allclose(gan.g_squared_error(none), 0.25)


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
        (gan.g_loss_min_max, (0, 0), (-100, -1)),
        (gan.g_squared_error, (1, 0), (0, 0)),
        (lambda a: gan.d_squared_error(a, BAD)[0], (1, 0), (0, 0)),
        (lambda a: gan.d_squared_error(GOOD, a)[1], (0, 0), (1, 0)),
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
        np.testing.assert_allclose(slope(gan.g_loss_min_max, logit), -p, rtol=1e-4)
        squared = -2 * p * (1 - p) ** 2
        np.testing.assert_allclose(slope(gan.g_squared_error, logit), squared, 1e-4)
    assert slope(gan.g_loss, -6) < -0.99
    assert -0.003 < slope(gan.g_loss_min_max, -6) < 0
    assert -0.005 < slope(gan.g_squared_error, -6) < 0


# --- the step -------------------------------------------------------------------


def by_hand(networks, momentum, real, z, d_loss=gan.d_loss, g_loss=gan.g_loss):
    """A step in jax.grad and optax alone: (metrics, both networks' states).

    `momentum`: what optax.sgd(0.1, momentum=0.9) remembers of either, or None.
    """
    (g_def, g), (d_def, d) = (nnx.split(n) for n in networks)
    rule = optax.sgd(0.1, momentum=0.9)
    g_memory, d_memory = momentum or (rule.init(g), rule.init(d))

    def belief(d, x):
        return nnx.merge(d_def, d)(x)

    fake = nnx.merge(g_def, g)(z)

    def of_d(d):
        return sum(d_loss(belief(d, real), belief(d, fake)))

    metrics = {
        "d_loss": of_d(d),
        "p_real": (1 / (1 + jnp.exp(-belief(d, real)))).mean(),
        "p_fake": (1 / (1 + jnp.exp(-belief(d, fake)))).mean(),
        "real_right": np.mean(belief(d, real) > 0),
        "fake_right": np.mean(belief(d, fake) < 0),
    }
    d_grads = jax.grad(of_d)(d)
    updates, d_memory = rule.update(d_grads, d_memory)
    d = optax.apply_updates(d, updates)

    def of_g(g):
        return g_loss(belief(d, nnx.merge(g_def, g)(z)))  # of the D that has moved

    g_grads = jax.grad(of_g)(g)
    metrics |= {"g_loss": of_g(g)} | {
        name: np.sqrt(sum((a**2).sum() for a in jax.tree.leaves(grads)))
        for name, grads in (("d_norm", d_grads), ("g_norm", g_grads))
    }
    updates, g_memory = rule.update(g_grads, g_memory)
    g = optax.apply_updates(g, updates)
    return metrics, (g, d), (g_memory, d_memory)


@losses_of_a_step
def test_a_step_is_d_s_by_hand_and_then_g_s(losses, points):
    networks, hand = in_the_plane(seed=4), in_the_plane(seed=4)
    rule = optax.sgd(0.1, momentum=0.9)
    objects = with_optimizers(networks, rule, rule)
    z, memory = same_seeds(KEY, (64, 3)), None
    for _ in range(3):
        metrics = gan.train_step(*objects, points, KEY, **losses)
        wanted, states, memory = by_hand(hand, memory, points, z, **losses)
        assert metrics.keys() == wanted.keys()
        for name, value in wanted.items():
            np.testing.assert_allclose(metrics[name], value, rtol=2e-4, err_msg=name)
        for network, other, state in zip(networks, hand, states, strict=True):
            nnx.update(other, state)
            assert_close(numbers(network), state, rtol=1e-4, atol=1e-6)


def test_the_test_above_would_see_the_order_and_the_shares(points):
    """In its first step the figures that are easily taken for others are not equal."""
    networks = in_the_plane(seed=4)
    z = same_seeds(KEY, (64, 3))
    generator, discriminator = networks
    before = gan.g_loss(discriminator(generator(z)))
    metrics, _, _ = by_hand(networks, None, points, z)
    assert abs(metrics["g_loss"] - before) > 0.01, "D has hardly moved"
    assert 0 < metrics["fake_right"] < 1
    assert abs(metrics["fake_right"] - 0.5) > 0.05
    assert abs(metrics["real_right"] - metrics["fake_right"]) > 0.05
    assert abs(metrics["d_norm"] - metrics["g_norm"]) > 0.05


def test_neither_step_moves_the_other_s_weights(points):
    for still in ("g", "d"):
        generator, discriminator, *optimizers = with_optimizers(
            normed(), **{still: STILL}
        )
        before = [numbers(n, nnx.Param) for n in (generator, discriminator)]
        objects = generator, discriminator, *optimizers
        gan.train_step(*objects, points, KEY)
        after = [numbers(n, nnx.Param) for n in (generator, discriminator)]
        kept = [same(a, b) for a, b in zip(before, after, strict=True)]
        assert kept == [still == "g", still == "d"]


def test_a_batchnorm_learns_of_its_own_network_s_step_alone(points):
    """D's of real ones and then of fakes, G's of its seeds, once; never of the other's.

    Seen again by G's step, D's would have learnt of the fakes twice.
    """
    networks = normed()
    z = same_seeds(KEY, (64, 3))
    fake = nnx.clone(networks[0])(z)
    mean, var = np.zeros(2), np.ones(2)
    for x in (points, fake):
        mean, var = 0.9 * mean + 0.1 * x.mean(0), 0.9 * var + 0.1 * x.var(0)
    gan.train_step(*with_optimizers(networks), points, KEY)
    of_g, of_d = (n.norm for n in networks)
    np.testing.assert_allclose(of_d.mean[...], mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(of_d.var[...], var, rtol=1e-4)
    np.testing.assert_allclose(of_g.mean[...], 0.1 * z.mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(of_g.var[...], 0.9 + 0.1 * z.var(0), rtol=1e-4)


class Chance(nnx.Module):
    """A discriminator that says one random number of all that it sees in a pass."""

    def __init__(self):
        self.a = nnx.Param(jnp.zeros(()))

    def __call__(self, x, key=None):
        return self.a[...] * x.sum(1) + jax.random.normal(key)  # (B,)


def test_each_pass_of_d_has_chance_of_its_own(points):
    objects = with_optimizers((in_the_plane()[0], Chance()), d=STILL)
    metrics = gan.train_step(*objects, points, KEY)
    beliefs = metrics["p_real"], metrics["p_fake"], jnp.exp(-metrics["g_loss"])
    assert len(np.unique(np.round(beliefs, 4))) == 3, "two passes share a key"
    other = gan.train_step(*objects, points, jax.random.key(1))
    assert abs(other["p_real"] - metrics["p_real"]) > 1e-4, "the key is not used"


def test_dropout_masks_real_ones_and_fakes_differently():
    """On pictures that are alike, D's beliefs differ by the mask alone."""
    for rate, differ in ((0.0, False), (0.5, True)):
        generator, discriminator = normed(rate)
        real = nnx.clone(generator)(same_seeds(KEY, (16, 3)))
        objects = with_optimizers((generator, discriminator))
        metrics = gan.train_step(*objects, real, KEY)
        assert bool(metrics["p_real"] != metrics["p_fake"]) == differ


def test_d_s_own_dropout_works_where_a_key_is_given_and_nowhere_else(points):
    def new(dropout):
        options = dict(hidden=(64, 64), shape=(2,), rngs=nnx.Rngs(0))
        return gan.Discriminator(dropout=dropout, **options)

    half, none = new(0.5), new(0.0)
    np.testing.assert_array_equal(half(points), none(points))
    np.testing.assert_array_equal(none(points, KEY), none(points))
    one, other = half(points, KEY), half(points, jax.random.key(1))
    assert (one != other).all() and (one != half(points)).all()
    np.testing.assert_array_equal(gan.belief(half, points), gan.belief(none, points))

    # Ones all the way, but where something is left out: two layers of 64, so the
    # logit's mean stays and its variance is (1/64 + 1) (1/64 + 1) - 1 of its square.
    for dense in (*half.hidden, half.verdict):
        dense.kernel[...] = jnp.full_like(dense.kernel[...], 1 / dense.in_features)
    logits = half(jnp.ones((4000, 2)), KEY)
    np.testing.assert_allclose(logits.mean(), 1, atol=0.02)
    np.testing.assert_allclose(logits.var(), (1 + 1 / 64) ** 2 - 1, rtol=0.15)


def test_an_average_is_a_running_mean_of_the_weights(points):
    networks = normed()
    mean, old = nnx.clone(networks[0]), numbers(networks[0], nnx.Param)
    gan.train_step(*with_optimizers(networks), points, KEY)
    new = numbers(networks[0], nnx.Param)
    for _ in range(2):
        gan.average(mean, networks[0], decay=0.9)
    wanted = jax.tree.map(lambda a, b: 0.81 * a + 0.19 * b, old, new)
    assert_close(nnx.state(mean, nnx.Param), wanted, rtol=1e-4, atol=1e-7)
    assert same(new, numbers(networks[0], nnx.Param)), "it has moved the network"


def test_every_parameter_of_both_moves(pictures):
    networks = of_pictures()
    before = [numbers(n) for n in networks]
    objects = with_optimizers(networks)
    for i in range(2):  # G's first gradients may be nothing where D's are
        gan.train_step(*objects, pictures, jax.random.key(i))
    for old, network in zip(before, networks, strict=True):
        moved = jax.tree.map(lambda a, b: bool((a != b).any()), old, nnx.state(network))
        still = [p for p, m in jax.tree_util.tree_leaves_with_path(moved) if not m]
        assert not still, f"no gradient reaches {still}"


def test_d_alone_learns_to_tell_and_g_alone_to_deceive(points):
    run = dict(batch_size=64, steps=300, key=KEY, progress=False)
    networks = in_the_plane(jax.random.normal)
    adam = optax.adam(1e-2)
    history = fit(gan.train_step, with_optimizers(networks, STILL, adam), points, **run)
    assert history["real_right"][-1] > 0.95 and history["fake_right"][-1] > 0.95
    assert history["p_real"][-1] > 0.9 > 0.1 > history["p_fake"][-1]
    assert history["d_loss"][-1] < 0.2 < history["d_loss"][0]
    objects = with_optimizers(networks, optax.adam(1e-2), STILL)
    history = fit(gan.train_step, objects, points, **{**run, "steps": 400})
    assert history["g_loss"][-1] < history["g_loss"][0]
    assert history["p_fake"][-1] > 0.8 > 0.1 > history["p_fake"][0]


def test_it_learns_a_cloud_in_the_plane():
    """With the sign of either loss turned the fakes would run away from it."""
    noise = np.random.default_rng(0).normal(size=(4000, 2)).astype(np.float32)
    cloud = 0.5 * noise + np.float32([[2, -1]])
    networks = in_the_plane(jax.random.normal, hidden=(32,))
    rules = optax.adam(1e-3, b1=0.5), optax.adam(5e-3, b1=0.5)  # D ahead: it settles
    options = dict(batch_size=128, steps=1500, key=KEY, progress=False)
    history = fit(gan.train_step, with_optimizers(networks, *rules), cloud, **options)
    fakes = gan.sample(networks[0], 2000, jax.random.key(1))
    np.testing.assert_allclose(fakes.mean(0), [2, -1], atol=0.25)
    assert (0.25 < fakes.std(0)).all() and (fakes.std(0) < 0.75).all()
    assert 0.4 < history["p_real"][-200:].mean() < 0.6


@losses_of_a_step
def test_fit_and_the_step_called_by_hand_give_the_same_numbers(losses, points):
    """Plain gradient descent: Adam makes a whole step of a tiny gradient's rounding."""
    step = functools.partial(gan.train_step, **losses)
    hand, fitted = with_optimizers(normed()), with_optimizers(normed())
    rows = [step(*hand, points, KEY) for _ in range(3)]
    options = dict(batch_size=64, steps=3, key=KEY, progress=False)
    history = fit(step, fitted, points, **options)
    for name, values in history.items():
        wanted = [row[name] for row in rows]
        np.testing.assert_allclose(values, wanted, rtol=1e-4, err_msg=name)
    assert_close(nnx.state(hand), nnx.state(fitted), rtol=1e-3, atol=1e-5)


def test_other_batches_and_keys_compile_nothing_anew(points):
    traces = []

    def draw(key, shape):
        traces.append(shape)
        return jax.random.normal(key, shape)

    objects = with_optimizers(in_the_plane(draw))
    for i in range(3):
        gan.train_step(*objects, points + i, jax.random.key(i))
    assert len(traces) == 1
    step = functools.partial(gan.train_step, **SQUARED)
    for i in range(3):
        step(*objects, points, jax.random.key(i))
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


@pytest.mark.parametrize("kind", ["dense", "normed"])
def test_the_step_lowers_for_cpu_cuda_and_tpu(kind, pictures, points):
    networks, x = {"dense": (of_pictures, pictures), "normed": (normed, points)}[kind]
    graphdef, state = nnx.split(with_optimizers(networks()))

    def step(state, x, key):
        objects = nnx.merge(graphdef, state)
        metrics = gan.train_step.__wrapped__(*objects, x, key)
        return nnx.state(objects), metrics

    platforms = ("cpu", "cuda", "tpu")
    exported = export.export(jax.jit(step), platforms=platforms)
    assert exported(state, x, KEY).platforms == platforms


# --- using it -------------------------------------------------------------------


def test_shapes_and_ranges_all_the_way(pictures):
    generator, discriminator = of_pictures()
    fakes = gan.sample(generator, 5, KEY)
    assert fakes.shape == (5, 28, 28, 1) and fakes.dtype == jnp.float32
    assert -1 <= fakes.min() < 0 < fakes.max() <= 1
    assert same(fakes, gan.sample(generator, 5, KEY))
    assert not same(fakes, gan.sample(generator, 5, jax.random.key(1)))
    assert same(fakes, gan.generate(generator, gan.noise(generator, 5, KEY)))
    assert discriminator(pictures).shape == (40,)
    p = gan.belief(discriminator, pictures)
    assert p.shape == (40,) and 0 < p.min() and p.max() < 1
    np.testing.assert_allclose(p, nnx.sigmoid(discriminator(pictures)), rtol=1e-5)


def test_seeds_come_from_where_g_draws_them():
    generator, _ = in_the_plane(jax.random.uniform)
    z = gan.noise(generator, 4000, KEY)
    assert z.shape == (4000, 3) and 0 <= z.min() and z.max() <= 1
    np.testing.assert_allclose(z.mean(0), [0.5] * 3, atol=0.03)


@pytest.mark.parametrize("norm", [False, True])
def test_both_networks_by_hand(norm):
    """Dense, activation, LayerNorm where asked for; G's last function is as given."""
    rngs = nnx.Rngs(0)
    options = dict(hidden=(4,), shape=(2,), activation=jnp.sin, norm=norm, rngs=rngs)
    generator = gan.Generator(3, last=nnx.sigmoid, **options)
    discriminator = gan.Discriminator(**options)

    def hidden(x, dense):
        x = jnp.sin(x @ dense.kernel[...])  # no bias at first
        centred = x - x.mean(1, keepdims=True)
        return centred / x.std(1, keepdims=True) if norm else x

    z = jax.random.normal(KEY, (6, 3))
    wanted = nnx.sigmoid(hidden(z, generator.hidden[0]) @ generator.out.kernel[...])
    np.testing.assert_allclose(generator(z), wanted, rtol=1e-3)
    inside = hidden(z[:, :2], discriminator.hidden[0])
    wanted = (inside @ discriminator.verdict.kernel[...])[:, 0]
    np.testing.assert_allclose(discriminator(z[:, :2]), wanted, rtol=1e-3, atol=1e-5)
    assert len(generator.norms) == len(discriminator.norms) == norm


def test_many_rows_go_in_chunks_and_come_back_in_order(points):
    generator, discriminator = in_the_plane()
    z = jax.random.normal(KEY, (2300, 3))
    np.testing.assert_allclose(gan.generate(generator, z), generator(z), rtol=1e-5)
    x = np.tile(points, (20, 1)) + np.linspace(0, 1, 1280, dtype=np.float32)[:, None]
    p = gan.belief(discriminator, x)
    np.testing.assert_allclose(p, nnx.sigmoid(discriminator(x)), rtol=1e-5)


def test_looking_at_a_network_does_not_change_it(points):
    generator, discriminator = normed(rate=0.5)
    objects = with_optimizers((generator, discriminator))
    for i in range(5):
        gan.train_step(*objects, points, jax.random.key(i))
    before = numbers(generator), numbers(discriminator)
    z = same_seeds(KEY, (50, 3))
    together, alone = (gan.generate(generator, rows) for rows in (z, z[:1]))
    np.testing.assert_allclose(alone, together[:1], rtol=1e-5)
    gan.sample(generator, 7, KEY)
    together, alone = (gan.belief(discriminator, x) for x in (points, points[:1]))
    np.testing.assert_allclose(alone, together[:1], rtol=1e-5)
    assert same(together, gan.belief(discriminator, points)), "dropout is still on"
    assert same(before, (numbers(generator), numbers(discriminator)))
    assert generator.norm.use_running_average is False, "training would stand still"


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
        lambda: gan.check(bad) if "tanh" in message else gan.belief(objects[1], bad),
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


def test_bad_seeds_and_numbers_are_refused():
    generator, _ = of_pictures()
    for z in (np.zeros((4, 3)), np.zeros(5), np.zeros((0, 5)), np.zeros((1, 5, 1))):
        with pytest.raises(ValueError, match=r"seeds have shape \(N, 5\)"):
            gan.generate(generator, z)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="among the seeds"):
            gan.generate(generator, np.full((2, 5), bad))
    for n in (0, -1, 2.0, None):
        with pytest.raises(ValueError, match="whole number"):
            gan.sample(generator, n, KEY)
