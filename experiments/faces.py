"""The figures of the faces: project 2's autoencoder, and the judge's own accuracy."""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from experiments.registry import FACES, experiment
from gencourse import data, vae, vae_faces
from gencourse.metrics import face_judge
from gencourse.metrics.samples import frechet_distance
from gencourse.train import fit

SOME_FACES = "faces, 9,000 of the 10,000 to train, 2,000 test"
HELD = 1000  # training faces that settings were chosen by
VAE = {"latent": 32, "rate": 4e-3, "batch": 32}
VARIANCE = 0.3  # of a number; smaller where these parts are
TIMES_SMALLER = {("beard",): 10, ("eyes", "eyebrows", "mouth"): 20}
STEPS = {"laptop": 6600, "full": 60_000}
WIDTH = {"laptop": 32, "full": 64}
ALPHAS = (1, 1.5, 2)  # how far to go along a vector
CHANGES = {"beard": "long beard", "hair_colour": "blond", "mouth": "laugh"}

unit = functools.partial(data.scale, to="unit")


def variance_map():
    """A variance a pixel, (64, 64, 1): small where eyes, mouths and beards may be."""
    asked = {f: n[:1000] for f, n in data.attributes("faces").items()}
    parts, found = data.part_map(**asked), np.full((64, 64, 1), VARIANCE, np.float32)
    for names, times in TIMES_SMALLER.items():
        wanted = [data.parts.index(name) for name in names]
        found[np.isin(parts, wanted).mean(axis=0) > 0.05] = VARIANCE / times
    return found


def trained(seed, budget):
    """(the project's model, CPU-minutes): beta 0.03 for half of the steps, then up."""
    steps, width = STEPS[budget], WIDTH[budget]
    model = vae.VAE(
        VAE["latent"],
        encoder=functools.partial(vae_faces.Encoder, width=width),
        decoder=functools.partial(vae_faces.Decoder, width=width),
        likelihood=functools.partial(vae_faces.squared_error, variance=variance_map()),
        rngs=nnx.Rngs(seed),
    )
    adam = optax.adam(optax.cosine_decay_schedule(VAE["rate"], steps))
    optimizer = nnx.Optimizer(model, adam, wrt=nnx.Param)

    def rising(t):
        """Return beta at step t: 0.03 for half of the steps, 1 in the last quarter."""
        exponent = jnp.interp(t / steps, jnp.array([0.5, 0.75]), jnp.array([-1.5, 0]))
        return 10**exponent

    start = time.process_time()
    fit(
        vae.train_step,
        (model, optimizer),
        data.load("faces")[0][:-HELD],
        batch_size=VAE["batch"],
        steps=steps,
        key=jax.random.key(seed),
        transform=unit,
        beta=rising,
    )
    return model, (time.process_time() - start) / 60


def codes(model, asked):
    """Means of the codes of composed faces: (N, latent)."""
    return np.asarray(vae.encode(model, unit(data.compose(**asked)))[0])


def changed_pairs(factor, value, rows, split):
    """(factors of faces that have another value, the same with `value`)."""
    k = data.factors[factor].index(value)
    table = {f: c[rows] for f, c in data.attributes("faces", split).items()}
    other = table[factor] != k
    before = {f: column[other] for f, column in table.items()}
    return before, before | {factor: np.full(other.sum(), k, np.int32)}


def counterfactual(model, judge, factor, value):
    """(share of test faces that get it, the largest share of another factor changed):
    by the mean differences of training faces' codes, one a starting value, times the
    least of ALPHAS that is as good as any on held-back faces, up to two per cent."""
    before, after = changed_pairs(factor, value, slice(1500), "train")
    difference = codes(model, after) - codes(model, before)
    vectors = np.zeros((len(data.factors[factor]), difference.shape[1]), np.float32)
    for start in np.unique(before[factor]):
        vectors[start] = difference[before[factor] == start].mean(axis=0)

    def reached(rows, split, alpha):
        before, after = changed_pairs(factor, value, rows, split)
        z = codes(model, before)
        tries = z, z + alpha * vectors[before[factor]]
        first, second = (
            face_judge.probabilities(judge, np.asarray(vae.decode(model, a)))
            for a in tries
        )
        others = [f for f in first if f != factor]
        moved = [(first[f].argmax(1) != second[f].argmax(1)).mean() for f in others]
        added = (second[factor].argmax(1) == after[factor]).mean()
        return float(added), float(max(moved))

    tried = {a: reached(slice(-HELD, None), "train", a)[0] for a in ALPHAS}
    alpha = next(a for a in ALPHAS if tried[a] >= max(tried.values()) - 0.02)
    return reached(slice(None), "test", alpha)


