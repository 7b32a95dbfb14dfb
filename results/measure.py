"""Measure the figures that the course quotes: `make results`, or with names.

    python results/measure.py [--data-dir DIR] [--seeds 0,1] [NAME ...]

Each experiment below runs once a seed and gives its figures, a dict from a result's
name to a number. After every seed all is written, so that an interrupted run goes on
where it stopped, and two may run at once, on other seeds. results.json maps a name to
its mean, standard deviation, n and seeds, the data, budget and device, the seconds of
all seeds' runs (all figures of one together), and what others published.

To measure afresh, name the experiment and add --again. What was measured by another
recipe is measured anew without it; a recipe is known by its text (how, data, budget),
so whoever changes what that does not tell adds --again. No recipe is to be changed
while it runs.
"""

import argparse
import contextlib
import json
import os
import platform
import sys
import time
from pathlib import Path

import jax
import numpy as np
import optax
from flax import nnx

from gencourse import autoencoder, data, vae
from gencourse.metrics.judge import load_judge, probabilities
from gencourse.metrics.likelihood import log_likelihood
from gencourse.train import fit

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))
from benchmarks import loop  # noqa: E402, once the repository is on the path
from results import cgans, dcgans, gans  # noqa: E402
from tools import notebooks, timing  # noqa: E402

RESULTS = Path(__file__).with_name("results.json")

KERAS = "our own run of the same network and budget in Keras 3"
PYTHAE = (
    "C. Chadebec and others, Pythae, its reproduction of a VAE on binary MNIST, 200 "
    "importance samples, one hidden layer of 400, binarised once for all: "
    "github.com/clementchadebec/benchmark_VAE, reproducibility"
)
GOODFELLOW = (
    "I. J. Goodfellow and others, Generative adversarial nets, NIPS 2014, table 1: 225 "
    "+- 2; another G and D, and 10,000 samples"
)
MIRZA = (
    "M. Mirza, S. Osindero, Conditional generative adversarial nets, 2014, table 1: "
    "132 +- 1.8; another G and D, and 10,000 samples"
)
THEIS = (
    "L. Theis, A. van den Oord, M. Bethge, A note on the evaluation of generative "
    "models, ICLR 2016, table 1, as recalled"
)
CARD = "model card of Mycsina/mnist-conditional-gan: 2,000 samples, another judge"
TOUBASSI = "github.com/gtoubassi/mnist-gan: another G, D and classifier"
KERAS_VAE = f"{KERAS}, trained at beta 2.05, counted at beta 1"


def full_pictures(name, split, args):
    images, labels = data.load(name, split, full=True, data_dir=args.data_dir)
    return data.scale(data.pad(images, 32), "unit"), labels


def five_epochs(step, model, rate, x, seed):
    optimizer = nnx.Optimizer(model, optax.adam(rate), wrt=nnx.Param)
    options = dict(batch_size=100, epochs=5, key=jax.random.key(seed))
    fit(step, (model, optimizer), x, **options)


def autoencoder_full(seed, args):
    """The syllabus's run: 60,000 pictures, 5 epochs of batches of 100, Adam 1e-3."""
    x, _ = full_pictures("fashion_mnist", "train", args)
    x_test, _ = full_pictures("fashion_mnist", "test", args)
    figures = {}
    for latent in (2, 6):
        model = autoencoder.Autoencoder(latent, rngs=nnx.Rngs(seed))
        five_epochs(autoencoder.train_step, model, 1e-3, x, seed)
        name = "autoencoder.fashion_mnist" + ("" if latent == 2 else f".{latent}d")
        figures[f"{name}.test_bce"] = autoencoder.bce_per_pixel(model, x_test)
    return figures


def vae_full(seed, args):
    """The syllabus's run as a true ELBO: 5 epochs of batches of 100, Adam 5e-4."""
    x, _ = full_pictures("fashion_mnist", "train", args)
    x_test, _ = full_pictures("fashion_mnist", "test", args)
    figures = {}
    for latent in (2, 20):
        model = vae.VAE(latent, rngs=nnx.Rngs(seed))
        five_epochs(vae.train_step, model, 5e-4, x, seed)
        terms = vae.evaluate(model, x_test, jax.random.key(1000 + seed))
        name = f"vae.fashion_mnist.{latent}d"
        figures |= {f"{name}.{term}": value for term, value in terms.items()}
    return figures


