"""Chapter 7: dark hair to blond and back without pairs, and what each part is for.

Measured on the test faces of either domain, for each of which the face that should have
come out is known; recipes were chosen on 1,000 held-back training faces.
"""

import functools
import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from scipy.stats import spearmanr

from experiments.registry import experiment
from gencourse import cyclegan, data, gan
from gencourse.layers import Conv, ConvTranspose, InstanceNorm
from gencourse.metrics import face_judge
from gencourse.metrics.counterfactual import colour_distances, share_of_copying
from gencourse.train import ema, fit

HELD = 1000
DOMAINS = {  # (factor, a, b): all else is alike in both
    "hair": ("hair_colour", "black", "blond"),
    "beard": ("beard", "full beard", "none"),
}
SETTINGS = {  # side, widths of G and D, steps, batch, rate
    "laptop": (64, 12, 12, 1500, 4, 2e-3),
    "small": (32, 12, 12, 600, 4, 2e-3),
    "full": (64, 32, 32, 20_000, 4, 4e-4),
}


class ResNet(nnx.Module):
    """The paper's kind of generator: two halvings, four residual blocks, no skips."""

    def __init__(self, shape, width, *, rngs):
        def norm(channels):
            return InstanceNorm(channels, rngs=rngs)

        self.shape, self.source = shape, shape[-1]
        w, options = width, dict(rngs=rngs)
        self.convs = nnx.List(
            [
                Conv(shape[-1], w, (5, 5), **options),
                Conv(w, 2 * w, (3, 3), strides=2, **options),
                Conv(2 * w, 4 * w, (3, 3), strides=2, **options),
            ]
        )
        self.norms = nnx.List(norm(c) for c in (w, 2 * w, 4 * w))
        self.blocks = nnx.List(Conv(4 * w, 4 * w, (3, 3), **options) for _ in range(8))
        self.block_norms = nnx.List(norm(4 * w) for _ in range(8))
        self.ups = nnx.List(
            ConvTranspose(2 * c, c, (4, 4), strides=2, **options) for c in (2 * w, w)
        )
        self.up_norms = nnx.List(norm(c) for c in (2 * w, w))
        self.out = Conv(w, shape[-1], (5, 5), **options)

    def __call__(self, x, key=None):
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = nnx.relu(norm(conv(x)))
        blocks = list(zip(self.blocks, self.block_norms, strict=True))
        for (conv, norm), (conv_2, norm_2) in zip(
            blocks[::2], blocks[1::2], strict=True
        ):
            x = x + norm_2(conv_2(nnx.relu(norm(conv(x)))))
        for up, norm in zip(self.ups, self.up_norms, strict=True):
            x = nnx.relu(norm(up(x)))
        return jnp.tanh(self.out(x))


def rows(split, numbers=slice(None)):
    """{factor: int (N,)} of some faces of a split."""
    return {f: c[numbers] for f, c in data.attributes("faces", split).items()}


def tables(which, table):
    """({factor: int (N,)} of the faces in a, and of those in b)."""
    factor, *values = DOMAINS[which]
    codes = [data.factors[factor].index(value) for value in values]
    return [{f: c[table[factor] == code] for f, c in table.items()} for code in codes]


def exchanged(which, a, b):
    """The tables of what they should become: of a in b, and of b in a."""
    factor, *values = DOMAINS[which]
    a_to, b_to = (data.factors[factor].index(value) for value in reversed(values))
    return [
        table | {factor: np.full_like(table[factor], code)}
        for table, code in ((a, a_to), (b, b_to))
    ]


