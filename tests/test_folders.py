"""Pictures of one's own, from folders: pairs and heaps, and the file that is wrong."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gencourse import data
from tools import notebooks

ROOT = Path(__file__).resolve().parent.parent


def save(path, size=(8, 8), mode="RGB", colour=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour or 0).save(path, **options)


def gradient(width, height):
    """A picture (height, width, 3) whose red says the column, whose green the row."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = np.arange(width)[None]
    picture[..., 1] = np.arange(height)[:, None]
    return picture


def test_pairs_from_two_folders_keep_together(tmp_path):
    for i, name in enumerate(("b", "a", "c")):
        save(tmp_path / "A" / f"{name}.png", mode="L", colour=10 * i)
        save(tmp_path / "B" / f"{name}.bmp", colour=(10 * i, 0, 5))
    save(tmp_path / "B" / "notes.txt.png")
    (tmp_path / "B" / "notes.txt.png").rename(tmp_path / "B" / "notes.txt")
    x, y = data.load_pairs(tmp_path, size=8)
    assert x.shape == (3, 8, 8, 1) and y.shape == (3, 8, 8, 3)
    assert x.dtype == y.dtype == np.uint8
    assert not x.flags.writeable and not y.flags.writeable
    assert x[:, 0, 0, 0].tolist() == y[:, 0, 0, 0].tolist() == [10, 0, 20]
    assert (y[..., 2] == 5).all()


def test_a_pair_side_by_side_is_cut_in_the_middle(tmp_path):
    picture = gradient(32, 16)
    Image.fromarray(picture).save(tmp_path / "1.png")
    x, y = data.load_pairs(tmp_path, size=16)
    np.testing.assert_array_equal(x[0], picture[:, :16])
    np.testing.assert_array_equal(y[0], picture[:, 16:])


def test_both_of_a_pair_are_cut_and_reduced_alike(tmp_path):
    for side in "AB":
        (tmp_path / side).mkdir()
        Image.fromarray(gradient(48, 16)).save(tmp_path / side / "1.png")
    x, y = data.load_pairs(tmp_path, size=8)
    np.testing.assert_array_equal(x, y)
    assert x[0, 0, 0, 0] == pytest.approx(16, abs=2)  # the middle third of 48
    assert x[0, 0, -1, 0] == pytest.approx(31, abs=2)
    assert x[0, -1, 0, 1] == pytest.approx(15, abs=2)


def test_one_in_colour_makes_all_of_them_have_colours(tmp_path):
    save(tmp_path / "1.png", mode="L", colour=7)
    save(tmp_path / "2.png", colour=(1, 2, 3))
    found = data.load_folder(tmp_path, size=8)
    assert found.shape == (2, 8, 8, 3)
    assert (found[0] == 7).all() and (found[1] == [1, 2, 3]).all()


def test_what_is_transparent_becomes_white(tmp_path):
    save(tmp_path / "1.png", mode="RGBA", colour=(9, 9, 9, 0))
    save(tmp_path / "2.png", mode="LA", colour=(9, 0))
    assert (data.load_folder(tmp_path, size=8) == 255).all()


def test_a_photo_is_turned_as_the_camera_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    picture = Image.fromarray(gradient(16, 16))
    picture.save(tmp_path / "1.png", exif=exif)
    turned = np.asarray(picture.rotate(-90))
    np.testing.assert_array_equal(data.load_folder(tmp_path, 16)[0], turned)


def two_folders(path, **other):
    save(path / "A" / "1.png")
    save(path / "B" / "1.png", **other)


def broken(path):
    two_folders(path)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path / "B" / "1.png")
    whole = (path / "B" / "1.png").read_bytes()
    (path / "B" / "1.png").write_bytes(whole[: len(whole) // 2])


def no_picture(path):
    two_folders(path)
    (path / "B" / "1.png").write_text("a letter")


def alone(path):
    two_folders(path)
    for i in range(5):
        save(path / "B" / f"more{i}.png")


def one_name(path):
    two_folders(path)
    save(path / "A" / "1.jpg")


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda path: None, "no pictures in"),
        (lambda path: save(path / "A" / "1.png"), "one of the folders A and B"),
        (alone, "5 of 6 pictures in .*B have no partner .*more0.png.*, [.]{3}"),
        (one_name, "A.1.png and 1.jpg have one name|A.1.jpg and 1.png have one name"),
        (broken, "B.1.png cannot be read"),
        (no_picture, "B.1.png cannot be read"),
        (
            lambda path: two_folders(path, size=(9, 8)),
            "1.png is 8 x 8 in A and 9 x 8 in B",
        ),
        (lambda path: two_folders(path, mode="I;16"), "B.1.png has pixels of mode I"),
        (lambda path: save(path / "1.png", (12, 8)), "1.png is 12 x 8.*twice as wide"),
        (lambda path: save(path / "1.png", (8, 4)), "1.png is 4 x 4, smaller than 8"),
    ],
)
def test_the_file_that_is_wrong_is_named(tmp_path, make, said):
    make(tmp_path)
    with pytest.raises(data.DataError, match=said):
        data.load_pairs(tmp_path, size=8)


def test_the_chapter_takes_a_folder_of_pairs_side_by_side(tmp_path, monkeypatch):
    """As the paper's authors publish theirs: made-up files of that form."""
    for i in range(12):
        save(tmp_path / f"{i}.jpg", (256, 128), colour=(20 * i, 0, 0))
    monkeypatch.setenv("GENCOURSE_PAIRS", str(tmp_path))
    cells = notebooks.read(ROOT / "chapters" / "06_pix2pix.ipynb").cells
    given = {"files": 3}
    for cell in cells:
        if cell.id == "own-folder":
            modules = "import os, tempfile\nimport numpy as np\nfrom PIL import Image\n"
            modules += "from pathlib import Path\nfrom gencourse import data\n"
            exec(modules + cell.source, given)
    assert given["own_x"].shape == given["own_y"].shape == (12, 64, 64, 3)
    assert given["own_x"].min() == -1 and given["held"] == 2


def test_there_is_no_such_folder(tmp_path):
    for read in (data.load_folder, data.load_pairs):
        missing = re.escape(str(tmp_path / "none"))
        with pytest.raises(data.DataError, match=missing):
            read(tmp_path / "none")
        with pytest.raises(ValueError, match="size"):
            read(tmp_path, size=0)
