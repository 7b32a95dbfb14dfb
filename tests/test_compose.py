"""The faces in parts: as the renderer draws them, the same everywhere, held apart."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from gencourse import data
from gencourse.data import faces
from gencourse.system import paths

RENDERED = Path(__file__).with_name("rendered_faces.npz")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GENCOURSE_CACHE", str(tmp_path))


def by_name(codes):
    return dict(zip(data.factors, codes.T, strict=True))


def test_faces_are_composed_as_the_renderer_draws_them():
    """But for rounding: the renderer rounds after each of nine layers."""
    with np.load(RENDERED) as file:
        codes, images = file["codes"], file["images"]
    ours = data.compose(**by_name(codes))
    away = np.abs(ours.astype(int) - images)
    assert away.max() <= 4 and (away > 2).mean() < 1e-4
    assert np.abs(images.astype(int) - 255).mean() > 40, "the sample is white"


def test_the_same_faces_come_out_everywhere():
    images, hair = data.load("faces", "test")
    assert images.shape == (2000, 64, 64, 3) and images.dtype == np.uint8
    assert hair.dtype == np.int32 and not images.flags.writeable
    codes = np.stack(list(data.attributes("faces", "test").values()))
    found = [hashlib.sha256(np.ascontiguousarray(a)).hexdigest()[:16] for a in (codes,)]
    assert found == ["ccc8fc08f997a5af"]
    again, _ = data.load("faces", "test")  # from the cache
    assert isinstance(again, np.memmap)
    np.testing.assert_array_equal(again, images)
    np.testing.assert_array_equal(images[:3], data.compose(**by_name(codes.T[:3])))


def test_a_damaged_cache_is_made_again():
    images, _ = faces.load("test")
    (file,) = paths.cache_dir().iterdir()
    file.write_bytes(file.read_bytes()[:1000])
    again, _ = faces.load("test")
    np.testing.assert_array_equal(again, images)


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GENCOURSE_CACHE", str(tmp_path / "file"))
    assert len(faces.load("test")[0]) == 2000


@pytest.mark.parametrize("full", [False, True])
def test_splits_are_apart(full):
    train, test = (faces.split_codes(split, full) for split in ("train", "test"))
    assert len(train) == (60_000 if full else 10_000) and len(test) == 2000
    rows = {tuple(row) for row in train.tolist()}
    assert len(rows) == len(train), "a face is there twice"
    assert not rows & {tuple(row) for row in test.tolist()}
    bun, long = train[:, 1] == 3, train[:, 4] == 5
    assert bun.any() and long.any() and not (bun & long).any()
    assert ((test[:, 1] == 3) & (test[:, 4] == 5)).sum() > 20
    for codes in (train, test):
        for column, values in zip(codes.T, data.factors.values(), strict=True):
            share = np.bincount(column, minlength=len(values)) / len(codes)
            wanted = np.full(len(values), 1 / len(values))
            if values[0] == "none":
                wanted[:] = 0.5 / (len(values) - 1)
                wanted[0] = 0.5
            assert np.abs(share - wanted).max() < 0.04


def test_the_small_set_is_the_beginning_of_the_full_one():
    few, many = (faces.split_codes("train", full) for full in (False, True))
    np.testing.assert_array_equal(many[: len(few)], few)


def test_a_counterfactual_differs_where_its_part_is_and_nowhere_else():
    some = {name: column[:50] for name, column in data.attributes("faces").items()}
    plain = data.compose(**some | {"beard": "none"})
    bearded = data.compose(**some | {"beard": "full beard"})
    moved = (plain != bearded).any(-1)  # (50, 64, 64)
    assert moved.any((1, 2)).all()
    seen = data.part_map(**some | {"beard": "full beard"})
    beard, above = data.parts.index("beard"), data.parts.index("eyes")
    assert (moved[seen == beard]).mean() > 0.99
    assert not moved[:, :30].any(), "the beard is in the upper half"
    assert not moved[seen >= above].mean() > 0.2
    darker = data.compose(**some | {"skin": "dark"})
    assert (darker != data.compose(**some | {"skin": "light"})).any((1, 2, 3)).all()


def test_a_sketch_shows_the_parts_and_not_the_colour_of_the_clothes():
    some = {name: column[:1500] for name, column in data.attributes("faces").items()}
    drawn = data.sketch(**some)
    assert drawn.shape == (1500, 64, 64, 1) and drawn.dtype == np.uint8
    assert not drawn.flags.writeable and (drawn[:, 0, 0] == 255).all()
    other = (some["clothes_colour"] + 3) % 10
    np.testing.assert_array_equal(
        drawn, data.sketch(**some | {"clothes_colour": other})
    )
    few = {name: column[:40] for name, column in some.items()}
    for factor in ("hair", "mouth", "clothes"):
        changed = (few[factor] + 1) % len(data.factors[factor])
        moved = drawn[:40] != data.sketch(**few | {factor: changed})
        assert moved.any((1, 2, 3)).all(), factor
    flat = np.ones((40, 64, 64), bool)  # where a pixel is as its neighbours are
    face = data.compose(**few | {"clothes_colour": "white"}).astype(int)
    flat[:, :, :-1] &= (np.diff(face, axis=2) == 0).all(axis=-1)
    flat[:, :-1] &= (np.diff(face, axis=1) == 0).all(axis=-1)
    assert (drawn[:40, ..., 0] == 255)[flat].all() and flat.mean() > 0.5
    assert (drawn[:40, ..., 0] < 255)[~flat].mean() > 0.9
    assert (drawn[:40] < 128).any((1, 2, 3)).all(), "no lines"
    with pytest.raises(ValueError, match="no factor .'hat'.; there are"):
        data.sketch(hat="none")


def test_values_by_name_by_number_and_by_row_are_the_same():
    one = data.compose(hair="bun", mouth="smile", clothes_colour="red")
    assert one.shape == (1, 64, 64, 3)
    two = data.compose(hair=[3, 3], mouth=3, clothes_colour=np.array([1, 1]))
    np.testing.assert_array_equal(two[0], one[0])
    np.testing.assert_array_equal(two[1], one[0])


def test_parts_are_where_they_should_be():
    asked = dict(hair="bun", beard="long beard", rear_hair="long wavy")
    seen = data.part_map(**asked, clothes="dress")[0]
    named = {name: np.argwhere(seen == i) for i, name in enumerate(data.parts)}
    assert all(len(places) for name, places in named.items())
    height = {name: places[:, 0].mean() for name, places in named.items()}
    assert height["hair"] < height["eyes"] < height["beard"] < height["clothes"]
    assert seen[0, 0] == 0 and seen.dtype == np.uint8


@pytest.mark.parametrize(
    "factors, message",
    [
        (dict(glasses=1), r"no factor \['glasses'\]; there are: \['skin'"),
        (dict(hair="mullet"), "no hair 'mullet'; there are: .*'bun'"),
        (dict(hair=4), r"hair is one of .* 0\.\.3"),
        (dict(hair=-1), r"0\.\.3"),
        (dict(hair=1.0), "whole numbers"),
        (dict(hair=[[1]]), "whole numbers"),
        (dict(hair=[]), "whole numbers"),
        (dict(hair=[0, 1], beard=[0, 1, 2]), "different lengths.*'hair': 2"),
    ],
)
def test_what_no_face_can_have_is_refused(factors, message):
    for draw in (data.compose, data.part_map):
        with pytest.raises(ValueError, match=message):
            draw(**factors)


def test_a_damaged_file_of_parts_says_so(tmp_path, monkeypatch):
    damaged = tmp_path / "faces.npz"
    damaged.write_bytes(faces.PARTS_FILE.read_bytes()[:2000])
    monkeypatch.setattr(faces, "PARTS_FILE", damaged)
    faces._tables.cache_clear()
    try:
        with pytest.raises(data.DataError, match="damaged.*install gencourse again"):
            data.compose()
    finally:
        faces._tables.cache_clear()