class DenseEncoder(nnx.Module):
    """Pictures (B, 32, 32, 1) -> (B, out), by two hidden layers of 500."""

    def __init__(self, out, *, rngs: nnx.Rngs):
        self.dense1 = nnx.Linear(32 * 32, 500, rngs=rngs)
        self.dense2 = nnx.Linear(500, 500, rngs=rngs)
        self.code = nnx.Linear(500, out, rngs=rngs)

    def __call__(self, x):
        x = x.reshape(len(x), -1)  # (B, 1024)
        x = nnx.relu(self.dense1(x))  # (B, 500)
        x = nnx.relu(self.dense2(x))  # (B, 500)
        return self.code(x)  # (B, out)


class DenseDecoder(nnx.Module):
    """Codes (B, latent) -> logits (B, 32, 32, 1), by two hidden layers of 500."""

    def __init__(self, latent, *, rngs: nnx.Rngs):
        self.dense1 = nnx.Linear(latent, 500, rngs=rngs)
        self.dense2 = nnx.Linear(500, 500, rngs=rngs)
        self.pixels = nnx.Linear(500, 32 * 32, rngs=rngs)

    def __call__(self, z):
        z = nnx.relu(self.dense1(z))  # (B, 500)
        z = nnx.relu(self.dense2(z))  # (B, 500)
        return self.pixels(z).reshape(len(z), 32, 32, 1)


@nnx.jit
def binarised_step(model, optimizer, batch, key):
    """Chapter 2's step on pixels drawn anew each time, white with the grey's chance."""
    pixels, noise = jax.random.split(key)
    return vae.train_step(model, optimizer, vae.binarise(batch, pixels), noise)


def vae_nll(seed, args):
    """-log p(x) of MNIST's test pictures, binarised by chance once a seed, bounded by
    500 importance samples each. The margin of the padding is always black."""
    x, _ = full_pictures("mnist", "train", args)
    x_test, _ = full_pictures("mnist", "test", args)
    chance, noise, weights = jax.random.split(jax.random.key(1000 + seed), 3)
    x_test = vae.binarise(jax.numpy.asarray(x_test), chance)
    networks = {"encoder": DenseEncoder, "decoder": DenseDecoder}
    model = vae.VAE(32, rngs=nnx.Rngs(seed), **networks)
    steps = 100 * 600
    rate = optax.cosine_decay_schedule(1e-3, steps, 0.01)
    optimizer = nnx.Optimizer(model, optax.adam(rate), wrt=nnx.Param)
    fit(
        binarised_step,
        (model, optimizer),
        x,
        batch_size=100,
        steps=steps,
        key=jax.random.key(seed),
    )
    bound = log_likelihood(vae.log_weight, model, x_test, weights, samples=500)
    return {
        "vae.mnist.nll": -float(bound.mean()),
        "vae.mnist.negative_elbo": vae.evaluate(model, x_test, noise)["nats"],
    }


def judge_of(name):
    def run(seed, args):
        """The embedded judge on the full official test set. Its weights are fixed, so
        there is one figure whatever the seed."""
        images, labels = data.load(name, "test", True, args.data_dir)
        p = probabilities(load_judge(name), data.scale(images, "unit"))
        return {
            f"judge.{name}.accuracy": float((p.argmax(1) == labels).mean()),
            f"judge.{name}.confidence": float(p.max(1).mean()),
        }

    return run


FIRST_RUN = {"GENCOURSE_COMPILED": "off"}  # all is compiled


def notebook(path):
    def run(seed, args):
        """A notebook from top to bottom, kernel start and compilation included: its
        minutes, and the most memory that its kernel ever held, in GB of 1e9 bytes."""
        figures = {}
        for budget in ("smoke", "laptop"):
            nb = notebooks.read(ROOT / path)
            taken = timing.timed(nb, (ROOT / path).parent, budget, **FIRST_RUN)
            name = path.removesuffix(".ipynb").replace("/", ".")
            figures[f"{name}.{budget}.minutes"] = taken.seconds / 60
            figures[f"{name}.{budget}.gb"] = taken.peak / 1e9
        return figures

    return run


