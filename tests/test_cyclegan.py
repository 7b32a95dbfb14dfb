"""Two domains, four networks, the buffer, and the game without pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from helpers import ADAM, KEY, quickly

from gencourse import cyclegan, data, inference
from gencourse.cyclegan import Buffer, Discriminator, Domains, Generator
from gencourse.train import ema, fit

SHAPE = (16, 16, 3)


def networks(**options):
    """Generators and discriminators, small."""

    def make():
        rngs = nnx.Rngs(0)
        g = Domains(*(Generator(SHAPE, 4, rngs=rngs, **options) for _ in "ab"))
        d = Domains(*(Discriminator(SHAPE, 4, halvings=1, rngs=rngs) for _ in "ab"))
        return g, d

    return quickly(make)


def objects(rule=ADAM, size=5):
    g, d = networks()
    optimizers = (nnx.Optimizer(o, rule, wrt=nnx.Param) for o in (g, d))
    return g, d, *optimizers, Domains(Buffer(SHAPE, size), Buffer(SHAPE, size))


@pytest.fixture(scope="module")
def domains():
    """(a, b): digits in red and others in blue, in [-1, 1]; more of a than of b."""
    images = data.load("mnist")[0][:40, 6:22, 6:22]
    x = data.scale(images, "tanh")
    red, blue = np.float32([1, 0.2, -0.2]), np.float32([-0.2, 0.2, 1])
    return (x[:24] * red).astype(np.float32), (x[24:] * blue).astype(np.float32)


@nnx.jit
def call(network, *given):
    return network(*given)


@nnx.jit
def paint_of(g, x):
    return jnp.tanh(g.out(g.last_map(x)))


def all_weights(network):
    return [np.asarray(w) for w in jax.tree.leaves(nnx.state(network, nnx.Param))]


def moved(network, before):
    pairs = zip(all_weights(network), before, strict=True)
    return any(not np.array_equal(a, b) for a, b in pairs)


# --- the networks ---------------------------------------------------------------


def test_a_generator_paints_over_its_input(domains):
    """Without cover x comes out, with all of it the paint; in between, a mean."""
    a, _ = domains
    g = networks()[0].b
    assert networks(keeps=False)[0].b.cover is None
    paint = paint_of(g, a)
    for bias, wanted in ((-50.0, a), (50.0, paint), (0.0, (a + paint) / 2)):
        g.cover.kernel[...] = jnp.zeros_like(g.cover.kernel[...])
        g.cover.bias[...] = jnp.full_like(g.cover.bias[...], bias)
        np.testing.assert_allclose(call(g, a), wanted, atol=1e-5)


def test_what_is_painted_stays_in_range(domains):
    for keeps in (True, False):
        x = call(networks(keeps=keeps)[0].a, domains[1])
        assert x.shape == domains[1].shape and np.abs(x).max() <= 1


def test_a_discriminator_judges_pictures_alone(domains):
    a, b = domains
    d = networks()[1].a
    assert d.receptive_field == 16
    assert call(d, a).shape == (len(a), 8, 8)
    assert np.abs(call(d, a[:8]) - call(d, b[:8])).max() > 1e-3
    with pytest.raises(ValueError, match=r"takes pictures \(B, 16, 16, 3\)"):
        d(a[:, :8, :8])


# --- the buffer -----------------------------------------------------------------


@nnx.jit
def exchange(buffer, fakes, key):
    return buffer.exchange(fakes, key)


def test_until_it_is_full_a_buffer_gives_what_it_takes():
    buffer = Buffer((1, 1, 1), 6)
    fakes = jnp.arange(1.0, 6.0).reshape(5, 1, 1, 1)
    np.testing.assert_array_equal(exchange(buffer, fakes, KEY), fakes)
    np.testing.assert_array_equal(buffer.pictures[:, 0, 0, 0], [1, 2, 3, 4, 5, 0])
    assert buffer.count[...] == 5


def test_a_full_buffer_exchanges_every_second_one():
    """Numbers go in, one after the other: each comes out once or is still there, half
    of them at once, and the others after a while that is geometric."""
    size, n = 20, 4000
    buffer = Buffer((1, 1, 1), size)
    fakes = jnp.arange(1.0, n + 1).reshape(n, 1, 1, 1)
    given = np.asarray(exchange(buffer, fakes, KEY))[:, 0, 0, 0]
    late = np.arange(1, n + 1) - given  # how many steps ago it was made
    assert (late[:size] == 0).all() and (late >= 0).all()
    assert abs((late[size:] == 0).mean() - 0.5) < 0.03
    stayed = late[size:][late[size:] > 0]
    assert abs(stayed.mean() / (2 * size) - 1) < 0.1  # 1 in 2 * size leaves at a time
    assert abs(stayed.std() / (2 * size) - 1) < 0.15
    inside = np.asarray(buffer.pictures[:, 0, 0, 0])
    # The first are given twice: when they come, and when they leave.
    leaving = [*given[size:], *inside]
    assert sorted(leaving) == list(range(1, n + 1))


def test_chance_in_a_buffer_comes_from_its_key():
    given = []
    for seed in (0, 0, 1):
        buffer = Buffer((1, 1, 1), 4)
        fakes = jnp.arange(1.0, 41.0).reshape(40, 1, 1, 1)
        given.append(np.asarray(exchange(buffer, fakes, jax.random.key(seed))))
    np.testing.assert_array_equal(given[0], given[1])
    assert not np.array_equal(given[0], given[2])


def test_a_buffer_of_none_gives_what_it_takes():
    fakes = jnp.ones((3, 2, 2, 1))
    assert Buffer((2, 2, 1), 0).exchange(fakes, KEY) is fakes
    with pytest.raises(ValueError, match="size"):
        Buffer(size=-1)


# --- the game -------------------------------------------------------------------


def terms(g, d, a, b):
    """The six terms, each written out: (games, cycles, identities), (Ds' losses)."""
    fake_a, fake_b = g.a(b), g.b(a)

    def off(x, y):
        return jnp.mean(jnp.abs(x - y))

    games = [jnp.mean((d.a(fake_a) - 1) ** 2), jnp.mean((d.b(fake_b) - 1) ** 2)]
    cycles = [off(g.a(fake_b), a), off(g.b(fake_a), b)]
    identities = [off(g.a(a), a), off(g.b(b), b)]
    ds = [
        (jnp.mean((judge(real) - 1) ** 2) + jnp.mean(judge(fake) ** 2)) / 2
        for judge, real, fake in ((d.a, a, fake_a), (d.b, b, fake_b))
    ]
    return games, cycles, identities, ds


def test_a_step_is_the_papers(domains):
    """Against gradients of the six terms, written out; SGD, whose step is its gradient,
    and first steps, at which the buffers give what they take."""
    a, b = (x[:3] for x in domains)
    rate = 0.5

    def g_total(g, d):
        games, cycles, identities, _ = terms(g, d, a, b)
        return (sum(games) + 7 * sum(cycles) + 3 * sum(identities)) / 2

    def d_total(d, g):
        return sum(terms(g, d, a, b)[3]) / 2

    g, d, *rest = objects(optax.sgd(rate))
    expected = []
    for network, total, other in ((g, g_total, d), (d, d_total, g)):
        slope = nnx.jit(nnx.grad(total))(network, other)
        down = zip(all_weights(network), jax.tree.leaves(slope), strict=True)
        expected += [w - rate * np.asarray(s) for w, s in down]
    games, cycles, identities, ds = nnx.jit(terms)(g, d, a, b)
    metrics = cyclegan.train_step(g, d, *rest, (a, b), KEY, 7.0, 3.0)
    for wanted, weight in zip(expected, all_weights(g) + all_weights(d), strict=True):
        np.testing.assert_allclose(weight, wanted, atol=2e-5)
    for name, two in (
        ("g_loss", games),
        ("cycle", cycles),
        ("identity", identities),
        ("d_loss", ds),
    ):
        np.testing.assert_allclose(metrics[name], sum(two) / 2, rtol=1e-4)
    assert set(metrics) == {
        *("d_loss", "g_loss", "cycle", "identity", "d_grad_norm", "g_grad_norm")
    }
    assert all(buffer.count[...] == 3 for buffer in (rest[-1].a, rest[-1].b))


def test_ds_are_shown_old_fakes(domains):
    """Once the buffers are full, D's loss depends on what lies in them."""
    a, b = (x[:3] for x in domains)
    losses = []
    for number in (0.0, 0.9):
        g, d, g_opt, d_opt, buffers = objects(size=50)
        for buffer in (buffers.a, buffers.b):
            buffer.pictures[...] = jnp.full_like(buffer.pictures[...], number)
            buffer.count[...] = jnp.asarray(50)
        metrics = cyclegan.train_step(g, d, g_opt, d_opt, buffers, (a, b), KEY)
        losses.append(metrics)
    assert abs(losses[0]["d_loss"] - losses[1]["d_loss"]) > 1e-4
    assert losses[0]["g_loss"] == losses[1]["g_loss"]


def test_sets_of_unequal_size_train_and_resume(domains, tmp_path):
    """Through fit, with checkpoints of all: the bits of a run that never stopped."""
    a, b = domains
    assert len(a) != len(b)
    pairs = cyclegan.unpaired(a, b)
    np.testing.assert_array_equal(pairs[1][len(b) :], b[: len(a) - len(b)])
    run = dict(batch_size=3, key=KEY, decay=0.9, progress=False)
    step, ends = ema.with_ema(cyclegan.train_step), []
    for stops in ((6,), (4, 6)):
        trained = objects()
        trained = (nnx.clone(trained[0]), *trained)
        for i, steps in enumerate(stops):
            folder = tmp_path / str(len(stops))
            if i:  # a new process has new objects
                trained = objects()
                trained = (nnx.clone(trained[0]), *trained)
            fit(step, trained, pairs, steps=steps, resume=folder, **run)
        ends.append(jax.tree.leaves(nnx.state(trained)))
    for one, other in zip(*ends, strict=True):
        np.testing.assert_array_equal(one, other)


def test_translate_is_the_network_and_changes_nothing(domains):
    a, _ = domains
    g = networks()[0].b
    before = all_weights(g)
    np.testing.assert_allclose(cyclegan.translate(g, a), call(g, a), atol=1e-5)
    assert not moved(g, before)
    np.testing.assert_array_equal(cyclegan.translate(g, a), inference.predict(g, a))


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda a, b: a, "Give \\(a, b\\)"),
        (lambda a, b: (a, b[:, :8]), "of one shape"),
        (lambda a, b: (a, b[..., :1]), "of one shape"),
        (lambda a, b: (a, a), "the same pictures"),
        (lambda a, b: (a, (255 * (b + 1) / 2).astype(np.uint8)), "not float"),
        (lambda a, b: (a, 2 * b), "Pixels lie in"),
        (lambda a, b: (a, np.where(b > 0.9, np.nan, b)), "NaN"),
        (lambda a, b: (a[:, :8, :8], b[:, :8, :8]), "is made for pictures"),
    ],
)
def test_what_are_no_two_domains_is_refused(domains, spoil, message):
    a, b = (x[:16] for x in domains)
    data = spoil(a, b)
    with pytest.raises(ValueError, match=message):
        fit(
            cyclegan.train_step,
            objects(),
            data,
            batch_size=3,
            steps=1,
            key=KEY,
            progress=False,
        )
