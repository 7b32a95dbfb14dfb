"""Chapter 7: dark hair to blond and back without pairs, and what each part is for.

Measured on the test faces of either domain, for each of which the face that should have
come out is known; recipes were chosen on 1,000 held-back training faces.
"""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from experiments.registry import experiment
from gencourse import cyclegan, data, gan
from gencourse.layers import Conv, ConvTranspose, InstanceNorm
from gencourse.metrics import face_judge
from gencourse.metrics.counterfactual import share_of_copying
from gencourse.train import ema, fit

HELD = 1000
DOMAINS = {  # (factor, a, b): all else is alike in both
    "hair": ("hair_colour", "black", "blond"),
    "beard": ("beard", "full beard", "none"),
}
SETTINGS = {  # side, widths of G and D, halvings in D, steps, batch, rate
    "laptop": (64, 12, 12, 2, 1600, 4, 1e-3),
    "small": (32, 12, 12, 1, 1500, 4, 1e-3),
    "full": (64, 32, 32, 2, 20_000, 4, 4e-4),
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


def tables(which, split, numbers=slice(None)):
    """({factor: int (N,)} of the faces in a, and of those in b)."""
    factor, *values = DOMAINS[which]
    rows = {f: c[numbers] for f, c in data.attributes("faces", split).items()}
    codes = [data.factors[factor].index(value) for value in values]
    return [{f: c[rows[factor] == code] for f, c in rows.items()} for code in codes]


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
    side, g_width, d_width, halvings, steps, batch_size, rate = SETTINGS[budget]
    rngs, shape = nnx.Rngs(seed), (side, side, 3)

    def generator():
        if how.get("residual"):
            return ResNet(shape, g_width, rngs=rngs)
        return cyclegan.Generator(
            shape, g_width, keeps=how.get("keeps", True), rngs=rngs
        )

    def discriminator():
        options = dict(halvings=halvings, norm=how.get("norm", True))
        return cyclegan.Discriminator(shape, d_width, **options, rngs=rngs)

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
        cycle_weight=how.get("cycle", 10.0),
        identity_weight=how.get("identity", 5.0),
        progress=False,
    )
    return mean, history, (time.process_time() - start) / 60


def errors(generators, which, a, b, side):
    """Both directions' error, and inside what changes, in units of copying."""
    found = {}
    truths = exchanged(which, a, b)
    for way, table, truth, network in (
        ("to_b", a, truths[0], generators.b),
        ("to_a", b, truths[1], generators.a),
    ):
        x, y = (pictures(t, side) for t in (table, truth))
        drawn = np.asarray(cyclegan.translate(network, x))
        found[way] = share_of_copying(drawn, x, y)
        changes = np.abs(x - y).max(axis=-1) > 0.02
        found[f"{way}_inside"] = share_of_copying(drawn, x, y, changes)
    return found


def round_trip(generators, a, b, noise=0.0, seed=0):
    """The mean of |there and back - x|, with noise on what lies between."""
    rng, off = np.random.default_rng(seed), []
    for x, to, back in ((a, generators.b, generators.a), (b, *reversed_(generators))):
        there = np.asarray(cyclegan.translate(to, x))
        there = there + noise * rng.standard_normal(there.shape).astype(np.float32)
        again = cyclegan.translate(back, np.clip(there, -1, 1))
        off.append(np.abs(np.asarray(again) - x).mean())
    return float(np.mean(off))


def reversed_(generators):
    return generators.a, generators.b


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
        found[f"{way}_kept"] = min(of_drawn.values())
        of_real.pop(factor)
        found[f"{way}_kept_by_the_truth"] = min(of_real.values())
    return found


def register(name, which, what, seeds, budget="laptop", **how):
    side, g_width, d_width, halvings, steps, batch_size, rate = SETTINGS[budget]
    factor, a_is, b_is = DOMAINS[which]

    @experiment(
        name,
        data=f"faces at {side}x{side}, of 9,000: those with {factor} {a_is} (a) and "
        f"{b_is} (b); measured on those of 2,000 test faces",
        how=f"{what}; widths {g_width} and {d_width}, {halvings} halvings in D, "
        f"{steps:,} steps of {batch_size}, Adam {rate:g}; mean of G, 0.99. to_b, to_a: "
        "mean |difference| from the true face, over that of the face as it was; "
        "inside: where the two differ; right: the share with the factor as asked, by "
        "the judge; kept: the least share of another factor as it was",
        seeds=seeds,
        budget="full" if budget == "full" else "laptop",
    )
    def run(seed, args):
        taught = [pictures(t, side) for t in tables(which, "train", slice(-HELD))]
        generators, history, minutes = trained(seed, budget, *taught, **how)
        test = tables(which, "test")
        found = errors(generators, which, *test, side)
        held = errors(
            generators, which, *tables(which, "train", slice(-HELD, None)), side
        )
        found |= {f"held_{way}": held[way] for way in ("to_b", "to_a")}
        last = {k: float(v[-len(v) // 10 :].mean()) for k, v in history.items()}
        found |= {k: last[k] for k in ("d_loss", "g_loss", "cycle", "identity")}
        there = [pictures(t, side) for t in test]
        found["round_trip"] = round_trip(generators, *there)
        found["noisy_round_trip"] = round_trip(generators, *there, noise=0.1)
        if side == 64:
            found |= judged(generators, which, *test)
        found["cpu_minutes"] = minutes
        return {f"{name}.{key}": float(value) for key, value in found.items()}


ALL = "least squares, cycle 10, identity 5, buffer of 50"
NAME, SMALL = "cyclegan.hair", "cyclegan.small"
register(NAME, "hair", ALL, [0, 1, 2])
register("cyclegan.beard", "beard", ALL, [0, 1, 2])
register(f"{NAME}.full", "hair", ALL, [0], budget="full")
VARIANTS = {
    "": (ALL, {}),
    "no_cycle": ("identity, no cycle", dict(cycle=0.0)),
    "no_identity": ("cycle, no identity", dict(identity=0.0)),
    "game_alone": ("the game alone", dict(cycle=0.0, identity=0.0)),
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
    "residual": ("the paper's residual generator", dict(residual=True)),
}
for variant, (words, how) in VARIANTS.items():
    name = f"{SMALL}.{variant}".rstrip(".")
    register(name, "hair", words, [0, 1, 2], budget="small", **how)
