"""Where a step's time goes, on one core: `python -m benchmarks.profiling WORKLOAD ...`.

One core, since JAX's profiler leaves out what runs on its other threads. Writes the
table in NOTES.md; the kinds are told there. Linux alone.
"""

import collections
import gzip
import json
import os
import re
import sys
import tempfile
from pathlib import Path

from benchmarks import driver
from benchmarks.ablation import NOTES, bare_loop, median_dot
from benchmarks.compare import markdown
from benchmarks.workloads import WORKLOADS, find

BEGIN, END = "<!-- table: profiling.py writes it -->", "<!-- end of profiles -->"
STEPS = 5
KINDS = ["convolutions", "products", "sums", "moving", "elementwise", "chance", "other"]


def kinds(hlo):
    """A dict from each operation's name in the compiled text to its kind, or to None
    where the operation is only a frame around others, which are counted themselves."""
    bodies = dict(re.findall(r"^%?([\w.\-]+) \(.*?\{\n(.*?)^\}", hlo, re.S | re.M))
    found = {}
    for name, shape, code, rest in re.findall(
        r"^ *(?:ROOT )?%?([\w.\-]+) = (\(.*?\)|\S+) ([\w\-]+)\((.*)$", hlo, re.M
    ):
        called = re.search(r"calls=%?([\w.\-]+)", rest)
        body = bodies.get(called.group(1), "") if called else ""
        if code in ("while", "call", "conditional"):
            kind = None
        elif code == "convolution":
            kind = "convolutions"
        elif code == "dot" or " dot(" in body:
            kind = "products"
        elif code == "reduce" or " reduce(" in body:
            kind = "sums"
        elif shape.startswith(("u32", "u8")):
            kind = "chance"
        elif re.search("copy|transpose|concatenate|pad|slice", code + name):
            kind = "moving"
        else:
            kind = "elementwise"
        found[name] = kind
    return found


def profile(name):
    """Milliseconds a step of each kind, and the step's own, with nothing watching."""
    import jax

    run = bare_loop(find(name), lambda: None)
    run(3)
    alone = 1000 * min(run(STEPS) for _ in range(3))
    kind_of = kinds(run.hlo)
    total = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            run(STEPS)
        (file,) = Path(folder).rglob("*.trace.json.gz")
        events = json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]
    for event in events:
        if event.get("ph") == "X" and "hlo_op" in event.get("args", {}):
            total[kind_of.get(event["name"], "other")] += event["dur"] / 1000 / STEPS
    total.pop(None, None)
    return alone, total


def main():
    if hasattr(os, "sched_setaffinity"):  # before JAX counts its cores
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    lines = []
    for name in sys.argv[1:] or [*WORKLOADS]:
        alone, total = profile(name)
        scale = alone / sum(total.values())  # watching costs time too
        lines.append([name, f"{alone:.1f}"])
        lines[-1] += [f"{scale * total[kind]:.1f}" for kind in KINDS]
        print(lines[-1], flush=True)
    text = markdown(["workload", "ms a step", *KINDS], lines)
    text += f"\n\n{driver.machine()}; products of 1024 x 1024 run at "
    text += f"{median_dot():.0f} GFLOP/s on this core."
    driver.publish(NOTES, BEGIN, END, text)


if __name__ == "__main__":
    main()
