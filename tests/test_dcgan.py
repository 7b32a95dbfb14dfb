"""Chapter 4's networks: their shapes and sizes, layer by layer, what they learn.

How they play chapter 3's game is tested in test_games.py.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from helpers import (
    ADAM,
    KEY,
    assert_close,
    assert_lowers,
    leaky,
    numbers,
    quickly,
    same,
    same_latents,
    with_optimizers,
)

from gencourse import data, dcgan, gan
from gencourse.train import fit

SIDES = {8: [4], 14: [7], 16: [4, 8], 28: [7, 14], 32: [4, 8, 16]} | {
    56: [7, 14, 28],
    64: [4, 8, 16, 32],
}  # of a picture, and of the maps before it


def new(shape=(16, 16, 1), width=4, kernel=4, latent=5, prior=same_latents, **of_d):
    def make():
        options = dict(kernel=kernel, rngs=nnx.Rngs(0))
        generator = dcgan.Generator(shape, width, latent, prior=prior, **options)
        return generator, dcgan.Discriminator(shape, width, **options, **of_d)

    return quickly(make)


def cut(side=28, n=16):
    """The middles of `n` real pictures, (n, side, side, 1) in [-1, 1]."""
    images, _ = data.load("fashion_mnist", "test")
    low = 14 - side // 2
    middle = images[:n, low : low + side, low : low + side]
    return jnp.asarray(data.scale(middle, "tanh"))


@pytest.fixture(scope="module")
def pictures():
    return cut(16)


# --- sizes ----------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", SIDES)
def test_pictures_come_out_and_beliefs_of_them(side, channels):
    shape = side, side, channels
    generator, discriminator = jax.eval_shape(lambda: new(shape, 2, norm=True))
    z = jax.ShapeDtypeStruct((3, 5), jnp.float32)
    fakes = jax.eval_shape(lambda g, z: g(z), generator, z)
    logits = jax.eval_shape(lambda d, x: d(x), discriminator, fakes)
    assert fakes.shape == (3, *shape) and fakes.dtype == jnp.float32
    assert logits.shape == (3,) and logits.dtype == jnp.float32


@pytest.mark.parametrize("side, kernel", [(14, 3), (28, 5), (32, 4)])
def test_each_map_of_half_the_side_has_twice_the_channels(side, kernel):
    """And each kernel is of the side that was asked for."""

    def shapes():
        generator, discriminator = new((side, side, 3), 6, kernel=kernel)
        x = jnp.ones((2, *generator.first_map_shape))
        up = [x := layer(x) for layer in (*generator.ups, generator.to_image)]
        return up, [x := layer(x) for layer in discriminator.downs]

    widths = [6, 12, 24][: len(SIDES[side])]
    maps = [(2, s, s, c) for s, c in zip(SIDES[side], widths[::-1], strict=True)]
    up, down = ([x.shape for x in xs] for xs in jax.eval_shape(shapes))
    assert up == [*maps[1:], (2, side, side, 3)] and down == maps[::-1]
    generator, discriminator = jax.eval_shape(
        lambda: new((side, side, 3), 6, kernel=kernel)
    )
    assert (2, *generator.first_map_shape) == maps[0]
    convolutions = *generator.ups, generator.to_image, *discriminator.downs
    assert {c.kernel.shape[:2] for c in convolutions} == {(kernel, kernel)}


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("side, width, kernel, c", [(28, 64, 4, 1), (32, 6, 5, 3)])
def test_as_many_parameters_as_the_closed_form_says(side, width, kernel, c, norm):
    """No bias where a BatchNorm of G follows; a scale and a shift for each BatchNorm.

    28x28, width 64, the chapter's: 771,969, and 138,561 without `norm`.
    """
    shape, options = (side, side, c), dict(kernel=kernel, latent=100, norm=norm)
    networks = jax.eval_shape(lambda: new(shape, width, **options))
    start, square = SIDES[side][0] ** 2, kernel**2
    widths = [width * 2**i for i in range(len(SIDES[side]))]
    steps = sum(square * a * b for a, b in zip(widths, widths[1:], strict=False))
    first = start * widths[-1]
    of_g = 100 * first + 2 * first + steps + 2 * sum(widths[:-1])
    of_g += square * width * c + c
    of_d = square * c * width + steps + sum(widths) + first + 1
    of_d += 2 * sum(widths[1:]) * norm
    counts = [
        sum(a.size for a in jax.tree.leaves(nnx.state(n, nnx.Param))) for n in networks
    ]
    assert counts == [of_g, of_d]
    if width == 64 and not norm:
        assert counts == [771_969, 138_561]


def test_a_batchnorm_after_each_layer_but_g_s_last_and_d_s_first_and_last():
    for side in (14, 28, 32):
        maps = SIDES[side]
        made = jax.eval_shape(lambda side=side: new((side, side, 1), 2, norm=True))
        generator, discriminator = made
        sizes = [2 * 2**i for i in range(len(maps))]
        assert [n.num_features for n in generator.norms] == sizes[:-1][::-1]
        assert generator.norm.num_features == maps[0] ** 2 * sizes[-1]
        assert [n.num_features for n in discriminator.norms] == sizes[1:]
    assert not jax.tree.leaves(nnx.state(new()[1], nnx.BatchStat))


@pytest.mark.parametrize(
    "shape",
    [(27, 27, 1), (4, 4, 1), (7, 7, 1), (12, 12, 1), (0, 0, 1), (-14, -14, 1)]
    + [(28, 32, 1), (28, 28), (16, 28, 28, 1), (28.0, 28.0, 1), (28, 28, 1.0)],
    ids=str,
)
@pytest.mark.parametrize("network", [dcgan.Generator, dcgan.Discriminator])
def test_other_shapes_are_refused_by_name(network, shape):
    with pytest.raises(ValueError, match=r"4 doubled once or more.*given \(") as told:
        network(shape, rngs=nnx.Rngs(0))
    assert str(tuple(shape)) in str(told.value) and "data.pad" in str(told.value)


def test_a_shape_in_a_list_will_do():
    generator, discriminator = jax.eval_shape(lambda: new([14, 14, 1], 2))
    assert (
        generator.first_map_shape == (7, 7, 2) and discriminator.logit.in_features == 98
    )


def test_a_step_costs_160_million_operations_a_picture():
    """By hand, products and sums: G 14.5 a pass, D 13.3. D's step goes twice through
    D, backwards costing two; G's once through G, and through D to its pictures alone.

    XLA leaves the padding's zeros out. A stride forgotten would cost 4 times it.
    """
    sizes = (28, 28, 1), 64
    objects = jax.eval_shape(
        lambda: with_optimizers(new(*sizes, latent=100, norm=True))
    )
    graphdef, state = nnx.split(objects)

    def step(state, x, key):
        return gan.train_step.__wrapped__(*nnx.merge(graphdef, state), x, key)

    x = jnp.zeros((8, 28, 28, 1))
    flops = jax.jit(step).lower(state, x, KEY).cost_analysis()["flops"] / 8
    assert 130e6 < flops < 180e6


# --- layer by layer -------------------------------------------------------------


def batchnorm(width):
    options = dict(use_running_average=False, momentum=0.9)
    return nnx.BatchNorm(width, **options, rngs=nnx.Rngs(0))


def two():
    """Options of a layer that doubles or halves the side."""
    return dict(kernel_size=(4, 4), strides=(2, 2), rngs=nnx.Rngs(0))


class PlainGenerator(nnx.Module):
    """32x32x3, width 2, of Flax's own layers, written out."""

    def __init__(self):
        self.latent, self.prior = 5, same_latents
        self.dense = nnx.Linear(5, 128, use_bias=False, rngs=nnx.Rngs(0))
        self.norm = batchnorm(128)
        ups = (
            nnx.ConvTranspose(i, o, use_bias=False, **two())
            for i, o in [(8, 4), (4, 2)]
        )
        self.ups = nnx.List(ups)
        self.norms = nnx.List([batchnorm(4), batchnorm(2)])
        self.to_image = nnx.ConvTranspose(2, 3, **two())

    def __call__(self, z):
        x = leaky(self.norm(self.dense(z))).reshape(-1, 4, 4, 8)
        x = leaky(self.norms[0](self.ups[0](x)))  # (B, 8, 8, 4)
        x = leaky(self.norms[1](self.ups[1](x)))  # (B, 16, 16, 2)
        return jnp.tanh(self.to_image(x))  # (B, 32, 32, 3)


