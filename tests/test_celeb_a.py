"""CelebA: a tiny one, from original files through TFDS's builder to arrays."""

import functools
import hashlib
import io
import re
import zipfile

import numpy as np
import pytest
from PIL import Image

from gencourse import __main__ as cli
from gencourse import data
from gencourse.data import celeba, registry, tfds_store
from gencourse.system import paths

COUNTS = {"train": 9, "validation": 3, "test": 5}
FILES = [f"{i + 1:06}.jpg" for i in range(sum(COUNTS.values()))]
PUBLISHED = dict(celeba.FILES)
NAMES = registry.SETS["celeb_a"].attributes
TRUE = np.random.default_rng(0).random((len(FILES), 40)) < 0.5
POINTS = (
    "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y "
    "rightmouth_x rightmouth_y"
)


def picture(i):
    """A picture of its own brightness, with red where the square is cut off."""
    pixels = np.full((218, 178, 3), 10 + 14 * i, np.uint8)
    pixels[:16] = pixels[202:] = (255, 0, 0)
    pixels[24:100, :89] //= 2  # up and left is darker
    return pixels


def rows(values, *heading):
    lines = (
        f"{f}  {' '.join(map(str, v))}" for f, v in zip(FILES, values, strict=True)
    )
    return "\n".join([*heading, *lines, ""]).encode()


