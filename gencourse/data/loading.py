"""Pictures and labels as arrays: from the package, or the whole set from TFDS."""

import zipfile
from pathlib import Path

import numpy as np

from gencourse.data import cache, faces, tfds_store
from gencourse.data.registry import SETS, SPLITS, DataError, find

EMBEDDED = Path(__file__).parent / "embedded"


def load(
    name: str,
    split: str = "train",
    full: bool = False,
    data_dir: str | Path | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Load a data set: (images uint8 (N, H, W, C), labels int32 (N,)), both read-only.

    name: "fashion_mnist", "mnist", "faces" or, only with full, "cifar10" and "celeb_a".
    split: "train" or "test".
    full: False takes what comes with gencourse. Of Fashion-MNIST and MNIST that is a
        part: 10,000 pictures to train and 2,000 to test, the first of each class,
        balanced, in the original order. Faces are put together from embedded parts,
        10,000 or with full 60,000 to train and 2,000 to test; their label is the hair
        (see `attributes` and `compose`). True takes the whole set of the others as
        tensorflow-datasets (TFDS) has it, in its fixed order, once
        `python -m gencourse data prepare NAME` has made it. The first time it is
        decoded into a cache, afterwards it is mapped into memory from there. CelebA
        is cut to the middle and reduced to 64 x 64; its label is the attribute Male.
    data_dir: where TFDS keeps its sets; default TFDS_DATA_DIR or
        ~/tensorflow_datasets. The cache is in GENCOURSE_CACHE or the user's own.
    """
    find(name)
    _check_split(split)
    if name == "faces":
        images, factors = faces.load(split, full)
        return images, factors["hair"]
    if full:
        images, labels = cache.get(name, split, tfds_store.find(name, data_dir))
    else:
        _check_embedded(name)
        images, labels = _embedded(name, f"{split}_images", f"{split}_labels")
        labels = labels.astype(np.int32)
    images.flags.writeable = labels.flags.writeable = False
    return images, labels


def attributes(
    name: str,
    split: str = "train",
    full: bool = False,
    data_dir: str | Path | None = None,
) -> dict[str, np.ndarray]:
    """Return what is true of each picture: {attribute: bool (N,)}, rows as in `load`.

    name: "faces" or, only with full, "celeb_a". Those of the faces are {factor: int32
        (N,)}: numbers of the values that `data.factors` names. CelebA has 40
        attributes, as "Smiling".
    split, full, data_dir: as in `load`.
    The order is that of `gencourse.data.registry.SETS[name].attributes`. Raises
    ValueError for a set without attributes. The arrays are read-only.
    """
    entry = find(name)
    _check_split(split)
    if name == "faces":
        return faces.attributes(split, full)
    if not entry.attributes:
        known = ", ".join(["faces", *(n for n, e in SETS.items() if e.attributes)])
        raise ValueError(f"{entry.title} has no attributes; these sets have: {known}")
    if not full:
        _check_embedded(name)
    table = cache.attributes(name, split, tfds_store.find(name, data_dir))
    columns = np.ascontiguousarray(table.T)
    columns.flags.writeable = False
    return dict(zip(entry.attributes, columns, strict=True))


def _check_split(split):
    if split not in SPLITS:
        raise ValueError(f"split is one of {', '.join(SPLITS)}, not {split!r}")


def _check_embedded(name):
    entry = find(name)
    if not entry.embedded:
        raise DataError(
            f"{entry.title} does not come with gencourse. To use it: python -m "
            f'gencourse data prepare {name}, then data.load("{name}", full=True)'
        )


def _embedded(name, *wanted):
    path = EMBEDDED / f"{name}.npz"
    try:
        with open(path, "rb") as file, np.load(file) as arrays:
            return [arrays[array] for array in wanted]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} is damaged ({error}): install gencourse again"
        ) from None
