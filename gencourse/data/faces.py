"""Cartoon faces put together from an artist's parts: every attribute is known exactly.

    factors --compose--> faces uint8 (N, 64, 64, 3): nine layers on white, back first

A layer keeps a share of what lies behind it and adds a fixed colour and a tint: of the
skin, the hair or the clothes. The parts are embedded, not the pictures. Which faces are
in which split follows from hashes, so that they are the same everywhere.

Design: ToonHead by Johan Melin, CC BY 4.0. See `LICENSE-faces` and
`recipes/embed_faces.py`.
"""

import contextlib
import hashlib
import itertools
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np

from gencourse.data.registry import DataError
from gencourse.system import paths

SIZE = 64
PARTS_FILE = Path(__file__).parent / "embedded" / "faces.npz"
# The factors of variation. The first value of a factor that may be "none" is as likely
# as all its others together; elsewhere all values are equally likely.
FACTORS = {
    "skin": ("light", "rosy", "tan", "brown", "dark"),
    "hair": ("side parting", "undercut", "spiky", "bun"),
    "hair_colour": ("black", "auburn", "light brown", "blond", "brown"),
    "rear_hair": (
        *("none", "long straight", "long wavy", "shoulder length", "neck length"),
    ),
    "beard": (
        *("none", "twirled moustache", "full beard", "chin", "chin and moustache"),
        "long beard",
    ),
    "eyes": ("happy", "wide", "bow", "humble", "wink"),
    "eyebrows": ("raised", "angry", "happy", "sad", "neutral"),
    "mouth": ("laugh", "angry", "agape", "smile"),
    "clothes": ("turtleneck", "open jacket", "dress", "shirt", "T-shirt"),
    "clothes_colour": (
        *("grey", "red", "blue", "green", "yellow", "purple", "pink", "orange"),
        *("black", "white"),
    ),
}
COLOURS = {  # of the design's own palette
    "skin": "f1c3a5 c68e7a b98e6a a36b4f 5c3829",
    "hair_colour": "2c1b18 a55728 b58143 d6b370 724133",
    "clothes_colour": (
        "545454 b11f1f 0b3286 147f3c eab308 731ac3 ec4899 f97316 151613 e8e9e6"
    ),
}
# Layers, back to front: (name, factor that chooses its shape, factor of its tint).
LAYERS = (
    ("rear hair", "rear_hair", "hair_colour"),
    ("body", None, "skin"),
    ("head", None, "skin"),
    ("clothes", "clothes", "clothes_colour"),
    ("mouth", "mouth", None),
    ("beard", "beard", "hair_colour"),
    ("eyes", "eyes", None),
    ("eyebrows", "eyebrows", "hair_colour"),
    ("hair", "hair", "hair_colour"),
)
PARTS = ("background", *(name for name, _, _ in LAYERS))
NEVER_TOGETHER = {"hair": "bun", "beard": "long beard"}  # in no training face
NUMBERS = {"train": 10_000, "test": 2_000}
FULL = {"train": 60_000, "test": 2_000}
BLACK = 128  # a difference of so much, of 255, is a black line in a sketch
AT_ONCE = 32  # faces that are put together at a time: they stay in the processor


def compose(**factors) -> np.ndarray:
    """Draw the faces one asks for: uint8 (N, 64, 64, 3), read-only.

    factors: for each name in FACTORS a value's name, its number, or an array (N,) of
      numbers; those that are left out are 0. So the same faces with another beard are
      compose(**attributes | {"beard": "full beard"}).

    Raises:
      ValueError: for an unknown factor or value, which is named with those there are,
        and for arrays of different lengths.
    """
    return _draw(_numbers(factors), _over)


def part_map(**factors) -> np.ndarray:
    """Return which part is seen at each pixel: uint8 (N, 64, 64), numbers in PARTS.

    factors: as for `compose`, which raises the same errors.
    """
    return _draw(_numbers(factors), _seen)


