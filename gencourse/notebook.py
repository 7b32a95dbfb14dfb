"""What notebooks need: a budget, and the source of the code that they run."""

import inspect
import json
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from gencourse.system import compile_cache, malloc

BUDGETS = ("smoke", "laptop", "full")
MEMORY = 2.5e9  # bytes: no notebook takes more on a CPU, in the laptop budget


def budget_name() -> str:
    """Return the environment variable GENCOURSE_BUDGET, or "laptop" if it is unset.

    Raises:
      ValueError: where it is none of "smoke", "laptop" and "full".
    """
    name = os.environ.get("GENCOURSE_BUDGET", "laptop")
    if name not in BUDGETS:
        raise ValueError(
            f"GENCOURSE_BUDGET is {name!r}; it may be one of {', '.join(BUDGETS)}."
        )
    return name


def budget(*, smoke: Any, laptop: Any, full: Any) -> Any:
    """Return the one of three values that fits the budget that was asked for.

    "smoke" proves in a minute that every cell runs; "laptop" is what the committed
    outputs show; "full" is the whole data set, for a GPU or for patience.
    """
    return {"smoke": smoke, "laptop": laptop, "full": full}[budget_name()]


def setup(name: str) -> None:
    """Print the versions, the device, the budget, and what the notebook takes.

    It also sets up the process: what JAX compiles from here on is kept for the next run
    (`gencourse.system.compile_cache`), and freed memory for the next training step
    (`gencourse.system.malloc`).

    Args:
      name: the notebook in results.json, such as "chapters.01_autoencoder". The
        minutes and the memory were measured by `make results`, on the machine that it
        names there.
    """
    import jax  # here, so that asking for a budget costs nothing

    compile_cache.enable()
    malloc.retain_freed_memory()
    _release_after_each_cell()
    names = ("jax", "flax", "optax", "numpy")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    measured = _measured(f"{name}.{budget_name()}")
    print(f"Python {sys.version_info.major}.{sys.version_info.minor}, {versions}")
    print(f"Device: {jax.devices()[0].platform}, {jax.device_count()} of them")
    print(f"Budget: {budget_name()}. Time for the whole notebook: {measured}.")


def _release_after_each_cell():
    """Give back what a cell's compilations have left, as `fit` does at its end."""
    if "IPython" in sys.modules and (shell := sys.modules["IPython"].get_ipython()):
        shell.events.register("post_run_cell", _release)


def _release(_=None):
    malloc.release()


def _measured(name):
    """Return what results.json says of a notebook's minutes and memory, in words."""
    file = Path("../results/results.json")  # from the notebook's own folder
    results = json.loads(file.read_text()) if file.exists() else {}
    entry, memory = (results.get(f"{name}.{what}") for what in ("minutes", "gb"))
    if not entry:
        return "not measured for this budget"
    minutes = entry["mean"]
    many = "a minute" if round(minutes) == 1 else f"{minutes:.0f} minutes"
    about = "under a minute" if minutes < 1 else f"about {many}"
    gigabytes = f", memory {memory['mean']:.1f} GB" if memory else ""
    return f"{about}{gigabytes}, measured on {entry['device']}"


class Source:
    """The source of a function or class; a notebook shows it as Python."""

    def __init__(self, thing):
        thing = inspect.unwrap(thing)  # the plain function behind nnx.jit
        self.code = inspect.getsource(thing).rstrip()
        file = Path(inspect.getsourcefile(thing))
        line = inspect.getsourcelines(thing)[1]
        package = Path(__file__).parent
        inside = file.is_relative_to(package)
        name = file.relative_to(package.parent).as_posix() if inside else file.name
        self.where = f"{name}, line {line}"

    def _repr_markdown_(self):
        return f"`{self.where}`\n```python\n{self.code}\n```"

    def __repr__(self):
        return f"# {self.where}\n{self.code}"


def source(thing):
    """Show the very code that runs: `source(autoencoder.Encoder)` ends a cell.

    Args:
      thing: a function, jitted or not, or a class.
    """
    return Source(thing)
