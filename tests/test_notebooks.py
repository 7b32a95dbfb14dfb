"""Every chapter and solution runs from top to bottom, and its asserts mean something.

Run in the smoke budget, in kernels of their own. What a run is compared with: the
committed output of cells tagged `nbval-check-output`; pictures, which must not be
blank; and no cell may do more work than the smoke budget has (_work.py). Cells tagged
`must-fail-untrained` are run once more, after all that stands before them, with a
training that changes nothing (_idle.py), and every assert in them has to fail.
"""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import _haste
import _idle
import _work
import jax
import nbformat
import numpy as np
import pytest
from flax import nnx

from gencourse import checkpoint, train
from tools import faults, notebooks

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
CHAPTERS = sorted(ROOT.glob("chapters/*.ipynb"))
NOTEBOOKS = CHAPTERS + sorted(ROOT.glob("solutions/*.ipynb"))
TAG = "must-fail-untrained"
# Dense networks, and exercises: many programs, each of which runs a few times. In the
# other chapters convolutions run so often that haste would take longer; they have a
# part of it.
COMPILED_IN_HASTE = {"chapters/03_gan", "chapters/05_project_paper"} | {
    f"solutions/{stem}"
    for stem in ("02_vae", "03_gan", "04_dcgan", "05_cgan", "07_cyclegan")
}

# Put before a chapter's first cell: fit does two steps, then takes them back.
IDLE = f"import sys; sys.path.append({str(TESTS)!r}); import _idle; _idle.begin()"


def name(path):
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_a_notebook_runs_and_shows_what_it_showed(path, tmp_path):
    command = [
        *(sys.executable, "-m", "pytest", str(path), "-q", "--color=no"),
        *("--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=600"),
        *("-p", "_pictures", "-p", "no:cacheprovider", "-W", "default"),
    ]
    there = os.environ | _work.watching(tmp_path)
    if name(path) not in COMPILED_IN_HASTE:
        there["XLA_FLAGS"] = _haste.FEWER_KERNELS
    done = subprocess.run(command, capture_output=True, text=True, env=there, cwd=ROOT)
    # The first failure says why; the cells after it fail because of it.
    assert done.returncode == 0, done.stdout[:6000] + done.stderr[-2000:]
    assert re.search(r"[1-9]\d* passed", done.stdout), f"no cell ran: {done.stdout}"
    busy = _work.excesses(tmp_path, notebooks.read(path))
    assert not busy, "these cells ignore the smoke budget:\n" + "\n".join(busy)


class OneByOne(ast.NodeTransformer):
    """Turns each assert into a note of whether it held, so that none hides another."""

    def visit_Assert(self, node):
        node.msg = None  # its formatting may not be ready for an untrained model
        text = ast.unparse(node.test)
        return ast.parse(f"_asserts.append(({text!r}, bool({text})))").body[0]


def ask_every_assert(source):
    asked = ast.unparse(OneByOne().visit(ast.parse(source)))
    end = (
        "_held = [text for text, held in _asserts if held]\n"
        "assert not _asserts or _held, 'untrained, all asserts fail'\n"
        "if _held: raise RuntimeError(f'holds for an untrained model: {_held}')"
    )
    return f"_asserts = []\n{asked}\n{end}"


def test_an_idle_training_changes_nothing_and_tells_a_whole_history(tmp_path):
    objects = faults.objects()
    options = dict(batch_size=7, key=jax.random.key(0), progress=False, weight=1.0)
    before = [np.array(leaf) for leaf in jax.tree.leaves(nnx.state(objects))]
    for more, steps in ({"steps": 5}, 5), ({"steps": 1}, 1), ({"epochs": 3}, 6):
        data = np.random.default_rng(0).normal(size=(15, 3)).astype(np.float32)
        found = _idle.idle(train.fit)(faults.step, objects, data, **more, **options)
        honest = train.fit(faults.step, faults.objects(), data, **more, **options)
        assert found.keys() == honest.keys()
        assert all(found[k].shape == honest[k].shape == (steps,) for k in found)
        after = jax.tree.leaves(nnx.state(objects))
        assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    for steps in (5, 9):  # as a notebook that looks at it on its way
        more = options | {"steps": steps, "resume": tmp_path}
        found = _idle.idle(train.fit)(faults.step, objects, data, **more)
        assert found["loss"].shape == (steps,) and found["loss"].std() > 0
    assert checkpoint.latest(tmp_path) == _idle.STEPS


@pytest.mark.parametrize("path", CHAPTERS, ids=name)
def test_asserts_about_training_fail_without_training(path):
    nb = notebooks.read(path)
    tagged = [c for c in nb.cells if TAG in c.metadata.get("tags", [])]
    assert tagged, f"no cell of {name(path)} is tagged {TAG}: what did training change?"
    for cell in tagged:
        cell.source = ask_every_assert(cell.source)
    last = max(i for i, cell in enumerate(nb.cells) if cell in tagged)
    nb.cells = [nbformat.v4.new_code_cell(IDLE), *nb.cells[: last + 1]]
    notebooks.execute(nb, path.parent, "smoke", allow_errors=True, timeout=600)
    for cell in tagged:
        errors = [out for out in cell.outputs if out.output_type == "error"]
        assert errors, f"cell {cell.id} has no assert, or it calls what never fails"
        said = f"{errors[0].ename}: {errors[0].evalue}"
        assert errors[0].ename == "AssertionError", f"cell {cell.id}: {said}"
