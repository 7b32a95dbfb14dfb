"""Figures from arrays: grids, rows, curves, latent maps, GIFs; never a model.

Every function returns a `Picture`, a matplotlib Figure that shows itself at the end
of a notebook cell, with alt text for those who cannot see it. Nothing here needs
pyplot or a display. Colours tell ten classes apart for colour-blind eyes too
(Petroff, "Accessible color sequences for data visualization", arXiv:2107.02270),
and no class is told by its colour alone.
"""

import io

import matplotlib
import matplotlib.ticker
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from PIL import Image

PALETTE = list(matplotlib.color_sequences["petroff10"])
_HALO = [withStroke(linewidth=3, foreground="white")]


class Picture(Figure):
    """A Figure with alt text that a notebook shows as a small PNG."""

    def __init__(self, alt="", **kwargs):
        super().__init__(layout="constrained", dpi=100, **kwargs)
        FigureCanvasAgg(self)
        self.alt = alt
        self.colours = None  # or how many the PNG may have, at some loss

    def png(self):
        """The PNG as bytes: the same bytes for the same picture, and few of them."""
        raw = io.BytesIO()
        self.savefig(raw, format="png", metadata={"Software": None})
        image = Image.open(raw).convert("RGB")
        if image.getcolors(256):  # then a palette loses nothing
            image = image.quantize(256, dither=Image.Dither.NONE)
        elif self.colours:
            few = Image.Quantize.FASTOCTREE  # others lose the rare colours
            image = image.quantize(self.colours, few, dither=Image.Dither.NONE)
        small = io.BytesIO()
        image.save(small, format="png", optimize=True)
        return small.getvalue()

    def _repr_mimebundle_(self, include=None, exclude=None):
        data = {"image/png": self.png(), "text/plain": f"[Picture: {self.alt}]"}
        return data, {"image/png": {"alt": self.alt}}


class Gif:
    """An animation that a notebook shows, and `strip`, a still Picture of it."""

    def __init__(self, data, strip, alt):
        self.data, self.strip, self.alt = data, strip, alt

    def _repr_mimebundle_(self, include=None, exclude=None):
        data = {"image/gif": self.data, "text/plain": f"[Animation: {self.alt}]"}
        return data, {"image/gif": {"alt": self.alt}}


def grid(images, title, *, labels=None, columns=10, alt=None):
    """Pictures side by side, `columns` a row, each under its label if there are any.

    Args:
      images: (N, H, W, 1 or 3), uint8, or float in [0, 1].
      title: what the figure shows.
      labels: N short texts.
      alt: alt text; made from the title and the labels if not given.
    """
    images = _pixels(images)
    n, height = len(images), images.shape[1]
    columns = min(columns, n)
    gap = 2 if labels is None else max(2, round(0.36 * height))
    sheet, at = _mosaic(images, columns, gap)
    alt = alt or f"{title}: {n} pictures in rows of {columns}" + (
        "" if labels is None else ", labelled " + ", ".join(map(str, labels[:20]))
    )
    picture, ax = _sheet(sheet, title, alt, width=min(10, 0.75 * columns + 1))
    for (row, column), label in zip(
        at, labels if labels is not None else [""] * n, strict=True
    ):
        x = column + images.shape[2] / 2
        ax.text(x, row - 1, str(label), ha="center", va="bottom", fontsize=7)
    return picture


def rows(named, title, *, alt=None):
    """Rows of pictures under each other, for before and after.

    Args:
      named: a dict from a row's name to pictures (N, H, W, C), the same N in each;
        uint8, or float in [0, 1].
    """
    images = {name: _pixels(a) for name, a in named.items()}
    counts = {len(a) for a in images.values()}
    if len(counts) != 1:
        raise ValueError(
            f"Rows of different lengths: { {k: len(a) for k, a in images.items()} }."
        )
    columns = counts.pop()
    sheet, at = _mosaic(np.concatenate(list(images.values())), columns, gap=2)
    alt = (
        alt or f"{title}. Rows of {columns} pictures, from the top: {', '.join(images)}"
    )
    picture, ax = _sheet(sheet, title, alt, width=min(10, 0.75 * columns + 2))
    height = next(iter(images.values())).shape[1]
    middles = [at[i * columns][0] + height / 2 for i in range(len(images))]
    ax.axis("on")
    ax.set_yticks(middles, list(images))
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return picture


