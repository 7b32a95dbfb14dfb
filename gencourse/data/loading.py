"""Pictures and labels as arrays: from the package, or the whole set from TFDS."""

import zipfile
from pathlib import Path

import numpy as np

from gencourse.data import cache, prepared
from gencourse.data.sets import SPLITS, DataError, find

EMBEDDED = Path(__file__).parent / "embedded"


def load(
    name: str, split: str = "train", full: bool = False, data_dir=None
) -> tuple[np.ndarray, np.ndarray]:
    """Load a data set: (images uint8 (N, H, W, C), labels int32 (N,)), both read-only.

    name: "fashion_mnist", "mnist" or, only with full, "cifar10".
    split: "train" or "test".
    full: False takes the part that comes with gencourse: 10,000 pictures to train and
        2,000 to test, the first of each class, balanced, in the original order. True
        takes the whole set as tensorflow-datasets (TFDS) has it, in its fixed order,
        once `python -m gencourse data prepare NAME` has made it. The first time it
        is decoded into a cache, afterwards it is mapped into memory from there.
    data_dir: where TFDS keeps its sets; default TFDS_DATA_DIR or
        ~/tensorflow_datasets. The cache is in GENCOURSE_CACHE or the user's own.
    """
    entry = find(name)
    if split not in SPLITS:
        raise ValueError(f"split is one of {', '.join(SPLITS)}, not {split!r}")
    if full:
        images, labels = cache.get(name, split, prepared.find(name, data_dir))
    elif entry.embedded:
        images, labels = _embedded(name, split)
    else:
        raise DataError(
            f"{entry.title} does not come with gencourse. To use it: python -m "
            f'gencourse data prepare {name}, then data.load("{name}", full=True)'
        )
    images.flags.writeable = labels.flags.writeable = False
    return images, labels


def _embedded(name, split):
    path = EMBEDDED / f"{name}.npz"
    try:
        with open(path, "rb") as file, np.load(file) as arrays:
            return arrays[f"{split}_images"], arrays[f"{split}_labels"].astype(np.int32)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} is damaged ({error}): install gencourse again"
        ) from None
