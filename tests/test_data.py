"""Embedded pictures, whole sets from a prepared folder, the cache, and scaling."""

import hashlib
import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import _data_fake
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gencourse import data
from gencourse.data import cache, registry, tfds_store
from gencourse.system import paths

HERE = Path(__file__).parent
# SHA-256 of the pictures and labels (int32), train then test: whatever packs them
# the pictures are these, the first of each class in the original order.
CONTENT = {
    "fashion_mnist": "21b1a792fbc8cbbf19c6cc22e01028bebcadc704717508936aff9e5224fc0d67",
    "mnist": "066e29c3eb1191630c523385737f2c71c962257ddc7deb12c2232bd4ff8f777f",
}


@pytest.mark.parametrize("name", CONTENT)
def test_embedded_sets_hold_the_chosen_pictures(name):
    digest = hashlib.sha256()
    for split, n in {"train": 10_000, "test": 2_000}.items():
        images, labels = data.load(name, split)
        assert images.shape == (n, 28, 28, 1) and images.dtype == np.uint8
        assert labels.shape == (n,) and labels.dtype == np.int32
        assert (np.bincount(labels) == n // 10).all()
        assert registry.SETS[name].embedded[split] == n
        digest.update(images.tobytes() + labels.tobytes())
    assert digest.hexdigest() == CONTENT[name]


def test_the_recipe_gives_the_same_bytes_every_time(tmp_path, monkeypatch):
    recipe = runpy.run_path(str(HERE.parent / "recipes" / "embed_datasets.py"))
    _data_fake.shrink(change=monkeypatch.setitem)
    entry = registry.SETS["mnist"]._replace(embedded={"train": 20, "test": 10})
    monkeypatch.setitem(registry.SETS, "mnist", entry)
    _data_fake.write("mnist", tmp_path / "mnist")
    for target in (tmp_path / "a.npz", tmp_path / "b.npz"):
        recipe["make"]("mnist", tmp_path, target)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz") as arrays:
        assert (arrays["train_labels"] == np.arange(20) % 10).all()
        raw = _data_fake.contents("mnist")["train-images-idx3-ubyte"][16:]
        assert arrays["train_images"].tobytes() == raw[: 20 * 784]


def test_arrays_are_read_only():
    for array in data.load("mnist", "test"):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_loading_is_light_and_quick():
    code = """
import sys, time, numpy
start = time.perf_counter()
from gencourse import data
data.load("fashion_mnist")
print(f"{time.perf_counter() - start:.2f} s to import and load")
heavy = {"jax", "matplotlib", "tensorflow", "tensorflow_datasets", "array_record"}
sys.exit(", ".join(heavy & set(sys.modules)) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == 0, f"data.load imports {done.stderr}"


def test_classes_are_named_as_in_tfds():
    assert data.classes("fashion_mnist")[0] == "T-shirt/top"
    assert data.classes("mnist")[7] == "7"
    import tensorflow_datasets as tfds

    for name, entry in registry.SETS.items():
        if entry.layout not in ("idx", "cifar"):
            continue  # see also test_celeb_a.py
        builder = tfds.builder(name)
        assert str(builder.version) == entry.version
        assert builder.info.features["image"].shape == entry.shape
        if name != "cifar10":  # which learns its names from the originals
            assert tuple(builder.info.features["label"].names) == entry.classes


def test_what_cannot_be_loaded_is_said():
    with pytest.raises(ValueError, match="no data set 'fashion'; there are: fashion_m"):
        data.load("fashion")
    with pytest.raises(ValueError, match="split is one of train, test, not 'valid'"):
        data.load("mnist", "valid")
    with pytest.raises(data.DataError, match="data prepare cifar10.*full=True"):
        data.load("cifar10")
    for function in (data.attributes, data.prepare):
        with pytest.raises(ValueError, match="no data set 'smileys'; there are: fash"):
            function("smileys")
    with pytest.raises(ValueError, match="split is one of train, test, not 'val'"):
        data.attributes("faces", "val")
    with pytest.raises(ValueError, match="MNIST has no attributes; .* have: faces, c"):
        data.attributes("mnist")
    with pytest.raises(data.DataError, match="no preparation.*full=True"):
        data.prepare("faces")


def test_a_damaged_package_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("gencourse.data.loading.EMBEDDED", tmp_path)
    (tmp_path / "mnist.npz").write_bytes(b"PK\3\4 and no more")
    with pytest.raises(data.DataError, match="damaged.*install gencourse again"):
        data.load("mnist")
    with pytest.raises(data.DataError, match="install gencourse again"):
        data.load("fashion_mnist")


# Whole sets: small ones in their place

LOAD = """
import sys, _data_fake
from gencourse import data
_data_fake.shrink()
data.load("fashion_mnist", full=True)
heavy = {{"tensorflow_datasets", "jax"}} & set(sys.modules)
sys.exit({})
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data_dir with a small Fashion-MNIST, prepared."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        _data_fake.shrink(change=patch.setitem)
        originals = _data_fake.write("fashion_mnist", folder / "originals")
        data.prepare("fashion_mnist", originals, folder / "tfds", say=lambda line: None)
    return folder / "tfds"


@pytest.fixture
def full(made, tmp_path, monkeypatch):
    """load(full=True) of the small set, with a cache of its own."""
    _data_fake.shrink(change=monkeypatch.setitem)
    monkeypatch.setenv("TFDS_DATA_DIR", str(made))
    monkeypatch.setenv("GENCOURSE_CACHE", str(tmp_path / "cache"))
    return lambda split="train": data.load("fashion_mnist", split, full=True)


def never(*_):
    raise AssertionError("decoded again")


def test_the_second_load_comes_from_the_cache(full, monkeypatch):
    first = full()
    monkeypatch.setattr(tfds_store, "read", never)
    for a, b in zip(first, full(), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype and not b.flags.writeable
    assert not list(paths.cache_dir().glob("*.part"))


def test_the_second_load_does_not_import_tfds(full):
    full()
    command = [sys.executable, "-c", LOAD.format('", ".join(heavy) or 0')]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("damage", ["truncated", "foreign", "empty", "labels"])
def test_a_damaged_cache_is_made_again(full, damage):
    images, labels = full()
    (file,) = paths.cache_dir().iterdir()
    content = bytearray(file.read_bytes())
    if damage == "truncated":
        content = content[:-1000]
    elif damage == "labels":
        start = content.index(b"\n") + 1
        content[start : start + 4] = b"\xff\xff\xff\x7f"
    file.unlink()  # `images` is mapped to it
    file.write_bytes(b"" if damage == "empty" else content)
    if damage == "foreign":
        with open(file, "wb") as out:
            np.save(out, np.zeros(3))
    again = full()
    np.testing.assert_array_equal(again[0], images)
    np.testing.assert_array_equal(again[1], labels)


def test_a_remade_set_is_not_served_from_an_old_cache(full, made, monkeypatch):
    full()
    info = made / "fashion_mnist" / "3.0.1" / "dataset_info.json"
    info.write_bytes(info.read_bytes())  # the same bytes, written later
    monkeypatch.setattr(tfds_store, "read", never)
    with pytest.raises(AssertionError, match="decoded again"):
        full()


def test_a_cache_that_cannot_be_written_is_a_warning(full, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("GENCOURSE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="set GENCOURSE_CACHE"):
        images, _ = full()
    assert images.shape == (30, 28, 28, 1)


def test_not_prepared_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(
        data.DataError, match="python -m gencourse data prepare cifar10$"
    ):
        data.load("cifar10", full=True)
    with pytest.raises(data.DataError, match="prepare mnist --data-dir there$"):
        data.load("mnist", full=True, data_dir="there")


def test_tfrecord_without_tensorflow_is_said(full, made, tmp_path, monkeypatch):
    folder = tmp_path / "tfds" / "fashion_mnist" / "3.0.1"
    folder.mkdir(parents=True)
    info = json.loads((made / "fashion_mnist/3.0.1/dataset_info.json").read_text())
    info["fileFormat"] = "tfrecord"
    (folder / "dataset_info.json").write_text(json.dumps(info))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(data.DataError, match="pip install tensorflow, or prepare"):
        full()


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_an_unreadable_info_is_said(full, tmp_path, monkeypatch, text):
    folder = tmp_path / "tfds" / "fashion_mnist" / "3.0.1"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text(text)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    with pytest.raises(data.DataError, match="is damaged .*delete it, and prepare"):
        full()


@pytest.mark.parametrize("size", [0, 100, -100])
def test_a_truncated_prepared_set_is_said(full, made, tmp_path, monkeypatch, size):
    shutil.copytree(made, tmp_path / "tfds")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    (record,) = (tmp_path / "tfds").rglob("*-train.array_record*")
    record.write_bytes(record.read_bytes()[:size])
    with pytest.raises(data.DataError, match="is damaged .*delete it, and prepare"):
        full()
    with pytest.raises(data.DataError, match="is damaged .*delete it, and prepare"):
        (record.parent / "dataset_info.json").unlink()
        full()


def test_two_processes_fill_the_cache_at_once(full):
    command = [sys.executable, "-c", LOAD.format("0")]
    processes = [subprocess.Popen(command, cwd=HERE) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert len(list(paths.cache_dir().iterdir())) == 1


def test_a_prepared_set_with_other_contents_is_said(full, monkeypatch):
    images, labels = full()

    def give(images, labels):
        monkeypatch.setattr(tfds_store, "read", lambda *_: (images, labels))
        monkeypatch.setattr(cache, "path", lambda *_: paths.cache_dir() / "other.npy")

    give(images, labels + 1)
    with pytest.raises(data.DataError, match="labels from 1 to 10, not 0 to 9"):
        full()
    give(images[1:], labels[1:])
    with pytest.raises(data.DataError, match="holds uint8.*29, 28.*prepare it again"):
        full()
    give(images.astype(float), labels)
    with pytest.raises(data.DataError, match="holds float64"):
        full()


# Scaling


@pytest.fixture
def images():
    return np.arange(2 * 28 * 28).reshape(2, 28, 28, 1).astype(np.uint8)


@pytest.mark.parametrize("to, low", [("unit", 0), ("tanh", -1)])
def test_scale_and_back(images, to, low):
    scaled = data.scale(images, to)
    assert type(scaled) is np.ndarray and scaled.dtype == np.float32
    assert scaled.min() == low and scaled.max() == 1
    np.testing.assert_array_equal(data.unscale(scaled, to), images)
    traced = jax.jit(lambda x: data.scale(x, to))(images)
    assert traced.dtype == jnp.float32
    np.testing.assert_allclose(traced, scaled, atol=1e-6)
    np.testing.assert_array_equal(data.unscale(traced, to), images)
    half = data.unscale(traced.astype(jnp.bfloat16), to)
    assert np.abs(half.astype(int) - images).max() <= 1  # bfloat16 has 8 bits


@pytest.mark.parametrize(
    "images, error",
    [
        (np.zeros((2, 28, 28, 1)), "already float64: scaled twice?"),
        (np.zeros((2, 28, 28, 1), np.int64), "int64, not uint8"),
        (np.zeros((2, 28, 28), np.uint8), r"add the channel axis"),
        (np.zeros((28, 28, 1), np.uint8), r"Add the batch axis"),
        (np.zeros((2, 784), np.uint8), r"Reshape to \(N, H, W, C\)"),
        ([[0]], "must be an array, not list"),
    ],
)
def test_scale_names_the_mistake(images, error):
    with pytest.raises((TypeError, ValueError), match=error):
        data.scale(images, "unit")
    if hasattr(images, "shape"):
        with pytest.raises((TypeError, ValueError), match=error):
            jax.jit(lambda: data.scale(images, "unit"))()


def test_the_range_is_named(images):
    for call in (data.scale, data.unscale):
        with pytest.raises(ValueError, match='"unit" for .* or "tanh" for'):
            call(images, "[0, 1]")


@pytest.mark.parametrize(
    "value, from_, error",
    [
        (-0.5, "unit", "looks like the tanh range, use unscale"),
        (255.0, "unit", "never scaled, or logits"),
        (-1.5, "tanh", "end in a sigmoid"),
        (np.nan, "unit", "NaN or infinity"),
        (-np.inf, "tanh", "NaN or infinity"),
    ],
)
def test_unscale_names_the_mistake(value, from_, error):
    pictures = np.zeros((2, 28, 28, 1), np.float32)
    pictures[1, 5, 5] = value
    with pytest.raises(ValueError, match=error):
        data.unscale(pictures, from_)


def test_unscale_takes_float_pictures_only(images):
    with pytest.raises(TypeError, match="uint8, not float: unscaled twice?"):
        data.unscale(images, "unit")
    with pytest.raises(ValueError, match="add the channel axis"):
        data.unscale(np.zeros((2, 28, 28)), "unit")
    rounded = np.full((1, 2, 2, 1), 1 + 1e-6, np.float32)  # float32 rounds up to this
    assert (data.unscale(rounded, "unit") == 255).all()


def test_pad_puts_black_on_all_sides(images):
    padded = data.pad(images, 32)
    assert padded.shape == (2, 32, 32, 1) and padded.dtype == np.uint8
    np.testing.assert_array_equal(padded[:, 2:-2, 2:-2], images)
    assert padded.sum(dtype=int) == images.sum(dtype=int)
    scaled = data.scale(images, "unit")
    np.testing.assert_array_equal(data.pad(scaled, 32), data.scale(padded, "unit"))
    np.testing.assert_array_equal(data.pad(images, 31)[:, 1:-2, 1:-2], images)
    np.testing.assert_array_equal(data.pad(images, 28), images)


def test_pad_names_the_mistake(images):
    with pytest.raises(ValueError, match="black is -1, not 0, so pad before you scale"):
        data.pad(data.scale(images, "tanh"), 32)
    with pytest.raises(ValueError, match="Pad the uint8 pictures, then scale"):
        data.pad(images.astype(float), 32)
    with pytest.raises(ValueError, match="NaN"):
        data.pad(np.full((1, 28, 28, 1), np.nan), 32)
    with pytest.raises(ValueError, match="add the channel axis"):
        data.pad(images[..., 0], 32)
    with pytest.raises(ValueError, match="do not fit in 16 x 16"):
        data.pad(images, 16)
    with pytest.raises(TypeError, match="int64: pad takes uint8, or float"):
        data.pad(images.astype(np.int64), 32)
