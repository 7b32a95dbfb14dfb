"""The figures of chapter 5: conditional GANs, what they draw and what D learned.

All networks learn from MNIST, most of them from
50,000 digits, as 10,000 are held back for Parzen's width; they are measured on as many
samples of each digit. Where D has BatchNorm, its `p_real` uses running statistics that
mix all kinds of batches: compare such figures with no other network's.
"""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from experiments import gans
from experiments.registry import ALL_DIGITS, DIGITS, FEW_DIGITS, experiment
from gencourse import cgan, cgan_conv, cgan_maxout, conditions, data, gan
from gencourse.metrics import classes, judges, neighbours, parzen
from gencourse.train import ema, fit
from recipes import train_judge as classifier

ASKED = np.resize(np.arange(10), gans.DRAWN)
HALF_WRONG = 0.5  # of what D is shown as not real: real ones under wrong labels
CLASSIFIER = {"pictures": 60_000, "epochs": 2, "rate": 4e-3}
BATCH_NORM = functools.partial(nnx.BatchNorm, use_running_average=False, momentum=0.9)
SMALL = nnx.initializers.normal(0.02)
NOTES = {"epochs": (5, 10, 20), "rate": 2e-4, "batch": 64}  # 5, then 10 more, and so on
PAPER_STEPS = 20_000  # of batches of 100; the paper's schedules reach 288,000
CENTRES, ROUNDS = 10_000, 8
# The convolutional ones had 4,000 steps at first ("conv.short"). Twice the steps were
# to better what a classifier learns from their digits: chosen by that score, then.
KINDS = {
    "mlp": {"steps": 20_000, "max_decay": 0.9995, "batch": 64, "rate": 2e-3},
    "conv.short": {"steps": 4_000, "max_decay": 0.998, "batch": 64, "rate": 2e-3},
    "conv": {"steps": 8_000, "max_decay": 0.999, "batch": 64, "rate": 2e-3},
    # What the chapter trains in its laptop budget, on embedded digits.
    "mlp.laptop": {"steps": 3_000, "max_decay": 0.998, "batch": 64, "rate": 2e-3},
    "conv.laptop": {"steps": 600, "max_decay": 0.998, "batch": 64, "rate": 2e-3},
}


def networks(kind, seed):
    rngs = nnx.Rngs(seed)
    if kind.startswith("conv"):
        return cgan_conv.Generator(rngs=rngs), cgan_conv.Discriminator(rngs=rngs)
    return cgan.Generator(rngs=rngs), cgan.Discriminator(rngs=rngs)


def digits(args, split="train"):
    images, labels = data.load("mnist", split, full=True, data_dir=args.data_dir)
    return data.scale(images, "tanh"), labels.astype(np.int32)


def parts(args, laptop=False):
    """(pictures and labels to learn from, pictures held back): of all 60,000 training
    digits, or of the 10,000 embedded ones."""
    if laptop:
        images, labels = data.load("mnist")
        x, labels = data.scale(images, "tanh"), labels.astype(np.int32)
    else:
        x, labels = digits(args)
    held = len(x) // 10 if laptop else gans.HELD
    return (x[:-held], labels[:-held]), x[-held:]


def in_words(kind):
    module = "cgan" if kind.startswith("mlp") else "cgan_conv"
    return (
        f"10,000 samples, as many of each digit, of the running mean of G; "
        f"{module}.Generator() and {module}.Discriminator(), "
        "{steps:,} steps of batches of {batch}, Adam {rate:g} with b1 0.5, decay "
        "{max_decay}; half of what is not real is real pictures under wrong labels, in "
        ".plain none".format(**KINDS[kind])
    )


def register(kind, mismatch_weight=HALF_WRONG):
    """An experiment of a kind of cGAN, a name in KINDS, on 50,000 digits or, for the
    laptop, on 9,000."""
    place = f"cgan.mnist.{kind}" + ("" if mismatch_weight else ".plain")
    recipe, laptop = KINDS[kind], "laptop" in kind
    options = dict(data=FEW_DIGITS, budget="laptop") if laptop else dict(data=DIGITS)

    @experiment(place, how=in_words(kind), **options)
    def run(seed, args):
        pairs, held = parts(args, laptop)
        game = networks(kind, seed)
        adam = optax.adam(recipe["rate"], b1=0.5)
        optimizers = [nnx.Optimizer(a, adam, wrt=nnx.Param) for a in game]
        mean = nnx.clone(game[0])
        step = functools.partial(cgan.train_step, mismatch_weight=mismatch_weight)
        start = time.process_time()
        fit(
            ema.with_ema(step),
            (mean, *game, *optimizers),
            pairs,
            batch_size=recipe["batch"],
            steps=recipe["steps"],
            key=jax.random.key(seed),
            decay=ema.warm_up(recipe["max_decay"]),
        )
        minutes = (time.process_time() - start) / 60
        found = figures(mean, held, seed, args)
        found |= beliefs(game[1], mean, seed, args)
        if mismatch_weight:
            found["gan_train"] = gan_train(mean, seed, args)
        found["cpu_minutes"] = minutes
        return {f"{place}.{name}": value for name, value in found.items()}


