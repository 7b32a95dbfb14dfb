"""What each means of speed gains.

    python -m benchmarks.ablation [--part step|process] [WORKLOAD ...]

A workload's step with all of them, and with each taken away, driven in turn in one
process; a gain is the time without over the time with, the median of the rounds. What
acts on a whole process (the C library's memory) is measured between processes, in turn
as well. Writes ablation.json, where what is not measured now stays, and the table in
NOTES.md.
"""

import argparse
import ctypes
import datetime
import functools
import json
import os
import statistics
import subprocess
import sys
import time

from benchmarks import driver
from benchmarks.compare import markdown, rounded

RESULTS, NOTES = driver.HERE / "ablation.json", driver.HERE / "NOTES.md"
BEGIN, END = "<!-- table: ablation.py writes it -->", "<!-- end of gains -->"
WORKLOADS = ["autoencoder", "dcgan28", "dcgan32", "gan_mlp", "cgan_mlp"]
ROUNDS, SECONDS = 7, 0.4
# What acts on a whole process, and what `time_in_this_process` calls its absence.
PROCESSES = {
    "memory kept, and all of it below": "system",
    "a step in the calling thread": "async",
    "a heap for each of XLA's threads": "shared",
}
PROCESS_ROUNDS = 5


def variants():
    """name -> a function that takes that means away, until `restore` is called."""
    import jax
    from flax import nnx
    from jax import lax

    from benchmarks import in_flax
    from gencourse.layers import convolution
    from gencourse.train import compile_step

    def plain_up(x, w, strides, pads, precision):
        return lax.conv_general_dilated(
            *(x, w, (1, 1), pads),
            lhs_dilation=strides,
            dimension_numbers=convolution._NHWC,
            precision=precision,
        )

    def plain_gradient(x, dy, w, strides, pads, precision):
        def down(w):
            return convolution._down(x, w, strides, pads, precision)

        return jax.vjp(down, w)[1](dy)[0]

    ours = in_flax.LAYERS["gencourse"]
    fusion = next(iter(compile_step.CPU_OPTIONS))

    def layers(**others):
        in_flax.LAYERS["gencourse"] = ours._replace(**others)

    def flax_layers():
        flax = in_flax.LAYERS["flax"]
        layers(Conv=flax.Conv, ConvTranspose=flax.ConvTranspose)

    before = {
        (convolution, "_up"): convolution._up,
        (convolution, "_weight_gradient"): convolution._weight_gradient,
        (convolution, "_is_narrow"): convolution._is_narrow,
        (compile_step, "CPU_OPTIONS"): compile_step.CPU_OPTIONS,
    }

    def restore():
        layers()
        for (module, name), value in before.items():
            setattr(module, name, value)

    def change(module, name, value):
        return functools.partial(setattr, module, name, value)

    return restore, {
        "all": lambda: None,
        "convolutions: ours for Flax's": flax_layers,
        "transposed ones by phases": change(convolution, "_up", plain_up),
        "weight gradients by columns": change(
            convolution, "_weight_gradient", plain_gradient
        ),
        "narrow outputs by taps": change(convolution, "_is_narrow", lambda *_: False),
        "dropout from bytes": functools.partial(layers, Dropout=nnx.Dropout),
        "XLA's option: ours for the default": change(compile_step, "CPU_OPTIONS", {}),
        "YNNPACK at all": change(compile_step, "CPU_OPTIONS", {fusion: ""}),
    }


