"""The embedded emoji: pictures, kinds, attributes, the split, and their recipe."""

import hashlib
import importlib.metadata
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gencourse import data
from gencourse.data import loading, registry
from gencourse.data.registry import SPLITS

ROOT = Path(__file__).parent.parent
ENTRY = registry.SETS["emoji"]
TONES = [name for name in ENTRY.attributes if name.startswith("tone ")]
HAIR = ["blonde hair", "red hair", "curly hair", "white hair", "bald", "beard"]
# SHA-256 of pictures, labels (int32) and attributes, train then test.
CONTENT = "f5b4ef8acca06f91ec230316d3cfb68f672b15fb82c808cf868866190aa1a4c1"


@pytest.fixture(scope="module")
def recipe():
    return SimpleNamespace(**runpy.run_path(str(ROOT / "recipes" / "embed_emoji.py")))


def rows(split):
    """(images, attributes (N, A), drawings) of a split."""
    table = np.stack(list(data.attributes("emoji", split).values()), 1)
    return data.load("emoji", split)[0], table, data.drawings("emoji", split)


def test_the_embedded_emoji_are_those_of_the_recipe():
    digest = hashlib.sha256()
    for split, n in {"train": 931, "test": 142}.items():
        images, labels = data.load("emoji", split)
        assert images.shape == (n, 64, 64, 3) and images.dtype == np.uint8
        assert labels.shape == (n,) and labels.dtype == np.int32
        assert ENTRY.embedded[split] == n
        digest.update(images.tobytes() + labels.tobytes() + rows(split)[1].tobytes())
    assert digest.hexdigest() == CONTENT


def test_all_arrays_are_read_only_and_of_one_length():
    for split in SPLITS:
        arrays = [*data.load("emoji", split), data.drawings("emoji", split)]
        arrays += data.attributes("emoji", split).values()
        for array in arrays:
            assert len(array) == ENTRY.embedded[split]
            with pytest.raises(ValueError, match="read-only"):
                array[0] = array[1]


def test_every_picture_is_another_and_shows_something():
    images = np.concatenate([rows(split)[0] for split in SPLITS])
    assert len({image.tobytes() for image in images}) == len(images)
    assert (images[:, 0, 0] == 255).all(1).mean() > 0.95  # on white
    ink = (images != 255).any(-1).mean((1, 2))
    assert 0.2 < ink.min() and ink.max() <= 1
    assert images.std((1, 2, 3)).min() > 20


def test_no_drawing_and_no_subject_is_on_both_sides_of_the_split(recipe):
    train, test = (set(data.drawings("emoji", split)) for split in SPLITS)
    assert not train & test and 0.11 < len(test) / len(train | test) < 0.14
    subject = {}
    for picture in map(recipe.parse, recipe.names()):
        subject[picture.drawing] = picture.subject or picture.drawing
    assert train | test == set(subject)
    assert not {subject[d] for d in train} & {subject[d] for d in test}


def test_plain_people_hair_and_beards_train():
    assert {"man", "woman", "person"} <= set(data.drawings("emoji"))
    for split, expected in {"train": {15, 18}, "test": {0}}.items():
        columns = data.attributes("emoji", split)
        assert {int(columns[name].sum()) for name in HAIR} == expected


def test_attributes_are_in_the_order_of_the_table():
    for split in SPLITS:
        columns = data.attributes("emoji", split)
        assert tuple(columns) == ENTRY.attributes
        assert {column.dtype for column in columns.values()} == {np.dtype(bool)}
        assert (np.stack([columns[name] for name in HAIR]).sum(0) <= 1).all()


def test_one_kind_and_one_tone_are_true():
    for split in SPLITS:
        columns = data.attributes("emoji", split)
        kinds = np.stack([columns[name] for name in data.classes("emoji")])
        assert (kinds.sum(0) == 1).all()
        np.testing.assert_array_equal(kinds.argmax(0), data.load("emoji", split)[1])
        tones = np.stack([columns[name] for name in TONES])
        np.testing.assert_array_equal(tones.sum(0), ~columns["face"])
        rest = np.stack(list(columns.values()))[len(kinds) :]
        assert not rest[:, columns["face"]].any()


def test_attributes_tell_people_apart():
    _, table, _ = rows("train")
    people = table[~table[:, ENTRY.attributes.index("face")]]
    assert len(np.unique(people, axis=0)) == len(people)


def test_tones_darken_the_pictures_of_a_drawing():
    """Fails if the rows of attributes, drawings and pictures are not the same."""
    for split in SPLITS:
        images, _, names = rows(split)
        columns = data.attributes("emoji", split)
        for drawing in set(names[columns["tone dark"]]):
            tones = [(names == drawing) & columns[tone] for tone in TONES[1:]]
            brightness = [images[tone].mean() for tone in tones if tone.any()]
            assert brightness[0] > brightness[-1], drawing
            if "bald" in drawing:  # of hair, the second tone's is the brightest
                assert (np.diff(brightness) < 0).all(), drawing
        means = [images[columns[tone]].mean() for tone in TONES[2:]]
        assert (np.diff(means) < 0).all()


