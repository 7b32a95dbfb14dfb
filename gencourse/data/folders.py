"""Pictures of your own, from a folder: pairs for chapter 6, two heaps for chapter 7.

    folder/A/1.png, folder/B/1.png  or  folder/1.png, twice as wide as high
        --load_pairs--> x uint8 (N, size, size, C), y uint8 (N, size, size, C')

What cannot be read, or has no partner, is named before anything is trained.
"""

from pathlib import Path

import numpy as np

from gencourse.data.registry import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
GREY, COLOUR = ("1", "L", "LA"), ("RGB", "RGBA", "P", "PA", "CMYK", "YCbCr")


def load_folder(folder: str | Path, size: int = 64) -> np.ndarray:
    """Read all pictures of a folder, by name: uint8 (N, size, size, C), read-only.

    C is 1 if all of them are grey, else 3. They are turned as the camera says, cut to
    the square in the middle, and reduced to `size`; transparent parts become white.
    Files that are no pictures by their name are passed over, and folders, too.

    Raises:
      DataError: if there is no such folder or no picture in it, or one is broken, has
        no 8-bit colours or is smaller than `size`. The message names the file.
      ValueError: if `size` is no whole number of 1 or more.
    """
    _check_size(size)
    files = _files(folder)
    return _stack([_square(_open(file), file, size) for file in files])


def load_pairs(folder: str | Path, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Read pairs: x, y uint8 (N, size, size, channels), read-only, in the same order.

    The folder holds either two folders, A of what is given and B of what is wanted, in
    which the two of a pair have one name (the ending may differ), or pictures twice as
    wide as high, of which the left half is x and the right half y, as the authors of
    Pix2Pix have them. (Where it is the other way round: `y, x = load_pairs(...)`.) Both
    of a pair are treated alike, as `load_folder` says.

    Raises:
      DataError: as `load_folder`, and if a picture has no partner, two have one name,
        the two of a pair differ in size, or the halves do.
      ValueError: if `size` is no whole number of 1 or more.
    """
    _check_size(size)
    folder = Path(folder).expanduser()
    apart = [(folder / side).is_dir() for side in "AB"]
    if any(apart) and not all(apart):
        raise DataError(f"{folder} has one of the folders A and B: pairs need both.")
    files = _partners(folder) if all(apart) else [(f, f) for f in _files(folder)]
    x, y = [], []
    for a, b in files:
        images = [_open(a), _open(b)] if all(apart) else _halves(_open(a), a)
        if images[0].size != images[1].size:
            sizes = " in A and ".join(_by(image) for image in images)
            raise DataError(
                f"{a.name} is {sizes} in B: the two of a pair have one size, and each "
                f"thing in one place."
            )
        for image, file, side in zip(images, (a, b), (x, y), strict=True):
            side.append(_square(image, file, size))
    return _stack(x), _stack(y)


def _check_size(size):
    if not isinstance(size, (int, np.integer)) or isinstance(size, bool) or size < 1:
        raise ValueError(f"size is a whole number of pixels, 1 or more; given {size!r}")


def _files(folder):
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES)
    files = [f for f in files if f.is_file() and not f.name.startswith(".")]
    if not files:
        raise DataError(f"no pictures in {folder}: of {', '.join(SUFFIXES)} none ends")
    return files


def _partners(folder):
    sides = []
    for side in "AB":
        files = _files(folder / side)
        by_name = {file.stem: file for file in files}
        if len(by_name) < len(files):
            twice = next(f for f in files if by_name[f.stem] != f)
            raise DataError(
                f"{twice} and {by_name[twice.stem].name} have one name: which is it?"
            )
        sides.append(by_name)
    for side, here, there in ("A", *sides), ("B", *reversed(sides)):
        alone = [here[name].name for name in sorted(set(here) - set(there))]
        if alone:
            raise DataError(
                f"{len(alone)} of {len(here)} pictures in {folder / side} have no "
                f"partner of their name: {', '.join(alone[:3])}"
                + (", ..." if len(alone) > 3 else "")
            )
    return [(sides[0][name], sides[1][name]) for name in sides[0]]


def _open(file):
    """Return a PIL image in mode L or RGB, turned as the camera says, on white."""
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened)
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{file} cannot be read: {error}") from None
    if image.mode not in GREY + COLOUR:
        raise DataError(
            f"{file} has pixels of mode {image.mode}, not of 8 bits: save it again as "
            f"an 8-bit PNG"
        )
    mode = "L" if image.mode in GREY else "RGB"
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert(mode)


def _halves(image, file):
    width, height = image.size
    if width != 2 * height:
        raise DataError(
            f"{file} is {_by(image)}: a pair side by side is twice as wide as high. "
            f"Pictures that are apart belong into folders A and B beside it."
        )
    edges = ((0, height), (height, width))
    return [image.crop((left, 0, right, height)) for left, right in edges]


def _square(image, file, size):
    """Return its middle square as uint8 (size, size, 1 or 3)."""
    from PIL import Image, ImageOps

    if min(image.size) < size:
        raise DataError(
            f"{file} is {_by(image)}, smaller than {size} x {size}: give a smaller "
            f"`size`, or a larger picture"
        )
    small = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
    return np.asarray(small).reshape(size, size, -1)


def _by(image):
    return " x ".join(map(str, image.size))


def _stack(pictures):
    channels = max(picture.shape[-1] for picture in pictures)
    rows = [np.broadcast_to(p, (*p.shape[:2], channels)) for p in pictures]
    stacked = np.stack(rows)
    stacked.flags.writeable = False
    return stacked