def looked_at(judge, pictures):
    """The judge's figures of pictures (N, 64, 64, 3) in [0, 1]."""
    reference = judge.feature_mean, judge.feature_covariance
    distance = frechet_distance(face_judge.features(judge, pictures), reference)
    return {
        "sure": float(face_judge.sure(judge, pictures, threshold=0.5).mean()),
        "frechet": distance,
    }


def register(budget, seeds):
    name = "vae.faces" + ("" if budget == "laptop" else f".{budget}")

    @experiment(
        name,
        data=SOME_FACES,
        how=f"vae_faces of width {WIDTH[budget]}, 32 latents, variance 0.3, 0.03 where "
        "beards are and 0.015 where brows, eyes and mouths are, "
        f"{STEPS[budget]:,} steps of 32, Adam 4e-3 falling by a cosine, beta 0.03 and "
        "then rising to 1; 2,000 faces drawn; sure: the judge gives one value of every "
        "factor more than one half",
        seeds=seeds,
        budget=budget,
    )
    def run(seed, args):
        model, minutes = trained(seed, budget)
        judge = face_judge.load_face_judge()
        x = unit(data.load("faces", "test")[0])
        copies = np.asarray(vae.reconstruct(model, x))
        seen = vae.encode(model, unit(data.load("faces")[0][:-HELD]))
        z = np.asarray(vae.reparameterise(*seen, jax.random.key(1000 + seed)))
        fitted = np.random.default_rng(seed).multivariate_normal(
            z.mean(axis=0), np.cov(z.T), len(x)
        )
        drawn = {
            "": vae.sample(model, len(x), jax.random.key(2000 + seed)),
            "fitted_": vae.decode(model, fitted.astype(np.float32)),
            "copies_": copies,
        }
        figures = {"error": float(((copies - x) ** 2).mean()), "cpu_minutes": minutes}
        figures["kl"] = vae.evaluate(model, x, jax.random.key(seed))["kl"]
        for kind, pictures in drawn.items():
            for key, value in looked_at(judge, np.asarray(pictures)).items():
                figures[kind + key] = value
        asked = data.attributes("faces", "test")
        agreed = face_judge.agreement(judge, copies, asked)
        figures["copies_agreement"] = min(agreed.values())
        for factor, value in CHANGES.items():
            added, others = counterfactual(model, judge, factor, value)
            figures |= {f"{factor}_added": added, f"{factor}_others": others}
        return {f"{name}.{key}": value for key, value in figures.items()}


register("laptop", [0, 1, 2])
register("full", [0])


@experiment(
    "real.faces",
    data=FACES,
    how="2,000 composed faces, none of the training or test ones, for samples",
    seeds=[0],
)
def real_faces(seed, args):
    """What the judge says of real faces that it has never met."""
    judge = face_judge.load_face_judge()
    rows = slice(40_000, 42_000)  # of the full set: the judge learned from 0..29,999
    x = unit(data.load("faces", full=True)[0][rows])
    figures = looked_at(judge, x)
    return {f"real.faces.{name}": value for name, value in figures.items()}


@experiment(
    "judge.faces",
    data=FACES,
    how="the least accuracy of its ten heads on the test faces, sharp and blurred",
    seeds=[0],
)
def judge_faces(seed, args):
    judge = face_judge.load_face_judge()
    x = unit(data.load("faces", "test")[0])
    asked = data.attributes("faces", "test")
    sharp = min(face_judge.agreement(judge, x, asked).values())
    blurred = min(judge.accuracy_on_blurred.values())
    return {
        "judge.faces.accuracy": sharp,
        "judge.faces.accuracy_on_blurred": blurred,
    }
