"""The U-Net, the PatchGAN, and the game on pairs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from helpers import ADAM, KEY, quickly, with_optimizers

from gencourse import data, gan, inference, pix2pix
from gencourse.train import fit

SHAPE = (16, 16, 3)


def networks(dropout=0.0, skips=True, halvings=1):
    def make():
        rngs = nnx.Rngs(0)
        g = pix2pix.Generator(SHAPE, 1, 4, skips=skips, dropout=dropout, rngs=rngs)
        return g, pix2pix.Discriminator(SHAPE, 1, 4, halvings=halvings, rngs=rngs)

    return quickly(make)


@pytest.fixture(scope="module")
def pairs():
    """(x, y): grey pictures in [-1, 1], and the same in three shades."""
    images, _ = data.load("mnist")
    x = data.scale(images[:64, 6:22, 6:22], "tanh")
    return x, (x * np.float32([1, 0.5, -0.5])).astype(np.float32)


@nnx.jit
def call(network, *given):
    return network(*given)


# --- the networks ---------------------------------------------------------------


def test_a_u_net_carries_places_past_its_middle():
    """Silence what comes from the middle: past it the picture still comes, by skips."""
    x = jax.random.uniform(KEY, (2, 16, 16, 1), minval=-1)
    other = jax.random.uniform(jax.random.key(1), (2, 16, 16, 1), minval=-1)
    for skips in (True, False):
        g, _ = networks(skips=skips)
        g.ups[0].kernel[...] = jnp.zeros_like(g.ups[0].kernel[...])
        changed = np.abs(call(g, x) - call(g, other)).max()
        assert (changed > 1e-3) == skips


def test_the_networks_are_as_wide_as_told():
    g = nnx.eval_shape(lambda: pix2pix.Generator(rngs=nnx.Rngs(0)))
    assert [a.kernel.shape[2:] for a in g.downs] == [
        (1, 24),
        (24, 48),
        (48, 96),
        (96, 192),
    ]
    assert [a.kernel.shape[2:] for a in (*g.ups, g.out)] == [
        (192, 96),
        (192, 48),
        (96, 24),
        (48, 12),
        (13, 3),
    ]
    assert [n.scale.shape for n in g.up_norms] == [(96,), (48,), (24,)]
    d = nnx.eval_shape(lambda: pix2pix.Discriminator(rngs=nnx.Rngs(0)))
    assert [a.kernel.shape[2:] for a in (*d.convs, d.logits)] == [
        *((4, 24), (24, 48), (48, 96), (96, 1))
    ]


@pytest.mark.parametrize("side, channels", [(8, 1), (28, 3), (32, 2)])
def test_other_sides(side, channels):
    def fake():
        g = pix2pix.Generator((side, side, channels), 2, 2, rngs=nnx.Rngs(0))
        return g(jnp.zeros((3, side, side, 2)))

    fake = jax.eval_shape(fake)
    assert fake.shape == (3, side, side, channels)


@pytest.mark.parametrize("halvings, pixels", [(0, 1), (1, 16), (2, 34), (3, 70)])
def test_a_logit_sees_its_patch_and_nothing_else(halvings, pixels):
    """By gradient, without norms, which look at the whole picture."""
    shape = (96, 96, 1)
    options = dict(halvings=halvings, norm=False)
    d = pix2pix.Discriminator(shape, 1, 2, **options, rngs=nnx.Rngs(0))
    assert d.receptive_field == pixels and not len(d.norms)
    y = jax.random.normal(KEY, (1, *shape))
    middle = d(y, y).shape[1] // 2
    seen = jax.grad(lambda y: d(jnp.zeros_like(y), y)[0, middle, middle])(y)
    rows = np.flatnonzero(np.abs(seen[0, :, :, 0]).sum(axis=1))
    assert rows.max() - rows.min() + 1 == pixels


def test_the_discriminator_looks_at_both():
    _, d = networks()
    x = jax.random.uniform(KEY, (2, 16, 16, 1), minval=-1)
    y = jax.random.uniform(KEY, (2, *SHAPE), minval=-1)
    logits = call(d, x, y)
    assert np.abs(logits - call(d, -x, y)).max() > 1e-3
    assert np.abs(logits - call(d, x, -y)).max() > 1e-3
    with pytest.raises(ValueError, match="takes pairs of x and pictures"):
        d(x, y[:1])


# --- the game -------------------------------------------------------------------


def by_hand(g, d, x, y, weight):
    """(D's loss, G's loss with the L1 term), log loss written out."""
    fake = g(x)

    def log_loss(logits, real):
        p = 1 / (1 + jnp.exp(-logits))
        return -jnp.log(p if real else 1 - p).mean()

    d_loss = (log_loss(d(x, y), True) + log_loss(d(x, fake), False)) / 2
    return d_loss, log_loss(d(x, fake), True) + weight * jnp.abs(y - fake).mean()


def test_a_step_is_the_papers(pairs):
    x, y = (a[:6] for a in pairs)
    rate, weight = 0.1, 7.0
    objects = with_optimizers(networks(), optax.sgd(rate))
    g, d = (nnx.clone(o) for o in objects[:2])
    d_value, d_grads = nnx.value_and_grad(
        lambda d: by_hand(nnx.clone(g), d, x, y, weight)[0]
    )(d)
    nnx.Optimizer(d, optax.sgd(rate), wrt=nnx.Param).update(d, d_grads)
    g_value, g_grads = nnx.value_and_grad(
        lambda g: by_hand(g, nnx.clone(d), x, y, weight)[1]
    )(g)
    nnx.Optimizer(g, optax.sgd(rate), wrt=nnx.Param).update(g, g_grads)
    said = pix2pix.train_step(*objects, (x, y), KEY, l1_weight=weight)
    np.testing.assert_allclose(said["d_loss"], d_value, rtol=1e-4)
    np.testing.assert_allclose(said["g_loss"] + weight * said["l1"], g_value, rtol=1e-4)
    for mine, theirs in zip(objects[:2], (g, d), strict=True):
        for a, b in zip(
            *map(jax.tree.leaves, map(nnx.state, (mine, theirs))), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_pictures_of_another_shape_do_not_broadcast(pairs):
    x, y = (a[:4] for a in pairs)
    for adversarial in (True, False):
        with pytest.raises(
            ValueError, match="both must have the same shape|takes pair"
        ):
            pix2pix.train_step(
                *with_optimizers(networks()),
                (x, y[..., :1]),
                KEY,
                adversarial=adversarial,
            )


def test_by_l1_alone_d_stands_still(pairs):
    x, y = (a[:6] for a in pairs)
    objects = with_optimizers(networks(), ADAM)
    before = [np.asarray(a) for a in jax.tree.leaves(nnx.state(objects[1]))]
    said = pix2pix.train_step(*objects, (x, y), KEY, adversarial=False)
    assert set(said) == {"l1", "g_grad_norm"} and said["g_grad_norm"] > 0
    alone = functools.partial(pix2pix.train_step, adversarial=False)
    fit(alone, objects, (x, y), batch_size=6, steps=2, key=KEY, progress=False)
    after = jax.tree.leaves(nnx.state(objects[1]))
    assert all((a == b).all() for a, b in zip(before, after, strict=True))


def test_it_learns_to_translate_and_the_weight_of_l1_counts(pairs):
    x, y = pairs
    l1 = {}
    for weight in (0.0, 100.0):
        objects = with_optimizers(networks(), optax.adam(4e-3, b1=0.5))
        options = dict(batch_size=16, steps=120, key=KEY, progress=False)
        fit(pix2pix.train_step, objects, (x, y), l1_weight=weight, **options)
        l1[weight] = np.abs(pix2pix.translate(objects[0], x) - y).mean()
    assert l1[100.0] < 0.2 < np.abs(x - y).mean() and l1[100.0] < l1[0.0] / 2


# --- translating ----------------------------------------------------------------


def test_noise_needs_a_key(pairs):
    x = pairs[0][:5]
    g, _ = networks(dropout=0.5)
    np.testing.assert_array_equal(pix2pix.translate(g, x), pix2pix.translate(g, x))
    one, two = (pix2pix.translate(g, x, jax.random.key(i)) for i in range(2))
    assert np.abs(one - two).max() > 1e-3
    same = np.repeat(x[:1], 5, axis=0)
    drawn = np.asarray(pix2pix.translate(g, same, KEY))
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-3, "all rows have one noise"
    np.testing.assert_allclose(
        pix2pix.translate(g, x), call(inference.eval_view(g), x), atol=1e-5
    )


# --- bad input ------------------------------------------------------------------


def test_pairs_that_are_none_are_told_before_training(pairs):
    x, y = pairs
    objects = with_optimizers(networks())
    wrong = [
        ((x, y[:-1]), "of the same N; given .*64,.*63,"),
        ((x, y[:, :8, :8]), "of the same sides; given"),
        (x, "Pairs are .x, y.*given ndarray"),
        (((x + 1) / 2 * 255, y), "Pixels lie in"),
        ((x, np.where(y > 0.9, np.nan, y)), "NaN or infinite"),
        ((x.astype(np.int32), y), "not float"),
        ((y, y), "takes pictures x .N, 16, 16, 1.*given .1, 16, 16, 3"),
        ((x, x), "made for pictures .16, 16, 3.*has .16, 16, 1"),
    ]
    for batch, match in wrong:
        with pytest.raises(ValueError, match=match):
            fit(pix2pix.train_step, objects, batch, batch_size=8, steps=1, key=KEY)


def test_sides_that_cannot_be_halved_and_numbers_that_cannot_be():
    for make in (pix2pix.Generator,):
        with pytest.raises(ValueError, match="4 doubled once or more"):
            make((50, 50, 3), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="halvings is a whole number, 0 or more"):
        pix2pix.Discriminator(halvings=-1, rngs=nnx.Rngs(0))
    g, _ = networks()
    with pytest.raises(
        ValueError, match="takes pictures x .N, 16, 16, 1.*given .2, 8, 8"
    ):
        pix2pix.translate(g, np.zeros((2, 8, 8, 1), np.float32))
    for x in (np.zeros((2, 16, 16, 1), np.uint8), np.full((2, 16, 16, 1), 2.0)):
        with pytest.raises(ValueError, match="float and in .-1, 1"):
            pix2pix.translate(g, x)


def test_its_losses_are_chapter_threes():
    assert pix2pix.train_step.check_batch is pix2pix.check
    logits = jax.random.normal(KEY, (3, 4, 4))
    flat = logits.reshape(-1)
    np.testing.assert_allclose(gan.g_loss(logits), gan.g_loss(flat), rtol=1e-6)