class PlainDiscriminator(nnx.Module):
    def __init__(self, norm):
        self.downs = nnx.List(
            nnx.Conv(i, o, **two()) for i, o in [(3, 2), (2, 4), (4, 8)]
        )
        self.norms = nnx.List([batchnorm(4), batchnorm(8)] if norm else [])
        self.logit = nnx.Linear(128, 1, rngs=nnx.Rngs(0))

    def __call__(self, x, key=None):
        first, second = self.norms or (lambda x: x, lambda x: x)
        x = leaky(self.downs[0](x))  # (B, 16, 16, 2)
        x = leaky(first(self.downs[1](x)))  # (B, 8, 8, 4)
        x = leaky(second(self.downs[2](x)))  # (B, 4, 4, 8)
        return self.logit(x.reshape(-1, 128)).reshape(-1)


def both_ways(norm):
    """Ours and the written-out ones, with the same numbers, none of them 0 or 1."""
    sizes = (32, 32, 3), 2
    ours = jax.eval_shape(lambda: new(*sizes, norm=norm, dropout=0.0))
    plain = jax.eval_shape(lambda: (PlainGenerator(), PlainDiscriminator(norm)))
    chance = np.random.default_rng(0)

    def some(a):
        few = a.shape[-1] if a.ndim == 1 else np.prod(a.shape[:-1])
        spread = chance.normal(size=a.shape) / few**0.5
        return jnp.float32(np.abs(0.5 + spread) if a.ndim == 1 else spread)

    for mine, theirs in zip(ours, plain, strict=True):
        state, tree = nnx.state(mine), jax.tree.structure(nnx.state(theirs))
        assert jax.tree.structure(state) == tree, "other names or layers"
        nnx.update(mine, jax.tree.map(some, state))
        nnx.update(theirs, numbers(mine))
    return ours, plain


