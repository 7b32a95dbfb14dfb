"""Chapter 6: sketches coloured in, and what each part of Pix2Pix is for.

Measured on the 2,000 test faces, of which no twin is among those to train; recipes were
chosen on 1,000 held-back training faces. `never_met` are test faces with a bun and a
long beard, which no training face has together.
"""

import functools
import time

import jax
import numpy as np
import optax
from flax import nnx

from experiments.registry import experiment
from gencourse import data, pix2pix
from gencourse.metrics import face_judge
from gencourse.metrics.counterfactual import colour_distances
from gencourse.metrics.samples import frechet_distance
from gencourse.train import ema, fit

HELD = 1000
SHOWN = ("hair", "beard", "eyes", "mouth")  # what a sketch shows
SETTINGS = {  # G's width, D's, steps, batch, rate
    "laptop": (16, 8, 4000, 4, 1e-3),
    "full": (48, 24, 40_000, 8, 4e-4),
}
L1_WEIGHT = 20
NEAR = 0.06  # half the distance of the two shirt colours that are next to each other


def pairs(table):
    """(sketches, faces) of {factor: int (N,)}, in [-1, 1]."""
    return tuple(
        data.scale(draw(**table), "tanh") for draw in (data.sketch, data.compose)
    )


def part(split, numbers=slice(None)):
    return {f: c[numbers] for f, c in data.attributes("faces", split).items()}


def never_met():
    """Test faces, given a bun and a long beard."""
    return part("test", slice(HELD)) | {
        f: np.full(HELD, data.factors[f].index(v))
        for f, v in (("hair", "bun"), ("beard", "long beard"))
    }