def bare_loop(w, take_away):
    """run(steps) over the compiled step, without whatever `take_away` takes away."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from benchmarks import in_flax
    from benchmarks.workloads import taken
    from gencourse.train import compile_step

    take_away()
    step, objects = in_flax.step_and_objects("gencourse", w)
    graphdef, state = nnx.split(objects)
    leaves, tree = jax.tree.flatten(state)

    def advance(leaves, batch, key):
        objects = nnx.merge(graphdef, jax.tree.unflatten(tree, leaves))
        metrics = step.__wrapped__(*objects, batch, key)
        return jax.tree.leaves(nnx.state(objects)), metrics

    key = jax.random.key(0)
    batch = (jax.random.uniform(key, (w.batch, *w.shape)),)
    if w.game == "gan":
        batch = (2 * batch[0] - 1,)
    if w.networks == "conditional":
        batch += (jax.random.randint(key, (w.batch,), 0, 10),)
    batch = taken(batch, w)
    compiled = (
        jax.jit(
            advance, donate_argnums=0, compiler_options=compile_step.CPU_OPTIONS or None
        )
        .lower(leaves, batch, key)
        .compile()
    )
    carry = [[jnp.copy(leaf) for leaf in leaves]]

    def run(steps):
        start = time.perf_counter()
        for _ in range(steps):
            carry[0], metrics = compiled(carry[0], batch, key)
        jax.block_until_ready((carry[0], metrics))
        return (time.perf_counter() - start) / steps

    run.hlo = compiled.as_text()
    return run


def median_dot(n=1024, rounds=20):
    """GFLOP/s of a well-shaped matrix product: what a core can do."""
    import jax
    import jax.numpy as jnp

    a = jnp.ones((n, n))
    product = jax.jit(jnp.dot).lower(a, a).compile()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        jax.block_until_ready(product(a, a))
        seconds.append(time.perf_counter() - start)
    return 2 * n**3 / statistics.median(seconds) / 1e9


def in_this_process(name):
    """The gains within a step of one workload, and its seconds with all of them."""
    from benchmarks.workloads import find

    w = find(name)
    restore, ways = variants()
    if w.networks in ("mlp", "conditional"):
        ways = {k: v for k, v in ways.items() if k == "all" or "YNN" in k or "XLA" in k}
    if not w.dropout:
        ways.pop("dropout from bytes", None)
    runs = {}
    for way, take_away in ways.items():
        runs[way] = bare_loop(w, take_away)
        restore()
    steps = {way: max(1, round(SECONDS / run(2))) for way, run in runs.items()}
    times = {way: [] for way in runs}
    for i in range(ROUNDS):
        for way in driver.rotated([*runs], i):
            times[way].append(runs[way](steps[way]))
    whole = times.pop("all")
    gains = {
        way: statistics.median(a / b for a, b in zip(found, whole, strict=True))
        for way, found in times.items()
    }
    seconds = statistics.median(whole)
    return {"rounds": ROUNDS, "seconds_a_step": seconds, "gains": gains}


def process_gains(name):
    """The time a step in a process without each of PROCESSES, over that in one with
    all of them, the median of the rounds."""
    seconds = {way: [] for way in ("ours", *PROCESSES)}
    environment = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("MALLOC_", "GLIBC_TUNABLES", "GENCOURSE_MALLOC"))
    }
    for i in range(PROCESS_ROUNDS):
        for way in driver.rotated([*seconds], i):
            without = PROCESSES.get(way, "nothing")
            command = [
                sys.executable,
                "-m",
                "benchmarks.ablation",
                "--time",
                name,
                "--without",
                without,
            ]
            done = subprocess.run(
                command, env=environment, stdout=subprocess.PIPE, text=True, check=True
            )
            seconds[way].append(json.loads(done.stdout.splitlines()[-1]))
    ours = seconds.pop("ours")
    gains = {
        way: statistics.median(a / b for a, b in zip(found, ours, strict=True))
        for way, found in seconds.items()
    }
    return {"rounds": PROCESS_ROUNDS, "gains": gains}


def time_in_this_process(name, without):
    """The seconds of a step in `fit`, without something.

    "system": glibc's own ways with memory, and JAX's with steps; "async": a step runs
    in a thread of XLA's; "shared": all threads have one heap; "nothing".
    """
    if without == "system":
        os.environ["GENCOURSE_MALLOC"] = "system"
    import jax
    import numpy as np

    from benchmarks import in_flax  # it retains freed memory
    from benchmarks.workloads import BATCHES, find
    from gencourse.system import malloc

    if without == "async":
        jax.config.update(malloc.DISPATCH, True)
    if without == "shared":
        ctypes.CDLL(None).mallopt(-8, 1)  # M_ARENA_MAX

    w = find(name)
    rng = np.random.default_rng(0)
    x = rng.random((BATCHES * w.batch, *w.shape), np.float32)
    data = (2 * x - 1 if w.game == "gan" else x,)
    if w.networks == "conditional":
        data += (rng.integers(0, 10, len(x)).astype(np.int32),)
    step, objects = in_flax.step_and_objects("gencourse", w)
    run = in_flax.by_fit(step, objects, data, w)

    def seconds(steps):
        start = time.perf_counter()
        run(steps)
        return (time.perf_counter() - start) / steps

    seconds(3)
    steps = max(3, round(2 * SECONDS / seconds(3)))
    return statistics.median(seconds(steps) for _ in range(5))


def table(found):
    ways = dict.fromkeys(
        w for f in found.values() for p in f.values() for w in p["gains"]
    )
    lines, sittings = [], {}
    for way in ways:
        gains = (
            {w: g for p in f.values() for w, g in p["gains"].items()}
            for f in found.values()
        )
        lines.append([way, *(f"{g[way]:.2f}" if way in g else "" for g in gains)])
    for name, parts in found.items():
        for part, measured in parts.items():
            about = f"{measured['machine']}, {measured['date']}"
            about = f"{part}, {measured['rounds']} rounds; {about}"
            sittings.setdefault(about, []).append(name)
    told = "\n".join(
        f"- {', '.join(names)}: {about}" for about, names in sittings.items()
    )
    return markdown(["what", *found], lines) + f"\n\n{told}"


PARTS = {"step": in_this_process, "process": process_gains}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workloads", nargs="*", help=", ".join(WORKLOADS))
    parser.add_argument("--part", choices=PARTS, help="by default both")
    parser.add_argument("--time", metavar="WORKLOAD", help=argparse.SUPPRESS)
    parser.add_argument("--without", default="nothing", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.time:
        print(time_in_this_process(args.time, args.without))
        return
    if unknown := set(args.workloads) - set(WORKLOADS):
        parser.error(f"unknown: {sorted(unknown)}; there are {WORKLOADS}")
    found = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for name in args.workloads or WORKLOADS:
        for part in [args.part] if args.part else PARTS:
            about = {"machine": driver.machine()}
            about["date"] = datetime.date.today().isoformat()
            measured = about | rounded(PARTS[part](name))
            found.setdefault(name, {})[part] = measured
            print(name, part, measured, flush=True)
            found = {w: found[w] for w in WORKLOADS if w in found}
            text = json.dumps(found, indent=1)
            RESULTS.write_text(text + "\n", encoding="utf-8")
    driver.publish(NOTES, BEGIN, END, table(found))


if __name__ == "__main__":
    main()
