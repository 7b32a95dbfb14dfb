"""Is this machine ready for the course? `python -m gencourse doctor`."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from packaging.version import Version

from gencourse import data, notebook
from gencourse.data import cache, tfds_store
from gencourse.data.registry import SETS, SPLITS, NotPrepared
from gencourse.system import compile_cache, malloc, paths

NEEDED = f"a notebook takes up to {notebook.MEMORY / 1e9:.1f}"
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "tensorflow-datasets")


def doctor() -> int:
    """Print what is here, and a line of advice for each thing that is off."""
    facts = gather()
    print(f"Python     {'.'.join(map(str, facts['python']))}, {platform.platform()}")
    print(f"packages   {', '.join(f'{k} {v}' for k, v in facts['versions'].items())}")
    print(f"devices    {facts['devices'] or facts['jax_error']}")
    print(f"threads    {facts['threads']} of the CPU may be used")
    print(f"memory     {facts['memory'] / 1e9:.1f} GB free, {NEEDED}")
    print(f"disk       {facts['disk'] / 1e9:.1f} GB free in {facts['home']}")
    print(f"compiled   {facts['compiled'] / 1e6:,.0f} MB in {compile_cache.home()}")
    for name, state in facts["sets"].items():
        print(f"data       {name}: {state}")
    print("training   ten seconds of chapter 1 ...", end=" ", flush=True)
    facts |= probe()
    print(f"{facts['speed']:,.0f} images a second" if facts["speed"] else "failed")
    lines = advice(facts)
    print()
    for stops, line in lines:
        print(f"{'STOP' if stops else 'note'}: {line}")
    if not any(stops for stops, _ in lines):
        print("All is well: the course can start.")
    return int(any(stops for stops, _ in lines))


def gather() -> dict:
    """Gather the facts that advice is drawn from, all but the training probe's."""
    import psutil

    home = tfds_store.home()
    facts = {
        "python": sys.version_info[:3],
        "versions": {name: _version(name) for name in ("gencourse", *PACKAGES)},
        "devices": "",
        "jax_error": "",
        "platform": "",
        "gpu": _has_gpu(),
        "threads": cpu_threads(),
        "memory": psutil.virtual_memory().available,
        "home": home,
        "disk": shutil.disk_usage(tfds_store.existing(home)).free,
        "cache_error": _cache_error(),
        "compiled": compile_cache.size(),
        "tfds_error": "",
        "sets": {},
        "data_error": "",
    }
    try:
        import jax

        malloc.retain_freed_memory()  # as training does
        facts["platform"] = jax.default_backend()
        facts["devices"] = ", ".join(f"{d} ({d.device_kind})" for d in jax.devices())
    except Exception as error:  # whatever is broken, the doctor goes on
        facts["jax_error"] = f"{type(error).__name__}: {error}"
    try:
        import tensorflow_datasets as tfds

        tfds.data_source  # noqa: B018  TFDS imports itself when first used
    except Exception as error:
        facts["tfds_error"] = f"{type(error).__name__}: {error}"
    for name, entry in SETS.items():
        part = ""
        if entry.embedded:
            part = "embedded part ready; "
            try:
                data.load(name)
            except data.DataError as error:
                facts["data_error"] = part = str(error)
        whole = "whole set " if entry.version else ""
        facts["sets"][name] = f"{part}{whole}{state_of_set(name)}"
    return facts


def probe(seconds: float = 8) -> dict:
    """Train chapter 1's network for some seconds, most of them after compiling."""
    try:
        import jax
        import optax
        from flax import nnx

        from gencourse.autoencoder import Autoencoder, train_step
        from gencourse.train import fit

        images, _ = data.load("fashion_mnist")
        images = data.scale(data.pad(images, 32), "unit")
        model = Autoencoder(latent=2, rngs=nnx.Rngs(0))
        optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)

        def run(steps):
            start = time.perf_counter()
            key = jax.random.key(0)
            history = fit(
                *(train_step, (model, optimizer), images),
                **dict(batch_size=100, steps=steps, key=key, progress=False),
            )
            return history["loss"], time.perf_counter() - start

        begin = time.perf_counter()
        first, _ = run(5)  # compiles
        steps = spent = 0
        while steps == 0 or time.perf_counter() - begin < seconds:
            last, took = run(10)
            steps, spent = steps + 10, spent + took
        return {
            "speed": 100 * steps / spent,
            "learns": bool(last[-1] < first[0]),
            "probe_error": "",
        }
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        return {"speed": 0, "learns": False, "probe_error": text}


