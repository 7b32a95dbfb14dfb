"""The table of data sets: what each one is, and how to know its files.

A new set is a new entry here. The checksums are the published ones, of the original
files when uncompressed, so that a file can be verified however it was packed.
"""

from typing import NamedTuple

SPLITS = ("train", "test")


class DataError(RuntimeError):
    """A data set cannot be had; the message says why and what to do."""


class NotPrepared(DataError):
    """The whole set is not there yet; the message names the command that makes it."""


class Set(NamedTuple):
    """One data set, as tensorflow-datasets (TFDS) knows it, where TFDS does."""

    title: str
    version: str  # of the TFDS builder; "" where there is none, only an embedded set
    shape: tuple[int, int, int]  # of one picture: height, width, channels
    classes: tuple[str, ...]  # as TFDS names them
    examples: dict[str, int]  # by split, of the whole set
    layout: str  # "idx", "cifar" or "celeba": how the original files are read
    files: dict[str, dict[str, str]]  # by split: original file name -> MD5
    folders: tuple[str, ...] = ()  # where, below the given one, files may lie as well
    archive: str = ""  # an original tar file that holds them
    debian: str = ""  # where a Debian package puts them
    embedded: dict[str, int] = {}  # by split, of those that come with gencourse
    attributes: tuple[str, ...] = ()  # what is true or false of each picture, in order


PART = {"train": 10_000, "test": 2_000}  # embedded, as many of each class

_IDX_FILES = (
    ("train", "train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    ("test", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)


def _idx(*sums: str) -> dict[str, dict[str, str]]:
    sums = iter(sums)
    return {split: {name: next(sums) for name in names} for split, *names in _IDX_FILES}


_CELEBA_ATTRIBUTES = tuple(
    """
    5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips
    Big_Nose Black_Hair Blond_Hair Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin
    Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones Male Mouth_Slightly_Open
    Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline
    Rosy_Cheeks Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat
    Wearing_Lipstick Wearing_Necklace Wearing_Necktie Young
    """.split()
)

SETS = {
    "fashion_mnist": Set(
        title="Fashion-MNIST",
        version="3.0.1",
        shape=(28, 28, 1),
        classes=(
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
        examples={"train": 60_000, "test": 10_000},
        layout="idx",
        files=_idx(
            "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "9018921c3c673c538a1fc5bad174d6f9",
            "8181f5470baa50b63fa0f6fddb340f0a",
            "15d484375f8d13e6eb1aabb0c3f46965",
        ),
        folders=("fashion_mnist", "fashion-mnist"),
        debian="/usr/share/datasets/fashion-mnist",
        embedded=PART,
    ),
    "mnist": Set(
        title="MNIST",
        version="3.0.1",
        shape=(28, 28, 1),
        classes=tuple("0123456789"),
        examples={"train": 60_000, "test": 10_000},
        layout="idx",
        files=_idx(
            "6bbc9ace898e44ae57da46a324031adb",
            "a25bea736e30d166cdddb491f175f624",
            "2646ac647ad5339dbf082846283269ea",
            "27ae3e4e09519cfbb04c329615203637",
        ),
        folders=("mnist",),
        embedded=PART,
    ),
    "cifar10": Set(
        title="CIFAR-10",
        version="3.0.2",
        shape=(32, 32, 3),
        classes=(
            *("airplane", "automobile", "bird", "cat", "deer"),
            *("dog", "frog", "horse", "ship", "truck"),
        ),
        examples={"train": 50_000, "test": 10_000},
        layout="cifar",
        files={
            "train": {
                "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
                "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
                "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
                "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
                "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
            },
            "test": {"test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d"},
        },
        folders=("cifar10", "cifar-10-batches-bin"),
        archive="cifar-10-binary.tar.gz",
    ),
    "celeb_a": Set(
        title="CelebA",
        version="2.1.0",
        shape=(64, 64, 3),  # after celeba.square
        classes=("female", "male"),  # the attribute Male: CelebA has no classes
        examples={"train": 162_770, "test": 19_962},
        layout="celeba",
        files={"train": {}, "test": {}},  # celeba.FILES
        attributes=_CELEBA_ATTRIBUTES,
    ),
    "faces": Set(
        title="Faces in parts (ToonHead)",
        version="",
        shape=(64, 64, 3),
        classes=("side parting", "undercut", "spiky", "bun"),  # the factor hair
        examples={"train": 60_000, "test": 2_000},
        layout="",
        files={"train": {}, "test": {}},
        embedded=PART,
    ),
}


def find(name: str) -> Set:
    """Return the entry of one set; raise ValueError if the table has no such name."""
    if name not in SETS:
        raise ValueError(f"no data set {name!r}; there are: {', '.join(SETS)}")
    return SETS[name]


def find_whole(name: str) -> Set:
    """Return the entry as `find`; raise DataError if it needs no preparing."""
    entry = find(name)
    if not entry.version:
        raise DataError(
            f"{entry.title} needs no preparation: they are put together when they are "
            f'loaded, data.load("{name}", full=True)'
        )
    return entry


def classes(name: str) -> tuple[str, ...]:
    """Return the names of the classes: `classes(name)[label]` names a label."""
    return find(name).classes
