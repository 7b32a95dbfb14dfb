"""The figures of chapter 4: the DCGAN, and chapter 3's GAN in the same CPU-minutes.

`measure.py` calls these with a seed. Both kinds learn from the whole training set and
are measured by the same judge on the same number of samples; the numbers of steps are
fixed, so that both take about as long, and `cpu_minutes` says how long it was.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from gencourse import data, dcgan, gan
from gencourse.metrics import judge as judges
from gencourse.metrics import samples
from gencourse.train import fit

RATE, BATCH = 2e-3, 64
STEPS = {"dcgan": 4800, "gan": 26_000}
LONGEST = {"dcgan": 0.998, "gan": 0.9995}  # of the mean of G's weights
DRAWN = 10_000


@nnx.jit
def averaged(
    mean, generator, discriminator, g_optimizer, d_optimizer, batch, key, decay
):
    """Chapter 3's step, and a running mean of G's weights and statistics."""
    game = generator, discriminator, g_optimizer, d_optimizer
    figures = gan.train_step(*game, batch, key)
    gan.average(mean, generator, decay)
    return figures


def networks(kind, seed):
    rngs = nnx.Rngs(seed)
    if kind == "gan":
        return gan.Generator(rngs=rngs), gan.Discriminator(dropout=0.15, rngs=rngs)
    options = dict(width=32, rngs=rngs)
    discriminator = dcgan.Discriminator(norm=True, dropout=0.0, **options)
    return dcgan.Generator(**options), discriminator


def of(kind, name):
    """The experiment of a kind of GAN ("dcgan" or "gan") on a set of 28x28 pictures."""

    def run(seed, args):
        images, _ = data.load(name, full=True, data_dir=args.data_dir)
        test, _ = data.load(name, "test", full=True, data_dir=args.data_dir)
        x = data.scale(images, "tanh")
        players = networks(kind, seed)
        adam = optax.adam(RATE, b1=0.5)
        optimizers = [nnx.Optimizer(a, adam, wrt=nnx.Param) for a in players]
        mean = nnx.clone(players[0])
        gan.check(x)  # fit asks the step's own module, which is this one
        start = time.process_time()
        fit(
            averaged,
            (mean, *players, *optimizers),
            x,
            batch_size=BATCH,
            steps=STEPS[kind],
            key=jax.random.key(seed),
            decay=lambda t: jnp.minimum(LONGEST[kind], (1 + t) / (10 + t)),
        )
        minutes = (time.process_time() - start) / 60
        drawn = (gan.sample(mean, DRAWN, jax.random.key(1000 + seed)) + 1) / 2
        figures = score(name, np.asarray(drawn), data.scale(test, "unit"))
        figures["cpu_minutes"] = minutes
        place = f"dcgan.{name}" if kind == "dcgan" else f"gan.{name}.short"
        return {f"{place}.{figure}": value for figure, value in figures.items()}

    return run


def score(name, drawn, test):
    """What stands in the chapter's table, of pictures (N, 28, 28, 1) in [0, 1]."""
    judge = judges.load_judge(name)
    named = judges.probabilities(judge, drawn).argmax(axis=1)
    features = judges.features(judge, drawn)
    reference = judge.feature_mean, judge.feature_covariance
    precision, recall = samples.precision_recall(features, judges.features(judge, test))
    return {
        "classes": samples.coverage(named),
        "entropy": samples.entropy(named),
        "frechet": samples.frechet(features, reference),
        "precision": precision,
        "recall": recall,
    }
