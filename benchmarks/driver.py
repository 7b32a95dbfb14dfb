"""Workers, driven in turn, and what they answer; no figures and no files kept.

`measure` starts one process for each implementation, lets each train the same number
of steps, and then takes rounds in turn, so that a noisy machine is equally noisy to
all. `compare.py` and `growth.py` make sense of it.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.workloads import BATCHES
from gencourse import data

HERE = Path(__file__).resolve().parent
OURS, PLAIN = "gencourse", "flax"
PEERS = {
    "Keras": ("keras", "keras_xla"),
    "PyTorch": ("torch", "torch_compile"),
}
BENCH_PYTHON = HERE.parent / ".venv-bench" / "bin" / "python"
PATIENCE = 200  # seconds of training for the sake of a loss
BESIDE = ["torch_plain"]  # shown, and no peer: see README.md
IMPLEMENTATIONS = [
    OURS,
    PLAIN,
    *(name for names in PEERS.values() for name in names),
    *BESIDE,
]


class WorkerError(RuntimeError):
    """An implementation that could not do what it was asked."""


class Worker:
    """A process of `worker.py`; `ask` it, and leave its `with` to end it."""

    def __init__(self, python, implementation, workload, pictures, folder):
        self.implementation = implementation
        self.errors = tempfile.TemporaryFile("w+", dir=folder)
        # A cache of compiled code would make the first step look quick.
        cache = tempfile.mkdtemp(dir=folder)
        env = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache}
        env.pop("JAX_COMPILATION_CACHE_DIR", None)
        env = {"TF_CPP_MIN_LOG_LEVEL": "2", **env, "TQDM_DISABLE": "1"}
        # Several share one GPU: nobody takes all of its memory beforehand.
        env["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
        env["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
        self.spawned = time.time()
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.worker", implementation, workload, pictures],
            cwd=HERE.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=env,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.process.stdin.write('{"do": "quit"}\n')
            self.process.stdin.close()
            self.process.wait(20)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.errors.close()

    def ask(self, do, **order):
        """The worker's answer, a dict; a WorkerError where it failed."""
        try:
            self.process.stdin.write(json.dumps({"do": do, **order}) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self.errors.seek(0)
            raise WorkerError(f"{self.implementation} died:\n{self.errors.read()}")
        answer = json.loads(answer)
        if "error" in answer:
            raise WorkerError(f"{self.implementation} failed:\n{answer['error']}")
        return answer


def write_pictures(w, path):
    """The pictures of a workload, uint8, and labels, for all workers alike.

    Colour ones are made of three random pictures, one a channel, and enlarged.
    """
    images, labels = data.load(w.pictures, "train")  # (N, 28, 28, 1), uint8
    n = BATCHES * w.batch
    rows = np.random.default_rng(0).integers(len(images), size=(n, 3))
    if w.shape[-1] == 3:
        channels = np.moveaxis(images[rows, :, :, 0], 1, -1)  # (n, 28, 28, 3)
        pictures, side = data.pad(channels, 32), w.shape[0]
        pictures = pictures[:, :: max(1, 32 // side), :: max(1, 32 // side)]
        times = max(1, side // 32)
        pictures = pictures.repeat(times, axis=1).repeat(times, axis=2)
    else:
        pictures = images[rows[:, 0]]
        pictures = data.pad(pictures, 32) if w.shape == (32, 32, 1) else pictures
    np.savez(path, pictures=pictures, labels=labels[rows[:, 0]])


def measure(w, implementations, python_of, rounds, seconds, loss_steps, say=print):
    """All that there is to know of one workload, in one sitting.

    Args:
      w: a `Workload`.
      python_of: a function from an implementation to the Python that runs it.
      rounds, seconds: how many rounds, and how long one is, roughly.
      loss_steps: steps of training after which losses are compared; these steps also
        warm up, and say how many make up a round. At least 3. Who would take longer
        than PATIENCE for them does without a loss.

    Returns:
      A dict from each implementation that ran to a dict: what its `start` answered,
      "losses" by name (means over the last steps), "rounds" (a list of dicts with
      images_per_second and cpu_seconds_per_1000_images), "peak_memory_mb".
    """
    found, workers, steps = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures.npz"
        write_pictures(w, pictures)
        try:
            for name in implementations:
                worker = Worker(python_of(name), name, w.name, pictures, folder)
                workers[name] = worker
                try:
                    facts = worker.ask("start", spawned=worker.spawned)
                    last, pace = _learn(worker, loss_steps)
                except WorkerError as error:
                    say(f"  {name}: SKIPPED. {error}")
                    workers.pop(name).__exit__()
                    continue
                losses = {k: statistics.mean(v) for k, v in last.items()}
                found[name] = {**facts, "losses": losses, "rounds": []}
                steps[name] = max(1, round(seconds / pace))
                say(
                    f"  {name}: first step after {facts['first_step_seconds']:.1f} s, "
                    f"then {w.batch / pace:,.1f} images/s"
                    + ("" if losses else f"; too slow for {loss_steps} steps: no loss")
                )
            _check_same(found)
            for name in _off_device(found):
                say(f"  {name}: SKIPPED. It does not see the GPU.")
                workers.pop(name).__exit__()
                del found[name]
            for i in range(rounds):
                for name in rotated(list(workers), i):
                    run = workers[name].ask("run", steps=steps[name])
                    images = steps[name] * w.batch
                    found[name]["rounds"].append(
                        {
                            "images_per_second": images / run["seconds"],
                            "cpu_seconds_per_1000_images": 1000
                            * run["cpu_seconds"]
                            / images,
                        }
                    )
            for name, worker in workers.items():
                found[name].update(worker.ask("memory"))
        finally:
            for worker in workers.values():
                worker.__exit__()
    return found


def first_steps(w, implementations, python_of, rounds, say=print):
    """{implementation: what its `start` answered, a list of `rounds`} of one workload.

    Each in a new process and alone, in turn, with no compiled code kept from before.
    Who fails is left out.
    """
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures.npz"
        write_pictures(w, pictures)
        for i in range(rounds):
            for name in rotated(list(implementations), i):
                args = python_of(name), name, w.name, pictures, folder
                try:
                    with Worker(*args) as worker:
                        facts = worker.ask("start", spawned=worker.spawned)
                except WorkerError as error:
                    say(f"  {name}: SKIPPED. {error}")
                    continue
                say(f"  {name}: first step after {facts['first_step_seconds']:.1f} s")
                found.setdefault(name, []).append(facts)
    return found


def _learn(worker, steps):
    """Train until `steps` are done, the one of its start among them.

    Returns:
      The last losses by name, none where this would take longer than PATIENCE; and
      seconds a step.
    """
    run = worker.ask("run", steps=1)  # what compiles late, compiles here
    if run["seconds"] * (steps - 2) > PATIENCE:
        run = worker.ask("run", steps=1)
    if run["seconds"] * (steps - 2) > PATIENCE:
        return {}, run["seconds"]
    run = worker.ask("run", steps=steps - 2)
    return run["losses"], run["seconds"] / (steps - 2)


def rotated(names, i):
    """The names, begun one later every round: none always follows the same one."""
    i %= max(1, len(names))
    return names[i:] + names[:i]


def _check_same(found):
    """The same network everywhere, or a ValueError."""
    counts = {name: facts["parameters"] for name, facts in found.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"Not the same network: trainable parameters are {counts}.")


def _off_device(found):
    """Those on the CPU where another runs on a GPU."""
    on_cpu = [name for name, facts in found.items() if facts["device"] == "cpu"]
    return on_cpu if len(on_cpu) < len(found) else []


def pythons(bench_python):
    """python_of for `measure`: ours runs here, peers in their own environment."""
    return lambda name: sys.executable if name in (OURS, PLAIN) else bench_python


def available(implementations, bench_python):
    """Those of them that can run: without the peers' Python only ours and Flax."""
    if Path(bench_python).exists():
        return implementations
    print(f"There is no {bench_python}: no Keras and no PyTorch. `make bench` has it.")
    return [name for name in implementations if name in (OURS, PLAIN)]


def machine():
    """The processor, cores that may be used, and the system; no names of hosts."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(": ")[1] for line in lines if line.startswith("model name")]
    system = f"{platform.system()} {' '.join(platform.libc_ver())}".strip()
    model = models[0] if models else platform.machine()
    return f"{model}, {cores or os.cpu_count()} cores, {system}"


def write(path, rows):
    """Rows to a JSON file, one a line, as a whole or not at all."""
    lines = ",\n ".join(json.dumps(row) for row in rows)
    partial = Path(path).with_suffix(".partial")
    partial.write_text(f"[\n {lines}\n]\n", encoding="utf-8")
    partial.replace(path)


def publish(path, begin, end, text):
    """Put `text` between two marks of a Markdown file, for what was there."""
    whole = path.read_text(encoding="utf-8")
    before, rest = whole.split(begin)
    after = rest.split(end)[1]
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def read(path):
    path = Path(path)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
