"""Measure the figures that the course quotes: `make results`, or with names.

    python -m experiments.measure [--data-dir DIR] [--seeds 0,1] [NAME ...]

Each experiment of this package runs once a seed and gives its figures, a dict from a
result's name to a number. After every seed all is written, so that an interrupted run
goes on where it stopped, and two may run at once, on other seeds. results.json maps a
name to its mean, standard deviation, n and seeds, the data, budget and device, the
seconds of all seeds' runs (all figures of one together), and what others published.

To measure afresh, name the experiment and add --again. What was measured by another
recipe is measured again without it; a recipe is known by its text (how, data, budget),
so whoever changes what that does not tell adds --again. No recipe is to be changed
while it runs.
"""

import argparse
import contextlib
import json
import os
import time
from pathlib import Path

import jax
import numpy as np

from benchmarks import driver
from experiments import (  # noqa: F401
    autoencoders,
    cgans,
    dcgans,
    faces,
    faces_at_32,
    gans,
    machine,
    pairs,
    unpaired,
)
from experiments.registry import EXPERIMENTS

RESULTS = Path(__file__).resolve().parent.parent / "results" / "results.json"

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
    return f"cpu, {driver.machine()}, jax {jax.__version__}"


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
    its = EXPERIMENTS[name]
    found = entry["experiment"], entry["how"], entry["data"], entry["budget"]
    return found != (name, its.how, its.data, its.budget or entry["budget"])


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
        if missing := only - set(EXPERIMENTS[name].seeds):
            parser.error(f"{name} has no seeds {sorted(missing)}")
    for name in args.names or EXPERIMENTS:
        its = EXPERIMENTS[name]
        seeds = [s for s in its.seeds if not only or s in only]
        for seed in seeds:
            results = stored()
            mine = [v for v in results.values() if v["experiment"] == name]
            if any(other_recipe(name, entry) for entry in mine):
                print(f"{name}: stored by another recipe, so measured again")
                mine = []
            done = mine and all(seed in entry["seeds"] for entry in mine)
            if done and not args.again:
                print(f"{name}, seed {seed}: already measured", flush=True)
                continue
            print(f"{name}, seed {seed}: running", flush=True)
            start = time.perf_counter()
            figures = its.run(seed, args)
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
                        "data": its.data,
                        "budget": its.budget or key.split(".")[-2],
                        "how": its.how,
                        "device": device(),
                        "seconds": round(kept + seconds, 1),
                        "published": PUBLISHED.get(key),
                    }
                    results[key] = summarise({**runs, seed: value}, entry)
                store(results)


if __name__ == "__main__":
    main()
