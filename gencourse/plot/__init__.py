"""Figures from arrays: grids, rows, curves, latent maps, GIFs; never a model.

Every function returns a `Picture`, a matplotlib Figure that shows itself at the end
of a notebook cell, with alt text for those who cannot see it. Nothing here needs
pyplot or a display. Colours tell ten classes apart for colour-blind eyes too
(Petroff, "Accessible color sequences for data visualization", arXiv:2107.02270),
and no class is told by its colour alone.
"""

from gencourse.plot.base import PALETTE, Gif, Picture
from gencourse.plot.charts import bars, curves, heatmap, histograms
from gencourse.plot.pictures import gif, grid, latent_grid, rows
from gencourse.plot.points import moving_points, regions, scatter

__all__ = [
    "PALETTE",
    "Gif",
    "Picture",
    "bars",
    "curves",
    "gif",
    "grid",
    "heatmap",
    "histograms",
    "moving_points",
    "latent_grid",
    "regions",
    "rows",
    "scatter",
]
