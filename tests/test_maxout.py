"""The paper's networks: maxout in closed form, dropout in both, the schedules.

How they play chapter 5's game is tested in test_games.py.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from helpers import KEY

from gencourse import cgan, cgan_maxout

SHAPE = (4, 4, 1)


def networks():
    return nnx.clone(_networks())


@functools.cache
def _networks():
    options = dict(shape=SHAPE, classes=3, rngs=nnx.Rngs(0))
    return cgan_maxout.Generator(**options), cgan_maxout.Discriminator(**options)


@nnx.jit
def call(network, *given):
    return network(*given)


@pytest.fixture(scope="module")
def batch():
    x = np.random.default_rng(0).uniform(-1, 1, (12, *SHAPE)).astype(np.float32)
    return x, np.resize(np.arange(3), 12).astype(np.int32)


def test_a_maxout_unit_is_the_greatest_of_its_pieces():
    layer = cgan_maxout.Maxout(1, 2, pieces=2, rngs=nnx.Rngs(0))
    layer.dense.kernel[...] = jnp.array([[1.0, -1.0, 2.0, 0.0]])  # |x| and relu(2 x)
    x = jnp.array([[-3.0], [0.0], [2.0]])
    np.testing.assert_allclose(layer(x), [[3, 0], [0, 0], [2, 4]])


def by_default():
    """Shapes alone."""
    makes = cgan_maxout.Generator, cgan_maxout.Discriminator
    return [jax.eval_shape(lambda make=make: make(rngs=nnx.Rngs(0))) for make in makes]


def test_the_sizes_are_the_paper_s():
    g, d = by_default()
    assert g.from_z.kernel.shape == (100, 200)
    assert g.from_label.kernel.shape == (10, 1000)
    assert g.joint.kernel.shape == (1200, 1200) and g.out.kernel.shape == (1200, 784)
    pieces = [(m.out, m.pieces) for m in (d.from_pixels, d.from_label, d.joint)]
    assert pieces == [(240, 5), (50, 5), (240, 4)]
    z = g.prior(KEY, (1000, 100))
    assert 0 <= z.min() and z.max() <= 1 and abs(z.mean() - 0.5) < 0.01


def test_at_first_d_is_in_doubt_and_g_listens(batch):
    generator, discriminator = networks()
    p = cgan.p_real(discriminator, *batch)
    np.testing.assert_allclose(p, 0.5, atol=0.01)
    asked = np.array([0, 1, 2])
    pictures = cgan.sample(generator, asked, KEY)
    assert pictures.shape == (3, *SHAPE) and np.abs(pictures).max() <= 1
    z = generator.prior(KEY, (3, 100))
    moved = cgan.generate(generator, z, asked) - cgan.generate(
        generator, z, asked[::-1]
    )
    assert np.abs(moved[0]).max() > 1e-4
    with pytest.raises(ValueError, match="of 3 classes"):
        cgan.sample(generator, [3], KEY)


def test_both_leave_units_out_where_a_key_is_given(batch):
    x, y = map(jnp.asarray, batch)
    generator, discriminator = networks()
    z = generator.prior(KEY, (12, 100))
    for network, given in ((generator, z), (discriminator, x)):
        still = call(network, given, y)
        np.testing.assert_array_equal(still, call(network, given, y))
        one, other = (call(network, given, y, jax.random.key(i)) for i in range(2))
        assert np.abs(one - other).max() > 0 and np.abs(one - still).max() > 0


def test_the_schedules_are_the_paper_s_in_fewer_steps():
    """Rate 0.1 / 1.00004^288,000 would be 1e-6; momentum goes from 0.5 to 0.7."""
    rule = cgan_maxout.sgd(1000)
    state, update = rule.init(jnp.zeros(1)), jax.jit(rule.update)
    rates, momenta = [], []
    for _ in range(1001):
        _, state = update(jnp.ones(1), state)
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


def test_the_networks_by_hand():
    generator, discriminator = networks()
    z, y = generator.prior(KEY, (6, 100)), jnp.resize(jnp.arange(3), 6)
    told = jnp.eye(3)[y]
    x = [nnx.relu(generator.from_z(z)), nnx.relu(generator.from_label(told))]
    x = nnx.relu(generator.joint(jnp.concatenate(x, axis=1)))
    x = nnx.sigmoid(generator.out(x))  # in [0, 1], as D is to see it
    drawn = generator(z, y)
    np.testing.assert_allclose(drawn, 2 * x.reshape(6, *SHAPE) - 1, atol=1e-5)
    x = [discriminator.from_pixels(x), discriminator.from_label(told)]
    x = discriminator.joint(jnp.concatenate(x, axis=1))
    wanted = discriminator.logit(x)[:, 0]
    np.testing.assert_allclose(discriminator(drawn, y), wanted, atol=1e-6)


def test_where_the_paper_s_weights_begin():
    generator, discriminator = networks()
    of_g = generator.from_z, generator.from_label, generator.joint, generator.out
    maxouts = discriminator.from_pixels, discriminator.from_label, discriminator.joint
    of_d = *(m.dense for m in maxouts), discriminator.logit
    for layers, bound in ((of_g, 0.05), (of_d, 0.005)):
        for layer in layers:
            size = np.abs(layer.kernel[...])
            assert 0.95 * bound < size.max() <= bound
            assert abs(size.mean() - bound / 2) < 0.1 * bound  # each as likely
    g, d = by_default()
    assert g.dropout.rate == d.dropout.rate == 0.5


def test_the_optimizer_moves_by_the_paper_s_rule():
    rule, velocity = cgan_maxout.sgd(10), 0.0
    state = rule.init(jnp.zeros(()))
    for t in range(10):
        update, state = rule.update(jnp.ones(()), state)
        velocity = 1 + (0.5 + 0.2 * t / 10) * velocity
        rate = max(0.1 * 1.00004 ** (-28_800 * t), 1e-6)
        np.testing.assert_allclose(update, -rate * velocity, rtol=1e-3)
    for steps in (0, -5, 2.5):
        with pytest.raises(ValueError, match="1 or more"):
            cgan_maxout.sgd(steps)
