"""What every pair of networks must do that plays against each other, one test each.

Small networks without dropout, made once; what G draws is known, and of two classes
the wrong label is as well. So one step can be written out by hand.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from helpers import (
    KEY,
    SGD,
    assert_close,
    assert_lowers,
    numbers,
    quickly,
    same,
    same_latents,
    set_rate,
    unmoved,
    with_optimizers,
)

from gencourse import cgan, cgan_conv, cgan_maxout, dcgan, gan, inference
from gencourse.train import fit
from gencourse.train.ema import update_ema

ROWS = 12
BATCH_NORM = functools.partial(nnx.BatchNorm, use_running_average=False, momentum=0.9)


class NormedGenerator(nnx.Module):
    """Its BatchNorm sees the latent vectors themselves."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.latent, self.prior, self.shape = 3, same_latents, (2,)
        self.norm = BATCH_NORM(3, rngs=rngs)
        self.out = nnx.Linear(3, 2, rngs=rngs)

    def __call__(self, z):
        return self.out(self.norm(z))  # (B, 2)


class NormedDiscriminator(nnx.Module):
    """Its BatchNorm sees the points themselves; dropout follows, in Flax's own way:
    without a key it works only where the network is told to stand still."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.norm = BATCH_NORM(2, rngs=rngs)
        self.dense = nnx.Linear(2, 32, rngs=rngs)
        self.dropout = nnx.Dropout(0.0)
        self.logit = nnx.Linear(32, 1, rngs=rngs)

    def __call__(self, x, key=None):
        x = nnx.leaky_relu(self.dense(self.norm(x)))  # (B, 32)
        return self.logit(self.dropout(x, rngs=key))[:, 0]  # (B,)


# --- the pairs ------------------------------------------------------------------


def dense(rngs):
    options = dict(shape=(4, 4, 1), rngs=rngs)
    generator = gan.Generator(5, (6,), prior=same_latents, **options)
    return generator, gan.Discriminator((8, 16), norm=True, **options)


def normed(rngs):
    return NormedGenerator(rngs=rngs), NormedDiscriminator(rngs=rngs)


def convolutional(rngs):
    options = dict(shape=(16, 16, 1), width=2, rngs=rngs)
    generator = dcgan.Generator(latent=5, prior=same_latents, **options)
    return generator, dcgan.Discriminator(norm=True, dropout=0.0, **options)


def told_dense(rngs):
    options = dict(shape=(4, 4, 1), classes=2, embedding=4, rngs=rngs)
    generator = cgan.Generator(
        5, (16, 8), norm=BATCH_NORM, prior=same_latents, **options
    )
    return generator, cgan.Discriminator((8, 16), dropout=0.0, **options)


def told_convolutional(rngs):
    options = dict(shape=(16, 16, 1), width=2, classes=2, hidden=8, rngs=rngs)
    generator = cgan_conv.Generator(latent=5, prior=same_latents, **options)
    return generator, cgan_conv.Discriminator(norm=True, **options)


def told_by_product(rngs):
    generator, _ = told_convolutional(rngs)
    options = dict(shape=(16, 16, 1), width=2, classes=2, hidden=8, rngs=rngs)
    return generator, cgan_conv.ProjectionDiscriminator(**options)


def told_maxout(rngs):
    options = dict(shape=(4, 4, 1), classes=2, dropout=0.0, rngs=rngs)
    generator = cgan_maxout.Generator(**options)
    generator.prior = same_latents
    return generator, cgan_maxout.Discriminator(**options)


class Game(NamedTuple):
    """A pair of networks, what they make, the step that trains them and its options."""

    networks: Callable
    shape: tuple
    step: Callable = gan.train_step
    chapter: Any = gan  # whose functions use the networks
    options: dict = {}
    seed: int = 0  # of the networks' first numbers

    @property
    def told(self):
        """Whether the networks are told labels."""
        return self.chapter is cgan

    def objects(self):
        """G, D, and an optimizer of either: with the same numbers at every call."""
        return nnx.clone(_objects(self.networks, self.seed))

    def batch(self):
        """Real ones (B, *shape); where the networks are told labels, with those."""
        x = np.random.default_rng(0).uniform(-1, 1, (ROWS, *self.shape))
        x, y = x.astype(np.float32), np.arange(ROWS, dtype=np.int32) % 2
        return (x, y) if self.told else x

    def play(self, objects, key=KEY):
        return self.step(*objects, self.batch(), key, **self.options)


@functools.cache
def _objects(networks, seed):
    return with_optimizers(quickly(lambda: networks(nnx.Rngs(0)), seed))


SQUARED = dict(d_loss=gan.d_loss_squared, g_loss=gan.g_loss_squared)
WRONG = {"mismatch_weight": 0.25}  # of what D is shown as not real, under wrong labels
GAMES = {
    "dense": Game(dense, (4, 4, 1)),
    "normed": Game(normed, (2,)),
    "dcgan": Game(convolutional, (16, 16, 1), seed=2),
    "cgan_dense": Game(told_dense, (4, 4, 1), cgan.train_step, cgan),
    "cgan_conv": Game(told_convolutional, (16, 16, 1), cgan.train_step, cgan, WRONG),
    "projection": Game(told_by_product, (16, 16, 1), cgan.train_step, cgan),
    "maxout": Game(told_maxout, (4, 4, 1), cgan.train_step, cgan),
}
CASES = GAMES | {  # and by other losses
    "squared_error": GAMES["dense"]._replace(options=SQUARED),
    "min_max": GAMES["dense"]._replace(options={"g_loss": gan.g_loss_saturating}),
}


def of(games, *names):
    """Parametrize a test by some of the games, or by all."""
    chosen = {name: games[name] for name in names or games}
    return pytest.mark.parametrize("game", chosen.values(), ids=chosen)


# --- a step, written out --------------------------------------------------------


def cross_entropy(logits, real):
    return jnp.log1p(jnp.exp(-logits if real else logits)).mean()


def squared(logits, real):
    return ((1 / (1 + jnp.exp(-logits)) - real) ** 2).mean()


def costs(options):
    """D's cost of logits that should say real or not, and G's of those of its fakes."""
    if "d_loss" in options:
        return squared, lambda logits: squared(logits, True)
    if "g_loss" in options:
        return cross_entropy, lambda logits: -cross_entropy(logits, False)
    return cross_entropy, lambda logits: cross_entropy(logits, True)


def states_of(networks):
    """Of each network its parameters and the rest: BatchNorm's statistics."""
    return tuple(nnx.split(network, nnx.Param, ...)[1:] for network in networks)


