"""Faces with one factor exchanged, as the truth that pictures are measured by."""

import numpy as np
import pytest

from gencourse import data
from gencourse.metrics.counterfactual import colour_distances, share_of_copying


def some(n=6):
    return {f: codes[:n] for f, codes in data.attributes("faces", "test").items()}


def drawn(**factors):
    return data.compose(**factors) / np.float32(255)


def test_the_face_itself_is_at_distance_0_and_the_others_are_not():
    table = some()
    found = colour_distances(drawn(**table), table)
    assert found.shape == (6, 10)
    rows = np.arange(6)
    assert (found[rows, table["clothes_colour"]] == 0).all()
    found[rows, table["clothes_colour"]] = np.inf
    assert (found > 0.1).all()


def test_it_is_the_difference_of_the_median_colours_over_the_parts_own_pixels():
    table = some(1)
    red, blue = (drawn(**table | {"clothes_colour": c}) for c in ("red", "blue"))
    clothes = data.part_map(**table)[0] == data.parts.index("clothes")
    wanted = np.abs(
        np.median(red[0][clothes], axis=0) - np.median(blue[0][clothes], axis=0)
    ).mean()
    blue_as_red = colour_distances(blue, table)[0, 1]
    assert blue_as_red == pytest.approx(wanted, rel=1e-4) and wanted > 0.2
    other = blue.copy()
    other[:, ~clothes] = 0  # whatever lies outside of the part has no say
    spots = np.argwhere(clothes)[::5]
    other[0, spots[:, 0], spots[:, 1]] = 1  # nor have specks
    again = colour_distances(other, table)[0, 1]
    assert again == pytest.approx(blue_as_red, abs=0.02)


def test_a_part_that_is_not_there_has_no_colour():
    table = {f: np.zeros(2, int) for f in data.factors} | {"beard": np.array([0, 2])}
    bare, bearded = colour_distances(drawn(**table), table, "hair_colour", "beard")
    assert np.isnan(bare).all() and not np.isnan(bearded).any()


@pytest.mark.parametrize(
    "change, said",
    [
        (dict(factor="hat"), "no factor 'hat'; there are"),
        (dict(part="hat"), "no part 'hat'; there are"),
        (dict(pictures=np.zeros((2, 32, 32, 3))), r"\(N, 64, 64, 3\); given"),
        (dict(pictures=np.zeros((2, 64, 64, 3), np.uint8)), "float and in"),
        (dict(pictures=np.full((2, 64, 64, 3), -1.0)), "data.to_unit"),
        (dict(pictures=np.full((2, 64, 64, 3), np.nan)), "float and in"),
        (dict(attributes=some(3)), "2 pictures, but attributes of"),
        (dict(attributes={}), "2 pictures, but attributes of"),
    ],
)
def test_what_cannot_be_measured_is_said(change, said):
    given = dict(
        pictures=drawn(**some(2)), attributes=some(2), factor="skin", part="head"
    )
    with pytest.raises(ValueError, match=said):
        colour_distances(**given | change)


def test_a_share_of_copying_is_0_of_the_truth_and_1_of_the_input():
    rng = np.random.default_rng(0)
    x, truth = rng.uniform(-1, 1, (2, 3, 8, 8, 3)).astype(np.float32)
    assert share_of_copying(truth, x, truth) == 0
    assert share_of_copying(x, x, truth) == 1
    half_way = share_of_copying((x + truth) / 2, x, truth)
    np.testing.assert_allclose(half_way, 0.5, rtol=1e-5)
    np.testing.assert_allclose(
        share_of_copying(x / 2, x, truth),
        np.abs(x / 2 - truth).mean() / np.abs(x - truth).mean(),
        rtol=1e-5,
    )


def test_a_share_of_copying_inside_counts_those_pixels_alone():
    x, truth = np.zeros((2, 4, 4, 1), np.float32), np.ones((2, 4, 4, 1), np.float32)
    drawn, where = truth.copy(), np.zeros((2, 4, 4), bool)
    drawn[:, 2:] = 0.75
    where[:, 2:] = True
    assert share_of_copying(drawn, x, truth, where) == 0.25
    assert share_of_copying(drawn, x, truth, ~where) == 0
    assert share_of_copying(drawn, x, truth) == 0.125


@pytest.mark.parametrize(
    "given, message",
    [
        (("x", "x", "flat"), "of one shape"),
        (("x", "x", "x"), "the truth already"),
        (("bytes", "x", "y"), "Give floats"),
        (("x", "x", "y", "rows"), "where is"),
        (("x", "x", "y", "nowhere"), "the truth already"),
    ],
)
def test_what_cannot_be_compared_with_copying_is_refused(given, message):
    x, y = np.zeros((2, 4, 4, 1), np.float32), np.ones((2, 4, 4, 1), np.float32)
    arrays = {
        "x": x,
        "y": y,
        "flat": y[..., 0],
        "bytes": x.astype(np.uint8),
        "rows": np.ones(2, bool),
        "nowhere": np.zeros((2, 4, 4), bool),
    }
    with pytest.raises(ValueError, match=message):
        share_of_copying(*(arrays[name] for name in given))
