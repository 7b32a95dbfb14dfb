"""Faces at 32x32: chapter 4's project, and chapter 5's, a face for four words.

Recipes are compared by `held_...`: asked for the words of held-back training faces.
`test_...` are asked for the words of test faces; `agreement` is the least of them.
"""

import functools
import time

import jax
import numpy as np
import optax
from flax import nnx

from experiments.registry import experiment
from gencourse import cgan, cgan_conv, conditions, data, dcgan, gan
from gencourse.metrics import face_judge
from gencourse.metrics.samples import frechet_distance
from gencourse.train import ema, fit

HELD = 1000
ASKED = ("skin", "hair", "beard", "mouth")
SIZES = tuple(len(data.factors[factor]) for factor in ASKED)
SHAPE = (32, 32, 3)
SETTINGS = {  # width, steps, batch, rate
    "laptop": (24, 4000, 32, 1e-3),
    "full": (64, 30_000, 64, 4e-4),
}
BUN, LONG = data.factors["hair"].index("bun"), data.factors["beard"].index("long beard")


def words(table):
    """{factor: int (N,)} -> one-hot vectors side by side, (N, 19)."""
    parts = [np.eye(k)[table[f]] for f, k in zip(ASKED, SIZES, strict=True)]
    return np.concatenate(parts, axis=1).astype(np.float32)


def halved(images):
    """(N, 64, 64, 3) to (N, 32, 32, 3), in [-1, 1]: each pixel is the mean of 2x2."""
    blocks = images.reshape(len(images), 32, 2, 32, 2, 3)
    return data.scale(np.rint(blocks.mean(axis=(2, 4))).astype(np.uint8), "tanh")


def at_64(x):
    """Pictures in [-1, 1] at (N, 64, 64, 3) in [0, 1], as the judge takes them."""
    x = data.to_unit(x)
    return np.asarray(jax.image.resize(x, (len(x), 64, 64, 3), "cubic")).clip(0, 1)


def trained(seed, budget, projection, draw_wrong):
    """(the mean of G, CPU-minutes)."""
    width, steps, batch_size, rate = SETTINGS[budget]
    options = dict(shape=SHAPE, width=width, classes=sum(SIZES), rngs=nnx.Rngs(seed))
    g = conditions.by_vectors(cgan_conv.Generator(**options))
    make = cgan_conv.ProjectionDiscriminator if projection else cgan_conv.Discriminator
    d = conditions.by_vectors(make(norm=False, **options))
    rule = optax.adam(rate, b1=0.5)
    mean = nnx.clone(g)
    step = functools.partial(
        cgan.train_step, mismatch_weight=0.5, draw_wrong=draw_wrong
    )
    start = time.process_time()
    fit(
        ema.with_ema(step),
        (mean, g, d, *(nnx.Optimizer(a, rule, wrt=nnx.Param) for a in (g, d))),
        (
            halved(data.load("faces")[0][:-HELD]),
            words(data.attributes("faces"))[:-HELD],
        ),
        batch_size=batch_size,
        steps=steps,
        key=jax.random.key(seed),
        decay=ema.warm_up(0.998),
        progress=False,
    )
    return mean, (time.process_time() - start) / 60


def asked_for(generator, judge, table, key):
    """What the judge reads of faces that were asked for: {factor: int (N,)}."""
    x = at_64(cgan.sample(generator, words(table), key))
    found = face_judge.probabilities(judge, x)
    return {factor: found[factor].argmax(axis=1) for factor in ASKED}


def shares(found, table):
    return {f: float(np.mean(found[f] == table[f])) for f in ASKED}


def figures(generator, judge, seed):
    keys = jax.random.split(jax.random.key(1000 + seed), 3)
    held = {f: c[-HELD:] for f, c in data.attributes("faces").items()}
    test = data.attributes("faces", "test")
    drawn = shares(asked_for(generator, judge, held, keys[0]), held)
    agreement = shares(asked_for(generator, judge, test, keys[1]), test)
    both = {"hair": np.full(HELD, BUN), "beard": np.full(HELD, LONG)}
    never = {f: test[f][:HELD] for f in ASKED} | both
    read = asked_for(generator, judge, never, keys[2])
    fulfilled = (read["hair"] == BUN) & (read["beard"] == LONG)
    return (
        {f"held_{f}": share for f, share in drawn.items()}
        | {f"test_{f}": share for f, share in agreement.items()}
        | {"agreement": min(agreement.values()), "never_met": float(fulfilled.mean())}
    )