def test_pairs_with_and_without_an_attribute_can_be_had():
    images, table, names = rows("train")
    for name in HAIR:
        column = ENTRY.attributes.index(name)
        without = {row.tobytes(): i for i, row in enumerate(table)}
        for i in np.flatnonzero(table[:, column]):
            other = table[i].copy()
            other[column] = False
            j = without[other.tobytes()]
            assert names[i] == f"{names[j]} {name}"
            assert 0.5 < np.abs(images[i].astype(float) - images[j]).mean() < 100


def test_attributes_are_those_of_the_name():
    for split in SPLITS:
        names = data.drawings("emoji", split)
        columns = data.attributes("emoji", split)
        for name in ("red hair", "beard", "bald"):
            ends = np.char.endswith(names, f" {name}")
            np.testing.assert_array_equal(columns[name], ends)
        cooks = np.isin(names, ["cook", "man cook", "woman cook"])
        np.testing.assert_array_equal(columns["role cook"], cooks)


def test_what_is_not_there_is_said():
    with pytest.raises(data.DataError, match='no larger.*all there is, data.load."emo'):
        data.load("emoji", full=True)
    with pytest.raises(data.DataError, match="the embedded one is all there is"):
        data.prepare("emoji")
    for function in (data.load, data.attributes, data.drawings):
        with pytest.raises(ValueError, match="no data set 'smileys'; there are: fash"):
            function("smileys")
        with pytest.raises(ValueError, match="split is one of train, test, not 'val'"):
            function("emoji", "val")
    with pytest.raises(ValueError, match="MNIST has no attributes; .* have: .*emoji"):
        data.attributes("mnist")
    with pytest.raises(ValueError, match="MNIST has no drawings; only emoji has"):
        data.drawings("mnist")


def test_a_damaged_file_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "EMBEDDED", tmp_path)
    np.savez(tmp_path / "emoji.npz", train_images=np.zeros(3))
    for function in (data.load, data.attributes, data.drawings):
        with pytest.raises(data.DataError, match="damaged.*install gencourse again"):
            function("emoji")


def test_the_licence_is_there():
    text = (loading.EMBEDDED / "LICENSE-emoji").read_text(encoding="utf-8")
    assert "Copyright (c) Microsoft Corporation." in text and "MIT License" in text
    assert "64 x 64" in text  # what was done to the pictures


# The recipe


@pytest.mark.parametrize(
    "name, picture",
    [
        (
            "man-red-hair-medium-light",
            ("man red hair", "man", "medium-light", "red hair"),
        ),
        ("woman-dark", ("woman", "woman", "dark", "")),
        ("cook-medium", ("cook", "person", "medium", "role cook")),
        ("man-beard-default", ("man beard", "man", "default", "beard")),
        ("old-man-light", ("old man", "older man", "light", "")),
        (
            "woman-gesturing-no-medium-dark",
            ("woman gesturing no", "woman", "medium-dark", "gesture no"),
        ),
        (
            "person-in-tuxedo-light",
            ("person in tuxedo", "person", "light", "role tuxedo"),
        ),
        ("princess-default", ("princess", "woman", "default", "role crown")),
        ("zany-face", ("zany face", "face", "", "")),
    ],
)
def test_file_names_are_read(recipe, name, picture):
    assert recipe.parse(name) == picture
    row = recipe.attributes(recipe.parse(name))
    assert sum(row) == 1 + bool(picture[2]) + bool(picture[3])


@pytest.mark.parametrize(
    "name", ["man-running-dark", "man-cook", "cat", "man-cook-red"]
)
def test_other_file_names_are_refused(recipe, name):
    with pytest.raises(ValueError, match="chosen"):
        recipe.parse(name)


def test_the_recipe_names_every_picture_once(recipe):
    pictures = [recipe.parse(name) for name in recipe.names()]
    assert len(set(pictures)) == len(pictures)
    assert len(pictures) == sum(ENTRY.embedded.values()) + 3  # duplicates left out
    assert recipe.held_out(pictures) == set(data.drawings("emoji", "test"))
    used = {p.subject for p in pictures} | {p.kind for p in pictures}
    assert used - {""} == set(ENTRY.attributes) - set(TONES)


def test_the_recipe_says_what_is_wrong(recipe, tmp_path, monkeypatch):
    with pytest.raises(data.DataError, match="no icons/flat: give the unpacked npm"):
        recipe.read(tmp_path)
    flat = tmp_path / "icons" / "flat"
    flat.mkdir(parents=True)
    with pytest.raises(data.DataError, match="alien.svg is missing: is this fluentui"):
        recipe.read(tmp_path)
    for name in recipe.names():
        (flat / f"{name}.svg").write_text("<svg/>")
    with pytest.raises(data.DataError, match="are not those of fluentui-emoji 1.3.0"):
        recipe.read(tmp_path)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.4.9")
    with pytest.raises(
        data.DataError, match="resvg_py is 0.4.9: pip install resvg_py=="
    ):
        recipe.make(tmp_path, tmp_path / "emoji.npz")
    assert "resvg_py" not in sys.modules