def by_hand(game):
    """A step in jax.grad and optax: a function of both networks' states and of what
    either optimizer remembers, and these two. It returns metrics and the two again."""
    networks = game.objects()[:2]
    graphs = [nnx.split(network, nnx.Param, ...)[0] for network in networks]
    x, *y = (jnp.asarray(a) for a in (game.batch() if game.told else [game.batch()]))
    wrong, z = [1 - label for label in y], same_latents(KEY, (ROWS, networks[0].latent))
    of_d, of_g = costs(game.options)
    share = game.options.get("mismatch_weight", 0)

    def merged(i, *state):
        return nnx.clone(nnx.merge(graphs[i], *state))  # whose numbers may move here

    def step(states, memories):
        (g, g_rest), (d, d_rest) = states
        fake = merged(0, g, g_rest)(z, *y)

        def d_cost(d):
            network = merged(1, d, d_rest)
            on = {"real": network(x, *y), "fake": network(fake, *y)}
            cost = of_d(on["real"], True) + (1 - share) * of_d(on["fake"], False)
            if share:
                on["wrong"] = network(x, *wrong)
                cost += share * of_d(on["wrong"], False)
            return cost, (on, states_of([network])[0][1])

        def g_cost(g):
            network = merged(0, g, g_rest)
            cost = of_g(merged(1, d, d_rest)(network(z, *y), *y))
            return cost, states_of([network])[0][1]

        (d_loss, (on, d_rest)), d_grads = jax.value_and_grad(d_cost, has_aux=True)(d)
        updates, d_memory = SGD.update(d_grads, memories[1])
        d = optax.apply_updates(d, updates)  # which is the one that G now meets
        (g_loss, g_rest), g_grads = jax.value_and_grad(g_cost, has_aux=True)(g)
        updates, g_memory = SGD.update(g_grads, memories[0])
        g = optax.apply_updates(g, updates)
        metrics = {f"p_{k}": (1 / (1 + jnp.exp(-a))).mean() for k, a in on.items()}
        metrics |= {"d_loss": d_loss, "g_loss": g_loss, "before": of_g(on["fake"])}
        metrics["d_accuracy_real"] = (on["real"] > 0).mean()
        metrics["d_accuracy_fake"] = (on["fake"] < 0).mean()
        for name, grads in (("d_grad_norm", d_grads), ("g_grad_norm", g_grads)):
            squares = [(a**2).sum() for a in jax.tree.leaves(grads)]
            metrics[name] = jnp.sqrt(sum(squares))
        return metrics, ((g, g_rest), (d, d_rest)), (g_memory, d_memory)

    states = states_of(networks)
    return jax.jit(step), states, tuple(SGD.init(params) for params, _ in states)


