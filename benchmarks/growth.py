"""How cost grows with batch, channels and side: `python -m benchmarks.growth`.

A convolutional variational autoencoder (`vae_faces` in workloads.py) of 64 channels on
32x32 pictures, 64 a batch; one of the three is changed at a time. Images a second and
peak memory of gencourse, Keras and eager PyTorch, as `compare.py` measures them, in
fewer and shorter rounds. Rows go to growth.json, the picture to growth.png.
"""

import argparse
import statistics
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from benchmarks import compare, driver
from benchmarks.workloads import find

RESULTS = driver.HERE / "growth.json"
BASE = {"batch": 64, "width": 1, "side": 32}
AXES = {"batch": [16, 64, 256], "width": [0.5, 1, 2], "side": [16, 32, 64]}
AXIS_NAMES = {
    "batch": "pictures a batch",
    "width": "channels, times 64",
    "side": "side of a picture, pixels",
}
SHOWN = {"gencourse": "gencourse", "keras": "Keras", "torch": "PyTorch, eager"}
MEASURES = {"images_per_second": "images a second", "peak_memory_mb": "peak memory, MB"}


def points():
    """Every setting once, as a dict: the base, and each change of it."""
    changed = [{**BASE, axis: v} for axis, values in AXES.items() for v in values]
    return [p for i, p in enumerate(changed) if p not in changed[:i]]


def measure(args):
    """Rows: the setting, the implementation, its speed and its memory."""
    implementations = driver.available([*SHOWN], args.bench_python)
    rows = []
    for point in points():
        changes = "/".join(f"{k}={v}" for k, v in point.items())
        print(f"{changes}:", flush=True)
        found = driver.measure(
            find(f"vae_faces/{changes}"),
            implementations,
            driver.pythons(args.bench_python),
            args.rounds,
            args.seconds,
            loss_steps=4,
        )
        for name, facts in found.items():
            row = {
                **point,
                "implementation": name,
                "device": facts["device"],
                "images_per_second": statistics.median(compare.speeds(facts)),
                "peak_memory_mb": facts["peak_memory_mb"],
                "parameters": facts["parameters"],
                "machine": driver.machine(),
                "versions": facts["versions"],
            }
            rows.append({k: compare.rounded(v) for k, v in row.items()})
    return rows


def picture(rows):
    """Speed above, memory below; a column for each of the three changes."""
    figure = Figure(figsize=(10, 5.5), layout="constrained", dpi=100)
    figure.suptitle("How cost grows: a convolutional VAE, one training step")
    grid = figure.subplots(len(MEASURES), len(AXES), sharey="row")
    markers = dict(zip(SHOWN, "osD", strict=True))
    for line, (measure, y_name) in zip(grid, MEASURES.items(), strict=True):
        for ax, (axis, values) in zip(line, AXES.items(), strict=True):
            fixed = {k: v for k, v in BASE.items() if k != axis}
            for i, (name, label) in enumerate(SHOWN.items()):
                mine = {
                    row[axis]: row[measure]
                    for row in rows
                    if row["implementation"] == name
                    and all(row[k] == v for k, v in fixed.items())
                }
                style = {"color": compare.PALETTE[i], "marker": markers[name]}
                ys = [mine.get(x, float("nan")) for x in values]
                ax.plot(values, ys, label=label, **style)
            ax.set(xscale="log", yscale="log", xlabel=AXIS_NAMES[axis])
            ax.set_xticks(values, [f"{v:g}" for v in values])
            ax.set_xticks([], minor=True)
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter("{x:,.0f}")
            ax.yaxis.set_minor_locator(NullLocator())
            ax.grid(alpha=0.3)
            ax.spines[["top", "right"]].set_visible(False)
        line[0].set_ylabel(y_name)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="outside lower center", ncols=3)
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.5, help="of a round")
    parser.add_argument("--bench-python", default=driver.BENCH_PYTHON)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    rows = measure(args)
    driver.write(args.out, rows)
    figure = picture(rows)
    figure.savefig(args.out.with_suffix(".png"), metadata={"Software": None})


if __name__ == "__main__":
    main()
