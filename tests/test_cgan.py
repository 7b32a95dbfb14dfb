"""Chapter 5's module: where the label reaches, what it learns, what it refuses.

What its networks share with those of earlier chapters is tested in test_games.py.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from helpers import ADAM, KEY, as_it_is, leaky, numbers, quickly, same, with_optimizers

from gencourse import cgan, cgan_conv, conditions, data, gan, inference
from gencourse.train import fit

BATCH_NORM = functools.partial(nnx.BatchNorm, use_running_average=False, momentum=0.9)


def in_the_plane(hidden=(32, 32), seed=0):
    """Dense networks of points (B, 2) of three classes."""

    def make():
        common = dict(shape=(2,), classes=3, embedding=4, rngs=nnx.Rngs(0))
        generator = cgan.Generator(3, hidden, output_activation=as_it_is, **common)
        return generator, cgan.Discriminator(hidden, dropout=0.0, **common)

    return quickly(make, seed)


SHAPE = (8, 8, 1)  # small networks compile sooner


def dense():
    def make():
        rngs = nnx.Rngs(0)
        generator = cgan.Generator(5, (16, 8), SHAPE, norm=BATCH_NORM, rngs=rngs)
        return generator, cgan.Discriminator((8, 16), SHAPE, rngs=rngs)

    return quickly(make)


def conv(dropout=0.0, shape=SHAPE, width=2):
    def make():
        options = dict(hidden=8, rngs=nnx.Rngs(0))
        generator = cgan_conv.Generator(shape, width, latent=5, **options)
        d = cgan_conv.Discriminator(shape, width, dropout=dropout, **options)
        return generator, d

    return quickly(make)


@nnx.jit
def call(network, *given):
    return network(*given)


both = pytest.mark.parametrize("networks", [dense, conv])


@pytest.fixture(scope="module")
def points():
    """Three clouds, deviation 0.3, and which each point is of."""
    labels = np.resize(np.arange(3), 96).astype(np.int32)
    centres = np.float32([[2, 0], [-1, 2], [-1, -2]])
    noise = np.random.default_rng(3).normal(size=(96, 2)).astype(np.float32)
    return centres[labels] + 0.3 * noise, labels


@pytest.fixture(scope="module")
def pictures():
    images, labels = data.load("mnist", "test")
    return data.scale(images[:40, 6:22:2, 6:22:2], "tanh"), labels[:40].astype(np.int32)


# --- the networks ---------------------------------------------------------------


def test_join_puts_the_label_beside_every_place():
    y = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    rows = conditions.concat_condition(jnp.zeros((2, 3)), y)
    np.testing.assert_array_equal(rows, [[0, 0, 0, 1, 2], [0, 0, 0, 3, 4]])
    maps = conditions.concat_condition(jnp.zeros((2, 4, 5, 3)), y)
    assert maps.shape == (2, 4, 5, 5)
    wanted = np.broadcast_to(np.asarray(y)[:, None, None], (2, 4, 5, 2))
    np.testing.assert_array_equal(maps[..., 3:], wanted)


def test_the_dense_networks_may_have_any_widths():
    """110-128-256-512-1024-784 and 794-512-512-512-1, normed from the second layer."""

    def make():
        rngs = nnx.Rngs(0)
        generator = cgan.Generator(hidden=(128, 256, 512, 1024), rngs=rngs)
        return generator, cgan.Discriminator(hidden=(512, 512, 512), rngs=rngs)

    generator, discriminator = jax.eval_shape(make)
    widths = [(d.in_features, d.out_features) for d in generator.hidden]
    assert widths == [(110, 128), (128, 256), (256, 512), (512, 1024)]
    assert [n.num_features for n in generator.norms] == [256, 512, 1024]
    assert generator.out.out_features == 784
    widths = [(d.in_features, d.out_features) for d in discriminator.hidden]
    assert widths == [(794, 512), (512, 512), (512, 512)]
    assert generator.embed.embedding.shape == (10, 10)


def test_a_label_is_as_loud_as_a_seed():
    """Deviation 1 both; 100 times softer where it is asked for."""
    options = dict(hidden=(64,), shape=SHAPE, classes=1000, rngs=nnx.Rngs(0))
    for make in (cgan.Generator, cgan.Discriminator):
        np.testing.assert_allclose(make(**options).embed.embedding.std(), 1, rtol=0.05)
        soft = make(embedding_init=nnx.initializers.normal(0.01), **options)
        np.testing.assert_allclose(soft.embed.embedding.std(), 0.01, rtol=0.05)
        kernels = [dense.kernel[...] for dense in soft.hidden]
        for kernel in kernels:
            np.testing.assert_allclose(kernel.std(), len(kernel) ** -0.5, rtol=0.05)


def test_the_dense_networks_by_hand():
    """Dense, from the second one on LayerNorm, LeakyReLU; the label joined once."""
    generator, discriminator = in_the_plane(hidden=(4, 6))
    y, z = jnp.array([2, 0]), jax.random.normal(KEY, (2, 3))
    x = jnp.concatenate([z, generator.embed.embedding[...][y]], axis=1)
    first, second = (d.kernel[...] for d in generator.hidden)  # no bias at first
    x = leaky(x @ first) @ second
    x = leaky((x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True))
    wanted = x @ generator.out.kernel[...]
    np.testing.assert_allclose(call(generator, z, y), wanted, rtol=1e-3, atol=1e-4)

    x = jnp.concatenate([z[:, :2], discriminator.embed.embedding[...][y]], axis=1)
    for layer in discriminator.hidden:
        x = leaky(x @ layer.kernel[...])
    wanted = (x @ discriminator.logit.kernel[...])[:, 0]
    given = call(discriminator, z[:, :2], y)
    np.testing.assert_allclose(given, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "shape", [(28, 28, 1), (16, 16, 3), (8, 8, 1)], ids=["28", "16 in colour", "8"]
)
def test_the_convolutional_networks_take_any_side(shape):
    generator, discriminator = map(inference.eval_view, conv(shape=shape))
    z, y = jnp.zeros((3, 5)), jnp.array([0, 5, 9])
    x = jax.eval_shape(generator, z, y)
    assert x.shape == (3, *shape)
    assert jax.eval_shape(discriminator, x, y).shape == (3,)


def test_the_label_enters_every_layer_of_the_convolutional_ones():
    """Silence the label's weights in all layers but one: that one still hears it."""
    z, y = jax.random.normal(KEY, (4, 5)), jnp.array([1, 2, 3, 4])
    x = jax.random.uniform(KEY, (4, 16, 16, 1))

    def layers(network):
        if isinstance(network, cgan_conv.Generator):
            return [*network.hidden, network.dense, *network.ups, network.to_image]
        return [*network.downs, *network.hidden, network.logit]

    for network, given in zip(conv(shape=x.shape[1:]), (z, x), strict=True):
        count = len(layers(network))
        assert count == 4
        for hears in [*range(count), None]:
            other = nnx.clone(network)
            for i, layer in enumerate(layers(other)):
                if i != hears:
                    kernel = np.array(layer.kernel[...])
                    kernel[..., -10:, :] = 0
                    layer.kernel[...] = jnp.asarray(kernel)
            change = np.abs(call(other, given, y) - call(other, given, y - 1)).max()
            assert (change > 1e-4) == (hears is not None), (type(network), hears)