TWINS = [("p_real", "p_fake"), ("d_grad_norm", "g_grad_norm"), ("d_loss", "g_loss")]
TWINS += [("d_accuracy_real", "d_accuracy_fake"), ("g_loss", "before")]


@of(CASES)
def test_a_step_is_d_s_by_hand_and_then_g_s(game):
    """Every number of both, BatchNorm's too, after one, two and three steps.

    D's BatchNorms have learned of real ones, then of fakes, then of wrong pairs; G's of
    its latent vectors, once; none of what the other's step shows it. Values that are
    easily taken for each other differ, G's loss from that of before D's step too.
    """
    step, states, memories = by_hand(game)
    objects = game.objects()
    for i in range(3):
        metrics = game.play(objects)
        wanted, states, memories = step(states, memories)
        if i == 0:
            for a, b in TWINS:
                assert abs(wanted[a] - wanted[b]) > 2e-3 * abs(wanted[a]), (a, b)
        assert {*metrics, "before"} == wanted.keys()
        for name, value in metrics.items():
            np.testing.assert_allclose(value, wanted[name], rtol=2e-4, err_msg=name)
        assert_close(states_of(objects[:2]), states, rtol=1e-3, atol=1e-5)


@of(CASES, "normed", "squared_error", "min_max", "cgan_conv")
def test_fit_and_the_step_called_by_hand_give_the_same_numbers(game):
    """Of rows that share a label: fit shuffles them, and their order is no matter."""
    batch = game.batch()
    batch = (batch[0], np.ones(ROWS, np.int32)) if game.told else batch
    hand, fitted = game.objects(), game.objects()
    rows = [game.step(*hand, batch, KEY, **game.options) for _ in range(3)]
    step = functools.partial(game.step, **game.options)
    options = dict(batch_size=ROWS, steps=3, key=KEY, progress=False)
    history = fit(step, fitted, batch, **options)
    for name, values in history.items():
        wanted = [row[name] for row in rows]
        np.testing.assert_allclose(values, wanted, rtol=1e-4, err_msg=name)
    assert_close(nnx.state(hand), nnx.state(fitted), rtol=1e-3, atol=1e-5)


# --- what a step moves ----------------------------------------------------------


@of(CASES)
def test_neither_step_moves_the_other_s_weights(game):
    """Of the one whose rate is 0 no bit changes; its statistics learn as ever."""
    for still in (0, 1):
        objects = game.objects()
        set_rate(objects[2 + still], 0)
        weights = [numbers(n, nnx.Param) for n in objects[:2]]
        statistics = numbers(objects[:2], nnx.BatchStat)
        game.play(objects)
        pairs = zip(weights, objects[:2], strict=True)
        kept = [same(old, nnx.state(n, nnx.Param)) for old, n in pairs]
        assert kept == [still == 0, still == 1]
        assert not unmoved(statistics, nnx.state(objects[:2], nnx.BatchStat))


@of(GAMES)
def test_every_parameter_of_both_moves(game):
    objects = game.objects()
    before = numbers(objects[:2])
    for i in range(2):  # G's first gradients may be nothing where D's are
        game.play(objects, jax.random.key(i))
    still = unmoved(before, nnx.state(objects[:2]))
    assert not still, f"no gradient reaches {still}"


@of(GAMES, "normed", "dcgan", "cgan_dense", "cgan_conv")
def test_both_networks_of_these_have_batchnorms(game):
    """Or the tests of what they learn would say nothing."""
    g, d = (jax.tree.leaves(nnx.state(n, nnx.BatchStat)) for n in game.objects()[:2])
    assert g and (d or game.networks is told_dense)


@of(GAMES, "normed", "dcgan", "cgan_dense", "cgan_conv")
def test_fakes_in_the_game_are_made_with_the_batch_s_own_statistics(game):
    """Of networks whose running statistics are absurd: they play no part in a step."""
    rows = []
    for absurd in (0, 100):
        objects = game.objects()
        statistics = nnx.state(objects[:2], nnx.BatchStat)
        nnx.update(objects[:2], jax.tree.map(lambda a, b=absurd: a + b, statistics))
        rows.append(game.play(objects))
    assert same(*rows)


