"""Make the official TFDS data set, without TensorFlow, and never half of one.

TFDS's own builder, sources, checksums and download cache are used; only the reading of
the original files, for which TFDS needs TensorFlow, is ours.
"""

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from gencourse.data import celeba, raw_files, tfds_store
from gencourse.data.registry import SPLITS, DataError, find, find_whole

# Runs on its own, so that it outlives a killed prepare: its standard input closes when
# that process ends, however it ends, and then the unfinished work is deleted.
WATCHER = """
import os, shutil, sys, time
sys.stdin.read()
for _ in range(100):  # a download that goes on for a moment may still add a file
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    if not os.path.exists(sys.argv[1]):
        break
    time.sleep(0.1)
"""


def prepare(name: str, from_=None, data_dir=None, say=print) -> Path:
    """Prepare a set for `load(name, full=True)` and tfds.data_source, as array_record.

    (tfds.load reads only tfrecord files, which take TensorFlow to write.)

    from_: a folder with the original files (see originals.locate); None takes those of
        a Debian package where there is one, else downloads them as TFDS does.
    data_dir: where TFDS keeps its sets; default TFDS_DATA_DIR or
        ~/tensorflow_datasets.
    say: called with each line of progress.
    Returns the folder of the prepared set. Does nothing if it is there already. Raises
    DataError, and leaves no trace, if the files are not as published, or there is no
    network or no room.
    """
    entry = find_whole(name)
    home = tfds_store.home(data_dir)
    target = home / name / entry.version
    if target.exists() and any(target.iterdir()):
        there = tfds_store.find(name, data_dir)
        say(f"{entry.title} is already prepared: {target} ({there.format})")
        return target
    if importlib.util.find_spec("array_record") is None:
        raise DataError("array_record is not installed; on Windows, use WSL")
    start = time.perf_counter()
    if from_ is None and Path(entry.debian or home / "-").is_dir():
        from_ = entry.debian
    splits = None
    if from_ is not None:
        say(f"{entry.title}: reading and verifying the original files in {from_}")
        if entry.layout == "celeba":
            splits = celeba.read(from_)
        else:
            splits = raw_files.read(name, raw_files.locate(name, from_))
    elif entry.layout == "celeba":
        raise DataError(
            f"{entry.title} is not downloaded for you, as its host often refuses. Get "
            f"its original files, {', '.join(celeba.FILES)}, and then:\n"
            f"  python -m gencourse data prepare {name} --from DIR\n"
            "Or install TensorFlow and let TFDS try, `tfds build celeb_a --data_dir "
            f"{home}`: what lies in {target} afterwards is read, too"
        )
    elif len(_cached(home, name)) < len(_urls(name)):
        check_network(name, _urls(name).values())
    _check_room(home, entry)
    with _workshop(home, name) as work:
        _build(name, splits, home, work, say)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(work / name / entry.version, target)
        except OSError as error:
            if not (target / "dataset_info.json").exists():
                raise DataError(f"cannot move the set to {target}: {error}") from error
            say("another process has just prepared the same set: taking that")
    say(f"ready in {time.perf_counter() - start:.0f} s: {target}")
    return target


def _build(name, splits, home, work, say):
    """Run TFDS's builder in the folder work; without splits, download them first."""
    import tensorflow_datasets as tfds

    entry = find(name)
    builder = tfds.builder(
        f"{name}:{entry.version}", data_dir=work, file_format="array_record"
    )

    def split_generators(manager):
        ready = splits
        if ready is None:
            urls = _urls(name)
            say(f"{entry.title}: downloading {', '.join(urls.values())}")
            ready = raw_files.read(name, manager.download(urls))
        if entry.layout == "cifar":  # where TFDS, too, sets them only now
            builder.info.features["label"].names = entry.classes
        say(f"writing {sum(entry.examples.values()):,} pictures")
        if entry.layout == "celeba":
            return ready
        return {split: _examples(entry, split, *ready[split]) for split in SPLITS}

    builder._split_generators = split_generators
    builder._log_download_bytes = builder._log_download_done = lambda: None  # we say it
    tfds.disable_progress_bar()
    try:
        with _downloads(name, home, work) as folder:
            builder.download_and_prepare(
                download_dir=folder,
                download_config=tfds.download.DownloadConfig(try_download_gcs=False),
            )
    except DataError:
        raise
    except Exception as error:  # the network, the disk, a checksum, TFDS itself
        raise DataError(f"{entry.title} could not be prepared: {error}") from error