def loop_speed(seed, args):
    """Chapter 1's step in fit, in a bare loop, and as plain Flax, in one sitting.
    Nothing else may run on the machine meanwhile."""
    return loop.measure()


EMBEDDED = "Fashion-MNIST, the embedded 10,000"
FULL = "Fashion-MNIST, 60,000 train and 10,000 test, padded to 32x32"
RANDOM = "random pictures, 32x32x1"
RECIPE = "5 epochs, batch 100, Adam 1e-3"
VAE_RECIPE = "5 epochs, batch 100, Adam 5e-4, beta 1; reconstruction + KL on test"
BINARISED = "MNIST, 60,000 train and 10,000 test, binarised by chance, padded to 32x32"
NLL_RECIPE = (
    "two hidden layers of 500 each way, 32 latents, 100 epochs, batch 100, Adam 1e-3 "
    "falling to 1e-5 by a cosine; importance-weighted bound of 500 samples"
)
ALL_DIGITS = "MNIST, 60,000 train and 10,000 test"
FEW_DIGITS = "MNIST, 9,000 of the embedded 10,000; the official 10,000 test ones"
DIGITS = "MNIST, 50,000 train, 10,000 held back, 10,000 test"
GAN_RECIPE = (
    f"gan.Generator() and gan.Discriminator(dropout={gans.DROPOUT}), batch 100, Adam "
    f"{gans.RATE:g} with b1 0.5, {gans.EPOCHS} epochs, running mean of G with decay "
    f"{gans.DECAY}; 10,000 samples"
)
LAPTOP_GAN = "the same networks and rate, batch 64, 6,000 steps, decay 0.999"
A_FEW_MINUTES = (
    f"10,000 samples of the running mean of G; Adam {gans.RATE:g} with b1 0.5, batch "
    f"{dcgans.BATCH}; "
)


def game(recipe, hidden=dcgans.HIDDEN, width=dcgans.WIDTH, steps=dcgans.STEPS):
    begin = f"{steps[recipe]:,} steps of "
    if recipe == "gan":
        d = f"gan.Discriminator(dropout={gans.DROPOUT})"
        return f"{begin}gan.Generator() and {d}"
    options = ", ".join(f"{k}={v}" for k, v in dcgans.RECIPES[recipe].items())
    return (
        f"{begin}dcgan.Generator(width={width}, hidden={hidden}) "
        f"and dcgan.Discriminator(width={width}, hidden={hidden}, {options})"
    )


LONGER = (
    f"the networks of dcgan.mnist.dropout, {dcgans.LONG:,} steps of batches of "
    f"{dcgans.BATCH}, Adam {gans.RATE:g} with b1 0.5; 10,000 samples of the running "
    f"mean of G with decay {dcgans.LONGEST['gan']}"
)
PHOTOGRAPHED = (
    "{steps:,} steps of dcgan.Generator((32, 32, 3), {width}) and dcgan.Discriminator("
    "(32, 32, 3), {width}, norm={norm}, dropout={dropout}); decay ".format(
        **dcgans.CIFAR10
    )
    + str(dcgans.LONGEST["dcgan"])
)


def of_pairs(kind):
    module = "cgan" if kind.startswith("mlp") else "conv_cgan"
    return (
        f"10,000 samples, as many of each digit, of the running mean of G; "
        f"{module}.Generator() and {module}.Discriminator(), "
        "{steps:,} steps of batches of {batch}, Adam {rate:g} with b1 0.5, decay "
        "{longest}; half of what is not real is real pictures under wrong labels, in "
        ".plain none".format(**cgans.KINDS[kind])
    )