def curves(
    series, title, *, x="step", y="loss", smooth=1, lines=None, notes=None, alt=None
):
    """One line a series, named at its end.

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
        xs, ys = _finite(xs, title), _finite(ys, title)
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


def scatter(
    points, labels, names, title, *, axes=("z[0]", "z[1]"), extra=None, alt=None
):
    """Points in the plane coloured by class, each class named at its median.

    Args:
      points: (N, 2), float; or a dict from a panel's name to such points, for panels
        side by side. labels: (N,), int. names: the classes' names.
      extra: a dict from a name to more points (M, 2), drawn as black crosses.
    """
    panels = points if isinstance(points, dict) else {"": points}
    panels = {name: _finite(p, title) for name, p in panels.items()}
    shapes = {p.shape for p in panels.values()}
    if shapes != {(len(labels), 2)}:
        raise ValueError(
            f"A scatter shows points of the plane, (N, 2), and a label for each; given "
            f"{sorted(shapes)} and {len(labels)} labels."
        )
    _check_classes(labels, names)
    wide = len(panels) > 1
    picture = Picture(figsize=(5 * len(panels), 5) if wide else (7, 6))
    picture.colours = 128  # half-transparent points make thousands of shades
    if wide:
        picture.suptitle(title)
    for i, (panel, p) in enumerate(panels.items()):
        ax = picture.add_subplot(1, len(panels), i + 1, title=panel or title)
        ax.set(xlabel=axes[0], ylabel=axes[1])
        _scatter(ax, p, np.asarray(labels), names)
        for name, more in (extra or {}).items():
            at = np.asarray(more).T
            ax.scatter(*at, s=40, color="black", marker="x", label=name)
        if extra:
            ax.legend(frameon=False)
    alt = alt or (
        f"{title}. {len(labels)} points of classes {', '.join(names)}."
        + (f" Panels: {', '.join(panels)}." if wide else "")
    )
    picture.alt = alt
    return picture


def plane(images, xs, ys, title, *, axes=("z[0]", "z[1]"), alt=None):
    """Decoded pictures at the places of the plane that they were decoded from.

    Args:
      images: (len(ys) * len(xs), H, W, C), the row of ys[0] first; uint8 or [0, 1].
      xs, ys: increasing coordinates. ys grows upwards in the figure.
    """
    images = _pixels(images)
    h, w, c = images.shape[1:]
    by_row = images.reshape(len(ys), len(xs), h, w, c)[::-1]
    sheet = by_row.swapaxes(1, 2).reshape(len(ys) * h, len(xs) * w, c)
    picture = Picture(figsize=(6, 6))
    ax = picture.add_subplot(title=title, xlabel=axes[0], ylabel=axes[1])
    half_x, half_y = (xs[1] - xs[0]) / 2, (ys[1] - ys[0]) / 2
    extent = (xs[0] - half_x, xs[-1] + half_x, ys[0] - half_y, ys[-1] + half_y)
    ax.imshow(sheet, cmap="gray", extent=extent, aspect="auto", vmin=0, vmax=1)
    picture.alt = alt or (
        f"{title}. {len(ys)} by {len(xs)} pictures decoded from a grid over "
        f"{axes[0]} from {xs[0]:.2g} to {xs[-1]:.2g} and "
        f"{axes[1]} from {ys[0]:.2g} to {ys[-1]:.2g}."
    )
    return picture


def regions(
    classes, xs, ys, names, title, *, points=None, axes=("z[0]", "z[1]"), alt=None
):
    """Which class claims which part of the plane, as a map.

    Args:
      classes: (len(ys), len(xs)), int: the class at each place.
      points: (N, 2), drawn over it as small dots.
    """
    classes = np.asarray(classes)
    _check_classes(classes, names)
    picture = Picture(figsize=(7, 6))
    ax = picture.add_subplot(title=title, xlabel=axes[0], ylabel=axes[1])
    colours = np.array([matplotlib.colors.to_rgb(c) for c in PALETTE])
    half_x, half_y = (xs[1] - xs[0]) / 2, (ys[1] - ys[0]) / 2
    extent = (xs[0] - half_x, xs[-1] + half_x, ys[0] - half_y, ys[-1] + half_y)
    pale = 0.35 + 0.65 * colours[classes % 10]
    ax.imshow(
        pale, origin="lower", extent=extent, aspect="auto", interpolation="nearest"
    )
    if points is not None:
        ax.scatter(*np.asarray(points).T, s=1, color="black", alpha=0.3, linewidths=0)
        ax.set(xlim=extent[:2], ylim=extent[2:])
    shares = np.bincount(classes.ravel(), minlength=len(names)) / classes.size
    middles = {}
    for c in np.flatnonzero(shares > 0.005):
        rows_, columns_ = np.nonzero(classes == c)
        middle = np.asarray(xs)[columns_], np.asarray(ys)[rows_]
        middles[names[c]] = np.median(middle, axis=1)
    _name_all(ax, middles)
    listed = ", ".join(f"{n} {s:.0%}" for n, s in zip(names, shares, strict=True))
    picture.alt = alt or f"{title}. Shares of the area: {listed}."
    return picture


def bars(names, values, title, *, x, line=None, percent=False, alt=None):
    """Horizontal bars, one a name, with their values written out.

    Args:
      line: a pair (name, value): a dashed line to compare with.
      percent: write and scale the values as percentages.
    """
    values = _finite(values, title)
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
    """Outlines of several distributions over one axis, each as a density.

    Args:
      named: a dict from a name to values (N,).
    """
    named = {name: _finite(values, title) for name, values in named.items()}
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


def gif(frames, title, *, names=None, columns=10, strip=6, milliseconds=200):
    """Frames of pictures as an animation, and some of them as a still strip.

    Args:
      frames: (T, N, H, W, C), uint8, or float in [0, 1]: N pictures at T moments.
      names: T short texts, one a moment.
      strip: how many moments the still shows, evenly chosen, first and last among
        them; of each moment it shows the first `columns` pictures.

    Returns:
      A `Gif`. Show it, and beside it `.strip`, for paper and for who prefers stills.
    """
    frames = np.stack([_pixels(f) for f in frames])
    sheets = [_mosaic(f, min(columns, len(f)), gap=2)[0] for f in frames]
    scale = max(1, round(360 / sheets[0].shape[1]))
    stills = [_bytes(np.kron(s, np.ones((scale, scale, 1)))) for s in sheets]
    out = io.BytesIO()
    stills[0].save(
        out,
        format="gif",
        save_all=True,
        append_images=stills[1:],
        duration=[milliseconds] * (len(stills) - 1) + [10 * milliseconds],
        loop=0,
        optimize=True,
    )
    chosen = np.unique(np.linspace(0, len(frames) - 1, strip).round().astype(int))
    names = [f"moment {i + 1}" for i in range(len(frames))] if names is None else names
    if len(set(names)) != len(frames):
        raise ValueError(f"Give {len(frames)} names for the moments, all different.")
    still = rows({str(names[i]): frames[i][:columns] for i in chosen}, title)
    return Gif(out.getvalue(), still, f"{title}, animated over {len(frames)} moments")


def _scatter(ax, points, labels, names):
    size = np.clip(30_000 / len(points), 3, 15)
    middles = {}
    for c, name in enumerate(names):
        mine = points[labels == c]
        if len(mine):
            ax.scatter(*mine.T, s=size, color=PALETTE[c % 10], alpha=0.5, linewidths=0)
            middles[name] = np.median(mine, axis=0)
    _name_all(ax, middles)


def _name_all(ax, middles):
    """Write each name at its place, moved up where it would cover another."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    written = []
    for name, (x, y) in sorted(middles.items(), key=lambda item: item[1][1]):
        for other_x, other_y in written:  # from the lowest up
            if abs(x - other_x) < 0.14 * (right - left):
                y = max(y, other_y + 0.035 * (top - bottom))
        written.append((x, y))
        style = dict(ha="center", va="center", fontsize=9, weight="bold")
        ax.text(x, y, name, path_effects=_HALO, **style)