def pictures(table, side=64, draw=data.compose):
    """Faces or sketches (N, side, side, 3), in [-1, 1]."""
    x = data.scale(draw(**table), "tanh")
    x = x.reshape(len(x), side, 64 // side, side, 64 // side, -1).mean(axis=(2, 4))
    return np.broadcast_to(x, (*x.shape[:3], 3))


def trained(seed, budget, a, b, **how):
    """(the mean of the Gs, the history, CPU-minutes)."""
    side, g_width, d_width, steps, batch_size, rate = SETTINGS[budget]
    rngs, shape = nnx.Rngs(seed), (side, side, 3)

    def generator():
        if how.get("residual"):
            return ResNet(shape, g_width, rngs=rngs)
        return cyclegan.Generator(
            shape, g_width, keeps=how.get("keeps", True), rngs=rngs
        )

    def discriminator():
        norm = how.get("norm", True)
        return cyclegan.Discriminator(shape, d_width, norm=norm, rngs=rngs)

    def both(make):
        return cyclegan.Domains(make(), make())

    g, d = both(generator), both(discriminator)
    buffers = both(lambda: cyclegan.Buffer(shape, how.get("size", 50)))
    falling = optax.linear_schedule(rate, 0, steps // 2, steps // 2)
    rule = optax.adam(rate if how.get("constant") else falling, b1=0.5)
    step = cyclegan.train_step
    if how.get("cross_entropy"):
        losses = dict(d_loss=gan.d_loss, g_loss=gan.g_loss)
        step = functools.partial(cyclegan.train_step, **losses)
    mean, start = nnx.clone(g), time.process_time()
    history = fit(
        ema.with_ema(step),
        (
            *(mean, g, d),
            *(nnx.Optimizer(o, rule, wrt=nnx.Param) for o in (g, d)),
            buffers,
        ),
        cyclegan.unpaired(a, b),
        batch_size=batch_size,
        steps=steps,
        key=jax.random.key(seed),
        decay=ema.warm_up(0.99),
        cycle_weight=how.get("cycle", 3.0),
        identity_weight=how.get("identity", 1.5),
        progress=False,
    )
    return mean, history, (time.process_time() - start) / 60


def questions(which, table, side):
    """(which way, x, the true answer) both ways, for faces of one split."""
    if which == "sketch":
        x, y = pictures(table, side, data.sketch), pictures(table, side)
        return [("to_b", x, y), ("to_a", y, x)]
    two = tables(which, table)
    ways = zip(("to_b", "to_a"), two, exchanged(which, *two), strict=True)
    return [(way, pictures(x, side), pictures(y, side)) for way, x, y in ways]


def errors(generators, asked):
    """Both directions' error, and inside what changes, in units of copying."""
    found = {}
    for way, x, truth in asked:
        network = generators.b if way == "to_b" else generators.a
        drawn = np.asarray(cyclegan.translate(network, x))
        found[way] = share_of_copying(drawn, x, truth)
        changes = np.abs(x - truth).max(axis=-1) > 0.02
        found[f"{way}_inside"] = share_of_copying(drawn, x, truth, changes)
    return found


def round_trips(generators, asked, seed=0):
    """How far whoever went there and back is from home; by how much the way back
    enlarges noise of deviation 0.02 that is put on what lies between."""
    rng, found = np.random.default_rng(seed), {}
    for way, x, _ in asked:
        to, back = generators.b, generators.a
        to, back = (to, back) if way == "to_b" else (back, to)
        there = np.asarray(cyclegan.translate(to, x))
        noise = 0.02 * rng.standard_normal(there.shape).astype(np.float32)
        noisy = np.clip(there + noise, -1, 1)
        again, other = (cyclegan.translate(back, a) for a in (there, noisy))
        found[f"{way}_and_back"] = float(np.abs(again - x).mean())
        louder = np.abs(other - again).mean() / np.abs(noisy - there).mean()
        found[f"{way}_noise"] = float(louder)
    return found


def smuggled(generators, table, side):
    """Faces drawn from sketches of themselves: the mean |difference|, and the share
    whose clothes have their own colour of the ten. The sketches are the generator's
    own, as they are, spoiled in three ways, and the true ones."""
    faces, true = pictures(table, side), pictures(table, side, data.sketch)
    own = np.asarray(cyclegan.translate(generators.a, faces))
    grey = own.mean(axis=-1, keepdims=True)
    noise = 0.1 * np.random.default_rng(0).standard_normal(own.shape)
    sketches = {
        "own": own,
        "grey": grey,
        "noisy": np.clip(own + noise, -1, 1),
        "black_and_white": np.sign(grey),
        "true": true,
    }
    found = {}
    for name, sketch in sketches.items():
        sketch = np.broadcast_to(sketch, own.shape).astype(np.float32)
        back = np.asarray(data.to_unit(cyclegan.translate(generators.b, sketch)))
        large = back.repeat(64 // side, axis=1).repeat(64 // side, axis=2)
        colours = colour_distances(large, table).argmin(axis=1)
        found[f"{name}_clothes"] = float((colours == table["clothes_colour"]).mean())
        found[f"{name}_off"] = float(np.abs(2 * back - 1 - faces).mean())
    return found


def judged(generators, which, a, b):
    """By the judge: the share that has what was asked, and the least share that kept
    its own, of the factors that should stay."""
    judge, found = face_judge.load_face_judge(), {}
    factor, truths = DOMAINS[which][0], exchanged(which, a, b)
    for way, table, truth, network in (
        ("to_b", a, truths[0], generators.b),
        ("to_a", b, truths[1], generators.a),
    ):
        drawn = cyclegan.translate(network, pictures(table))
        of_drawn = face_judge.agreement(judge, data.to_unit(drawn), truth)
        real = data.compose(**truth) / np.float32(255)
        of_real = face_judge.agreement(judge, real, truth)
        found[f"{way}_right"] = of_drawn.pop(factor)
        of_real.pop(factor)
        for name in {"hair", "rear_hair", "eyebrows", "beard"} & set(of_drawn):
            found[f"{way}_kept_{name}"] = of_drawn.pop(name)  # itself in that colour
            of_real.pop(name)
        found[f"{way}_kept"] = min(of_drawn.values())
        found[f"{way}_kept_by_the_truth"] = min(of_real.values())
    return found


def register(name, which, what, seeds, budget="laptop", **how):
    side, g_width, d_width, steps, batch_size, rate = SETTINGS[budget]
    what_is = "sketches of one half (a), the faces of the other (b)"
    if which in DOMAINS:
        what_is = "those with {} {} (a) and {} (b)".format(*DOMAINS[which])

    @experiment(
        name,
        data=f"faces at {side}x{side}, of 9,000: {what_is}; measured on those of 2,000 "
        "test faces",
        how=f"{what}; widths {g_width} and {d_width}, "
        f"{steps:,} steps of {batch_size}, Adam {rate:g}; mean of G, 0.99. to_b, to_a: "
        "mean |difference| from the true face, over that of the face as it was; "
        "inside: where the two differ; and_back: the mean |difference| of whoever went "
        "there and back, in [-1, 1]; noise: by how much the way back enlarges noise of "
        "0.02; right: the share with the factor as asked, by the judge; kept: the "
        "share of another factor as it was, the least of those but hair, brows, beard",
        seeds=seeds,
        budget="full" if budget == "full" else "laptop",
    )
    def run(seed, args):
        taught = rows("train", slice(-HELD))
        if which == "sketch":
            first, second = ({f: c[i::2] for f, c in taught.items()} for i in (0, 1))
            a, b = pictures(first, side, data.sketch), pictures(second, side)
        else:
            a, b = (pictures(t, side) for t in tables(which, taught))
        generators, history, minutes = trained(seed, budget, a, b, **how)
        held = errors(
            generators, questions(which, rows("train", slice(-HELD, None)), side)
        )
        asked = questions(which, rows("test"), side)
        found = errors(generators, asked) | round_trips(generators, asked)
        found |= {f"held_{way}": held[way] for way in ("to_b", "to_a")}
        last = {k: float(v[-len(v) // 10 :].mean()) for k, v in history.items()}
        found |= {k: last[k] for k in ("d_loss", "g_loss", "cycle", "identity")}
        if which == "sketch":
            found |= smuggled(generators, rows("test"), side)
        if side == 64:
            found |= judged(generators, which, *tables(which, rows("test")))
        found["cpu_minutes"] = minutes
        return {f"{name}.{key}": float(value) for key, value in found.items()}


ALL = "least squares, cycle 3, identity 1.5, buffer of 50"
NAME, SMALL = "cyclegan.hair", "cyclegan.small"
register(NAME, "hair", ALL, [0, 1, 2])
register("cyclegan.beard", "beard", ALL, [0])
HEAVY = "weights of the paper, cycle 10 and identity 5"
register(f"{NAME}.heavy", "hair", HEAVY, [1], cycle=10.0, identity=5.0)
register(f"{NAME}.full", "hair", ALL, [0], budget="full")
register(
    "cyclegan.sketch",
    "sketch",
    "everything painted; own, grey, noisy, black_and_white, true: of faces drawn from "
    "the generator's own sketches, as they are and spoiled, and from the true ones: "
    "off, and the share with clothes of their own colour",
    [0, 1, 2],
    budget="small",
    keeps=False,
)
VARIANTS = {
    "": (ALL, {}),
    "no_cycle": ("identity, no cycle", dict(cycle=0.0)),
    "no_identity": ("cycle, no identity", dict(identity=0.0)),
    "game_alone": ("the game alone", dict(cycle=0.0, identity=0.0)),
    "heavy": (HEAVY, dict(cycle=10.0, identity=5.0)),
    "no_buffer": ("no buffer", dict(size=0)),
    "cross_entropy": ("cross-entropy", dict(cross_entropy=True)),
    "constant": ("a rate that does not fall", dict(constant=True)),
    "no_norm": ("D without InstanceNorm", dict(norm=False)),
    "unet": ("everything painted", dict(keeps=False)),
    "unet_no_identity": (
        "everything painted, no identity",
        dict(keeps=False, identity=0.0),
    ),
    "unet_no_cycle": ("everything painted, no cycle", dict(keeps=False, cycle=0.0)),
    "unet_game_alone": (
        "everything painted, the game alone",
        dict(keeps=False, cycle=0.0, identity=0.0),
    ),
    "residual": ("the paper's kind of generator", dict(residual=True)),
    "residual_no_identity": (
        "the paper's kind of generator, no identity",
        dict(residual=True, identity=0.0),
    ),
    "residual_game_alone": (
        "the paper's kind of generator, the game alone",
        dict(residual=True, cycle=0.0, identity=0.0),
    ),
}
THRICE = {"", "game_alone"}
for variant, (words, how) in VARIANTS.items():
    name = f"{SMALL}.{variant}".rstrip(".")
    seeds = [0, 1, 2] if variant in THRICE else [0]
    register(name, "hair", words, seeds, budget="small", **how)


LOSSES = ("d_loss", "g_loss", "cycle", "identity", "home")
RESULTS = Path(__file__).resolve().parent.parent / "results" / "results.json"


@experiment(
    "cyclegan.choice",
    data=f"the results of {SMALL} and its variants, but for cross-entropy, which has "
    "another unit",
    how="the mean of to_b and to_a is a run's error. rank: Spearman's correlation of a "
    "training loss with it; chosen: the error of the run with the lowest loss; home: "
    "the mean of to_b_and_back and to_a_and_back; best, worst: of the errors",
    seeds=[0],
)
def choice(seed, args):
    """Would a loss have chosen the run that is nearest to the truth?"""
    known = json.loads(RESULTS.read_text(encoding="utf-8"))
    runs = [v for v in VARIANTS if v != "cross_entropy"]

    def values(*figures):
        names = [f"{SMALL}.{v}".rstrip(".") for v in runs]
        return [np.mean([known[f"{n}.{f}"]["mean"] for f in figures]) for n in names]

    off, found = np.array(values("to_b", "to_a")), {}
    for loss in LOSSES:
        told = ("to_b_and_back", "to_a_and_back") if loss == "home" else (loss,)
        mine = values(*told)
        found[f"rank_{loss}"] = spearmanr(mine, off).statistic
        found[f"chosen_{loss}"] = off[int(np.argmin(mine))]
    found |= {"best": off.min(), "worst": off.max(), "runs": len(runs)}
    return {f"cyclegan.choice.{key}": float(value) for key, value in found.items()}
