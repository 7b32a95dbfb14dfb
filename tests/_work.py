"""Does every cell of a notebook obey its smallest budget? Work is counted, not seconds.

`watching(folder)` gives the environment in which a notebook is to be run, whoever runs
it. Its kernel then imports this module first, counts for each cell the work below, and
writes it down. `excesses(folder, nb)` says afterwards which cells did too much.

    steps: that `fit` trained. examples: the rows of their batches.
    rows: that were brought through a network by `gencourse.inference.map_batches`.
"""

import functools
import json
import os
from pathlib import Path

# What a cell may do in the smoke budget. What a laptop's cell does is far above: some
# hundred steps of a convolutional network take the minute that a whole notebook has.
MOST = {"steps": 3000, "examples": 260_000, "rows": 20_000}
TESTS = Path(__file__).resolve().parent
WORK = "GENCOURSE_TESTS_WORK"  # the file to write to


def watching(folder):
    """Return the variables that a kernel's environment needs for being counted."""
    profile = Path(folder) / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    (profile / "ipython_config.py").write_text(
        "c = get_config()\nc.InteractiveShellApp.exec_lines = "
        '["import _work as _watched; _watched.count()", "del _watched"]\n'
    )
    paths = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "IPYTHONDIR": str(folder),
        "PYTHONPATH": os.pathsep.join(paths),
        WORK: str(Path(folder) / "work.jsonl"),
    }


def done(folder):
    """Return [(a cell's source, its counts)] of what ran while it was watched."""
    file = Path(folder) / "work.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [tuple(json.loads(line)) for line in lines]


def excesses(folder, nb):
    """Return a line for each cell that did more than MOST of anything.

    Raises:
      AssertionError: where nobody counted.
    """
    counted = done(folder)
    assert counted, "no cell was counted: was the notebook run in this environment?"
    lines = []
    for source, counts in counted:
        cells = [i for i, cell in enumerate(nb.cells) if cell.source == source]
        for what, number in counts.items():
            if number > MOST.get(what, number):
                first = source.strip().splitlines()[0]
                lines.append(
                    f"cell {cells[0] if cells else '?'}, {first!r}: {number:,} {what}, "
                    f"and {MOST[what]:,} are the most: put it under `budget`"
                )
    return lines


def count():
    """Count the work of every cell from now on, in this kernel."""
    from IPython import get_ipython

    import gencourse.inference
    import gencourse.train

    counts = dict.fromkeys(MOST, 0)
    ends = {}  # of a folder to resume from: how many steps it holds

    def counted_fit(fit):
        @functools.wraps(fit)
        def wrapper(step, objects, data, *, batch_size, **options):
            history = fit(step, objects, data, batch_size=batch_size, **options)
            steps = max(map(len, history.values()), default=0)
            folder = options.get("resume")
            new = steps - (ends.get(str(folder), 0) if folder else 0)
            ends[str(folder)] = steps
            counts["steps"] += max(new, 0)
            counts["examples"] += max(new, 0) * batch_size
            return history

        return wrapper

    def counted_chunks(map_batches):
        @functools.wraps(map_batches)
        def wrapper(f, network, *rows, **options):
            counts["rows"] += len(rows[0])
            return map_batches(f, network, *rows, **options)

        return wrapper

    def write(result):
        with open(os.environ[WORK], "a", encoding="utf-8") as file:
            file.write(json.dumps([result.info.raw_cell, counts]) + "\n")
        counts.update(dict.fromkeys(MOST, 0))

    gencourse.train.fit = counted_fit(gencourse.train.fit)
    gencourse.inference.map_batches = counted_chunks(gencourse.inference.map_batches)
    get_ipython().events.register("post_run_cell", write)
