"""Figures from arrays: not blank, small, the same bytes twice, and with alt text."""

import io

import numpy as np
import pytest
from PIL import Image

from gencourse import plot
from gencourse.plot.pictures import _mosaic

RNG = np.random.default_rng(0)
GREY = RNG.random((12, 8, 8, 1), np.float32)
COLOUR = RNG.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
POINTS, LABELS = RNG.normal(size=(60, 2)), np.repeat(np.arange(3), 20)
NAMES = ["coat", "bag", "boot"]
AXIS = np.linspace(-1, 1, 4)
MOVING = np.linspace(0, 1, 5)[:, None, None] * RNG.normal(size=(40, 2))  # (5, 40, 2)

PICTURES = {
    "grid": lambda: plot.grid(GREY, "A grid", labels=list("abcdefghijkl")),
    "colour grid": lambda: plot.grid(COLOUR, "In colour", columns=5),
    "rows": lambda: plot.rows({"before": GREY[:6], "after": GREY[6:]}, "Rows"),
    "curves": lambda: plot.curves(
        {"d": RNG.random(50), "g": (AXIS, AXIS**2)},
        "Curves",
        smooth=5,
        lines={"m": 0.5},
    ),
    "scatter": lambda: plot.scatter(
        POINTS, LABELS, NAMES, "Codes", extra={"x": POINTS}
    ),
    "plane": lambda: plot.latent_grid(
        np.tile(GREY, (2, 1, 1, 1))[:16], AXIS, AXIS, "Plane"
    ),
    "regions": lambda: plot.regions(
        np.arange(16).reshape(4, 4) % 3, AXIS, AXIS, NAMES, "Areas", points=POINTS
    ),
    "bars": lambda: plot.bars(NAMES, [0.1, 0.5, 0.4], "Bars", x="share", percent=True),
    "heat": lambda: plot.heatmap(
        GREY[0, :4, :, 0], "Heat", x="step", y="output", xs=range(8)
    ),
    "points moving": lambda: plot.moving_points(MOVING, POINTS, "Moving").strip,
    "histograms": lambda: plot.histograms(
        {"a": POINTS[:, 0], "b": POINTS[:, 1]}, "H", x="x"
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_no_blank_and_says_what_it_shows(name):
    RNG.bit_generator.state = np.random.default_rng(1).bit_generator.state
    picture = PICTURES[name]()
    data, metadata = picture._repr_mimebundle_()
    png = data["image/png"]
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 10
    assert len(png) < 200_000
    title = picture.get_suptitle() or picture.axes[0].get_title()
    assert title and metadata["image/png"]["alt"].startswith(title)
    assert picture.alt in data["text/plain"]
    RNG.bit_generator.state = np.random.default_rng(1).bit_generator.state
    assert PICTURES[name]()._repr_mimebundle_()[0]["image/png"] == png


@pytest.mark.parametrize(
    "name", ["curves", "scatter", "plane", "regions", "histograms"]
)
def test_axes_have_names(name):
    ax = PICTURES[name]().axes[0]
    assert ax.get_xlabel() and ax.get_ylabel()


def test_pixels_are_where_they_belong():
    """A white picture first and a black one second, between white gaps."""
    pictures = np.stack([np.ones((8, 8, 1)), np.zeros((8, 8, 1))])
    sheet, at = _mosaic(pictures, columns=2, gap=2)
    (r0, c0), (r1, c1) = at
    assert sheet[r0 : r0 + 8, c0 : c0 + 8].min() == 1
    assert sheet[r1 : r1 + 8, c1 : c1 + 8].max() == 0
    assert sheet.sum() == sheet.size - 64


def test_the_plane_has_its_smallest_y_at_the_bottom():
    marks = np.zeros((16, 8, 8, 1), np.float32)
    marks[:4] = 1  # the row of ys[0]
    shown = plot.latent_grid(marks, AXIS, AXIS, "Plane").axes[0].images[0].get_array()
    assert shown[-8:].min() == 1 and shown[:-8].max() == 0


def test_a_gif_moves_and_has_its_still():
    frames = RNG.random((7, 4, 8, 8, 1), np.float32)
    moving = plot.gif(frames, "Learning", strip=3)
    image = Image.open(io.BytesIO(moving.data))
    assert image.format == "GIF" and image.n_frames == 7
    data, metadata = moving._repr_mimebundle_()
    assert (
        data["image/gif"] == moving.data and "Learning" in metadata["image/gif"]["alt"]
    )
    assert len(moving.strip.axes[0].get_yticks()) == 3


def test_panels_side_by_side_have_their_own_points_and_one_title():
    panels = {"codes": POINTS, "square": POINTS / 10}
    picture = plot.scatter(panels, LABELS, NAMES, "Twice")
    assert [ax.get_title() for ax in picture.axes] == ["codes", "square"]
    assert picture.get_suptitle() == "Twice" and "Panels: codes, square" in picture.alt
    for ax, points in zip(picture.axes, panels.values(), strict=True):
        drawn = np.concatenate([c.get_offsets() for c in ax.collections])
        np.testing.assert_allclose(np.sort(drawn, 0), np.sort(points, 0))


def test_notes_stand_at_their_points():
    xs, ys = np.array([1.0, 2.0]), np.array([5.0, 3.0])
    picture = plot.curves({"s": (xs, ys)}, "Noted", notes={"s": ["low", "high"]})
    assert [(t.get_text(), t.xy) for t in picture.axes[0].texts] == [
        ("low", (1.0, 5.0)),
        ("high", (2.0, 3.0)),
    ]


@pytest.mark.parametrize(
    "images, message",
    [
        (GREY * 2 - 1, r"data.to_unit\(images\)"),
        (np.where(GREY > 0.5, np.nan, GREY), "lie in"),
        (GREY[..., 0], "Pictures have shape"),
        (GREY[:0], "N at least 1"),
        (np.zeros((2, 8, 8, 4)), "Pictures have shape"),
    ],
)
def test_what_is_no_picture_is_refused(images, message):
    with pytest.raises(ValueError, match=message):
        plot.grid(images, "Grid")


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        plot.curves({"loss": [1.0, np.nan]}, "Loss")
    for points in ({}, {"a": POINTS[:3]}, POINTS[:, :1]):
        with pytest.raises(ValueError, match="a label for each"):
            plot.scatter(points, LABELS, NAMES, "Codes")
    with pytest.raises(ValueError, match="different lengths"):
        plot.rows({"a": GREY[:3], "b": GREY[:4]}, "Rows")


def test_points_that_move_are_seen_where_they_are():
    moving = plot.moving_points(MOVING, POINTS, "Moving", names="abcde", strip=3)
    with Image.open(io.BytesIO(moving.data)) as image:
        assert image.n_frames == 5
        seen = []
        for frame in range(5):
            image.seek(frame)
            seen.append(np.asarray(image.convert("L")))
    assert all((a != b).any() for a, b in zip(seen, seen[1:], strict=False))
    assert [ax.get_title() for ax in moving.strip.axes] == ["a", "c", "e"]
    for ax, frame in zip(moving.strip.axes, MOVING[::2], strict=True):
        np.testing.assert_allclose(ax.collections[1].get_offsets(), frame)
    with pytest.raises(ValueError, match="5 names"):
        plot.moving_points(MOVING, POINTS, "Moving", names="abcd")
    with pytest.raises(ValueError, match="T, N, 2"):
        plot.moving_points(MOVING[0], POINTS, "Moving")


def test_a_heat_map_shows_row_0_on_top_and_refuses_a_wrong_axis():
    fields = (AXIS[:, None] + 1) / 2 * [0, 1]
    picture = plot.heatmap(fields, "H", x="t", y="i", xs=["a", "b"])
    np.testing.assert_allclose(picture.axes[0].images[0].get_array(), fields)
    assert "At b: 0.00, 0.33" in picture.alt
    with pytest.raises(ValueError, match="these in"):
        plot.heatmap(fields * 2 - 1, "H", x="t", y="i", xs=["a", "b"])
    with pytest.raises(ValueError, match="one of the xs"):
        plot.heatmap(AXIS[:, None], "H", x="t", y="i", xs=["a", "b"])


def test_a_gif_shows_its_frames_in_order():
    brighter = np.linspace(0, 1, 4)[:, None, None, None, None] * np.ones(
        (4, 2, 8, 8, 1)
    )
    with Image.open(io.BytesIO(plot.gif(brighter, "Brighter").data)) as image:
        means = []
        for frame in range(image.n_frames):
            image.seek(frame)
            means.append(np.asarray(image.convert("L")).mean())
    assert len(means) == 4 and (np.diff(means) > 0).all()
