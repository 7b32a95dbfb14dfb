"""Tell how long a chapter takes to its first result, with nothing compiled before.

    python -m tools.first_result [--budget smoke] chapters/01_autoencoder.ipynb ...

The cells up to the first that trains (it calls `fit`, perhaps by a function) run in a
new kernel. Given are seconds from the kernel's start to that cell's end, and the
kernel's CPU seconds, of all threads, which depend less on what else runs.
"""

import argparse
import ast
import os
import time
from pathlib import Path

import nbformat

from tools import notebooks

CPU = "import resource as r; u = r.getrusage(r.RUSAGE_SELF); u.ru_utime + u.ru_stime"


def first_that_trains(sources):
    """The place of the first that calls `fit`, itself or by a function of its own."""
    training = {"fit"}
    for i, source in enumerate(sources):
        if source.lstrip().startswith("import sys") and "!pip" in source:
            continue  # no plain Python
        for node in ast.parse(source).body:
            called = {n.func.id for n in ast.walk(node) if _calls_a_name(n)}
            if not called & training:
                continue
            if not isinstance(node, ast.FunctionDef):
                return i
            training.add(node.name)
    raise ValueError("No cell calls fit.")


def _calls_a_name(node):
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


def first_result(path, budget):
    """(seconds, CPU seconds, number of code cells) up to the first call of `fit`."""
    nb = notebooks.read(path)
    cells = [cell for cell in nb.cells if cell.cell_type == "code"]
    upto = first_that_trains([cell.source for cell in cells]) + 1
    nb.cells = [*cells[:upto], nbformat.v4.new_code_cell(CPU)]
    os.environ["GENCOURSE_COMPILED"] = "off"
    start = time.monotonic()
    notebooks.execute(nb, Path(path).resolve().parent, budget)
    seconds = time.monotonic() - start
    return seconds, float(nb.cells[-1].outputs[-1].data["text/plain"]), upto


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", default="smoke", choices=notebooks.BUDGETS)
    parser.add_argument("notebooks", nargs="+", type=Path)
    args = parser.parse_args()
    for path in args.notebooks:
        seconds, cpu, cells = first_result(path, args.budget)
        print(f"{path.name}: {seconds:.1f} s, {cpu:.1f} CPU s, {cells} code cells")


if __name__ == "__main__":
    main()
