"""Who may know whom, held by walking the imports; see CONTRIBUTING.md."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "gencourse"
# A later one knows the earlier.
CHAPTERS = ["autoencoder", "vae", "faces", "gan", "dcgan", "cgan"]
CHAPTERS += ["conv_cgan", "maxout"]
HEAVY = {"tensorflow", "tensorflow_datasets", "array_record"}
KNOWN_TO_CHAPTERS = {"jax", "flax", "optax", "numpy"} | {
    f"gencourse.{name}"
    for name in ("layers", "initializers", "devices", "given", "looking")
}

# What a module may import at its top. `own package` is always allowed.
TOP = {
    "layers": {
        "jax",
        "flax",
        "numpy",
        "gencourse.convolution",
        "gencourse.initializers",
    },
    "initializers": {"jax", "flax", "numpy"},
    "train": {
        "jax",
        "flax",
        "numpy",
        "tqdm",
        "gencourse.arguments",
        "gencourse.checkpoint",
        "gencourse.description",
        "gencourse.devices",
        "gencourse.dispatch",
        "gencourse.initializers",
        "gencourse.memory",
        "gencourse.readings",
        "gencourse.resolve",
    },
    "dispatch": {"jax", "flax", "gencourse.devices", "gencourse.resolve"},
    "resolve": {"jax", "flax"},
    "readings": {"jax", "numpy"},
    "arguments": {"jax", "numpy", "gencourse.given"},
    "description": {"jax", "numpy"},
    "devices": {"jax", "numpy"},
    "memory": set(),
    "given": {"jax", "numpy"},
    "looking": {"jax", "flax"},
    "places": set(),
    "compiled": {"gencourse.places"},
    "convolution": {"jax"},
    "checkpoint": {
        "jax",
        "flax",
        "numpy",
        "gencourse.checkpoint_files",
        "gencourse.given",
    },
    "checkpoint_files": {"jax", "numpy"},
    "plot": {"numpy", "matplotlib", "PIL"},
    "metrics": {
        "jax",
        "flax",
        "scipy",
        "numpy",
        "gencourse.layers",
        "gencourse.looking",
        "gencourse.resolve",
    },
    "data": {"numpy", "gencourse.places"},
    "checks": {"jax", "flax", "optax", "numpy", "gencourse.metrics"}
    | {f"gencourse.{name}" for name in CHAPTERS},
    "__init__": set(),
} | {
    name: KNOWN_TO_CHAPTERS | {f"gencourse.{earlier}" for earlier in CHAPTERS[:i]}
    for i, name in enumerate(CHAPTERS)
}
# What it may import besides, inside the function that needs it.
INSIDE = {
    "data": HEAVY | {"PIL", "tqdm", "etils", "psutil"},
    "plot": {"IPython"},
    "compiled": {"jax"},
    "memory": {"jax"},
    "checkpoint_files": {"orbax"},
}
ANYTHING = {"notebook", "doctor", "__main__"}
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
    found = [name for name in CHAPTERS if (PACKAGE / f"{name}.py").exists()]
    modules = ["gencourse", *(f"gencourse.{name}" for name in found)]
    if (PACKAGE / "data" / "__init__.py").exists():
        modules.append("gencourse.data")
    heavy = sorted(HEAVY | {"matplotlib"})
    code = (
        f"import sys, {', '.join(modules)}\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]", f"import gencourse loads {done.stdout}"
