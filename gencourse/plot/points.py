"""Points in the plane: scattered, as a map of what they claim, and moving."""

import io

import matplotlib
import numpy as np
from matplotlib.patheffects import withStroke
from PIL import Image

from gencourse.plot.base import PALETTE, Gif, Picture, animate, finite

_HALO = [withStroke(linewidth=3, foreground="white")]


def scatter(
    points, labels, names, title, *, axes=("z[0]", "z[1]"), extra=None, alt=None
):
    """Draw points in the plane coloured by class, each class named at its median.

    Args:
      points: (N, 2), float; or a dict from a panel's name to such points, for panels
        side by side. labels: (N,), int. names: the classes' names.
      extra: a dict from a name to more points (M, 2), drawn as black crosses.
    """
    panels = points if isinstance(points, dict) else {"": points}
    panels = {name: finite(p, title) for name, p in panels.items()}
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


def regions(
    classes, xs, ys, names, title, *, points=None, axes=("z[0]", "z[1]"), alt=None
):
    """Draw a map of which class claims which part of the plane.

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


def moving_points(
    frames, real, title, *, names=None, strip=6, milliseconds=200, alt=None
):
    """Animate points in the plane that move from frame to frame, over others that stay.

    Args:
      frames: (T, N, 2), float: N points at T moments. real: (M, 2), drawn in grey.
      names: T short texts, one a moment. strip: how many moments the still shows.

    Returns:
      A `Gif`, and its `.strip`, as of `gif`. Frame and strip have one scale, the real
      points' with a margin of a third; what lies beyond is not seen.
    """
    frames, real = finite(frames, title), finite(real, title)
    if frames.ndim != 3 or frames.shape[2] != 2 or real.shape[1:] != (2,):
        raise ValueError(
            f"Points are (T, N, 2) and (M, 2); given {frames.shape} and {real.shape}."
        )
    names = [f"moment {i + 1}" for i in range(len(frames))] if names is None else names
    if len(names) != len(frames):
        raise ValueError(f"Give {len(frames)} names for the moments.")
    low, high = real.min(0), real.max(0)
    edge = (high - low) / 3
    limits = np.stack([low - edge, high + edge], axis=1)  # (2, 2)

    def draw(picture, moments):
        for i, moment in enumerate(moments):
            ax = picture.add_subplot(1, len(moments), i + 1, title=str(names[moment]))
            ax.scatter(*real.T, s=4, color="0.75", linewidths=0)
            ax.scatter(*frames[moment].T, s=4, color=PALETTE[0], linewidths=0)
            ax.set(xlim=limits[0], ylim=limits[1], xticks=[], yticks=[])
            ax.set_aspect("equal")
        return picture

    stills = []
    for moment in range(len(frames)):
        png = draw(Picture(figsize=(2.8, 3)), [moment]).png()
        image = Image.open(io.BytesIO(png)).convert("RGB")
        stills.append(image.quantize(32, dither=Image.Dither.NONE))
    chosen = np.unique(np.linspace(0, len(frames) - 1, strip).round().astype(int))
    told = alt or f"{title}. {frames.shape[1]} made points over {len(real)} real ones"
    still = Picture(
        f"{told}, at {', '.join(str(names[i]) for i in chosen)}",
        figsize=(1.75 * len(chosen), 2.3),
    )
    still.suptitle(title)
    draw(still, chosen)
    return Gif(animate(stills, milliseconds), still, f"{told}, animated")


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