def trained(seed, budget, table, l1_weight=L1_WEIGHT, **how):
    """(the mean of G, CPU-minutes); `how`: of the networks, and adversarial."""
    g_width, d_width, steps, batch_size, rate = SETTINGS[budget]
    rngs = nnx.Rngs(seed)
    options = {k: how[k] for k in ("skips", "dropout") if k in how}
    g = pix2pix.Generator(width=g_width, rngs=rngs, **options)
    options = {k: how[k] for k in ("halvings", "norm") if k in how}
    d = pix2pix.Discriminator(width=d_width, rngs=rngs, **options)
    falling = optax.linear_schedule(rate, 0, steps // 2, steps // 2)
    rule, mean = optax.adam(falling, b1=0.5), nnx.clone(g)
    step = functools.partial(
        pix2pix.train_step, adversarial=how.get("adversarial", True)
    )
    start = time.process_time()
    fit(
        ema.with_ema(step),
        (mean, g, d, *(nnx.Optimizer(a, rule, wrt=nnx.Param) for a in (g, d))),
        pairs(table),
        batch_size=batch_size,
        steps=steps,
        key=jax.random.key(seed),
        decay=ema.warm_up(0.99),
        l1_weight=l1_weight,
        progress=False,
    )
    return mean, (time.process_time() - start) / 60


def saturation(pictures):
    """The mean of the largest channel less the smallest one."""
    return float((pictures.max(axis=-1) - pictures.min(axis=-1)).mean())


def figures(pictures, table, judge):
    """pictures: (N, 64, 64, 3) in [0, 1], made from the sketches of `table`."""
    truth = data.compose(**table) / np.float32(255)
    asked = {f: table[f] for f in SHOWN}
    read = face_judge.agreement(judge, pictures, asked)
    features = face_judge.features(judge, pictures)
    off = colour_distances(pictures, table)  # (N, 10)
    return {
        "l1": float(np.abs(pictures - truth).mean()),
        "frechet": float(frechet_distance(features, face_judge.features(judge, truth))),
        "saturation": saturation(pictures) / saturation(truth),
        "real_colours": float((off.min(axis=1) <= NEAR).mean()),
        "colours": len(set(off.argmin(axis=1)[off.min(axis=1) <= NEAR])),
        "shown": min(read.values()),
    } | {f"shown_{f}": share for f, share in read.items()}


def coloured(generator, table, key=None):
    x, _ = pairs(table)
    return np.asarray(data.to_unit(pix2pix.translate(generator, x, key)))


@functools.cache
def nearest(split="test"):
    """For each sketch, the number of the training sketch nearest to it, (N,)."""
    known, asked = (
        data.sketch(**part(s)).reshape(-1, 64, 64).astype(np.float32)
        for s in ("train", split)
    )
    known, asked = (
        a.reshape(len(a), 32, 2, 32, 2).mean(axis=(2, 4)).reshape(len(a), -1)
        for a in (known, asked)
    )
    squares = (known**2).sum(axis=1) / 2
    found = [(squares - a @ known.T).argmin(axis=1) for a in np.split(asked, 20)]
    return np.concatenate(found)


def register(name, what, seeds, budget="laptop", number=None, **how):
    g_width, d_width, steps, batch_size, rate = SETTINGS[budget]

    @experiment(
        name,
        data=f"faces at 64x64, {number or 9000:,} of the 10,000 to train, 2,000 test",
        how=f"{what}; widths {g_width} and {d_width}, {steps:,} steps of {batch_size}, "
        f"Adam {rate:g}, falling from halfway; mean of G, 0.99. l1: of [0, 1]; "
        "saturation: over that of the truth; real_colours: the share whose clothes "
        f"have a median colour that is off by {NEAR:g} or less from one of the ten "
        "real ones; colours: how many of the ten; shown: the least share of hair, "
        "beard, eyes and mouth that the judge reads as sketched",
        seeds=seeds,
        budget=budget,
    )
    def run(seed, args):
        judge, taught = face_judge.load_face_judge(), part("train", slice(-HELD))
        taught = {f: c[:number] for f, c in taught.items()}
        generator, minutes = trained(seed, budget, taught, **how)
        found = figures(coloured(generator, part("test")), part("test"), judge)
        held = figures(
            coloured(generator, part("train", slice(-HELD, None))),
            part("train", slice(-HELD, None)),
            judge,
        )
        found |= {f"held_{f}": held[f] for f in ("l1", "frechet", "real_colours")}
        new = figures(coloured(generator, never_met()), never_met(), judge)
        found |= {f"never_met_{f}": new[f] for f in ("l1", "shown")}
        first = {f: c[:HELD] for f, c in taught.items()}
        found["taught_l1"] = figures(coloured(generator, first), first, judge)["l1"]
        if how.get("dropout"):
            found |= spread(generator, seed)
        found["cpu_minutes"] = minutes
        return {f"{name}.{key}": float(value) for key, value in found.items()}


def spread(generator, seed):
    """How far two draws for one sketch are apart, beside two real shirts of it."""
    table = part("test", slice(HELD))
    keys = jax.random.split(jax.random.key(1000 + seed))
    drawn = [coloured(generator, table, key) for key in keys]
    colours = np.random.default_rng(seed).integers(0, 10, (2, HELD))
    real = [
        data.compose(**table | {"clothes_colour": c}) / np.float32(255) for c in colours
    ]
    apart, real_apart = (float(np.abs(a - b).mean()) for a, b in (drawn, real))
    return {"apart": apart, "real_apart": real_apart}


NAME = "pix2pix.faces.sketch"
register(NAME, f"D of patches of 34, L1 weight {L1_WEIGHT}", [0, 1, 2])
register(f"{NAME}.l1_alone", "no D, L1 alone", [0, 1, 2], adversarial=False)
register(f"{NAME}.d_alone", "D alone, no L1", [0], l1_weight=0)
register(f"{NAME}.no_skips", "no skips", [0], skips=False)
register(f"{NAME}.patch_1", "D of single pixels", [0], halvings=0)
register(f"{NAME}.patch_16", "D of patches of 16", [0], halvings=1)
register(f"{NAME}.patch_70", "D of patches of 70, the whole", [0], halvings=3)
register(f"{NAME}.no_norm", "D without InstanceNorm", [0], norm=False)
register(f"{NAME}.weight_100", "L1 weight 100", [0], l1_weight=100)
register(f"{NAME}.dropout", "dropout of one half", [0], dropout=0.5)
register(f"{NAME}.few", "of 100 faces", [0], number=100)
register(f"{NAME}.full", f"L1 weight {L1_WEIGHT}", [0], budget="full")


@experiment(
    "real.faces_sketch",
    data="faces at 64x64, 10,000 to train, 2,000 test",
    how="without a network: the face of the nearest training sketch (by squared "
    "differences at 32x32), and the sketch itself, as pix2pix.faces.sketch measures",
    seeds=[0],
)
def without_a_network(seed, args):
    judge, table = face_judge.load_face_judge(), part("test")
    copied = data.load("faces")[0][nearest()] / np.float32(255)
    as_it_is = np.repeat(data.sketch(**table), 3, axis=-1) / np.float32(255)
    found = {}
    for which, pictures in (("nearest", copied), ("copied", as_it_is)):
        measured = figures(pictures, table, judge)
        found |= {f"real.faces_sketch.{which}_{k}": v for k, v in measured.items()}
    return found
