"""The figures of chapter 4: the DCGAN, and chapter 3's GAN, after a few minutes.

`measure.py` calls these with a seed. Both kinds learn from the whole training set and
are measured by the same judge on the same number of samples. The numbers of steps are
fixed, for a few minutes of each; `cpu_minutes` says how long it was.
"""

import numpy as np
from flax import nnx

from gencourse import data, dcgan, gan
from results import gans

BATCH = 64
HIDDEN = 256  # units of the DCGAN's dense layers; 0: none
WIDTH, WIDER = 32, 64  # of the DCGAN
# Of D's two recipes, dropout and BatchNorm, the better one differs from set to set.
RECIPES = {
    "dropout": {"norm": False, "dropout": 0.3},
    "norm": {"norm": True, "dropout": 0.0},
}
BETTER = {"mnist": "dropout", "fashion_mnist": "norm"}
STEPS = {"dropout": 4400, "norm": 4000, "gan": 26_000}
WIDE = {"dropout": 1750, "norm": 1600}  # in as many minutes, of the wider one
HALF_HOUR = {"dropout": 16_000, "norm": 18_000, "gan": 90_000}
LONG = 9500  # of the DCGAN
CIFAR10 = {"width": 64, "norm": True, "dropout": 0.3, "steps": 3500}
LONGEST = {"dcgan": 0.998, "gan": 0.9995}  # of the mean of G's weights
HALF_HOUR_LONGEST = {"dcgan": 0.9995, "gan": 0.9998}  # the same in half an hour


def networks(recipe, seed, hidden=HIDDEN, width=WIDTH):
    rngs = nnx.Rngs(seed)
    if recipe == "gan":
        discriminator = gan.Discriminator(dropout=gans.DROPOUT, rngs=rngs)
        return gan.Generator(rngs=rngs), discriminator
    options = dict(width=width, hidden=hidden, rngs=rngs)
    discriminator = dcgan.Discriminator(**RECIPES[recipe], **options)
    return dcgan.Generator(**options), discriminator


def both(name, args):
    """All training and all test pictures of a set, uint8."""
    options = dict(full=True, data_dir=args.data_dir)
    return (data.load(name, split, **options)[0] for split in ("train", "test"))


def of(recipe, name, place, hidden=HIDDEN, width=WIDTH, steps=STEPS, longest=LONGEST):
    """The experiment `place`: a recipe, or "gan", on a set of 28x28 pictures."""
    decay = gans.until(longest["gan" if recipe == "gan" else "dcgan"])

    def run(seed, args):
        images, test = both(name, args)
        x = data.scale(images, "tanh")
        options = dict(batch_size=BATCH, steps=steps[recipe], decay=decay)
        pair = networks(recipe, seed, hidden, width)
        drawn, minutes = gans.trained(gans.averaged, pair, x, seed, **options)
        figures = gans.judged(name, gans.unit(drawn), data.scale(test, "unit"))
        figures["cpu_minutes"] = minutes
        return {f"{place}.{figure}": value for figure, value in figures.items()}

    return run


def long(seed, args):
    """The DCGAN on the 50,000 digits of chapter 3's full run, for about its minutes."""
    images, _ = data.load("mnist", full=True, data_dir=args.data_dir)
    x, held = np.split(data.scale(images, "tanh"), [-gans.HELD])
    options = dict(batch_size=BATCH, steps=LONG, decay=gans.until(LONGEST["gan"]))
    pair = networks(BETTER["mnist"], seed)
    drawn, minutes = gans.trained(gans.averaged, pair, x, seed, **options)
    figures = gans.score(gans.unit(drawn), gans.test_digits(args), gans.unit(held))
    figures["cpu_minutes"] = minutes
    return {f"dcgan.mnist.long.{figure}": value for figure, value in figures.items()}


def cifar10(seed, args):
    """Project 4's networks, in full width, on CIFAR-10: some epochs of its 128, and
    the rate of its short runs."""
    images, test = both("cifar10", args)
    sizes = dict(shape=images.shape[1:], width=CIFAR10["width"], rngs=nnx.Rngs(seed))
    kind = {name: CIFAR10[name] for name in ("norm", "dropout")}
    pair = dcgan.Generator(**sizes), dcgan.Discriminator(**kind, **sizes)
    decay = gans.until(LONGEST["dcgan"])
    options = dict(batch_size=BATCH, steps=CIFAR10["steps"], decay=decay)
    x = data.scale(images, "tanh")
    drawn, minutes = gans.trained(gans.averaged, pair, x, seed, **options)
    figures = gans.judged("cifar10", gans.unit(drawn), data.scale(test, "unit"))
    figures["cpu_minutes"] = minutes
    return {f"dcgan.cifar10.{figure}": value for figure, value in figures.items()}


def real_cifar10(seed, args):
    """The same figures of real training pictures, which the judge has met."""
    images, test = both("cifar10", args)
    chosen = np.random.default_rng(seed).permutation(len(images))[: gans.DRAWN]
    real, test = (data.scale(a, "unit") for a in (images[chosen], test))
    figures = gans.judged("cifar10", real, test)
    return {f"real.cifar10.{figure}": value for figure, value in figures.items()}