def register(name, seeds, budget="laptop", projection=True, draw_wrong=None):
    width, steps, batch_size, rate = SETTINGS[budget]
    which = "the project's" if projection else "chapter 5's"
    wrong = "another face's words" if draw_wrong else "one word exchanged"
    draw_wrong = draw_wrong or functools.partial(conditions.exchange_one, sizes=SIZES)

    @experiment(
        name,
        data="faces at 32x32, 9,000 of the 10,000 to train, 2,000 test",
        how=f"{steps:,} steps of {batch_size}, width {width}, Adam {rate:g}, "
        f"{which} discriminator, half of what is not real are wrong pairs, {wrong}; "
        "mean of G, 0.998; what the judge of faces reads, of faces enlarged to 64x64",
        seeds=seeds,
        budget=budget,
    )
    def run(seed, args):
        generator, minutes = trained(seed, budget, projection, draw_wrong)
        judge = face_judge.load_face_judge()
        found = figures(generator, judge, seed) | {"cpu_minutes": minutes}
        return {f"{name}.{key}": value for key, value in found.items()}


register("cgan.faces", [0, 1, 2])
register("cgan.faces.rolled", [0], draw_wrong=conditions.wrong_labels)
register("cgan.faces.appended", [0], projection=False)
register("cgan.faces.full", [0], budget="full")


@experiment(
    "dcgan.faces",
    data="faces at 32x32, 10,000 to train, 2,000 test",
    how="width 32, BatchNorm and dropout 0.3 in D, 2,500 steps of 32, Adam 2e-3; 4,000 "
    "drawn by the mean of G, 0.998, enlarged to 64x64; sure: the judge of faces gives "
    "one value of every factor more than one half; never_met: a bun and a long beard, "
    "beside the product of the shares of either",
    budget="laptop",
)
def dcgan_faces(seed, args):
    rngs = nnx.Rngs(seed)
    g = dcgan.Generator(SHAPE, 32, rngs=rngs)
    d = dcgan.Discriminator(SHAPE, 32, norm=True, rngs=rngs)
    rule, mean = optax.adam(2e-3, b1=0.5), nnx.clone(g)
    start = time.process_time()
    fit(
        ema.with_ema(gan.train_step),
        (mean, g, d, *(nnx.Optimizer(a, rule, wrt=nnx.Param) for a in (g, d))),
        halved(data.load("faces")[0]),
        batch_size=32,
        steps=2500,
        key=jax.random.key(seed),
        decay=ema.warm_up(0.998),
        progress=False,
    )
    minutes = (time.process_time() - start) / 60
    judge = face_judge.load_face_judge()
    x = at_64(gan.sample(mean, 4000, jax.random.key(1000 + seed)))
    found = face_judge.probabilities(judge, x)
    bun, long = found["hair"].argmax(1) == BUN, found["beard"].argmax(1) == LONG
    asked = data.attributes("faces")
    ratios = [
        (np.bincount(found[f].argmax(1), minlength=len(values)) / len(x))
        / (np.bincount(asked[f]) / len(asked[f]))
        for f, values in data.factors.items()
    ]
    test = face_judge.features(judge, at_64(halved(data.load("faces", "test")[0])))
    found = {
        "sure": face_judge.sure(judge, x, threshold=0.5).mean(),
        "frechet": frechet_distance(face_judge.features(judge, x), test),
        "never_met": np.mean(bun & long),
        "never_met_if_independent": bun.mean() * long.mean(),
        "least_ratio_of_a_value": min(ratio.min() for ratio in ratios),
        "cpu_minutes": minutes,
    }
    return {f"dcgan.faces.{key}": float(value) for key, value in found.items()}


@experiment(
    "real.faces_at_32",
    data="faces at 32x32, 2,000 test",
    how="test faces, enlarged to 64x64: the least of skin, hair, beard and mouth that "
    "the judge of faces reads rightly",
    seeds=[0],
)
def real_faces_at_32(seed, args):
    judge = face_judge.load_face_judge()
    test = data.attributes("faces", "test")
    x = at_64(halved(data.load("faces", "test")[0]))
    found = face_judge.agreement(judge, x, {f: test[f] for f in ASKED})
    return {"real.faces_at_32.agreement": min(found.values())} | {
        f"real.faces_at_32.{f}": float(share) for f, share in found.items()
    }