@contextlib.contextmanager
def _downloads(name, home, work):
    """Return TFDS's cache of downloads; what is not finished stays inside work."""
    cached, folder = (place / "downloads" / name for place in (home, work))
    folder.mkdir(parents=True)
    for file in cached.glob("*"):
        if file.is_file():
            (folder / file.name).symlink_to(file.absolute())
    try:
        yield folder.parent
    finally:
        for file in folder.glob("*"):
            if file.is_file() and not file.is_symlink():
                cached.mkdir(parents=True, exist_ok=True)
                os.replace(file, cached / file.name)


def _cached(home, name):
    """Find files that were downloaded before; TFDS keeps an .INFO file beside each."""
    files = (home / "downloads" / name).glob("*")
    return [file for file in files if file.is_file() and file.suffix != ".INFO"]


def _urls(name):
    """Return {original file name: where TFDS has it from}."""
    import tensorflow_datasets as tfds

    urls = {url.rpartition("/")[2]: url for url in tfds.builder_cls(name).url_infos}
    archive = find(name).archive
    return {f if f == archive else f.removesuffix(".gz"): u for f, u in urls.items()}


def _examples(entry, split, images, labels):
    from PIL import Image  # TFDS encodes arrays with TensorFlow, but these without

    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        example = {"image": Image.fromarray(image.squeeze()), "label": int(label)}
        if entry.layout == "cifar":
            example["id"] = f"{split}_{i:05d}"
        yield i, example  # i is TFDS's key, which decides its shuffle


def check_network(name: str, urls, seconds: float = 6) -> None:
    """Raise DataError, in this time, unless every host answers (through any proxy).

    TFDS itself would try for minutes.
    """
    faults = {urlsplit(url).netloc: f"no answer in {seconds} s" for url in urls}

    def ask(host, url):
        try:
            request = urllib.request.Request(url, method="HEAD")
            urllib.request.build_opener().open(request, timeout=seconds).close()
            del faults[host]
        except Exception as error:  # no route, no such name, a proxy's refusal, ...
            faults[host] = str(getattr(error, "reason", error))

    asked = {urlsplit(url).netloc: url for url in urls}.items()
    threads = [threading.Thread(target=ask, args=a, daemon=True) for a in asked]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:  # a name that does not resolve can block for longer
        thread.join(max(0, deadline - time.monotonic()))
    if faults := dict(faults):
        what = "; ".join(f"{host}: {fault}" for host, fault in faults.items())
        raise DataError(
            f"no network, or {find(name).title} cannot be reached ({what}). "
            "Get the original files elsewhere, and then:\n"
            f"  python -m gencourse data prepare {name} --from DIR"
        )


def _check_room(home, entry):
    """Raise DataError if the disk lacks room for the raw pictures, twice over."""
    need = 2 * sum(entry.examples.values()) * int(np.prod(entry.shape))
    free = shutil.disk_usage(tfds_store.existing(home)).free
    if free < need:
        raise DataError(
            f"not enough disk space in {home}: {free / 1e6:,.0f} MB free, "
            f"{need / 1e6:,.0f} MB needed. Make room, or choose another --data-dir"
        )


@contextlib.contextmanager
def _workshop(home, name):
    """Make a folder for unfinished work, which goes even if this process is killed."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        _sweep(home)
        host = socket.gethostname()
        work = home / f".prepare-{name}-{host}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        watcher = subprocess.Popen(
            [sys.executable, "-I", "-c", WATCHER, str(work.absolute())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a signal to our group does not reach it
        )
        work.mkdir()
    except OSError as error:
        raise DataError(f"cannot work in {home}: {error}") from error
    try:
        yield work
    finally:
        watcher.communicate()  # closes the pipe: the watcher deletes the folder


def _sweep(home):
    """Delete work left by processes of this machine that ended with their watcher."""
    for work in home.glob(f".prepare-*-{socket.gethostname()}-*-*"):
        try:
            os.kill(int(work.name.split("-")[-2]), 0)  # only asks: does it live?
        except ProcessLookupError:
            shutil.rmtree(work, ignore_errors=True)
        except (PermissionError, ValueError):
            pass
