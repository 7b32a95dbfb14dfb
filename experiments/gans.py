"""The figures of chapter 3: how they are trained and what is measured of them.

They choose nothing by what they score: the
Parzen window is chosen on pictures held back, and everything else is fixed here.
"""

import math
import time

import jax
import numpy as np
import optax
from flax import nnx

from experiments.registry import DIGITS, FEW_DIGITS, experiment
from gencourse import data, gan
from gencourse.metrics import judges, neighbours, parzen, samples
from gencourse.train import ema, fit

RATE, EPOCHS, DROPOUT, DECAY = 2e-3, 130, 0.15, 0.9998
HELD = 10_000  # training pictures that are kept for choosing the Parzen window
DRAWN = 10_000
WIDTHS = np.geomspace(0.1, 0.4, 15)
RING_WIDTH = 0.05  # of a ring of radius 1


@experiment(
    "gan.mnist",
    data=DIGITS,
    how=f"gan.Generator() and gan.Discriminator(dropout={DROPOUT}), batch 100, Adam "
    f"{RATE:g} with b1 0.5, {EPOCHS} epochs, running mean of G with decay {DECAY}; "
    f"10,000 samples",
)
def mnist(seed, args):
    """The MLP GAN on 50,000 digits; every figure on the 10,000 official test ones."""
    images, _ = data.load("mnist", full=True, data_dir=args.data_dir)
    x, held = np.split(data.scale(images, "tanh"), [-HELD])
    drawn, minutes = digits(x, seed, DECAY, batch_size=100, epochs=EPOCHS)
    figures = score(data.to_unit(drawn), test_digits(args), data.to_unit(held))
    figures["cpu_minutes"] = minutes
    return {f"gan.mnist.{name}": value for name, value in figures.items()}


@experiment(
    "gan.mnist.laptop",
    data=FEW_DIGITS,
    how="the same networks and rate, batch 64, 6,000 steps, decay 0.999",
    budget="laptop",
)
def mnist_laptop(seed, args):
    """The same of what the chapter trains in its laptop budget, on embedded digits."""
    x, held = np.split(data.scale(data.load("mnist")[0], "tanh"), [-1000])
    drawn, minutes = digits(x, seed, 0.999, batch_size=64, steps=6000)
    figures = score(data.to_unit(drawn), test_digits(args), data.to_unit(held))
    figures["cpu_minutes"] = minutes
    return {f"gan.mnist.laptop.{name}": value for name, value in figures.items()}


def test_digits(args):
    images, _ = data.load("mnist", "test", full=True, data_dir=args.data_dir)
    return data.scale(images, "unit")


def digits(x, seed, decay, **how_long):
    """Chapter 3's GAN, trained on x: what `trained` gives."""
    rngs = nnx.Rngs(seed)
    networks = gan.Generator(rngs=rngs), gan.Discriminator(dropout=DROPOUT, rngs=rngs)
    return trained(gan.train_step, networks, x, seed, decay=decay, **how_long)


def trained(step, networks, x, seed, **options):
    """Train `networks` on x by `step`; return DRAWN pictures (DRAWN, *shape) in [-1, 1]
    of the EMA of G, and the CPU-minutes, of all threads, that it took."""
    adam = optax.adam(RATE, b1=0.5)
    optimizers = [nnx.Optimizer(a, adam, wrt=nnx.Param) for a in networks]
    mean = nnx.clone(networks[0])
    start = time.process_time()
    objects = mean, *networks, *optimizers
    fit(ema.with_ema(step), objects, x, key=jax.random.key(seed), **options)
    minutes = (time.process_time() - start) / 60
    return gan.sample(mean, DRAWN, jax.random.key(1000 + seed)), minutes


@experiment("real.mnist", data=DIGITS, how="10,000 training pictures")
def real(seed, args):
    """The same figures of real training pictures, put in place of drawn ones.

    The judge has learned from them: its confidence is a little higher than elsewhere.
    """
    images, _ = data.load("mnist", full=True, data_dir=args.data_dir)
    x, held = np.split(data.scale(images, "unit"), [-HELD])
    chosen = np.random.default_rng(seed).permutation(len(x))[:DRAWN]
    found = score(x[chosen], test_digits(args), held)
    return {f"real.mnist.{name}": value for name, value in found.items()}


def score(drawn, test, held):
    """What stands in the chapter's table, of pictures (N, 28, 28, 1) in [0, 1]."""
    figures = judged("mnist", drawn, test)
    width, _ = parzen.choose_bandwidth(held, drawn, WIDTHS)
    nats = parzen.parzen_log_likelihood(test, drawn, width)
    return {
        **figures,
        "parzen": float(nats.mean()),
        "parzen_error": float(nats.std(ddof=1) / math.sqrt(len(nats))),
        "parzen_width": width,
    }


def judged(name, drawn, test):
    """What a judge says of pictures (N, *shape) in [0, 1], beside real `test` ones.

    Its `entropy` is over the judged classes, in nats.
    """
    judge = judges.load_judge(name)
    p = judges.probabilities(judge, drawn)
    named, features = p.argmax(axis=1), judges.features(judge, drawn)
    reference = judge.feature_mean, judge.feature_covariance
    precision, recall = neighbours.precision_recall(
        features, judges.features(judge, test)
    )
    return {
        "classes": samples.class_coverage(named),
        "entropy": samples.entropy(named),
        "confidence": float(p.max(axis=1).mean()),
        "frechet": samples.frechet_distance(features, reference),
        "precision": precision,
        "recall": recall,
    }


@experiment(
    "gan.ring",
    data="20,000 points of 8 Gaussians of deviation 0.05 on a ring of radius 1",
    how="two hidden layers of 128, batch 256, Adam 1e-3 falling, 20,000 steps",
)
def ring(seed, args):
    """Eight Gaussians of deviation 0.05 on a ring of radius 1."""
    angles = 2 * np.pi * np.arange(8) / 8
    centres = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    rng = np.random.default_rng(seed)
    steps = RING_WIDTH * rng.normal(size=(20_000, 2))
    points = (centres[rng.integers(8, size=20_000)] + steps).astype(np.float32)
    rngs = nnx.Rngs(seed)
    common = {"hidden": (128, 128), "shape": (2,), "rngs": rngs}
    generator = gan.Generator(2, output_activation=lambda a: a, norm=False, **common)
    networks = generator, gan.Discriminator(**common)
    turns = 20_000
    rule = optax.adam(optax.cosine_decay_schedule(1e-3, turns, 0.02), b1=0.5)
    optimizers = [nnx.Optimizer(a, rule, wrt=nnx.Param) for a in networks]
    options = dict(batch_size=256, steps=turns, key=jax.random.key(seed))
    fit(gan.train_step, (*networks, *optimizers), points, **options)
    drawn = gan.sample(generator, DRAWN, jax.random.key(1000 + seed))
    away, mode = neighbours.nearest(drawn, centres.astype(np.float32))
    inside = away[:, 0] < 3 * RING_WIDTH
    found = np.bincount(mode[inside, 0], minlength=8) >= 0.1 * DRAWN / 8
    return {
        "gan.ring.modes": int(found.sum()),
        "gan.ring.inside": float(inside.mean()),
    }
