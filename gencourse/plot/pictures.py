"""Pictures side by side: grids, rows, the decoded plane, animations."""

import numpy as np
from PIL import Image

from gencourse.plot.base import Gif, Picture, animate


def grid(images, title, *, labels=None, columns=10, alt=None):
    """Show pictures side by side, `columns` a row, each under its label if it has one.

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
    """Show rows of pictures under each other, for before and after.

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


def latent_grid(images, xs, ys, title, *, axes=("z[0]", "z[1]"), alt=None):
    """Show decoded pictures at the places of the plane that they were decoded from.

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


def gif(frames, title, *, names=None, columns=10, strip=6, milliseconds=200):
    """Show frames of pictures as an animation, and some of them as a still strip.

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
    chosen = np.unique(np.linspace(0, len(frames) - 1, strip).round().astype(int))
    names = [f"moment {i + 1}" for i in range(len(frames))] if names is None else names
    if len(set(names)) != len(frames):
        raise ValueError(f"Give {len(frames)} names for the moments, all different.")
    still = rows({str(names[i]): frames[i][:columns] for i in chosen}, title)
    return Gif(
        animate(stills, milliseconds),
        still,
        f"{title}, animated over {len(frames)} moments",
    )


def _pixels(images):
    """Return floats (N, H, W, 1 or 3) in [0, 1], or raise ValueError."""
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
            f"From [-1, 1] take data.to_unit(images)."
        )
    return images.clip(0, 1)


def _mosaic(images, columns, gap):
    """Lay pictures on a white sheet; return it and where (row, column) each begins."""
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