@of(GAMES, "dcgan")
def test_an_average_is_a_running_mean_of_weights_and_statistics(game):
    objects = game.objects()
    mean, old = nnx.clone(objects[0]), numbers(objects[0])
    game.play(objects)
    now = numbers(objects[0])
    for _ in range(2):
        update_ema(mean, objects[0], decay=0.9)
    wanted = jax.tree.map(lambda a, b: 0.81 * a + 0.19 * b, old, now)
    assert_close(nnx.state(mean), wanted)
    assert not unmoved(old, nnx.state(mean)), "the statistics stand still"
    assert same(now, nnx.state(objects[0])), "it has moved the network"


# --- its randomness -------------------------------------------------------------


def keys_of_a_step(game):
    """A function of a step's key: the keys (n, 2) that are made of it, by whose."""
    seen = {"z": [], "wrong labels": [], "G's dropout": [], "D's dropout": []}
    generator, discriminator, *optimizers = game.objects()

    def dropout(whose):
        def note(x, *, rngs):
            if rngs is not None:
                key = rngs.dropout() if isinstance(rngs, nnx.Rngs) else rngs
                seen[whose].append(jax.random.key_data(key))
            return x

        return note

    def draw(key, shape):
        seen["z"].append(jax.random.key_data(key))
        return jax.random.normal(key, shape)

    def wrong_labels(key, y, classes):
        seen["wrong labels"].append(jax.random.key_data(key))
        return (y + 1) % classes

    generator.prior = draw
    d = getattr(discriminator, "body", discriminator)
    d.dropout = nnx.static(dropout("D's dropout"))
    if hasattr(generator, "dropout"):
        generator.dropout = nnx.static(dropout("G's dropout"))
    graphdef, state = nnx.split((generator, discriminator, *optimizers))

    def keys(state, key):
        step, objects = game.step.__wrapped__, nnx.merge(graphdef, state)
        wrong = {"draw_wrong": wrong_labels} if game.options == WRONG else {}
        step(*objects, game.batch(), key, **game.options, **wrong)
        return {whose: jnp.stack(of) for whose, of in seen.items() if of}

    return functools.partial(jax.jit(keys), state)


@of(CASES)
def test_all_that_a_step_draws_has_a_key_of_its_own(game):
    """Each pass of D too; but G makes the fakes of both steps with one dropout."""
    keys = keys_of_a_step(game)
    keys, others = (jax.device_get(keys(jax.random.key(i))) for i in range(2))
    share = "mismatch_weight" in game.options
    assert ("wrong labels" in keys) == share and len(keys["z"]) == 1
    passes = 4 if share else 3
    many = len(keys["D's dropout"])
    assert many and many % passes == 0
    if "G's dropout" in keys:
        first, second = np.split(keys["G's dropout"], 2)
        np.testing.assert_array_equal(first, second)
        keys["G's dropout"] = first
    drawn = np.concatenate(list(keys.values()))
    assert len(np.unique(drawn, axis=0)) == len(drawn), f"a key is used twice: {keys}"
    for whose, of_step in keys.items():
        other = others[whose][: len(of_step)]
        assert (of_step != other).any(-1).all(), f"another step has the same {whose}"


# --- other devices --------------------------------------------------------------


@of(CASES)
def test_the_step_lowers_for_cpu_cuda_and_tpu(game):
    choices = [{}, WRONG] if game.step is cgan.train_step else [game.options]
    for options in choices:
        step = functools.partial(game.step.__wrapped__, **options)
        assert_lowers(step, game.objects(), game.batch(), KEY)


# --- using the networks ---------------------------------------------------------


def labels_of(game, n=ROWS):
    return [np.arange(n) % 2] if game.told else []


def sample(game, generator, n, key):
    return game.chapter.sample(generator, *(labels_of(game, n) or [n]), key)


