"""How the parts of the faces were made: python -m recipes.embed_faces [--check] DIR

DIR holds the unpacked package of the avatar style toon-head, drawn by Johan Melin
(CC BY 4.0), whose code is MIT (see its LICENSE):

    npm pack @dicebear/toon-head@9.4.3 && tar xzf dicebear-toon-head-9.4.3.tgz
    pip install resvg_py==0.5.0 pillow
    python -m recipes.embed_faces package

Each of the 34 parts that we take is an SVG with a colour to be filled in. At 64 x 64
what a part makes of a grey background and a grey tint is linear in both, but for the
renderer's rounding to whole numbers: so each part is drawn on several greys in several
tints, and three numbers a pixel and channel are fitted by least squares: what it keeps
of the background, how much of the tint it adds, and what it adds besides. They are
stored in steps of 1/1020. --check draws whole faces with the renderer, compares them
with `compose`, and writes nothing; --sample N writes N such faces for the tests.
"""

import argparse
import importlib.metadata
import io
import re
import sys
from pathlib import Path

import numpy as np

from gencourse.data import faces

RENDERER = "0.5.0"  # of resvg_py: another one may round edges otherwise
GREYS = (0, 37, 90, 128, 171, 214, 255)
FILES = {name: name.replace(" h", "H") for name, *_ in faces.LAYERS}
NAMES = {  # the artist's names, in the order of FACTORS
    "rear hair": ("longStraight", "longWavy", "shoulderHigh", "neckHigh"),
    "body": ("body",),
    "head": ("head",),
    "clothes": ("turtleNeck", "openJacket", "dress", "shirt", "tShirt"),
    "mouth": ("laugh", "angry", "agape", "smile"),
    "beard": ("moustacheTwirl", "fullBeard", "chin", "chinMoustache", "longBeard"),
    "eyes": ("happy", "wide", "bow", "humble", "wink"),
    "eyebrows": ("raised", "angry", "happy", "sad", "neutral"),
    "hair": ("sideComed", "undercut", "spiky", "bun"),
}
LEFT_OUT = {"mouth": "sad"}  # a thin line, at 64 x 64 hardly different from "smile"
ENTRY = re.compile(r"^    '(\w+)': \(components, colors\) => `(.*)`,$", re.MULTILINE)
TINT = re.compile(r"\$\{escape\.xml\(`\$\{colors\.\w+\}`\)\}")


def parts(folder, layer):
    """The SVG of each part of a layer, with a place for its tint."""
    file = folder / "lib" / "components" / f"{FILES[layer]}.js"
    found = dict(ENTRY.findall(file.read_text(encoding="utf-8")))
    bodies = [found.pop(name) for name in NAMES[layer]]
    found.pop(LEFT_OUT.get(layer), None)
    if found:
        sys.exit(f"{file} has parts that nobody expected: {list(found)}")
    if layer == "rear hair":  # the design moves it down by ten of its 768 units
        bodies = [f'<g transform="translate(0 10)">{body}</g>' for body in bodies]
    return bodies


def draw(body, background):
    """An SVG's body as (64, 64, 3), float, on a background such as "#ffffff"."""
    import resvg_py
    from PIL import Image

    size = faces.SIZE
    svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 768 768" fill="none">'
    png = resvg_py.svg_to_bytes(
        svg_string=f"{svg}{body}</svg>",
        width=size,
        height=size,
        background=background,
        skip_system_fonts=True,
    )
    return np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGB"), float)


def grey(level):
    return f"#{level:02x}{level:02x}{level:02x}"


def fit(body):
    """(64, 64, 5) of a part: how much it covers, how much is tint, a fixed colour."""
    tints = GREYS if TINT.search(body) else GREYS[:1]
    given = [(behind, tint, 255) for tint in tints for behind in GREYS]
    seen = [draw(TINT.sub(grey(tint), body), grey(behind)) for behind, tint, _ in given]
    seen = np.stack(seen).reshape(len(given), -1)
    shares, *_ = np.linalg.lstsq(np.array(given, float), seen, rcond=None)
    keep, tint, fixed = shares.reshape(3, faces.SIZE, faces.SIZE, 3)
    found = [1 - keep.mean(-1), tint.mean(-1), *np.moveaxis(fixed, -1, 0)]
    return np.stack(found, axis=-1)


def make(folder, target):
    arrays = {}
    for layer, *_ in faces.LAYERS:
        fitted = np.stack([fit(body) for body in parts(folder, layer)])
        arrays[layer] = np.rint(1020 * fitted.clip(0, 1)).astype(np.uint16)
    np.savez_compressed(target, **arrays)


def whole(folder, codes):
    """A face drawn by the renderer itself; codes: its numbers, by factor."""
    body = ""
    for layer, shape, tint in faces.LAYERS:
        which = codes[shape] if shape else 0
        if shape and faces.FACTORS[shape][0] == "none":
            if not which:
                continue
            which -= 1
        part = parts(folder, layer)[which]
        colour = faces.COLOURS[tint].split()[codes[tint]] if tint else ""
        body += TINT.sub(f"#{colour}", part)
    return draw(body, "#ffffff").astype(np.uint8)


def rendered(folder, number):
    """(factors of some test faces, int32 (N, F), the faces as the renderer has them)"""
    codes = faces.split_codes("test")[:number]
    rows = [dict(zip(faces.FACTORS, row, strict=True)) for row in codes.tolist()]
    return codes, np.stack([whole(folder, row) for row in rows])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--sample", type=int, metavar="N")
    args = parser.parse_args()
    if importlib.metadata.version("resvg_py") != RENDERER:
        sys.exit(f"resvg_py {RENDERER} is wanted")
    if not args.check:
        make(args.folder, faces.PARTS_FILE)
        print(f"{faces.PARTS_FILE}: {faces.PARTS_FILE.stat().st_size:,} bytes")
    codes, truth = rendered(args.folder, args.sample or 200)
    ours = faces.compose(**dict(zip(faces.FACTORS, codes.T, strict=True)))
    away = np.abs(ours.astype(int) - truth)
    print(f"{len(codes)} faces: at most {away.max()} of 255 off, ", end="")
    print(f"more than 2 in {(away > 2).mean():.4%} of the numbers")
    if args.sample:
        target = Path(__file__).parent.parent / "tests" / "rendered_faces.npz"
        np.savez_compressed(target, codes=codes, images=truth)
        print(f"{target}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
