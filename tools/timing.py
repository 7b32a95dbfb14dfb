"""What a notebook's run costs: seconds and memory, cell by cell.

`python -m tools.notebooks time` prints it; `make results` keeps the totals.
"""

import contextlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from nbclient import NotebookClient


@dataclass
class Cell:
    """What one code cell took; sizes in bytes, `peak` None where it is not known."""

    index: int
    seconds: float
    cpu_seconds: float
    before: int
    after: int
    peak: int | None


@dataclass
class Run:
    """What a whole notebook took, its kernel's start included."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak: int = 0
    cells: list[Cell] = field(default_factory=list)


def timed(nb, folder, budget, tell=lambda cell: None, **variables):
    """Execute a notebook in a fresh kernel; return its `Run`.

    Args:
      nb: the notebook, whose outputs are filled in. folder: where its kernel works.
      budget: "smoke", "laptop" or "full". tell: is called with each `Cell` at its end.
      variables: more of the kernel's environment.

    The peak is the most resident memory that the kernel's process ever had. Linux
    tells it for each cell; elsewhere it is the most that was seen at a cell's end.
    """
    run, meter, start = Run(), None, time.perf_counter()

    def begin(cell, cell_index):
        nonlocal meter
        if cell.cell_type == "code":
            meter = meter or _Meter(client.km.provisioner.pid)
            meter.begin()

    def end(cell, cell_index, execute_reply):
        run.cells.append(meter.end(cell_index))
        tell(run.cells[-1])

    client = NotebookClient(
        nb,
        timeout=3600,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        on_cell_start=begin,
        on_cell_executed=end,
        extra_arguments=["--log-level=40"],  # errors alone
    )
    env = {"GENCOURSE_BUDGET": budget, "TQDM_DISABLE": "1", **variables}
    client.execute(env=os.environ | env)
    run.seconds = time.perf_counter() - start
    run.cpu_seconds = meter.cpu if meter else 0.0
    run.peak = max((cell.peak or cell.after for cell in run.cells), default=0)
    return run


class _Meter:
    """Reads a process from outside, so that what is measured stays as it is."""

    def __init__(self, pid):
        self.process = psutil.Process(pid)
        self.proc = Path(f"/proc/{pid}")
        self.cpu = 0.0

    def begin(self):
        with contextlib.suppress(OSError):
            (self.proc / "clear_refs").write_text("5")  # the peak starts again
        self.rss, self.spent = self._rss(), self._cpu()
        self.start = time.perf_counter()

    def end(self, index):
        seconds = time.perf_counter() - self.start
        self.cpu = self._cpu()
        return Cell(
            index, seconds, self.cpu - self.spent, self.rss, self._rss(), self._peak()
        )

    def _rss(self):
        return self.process.memory_info().rss

    def _cpu(self):
        times = self.process.cpu_times()
        return times.user + times.system

    def _peak(self):
        with contextlib.suppress(OSError):
            for line in (self.proc / "status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return None


HEAD = "cell     wall      CPU   before     peak    after   begins with"


def line(cell, source):
    """A `Cell` as a line of the table below HEAD."""
    first = next((s for s in source.splitlines() if s.strip()), "")
    return (
        f"{cell.index:>4} {cell.seconds:6.1f} s {cell.cpu_seconds:6.1f} s"
        f" {_gb(cell.before)} {_gb(cell.peak)} {_gb(cell.after)}   {first[:40]}"
    )


def total(run):
    """A whole `Run` as the table's last line."""
    return (
        f" all {run.seconds:6.1f} s {run.cpu_seconds:6.1f} s"
        f"          {_gb(run.peak)}            (the kernel's start included)"
    )


def _gb(size):
    return "       -" if size is None else f"{size / 1e9:5.2f} GB"
