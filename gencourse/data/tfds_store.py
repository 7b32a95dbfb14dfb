"""Sets that TFDS has prepared: where they are, and how to read them.

Looking for a set reads only its dataset_info.json, so that an answer is there at once:
importing TFDS takes seconds.
"""

import hashlib
import importlib.util
import json
import logging
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gencourse.data import registry
from gencourse.data.registry import DataError, NotPrepared


class Prepared(NamedTuple):
    """A prepared set on this machine."""

    folder: Path  # data_dir/name/version
    format: str  # of its files: "array_record" or "tfrecord"
    fingerprint: str  # changes when the set is made again


def home(data_dir=None) -> Path:
    """Return the folder of all prepared sets: as given, or as TFDS chooses it."""
    default = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return Path(data_dir or default).expanduser()


def existing(path: Path) -> Path:
    """Return the path itself, or the nearest folder above it that exists."""
    return next(p for p in (path, *path.absolute().parents) if p.exists())


def find(name: str, data_dir=None) -> Prepared:
    """Find the set; raise DataError with the command to give if it is not there."""
    entry = registry.find_whole(name)
    folder = home(data_dir) / name / entry.version
    info = folder / "dataset_info.json"
    try:
        text = info.read_bytes()
        kind = json.loads(text).get("fileFormat", "tfrecord")
    except (OSError, ValueError, AttributeError) as error:
        if folder.is_dir() and any(folder.iterdir()):
            raise DataError(
                f"{folder} is damaged ({error}): delete it, and prepare {name} again"
            ) from None
        where = f" --data-dir {data_dir}" if data_dir else ""
        raise NotPrepared(
            f"{entry.title} is not prepared in {home(data_dir)}. To prepare it, once:\n"
            f"  python -m gencourse data prepare {name}{where}"
        ) from None
    mark = hashlib.sha256(text)
    for file in sorted(folder.iterdir()):
        status = file.stat()
        mark.update(f"{file.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return Prepared(folder, kind, mark.hexdigest()[:16])


def read(name: str, split: str, prepared: Prepared) -> tuple[np.ndarray, np.ndarray]:
    """Decode a whole split, in TFDS's own order; takes some seconds."""
    if prepared.format == "array_record":
        return _read_array_record(name, split, prepared)
    check_tensorflow(name, prepared)
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(prepared.folder)
    batch = tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))
    return batch["image"], batch["label"].astype(np.int32)


def check_tensorflow(name: str, prepared: Prepared) -> None:
    """Raise DataError if TensorFlow, which alone reads tfrecord, is missing."""
    if importlib.util.find_spec("tensorflow") is None:
        raise DataError(
            f"{prepared.folder} was prepared as {prepared.format}, which only "
            "TensorFlow reads: pip install tensorflow, or prepare it elsewhere with\n"
            f"  python -m gencourse data prepare {name} --data-dir DIR"
        )


def _read_array_record(name, split, prepared):
    import tensorflow_datasets as tfds

    logger = logging.getLogger("absl")  # where TFDS would recommend OpenCV
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        source = tfds.builder_from_directory(prepared.folder).as_data_source(split)
        images = np.empty((len(source), *registry.find(name).shape), np.uint8)
        labels = np.empty(len(source), np.int32)
        for i in range(len(source)):
            example = source[i]
            images[i], labels[i] = example["image"], example["label"]
    except (OSError, ValueError, RuntimeError, IndexError) as error:
        raise DataError(
            f"{prepared.folder} is damaged ({error}): delete it, and prepare {name} "
            "again"
        ) from error
    finally:
        logger.setLevel(level)
    return images, labels
