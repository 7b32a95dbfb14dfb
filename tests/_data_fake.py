"""Small sets in place of the real ones, with original files to match.

Also runs alone, as the process that a test kills:
    python tests/_data_fake.py ORIGINALS DATA_DIR MOMENT
"""

import gzip
import hashlib
import sys
import time
from pathlib import Path

import numpy as np

from gencourse.data import registry, tfds_build

EXAMPLES = {"train": 30, "test": 20}


def contents(name: str) -> dict[str, bytes]:
    """{original file: content} of a small set."""
    entry = registry.SETS[name]
    rng = np.random.default_rng(len(entry.title))
    found = {}
    for split, n in EXAMPLES.items():
        images = rng.integers(0, 256, (n, *entry.shape), np.uint8)
        labels = np.arange(n, dtype=np.uint8) % 10
        if entry.layout == "idx":
            parts = b"\0" * 16 + images.tobytes(), b"\0" * 8 + labels.tobytes()
        else:
            rows = images.transpose(0, 3, 1, 2).reshape(n, -1)
            rows = np.concatenate([labels[:, None], rows], 1)
            parts = [p.tobytes() for p in np.split(rows, len(entry.files[split]))]
        found |= dict(zip(entry.files[split], parts, strict=True))
    return found


def shrink(table=registry.SETS, change=dict.__setitem__) -> None:
    """Make every set of idx or cifar files small, with the checksums of `contents`."""
    for name, entry in list(table.items()):
        if entry.layout not in ("idx", "cifar"):
            continue
        content = contents(name)
        files = {
            split: {f: hashlib.md5(content[f]).hexdigest() for f in entry.files[split]}
            for split in EXAMPLES
        }
        change(table, name, entry._replace(examples=EXAMPLES, files=files, debian=""))


def write(name: str, folder: Path, zipped: bool = False) -> Path:
    """Write the original files of a small set."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in contents(name).items():
        if zipped:
            (folder / f"{file}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / file).write_bytes(content)
    return folder


def _stay(*_):
    print("here", flush=True)
    time.sleep(60)


if __name__ == "__main__":
    shrink()
    originals, data_dir, moment = sys.argv[1:]
    if moment == "nothing written":
        tfds_build._build = _stay
    elif moment == "in the middle":
        examples = tfds_build._examples

        def slow(*args):
            for i, example in enumerate(examples(*args)):
                yield example
                if i == 10:
                    _stay()

        tfds_build._examples = slow
    elif moment == "all written":
        tfds_build.os.rename = _stay
    elif moment == "downloading":
        from tensorflow_datasets.core.download import DownloadManager

        def download(manager, urls):
            half = Path(manager.download_dir) / "train.gz.tmp.1"
            half.mkdir(parents=True)
            (half / "train.gz").touch()
            _stay()

        DownloadManager.download = download
        tfds_build.check_network = print
        originals = None
    tfds_build.prepare("fashion_mnist", originals, data_dir)
