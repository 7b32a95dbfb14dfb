"""The figures of chapter 5: conditional GANs, what they draw and what D learned.

`measure.py` calls these with a seed. All networks learn from MNIST, most of them from
50,000 digits, as 10,000 are held back for Parzen's width; they are measured on as many
samples of each digit. Where D has BatchNorm, its `belief` uses running statistics that
mix all kinds of batches: compare such figures with no other network's.
"""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from gencourse import cgan, conv_cgan, data, gan, maxout
from gencourse.metrics import classes, neighbours, parzen
from gencourse.metrics import judge as judges
from gencourse.train import fit
from recipes import judge as classifier
from results import gans

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
    "mlp": {"steps": 20_000, "longest": 0.9995, "batch": 64, "rate": 2e-3},
    "conv.short": {"steps": 4_000, "longest": 0.998, "batch": 64, "rate": 2e-3},
    "conv": {"steps": 8_000, "longest": 0.999, "batch": 64, "rate": 2e-3},
    # What the chapter trains in its laptop budget, on embedded digits.
    "mlp.laptop": {"steps": 3_000, "longest": 0.998, "batch": 64, "rate": 2e-3},
    "conv.laptop": {"steps": 600, "longest": 0.998, "batch": 64, "rate": 2e-3},
}


def networks(kind, seed):
    rngs = nnx.Rngs(seed)
    if kind.startswith("conv"):
        return conv_cgan.Generator(rngs=rngs), conv_cgan.Discriminator(rngs=rngs)
    return cgan.Generator(rngs=rngs), cgan.Discriminator(rngs=rngs)


def averaged(
    mean,
    generator,
    discriminator,
    g_optimizer,
    d_optimizer,
    batch,
    key,
    decay,
    mismatched=HALF_WRONG,
):
    """Chapter 5's step, and a running mean of G's weights."""
    game = generator, discriminator, g_optimizer, d_optimizer
    figures = cgan.train_step(*game, batch, key, mismatched=mismatched)
    gan.average(mean, generator, decay)
    return figures


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


def of(kind, mismatched=HALF_WRONG):
    """The experiment of a kind of cGAN, a name in KINDS, on 50,000 digits or, for the
    laptop, on 9,000."""
    how = KINDS[kind]

    def run(seed, args):
        pairs, held = parts(args, laptop="laptop" in kind)
        game = networks(kind, seed)
        adam = optax.adam(how["rate"], b1=0.5)
        optimizers = [nnx.Optimizer(a, adam, wrt=nnx.Param) for a in game]
        mean = nnx.clone(game[0])
        start = time.process_time()
        fit(
            functools.partial(averaged, mismatched=mismatched),
            (mean, *game, *optimizers),
            pairs,
            batch_size=how["batch"],
            steps=how["steps"],
            key=jax.random.key(seed),
            decay=gans.until(how["longest"]),
        )
        minutes = (time.process_time() - start) / 60
        found = figures(mean, held, seed, args)
        found |= beliefs(game[1], mean, seed, args)
        if mismatched:
            found["gan_train"] = gan_train(mean, seed, args)
        place = f"cgan.mnist.{kind}" + ("" if mismatched else ".plain")
        found["cpu_minutes"] = minutes
        return {f"{place}.{name}": value for name, value in found.items()}

    return run


def as_noted(seed, args):
    """The notes' network and recipe: measured after 5, 15 and 35 epochs."""
    x, labels = digits(args)
    rngs = nnx.Rngs(seed)
    soft = dict(init=SMALL, label_init=SMALL, rngs=rngs)
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
    """Chapter 5's step with the mean of D's two terms in the place of their sum."""

    def d_loss(real, fake):
        return tuple(term / 2 for term in gan.d_loss(real, fake))

    game = generator, discriminator, g_optimizer, d_optimizer
    return cgan.train_step(*game, batch, key, d_loss=d_loss)


def paper(seed, args):
    """Mirza and Osindero's networks and optimizer, the schedules compressed."""
    pairs, held = parts(args)
    rngs = nnx.Rngs(seed)
    game = maxout.Generator(rngs=rngs), maxout.Discriminator(rngs=rngs)
    rule = maxout.sgd(PAPER_STEPS)
    optimizers = [nnx.Optimizer(a, rule, wrt=nnx.Param) for a in game]
    start = time.process_time()
    fit(
        maxout.train_step,
        (*game, *optimizers),
        pairs,
        batch_size=100,
        steps=PAPER_STEPS,
        key=jax.random.key(seed),
    )
    minutes = (time.process_time() - start) / 60
    found = figures(game[0], held, seed, args) | {"cpu_minutes": minutes}
    return {f"cgan.mnist.paper.{name}": value for name, value in found.items()}


def k_means(seed, args):
    """The Parzen figure of the centres of k-means, put in the place of samples."""
    x, _ = digits(args)
    x, held = np.split(gans.unit(x), [-gans.HELD])
    centres = lloyd(x.reshape(len(x), -1), CENTRES, ROUNDS, seed)
    centres = centres.reshape(-1, *x.shape[1:])
    width, _ = parzen.choose_bandwidth(held, centres, gans.WIDTHS)
    nats = parzen.log_likelihood(gans.test_digits(args), centres, width)
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
    return gans.unit(drawn)


def conditional(drawn, args):
    """Are they what was asked for, and different enough? Of one picture an ASKED."""
    test, labels = digits(args, "test")
    within = classes.variance_within(drawn, ASKED, gans.unit(test), labels)
    return {
        "agreement": judges.agreement(judges.load_judge("mnist"), drawn, ASKED),
        "variance_within": float(within.mean()),
        "least_variance_within": float(within.min()),
    }


def figures(generator, held, seed, args):
    """All that is measured of a G's pictures; Parzen's width by those in `held`."""
    drawn = draw(generator, ASKED, seed)
    told = gans.score(drawn, gans.test_digits(args), gans.unit(held))
    return told | conditional(drawn, args)


def beliefs(discriminator, generator, seed, args):
    """What D says of pairs it has never seen: real ones, right and wrong, and fakes."""
    x, labels = digits(args, "test")
    wrong = cgan.wrong_labels(jax.random.key(seed), jnp.asarray(labels))
    fakes = cgan.sample(generator, labels, jax.random.key(2000 + seed))
    pairs = {"real": (x, labels), "wrong": (x, np.asarray(wrong))}
    pairs["fake"] = fakes, labels
    return {
        f"belief_{name}": float(cgan.belief(discriminator, *pair).mean())
        for name, pair in pairs.items()
    }


def gan_train(generator, seed, args):
    """The accuracy, on real test digits, of a classifier that saw only drawn ones."""
    asked = np.resize(np.arange(10), CLASSIFIER["pictures"])
    return taught(draw(generator, asked, 10 + seed), asked, seed, args)


def real_train(seed, args):
    """The same of a classifier that learned from as many real ones."""
    x, labels = digits(args)
    return {"real.mnist.real_train": taught(gans.unit(x), labels, seed, args)}


def taught(pictures, labels, seed, args):
    """Train the judge's network, anew, on pictures in [0, 1]; its test accuracy."""
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
    named = judges.probabilities(still, gans.unit(x)).argmax(axis=1)
    return float((named == labels).mean())
