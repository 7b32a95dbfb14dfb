"""The original files of a data set: find, verify, read; and what is wrong with them."""

import gzip
import hashlib
import tarfile
import zlib
from pathlib import Path

import numpy as np

from gencourse.data.registry import SETS, SPLITS, DataError, find


def locate(name: str, folder) -> dict[str, Path]:
    """Find those files of a set that are in a folder: {original file name: its path}.

    They may be gzipped, or lie in a folder below that has the name of the set.
    """
    entry, folder = find(name), Path(folder).expanduser()
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    paths = {}
    for file in [entry.archive, *(f for s in SPLITS for f in entry.files[s])]:
        names = [file, file.replace("-idx", ".idx")] if file else []  # both are about
        for below in (folder, *(folder / below for below in entry.folders)):
            for candidate in [*names, *(f"{name}.gz" for name in names)]:
                if (below / candidate).is_file():
                    paths.setdefault(file, below / candidate)
    return paths


def read(name: str, paths: dict) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read a set from its original files, every one verified by its checksum.

    paths: as from `locate`.
    Returns {split: (images uint8 (N, H, W, C), labels int32 (N,))}, in the original
    order. Raises DataError, naming each file that is missing or wrong.
    """
    entry = find(name)
    contents, faults = {}, []
    if packed := paths.get(entry.archive):
        contents = _unpack(packed)
    for split in SPLITS:
        for file, md5 in entry.files[split].items():
            try:
                if file in paths and not packed:
                    contents[file] = _unzip(paths[file])
                if file not in contents:
                    raise DataError(f"{file} is missing")
                where = f"{packed}: {file}" if packed else paths[file]
                _verify(name, split, file, md5, where, contents[file])
            except DataError as error:
                faults.append(str(error))
    if faults:
        raise DataError(
            f"{entry.title} cannot be prepared:\n  "
            + "\n  ".join(faults)
            + "\nGet the right files, whole, and try again; nothing was prepared"
        )
    return {
        split: _parse(name, split, [contents[file] for file in entry.files[split]])
        for split in SPLITS
    }


def _parse(name, split, contents):
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
    return images, labels.astype(np.int32)


def _unzip(path):
    try:
        content = Path(path).read_bytes()
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except EOFError:
        raise DataError(f"{path} is truncated: its gzip data ends too early") from None
    except (OSError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from None


def _unpack(path):
    """Return {file name: content} of a tar file."""
    try:
        with tarfile.open(path, "r|*") as tar:
            return {
                Path(member.name).name: tar.extractfile(member).read()
                for member in tar
                if member.isfile()
            }
    except (EOFError, OSError, zlib.error, tarfile.TarError) as error:
        raise DataError(
            f"{path} is truncated or damaged ({error}): download it again"
        ) from None


def _verify(name, split, file, md5, where, content):
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found == md5:
        return
    for other, entry in SETS.items():
        if other != name and found in entry.files[split].values():
            raise DataError(
                f"{where} is the file of {entry.title}, which has the same name: "
                f"give the folder of {find(name).title}, or prepare {other}"
            )
    size = _size(name, split, file)
    if len(content) < size:
        raise DataError(f"{where} is truncated: {len(content):,} bytes of {size:,}")
    raise DataError(f"{where} was altered: its MD5 is {found}, the published one {md5}")


def _size(name, split, file):
    """Return how many bytes the original file has."""
    entry = find(name)
    n, pixels = entry.examples[split], int(np.prod(entry.shape))
    if entry.layout == "cifar":
        return n // len(entry.files[split]) * (1 + pixels)
    return 16 + n * pixels if "images" in file else 8 + n