@both
def test_vectors_may_stand_in_place_of_labels(networks):
    """So that one can walk from one label to another."""
    generator, _ = networks()
    y, z = np.array([3, 8]), gan.sample_latent(generator, 2, KEY)
    vectors = generator.embed_labels(jnp.asarray(y))
    assert vectors.shape == (2, 10)
    ends = cgan.generate(generator, z, y)
    told = conditions.by_vectors(generator)
    np.testing.assert_allclose(cgan.generate(told, z, vectors), ends, atol=1e-6)
    middle = cgan.generate(told, z, vectors[::-1] / 2 + vectors / 2)
    assert np.abs(middle - ends).max() > 1e-4


def in_vectors():
    options = dict(shape=(3,), classes=None, embedding=10, rngs=nnx.Rngs(0))
    return cgan.Generator(2, (8,), **options), cgan.Discriminator((8,), **options)


def test_labels_and_vectors_are_never_taken_for_each_other():
    """One-hot vectors would train, and then 7 would be a label that nobody learned."""
    of_labels, of_vectors = with_optimizers(dense()), with_optimizers(in_vectors())
    x = np.random.default_rng(0).uniform(-1, 1, (4, *SHAPE)).astype(np.float32)
    points, y = x.reshape(4, -1)[:, :3], np.arange(4)
    one_hot = np.eye(10, dtype=np.float32)[y]
    options = dict(batch_size=4, steps=1, key=KEY, progress=False)
    before = numbers(of_labels), numbers(of_vectors)
    for objects, batch, message in (
        (of_labels, (x, one_hot), r"One-hot .* by y\.argmax\(axis=1\)"),
        (of_vectors, (points, y), r"takes vectors \(N, 10\), float"),
    ):
        with pytest.raises(ValueError, match=message):
            fit(cgan.train_step, objects, batch, **options)
        with pytest.raises(ValueError, match=message):
            cgan.train_step(*objects, batch, KEY)
        with pytest.raises(ValueError, match=message):
            cgan.sample(objects[0], batch[1], KEY)
        with pytest.raises(ValueError, match=message):
            cgan.p_real(objects[1], *batch)
    assert same(before, (numbers(of_labels), numbers(of_vectors)))
    fit(cgan.train_step, of_vectors, (points, one_hot), **options)
    assert cgan.sample(of_vectors[0], one_hot, KEY).shape == (4, 3)


