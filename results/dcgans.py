"""The figures of chapter 4: the DCGAN, and chapter 3's GAN, after a few minutes.

`measure.py` calls these with a seed. Both kinds learn from the whole training set and
are measured by the same judge on the same number of samples. The numbers of steps are
fixed, for a few minutes of each; `cpu_minutes` says how long it was.
"""

import jax.numpy as jnp
import numpy as np
from flax import nnx

from gencourse import data, dcgan, gan
from results import gans

BATCH = 64
HIDDEN = 256  # units of the DCGAN's dense layers; 0: none
STEPS = {"dcgan": 4400, "gan": 26_000}
LONG = 9500  # of the DCGAN
LONGEST = {"dcgan": 0.998, "gan": 0.9995}  # of the mean of G's weights


def networks(kind, seed, hidden=HIDDEN):
    rngs = nnx.Rngs(seed)
    if kind == "gan":
        discriminator = gan.Discriminator(dropout=gans.DROPOUT, rngs=rngs)
        return gan.Generator(rngs=rngs), discriminator
    options = dict(width=32, hidden=hidden, rngs=rngs)
    return dcgan.Generator(**options), dcgan.Discriminator(**options)


def of(kind, name, hidden=HIDDEN):
    """The experiment of a kind of GAN ("dcgan" or "gan") on a set of 28x28 pictures."""
    decay = until(LONGEST[kind])

    def run(seed, args):
        images, _ = data.load(name, full=True, data_dir=args.data_dir)
        test, _ = data.load(name, "test", full=True, data_dir=args.data_dir)
        x = data.scale(images, "tanh")
        drawn, minutes = gans.trained(
            gans.averaged,
            networks(kind, seed, hidden),
            x,
            seed,
            batch_size=BATCH,
            steps=STEPS[kind],
            decay=decay,
        )
        figures = gans.judged(name, gans.unit(drawn), data.scale(test, "unit"))
        figures["cpu_minutes"] = minutes
        if kind == "gan":
            place = f"gan.{name}.short"
        else:
            place = f"dcgan.{name}" if hidden else f"dcgan.{name}.local"
        return {f"{place}.{figure}": value for figure, value in figures.items()}

    return run


def long(seed, args):
    """The DCGAN on the 50,000 digits of chapter 3's full run, for about its minutes."""
    images, _ = data.load("mnist", full=True, data_dir=args.data_dir)
    x, held = np.split(data.scale(images, "tanh"), [-gans.HELD])
    options = dict(batch_size=BATCH, steps=LONG, decay=until(LONGEST["gan"]))
    pair = networks("dcgan", seed)
    drawn, minutes = gans.trained(gans.averaged, pair, x, seed, **options)
    figures = gans.score(gans.unit(drawn), gans.test_digits(args), gans.unit(held))
    figures["cpu_minutes"] = minutes
    return {f"dcgan.mnist.long.{figure}": value for figure, value in figures.items()}


def until(longest):
    """The decay at step t of a mean that begins short, so as to forget the start."""
    return lambda t: jnp.minimum(longest, (1 + t) / (10 + t))
