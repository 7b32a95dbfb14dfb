"""Kill training, damage checkpoints, and see that nothing wrong comes of it.

    python -m tools.faults [kills]        or: make faults

A process trains and saves; it is killed with SIGKILL at random moments, some of them
in the middle of a write, and started again, until it is through. Its result must have
the bits of a run that nobody disturbed. Then every file of a checkpoint is damaged in
several ways, one at a time: what is restored must be that checkpoint or the one
before it, bit for bit.
"""

import contextlib
import functools
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
import optax
from flax import nnx

from gencourse import checkpoint
from gencourse.train import fit

ROOT = Path(__file__).resolve().parent.parent
SAVE_EVERY = 3
# Made once, so that a second fit finds what the first one compiled.
ADAM, RAMP = optax.adam(1e-2), optax.linear_schedule(1.0, 2.0, 40)


class Small(nnx.Module):
    """A small network, with BatchNorm's statistics."""

    def __init__(self, rngs):
        self.norm = nnx.BatchNorm(3, rngs=rngs)
        self.linear = nnx.Linear(3, 3, rngs=rngs)


def objects():
    model = Small(nnx.Rngs(0))
    return model, nnx.Optimizer(model, ADAM, wrt=nnx.Param)


@nnx.jit
def step(model, optimizer, batch, key, weight):
    """Its loss depends on the key, as with dropout, and on a schedule."""

    def loss_fn(model):
        kept = jax.random.bernoulli(key, 0.8, batch.shape)
        return weight * ((model.linear(model.norm(batch * kept)) - batch) ** 2).mean()

    loss, grads = nnx.value_and_grad(loss_fn)(model)
    optimizer.update(model, grads)
    return {"loss": loss, "weight": weight, "noise": jax.random.normal(key)}


def train(folder, steps, trained=None, **options):
    """(history, leaves) of `steps` steps; on `trained` objects where they are given."""
    trained = objects() if trained is None else trained
    data = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    options = dict(batch_size=7, key=jax.random.key(3), progress=False) | options
    history = fit(
        step, trained, data, steps=steps, weight=RAMP, resume=folder, **options
    )
    return history, [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(trained))]


def as_bytes(history, leaves):
    """Both as text, so that two processes can be compared bit for bit."""
    return json.dumps(
        [[k, v.tobytes().hex()] for k, v in history.items()]
        + [leaf.tobytes().hex() for leaf in leaves]
    )


def start(folder, steps, result):
    command = [
        sys.executable,
        "-m",
        "tools.faults",
        "child",
        folder,
        str(steps),
        result,
    ]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


WHEN = "in a write", "some time after a write", "some time after its start"


def kill(process, folder, when):
    """SIGKILL; returns what the process had printed until then."""
    before = finished(folder)
    if when == "some time after its start":  # as it imports, reads, compiles or trains
        time.sleep(random.uniform(0.5, 4))
    while when != "some time after its start" and process.poll() is None:
        if finished(folder) != before:
            break
        time.sleep(0.002)
    time.sleep(random.uniform(0, 0.02 if when == "in a write" else 0.3))
    while when == "in a write" and process.poll() is None:
        if any(Path(folder).glob("*.writing")):
            time.sleep(random.uniform(0, 0.01))
            break
        time.sleep(0.001)  # the process needs the core
    process.kill()
    said = process.communicate()[0].splitlines()
    return said[0].partition(", saved in")[0] if said else "nothing"


def finished(folder):
    if not Path(folder).exists():
        return set()
    return {p.name for p in Path(folder).iterdir() if p.name.isdecimal()}


def kills(number, steps, seed=0):
    """Rows of a table: what happened at each kill. Raises where the bits differ."""
    random.seed(seed)
    with tempfile.TemporaryDirectory() as place:
        folder, result = f"{place}/run", f"{place}/result"
        rows = []
        for i in range(number):
            when = WHEN[i % len(WHEN)]
            said = kill(start(folder, steps, result), folder, when)
            if Path(result).exists():
                break  # a quick machine: through before the kill
            newest = max(map(int, finished(folder)), default=0)
            rest = [p.name for p in Path(folder).glob("*.*")]
            rows.append((i + 1, when, said, newest, ", ".join(rest) or "none"))
        last = start(folder, steps, result)
        said = last.communicate()[0].splitlines() or [""]
        assert last.returncode == 0, "the last run failed"
        said = said[0].partition(", saved in")[0]
        rows.append(("-", "not at all", said, steps, "none"))
        assert Path(result).read_text() == as_bytes(*train(None, steps)), "other bits"
    return rows


def cut(data):
    return data[: len(data) // 2]


def flip(data, where):
    at = int(where * (len(data) - 1))
    return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]


DAMAGES = {
    "emptied": lambda data: b"",
    "cut in half": cut,
    "a bit flipped early": functools.partial(flip, where=0.1),
    "a bit flipped late": functools.partial(flip, where=0.9),
    "zeros": lambda data: bytes(len(data)),
    "deleted": lambda data: None,
}


def damages(seed=0):
    """Rows: the file, how it was damaged, which checkpoint was restored."""
    random.seed(seed)
    rows, quiet = [], io.StringIO()
    with tempfile.TemporaryDirectory() as place:
        good, bad = Path(place, "good"), Path(place, "bad")
        should = {}
        for steps in (4, 8):
            should[steps] = as_bytes(*train(good, steps))
        files = sorted(p for p in (good / "8").rglob("*") if p.is_file())
        for file in files:
            for name, damage in DAMAGES.items():
                if not (data := file.read_bytes()):
                    continue
                shutil.rmtree(bad, ignore_errors=True)
                shutil.copytree(good, bad)
                copy, changed = bad / file.relative_to(good), damage(data)
                copy.unlink() if changed is None else copy.write_bytes(changed)
                with contextlib.redirect_stdout(quiet):
                    found = restored(bad)
                assert found[1] == should[found[0]], f"wrong bits: {file}, {name}"
                rows.append((str(file.relative_to(good)), name, found[0]))
    return rows


def restored(folder):
    new = objects()
    saved = checkpoint.restore(folder, new)
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(new))]
    return saved.step, as_bytes(saved.history, leaves)


def show(title, columns, rows):
    print(f"\n{title}\n")
    rows = [columns, *rows]
    widths = [max(len(str(x)) for x in column) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(str(x).ljust(w) for x, w in zip(row, widths, strict=True)))


def main(number=24):
    began = time.monotonic()
    columns = "kill", "when", "what the process had said", "newest", "unfinished"
    show("Killed with SIGKILL:", columns, kills(number, steps=40 * number))
    columns = "file", "damage", "restored: 8 is the damaged one"
    show("Damaged, one file at a time:", columns, damages())
    print(f"\nThe same bits in every case. {time.monotonic() - began:.0f} s.")


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        folder, steps, result = sys.argv[2:]
        out = as_bytes(*train(folder, int(steps), save_every=SAVE_EVERY))
        Path(result + ".part").write_text(out)
        os.replace(result + ".part", result)
    else:
        main(*map(int, sys.argv[1:]))
