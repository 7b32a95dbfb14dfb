"""Run, normalise and derive the course's notebooks.

    python -m tools.notebooks run [--budget laptop] chapters/01_autoencoder.ipynb
    python -m tools.notebooks time [--budget smoke] chapters/01_autoencoder.ipynb
    python -m tools.notebooks quotes [--check]
    python -m tools.notebooks exercises [--check]
    python -m tools.notebooks pictures [--check]

A figure quoted in Markdown is written

    <!--= autoencoder.fashion_mnist.test_bce.mean .4f -->0.2519<!--/-->

that is a name in results/results.json, a field, perhaps `/60` or `*100`, and a
Python format. What stands between the two comments is filled in by `quotes` and by
`run`: a figure is never typed, and readers see only the number.
"""

import argparse
import base64
import json
import os
import re
import struct
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
BUDGETS = ("smoke", "laptop", "full")
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE = {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"}
STUB = '# YOUR CODE HERE\nraise NotImplementedError("write your answer in this place")'


class Problem(Exception):
    """Something that the author of a notebook must mend."""


# --- reading and writing -------------------------------------------------------


def read(path):
    """Reads a notebook; cells without an id get one that is the same every time."""
    raw = json.loads(Path(path).read_text(encoding="utf-8"))
    seen = set()
    for i, cell in enumerate(raw["cells"]):
        if cell.get("id") in seen | {None, ""}:
            cell["id"] = f"cell-{i:03d}"
        seen.add(cell["id"])
    raw["nbformat_minor"] = max(5, raw.get("nbformat_minor", 0))
    nb = nbformat.reads(json.dumps(raw), as_version=4)
    nb.metadata.update(kernelspec=KERNELSPEC, language_info=LANGUAGE)
    return nb


def as_text(nb):
    return nbformat.writes(nb) + "\n"


def write(path, text):
    """All or nothing, so that an interruption leaves the old file whole."""
    path = Path(path)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
    return True


def short(path):
    path = Path(path).resolve()
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


# --- run -----------------------------------------------------------------------


def execute(nb, folder, budget, allow_errors=False, timeout=3600):
    """Runs every cell in a fresh kernel whose working directory is `folder`."""
    from nbclient import NotebookClient

    client = NotebookClient(
        nb,
        timeout=timeout,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        allow_errors=allow_errors,
        record_timing=False,
        extra_arguments=["--log-level=40"],  # errors alone
    )
    client.execute(env=os.environ | {"GENCOURSE_BUDGET": budget, "TQDM_DISABLE": "1"})
    return nb


def normalise(nb):
    """Takes out all that differs between two runs and tells a reader nothing."""
    nb.metadata.update(kernelspec=KERNELSPEC, language_info=LANGUAGE)
    nb.metadata.pop("widgets", None)
    for cell in nb.cells:
        cell.metadata.pop("execution", None)
        cell.metadata.pop("ExecuteTime", None)
        if cell.cell_type == "code":
            cell.outputs = _normalise_outputs(cell.outputs)
    return nb


def _normalise_outputs(outputs):
    kept = []
    for out in outputs:
        if out.output_type == "stream":
            if out.name == "stderr":  # warnings and progress bars
                continue
            if kept and kept[-1].output_type == "stream":  # split by chance of timing
                kept[-1].text += out.text
                continue
        elif out.output_type in ("display_data", "execute_result"):
            if any("widget-view" in kind for kind in out.data):
                continue
            if "image/png" in out.data:
                out.data["image/png"] = _plain_png(out.data["image/png"])
        kept.append(out)
    for out in kept:
        if out.output_type == "stream":
            # as a terminal would show it: what stands before a carriage return is gone
            out.text = _addresses(re.sub(r"[^\n]*\r(?!\n)", "", out.text))
        elif "text/plain" in out.get("data", {}):
            out.data["text/plain"] = _addresses(out.data["text/plain"])
    return [o for o in kept if o.output_type != "stream" or o.text]


def _addresses(text):
    return re.sub(r"\bat 0x[0-9a-f]{6,}", "at 0x...", text)


def _plain_png(text):
    """The same picture without text and time: matplotlib writes its version there."""
    data = base64.b64decode(text)
    kept, at = [data[:8]], 8
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind not in (b"tEXt", b"zTXt", b"iTXt", b"tIME"):
            kept.append(data[at : at + size + 12])
        at += size + 12
    return base64.b64encode(b"".join(kept)).decode()


def run(paths, budget):
    from nbclient.exceptions import (
        CellExecutionError,
        CellTimeoutError,
        DeadKernelError,
    )

    for path in map(Path, paths):
        nb = read(path)
        fill_cells(nb, short(path), results())
        print(f"{short(path)}: running in the {budget} budget", flush=True)
        try:
            execute(nb, path.parent, budget)
        except CellExecutionError as error:
            raise Problem(_failure(nb, path, error)) from None
        except (CellTimeoutError, DeadKernelError) as error:
            raise Problem(f"{short(path)}: {error}") from None
        changed = write(path, as_text(normalise(nb)))
        size = path.stat().st_size / 1e6
        print(f"{short(path)}: {'written' if changed else 'unchanged'}, {size:.2f} MB")


def time(paths, budget):
    """Prints what each cell takes; writes nothing."""
    from nbclient.exceptions import CellExecutionError

    from tools import timing

    for path in map(Path, paths):
        nb = read(path)
        print(f"{short(path)}: in the {budget} budget\n{timing.HEAD}", flush=True)

        def tell(cell, cells=nb.cells):
            print(timing.line(cell, cells[cell.index].source), flush=True)

        try:
            taken = timing.timed(nb, path.parent, budget, tell)
        except CellExecutionError as error:
            raise Problem(_failure(nb, path, error)) from None
        print(timing.total(taken), flush=True)


def _failure(nb, path, error):
    for i, cell in enumerate(nb.cells):
        allowed = "raises-exception" in cell.metadata.get("tags", [])
        for out in cell.get("outputs", []):
            if out.output_type == "error" and not allowed:
                trace = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(out.traceback))
                return (
                    f"{short(path)}: cell {i} (id {cell.id}) failed, nothing written: "
                    f"{out.ename}: {out.evalue}\n\n{cell.source}\n\n{trace}"
                )
    return f"{short(path)}: {error}"