@of(GAMES)
def test_shapes_and_ranges_all_the_way(game):
    generator, discriminator, *_ = game.objects()
    generator.prior = jax.random.normal
    x, y = game.batch() if game.told else (game.batch(), None)
    fakes = sample(game, generator, ROWS, KEY)
    assert fakes.shape == (ROWS, *game.shape) and fakes.dtype == jnp.float32
    if len(game.shape) == 3:  # G ends in tanh
        assert -1 <= fakes.min() < 0 < fakes.max() <= 1
    assert same(fakes, sample(game, generator, ROWS, KEY))
    assert not same(fakes, sample(game, generator, ROWS, jax.random.key(1)))
    z = gan.sample_latent(generator, ROWS, KEY)
    assert same(fakes, game.chapter.generate(generator, z, *labels_of(game)))
    p = game.chapter.p_real(discriminator, x, *labels_of(game))
    assert p.shape == (ROWS,) and p.dtype == jnp.float32
    assert 0 < p.min() and p.max() < 1
    if game.told:
        others = game.chapter.generate(generator, z, 1 - y)
        assert (others != fakes).any(axis=(1, 2, 3)).all(), "G is told no label"


def trained(game):
    """The two networks after some steps, and then with dropout, if they know any."""
    objects = game.objects()
    for i in range(5):
        game.play(objects, jax.random.key(i))
    networks = objects[:2]
    for network in networks:
        if hasattr(network, "dropout"):
            network.dropout.rate = 0.5
    return networks


@of(GAMES)
def test_looking_uses_running_statistics_and_moves_nothing(game):
    """A picture or a probability does not depend on its neighbours in the batch."""
    networks = trained(game)
    before = numbers(networks)
    x = game.batch()[0] if game.told else game.batch()
    z = np.asarray(same_latents(KEY, (ROWS, networks[0].latent)))
    looks = game.chapter.generate, game.chapter.p_real
    for look, network, rows in zip(looks, networks, (z, x), strict=True):
        given = [rows, *labels_of(game)]
        together = look(network, *given)
        for i in (0, 7):
            alone = look(network, *(a[i : i + 1] for a in given))
            np.testing.assert_allclose(alone[0], together[i], rtol=1e-4, atol=1e-5)
        assert same(together, look(network, *given)), "dropout is still on"
        statistics = numbers(network, nnx.BatchStat)
        if jax.tree.leaves(statistics):
            modes = dict(use_running_average=False, deterministic=True)
            view = nnx.view(nnx.clone(network), **modes, raise_if_not_found=False)
            as_trained = at_once(view, *given)
            if look is game.chapter.p_real:
                as_trained = nnx.sigmoid(as_trained)
            assert jnp.abs(as_trained - together).max() > 1e-3, "looked as in training"
            nnx.update(network, jax.tree.map(lambda a: a + 1, statistics))
            assert jnp.abs(look(network, *given) - together).max() > 1e-3
            nnx.update(network, statistics)
    sample(game, networks[0], 7, KEY)
    assert same(before, nnx.state(networks))
    norms = [m for _, m in nnx.iter_modules(networks) if isinstance(m, nnx.BatchNorm)]
    assert not any(norm.use_running_average for norm in norms), "it would not train"
    assert bool(norms) == bool(jax.tree.leaves(nnx.state(networks, nnx.BatchStat)))


@of(GAMES, "dense", "cgan_dense")
def test_many_rows_go_in_chunks_and_come_back_in_order(game):
    n = 2000 + ROWS  # 1,000 at a time
    generator, discriminator = map(inference.eval_view, game.objects()[:2])
    z, labels = jax.random.normal(KEY, (n, generator.latent)), labels_of(game, n)
    fakes = game.chapter.generate(generator, z, *labels)
    np.testing.assert_allclose(fakes, at_once(generator, z, *labels), atol=1e-5)
    p = game.chapter.p_real(discriminator, fakes, *labels)
    wanted = nnx.sigmoid(at_once(discriminator, fakes, *labels))
    np.testing.assert_allclose(p, wanted, rtol=1e-5)


@nnx.jit
def at_once(network, *given):
    return network(*given)


@of(GAMES, "dcgan", "cgan_dense", "cgan_conv", "maxout")
def test_a_discriminator_refuses_pictures_of_another_side(game):
    _, discriminator, *_ = game.objects()
    x = game.batch()[0] if game.told else game.batch()
    wanted = rf"looks at pictures \(B, {game.shape[0]}, {game.shape[1]}, 1\)"
    for other in (x[:, :-1, :-1], x.reshape(ROWS, -1, 2, 1), np.tile(x, 3)):
        with pytest.raises(ValueError, match=wanted):
            game.chapter.p_real(discriminator, other, *labels_of(game))
