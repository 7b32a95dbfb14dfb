"""How the embedded sets were made: python -m recipes.embed_datasets [--check] DIR

DIR holds the original files of Fashion-MNIST and MNIST, each set in a folder of its
name. Of each class the first 1,000 pictures to train and 200 to test are taken and kept
in the original order, so there is no randomness: the same files come out every time.
Deflate was chosen over LZMA, which saves 15% of the bytes but decodes eight times
slower and is missing from some builds of Python. --check compares and writes nothing.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from gencourse.data.loading import EMBEDDED
from gencourse.data.raw_files import locate, read
from gencourse.data.registry import SETS


def choose(labels, n: int):
    """The positions of n pictures, the first of each class, in order."""
    classes = np.unique(labels)
    firsts = [np.flatnonzero(labels == c)[: n // len(classes)] for c in classes]
    return np.sort(np.concatenate(firsts))


def make(name: str, folder: Path, target: Path):
    """Write the embedded part of one set; its originals are verified on the way."""
    arrays = {}
    for split, (images, labels) in read(name, locate(name, folder / name)).items():
        chosen = choose(labels, SETS[name].embedded[split])
        arrays[f"{split}_images"] = images[chosen]
        arrays[f"{split}_labels"] = labels[chosen].astype(np.uint8)
    np.savez_compressed(target, **arrays)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    args = parser.parse_args()
    same = True
    for name in (n for n, entry in SETS.items() if entry.embedded and entry.version):
        target = EMBEDDED / f"{name}.npz"
        if not args.check:
            make(name, args.folder, target)
            print(f"{target}: {target.stat().st_size:,} bytes")
            continue
        with tempfile.TemporaryDirectory() as temporary:
            made = Path(temporary, target.name)
            make(name, args.folder, made)
            equal = made.read_bytes() == target.read_bytes()
        print(f"{target}: {'the same' if equal else 'DIFFERENT'}")
        same &= equal
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
