"""Preparing a set: from original files, through TFDS, and when killed."""

import gzip
import http.server
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import _data_fake
import numpy as np
import pytest

from gencourse import data
from gencourse.data import registry, tfds_build

NAMES = [name for name, e in registry.SETS.items() if e.layout in ("idx", "cifar")]
FAKE = Path(_data_fake.__file__)


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """Small sets, no Debian package, and nothing of this machine's own folders."""
    _data_fake.shrink(change=monkeypatch.setitem)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setenv("GENCOURSE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def originals(tmp_path):
    return _data_fake.write("fashion_mnist", tmp_path / "originals")


def left(home: Path) -> list[str]:
    """What there is in data_dir, finished or not."""
    return sorted(p.name for p in home.iterdir()) if home.exists() else []


def assert_prepared(name, home):
    """TFDS reads the set, load() does, and each picture is an original one."""
    import tensorflow_datasets as tfds

    assert left(home) == [name]
    entry = registry.SETS[name]
    content = _data_fake.contents(name)
    for split, n in _data_fake.EXAMPLES.items():
        source = tfds.data_source(f"{name}:{entry.version}", split=split, data_dir=home)
        images, labels = data.load(name, split, full=True, data_dir=home)
        assert len(source) == len(images) == n
        np.testing.assert_array_equal(source[3]["image"], images[3])
        assert source[3]["label"] == labels[3]
        assert images.shape == (n, *entry.shape) and images.dtype == np.uint8
        given = b"".join(content[file] for file in entry.files[split])
        for image, label in zip(images, labels, strict=True):
            if entry.layout == "cifar":
                assert bytes([label]) + image.transpose(2, 0, 1).tobytes() in given
            else:
                at = (given.index(image.tobytes()) - 16) // image.size
                assert given[-n:][at] == label


@pytest.mark.parametrize("how", ["plain", "gzipped", "in a folder below"])
@pytest.mark.parametrize("name", NAMES)
def test_prepare_from_original_files(name, how, tmp_path, capsys):
    below = name if how == "in a folder below" else "."
    _data_fake.write(name, tmp_path / "from" / below, zipped=how == "gzipped")
    folder = data.prepare(name, tmp_path / "from")
    assert folder == tmp_path / "tfds" / name / registry.SETS[name].version
    assert "ready in" in capsys.readouterr().out
    assert_prepared(name, tmp_path / "tfds")
    assert data.prepare(name) == folder
    assert "already prepared" in capsys.readouterr().out


def test_prepare_from_the_original_archive(tmp_path):
    _data_fake.write("cifar10", tmp_path / "cifar-10-batches-bin")
    archive = tmp_path / "from" / "cifar-10-binary.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "cifar-10-batches-bin", "cifar-10-batches-bin")
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(data.DataError, match="tar.gz is truncated or damaged"):
        data.prepare("cifar10", archive.parent)
    archive.write_bytes(whole)
    data.prepare("cifar10", archive.parent)
    assert_prepared("cifar10", tmp_path / "tfds")


def test_a_debian_package_is_found(originals, tmp_path, monkeypatch):
    entry = registry.SETS["fashion_mnist"]._replace(debian=str(originals))
    monkeypatch.setitem(registry.SETS, "fashion_mnist", entry)
    data.prepare("fashion_mnist")
    assert_prepared("fashion_mnist", tmp_path / "tfds")


# What can be wrong with the files


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def alter(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate_zipped(path):
    path.write_bytes(gzip.compress(path.read_bytes())[:-20])


def alter_zipped(path):
    content = bytearray(gzip.compress(path.read_bytes()))
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "fault, what",
    [
        (truncate, "truncated: 15,695 bytes of 15,696"),
        (alter, "was altered: its MD5 is"),
        (truncate_zipped, "is truncated: its gzip data ends too early"),
        (alter_zipped, "cannot be read: "),
        (Path.unlink, "is missing"),
        (lambda path: path.write_bytes(b""), "truncated: 0 bytes"),
    ],
)
def test_a_fault_is_named_and_nothing_written(fault, what, originals, tmp_path):
    fault(originals / "t10k-images-idx3-ubyte")
    with pytest.raises(data.DataError) as error:
        data.prepare("fashion_mnist", originals)
    (line,) = [x for x in str(error.value).splitlines() if x.startswith("  ")]
    assert "t10k-images-idx3-ubyte" in line and what in line
    assert "nothing was prepared" in str(error.value)
    assert not (tmp_path / "tfds").exists()


def test_the_files_of_another_set_are_recognised(tmp_path):
    _data_fake.write("mnist", tmp_path / "from")
    with pytest.raises(data.DataError, match="is the file of MNIST.*or prepare mnist"):
        data.prepare("fashion_mnist", tmp_path / "from")


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(data.DataError, match="there is no folder .*nowhere"):
        data.prepare("mnist", tmp_path / "nowhere")


def test_a_label_out_of_range_is_refused(originals, tmp_path, monkeypatch):
    def read(name, paths, read=tfds_build.raw_files.read):
        return {split: (x, y + 1) for split, (x, y) in read(name, paths).items()}

    monkeypatch.setattr(tfds_build.raw_files, "read", read)
    with pytest.raises(data.DataError, match="(?s)could not be prepared.*label"):
        data.prepare("fashion_mnist", originals)
    assert left(tmp_path / "tfds") == []


def test_a_full_disk_is_said_before_the_work(originals, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(tfds_build.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(data.DataError, match="not enough disk space"):
        data.prepare("fashion_mnist", originals)
    assert not (tmp_path / "tfds").exists()


def test_a_disk_that_fills_up_leaves_nothing(originals, tmp_path, monkeypatch):
    def full(*args):
        yield from ()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tfds_build, "_examples", full)
    with pytest.raises(data.DataError, match="No space left on device"):
        data.prepare("fashion_mnist", originals)
    assert left(tmp_path / "tfds") == []


# Killed, and two at once


def start(originals, home, moment):
    return subprocess.Popen(
        [sys.executable, FAKE, originals, home, moment],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_until(true, seconds=10):
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return true()


@pytest.mark.parametrize(
    "moment", ["nothing written", "downloading", "in the middle", "all written"]
)
def test_a_killed_prepare_leaves_nothing(moment, originals, tmp_path):
    home = tmp_path / "tfds"
    with start(originals, home, moment) as process:
        while "here" not in process.stdout.readline():
            assert process.poll() is None
        assert any(name.startswith(".prepare-") for name in left(home))
        with pytest.raises(data.DataError, match="is not prepared"):
            data.load("fashion_mnist", full=True)
        os.killpg(process.pid, signal.SIGKILL)  # it and what it started
    assert wait_until(lambda: left(home) in ([], ["fashion_mnist"]))
    assert not [file for file in home.rglob("*") if file.is_file()]
    with pytest.raises(data.DataError, match="is not prepared"):
        data.load("fashion_mnist", full=True)
    data.prepare("fashion_mnist", originals)
    assert_prepared("fashion_mnist", home)


def test_what_an_earlier_prepare_left_is_swept(originals, tmp_path):
    home = tmp_path / "tfds"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host = tfds_build.socket.gethostname()
    (home / f".prepare-mnist-{host}-{dead.pid}-abc" / "mnist").mkdir(parents=True)
    ours = home / f".prepare-mnist-{host}-{os.getpid()}-abc"
    ours.mkdir()
    data.prepare("fashion_mnist", originals)
    assert left(home) == [ours.name, "fashion_mnist"]


def test_two_at_once_both_end_well(originals, tmp_path):
    processes = [start(originals, tmp_path / "tfds", "") for _ in range(2)]
    output = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], output
    assert_prepared("fashion_mnist", tmp_path / "tfds")


def test_losing_the_race_is_no_error(originals, tmp_path, monkeypatch, capsys):
    def build(*args, build=tfds_build._build):
        build(*args)
        monkeypatch.setattr(tfds_build, "_build", build)
        data.prepare("fashion_mnist", originals)  # the other is quicker

    monkeypatch.setattr(tfds_build, "_build", build)
    data.prepare("fashion_mnist", originals)
    assert "another process has just prepared" in capsys.readouterr().out
    assert_prepared("fashion_mnist", tmp_path / "tfds")


# The network


@pytest.fixture
def proxy(tmp_path, monkeypatch):
    """All of the web, as far as plain HTTP goes: a proxy that serves tmp_path/web."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def translate_path(self, path):
            return str(tmp_path / "web" / path.rpartition("/")[2])

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for variable in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(variable, f"http://127.0.0.1:{server.server_port}")
        for variable in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(variable, raising=False)
        yield
        server.shutdown()


def published(monkeypatch, folder, name="fashion_mnist"):
    """Let TFDS's checksums be those of the files in a folder."""
    import hashlib

    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download.checksums import UrlInfo

    cls = tfds.builder_cls(name)
    infos = {}
    for url in tfds.builder(name).url_infos:
        content = (folder / url.rpartition("/")[2]).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        infos[url] = UrlInfo(len(content), digest, url.rpartition("/")[2])
    monkeypatch.setattr(cls, "url_infos", infos)


def test_prepare_downloads_through_tfds(proxy, tmp_path, monkeypatch):
    _data_fake.write("fashion_mnist", tmp_path / "web", zipped=True)
    published(monkeypatch, tmp_path / "web")
    data.prepare("fashion_mnist", data_dir=tmp_path / "tfds")
    cached = tmp_path / "tfds" / "downloads" / "fashion_mnist"  # where TFDS has it
    assert len([file for file in cached.iterdir() if file.suffix == ".gz"]) == 4
    images, labels = data.load("fashion_mnist", full=True)
    assert len(images) == len(labels) == _data_fake.EXAMPLES["train"]

    shutil.rmtree(tmp_path / "tfds" / "fashion_mnist")
    shutil.rmtree(tmp_path / "web")  # what was downloaded is not downloaded again,
    monkeypatch.delattr(tfds_build, "check_network")  # and no network is asked for
    data.prepare("fashion_mnist", data_dir=tmp_path / "tfds")
    assert left(tmp_path / "tfds") == ["downloads", "fashion_mnist"]


def test_a_download_that_differs_is_refused(proxy, tmp_path, monkeypatch):
    _data_fake.write("fashion_mnist", tmp_path / "web", zipped=True)
    published(monkeypatch, tmp_path / "web")
    alter(tmp_path / "web" / "t10k-labels-idx1-ubyte.gz")
    with pytest.raises(data.DataError, match="(?s)could not be prepared.*[Cc]hecksum"):
        data.prepare("fashion_mnist")
    assert left(tmp_path / "tfds") in ([], ["downloads"])


@pytest.mark.parametrize("name", NAMES)
def test_no_network_is_said_at_once(name, tmp_path, monkeypatch):
    for scheme in ("http", "https"):  # a proxy at a port where nobody listens
        for variable in (f"{scheme}_proxy", f"{scheme}_proxy".upper()):
            monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    begin = time.monotonic()
    with pytest.raises(
        data.DataError, match=f"(?s)no network.*prepare {name} --from DIR"
    ):
        data.prepare(name)
    assert time.monotonic() - begin < 10  # TFDS alone takes minutes
    assert not (tmp_path / "tfds").exists()


def test_a_network_that_hangs_is_given_up(monkeypatch):
    over = threading.Event()

    def hang():
        over.wait()
        raise OSError

    monkeypatch.setattr(tfds_build.urllib.request, "build_opener", hang)
    with pytest.raises(data.DataError, match="a.org: no answer in 0.3 s"):
        tfds_build.check_network("mnist", ["https://a.org/b"], seconds=0.3)
    over.set()