for kind in KINDS:
    register(kind)
register("mlp", mismatch_weight=0.0)


@experiment(
    "cgan.mnist.notes",
    data=ALL_DIGITS,
    how="128-256-512-1024 with BatchNorm from the second on, and 512-512-512 with "
    "dropout 0.4; all weights and embeddings N(0, 0.02); Adam 2e-4 with b1 0.5, batch "
    "64; 10,000 samples of G after 5, 15 and 35 epochs",
)
def as_noted(seed, args):
    """The notes' network and recipe: measured after 5, 15 and 35 epochs."""
    x, labels = digits(args)
    rngs = nnx.Rngs(seed)
    soft = dict(kernel_init=SMALL, embedding_init=SMALL, rngs=rngs)
    up, down = (128, 256, 512, 1024), (512, 512, 512)
    generator = cgan.Generator(hidden=up, norm=BATCH_NORM, **soft)
    game = generator, cgan.Discriminator(hidden=down, dropout=0.4, **soft)
    adam = optax.adam(NOTES["rate"], b1=0.5)
    optimizers = [nnx.Optimizer(a, adam, wrt=nnx.Param) for a in game]
    found, done, start = {}, 0, time.process_time()
    for part, epochs in enumerate(NOTES["epochs"]):
        options = dict(batch_size=NOTES["batch"], key=jax.random.key(10 * seed + part))
        fit(halved, (*game, *optimizers), (x, labels), epochs=epochs, **options)
        done += epochs
        told = conditional(draw(generator, ASKED, seed), args)
        found |= {f"{name}.after_{done}": value for name, value in told.items()}
    found["cpu_minutes"] = (time.process_time() - start) / 60
    return {f"cgan.mnist.notes.{name}": value for name, value in found.items()}


def halved(generator, discriminator, g_optimizer, d_optimizer, batch, key):
    """Chapter 5's step with the mean of D's two terms in place of their sum."""

    def d_loss(real, fake):
        return tuple(term / 2 for term in gan.d_loss(real, fake))

    game = generator, discriminator, g_optimizer, d_optimizer
    return cgan.train_step(*game, batch, key, d_loss=d_loss)


@experiment(
    "cgan.mnist.paper",
    data=DIGITS,
    how=f"cgan_maxout.Generator() and cgan_maxout.Discriminator(), SGD of batches of "
    f"100, the paper's schedules compressed from 288,000 steps to {PAPER_STEPS:,}; "
    f"10,000 samples of G",
)
def paper(seed, args):
    """Mirza and Osindero's networks and optimizer, the schedules compressed."""
    pairs, held = parts(args)
    rngs = nnx.Rngs(seed)
    game = cgan_maxout.Generator(rngs=rngs), cgan_maxout.Discriminator(rngs=rngs)
    rule = cgan_maxout.sgd(PAPER_STEPS)
    optimizers = [nnx.Optimizer(a, rule, wrt=nnx.Param) for a in game]
    start = time.process_time()
    fit(
        cgan.train_step,
        (*game, *optimizers),
        pairs,
        batch_size=100,
        steps=PAPER_STEPS,
        key=jax.random.key(seed),
    )
    minutes = (time.process_time() - start) / 60
    found = figures(game[0], held, seed, args) | {"cpu_minutes": minutes}
    return {f"cgan.mnist.paper.{name}": value for name, value in found.items()}