def sketch(**factors) -> np.ndarray:
    """Draw the outlines of faces: uint8 (N, 64, 64, 1), read-only, black on white.

    factors: as for `compose`, which raises the same errors. A line is where a colour
    channel of a pixel differs from that of its neighbour to the right or below, and
    the darker the more. The clothes are drawn in white, whatever their colour: nothing
    in the sketch tells it.
    """
    codes = _numbers(factors | {"clothes_colour": "white"})
    few = [codes[i : i + 1000] for i in range(0, len(codes), 1000)]
    sketches = np.concatenate([_outlines(_draw(c, _over)) for c in few])
    sketches.flags.writeable = False
    return sketches


def _outlines(faces):
    """Draw lines where faces (N, 64, 64, 3) differ from pixel to pixel, on white:
    uint8 (N, 64, 64, 1)."""
    most = np.zeros(faces.shape[:3], np.uint8)
    for channel in np.moveaxis(faces, -1, 0):
        channel = np.ascontiguousarray(channel)
        for y, x in (0, 1), (1, 0):  # to the right, and below
            here, there = channel[:, : SIZE - y, : SIZE - x], channel[:, y:, x:]
            apart = np.maximum(here, there) - np.minimum(here, there)
            so_far = most[:, : SIZE - y, : SIZE - x]
            np.maximum(so_far, apart, out=so_far)
    black = np.minimum(255, np.arange(256) * (255 / BLACK))
    return np.rint(255 - black).astype(np.uint8)[most][..., None]


def load(split: str, full: bool = False) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return (faces uint8 (N, 64, 64, 3), {factor: int32 (N,)}), read-only.

    They are put together the first time, and mapped into memory from the cache later.
    """
    codes = split_codes(split, full)
    parts = hashlib.sha256(PARTS_FILE.read_bytes() + codes.tobytes()).hexdigest()[:16]
    path = paths.cache_dir() / f"faces-{split}-{len(codes)}-{parts}.npy"
    try:
        images = np.load(path, mmap_mode="r")
    except (OSError, ValueError):  # not there yet, or not whole
        images = _draw(codes, _over)
        _keep(path, images)
    if images.shape != (len(codes), SIZE, SIZE, 3):
        images = _draw(codes, _over)
    return images, _by_name(codes)


def attributes(split: str, full: bool = False) -> dict[str, np.ndarray]:
    """Return the factors of each face of `load`: {factor: int32 (N,)}, read-only."""
    return _by_name(split_codes(split, full))


@cache
def split_codes(split, full=False):
    """Return the factors of all faces of a split: int32 (N, factors).

    No face is there twice, no test face is in training, and the values of
    NEVER_TOGETHER meet in no training face.
    """
    number = (FULL if full else NUMBERS)[split]
    test = set()
    if split == "train":
        test = {tuple(row) for row in split_codes("test").tolist()}
    names = list(FACTORS)
    apart = {names.index(f): FACTORS[f].index(v) for f, v in NEVER_TOGETHER.items()}
    chosen = {}  # a set that keeps its order
    for i in itertools.count():
        row = _random_face(f"{split} {i}")
        together = all(row[at] == value for at, value in apart.items())
        if row in test or (split == "train" and together):
            continue
        chosen[row] = None
        if len(chosen) == number:
            codes = np.array(list(chosen), np.int32)
            codes.flags.writeable = False
            return codes


def _random_face(name):
    """Return a face's factors, a tuple, from the hash of its name."""
    digest = hashlib.sha256(f"toon-head {name}".encode()).digest()
    row = []
    for i, values in enumerate(FACTORS.values()):
        number = int.from_bytes(digest[3 * i : 3 * i + 3], "big")
        if values[0] == "none":
            number, has_one = divmod(number, 2)
            row.append(1 + number % (len(values) - 1) if has_one else 0)
        else:
            row.append(number % len(values))
    return tuple(row)


def _by_name(codes):
    columns = np.ascontiguousarray(codes.T)
    columns.flags.writeable = False
    return dict(zip(FACTORS, columns, strict=True))