# --- quotes --------------------------------------------------------------------

QUOTE = re.compile(
    r"<!--=\s*(?P<name>[\w.-]+?)\s*(?:(?P<op>[*/])\s*(?P<by>[\d.]+))?"
    r"\s+(?P<format>\S+)\s*-->(?P<shown>[^<]*)<!--/-->"
)


def results():
    path = ROOT / "results" / "results.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def look_up(name, known):
    """The value of NAME.FIELD: names hold dots too, so the longest known one wins."""
    keys = [k for k in known if name.startswith(k + ".")]
    if not keys:
        raise KeyError("no such name in results/results.json")
    key = max(keys, key=len)
    value = known[key]
    for field in name[len(key) + 1 :].split("."):
        try:
            value = value[int(field)] if isinstance(value, list) else value[field]
        except (KeyError, IndexError, TypeError, ValueError):
            raise KeyError(f"{key} has no field {field!r}") from None
    return value


def fill(text, where, known):
    """The text with every quoted figure as it is in `known`."""

    def shown(match):
        try:
            value = look_up(match["name"], known)
            if match["op"]:
                by = float(match["by"])
                value = value * by if match["op"] == "*" else value / by
            figure = format(value, match["format"])
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise Problem(f"{where}: {match['name']}: {error.args[0]}") from None
        start, end = match.span("shown")
        whole = match[0]
        return whole[: start - match.start()] + figure + whole[end - match.start() :]

    if text.count("<!--=") != len(QUOTE.findall(text)):
        bad = next(
            line
            for line in text.splitlines()
            if line.count("<!--=") != len(QUOTE.findall(line))
        )
        raise Problem(
            f"{where}: not of the form <!--= NAME.FIELD FORMAT -->...<!--/-->: {bad}"
        )
    return QUOTE.sub(shown, text)


def fill_cells(nb, where, known):
    for i, cell in enumerate(nb.cells):
        if cell.cell_type == "markdown":
            cell.source = fill(cell.source, f"{where}, cell {i}", known)