PAPER = (
    f"maxout.Generator() and maxout.Discriminator(), SGD of batches of 100, the "
    f"paper's schedules compressed from 288,000 steps to {cgans.PAPER_STEPS:,}; 10,000 "
    f"samples of G"
)
NOTED = (
    "128-256-512-1024 with BatchNorm from the second on, and 512-512-512 with dropout "
    "0.4; all weights and embeddings N(0, 0.02); Adam 2e-4 with b1 0.5, batch 64; "
    "10,000 samples of G after 5, 15 and 35 epochs"
)
CLOTHES = "Fashion-MNIST, 60,000 train and 10,000 test"
PHOTOGRAPHS = "CIFAR-10, 50,000 train and 10,000 test"
RING = "20,000 points of 8 Gaussians of deviation 0.05 on a ring of radius 1"
RING_RECIPE = "two hidden layers of 128, batch 256, Adam 1e-3 falling, 20,000 steps"
KERNEL = "from top to bottom, start of the kernel and compilation included"
EMBEDDED_DIGITS = "MNIST, the embedded 10,000"
EMOJI = "emoji, the embedded 1,073"
NOTEBOOKS = {
    "chapters.01_autoencoder": EMBEDDED,
    "solutions.01_autoencoder": EMBEDDED,
    "chapters.02_vae": EMBEDDED,
    "chapters.02_project_faces": EMOJI,
    "solutions.02_vae": EMBEDDED,
    "chapters.03_gan": EMBEDDED_DIGITS,
    "solutions.03_gan": EMBEDDED_DIGITS,
    "chapters.04_dcgan": EMBEDDED_DIGITS,
    "chapters.04_project_cifar10": EMOJI,
    "chapters.05_cgan": EMBEDDED_DIGITS,
    "chapters.05_project_paper": EMBEDDED_DIGITS,
    "solutions.05_cgan": EMBEDDED_DIGITS,
    "solutions.04_dcgan": EMBEDDED_DIGITS,
}
# name: (function, seeds, budget, data, how); a figure may name its own budget
EXPERIMENTS = (
    {
        "judge.fashion_mnist": (
            judge_of("fashion_mnist"),
            [0],
            "full",
            FULL,
            "embedded weights",
        ),
        "judge.cifar10": (
            judge_of("cifar10"),
            [0],
            "full",
            PHOTOGRAPHS,
            "embedded weights",
        ),
        "real.cifar10": (
            dcgans.real_cifar10,
            [0, 1, 2],
            "full",
            PHOTOGRAPHS,
            "10,000 real training pictures, which the judge has met, for samples",
        ),
        "dcgan.cifar10": (
            dcgans.cifar10,
            [0],
            "laptop",
            PHOTOGRAPHS,
            A_FEW_MINUTES + PHOTOGRAPHED,
        ),
        "judge.mnist": (judge_of("mnist"), [0], "full", ALL_DIGITS, "embedded weights"),
        "gan.mnist": (gans.mnist, [0, 1, 2], "full", DIGITS, GAN_RECIPE),
        "gan.mnist.laptop": (
            gans.mnist_laptop,
            [0, 1, 2],
            "laptop",
            FEW_DIGITS,
            LAPTOP_GAN,
        ),
        "real.mnist": (
            gans.real,
            [0, 1, 2],
            "full",
            DIGITS,
            "10,000 training pictures",
        ),
        "gan.ring": (gans.ring, [0, 1, 2], "full", RING, RING_RECIPE),
        "cgan.mnist.notes": (cgans.as_noted, [0, 1, 2], "full", ALL_DIGITS, NOTED),
        "cgan.mnist.mlp": (cgans.of("mlp"), [0, 1, 2], "full", DIGITS, of_pairs("mlp")),
        "cgan.mnist.mlp.plain": (
            cgans.of("mlp", mismatched=0.0),
            [0, 1, 2],
            "full",
            DIGITS,
            of_pairs("mlp"),
        ),
        "cgan.mnist.conv.short": (
            cgans.of("conv.short"),
            [0, 1, 2],
            "full",
            DIGITS,
            of_pairs("conv.short"),
        ),
        "cgan.mnist.conv": (
            cgans.of("conv"),
            [0, 1, 2],
            "full",
            DIGITS,
            of_pairs("conv"),
        ),
        "cgan.mnist.mlp.laptop": (
            cgans.of("mlp.laptop"),
            [0, 1, 2],
            "laptop",
            FEW_DIGITS,
            of_pairs("mlp.laptop"),
        ),
        "cgan.mnist.conv.laptop": (
            cgans.of("conv.laptop"),
            [0, 1, 2],
            "laptop",
            FEW_DIGITS,
            of_pairs("conv.laptop"),
        ),
        "cgan.mnist.paper": (cgans.paper, [0, 1, 2], "full", DIGITS, PAPER),
        "k_means.mnist": (
            cgans.k_means,
            [0],
            "full",
            DIGITS,
            f"{cgans.CENTRES:,} centres of the 50,000, {cgans.ROUNDS} rounds",
        ),
        "real.mnist.real_train": (
            cgans.real_train,
            [0],
            "full",
            ALL_DIGITS,
            "the judge's network, trained as those on generated digits are",
        ),
        "autoencoder.fashion_mnist": (
            autoencoder_full,
            [0, 1, 2],
            "full",
            FULL,
            RECIPE,
        ),
        "vae.fashion_mnist": (vae_full, [0, 1, 2], "full", FULL, VAE_RECIPE),
        "vae.mnist": (vae_nll, [0, 1, 2], "full", BINARISED, NLL_RECIPE),
        "speed": (loop_speed, [0], "laptop", RANDOM, "batch 100, Adam, medians"),
    }
    | {
        place: (
            dcgans.of(recipe, name, place),
            [0, 1, 2],
            "laptop",
            used,
            A_FEW_MINUTES + game(recipe),
        )
        for name, used in (("mnist", ALL_DIGITS), ("fashion_mnist", CLOTHES))
        for recipe, place in (
            ("gan", f"gan.{name}.short"),
            ("dropout", f"dcgan.{name}.dropout"),
            ("norm", f"dcgan.{name}.norm"),
        )
    }
    | {
        "dcgan.mnist.long": (dcgans.long, [0], "full", DIGITS, LONGER),
        "dcgan.mnist.local": (
            dcgans.of("dropout", "mnist", "dcgan.mnist.local", hidden=0),
            [0, 1, 2],
            "laptop",
            ALL_DIGITS,
            A_FEW_MINUTES + game("dropout", hidden=0),
        ),
    }
    | {
        f"dcgan.{name}.wide": (
            dcgans.of(
                dcgans.BETTER[name],
                name,
                f"dcgan.{name}.wide",
                width=dcgans.WIDER,
                steps=dcgans.WIDE,
            ),
            [0, 1, 2],
            "laptop",
            used,
            A_FEW_MINUTES
            + game(dcgans.BETTER[name], width=dcgans.WIDER, steps=dcgans.WIDE),
        )
        for name, used in (("mnist", ALL_DIGITS), ("fashion_mnist", CLOTHES))
    }
    | {
        f"{chapter}.{name}.half_hour": (
            dcgans.of(
                recipe,
                name,
                f"{chapter}.{name}.half_hour",
                steps=dcgans.HALF_HOUR,
                longest=dcgans.HALF_HOUR_LONGEST,
            ),
            [0],
            "full",
            used,
            A_FEW_MINUTES
            + game(recipe, steps=dcgans.HALF_HOUR)
            + f"; decay {dcgans.HALF_HOUR_LONGEST[chapter]}",
        )
        for name, used in (("mnist", ALL_DIGITS), ("fashion_mnist", CLOTHES))
        for chapter, recipe in (("gan", "gan"), ("dcgan", dcgans.BETTER[name]))
    }
    | {
        name: (
            notebook(name.replace(".", "/") + ".ipynb"),
            [0],
            "",
            used,
            KERNEL,
        )
        for name, used in NOTEBOOKS.items()
    }
)

