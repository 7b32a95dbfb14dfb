"""What the loop costs, and what the layers gain: `python -m benchmarks.loop`.

Chapter 1's training step in three forms, and a tiny step in two, driven in turn so
that a noisy machine is equally noisy to all; medians of the rounds, and ratios.

- fit: `train.fit`, cutting batches and keeping metrics included;
- bare: a hand-written loop over the same step, its state split and jitted by
  `jax.jit`, on batches cut beforehand, no metrics read;
- flax: a loop over the step under `nnx.jit`, with Flax's own layers.
"""

import statistics
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from benchmarks import in_flax
from gencourse import autoencoder
from gencourse.train import compile_step, fit

BATCH, ROUNDS = 100, 7


class Tiny(nnx.Module):
    def __init__(self):
        self.w = nnx.Param(jnp.zeros((4, 4)))


def tiny_step(model, optimizer, batch, key):
    def loss_fn(model):
        return ((batch @ model.w[...] - batch) ** 2).mean()

    loss, grads = nnx.value_and_grad(loss_fn)(model)
    optimizer.update(model, grads)
    return {"loss": loss}


def with_adam(model):
    return model, nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)


def chapter1(implementation):
    """Chapter 1's model, of gencourse's layers or of Flax's own."""
    with in_flax.chapter_with(autoencoder, in_flax.LAYERS[implementation]):
        return with_adam(autoencoder.Autoencoder(2, rngs=nnx.Rngs(0)))


def by_fit(step, objects, data):
    def run(steps):
        options = dict(batch_size=BATCH, key=jax.random.key(0), progress=False)
        fit(step, objects, data, steps=steps, **options)

    return run


def by_hand(step, objects, batches):
    graphdef, state = nnx.split(objects)
    leaves, treedef = jax.tree.flatten(state)

    def advance(leaves, batch, key):
        objects = nnx.merge(graphdef, jax.tree.unflatten(treedef, leaves))
        metrics = step(*objects, batch, key)
        return jax.tree.leaves(nnx.state(objects)), metrics

    options = (
        compile_step.compiler_options()
    )  # the same as in fit: only the loop differs
    advance = jax.jit(advance, donate_argnums=0, compiler_options=options)
    carry = [[jnp.copy(leaf) for leaf in leaves]]
    key = jax.random.key(0)

    def run(steps):
        for i in range(steps):
            carry[0], metrics = advance(carry[0], batches[i % len(batches)], key)
        jax.block_until_ready((carry[0], metrics))

    return run


def by_nnx_jit(step, objects, batches):
    step, key = nnx.jit(step), jax.random.key(0)

    def run(steps):
        for i in range(steps):
            metrics = step(*objects, batches[i % len(batches)], key)
        jax.block_until_ready((nnx.state(objects), metrics))

    return run


def seconds_a_step(runs, steps):
    """Seconds a step of each run, for every round: a dict of lists. `fit` has a cost
    a call besides (shuffling, copying the state), so a call with one step is taken
    off each time: the loop is measured, not its start."""
    for run in runs.values():
        run(2)  # compile
    rounds = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            start = time.perf_counter()
            run(1)
            middle = time.perf_counter()
            run(1 + steps[name])
            once, many = middle - start, time.perf_counter() - middle
            rounds[name].append((many - once) / steps[name])
    return rounds


def import_seconds():
    """What importing a chapter takes, and `jax` and `flax.nnx` alone: medians of fresh
    processes in turn, the start of Python taken off."""
    codes = {
        "nothing": "pass",
        "jax and flax": "import jax, flax.nnx",
        "chapter": "import gencourse, gencourse.autoencoder, gencourse.train",
    }
    rounds = {name: [] for name in codes}
    for i in range(ROUNDS + 1):
        for name, code in codes.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            if i:  # the first fills the disk's cache
                rounds[name].append(time.perf_counter() - start)
    nothing, alone, ours = map(statistics.median, rounds.values())
    return {"alone": alone - nothing, "ours": ours - nothing}


def measure():
    """All figures, a dict from a result's name to a number."""
    x = np.random.default_rng(0).random((2000, 32, 32, 1), np.float32)
    batches = [jnp.asarray(x[i : i + BATCH]) for i in range(0, len(x), BATCH)]
    plain = autoencoder.train_step.__wrapped__
    runs = {
        "fit": by_fit(autoencoder.train_step, chapter1("gencourse"), x),
        "bare": by_hand(plain, chapter1("gencourse"), batches),
        "flax": by_nnx_jit(plain, chapter1("flax"), batches),
    }
    large = seconds_a_step(runs, {"fit": 30, "bare": 30, "flax": 6})

    points = np.random.default_rng(0).random((BATCH * 20, 4), np.float32)
    cut = [jnp.asarray(points[i : i + BATCH]) for i in range(0, len(points), BATCH)]
    runs = {
        "fit": by_fit(nnx.jit(tiny_step), with_adam(Tiny()), points),
        "bare": by_hand(tiny_step, with_adam(Tiny()), cut),
        "nnx.jit": by_nnx_jit(tiny_step, with_adam(Tiny()), cut),
    }
    tiny = seconds_a_step(runs, dict.fromkeys(runs, 2000))

    def median(rounds, f):
        return statistics.median(f(*r) for r in zip(*rounds.values(), strict=True))

    imports = import_seconds()
    return {
        "speed.import.seconds": imports["ours"],
        "speed.import.over_jax_and_flax": imports["ours"] / imports["alone"],
        "speed.autoencoder.images_per_second": BATCH / statistics.median(large["fit"]),
        "speed.autoencoder.fit_over_bare": median(
            large, lambda fit, bare, _: fit / bare
        ),
        "speed.autoencoder.times_flax": median(large, lambda fit, _, flax: flax / fit),
        "speed.tiny.fit_microseconds": 1e6 * statistics.median(tiny["fit"]),
        "speed.tiny.nnx_jit_microseconds": 1e6 * statistics.median(tiny["nnx.jit"]),
        "speed.tiny.overhead_microseconds": 1e6
        * median(tiny, lambda fit, bare, _: fit - bare),
    }


if __name__ == "__main__":
    print(
        f"{jax.devices()[0].platform}, Python {sys.version.split()[0]}, {ROUNDS} rounds"
    )
    for name, value in measure().items():
        print(f"{name:40} {value:10.3f}")
