"""Decoded sets on disk, one file a split, mapped into memory when used.

A file is one .npy holding labels and pictures together, written beside its place and
then moved there: whoever looks sees a whole file or none.
"""

import os
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

from gencourse import places
from gencourse.data import prepared as tfds_sets
from gencourse.data.sets import DataError, find


def path(name: str, split: str, prepared) -> Path:
    """Where the decoded split is, or will be."""
    return (
        places.cache()
        / f"{name}-{find(name).version}-{split}-{prepared.fingerprint}.npy"
    )


def get(name: str, split: str, prepared) -> tuple[np.ndarray, np.ndarray]:
    """(images, labels) of a prepared split; decodes it if that was not yet done."""
    file = path(name, split, prepared)
    try:
        return _map(name, split, file)
    except (OSError, ValueError, EOFError):
        pass  # none yet, or truncated, or foreign: make it
    images, labels = tfds_sets.read(name, split, prepared)
    _check(name, split, images, labels)
    try:
        _write(file, images, labels)
        return _map(name, split, file)
    except OSError as error:
        warnings.warn(
            f"{find(name).title} could not be cached ({error}), so it will be decoded "
            "again next time: set GENCOURSE_CACHE to a folder with room",
            stacklevel=3,
        )
        return images, labels


def _dtype(name, split):
    """Labels and pictures of a split as one record, so that one header holds both."""
    entry = find(name)
    n = entry.examples[split]
    return np.dtype([("labels", "<i4", (n,)), ("images", "u1", (n, *entry.shape))])


def _map(name, split, file):
    record = np.load(file, mmap_mode="r")  # ValueError if the file is too short
    if record.dtype != _dtype(name, split) or record.shape != (1,):
        raise ValueError(f"{file} does not hold {name}")
    labels = np.array(record["labels"][0], np.int32)
    if not 0 <= labels.min() <= labels.max() < len(find(name).classes):
        raise ValueError(f"{file} is damaged")
    return record["images"][0].view(np.ndarray), labels


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


def _write(file, images, labels):
    record = np.empty(
        1, [("labels", "<i4", labels.shape), ("images", "u1", images.shape)]
    )
    record["labels"], record["images"] = labels, images
    file.parent.mkdir(parents=True, exist_ok=True)
    for old in file.parent.glob("*.part"):  # left by a process that was killed
        if time.time() - old.stat().st_mtime > 3600:
            old.unlink(missing_ok=True)
    handle, part = tempfile.mkstemp(dir=file.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as out:
            np.save(out, record)
            out.flush()
            os.fsync(out.fileno())
        os.replace(part, file)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