PUBLISHED = {
    "autoencoder.fashion_mnist.test_bce": {"value": 0.25317, "citation": KERAS},
    "vae.fashion_mnist.2d.nats": {"value": 268.05, "citation": KERAS_VAE},
    "vae.mnist.nll": {"value": 89.78, "citation": PYTHAE},
    "gan.mnist.parzen": {"value": 225, "citation": GOODFELLOW},
    "cgan.mnist.conv.agreement": {"value": 0.9955, "citation": CARD},
    "cgan.mnist.conv.gan_train": {"value": 0.9837, "citation": TOUBASSI},
    "real.mnist.real_train": {"value": 0.9934, "citation": TOUBASSI},
    "cgan.mnist.paper.parzen": {"value": 132, "citation": MIRZA},
    "k_means.mnist.parzen": {"value": 313, "citation": THEIS},
    "real.mnist.parzen": {"value": 243, "citation": THEIS},
}


def device():
    d = jax.devices()[0]
    if d.platform != "cpu":
        return f"{d.device_kind} x {jax.device_count()}, jax {jax.__version__}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return (
        f"cpu, {cores or os.cpu_count()} cores, {platform.machine()}, "
        f"jax {jax.__version__}"
    )


def summarise(runs, entry):
    """What results.json holds of a name: `runs` maps a seed to a number."""
    values = [runs[seed] for seed in sorted(runs, key=int)]
    return {
        "mean": float(np.mean(values)),
        "std": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "n": len(values),
        "seeds": sorted(map(int, runs)),
        "values": values,
        **entry,
    }


