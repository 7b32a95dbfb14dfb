"""The paper's networks: maxout in closed form, dropout in both, the schedules."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from gencourse import cgan, maxout

KEY = jax.random.key(0)
SHAPE = (4, 4, 1)


def networks(dropout=0.5):
    rngs = nnx.Rngs(0)
    options = dict(shape=SHAPE, classes=3, dropout=dropout, rngs=rngs)
    return maxout.Generator(**options), maxout.Discriminator(**options)


@pytest.fixture(scope="module")
def batch():
    x = np.random.default_rng(0).uniform(-1, 1, (12, *SHAPE)).astype(np.float32)
    return x, np.resize(np.arange(3), 12).astype(np.int32)


def test_a_maxout_unit_is_the_greatest_of_its_pieces():
    layer = maxout.Maxout(1, 2, pieces=2, rngs=nnx.Rngs(0))
    layer.dense.kernel[...] = jnp.array([[1.0, -1.0, 2.0, 0.0]])  # |x| and relu(2 x)
    x = jnp.array([[-3.0], [0.0], [2.0]])
    np.testing.assert_allclose(layer(x), [[3, 0], [0, 0], [2, 4]])


def test_the_sizes_are_the_paper_s():
    g, d = maxout.Generator(rngs=nnx.Rngs(0)), maxout.Discriminator(rngs=nnx.Rngs(0))
    assert g.of_seed.kernel.shape == (100, 200) and g.of_label.kernel.shape == (
        10,
        1000,
    )
    assert g.joint.kernel.shape == (1200, 1200) and g.out.kernel.shape == (1200, 784)
    pieces = [(m.out, m.pieces) for m in (d.of_pixels, d.of_label, d.joint)]
    assert pieces == [(240, 5), (50, 5), (240, 4)]
    z = g.draw(KEY, (1000, 100))
    assert 0 <= z.min() and z.max() <= 1 and abs(z.mean() - 0.5) < 0.01


def test_at_first_d_is_in_doubt_and_g_listens(batch):
    generator, discriminator = networks()
    p = cgan.belief(discriminator, *batch)
    np.testing.assert_allclose(p, 0.5, atol=0.01)
    asked = np.array([0, 1, 2])
    pictures = cgan.sample(generator, asked, KEY)
    assert pictures.shape == (3, *SHAPE) and np.abs(pictures).max() <= 1
    z = generator.draw(KEY, (3, 100))
    moved = cgan.generate(generator, z, asked) - cgan.generate(
        generator, z, asked[::-1]
    )
    assert np.abs(moved[0]).max() > 1e-4
    with pytest.raises(ValueError, match="of 3 classes"):
        cgan.sample(generator, [3], KEY)


def test_both_leave_units_out_where_a_key_is_given(batch):
    x, y = map(jnp.asarray, batch)
    generator, discriminator = networks()
    z = generator.draw(KEY, (12, 100))
    for network, given in ((generator, z), (discriminator, x)):
        still = network(given, y)
        np.testing.assert_array_equal(still, network(given, y))
        one, other = network(given, y, KEY), network(given, y, jax.random.key(1))
        assert np.abs(one - other).max() > 0 and np.abs(one - still).max() > 0


def test_each_step_moves_its_own_network(batch):
    for moves in (0, 1):
        both = networks()
        before = [jax.tree.map(jnp.copy, nnx.state(n, nnx.Param)) for n in both]
        rules = [optax.set_to_zero(), optax.set_to_zero()]
        rules[moves] = maxout.sgd(100)
        pairs = zip(both, rules, strict=True)
        optimizers = [nnx.Optimizer(n, rule, wrt=nnx.Param) for n, rule in pairs]
        for i in range(2):
            told = maxout.train_step(*both, *optimizers, batch, jax.random.key(i))
        assert np.isfinite(list(told.values())).all()
        after = [nnx.state(n, nnx.Param) for n in both]
        for i, (old, new) in enumerate(zip(before, after, strict=True)):
            moved = jax.tree.leaves(jax.tree.map(lambda a, b: (a != b).any(), old, new))
            assert all(moved) if i == moves else not any(moved)


def test_the_schedules_are_the_paper_s_in_fewer_steps():
    """Rate 0.1 / 1.00004^288,000 would be 1e-6; momentum goes from 0.5 to 0.7."""
    rule = maxout.sgd(1000)
    state, weights = rule.init(jnp.zeros(1)), jnp.zeros(1)
    rates, momenta = [], []
    for _ in range(1001):
        _, state = rule.update(jnp.ones(1), state, weights)
        rates.append(float(state.hyperparams["learning_rate"]))
        momenta.append(float(state.hyperparams["momentum"]))
    np.testing.assert_allclose(rates[0], 0.1, rtol=1e-5)
    np.testing.assert_allclose(rates[500], 0.1 * 1.00004**-144_000, rtol=1e-2)
    np.testing.assert_allclose(rates[1000], 1e-6, rtol=0.05)
    assert min(rates) >= 0.999e-6
    np.testing.assert_allclose([momenta[0], momenta[-1]], [0.5, 0.7], rtol=1e-5)


def test_bad_labels_are_refused(batch):
    x, y = batch
    with pytest.raises(ValueError, match="3 classes"):
        cgan.check((x, y + 1), networks())


def leaves(networks):
    return jax.tree.leaves([nnx.state(network, nnx.Param) for network in networks])


def chance_of(network):
    """The keys that each of its dropouts is given from now on, None for none."""
    seen = []

    def note(x, *, deterministic, rngs):
        seen.append(
            None if deterministic else tuple(jax.random.key_data(rngs).tolist())
        )
        return x

    network.dropout = note
    return seen


def test_the_networks_by_hand():
    generator, discriminator = networks()
    z, y = generator.draw(KEY, (6, 100)), jnp.resize(jnp.arange(3), 6)
    told = jnp.eye(3)[y]
    x = [nnx.relu(generator.of_seed(z)), nnx.relu(generator.of_label(told))]
    x = nnx.relu(generator.joint(jnp.concatenate(x, axis=1)))
    x = nnx.sigmoid(generator.out(x))  # in [0, 1], as D is to see it
    drawn = generator(z, y)
    np.testing.assert_allclose(drawn, 2 * x.reshape(6, *SHAPE) - 1, atol=1e-5)
    x = [discriminator.of_pixels(x), discriminator.of_label(told)]
    x = discriminator.joint(jnp.concatenate(x, axis=1))
    wanted = discriminator.verdict(x)[:, 0]
    np.testing.assert_allclose(discriminator(drawn, y), wanted, atol=1e-6)


def test_where_the_paper_s_weights_begin():
    generator, discriminator = networks()
    of_g = generator.of_seed, generator.of_label, generator.joint, generator.out
    maxouts = discriminator.of_pixels, discriminator.of_label, discriminator.joint
    of_d = *(m.dense for m in maxouts), discriminator.verdict
    for layers, bound in ((of_g, 0.05), (of_d, 0.005)):
        for layer in layers:
            size = np.abs(layer.kernel[...])
            assert 0.95 * bound < size.max() <= bound
            assert abs(size.mean() - bound / 2) < 0.1 * bound  # each as likely
    g, d = maxout.Generator(rngs=nnx.Rngs(0)), maxout.Discriminator(rngs=nnx.Rngs(0))
    assert g.dropout.rate == d.dropout.rate == 0.5


def test_without_dropout_a_step_is_chapter_5_s(batch):
    results = []
    for step in (maxout.train_step, cgan.train_step):
        pair = networks(dropout=0.0)
        z = pair[0].draw(jax.random.key(7), (12, 100))
        pair[0].draw = lambda key, shape, z=z: z
        optimizers = [nnx.Optimizer(n, optax.sgd(0.1), wrt=nnx.Param) for n in pair]
        told = [step(*pair, *optimizers, batch, KEY) for _ in range(3)]
        results.append((told, leaves(pair)))
    same = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
    jax.tree.map(same, *results)


def test_each_pass_has_chance_of_its_own_but_both_see_the_same_fakes(batch):
    pair = networks()
    of_g, of_d = map(chance_of, pair)
    optimizers = [nnx.Optimizer(n, optax.sgd(0.1), wrt=nnx.Param) for n in pair]
    maxout.train_step.__wrapped__(*pair, *optimizers, batch, KEY)
    assert None not in of_g + of_d
    assert of_g[:2] == of_g[2:] and len(set(of_g)) == 2
    assert len(set(of_d)) == len(of_d) == 6  # three passes, two layers


def test_the_optimizer_moves_by_the_paper_s_rule():
    rule, velocity = maxout.sgd(10), 0.0
    state = rule.init(jnp.zeros(()))
    for t in range(10):
        update, state = rule.update(jnp.ones(()), state)
        velocity = 1 + (0.5 + 0.2 * t / 10) * velocity
        rate = max(0.1 * 1.00004 ** (-28_800 * t), 1e-6)
        np.testing.assert_allclose(update, -rate * velocity, rtol=1e-3)
    for steps in (0, -5, 2.5):
        with pytest.raises(ValueError, match="1 or more"):
            maxout.sgd(steps)
