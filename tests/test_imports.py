"""Who may know whom, held by walking the imports; see CONTRIBUTING.md."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gencourse

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "gencourse"
# A later one knows the earlier.
MODELS = ["autoencoder", "vae", "vae_faces", "gan", "dcgan", "conditions", "cgan"]
MODELS += ["cgan_conv", "cgan_maxout", "pix2pix", "cyclegan"]
HEAVY = {"tensorflow", "tensorflow_datasets", "array_record"}


def rooms(*names):
    return {f"gencourse.{name}" for name in names}


# What the modules of a room may import at their top. The room itself is always allowed.
TOP = {
    "__init__": set(),
    "system": set(),
    "validation": {"jax", "numpy"},
    "inference": {"jax", "flax"},
    "layers": {"jax", "flax", "numpy"},
    "checkpoint": {"jax", "flax", "numpy"} | rooms("validation"),
    "train": {"jax", "flax", "numpy", "tqdm"}
    | rooms("checkpoint", "layers", "system", "validation"),
    "metrics": {"jax", "flax", "scipy", "numpy"}
    | rooms("data", "inference", "layers", "validation"),
    "data": {"numpy"} | rooms("system"),
    "plot": {"numpy", "matplotlib", "PIL"},
    "checks": {"jax", "flax", "optax", "numpy"} | rooms("metrics", *MODELS),
} | {
    name: {"jax", "flax", "optax", "numpy"}
    | rooms("inference", "layers", "validation", *MODELS[:i])
    for i, name in enumerate(MODELS)
}
# What they may import besides, inside the function that needs it.
INSIDE = {
    "data": HEAVY | {"PIL", "tqdm", "etils", "psutil"},
    "plot": {"IPython"},
    "system": {"jax"},
    "checkpoint": {"orbax"},
}
ANYTHING = {"notebook", "cli", "__main__"}
FILES = sorted(p.relative_to(PACKAGE) for p in PACKAGE.rglob("*.py"))


def imports(path):
    """(module, at the top?) for every import in a file, gencourse's two deep."""
    tree = ast.parse((PACKAGE / path).read_text(encoding="utf-8"))
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = ("gencourse", *path.parent.parts)
                up = up[: len(up) - node.level + 1]
                base = ".".join([*up, base]).rstrip(".")
            # `from gencourse import vae` knows gencourse.vae
            whole = base.split(".")[0] == "gencourse"
            names = [f"{base}.{a.name}" for a in node.names] if whole else [base]
        else:
            continue
        for name in names:
            parts = name.split(".")
            yield (
                ".".join(parts[: 2 if parts[0] == "gencourse" else 1]),
                id(node) not in inside,
            )


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_module_knows_only_those_below_it(path):
    room = path.parts[0].removesuffix(".py")
    if room in ANYTHING:
        pytest.skip("may know everything")
    assert room in TOP, f"gencourse/{path} is a new room: give it a line in TOP"
    allowed = set(sys.stdlib_module_names) | {f"gencourse.{room}"} | TOP[room]
    for module, at_the_top in imports(path):
        more = set() if at_the_top else INSIDE.get(room, set())
        where = "at its top" if at_the_top else "inside a function"
        assert module in allowed | more, f"gencourse/{path} imports {module} {where}"


def test_importing_the_course_is_light():
    modules = ["gencourse", *sorted(rooms("data", "train", *MODELS))]
    heavy = sorted(HEAVY | {"matplotlib"})
    code = (
        f"import sys, {', '.join(modules)}\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]", f"import gencourse loads {done.stdout}"


def test_the_map_of_the_package_is_true():
    """In gencourse/__init__.py every room is named; what README and the docs say that
    a chapter's module holds is there, and what they call networks alone has no step."""
    rooms = {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or p.is_dir()}
    rooms = {name for name in rooms if name[0] != "_"}
    words = set(re.findall(r"\w+", gencourse.__doc__))
    assert rooms <= words, f"the map leaves out {rooms - words}"
    with_steps = {n for n in MODELS if hasattr(import_module(n), "train_step")}
    for name in ("README.md", "docs/engineering.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        (claim,) = re.findall(r"is used for: (.*?)[.;]", text)
        assert set(re.findall(r"`(\w+)`", claim)) == with_steps, name
    for model in with_steps:
        source = (PACKAGE / f"{model}.py").read_text(encoding="utf-8")
        assert "def train_step" in source and "loss" in source


def import_module(name):
    return importlib.import_module(f"gencourse.{name}")


def test_nobody_uses_the_private_names_of_another_module():
    private = []
    places = ("gencourse", "experiments", "recipes", "tools", "benchmarks")
    for path in (p for place in places for p in sorted((ROOT / place).rglob("*.py"))):
        if path.name == "ablation.py":
            continue  # it takes the layers apart
        tree = ast.parse(path.read_text(encoding="utf-8"))
        modules = set()
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [alias.asname or alias.name for alias in node.names]
                modules |= set(names)
                private += [f"{path}: {name}" for name in names if name[:1] == "_"]
        private += [
            f"{path}:{node.lineno}: {node.value.id}.{node.attr}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in modules
            and node.attr[0] == "_" != node.attr[:2][-1]
        ]
    assert not private


def test_importing_the_package_changes_nothing_in_the_process():
    code = """
import os, jax
before = dict(os.environ), dict(jax.config.values)
import gencourse.train, gencourse.gan, gencourse.checkpoint, gencourse.data
from gencourse.system import malloc
assert (dict(os.environ), dict(jax.config.values)) == before
assert malloc._held is None
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
