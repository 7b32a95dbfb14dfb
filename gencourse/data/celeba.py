"""CelebA: its original files, and its pictures as squares of 64 x 64.

Its attributes take the place of classes, its pictures are larger than is learned from
here, and there are too many to hold them twice; otherwise it is a set as the others.
"""

import hashlib
import io
import logging
import zipfile
from pathlib import Path

import numpy as np

from gencourse.data.registry import DataError, find
from gencourse.data.tfds_store import check_tensorflow

ARCHIVE = "img_align_celeba.zip"
# SHA-256, as TFDS records them.
FILES = {
    ARCHIVE: "46fb89443c578308acf364d7d379fe1b9efb793042c0af734b6112e4fd3a8c74",
    "list_attr_celeba.txt": (
        "f0e5da289d5ccf75ffe8811132694922b60f2af59256ed362afa03fefba324d0"
    ),
    "list_eval_partition.txt": (
        "fc955bcb3ef8fbdf7d5640d9a8693a8431b5f2ee291a5c1449a1549e7e073fe7"
    ),
    "list_landmarks_align_celeba.txt": (
        "6c02a87569907f6db2ba99019085697596730e8129f67a3d61659f198c48d43b"
    ),
    "identity_CelebA.txt": (
        "c6143857c3e2630ac2da9f782e9c1232e5e59be993a9d44e8a7916c78a6158c0"
    ),
}
SPLITS = ("train", "validation", "test")  # 0, 1 and 2 in the original file
PIECE = 1024  # pictures decoded at a time


def square(image) -> np.ndarray:
    """Cut the middle of an aligned picture, uint8 (218, 178, 3), to uint8 (64, 64, 3).

    178 x 178 pixels from the centre are reduced, bicubic and antialiased.
    """
    from PIL import Image

    if np.shape(image) != (218, 178, 3):
        raise ValueError(f"a picture is {np.shape(image)}, not (218, 178, 3)")
    size = find("celeb_a").shape[:2]
    middle = Image.fromarray(image[20:198])
    return np.asarray(middle.resize(size, Image.Resampling.BICUBIC))


def pieces(split: str, prepared):
    """Decode a prepared split, in TFDS's own order, some pictures at a time.

    Yields (images uint8 (n, 64, 64, 3), attributes bool (n, 40)), n up to 1024. The
    whole train split takes about a quarter of an hour. Raises DataError.
    """
    from tqdm import tqdm

    names = find("celeb_a").attributes
    logger = logging.getLogger("absl")  # where TFDS would recommend OpenCV
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        count, examples = _source(split, prepared)
        images, table = [], []
        quick = count < 10 * PIECE
        bar = tqdm(examples, f"decoding {split}", count, leave=False, disable=quick)
        for i, example in enumerate(bar):
            images.append(square(example["image"]))
            table.append([bool(example["attributes"][name]) for name in names])
            if len(images) == PIECE or i == count - 1:
                yield np.stack(images), np.array(table)
                images, table = [], []
    except (OSError, ValueError, RuntimeError, IndexError, KeyError) as error:
        raise DataError(
            f"{prepared.folder} is damaged ({error}): delete it, and prepare celeb_a "
            "again"
        ) from error
    finally:
        logger.setLevel(level)


def _source(split, prepared):
    """Return (number of examples, the examples)."""
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(prepared.folder)
    if prepared.format == "array_record":
        source = builder.as_data_source(split)
        return len(source), (source[i] for i in range(len(source)))
    check_tensorflow("celeb_a", prepared)
    source = tfds.as_numpy(builder.as_dataset(split=split))
    return len(source), source


def read(folder) -> dict:
    """Read {split: (key, example) pairs} for TFDS's builder from the original files.

    The files, all verified by their checksums first, lie in the folder or in folders
    below it. Raises DataError, naming each file that is missing or wrong.
    """
    paths = _locate(folder)
    faults = []
    for file, sha256 in FILES.items():
        if file not in paths:
            faults.append(f"{file} is missing")
            continue
        with open(paths[file], "rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        if found != sha256:
            faults.append(
                f"{paths[file]} is truncated or was altered: its SHA-256 is {found}, "
                f"the one TFDS records {sha256}"
            )
    if faults:
        raise DataError(
            "CelebA cannot be prepared:\n  "
            + "\n  ".join(faults)
            + "\nGet the right files, whole, and try again; nothing was prepared"
        )
    parts = _rows(paths["list_eval_partition.txt"])
    return {
        split: _examples([f for f, (n,) in parts.items() if n == str(i)], paths)
        for i, split in enumerate(SPLITS)
    }


def _locate(folder):
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    paths = {}
    for path in [*folder.iterdir(), *folder.glob("*/*")]:  # as Anno/, Eval/ and Img/
        if path.name in FILES:
            paths.setdefault(path.name, path)
    return paths


def _rows(path):
    """Read {picture: the words after its name} from an original text file."""
    words = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    return {w[0]: w[1:] for w in words if w and w[0].endswith(".jpg")}


def _table(path):
    """Read a file with column names in its second line: (names, rows)."""
    with open(path, encoding="utf-8") as lines:
        next(lines)
        return next(lines).split(), _rows(path)


def _examples(files, paths):
    names, attributes = _table(paths["list_attr_celeba.txt"])
    points, landmarks = _table(paths["list_landmarks_align_celeba.txt"])
    identity = _rows(paths["identity_CelebA.txt"])
    with zipfile.ZipFile(paths[ARCHIVE]) as archive:
        inside = {Path(member).name: member for member in archive.namelist()}
        for file in sorted(files):
            values = {
                "attributes": (names, attributes),
                "landmarks": (points, landmarks),
            }
            example = {
                key: dict(zip(columns, map(int, rows[file]), strict=True))
                for key, (columns, rows) in values.items()
            }
            example["attributes"] = {k: v > 0 for k, v in example["attributes"].items()}
            example["identity"] = {"Identity_No": int(identity[file][0])}
            # the JPEG as it is: TFDS would need TensorFlow to write another
            example["image"] = io.BytesIO(archive.read(inside[file]))
            yield file, example  # the name is TFDS's key, which decides its shuffle