def quotes(check=False):
    known, stale = results(), []
    for path in [
        ROOT / "README.md",
        *sorted(ROOT.glob("docs/*.md")),
        *sorted(ROOT.glob("chapters/*.ipynb")),
        *sorted(ROOT.glob("solutions/*.ipynb")),
    ]:
        if not path.exists():
            continue
        before = path.read_text(encoding="utf-8")
        if path.suffix == ".md":
            after = fill(before, short(path), known)
        else:
            nb = nbformat.reads(before, as_version=4)
            sources = [cell.source for cell in nb.cells]
            fill_cells(nb, short(path), known)
            filled = sources != [cell.source for cell in nb.cells]
            after = as_text(nb) if filled else before
        if after != before:
            stale.append(short(path))
            if not check:
                write(path, after)
    _report("quoted figures", stale, check, "quotes")


# --- pictures ------------------------------------------------------------------


def pictures(check=False):
    """Write docs/images/NN_x.png for README: each chapter's cell tagged `picture`."""
    stale = []
    for path in sorted(ROOT.glob("chapters/*.ipynb")):
        shown = [
            out.data["image/png"]
            for cell in read(path).cells
            if "picture" in cell.metadata.get("tags", [])
            for out in cell.outputs
            if "image/png" in out.get("data", {})
        ]
        if len(shown) > 1 or not shown and "project" not in path.stem:
            raise Problem(f"{short(path)}: {len(shown)} cells tagged `picture`; want 1")
        for png in map(base64.b64decode, shown):
            target = ROOT / "docs" / "images" / f"{path.stem}.png"
            if not target.exists() or target.read_bytes() != png:
                stale.append(short(target))
                if not check:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(png)
    _report("pictures", stale, check, "chapters")


# --- exercises -----------------------------------------------------------------


def exercise(nb):
    """The learner's notebook from the instructor's, as nbgrader would make it."""
    import nbgrader.preprocessors as p
    from traitlets.config import Config

    config = Config()
    config.ClearSolutions.code_stub = {"python": STUB}
    config.ClearSolutions.text_stub = "*Your answer here.*"
    resources = {}
    for step in (
        p.CheckCellMetadata,
        p.ClearSolutions,
        p.LockCells,
        p.ClearOutput,
        p.ClearHiddenTests,
        p.ClearMarkScheme,
        p.ComputeChecksums,
    ):
        nb, resources = step(config=config).preprocess(nb, resources)
        for cell in nb.cells:  # `answer = ...` stands above it and is blank enough
            cell.source = cell.source.removesuffix("\n" + STUB)
    return normalise(nb)


def exercises(check=False):
    stale = []
    made = {p.name: p for p in sorted(ROOT.glob("solutions/*.ipynb"))}
    for name, solution in made.items():
        target = ROOT / "exercises" / name
        try:
            text = as_text(exercise(read(solution)))
        except Exception as error:  # nbgrader raises many kinds; name the notebook
            raise Problem(f"{short(solution)}: {error}") from error
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            stale.append(short(target))
            if not check:
                write(target, text)
    for target in sorted(ROOT.glob("exercises/*.ipynb")):
        if target.name not in made:
            raise Problem(f"{short(target)}: has no notebook in solutions/; delete it")
    _report("exercises", stale, check, "exercises")


def _report(what, stale, check, command):
    names = ", ".join(map(str, stale))
    if stale and check:
        raise Problem(f"{what} are stale in {names}: run `make {command}`")
    print(f"{what}: {'wrote ' + names if stale else 'fresh'}")


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    sub = commands.add_parser("run", help="execute in place and normalise")
    sub.add_argument("paths", nargs="+", metavar="PATH")
    sub.add_argument("--budget", choices=BUDGETS, default="laptop")
    sub = commands.add_parser("time", help="seconds and memory of each cell")
    sub.add_argument("paths", nargs="+", metavar="PATH")
    sub.add_argument("--budget", choices=BUDGETS, default="smoke")
    for name, text in [
        ("quotes", "fill figures quoted in prose from results/results.json"),
        ("exercises", "make exercises/ from solutions/"),
        ("pictures", "make docs/images/ from the chapters' outputs"),
    ]:
        sub = commands.add_parser(name, help=text)
        sub.add_argument("--check", action="store_true", help="only say what is stale")
    args = parser.parse_args(argv)
    try:
        if args.command in ("run", "time"):
            globals()[args.command](args.paths, args.budget)
        else:
            globals()[args.command](args.check)
    except Problem as problem:
        sys.exit(f"notebooks: {problem}")


if __name__ == "__main__":
    main()
