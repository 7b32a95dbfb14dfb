"""The original files of a data set: find, verify, read; and what is wrong with them."""

import gzip
import hashlib
import tarfile
import zlib
from pathlib import Path

import numpy as np

from gencourse.data.sets import SETS, SPLITS, DataError, find


def read(name: str, folder) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read a set from its original files, every one verified by its checksum.

    folder: holds the files, gzipped or not, or has them in a folder of the set's name.
    Returns {split: (images uint8 (N, H, W, C), labels int32 (N,))}, in the original
    order. Raises DataError, naming each file that is missing or wrong.
    """
    entry = find(name)
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    packed = _open_archive(entry, folder)
    splits, faults = {}, []
    for split in SPLITS:
        contents = []
        for file, md5 in entry.files[split].items():
            try:
                where, content = (
                    packed[file] if file in packed else _find(folder, entry, file)
                )
                _verify(name, split, file, md5, where, content)
                contents.append(content)
            except DataError as error:
                faults.append(str(error))
        if not faults:
            splits[split] = parse(name, split, contents)
    if faults:
        raise DataError(
            f"{entry.title} cannot be read from {folder}:\n  " + "\n  ".join(faults)
        )
    return splits


def parse(name: str, split: str, contents: list[bytes]):
    """The bytes of a split's files, in the table's order -> (images, labels)."""
    entry = find(name)
    n = entry.examples[split]
    if entry.layout == "idx":  # headers of 16 and 8 bytes, then the values
        images, labels = contents
        images = np.frombuffer(images, np.uint8, offset=16).reshape(n, *entry.shape)
        labels = np.frombuffer(labels, np.uint8, offset=8)
    else:  # cifar: rows of a label and three planes, red, green and blue
        height, width, channels = entry.shape
        rows = np.frombuffer(b"".join(contents), np.uint8).reshape(n, -1)
        images = rows[:, 1:].reshape(n, channels, height, width).transpose(0, 2, 3, 1)
        labels = rows[:, 0]
    if len(labels) != n or labels.max() >= len(entry.classes):
        raise DataError(f"{entry.title} {split}: the labels do not fit the pictures")
    return images, labels.astype(np.int32)


def _size(name, split, file):
    """How many bytes an original file has."""
    entry = find(name)
    pixels = int(np.prod(entry.shape))
    if entry.layout == "cifar":
        return entry.examples[split] // len(entry.files[split]) * (1 + pixels)
    n = entry.examples[split]
    return 16 + n * pixels if "images" in file else 8 + n


def _find(folder, entry, file):
    """The path and the uncompressed content of one file."""
    names = [file, file.replace("-idx", ".idx")]  # both spellings are about
    for below in ("", *entry.folders):
        for name in [*names, *(f"{name}.gz" for name in names)]:
            path = folder / below / name
            if path.is_file():
                return path, _unzip(path)
    raise DataError(f"{file} (or {file}.gz) is missing")


def _unzip(path):
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except EOFError:
        raise DataError(f"{path} is truncated: copy or download it again") from None
    except (OSError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}): get it again") from None


def _verify(name, split, file, md5, where, content):
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found == md5:
        return
    for other, entry in SETS.items():
        if found in entry.files[split].values():
            raise DataError(
                f"{where} is of {entry.title}, not of {find(name).title} "
                f"(both use the same file names): give the right folder, "
                f"or prepare {other}"
            )
    size = _size(name, split, file)
    if len(content) < size:
        what = f"is truncated: {len(content):,} bytes of {size:,}"
    else:
        what = f"was altered: its MD5 sum is {found}, published is {md5}"
    raise DataError(f"{where} {what}: copy or download it again")


def _open_archive(entry, folder):
    """{file name: (where, content)} of the original tar file, if there is one."""
    path = folder / entry.archive
    if not entry.archive or not path.is_file():
        return {}
    wanted = {file for split in SPLITS for file in entry.files[split]}
    try:
        with tarfile.open(path, "r|*") as tar:
            return {
                Path(member.name).name: (
                    f"{path}: {member.name}",
                    tar.extractfile(member).read(),
                )
                for member in tar
                if member.isfile() and Path(member.name).name in wanted
            }
    except (EOFError, OSError, zlib.error, tarfile.TarError) as error:
        raise DataError(
            f"{path} is truncated or damaged ({error}): download it again"
        ) from None
