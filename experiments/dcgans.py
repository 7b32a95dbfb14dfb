"""The figures of chapter 4: the DCGAN, and chapter 3's GAN, after a few minutes.

Both kinds learn from the whole training set and
are measured by the same judge on the same number of samples. The numbers of steps are
fixed, for a few minutes of each; `cpu_minutes` says how long it was.
"""

import numpy as np
from flax import nnx

from experiments import gans
from experiments.registry import (
    ALL_DIGITS,
    CLOTHES,
    DIGITS,
    PHOTOGRAPHS,
    experiment,
)
from gencourse import data, dcgan, gan
from gencourse.train import ema

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


SETS = {"mnist": ALL_DIGITS, "fashion_mnist": CLOTHES}
SAMPLED = (
    f"10,000 samples of the running mean of G; Adam {gans.RATE:g} with b1 0.5, batch "
    f"{BATCH}; "
)


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


def in_words(recipe, hidden, width, steps):
    if recipe == "gan":
        return (
            f"{SAMPLED}{steps[recipe]:,} steps of gan.Generator() and "
            f"gan.Discriminator(dropout={gans.DROPOUT})"
        )
    options = ", ".join(f"{k}={v}" for k, v in RECIPES[recipe].items())
    return (
        f"{SAMPLED}{steps[recipe]:,} steps of dcgan.Generator(width={width}, "
        f"hidden={hidden}) and dcgan.Discriminator(width={width}, hidden={hidden}, "
        f"{options})"
    )


def register(
    place,
    recipe,
    name,
    hidden=HIDDEN,
    width=WIDTH,
    steps=STEPS,
    max_decay=LONGEST,
    more="",
    **options,
):
    """The experiment `place`: a recipe, or "gan", on a set of 28x28 pictures."""
    how = in_words(recipe, hidden, width, steps) + more
    options = {"data": SETS[name], "how": how, "budget": "laptop"} | options

    @experiment(place, **options)
    def run(seed, args):
        images, test = both(name, args)
        x = data.scale(images, "tanh")
        decay = ema.warm_up(max_decay["gan" if recipe == "gan" else "dcgan"])
        options = dict(batch_size=BATCH, steps=steps[recipe], decay=decay)
        pair = networks(recipe, seed, hidden, width)
        drawn, minutes = gans.trained(gan.train_step, pair, x, seed, **options)
        figures = gans.judged(name, data.to_unit(drawn), data.scale(test, "unit"))
        figures["cpu_minutes"] = minutes
        return {f"{place}.{figure}": value for figure, value in figures.items()}


for name in SETS:
    register(f"gan.{name}.short", "gan", name)
    register(f"dcgan.{name}.dropout", "dropout", name)
    register(f"dcgan.{name}.norm", "norm", name)
    register(f"dcgan.{name}.wide", BETTER[name], name, width=WIDER, steps=WIDE)
    for chapter, recipe in (("gan", "gan"), ("dcgan", BETTER[name])):
        register(
            f"{chapter}.{name}.half_hour",
            recipe,
            name,
            steps=HALF_HOUR,
            max_decay=HALF_HOUR_LONGEST,
            more=f"; decay {HALF_HOUR_LONGEST[chapter]}",
            seeds=[0],
            budget="full",
        )
register("dcgan.mnist.local", "dropout", "mnist", hidden=0)


@experiment(
    "dcgan.mnist.long",
    data=DIGITS,
    how=f"the networks of dcgan.mnist.dropout, {LONG:,} steps of batches of {BATCH}, "
    f"Adam {gans.RATE:g} with b1 0.5; 10,000 samples of the running mean of G with "
    f"decay {LONGEST['gan']}",
    seeds=[0],
)
def long(seed, args):
    """The DCGAN on the 50,000 digits of chapter 3's full run, for about its minutes."""
    images, _ = data.load("mnist", full=True, data_dir=args.data_dir)
    x, held = np.split(data.scale(images, "tanh"), [-gans.HELD])
    options = dict(batch_size=BATCH, steps=LONG, decay=ema.warm_up(LONGEST["gan"]))
    pair = networks(BETTER["mnist"], seed)
    drawn, minutes = gans.trained(gan.train_step, pair, x, seed, **options)
    figures = gans.score(
        data.to_unit(drawn), gans.test_digits(args), data.to_unit(held)
    )
    figures["cpu_minutes"] = minutes
    return {f"dcgan.mnist.long.{figure}": value for figure, value in figures.items()}


@experiment(
    "dcgan.cifar10",
    data=PHOTOGRAPHS,
    how=SAMPLED
    + "{steps:,} steps of dcgan.Generator((32, 32, 3), {width}) and "
    "dcgan.Discriminator((32, 32, 3), {width}, norm={norm}, dropout={dropout}); "
    "decay ".format(**CIFAR10)
    + str(LONGEST["dcgan"]),
    seeds=[0],
    budget="laptop",
)
def cifar10(seed, args):
    """Project 4's networks, in full width, on CIFAR-10: some epochs of its 128, and
    the rate of its short runs."""
    images, test = both("cifar10", args)
    sizes = dict(shape=images.shape[1:], width=CIFAR10["width"], rngs=nnx.Rngs(seed))
    kind = {name: CIFAR10[name] for name in ("norm", "dropout")}
    pair = dcgan.Generator(**sizes), dcgan.Discriminator(**kind, **sizes)
    decay = ema.warm_up(LONGEST["dcgan"])
    options = dict(batch_size=BATCH, steps=CIFAR10["steps"], decay=decay)
    x = data.scale(images, "tanh")
    drawn, minutes = gans.trained(gan.train_step, pair, x, seed, **options)
    figures = gans.judged("cifar10", data.to_unit(drawn), data.scale(test, "unit"))
    figures["cpu_minutes"] = minutes
    return {f"dcgan.cifar10.{figure}": value for figure, value in figures.items()}


@experiment(
    "real.cifar10",
    data=PHOTOGRAPHS,
    how="10,000 real training pictures, which the judge has met, for samples",
)
def real_cifar10(seed, args):
    """The same figures of real training pictures, which the judge has met."""
    images, test = both("cifar10", args)
    chosen = np.random.default_rng(seed).permutation(len(images))[: gans.DRAWN]
    real, test = (data.scale(a, "unit") for a in (images[chosen], test))
    figures = gans.judged("cifar10", real, test)
    return {f"real.cifar10.{figure}": value for figure, value in figures.items()}