def advice(facts: dict) -> list[tuple[bool, str]]:
    """Turn facts (gather and probe) into lines (does it stop the course?, advice)."""
    lines = []

    def say(line, stops=False):
        lines.append((stops, line))

    if facts["python"] < (3, 11):
        say("Python is too old: make a new environment with 3.11 to 3.13", True)
    elif facts["python"] >= (3, 14):
        say("Python is newer than the course was made for: if in doubt use 3.11")
    missing = [name for name, version in facts["versions"].items() if not version]
    if missing:
        say(f"not installed: {', '.join(missing)}. Run pip install -e . again", True)
    jax_version = facts["versions"].get("jax")
    if jax_version and Version(jax_version) < Version("0.10"):
        say('jax is too old: pip install --upgrade "jax>=0.10"', True)
    if facts["jax_error"]:
        say(f"jax does not start: {facts['jax_error']}", True)
    if facts["gpu"] and facts["platform"] == "cpu":
        say(
            "there is an NVIDIA GPU, but jax sees only the CPU: "
            "in the clone, pip install -e '.[cuda]'"
        )
    if facts["data_error"]:
        say(facts["data_error"], True)
    if facts["tfds_error"]:
        say(
            f"whole sets cannot be prepared or read ({facts['tfds_error']}); what is "
            "embedded works. pip install tensorflow-datasets importlib-resources"
        )
    if facts["threads"] < 2:
        say("one CPU thread only: training takes about twice the minutes stated")
    if facts["memory"] < notebook.MEMORY:
        say(
            f"little memory ({facts['memory'] / 1e9:.1f} GB free, {NEEDED}): close "
            "other programs, and notebooks that you have read"
        )
    if facts["disk"] < 1e9:
        say(
            f"little disk ({facts['disk'] / 1e9:.1f} GB) in {facts['home']}: make "
            "room, or set TFDS_DATA_DIR and GENCOURSE_CACHE to other places"
        )
    if facts["cache_error"]:
        say(
            f"the cache cannot be written ({facts['cache_error']}), so whole sets are "
            "decoded, and code is compiled, each time: "
            "set GENCOURSE_CACHE to a folder of yours"
        )
    if facts["probe_error"]:
        say(f"chapter 1's network does not train: {facts['probe_error']}", True)
    elif not facts["learns"]:
        say("chapter 1's loss did not fall: jax computes wrongly here", True)
    elif facts["speed"] < 100:
        say("training is slow here: set GENCOURSE_BUDGET=smoke, or use a GPU")
    return lines


def state_of_set(name, data_dir=None):
    """Say if the whole set is prepared, if it is cached, and how large it is."""
    if not SETS[name].version:
        return "put together when loaded"
    try:
        there = tfds_store.find(name, data_dir)
    except NotPrepared:
        return "not prepared"
    except data.DataError as error:
        return str(error)
    text = f"prepared as {there.format} ({_megabytes(there.folder.iterdir())})"
    files = [cache.path(name, split, there) for split in SPLITS]
    files = [file for file in files if file.exists()]
    return f"{text}, cached ({_megabytes(files)})" if files else f"{text}, not cached"


def _megabytes(files):
    return f"{sum(file.stat().st_size for file in files) / 1e6:,.0f} MB"


def cpu_threads(cgroup=Path("/sys/fs/cgroup")) -> int:
    """Count the CPUs that this process may use, by its affinity and its container."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    try:  # "max 100000", or microseconds of CPU time in each period
        quota, period = (cgroup / "cpu.max").read_text().split()
        count = min(count, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):
        pass
    return count


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _has_gpu():
    if any(Path("/proc/driver/nvidia/gpus").glob("*")):
        return True
    try:
        command = ["nvidia-smi", "--list-gpus"]
        found = subprocess.run(command, capture_output=True, timeout=10)
        return found.returncode == 0 and b"GPU" in found.stdout
    except (OSError, subprocess.SubprocessError):
        return False


def _cache_error():
    try:
        paths.cache_dir().mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=paths.cache_dir()).close()
        return ""
    except OSError as error:
        return str(error)
