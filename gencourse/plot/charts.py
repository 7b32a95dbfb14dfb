"""Numbers as figures: curves, fields, bars, histograms."""

import matplotlib.ticker
import numpy as np

from gencourse.plot.base import PALETTE, Picture, finite


def curves(
    series, title, *, x="step", y="loss", smooth=1, lines=None, notes=None, alt=None
):
    """Draw one line per series, named at its end.

    Args:
      series: a dict from a name to an array (steps,), or to a pair (xs, ys).
      smooth: a running mean over this many values is drawn, the values pale behind.
      lines: a dict from a name to a height: dashed lines to compare with.
      notes: a dict from a series' name to short texts, one written at each point.
    """
    picture = Picture(figsize=(7, 3.5))
    ax = picture.add_subplot(title=title, xlabel=x, ylabel=y)
    ends = []
    for i, (name, values) in enumerate(series.items()):
        colour = PALETTE[i % len(PALETTE)]
        pair = isinstance(values, tuple)
        xs, ys = values if pair else (1 + np.arange(len(values)), values)
        xs, ys = finite(xs, title), finite(ys, title)
        window = min(smooth, len(ys))
        if window > 1:  # the mean stands at the middle of the values it is of
            ax.plot(xs, ys, color=colour, alpha=0.25, linewidth=0.8)
            ys = np.convolve(ys, np.ones(window) / window, mode="valid")
            xs = np.convolve(xs, np.ones(window) / window, mode="valid")
        ax.plot(xs, ys, color=colour, label=name, marker="o" if len(xs) < 30 else None)
        for at, note in zip(
            zip(xs, ys, strict=True), (notes or {}).get(name, []), strict=False
        ):
            ax.annotate(note, at, (6, 4), textcoords="offset points", fontsize=9)
        ends.append(f"{name} goes from {ys[0]:.3g} to {ys[-1]:.3g}")
    for name, height in (lines or {}).items():
        ax.axhline(height, color="0.4", linestyle="--", linewidth=1)
        ax.annotate(
            name,
            (1, height),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
        )
    if len(series) > 1:
        ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    ends += [f"{name} is at {height:.3g}" for name, height in (lines or {}).items()]
    picture.alt = alt or f"{title}. Over {x}, {'; '.join(ends)}."
    return picture


def bars(names, values, title, *, x, line=None, percent=False, alt=None):
    """Draw horizontal bars, one per name, with their values written out.

    Args:
      line: a pair (name, value): a dashed line to compare with.
      percent: write and scale the values as percentages.
    """
    values = finite(values, title)
    spec = ".1%" if percent else ".3g"
    picture = Picture(figsize=(7, 0.32 * len(values) + 1.1))
    ax = picture.add_subplot(title=title, xlabel=x)
    shown = ax.barh(np.arange(len(values)), values, color=PALETTE[0])
    ax.bar_label(shown, [f"{v:{spec}}" for v in values], padding=3, fontsize=9)
    ax.set_yticks(np.arange(len(values)), names)
    ax.invert_yaxis()
    ax.margins(x=0.12)
    if percent:
        ax.xaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1))
    if line:
        ax.axvline(line[1], color="0.3", linestyle="--", linewidth=1, label=line[0])
        ax.legend(frameon=False, loc="lower right")
    ax.spines[["top", "right"]].set_visible(False)
    listed = ", ".join(f"{n} {v:{spec}}" for n, v in zip(names, values, strict=True))
    picture.alt = alt or f"{title}. {x}: {listed}."
    return picture


def histograms(named, title, *, x, bins=40, alt=None):
    """Draw outlines of several distributions over one axis, each as a density.

    Args:
      named: a dict from a name to values (N,).
    """
    named = {name: finite(values, title) for name, values in named.items()}
    picture = Picture(figsize=(7, 3.2))
    ax = picture.add_subplot(title=title, xlabel=x, ylabel="density")
    edges = np.histogram_bin_edges(np.concatenate(list(named.values())), bins)
    styles = ["-", "--", ":", "-."]
    for i, (name, values) in enumerate(named.items()):
        heights, _ = np.histogram(values, edges, density=True)
        ax.stairs(
            heights,
            edges,
            label=name,
            linewidth=2,
            color=PALETTE[i % 10],
            ls=styles[i % 4],
        )
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    middle = ", ".join(f"{n} {np.median(v):.3g}" for n, v in named.items())
    picture.alt = alt or f"{title}. Medians of {x}: {middle}."
    return picture


def heatmap(values, title, *, x, y, xs, ys=None, alt=None):
    """Draw a matrix as grey fields, such as a network's few outputs over time.

    Args:
      values: (rows, columns), float in [0, 1]; 0 is black. Row 0 stands at the top.
      xs: a text or number for each column; some of them are written below.
      ys: one for each row, written beside it; from 1 up if not given.
    """
    values = finite(values, title)
    if values.ndim != 2 or values.shape[1] != len(xs):
        raise ValueError(
            f"values are (rows, columns), with one of the xs for each column; given "
            f"{values.shape} and {len(xs)} xs."
        )
    if values.min() < 0 or values.max() > 1:
        raise ValueError(
            f"{title}: fields lie in [0, 1]; these in [{values.min():g}, "
            f"{values.max():g}]."
        )
    picture = Picture(figsize=(7, 0.5 * len(values) + 1.1))
    ax = picture.add_subplot(title=title, xlabel=x, ylabel=y)
    ax.imshow(values, cmap="gray", vmin=0, vmax=1, aspect="auto")
    ax.set_yticks(range(len(values)), range(1, len(values) + 1) if ys is None else ys)
    some = np.unique(np.linspace(0, len(xs) - 1, 6).round().astype(int))
    ax.set_xticks(some, [str(xs[i]) for i in some])
    first, last = (", ".join(f"{v:.2f}" for v in values[:, i]) for i in (0, -1))
    picture.alt = alt or f"{title}. At {x} {xs[0]}: {first}. At {xs[-1]}: {last}."
    return picture