def values_and_gradients(network, x):
    def f(network, x):
        y = network(x)
        return jnp.sin(y).sum(), y  # sin: a gradient that differs everywhere

    return nnx.jit(nnx.grad(f, argnums=(0, 1), has_aux=True))(network, x)


@pytest.mark.parametrize("norm, still", [(0, 0), (1, 0), (1, 1)])
def test_equal_to_flax_s_own_layers_written_out(norm, still):
    """Values, every gradient, and what the BatchNorms have learnt from one batch.

    G is the same with and without `norm`, which is D's.
    """
    ours, plain = both_ways(norm)
    z = jax.random.normal(KEY, (6, 5))
    x = jax.random.uniform(KEY, (6, 32, 32, 3), minval=-1)
    triples = list(zip(ours, plain, (z, x), strict=True))
    for mine, theirs, inputs in triples if norm else triples[1:]:
        views = mine, theirs
        if still:
            options = dict(use_running_average=True, raise_if_not_found=False)
            views = [nnx.view(n, **options) for n in views]
        before = numbers(mine, nnx.BatchStat)
        (grads, y), (grads_2, y_2) = (values_and_gradients(n, inputs) for n in views)
        np.testing.assert_allclose(y, y_2, rtol=1e-4, atol=1e-5)
        assert_close(grads, grads_2, rtol=1e-3, atol=1e-4)
        after = [numbers(n, nnx.BatchStat) for n in (mine, theirs)]
        assert_close(*after)
        has_norms = bool(jax.tree.leaves(before))
        assert same(before, after[0]) == (still or not has_norms)