@functools.cache  # a ZIP holds the time at which it was made
def contents():
    """{original file: content}."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for i, file in enumerate(FILES):
            jpeg = io.BytesIO()
            Image.fromarray(picture(i)).save(jpeg, "JPEG", quality=95)
            archive.writestr(f"img_align_celeba/{file}", jpeg.getvalue())
    parts = np.repeat(range(3), list(COUNTS.values()))
    n = str(len(FILES))
    return {
        "img_align_celeba.zip": buffer.getvalue(),
        "list_attr_celeba.txt": rows(np.where(TRUE, 1, -1), n, " ".join(NAMES) + " "),
        "list_eval_partition.txt": rows(parts[:, None]),
        "list_landmarks_align_celeba.txt": rows([range(10)] * len(FILES), n, POINTS),
        "identity_CelebA.txt": rows([[7 * i] for i in range(len(FILES))]),
    }


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    examples = {split: COUNTS[split] for split in ("train", "test")}
    entry = registry.SETS["celeb_a"]._replace(examples=examples)
    monkeypatch.setitem(registry.SETS, "celeb_a", entry)
    for file, content in contents().items():
        monkeypatch.setitem(celeba.FILES, file, hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(celeba, "PIECE", 4)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setenv("GENCOURSE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def originals(tmp_path):
    """The original files, some in folders below, as they are handed out."""
    folder = tmp_path / "from"
    for file, content in contents().items():
        below = {"i": "Img", "l": "Anno"}[file[0]] if file[-3:] == "zip" else ""
        (folder / below).mkdir(parents=True, exist_ok=True)
        (folder / below / file).write_bytes(content)
    return folder


@pytest.fixture
def made(originals):
    return data.prepare("celeb_a", originals, say=lambda line: None)


def never(*_):
    raise AssertionError("decoded again")


def test_the_table_says_what_tfds_says():
    import tensorflow_datasets as tfds

    builder = tfds.builder("celeb_a")
    assert str(builder.version) == registry.SETS["celeb_a"].version
    assert tuple(sorted(builder.info.features["attributes"])) == NAMES
    infos = {info.filename: info.checksum for info in builder.url_infos.values()}
    assert infos == PUBLISHED
    assert builder.info.features["image"].shape == picture(0).shape


def test_from_original_files_to_arrays(made, monkeypatch):
    seen = []
    for split, first in {"train": 0, "test": 12}.items():
        images, labels = data.load("celeb_a", split, full=True)
        columns = data.attributes("celeb_a", split, full=True)
        assert images.shape == (COUNTS[split], 64, 64, 3) and images.dtype == np.uint8
        assert labels.dtype == np.int32 and tuple(columns) == NAMES
        for array in (images, labels, *columns.values()):
            assert len(array) == COUNTS[split] and not array.flags.writeable
        table = np.stack(list(columns.values()), 1)
        assert table.dtype == bool
        np.testing.assert_array_equal(labels, columns["Male"])
        assert data.classes("celeb_a")[1] == "male"
        which = np.rint((images[:, 50, 50, 1].astype(int) - 10) / 14).astype(int)
        assert sorted(which) == list(range(first, first + COUNTS[split]))
        np.testing.assert_array_equal(table, TRUE[which])  # in step with the pictures
        seen.extend(which)
        for i, image in zip(which, images, strict=True):
            expected = celeba.square(picture(i)).astype(int)
            assert np.abs(image - expected).mean() < 3  # JPEG
    assert len(set(seen)) == len(seen)
    monkeypatch.setattr(celeba, "pieces", never)
    data.load("celeb_a", full=True), data.attributes("celeb_a", full=True)
    assert len(list(paths.cache_dir().iterdir())) == 2


def test_tfds_reads_it_as_its_own(made, tmp_path):
    import tensorflow_datasets as tfds

    assert made == tmp_path / "tfds" / "celeb_a" / "2.1.0"
    for split, n in COUNTS.items():
        source = tfds.data_source(
            "celeb_a:2.1.0", split=split, data_dir=tmp_path / "tfds", download=False
        )
        assert len(source) == n
        example = source[n - 1]
        assert example["image"].shape == (218, 178, 3)
        assert example["landmarks"]["rightmouth_y"] == 9
        i = example["identity"]["Identity_No"] // 7
        assert [bool(example["attributes"][name]) for name in NAMES] == list(TRUE[i])
        assert np.abs(example["image"].astype(int) - picture(i)).mean() < 3


def test_the_square_is_the_middle():
    image = celeba.square(picture(9))
    assert image.shape == (64, 64, 3) and image.dtype == np.uint8
    np.testing.assert_array_equal(image[40:], np.full((24, 64, 3), 136))
    assert (image[3:25, :30] == 68).all() and (image[:, 34:] == 136).all()
    stripes = np.zeros((218, 178, 3), np.uint8)
    stripes[:, ::2] = 254  # would be a pattern, were the pixels only picked
    assert np.abs(celeba.square(stripes).astype(int) - 127)[:, 4:-4].max() < 30
    with pytest.raises(ValueError, match=r"a picture is \(178, 218, 3\), not"):
        celeba.square(picture(0).transpose(1, 0, 2))


def test_a_cache_that_cannot_be_written_is_a_warning(made, tmp_path, monkeypatch):
    images, labels = data.load("celeb_a", full=True)
    columns = data.attributes("celeb_a", full=True)
    (tmp_path / "file").touch()
    monkeypatch.setenv("GENCOURSE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="CelebA could not be cached"):
        again = data.load("celeb_a", full=True)
    np.testing.assert_array_equal(again[0], images)
    np.testing.assert_array_equal(again[1], labels)
    with pytest.warns(UserWarning, match="set GENCOURSE_CACHE"):
        again = data.attributes("celeb_a", full=True)
    np.testing.assert_array_equal(again["Young"], columns["Young"])


def test_a_damaged_cache_is_made_again(made):
    images, _ = data.load("celeb_a", full=True)
    (file,) = paths.cache_dir().iterdir()
    content = file.read_bytes()
    file.unlink()  # `images` is mapped to it
    file.write_bytes(content[:-7])
    np.testing.assert_array_equal(data.load("celeb_a", full=True)[0], images)


def test_a_set_of_another_size_is_said_and_not_cached(made, monkeypatch):
    entry = registry.SETS["celeb_a"]._replace(examples={"train": 10, "test": 5})
    monkeypatch.setitem(registry.SETS, "celeb_a", entry)
    with pytest.raises(data.DataError, match="holds 9 pictures as train, not 10: prep"):
        data.load("celeb_a", full=True)
    assert not list(paths.cache_dir().iterdir())


def test_a_truncated_prepared_set_is_said(made):
    (record,) = made.glob("*-train.array_record*")
    record.write_bytes(record.read_bytes()[:1000])
    with pytest.raises(data.DataError, match="is damaged .*delete it, and prepare"):
        data.load("celeb_a", full=True)


def test_tfrecord_without_tensorflow_is_said(made, monkeypatch):
    info = made / "dataset_info.json"
    info.write_text(re.sub('"array_record"', '"tfrecord"', info.read_text()))
    assert tfds_store.find("celeb_a").format == "tfrecord"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(data.DataError, match="pip install tensorflow, or prepare"):
        data.load("celeb_a", full=True)


def test_faults_of_the_original_files_are_named(originals, tmp_path):
    (originals / "identity_CelebA.txt").unlink()
    path = originals / "Img" / "img_align_celeba.zip"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(data.DataError) as error:
        data.prepare("celeb_a", originals)
    zipped, identity = [x for x in str(error.value).splitlines() if x[:2] == "  "]
    assert "celeba.zip is truncated or was altered: its SHA-256 is" in zipped
    assert "identity_CelebA.txt is missing" in identity
    with pytest.raises(data.DataError, match="there is no folder .*nowhere"):
        data.prepare("celeb_a", tmp_path / "nowhere")
    assert not (tmp_path / "tfds").exists()


def test_without_files_the_way_is_said(tmp_path):
    with pytest.raises(data.DataError, match="(?s)img_align.*--from DIR.*tfds build c"):
        data.prepare("celeb_a")
    with pytest.raises(data.DataError, match="data prepare celeb_a$"):
        data.load("celeb_a", full=True)
    for function in (data.load, data.attributes):
        with pytest.raises(data.DataError, match="CelebA does not come with gencourse"):
            function("celeb_a")


def test_the_command_prepares_and_lists(originals, capsys):
    assert cli.main(["data", "prepare", "celeb_a", "--from", str(originals)]) == 0
    assert 'data.load("celeb_a", full=True)' in capsys.readouterr().out
    assert cli.main(["data", "list"]) == 0
    out = capsys.readouterr().out
    assert "9 + 5, prepared as array_record (0 MB), cached (0 MB)" in out
    assert re.search("faces +10,000 .* 60,000 [+] 2,000, put together when loaded", out)