def test_dropout_works_where_a_key_is_given_and_nowhere_else(pictures):
    options = dict(hidden=(64, 64), shape=SHAPE, dropout=0.5)
    of_rows = quickly(lambda: cgan.Discriminator(**options, rngs=nnx.Rngs(0)))
    of_maps = conv(dropout=0.5, width=16)[1]
    x, y = map(jnp.asarray, pictures)
    for network in (of_rows, of_maps):
        network = inference.eval_view(
            network
        )  # what its BatchNorm learns is not in question
        network.dropout.deterministic = False
        still, one, other = (
            [call(network, x, y), call(network, x, y)],
            *(call(network, x, y, jax.random.key(i)) for i in range(2)),
        )
        np.testing.assert_array_equal(*still)
        assert (one != other).all() and (one != still[0]).all()


def test_the_first_dense_layer_loses_nothing(pictures):
    network = cgan.Discriminator((64,), SHAPE, dropout=0.5, rngs=nnx.Rngs(0))
    x, y = map(jnp.asarray, pictures)
    np.testing.assert_array_equal(network(x, y), network(x, y, KEY))


def normed(x):
    axes = tuple(range(x.ndim - 1))
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / jnp.sqrt(var + 1e-5)


def test_the_convolutional_networks_by_hand():
    g, d = conv(shape=(16, 16, 1))
    assert g.to_image.kernel.shape == (4, 4, 2 + 10, 1)
    assert d.downs[0].kernel.shape == (4, 4, 1 + 10, 2)
    z, y = jax.random.normal(KEY, (6, 5)), jnp.arange(6)

    def told(layer, x):
        places = jnp.eye(10)[y].reshape(6, *(1,) * (x.ndim - 2), 10)
        there = jnp.tile(places, (1, *x.shape[1:-1], 1))
        return layer(jnp.concatenate([x, there], axis=-1))

    @nnx.jit
    def by_hand(g, d, z):
        x = leaky(normed(told(g.hidden[0], z)))
        x = leaky(normed(told(g.dense, x))).reshape(6, 4, 4, 4)
        x = leaky(normed(told(g.ups[0], x)))
        drawn = jnp.tanh(told(g.to_image, x))
        x = leaky(told(d.downs[0], drawn))
        x = leaky(normed(told(d.downs[1], x)))
        x = leaky(told(d.hidden[0], x.reshape(6, -1)))
        return drawn, told(d.logit, x)[:, 0]

    drawn, wanted = by_hand(g, d, z)
    np.testing.assert_allclose(call(g, z, y), drawn, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(call(d, drawn, y), wanted, rtol=1e-4, atol=1e-5)
    g.to_image.kernel[...] *= 50  # far out its last function must still hold
    assert 0.99 < call(g, z, y).max() <= 1 and -1 <= call(g, z, y).min() < -0.99


def test_the_label_chooses_the_weights_of_a_projection():
    """Of the same picture, two labels' logits differ by (V[a] - V[b]) . h."""
    options = dict(classes=3, hidden=8, rngs=nnx.Rngs(0))
    d = inference.eval_view(cgan_conv.ProjectionDiscriminator(SHAPE, 2, **options))
    x, y = jax.random.uniform(KEY, (3, *SHAPE)), jnp.array([0, 2, 1])
    h = np.asarray(d.body.features(x))
    w, V = np.asarray(d.body.logit.kernel[...])[:, 0], np.asarray(d.weigh.kernel[...])
    wanted = h @ w + np.sum(V[np.asarray(y)] * h, axis=1)
    np.testing.assert_allclose(call(d, x, y), wanted, rtol=1e-4, atol=1e-5)
    vectors = np.eye(3, dtype=np.float32)[np.asarray(y)]
    by_vectors = call(conditions.by_vectors(d), x, vectors)
    np.testing.assert_allclose(by_vectors, wanted, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="1 labels for 3: one each"):
        d(x, y[:1])


def test_what_the_convolutional_networks_are_by_default():
    makes = cgan_conv.Generator, cgan_conv.Discriminator
    g, d = (jax.eval_shape(lambda make=make: make(rngs=nnx.Rngs(0))) for make in makes)
    shapes = [g.hidden[0].kernel.shape, g.dense.kernel.shape, g.ups[0].kernel.shape]
    assert shapes == [(110, 256), (266, 7 * 7 * 64), (4, 4, 74, 32)]
    assert [m.bias for m in (*g.hidden, g.dense, *g.ups)] == [None] * 3
    shapes = [a.kernel.shape for a in (*d.downs, *d.hidden)]
    assert shapes == [(4, 4, 11, 32), (4, 4, 42, 64), (7 * 7 * 64 + 10, 256)]
    assert d.dropout.rate == 0 and len(d.norms) == 1


def test_wrong_labels_are_all_wrong_and_each_other_one_is_as_likely():
    y = jnp.resize(jnp.arange(10), 90_000)
    wrong = np.asarray(conditions.wrong_labels(KEY, y))
    assert not (wrong == y).any()
    counts = np.bincount(10 * np.asarray(y) + wrong, minlength=100).reshape(10, 10)
    off = counts[~np.eye(10, dtype=bool)]
    assert 0.85 * 1000 < off.min() and off.max() < 1.15 * 1000
    two = np.asarray(conditions.wrong_labels(KEY, y % 2, classes=2) + y % 2)
    assert set(two) == {1}


def test_one_of_several_labels_is_exchanged():
    sizes = (2, 5, 3)
    labels = np.random.default_rng(0).integers(sizes, size=(30_000, 3))
    y = np.concatenate([np.eye(k)[labels[:, i]] for i, k in enumerate(sizes)], axis=1)
    wrong = conditions.exchange_one(KEY, jnp.asarray(y, jnp.float32), sizes=sizes)
    parts = np.split(np.asarray(wrong), np.cumsum(sizes)[:-1], axis=1)
    assert all((part.sum(axis=1) == 1).all() for part in parts)
    found = np.stack([part.argmax(axis=1) for part in parts], axis=1)
    changed = found != labels
    assert (changed.sum(axis=1) == 1).all()
    np.testing.assert_allclose(changed.mean(axis=0), 1 / 3, atol=0.02)
    steps = (found - labels)[changed[:, 1], 1] % 5
    np.testing.assert_allclose(np.bincount(steps)[1:] / len(steps), 1 / 4, atol=0.02)
    again = conditions.exchange_one(jax.random.key(1), jnp.asarray(y), sizes=sizes)
    assert (np.asarray(again) != np.asarray(wrong)).any()
    for wrong_sizes in ((2, 5), (2, 5, 4), (9, 1)):
        with pytest.raises(ValueError, match=r"side by side are .*given \(30000, 10\)"):
            conditions.exchange_one(KEY, jnp.asarray(y), sizes=wrong_sizes)


# --- the game -------------------------------------------------------------------


def train(networks, rates, points, steps, step=cgan.train_step):
    objects = with_optimizers(networks, ADAM, rates)
    options = dict(batch_size=96, steps=steps, key=KEY, progress=False)
    return fit(step, objects, points, **options)


def test_it_learns_which_cloud_was_asked_for(points):
    """With a sign turned, or labels that do not reach one of the two, it could not."""
    networks = in_the_plane(hidden=(16,))  # wider ones circle more, as they round
    train(networks, (1e-3, 5e-3), points, 1000)
    x, y = points
    asked = np.resize(np.arange(3), 600)
    drawn = cgan.sample(networks[0], asked, jax.random.key(1))
    for label in range(3):
        mean = x[y == label].mean(0)
        np.testing.assert_allclose(drawn[asked == label].mean(0), mean, atol=0.5)
    spread = drawn[asked == 0].std(0)
    assert (0.03 < spread).all() and (spread < 1).all()


def test_only_wrong_pairs_teach_d_to_refuse_them(points):
    """G stands still, far away: D need not look at the label to refuse its fakes."""
    mixed = functools.partial(cgan.train_step, mismatch_weight=0.5)

    def trained(step):
        generator, discriminator = in_the_plane(seed=2)
        generator.out.bias[...] = jnp.array([9.0, 9.0])
        networks = generator, discriminator
        history = train(networks, (0, 1e-2), points, 300, step)
        x, y = points
        return history, cgan.p_real(discriminator, x, (y + 1) % 3).mean()

    history, believed = trained(mixed)
    assert believed < 0.1 and history["p_wrong"][-1] < 0.1 < history["p_wrong"][0]
    history, believed = trained(cgan.train_step)
    assert believed > 0.9 and "p_wrong" not in history


# --- what it refuses ------------------------------------------------------------

BAD_LABELS = {
    "ten": (lambda y: np.where(np.arange(len(y)) == 7, 10, y), r"labels\[7\] is 10"),
    "minus one": (lambda y: y - y.min() - 1, r"0\.\.9, of 10 classes.*is -1"),
    "floats": (lambda y: y.astype(np.float32), "whole numbers .* given float32"),
    "bools": (lambda y: y > 4, "whole numbers .* given bool"),
    "one-hot bytes": (lambda y: np.eye(10, dtype=np.uint8)[y], "given uint8"),
    "short": (lambda y: y[:-1], "39 labels for 40"),
    "one-hot": (lambda y: np.eye(10)[y], r"One-hot .* y\.argmax"),
}


@pytest.mark.parametrize("change, message", BAD_LABELS.values(), ids=BAD_LABELS)
@both
def test_bad_labels_are_refused_everywhere(
    networks, change, message, pictures, monkeypatch
):
    """And before anything is compiled: the networks are never called."""
    objects = with_optimizers(networks())
    x, y = pictures
    bad, before = change(y), numbers(objects)
    for network in objects[:2]:
        monkeypatch.setattr(type(network), "__call__", None)
    for use in (
        lambda: cgan.check((x, bad), objects),
        lambda: cgan.p_real(objects[1], x, bad),
        lambda: cgan.generate(objects[0], gan.sample_latent(objects[0], 40, KEY), bad),
    ):
        with pytest.raises(ValueError, match=message.replace(" for 40", "")):
            use()
    if len(bad) == len(y):  # fit itself refuses rows of two numbers
        with pytest.raises(ValueError, match=message):
            options = dict(batch_size=20, steps=2, key=KEY)
            fit(cgan.train_step, objects, (x, bad), **options)
        with pytest.raises(ValueError, match=message):
            cgan.sample(objects[0], bad, KEY)
    assert same(before, numbers(objects))


def test_the_classes_are_those_of_the_networks(points):
    """Label 3 of three classes is refused, and of letters label 25 is not."""
    x, y = points
    objects = with_optimizers(in_the_plane())
    options = dict(batch_size=20, steps=2, key=KEY)
    with pytest.raises(ValueError, match=r"0\.\.2, of 3 classes; labels\[2\] is 3"):
        fit(cgan.train_step, objects, (x, np.where(y == 2, 3, y)), **options)
    options = dict(latent=3, hidden=(4,), shape=(2,), classes=26)
    many = quickly(lambda: cgan.Generator(**options, rngs=nnx.Rngs(0)))
    assert cgan.sample(many, [25], KEY).shape == (1, 2)
    with pytest.raises(ValueError, match="26 classes"):
        cgan.sample(many, [26], KEY)


def test_bad_pictures_are_refused_as_in_chapter_3(pictures):
    objects = with_optimizers(dense())
    x, y = pictures
    for bad, message in (
        (((x + 1) / 2, y), r"lie in \[0, 1\].*tanh"),
        ((np.uint8(x), y), "uint8, not float"),
        ((np.where(x > 0.5, np.nan, x), y), "NaN or infinite"),
        (x, r"give the pair \(x, labels\); given ndarray"),
        ((x, y, y), "give the pair"),
    ):
        with pytest.raises(ValueError, match=message):
            cgan.check(bad)
        with pytest.raises(ValueError, match=message):
            fit(cgan.train_step, objects, bad, batch_size=20, steps=2, key=KEY)


def test_a_step_by_hand_refuses_other_shapes(pictures):
    objects = with_optimizers(dense())
    x, y = pictures
    with pytest.raises(ValueError, match=r"makes \(40, 8, 8, 1\) and the batch is"):
        cgan.train_step(*objects, (x[:, :4], y), KEY)
    for one_or_few in (y[:-1], y[:1]):
        with pytest.raises(ValueError, match="one each, in order"):
            cgan.train_step(*objects, (x, one_or_few), KEY)
    for bad in (x[:2], x, (x, y, y), (x, 3)):
        with pytest.raises(ValueError, match=r"the pair|Labels are \(B,\)"):
            cgan.train_step(*objects, bad, KEY)


@both
@pytest.mark.parametrize("bad", [10, -1])
def test_a_label_that_no_check_has_seen_does_not_pass_for_another(
    networks, bad, pictures
):
    """Where a step of one's own, or a transform, keeps fit from looking."""
    generator, discriminator = networks()
    x, y = pictures
    y = np.where(np.arange(len(y)) == 7, bad, y)
    drawn = call(generator, gan.sample_latent(generator, len(y), KEY), y)
    assert np.isnan(drawn[7]).all() and np.isnan(call(discriminator, x, y)[7])
    with pytest.raises(ValueError, match="whole numbers; given float32"):
        discriminator(x, jnp.asarray(y, jnp.float32))


def test_mismatched_is_fixed_before_and_wants_another_class(pictures, points):
    objects = with_optimizers(dense())
    options = dict(batch_size=20, steps=1, key=KEY, mismatch_weight=0.5)
    with pytest.raises(ValueError, match="functools.partial"):
        fit(cgan.train_step, objects, pictures, **options)

    def make():
        plane = dict(hidden=(4,), shape=(2,), classes=1, rngs=nnx.Rngs(0))
        return cgan.Generator(**plane), cgan.Discriminator(**plane)

    one, (x, y) = with_optimizers(quickly(make)), points
    with pytest.raises(ValueError, match="no wrong label"):
        cgan.train_step(*one, (x, 0 * y), KEY, mismatch_weight=0.5)


def test_the_classes_are_those_of_both_networks(pictures):
    ten, _ = dense()
    options = dict(hidden=(4,), shape=SHAPE, classes=3)
    three = quickly(lambda: cgan.Discriminator(**options, rngs=nnx.Rngs(0)))
    for objects in ((ten, three), (three, ten)):
        with pytest.raises(ValueError, match="of 3 classes"):
            cgan.check(pictures, objects)


def test_widths_and_shares_that_cannot_be():
    for network in (cgan.Generator, cgan.Discriminator):
        with pytest.raises(ValueError, match="hidden is widths of dense layers"):
            network(hidden=(), rngs=nnx.Rngs(0))
    for share in (-0.5, 1.5, float("nan")):
        with pytest.raises(ValueError, match="from 0 to 1"):
            cgan.Discriminator(dropout=share, rngs=nnx.Rngs(0))


def test_a_wrong_vector_is_that_of_another_row():
    y = np.eye(6, dtype=np.float32)
    found = set()
    for key in jax.random.split(KEY, 40):
        wrong = np.asarray(conditions.wrong_labels(key, jnp.asarray(y))).argmax(1)
        assert sorted(wrong) == list(range(6)) and (wrong != np.arange(6)).all()
        found.add(wrong[0])
    assert found == {1, 2, 3, 4, 5}, "some row is never the wrong one"


def test_a_batch_of_one_vector_and_odd_shares_are_refused(pictures):
    objects, told = with_optimizers(dense()), with_optimizers(in_vectors())
    x, y = pictures
    vectors = np.zeros((1, 10), np.float32)
    with pytest.raises(ValueError, match="one picture alone.*leave mismatch_weight"):
        cgan.train_step(*told, (vectors[:, :3], vectors), KEY, mismatch_weight=0.5)
    for share in (-0.1, 1.5):
        with pytest.raises(ValueError, match="from 0 to 1"):
            cgan.train_step(*objects, (x, y), KEY, mismatch_weight=share)


def test_bad_vectors_are_refused():
    generator, _ = in_vectors()
    z = gan.sample_latent(generator, 4, KEY)
    for vectors, message in (
        (np.zeros((4, 5), np.float32), r"takes vectors \(N, 10\)"),
        (np.full((4, 10), np.nan), "NaN or infinite"),
        (np.zeros((0, 10)), "no vector at all"),
    ):
        with pytest.raises(ValueError, match=message):
            cgan.generate(generator, z, vectors)


def test_no_labels_and_bad_latents_are_refused():
    generator, _ = dense()
    for labels in ([], 3, [[1]], "7"):
        with pytest.raises(ValueError, match="whole numbers"):
            cgan.sample(generator, labels, KEY)
    z = gan.sample_latent(generator, 4, KEY)
    with pytest.raises(ValueError, match="4 latent vectors and 3 labels"):
        cgan.generate(generator, z, [1, 2, 3])
    with pytest.raises(ValueError, match=r"latent vectors have shape \(N, 5\)"):
        cgan.generate(generator, z[:, :4], [1, 2, 3, 4])