def test_without_dropout_g_s_pictures_fill_the_range_of_tanh():
    generator, _ = new()
    generator.to_image.kernel[...] *= 50
    x = gan.sample(generator, 20, KEY)
    assert x.dtype == jnp.float32
    assert -1 <= x.min() < -0.99 and 0.99 < x.max() <= 1


# --- D's dropout ----------------------------------------------------------------


@nnx.jit
def call(network, *given):
    return network(*given)


def test_dropout_works_where_a_key_is_given_and_nowhere_else(pictures):
    for norm in (False, True):
        (_, half), (_, none) = (new(norm=norm, dropout=rate) for rate in (0.5, 0.0))
        whole = call(half, pictures)
        assert same(whole, call(none, pictures))
        assert same(whole, call(none, pictures, KEY))
        one, other = (call(half, pictures, jax.random.key(i)) for i in range(2))
        assert (one != other).all() and (one != whole).all()
        assert same(one, call(half, pictures, KEY))
    assert new()[1].dropout.rate == 0.3


def test_dropout_keeps_the_mean_of_each_map():
    """Where all numbers are positive D is linear, and so is its mean over chance."""
    _, discriminator = new(dropout=0.3)
    state = jax.tree.map(jnp.abs, nnx.state(discriminator))
    nnx.update(discriminator, state)
    logits = discriminator(jnp.ones((2000, 16, 16, 1)), KEY)
    plain = discriminator(jnp.ones((1, 16, 16, 1)))[0]
    error = float(logits.std()) / 2000**0.5
    assert error < 0.01 * plain and abs(logits.mean() - plain) < 5 * error


def test_each_map_loses_something_by_a_chance_of_its_own(pictures):
    _, discriminator = new(norm=True)
    seen = []

    def note(x, *, rngs):
        seen.append((x.shape[1:], rngs and rngs.dropout()))
        return x

    discriminator.dropout = note
    discriminator(pictures, KEY)
    maps, keys = zip(*seen, strict=True)
    assert maps == ((8, 8, 4), (4, 4, 8))
    assert not same(*(jax.random.key_data(key) for key in keys)), "one chance for both"
    seen.clear()
    discriminator(pictures)  # without a key, without dropout
    assert [rngs for _, rngs in seen] == [None, None]


# --- the game -------------------------------------------------------------------


@pytest.fixture(scope="module")
def corners():
    """8x8, black but for a quarter; the same quarter in all, of a brightness each."""
    x = np.full((256, 8, 8, 1), -1, np.float32)
    bright = np.random.default_rng(0).uniform(0.2, 0.9, (256, 1, 1, 1))
    x[:, 4:, :4] = bright
    return x


def train(networks, rates, corners, steps):
    objects = with_optimizers(networks, ADAM, rates)
    options = dict(batch_size=64, steps=steps, key=KEY, progress=False)
    return fit(gan.train_step, objects, corners, **options)


def test_d_alone_learns_to_tell(corners):
    networks = new((8, 8, 1), 8, prior=jax.random.normal, norm=True)
    history = train(networks, (0, 1e-2), corners, 60)
    assert history["p_real"][-1] > 0.9 > 0.1 > history["p_fake"][-1]
    assert history["d_loss"][-1] < 0.3 < history["d_loss"][0]
    p = gan.p_real(networks[1], corners)
    assert p.mean() > 0.8, "its running statistics have not followed"


@pytest.mark.parametrize("norm", [False, True])
def test_it_learns_where_the_bright_corner_is(corners, norm):
    networks = new((8, 8, 1), 8, prior=jax.random.normal, norm=norm)
    before = gan.sample(networks[0], 200, KEY).mean(0)
    train(networks, (2e-3, 2e-3), corners, 400)
    after = gan.sample(networks[0], 200, KEY).mean(0)
    wanted = corners.mean(0)
    assert np.abs(before - wanted).mean() > 0.8
    assert np.abs(after - wanted).mean() < 0.2


