"""Decoded sets on disk, one file a split, mapped into memory when used.

A file is one .npy holding labels and pictures together, written beside its place and
then moved there: whoever looks sees a whole file or none.
"""

import io
import os
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

from gencourse.data import celeba
from gencourse.data import tfds_store as tfds_sets
from gencourse.data.registry import DataError, find
from gencourse.system import paths


def path(name: str, split: str, prepared) -> Path:
    """Return where the decoded split is, or will be."""
    return (
        paths.cache_dir()
        / f"{name}-{find(name).version}-{split}-{prepared.fingerprint}.npy"
    )


def get(name: str, split: str, prepared) -> tuple[np.ndarray, np.ndarray]:
    """Return (images, labels) of a prepared split, decoding it the first time."""
    record = _get(name, split, prepared)
    images = record["images"][0].view(np.ndarray)
    return images, np.array(record["labels"][0], np.int32)


def attributes(name: str, split: str, prepared) -> np.ndarray:
    """Return the attributes of a set that has some, bool (N, A), in the same way."""
    return np.array(_get(name, split, prepared)["attributes"][0])


def _get(name, split, prepared):
    file = path(name, split, prepared)
    try:
        return _map(name, split, file)
    except (OSError, ValueError, EOFError):
        pass  # none yet, or truncated, or foreign: make it
    put = _decode(name, split, prepared)
    try:
        _write(file, put)
        return _map(name, split, file)
    except OSError as error:
        warnings.warn(
            f"{find(name).title} could not be cached ({error}), so it will be decoded "
            "again next time: set GENCOURSE_CACHE to a folder with room",
            stacklevel=4,
        )
    content = io.BytesIO()
    put(content)
    start = content.tell() - _dtype(name, split).itemsize
    return np.frombuffer(content.getbuffer(), _dtype(name, split), offset=start)


def _decode(name, split, prepared):
    """Return a function that writes the record of a split to a file."""
    if find(name).layout == "celeba":  # too large to be held before it is written
        return lambda out: _write_pieces(out, name, split, prepared)
    images, labels = tfds_sets.read(name, split, prepared)
    _check(name, split, images, labels)
    record = np.empty(1, _dtype(name, split))
    record["labels"], record["images"] = labels, images
    return lambda out: np.save(out, record)


def _write_pieces(out, name, split, prepared):
    """Write the record of CelebA, of which only a piece is in memory at a time."""
    n, kind = find(name).examples[split], _dtype(name, split)
    header = {"descr": kind.descr, "fortran_order": False, "shape": (1,)}
    np.lib.format.write_array_header_1_0(out, header)
    start = out.tell()
    out.seek(start + kind.fields["images"][1])
    tables = [np.zeros((0, len(find(name).attributes)), bool)]
    for images, table in celeba.pieces(split, prepared):
        out.write(images.tobytes())
        tables.append(table)
    table = np.concatenate(tables)
    if len(table) != n:
        raise DataError(
            f"the prepared {find(name).title} holds {len(table):,} pictures as "
            f"{split}, not {n:,}: prepare it again"
        )
    out.write(table.tobytes())
    out.seek(start)
    out.write(table[:, find(name).attributes.index("Male")].astype("<i4").tobytes())
    out.seek(0, os.SEEK_END)


def _dtype(name, split):
    """Return the dtype of a split's labels and pictures as one record."""
    entry = find(name)
    n = entry.examples[split]
    fields = [("labels", "<i4", (n,)), ("images", "u1", (n, *entry.shape))]
    if entry.attributes:
        fields.append(("attributes", "?", (n, len(entry.attributes))))
    return np.dtype(fields)


def _map(name, split, file):
    record = np.load(file, mmap_mode="r")  # ValueError if the file is too short
    if record.dtype != _dtype(name, split) or record.shape != (1,):
        raise ValueError(f"{file} does not hold {name}")
    labels = record["labels"]
    if not 0 <= labels.min() <= labels.max() < len(find(name).classes):
        raise ValueError(f"{file} is damaged")
    return record


def _check(name, split, images, labels):
    entry = find(name)
    expected = (entry.examples[split], *entry.shape)
    if images.shape != expected or images.dtype != np.uint8:
        raise DataError(
            f"the prepared {entry.title} holds {images.dtype} {images.shape} as "
            f"{split}, not uint8 {expected}: prepare it again"
        )
    if not 0 <= labels.min() <= labels.max() < len(entry.classes):
        raise DataError(
            f"the prepared {entry.title} has labels from {labels.min()} to "
            f"{labels.max()}, not 0 to {len(entry.classes) - 1}: prepare it again"
        )


def _write(file, put):
    """Write a file by put(out), all of it or nothing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    for old in file.parent.glob("*.part"):  # left by a process that was killed
        if time.time() - old.stat().st_mtime > 3600:
            old.unlink(missing_ok=True)
    handle, part = tempfile.mkstemp(dir=file.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as out:
            put(out)
            out.flush()
            os.fsync(out.fileno())
        os.replace(part, file)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