def _numbers(factors):
    """Return factors as `compose` takes them as int32 (N, factors), or raise."""
    unknown = set(factors) - set(FACTORS)
    if unknown:
        raise ValueError(f"no factor {sorted(unknown)}; there are: {list(FACTORS)}")
    columns = [_column(f, factors.get(f, 0)) for f in FACTORS]
    lengths = {len(column) for column in columns} - {1}
    if len(lengths) > 1:
        given = {f: len(c) for f, c in zip(FACTORS, columns, strict=True)}
        raise ValueError(f"the factors are of different lengths: {given}")
    number = max(lengths, default=1)
    return np.stack([np.broadcast_to(c, number) for c in columns], axis=1)


def _column(factor, given):
    values = FACTORS[factor]
    if isinstance(given, str):
        if given not in values:
            raise ValueError(f"no {factor} {given!r}; there are: {values}")
        given = values.index(given)
    column = np.atleast_1d(np.asarray(given))
    whole = column.ndim == 1 and column.dtype.kind in "iu" and len(column)
    if not whole or column.min() < 0 or column.max() >= len(values):
        raise ValueError(
            f"{factor} is one of {values}, or whole numbers in 0..{len(values) - 1}, "
            f"() or (N,); given {given!r}."
        )
    return column.astype(np.int32)


@cache
def _tables():
    """Return for each layer its box, what it keeps (V, h, w, 1) and what it adds
    (V, colours, h, w, 3), float32, both with a row for "none" if it may be missing."""
    try:
        with open(PARTS_FILE, "rb") as file, np.load(file) as stored:
            arrays = {name: stored[name] / np.float32(1020) for name, *_ in LAYERS}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{PARTS_FILE} is damaged ({error}): install gencourse again"
        ) from None
    return [_table(arrays[name], *rest) for name, *rest in LAYERS]


def _table(layer, shape, tint):
    """layer: (V, 64, 64, 5): how much it covers, its share of tint, a fixed colour."""
    if shape and FACTORS[shape][0] == "none":
        layer = np.concatenate([np.zeros_like(layer[:1]), layer])
    covered = np.argwhere(layer.any(axis=(0, 3)))
    (top, left), (bottom, right) = covered.min(0), covered.max(0) + 1
    box = slice(top, bottom), slice(left, right)
    layer = layer[:, *box]
    colours = np.zeros((1, 3))
    if tint:
        colours = [list(bytes.fromhex(colour)) for colour in COLOURS[tint].split()]
    cover, share, fixed = layer[..., :1], layer[..., 1:2], layer[..., 2:]
    tints = np.asarray(colours, np.float32)[None, :, None, None]
    return box, 1 - cover, 255 * fixed[:, None] + share[:, None] * tints


def _draw(codes, lay):
    """Lay one layer over the other; codes: int32 (N, factors)."""
    layers = list(zip(range(1, len(PARTS)), LAYERS, _tables(), strict=True))

    def draw(some):
        column = dict(zip(FACTORS, some.T, strict=True))
        none, sheet = np.zeros(len(some), np.int32), None
        for number, (_, shape, tint), table in layers:
            which = column.get(shape, none), column.get(tint, none)
            sheet = lay(sheet, number, table, *which)
        return np.rint(sheet).astype(np.uint8)

    with ThreadPoolExecutor() as pool:  # NumPy lets the threads run side by side
        chunks = [codes[i : i + AT_ONCE] for i in range(0, len(codes), AT_ONCE)]
        drawn = np.concatenate(list(pool.map(draw, chunks)))
    drawn.flags.writeable = False
    return drawn


def _over(sheet, _, table, shape, tint):
    """Lay a layer's colours over a sheet (N, 64, 64, 3), float32."""
    box, keep, add = table
    if sheet is None:
        sheet = np.full((len(shape), SIZE, SIZE, 3), 255, np.float32)
    part = sheet[:, *box]
    part *= keep[shape]
    part += add[shape, tint]
    return sheet


def _seen(sheet, number, table, shape, _):
    """Write a layer's number where it covers more than half of what lies behind it."""
    box, keep, _ = table
    if sheet is None:
        sheet = np.zeros((len(shape), SIZE, SIZE), np.float32)
    sheet[:, *box][keep[shape][..., 0] < 0.5] = number
    return sheet


def _keep(path, images):
    """Write the faces into the cache, as a whole or not at all; it may be read-only."""
    partial = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            np.save(file, images)
        partial.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink()