@pytest.mark.parametrize("shape, norm", [((28, 28, 1), True), ((8, 8, 3), False)])
def test_the_step_lowers_for_other_sides_and_in_colour(shape, norm):
    objects = jax.eval_shape(lambda: with_optimizers(new(shape, norm=norm)))
    assert_lowers(gan.train_step.__wrapped__, objects, jnp.zeros((4, *shape)), KEY)


# --- what it refuses ------------------------------------------------------------


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda x: ((x + 1) * 127.5).astype(np.uint8), "uint8, not float"),
        (lambda x: (x + 1) / 2, r"lie in \[0, 1\].*tanh"),
        (lambda x: (x, np.zeros(len(x))), "no use for labels"),
        (lambda x: x[..., 0], r"Pictures have shape \(B, H, W, C\).*16, 16\)"),
        (lambda x: x[:, 1:, 1:], r"makes \(8, 16, 16, 1\) .* is \(8, 15, 15, 1\)"),
        (lambda x: np.tile(x, (1, 2, 2, 1)), r"\(8, 16, 16, 1\) .* is \(8, 32, 32, 1"),
        (lambda x: np.tile(x, 3), r"makes \(8, 16, 16, 1\) .* is \(8, 16, 16, 3\)"),
    ],
    ids=["uint8", "unit", "labels", "no channel", "15", "32", "colour"],
)
def test_bad_pictures_are_refused_before_anything_is_compiled(
    pictures, change, message
):
    objects = with_optimizers(new(norm=True))
    before, bad = numbers(objects), change(np.asarray(pictures))
    options = dict(batch_size=8, steps=2, key=KEY, progress=False)
    with pytest.raises(ValueError, match=message):
        fit(gan.train_step, objects, bad, **options)
    assert same(before, numbers(objects))


def test_d_refuses_pictures_of_another_size():
    """Sides of 26 and 27 halve to 14 and 7 as well: they would pass unseen."""
    discriminator = dcgan.Discriminator((28, 28, 1), 2, rngs=nnx.Rngs(0))
    for shape in ((2, 27, 27, 1), (2, 32, 32, 1), (2, 28, 28, 3), (2, 784)):
        with pytest.raises(ValueError, match=r"looks at pictures \(B, 28, 28, 1\)"):
            discriminator(jnp.zeros(shape))


def test_only_with_a_dense_layer_do_far_places_weigh_each_other():
    """Without it the verdict of two far patches is the sum of what each says."""
    none = np.full((1, 28, 28, 1), -1, np.float32)
    upper, lower = none.copy(), none.copy()
    upper[:, :4, :4], lower[:, -4:, -4:] = 1, 1
    both = np.maximum(upper, lower)
    for hidden, sums in ((0, True), (32, False)):
        network = dcgan.Discriminator(width=4, hidden=hidden, rngs=nnx.Rngs(0))
        of = jax.jit(network)
        more = of(both) - of(upper) - of(lower) + of(none)
        assert (abs(float(more[0])) < 1e-5) == sums, hidden
    generator = dcgan.Generator((8, 8, 1), 4, latent=5, hidden=6, rngs=nnx.Rngs(0))
    z = jax.random.normal(KEY, (7, 5))
    made = generator.hidden[0](z)
    deviation = jnp.sqrt(made.var(0, keepdims=True) + 1e-5)
    made = (made - made.mean(0, keepdims=True)) / deviation
    plain = dcgan.Generator((8, 8, 1), 4, latent=6, rngs=nnx.Rngs(1))
    for name in ("dense", "norm", "ups", "norms", "to_image"):
        setattr(plain, name, getattr(generator, name))
    wanted = plain(jnp.where(made > 0, made, 0.2 * made))
    np.testing.assert_allclose(generator(z), wanted, atol=1e-4)