@contextlib.contextmanager
def alone():
    """No other process reads and writes RESULTS meanwhile."""
    import fcntl  # here, since Windows has none, and tests import this module there

    with RESULTS.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def stored():
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def store(results):
    partial = RESULTS.with_suffix(f".{os.getpid()}.partial")
    text = json.dumps(dict(sorted(results.items())), indent=1)
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(RESULTS)


def other_recipe(name, entry):
    """Whether a stored figure was not measured as the experiment `name` does it now."""
    _, _, budget, used, how = EXPERIMENTS[name]
    found = entry["experiment"], entry["how"], entry["data"], entry["budget"]
    return found != (name, how, used, budget or entry["budget"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=", ".join(EXPERIMENTS))
    parser.add_argument("--data-dir", help="where the prepared sets are")
    parser.add_argument("--seeds", help="some of an experiment's seeds, as 0,2")
    parser.add_argument("--again", action="store_true", help="measured seeds too")
    args = parser.parse_args()
    unknown = set(args.names) - set(EXPERIMENTS)
    if unknown:
        parser.error(f"unknown: {sorted(unknown)}; there are {list(EXPERIMENTS)}")

    only = args.seeds and set(map(int, args.seeds.split(",")))
    for name in args.names or EXPERIMENTS if only else []:
        if missing := only - set(EXPERIMENTS[name][1]):
            parser.error(f"{name} has no seeds {sorted(missing)}")
    for name in args.names or EXPERIMENTS:
        function, seeds, budget, used, how = EXPERIMENTS[name]
        seeds = [s for s in seeds if not only or s in only]
        for seed in seeds:
            results = stored()
            mine = [v for v in results.values() if v["experiment"] == name]
            if any(other_recipe(name, entry) for entry in mine):
                print(f"{name}: stored by another recipe, so measured anew")
                mine = []
            done = mine and all(seed in entry["seeds"] for entry in mine)
            if done and not args.again:
                print(f"{name}, seed {seed}: already measured", flush=True)
                continue
            print(f"{name}, seed {seed}: running", flush=True)
            start = time.perf_counter()
            figures = function(seed, args)
            seconds = time.perf_counter() - start
            with alone():
                results = {  # another process may have written meanwhile
                    key: entry
                    for key, entry in stored().items()
                    if entry["experiment"] != name or not other_recipe(name, entry)
                }
                for key, value in figures.items():
                    print(f"  {key} = {value:.6g}  ({seconds:.0f} s)", flush=True)
                    old = results.get(key)
                    if old is None or other_recipe(name, old):
                        old = {"seeds": [], "values": [], "seconds": 0}
                    runs = dict(zip(old["seeds"], old["values"], strict=True))
                    again = seed in runs  # a like share of the seconds goes
                    kept = old["seconds"] * (1 - again / max(len(runs), 1))
                    entry = {
                        "experiment": name,
                        "data": used,
                        "budget": budget or key.split(".")[-2],
                        "how": how,
                        "device": device(),
                        "seconds": round(kept + seconds, 1),
                        "published": PUBLISHED.get(key),
                    }
                    results[key] = summarise({**runs, seed: value}, entry)
                store(results)


if __name__ == "__main__":
    main()
