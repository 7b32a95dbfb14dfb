"""What every figure is: a matplotlib Figure that a notebook shows, with alt text."""

import io

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

PALETTE = list(matplotlib.color_sequences["petroff10"])


class Picture(Figure):
    """A Figure with alt text that a notebook shows as a small PNG."""

    def __init__(self, alt="", **kwargs):
        super().__init__(layout="constrained", dpi=100, **kwargs)
        FigureCanvasAgg(self)
        self.alt = alt
        self.colours = None  # or how many the PNG may have, at some loss

    def png(self):
        """Return the PNG: the same bytes for the same picture, and few of them."""
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


def finite(values, title):
    values = np.asarray(values, np.float64)
    if not values.size:
        raise ValueError(f"{title}: there are no values to draw.")
    if not np.isfinite(values).all():
        raise ValueError(f"{title}: there are NaN or infinite values to draw.")
    return values


def animate(stills, milliseconds):
    """Return a GIF's bytes, of PIL images; the last one stays ten times as long."""
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
    return out.getvalue()