@experiment(
    "k_means.mnist",
    data=DIGITS,
    how=f"{CENTRES:,} centres of the 50,000, {ROUNDS} rounds",
    seeds=[0],
)
def k_means(seed, args):
    """The Parzen figure of the centres of k-means, put in place of samples."""
    x, _ = digits(args)
    x, held = np.split(data.to_unit(x), [-gans.HELD])
    centres = lloyd(x.reshape(len(x), -1), CENTRES, ROUNDS, seed)
    centres = centres.reshape(-1, *x.shape[1:])
    width, _ = parzen.choose_bandwidth(held, centres, gans.WIDTHS)
    nats = parzen.parzen_log_likelihood(gans.test_digits(args), centres, width)
    return {
        "k_means.mnist.parzen": float(nats.mean()),
        "k_means.mnist.parzen_error": float(nats.std(ddof=1) / len(nats) ** 0.5),
        "k_means.mnist.parzen_width": width,
    }


def lloyd(rows, k, rounds, seed):
    """Centres (k, D) of rows (N, D): each the mean of the rows nearest to it."""
    centres = np.random.default_rng(seed).permutation(rows)[:k]
    for _ in range(rounds):
        _, nearest = neighbours.nearest(rows, centres)
        order = np.argsort(nearest[:, 0], kind="stable")
        there, first = np.unique(nearest[order, 0], return_index=True)
        counts = np.diff([*first, len(rows)])[:, None]
        centres[there] = np.add.reduceat(rows[order], first, axis=0) / counts
    return centres


def draw(generator, labels, seed):
    """Pictures of `labels` in [0, 1]."""
    drawn = cgan.sample(generator, labels, jax.random.key(1000 + seed))
    return data.to_unit(drawn)


def conditional(drawn, args):
    """Are they what was asked for, and different enough? Of one picture an ASKED."""
    test, labels = digits(args, "test")
    within = classes.variance_within(drawn, ASKED, data.to_unit(test), labels)
    return {
        "agreement": judges.agreement(judges.load_judge("mnist"), drawn, ASKED),
        "variance_within": float(within.mean()),
        "least_variance_within": float(within.min()),
    }


def figures(generator, held, seed, args):
    """All that is measured of a G's pictures; Parzen's width by those in `held`."""
    drawn = draw(generator, ASKED, seed)
    told = gans.score(drawn, gans.test_digits(args), data.to_unit(held))
    return told | conditional(drawn, args)


def beliefs(discriminator, generator, seed, args):
    """What D says of pairs it has never seen: real ones, right and wrong, and fakes."""
    x, labels = digits(args, "test")
    wrong = conditions.wrong_labels(jax.random.key(seed), jnp.asarray(labels))
    fakes = cgan.sample(generator, labels, jax.random.key(2000 + seed))
    pairs = {"real": (x, labels), "wrong": (x, np.asarray(wrong))}
    pairs["fake"] = fakes, labels
    return {
        f"belief_{name}": float(cgan.p_real(discriminator, *pair).mean())
        for name, pair in pairs.items()
    }


def gan_train(generator, seed, args):
    """The accuracy, on real test digits, of a classifier that saw only drawn ones."""
    asked = np.resize(np.arange(10), CLASSIFIER["pictures"])
    return taught(draw(generator, asked, 10 + seed), asked, seed, args)


@experiment(
    "real.mnist.real_train",
    data=ALL_DIGITS,
    how="the judge's network, trained as those on generated digits are",
    seeds=[0],
)
def real_train(seed, args):
    """The same of a classifier that learned from as many real ones."""
    x, labels = digits(args)
    return {"real.mnist.real_train": taught(data.to_unit(x), labels, seed, args)}


def taught(pictures, labels, seed, args):
    """Train the judge's network, again, on pictures in [0, 1]; its test accuracy."""
    network = judges.Judge(training=True, rngs=nnx.Rngs(seed))
    steps = CLASSIFIER["epochs"] * (len(labels) // 128)
    rate = optax.cosine_onecycle_schedule(steps, CLASSIFIER["rate"])
    optimizer = nnx.Optimizer(
        network, optax.adamw(rate, weight_decay=1e-2), wrt=nnx.Param
    )
    bytes_ = np.round(255 * pictures).astype(np.uint8)  # as the real ones come
    fit(
        classifier.train_step,
        (network, optimizer),
        (bytes_, labels.astype(np.int32)),
        batch_size=128,
        steps=steps,
        key=jax.random.key(seed),
        **classifier.AUGMENT["mnist"],
    )
    x, labels = digits(args, "test")
    still = nnx.view(network, use_running_average=True)
    named = judges.probabilities(still, data.to_unit(x)).argmax(axis=1)
    return float((named == labels).mean())