def _check_classes(labels, names):
    labels = np.asarray(labels)
    if labels.min() < 0 or labels.max() >= len(names):
        raise ValueError(
            f"Labels go from {labels.min()} to {labels.max()}; there are {len(names)} "
            f"names, for 0 to {len(names) - 1}."
        )


def _finite(values, title):
    values = np.asarray(values, np.float64)
    if not values.size:
        raise ValueError(f"{title}: there are no values to draw.")
    if not np.isfinite(values).all():
        raise ValueError(f"{title}: there are NaN or infinite values to draw.")
    return values


def _pixels(images):
    """Floats (N, H, W, 1 or 3) in [0, 1], or a ValueError."""
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not len(images):
        raise ValueError(
            f"Pictures have shape (N, H, W, 1) or (N, H, W, 3), N at least 1; "
            f"given {images.shape}."
        )
    if images.dtype == np.uint8:
        return images / np.float32(255)
    low, high = images.min(), images.max()
    if not (-1e-6 <= low and high <= 1 + 1e-6):
        raise ValueError(
            f"Float pictures lie in [0, 1]; these lie in [{low:g}, {high:g}]. "
            f"From [-1, 1] take (images + 1) / 2."
        )
    return images.clip(0, 1)


def _mosaic(images, columns, gap):
    """One white sheet with all pictures, and where (row, column) each one begins."""
    n, h, w, c = images.shape
    lines = -(-n // columns)
    sheet = np.ones((lines * (h + gap) + 2, columns * (w + 2) + 2, c), np.float32)
    at = [(i // columns * (h + gap) + gap, i % columns * (w + 2) + 2) for i in range(n)]
    for image, (row, column) in zip(images, at, strict=True):
        sheet[row : row + h, column : column + w] = image
    return sheet, at


def _sheet(sheet, title, alt, width):
    height = width * sheet.shape[0] / sheet.shape[1] + 0.4
    picture = Picture(alt, figsize=(width, height))
    if sheet.shape[-1] == 3:
        picture.colours = 64  # a notebook with every shade would be four times as large
    ax = picture.add_subplot(title=title)
    ax.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.axis("off")
    return picture, ax


def _bytes(sheet):
    sheet = (255 * sheet).round().astype(np.uint8)
    return Image.fromarray(sheet[..., 0] if sheet.shape[-1] == 1 else sheet)
