"""How the embedded emoji were made: python -m recipes.embed_emoji [--check] DIR

DIR holds the unpacked package of Microsoft's Fluent emoji, of which the flat pictures
are drawn at 64 x 64 on white:

    npm pack fluentui-emoji@1.3.0 && tar xzf fluentui-emoji-1.3.0.tgz  # makes package/
    pip install resvg_py==0.5.0 pillow
    python -m recipes.embed_emoji package

Taken are faces, and people as far as the head or the chest; no whole figures, no two
in one picture, no half hidden faces. A picture whose pixels are exactly those of an
earlier one is left out: of the people with blonde hair the medium-light tone, in which
the plain ones are blonde, too.

The split is by subject: what is drawn as a man, as a woman and as a person, in all
tones, is on one side, because these differ by a few pixels. Plain people, hair and
beards train. Of the other people, and of the faces, the subjects are ordered by the
SHA-256 of their name, and the first go to the test, until an eighth of all drawings
of people, and of the faces, is there. There is no randomness: the same files come out
every time. --check compares and writes nothing.
"""

import argparse
import hashlib
import importlib.metadata
import io
import re
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gencourse.data.loading import EMBEDDED
from gencourse.data.registry import SETS, SPLITS, DataError

RENDERER = "0.5.0"  # of resvg_py: another one may round edges otherwise
# Of the chosen files, each as its name, a zero and its content, in order of the names.
SHA256 = "961a5eff599b114041f38e64e37403109b976cde41906581c015961718df0c87"
TONES = ("default", "light", "medium-light", "medium", "medium-dark", "dark")
SIZE = 64
HELD_OUT = 8  # one in so many drawings

FACES = """
alien angry-face angry-face-with-horns anguished-face anxious-face-with-sweat
astonished-face beaming-face-with-smiling-eyes cat-with-tears-of-joy cat-with-wry-smile
clown-face cold-face confounded-face confused-face cowboy-hat-face crying-cat
crying-face disappointed-face disguised-face dotted-line-face downcast-face-with-sweat
drooling-face exploding-head expressionless-face face-blowing-a-kiss face-exhaling
face-holding-back-tears face-savoring-food face-screaming-in-fear face-vomiting
face-with-diagonal-mouth face-with-hand-over-mouth face-with-head-bandage
face-with-medical-mask face-with-monocle face-with-open-eyes-and-hand-over-mouth
face-with-open-mouth face-with-peeking-eye face-with-raised-eyebrow
face-with-rolling-eyes face-with-spiral-eyes face-with-steam-from-nose
face-with-symbols-on-mouth face-with-tears-of-joy face-with-thermometer
face-with-tongue face-without-mouth fearful-face flushed-face frowning-face
frowning-face-with-open-mouth full-moon-face goblin grimacing-face grinning-cat
grinning-cat-with-smiling-eyes grinning-face grinning-face-with-big-eyes
grinning-face-with-smiling-eyes grinning-face-with-sweat grinning-squinting-face
head-shaking-horizontally head-shaking-vertically hear-no-evil-monkey hot-face
hugging-face hushed-face jack-o-lantern kissing-cat kissing-face
kissing-face-with-closed-eyes kissing-face-with-smiling-eyes knocked-out-face
loudly-crying-face lying-face melting-face money-mouth-face nauseated-face nerd-face
neutral-face new-moon-face ogre partying-face pensive-face persevering-face
pleading-face pouting-cat pouting-face relieved-face robot rolling-on-the-floor-laughing
sad-but-relieved-face saluting-face see-no-evil-monkey shaking-face shushing-face skull
sleeping-face sleepy-face slightly-frowning-face slightly-smiling-face
smiling-cat-with-heart-eyes smiling-face smiling-face-with-halo
smiling-face-with-heart-eyes smiling-face-with-hearts smiling-face-with-horns
smiling-face-with-smiling-eyes smiling-face-with-sunglasses smiling-face-with-tear
smirking-face sneezing-face speak-no-evil-monkey squinting-face-with-tongue star-struck
sun-with-face thinking-face tired-face unamused-face upside-down-face weary-cat
weary-face winking-face winking-face-with-tongue woozy-face worried-face yawning-face
zany-face zipper-mouth-face
""".split()
PLAIN = {
    **{kind: kind for kind in ("man", "woman", "person", "boy", "girl", "child")},
    **{"baby": "baby", "old-man": "older man", "old-woman": "older woman"},
    "older-person": "older person",
}
HAIR = "blonde-hair red-hair curly-hair white-hair bald beard".split()
GESTURES = """
bowing facepalming frowning gesturing-no gesturing-ok getting-haircut getting-massage
pouting raising-hand shrugging tipping-hand
""".split()
ROLES = """
artist astronaut construction-worker cook detective factory-worker farmer firefighter
guard health-worker judge mechanic office-worker pilot police-officer scientist singer
student teacher technologist
""".split()  # man-cook, woman-cook, and a person is a cook
COSTUMES = """
elf in-steamy-room in-tuxedo mage superhero supervillain vampire wearing-turban
with-veil
""".split()  # man-elf, woman-elf, person-elf
SPECIAL = {  # file name: kind and role
    "baby-angel": ("baby", "angel"),
    "mrs-claus": ("woman", "claus"),
    "mx-claus": ("person", "claus"),
    "ninja": ("person", "ninja"),
    "person-with-crown": ("person", "crown"),
    "person-with-skullcap": ("person", "skullcap"),
    "prince": ("man", "crown"),
    "princess": ("woman", "crown"),
    "santa-claus": ("man", "claus"),
    "woman-with-headscarf": ("woman", "headscarf"),
}


class Picture(NamedTuple):
    """What a file name says."""

    drawing: str  # the name without the tone
    kind: str
    tone: str  # "" for a face
    subject: str  # an attribute as "red hair", "role cook" or "gesture no", or ""


def names() -> list[str]:
    """The chosen files, without .svg, in order: plain people, others, faces."""
    kinds = ("man", "woman", "person")
    more = [f"{kind}-{x}" for x in HAIR + GESTURES + COSTUMES for kind in kinds]
    more += [kind + role for role in ROLES for kind in ("man-", "woman-", "")]
    drawings = [*PLAIN, *more, *SPECIAL]
    return [f"{drawing}-{tone}" for drawing in drawings for tone in TONES] + FACES


def parse(name: str) -> Picture:
    """Read a file name; raises ValueError if it is none of the chosen ones."""
    if name in FACES:
        return Picture(name.replace("-", " "), "face", "", "")
    match = re.fullmatch(r"(.+?)-(default|((medium-)?(light|dark)|medium))", name)
    if not match:
        raise ValueError(f"{name!r} is neither a chosen face nor ends in a skin tone")
    stem, tone = match[1], match[2]
    drawing = stem.replace("-", " ")
    if stem in PLAIN:
        return Picture(drawing, PLAIN[stem], tone, "")
    if stem in SPECIAL:
        kind, role = SPECIAL[stem]
        return Picture(drawing, kind, tone, f"role {role}")
    kind, rest = re.fullmatch(r"(?:(man|woman|person)-)?(.*)", stem).groups()
    words = re.sub("^(gesturing|in|wearing|with)-", "", rest).replace("-", " ")
    if rest in HAIR:
        subject = words
    elif rest in GESTURES:
        subject = f"gesture {words}"
    elif rest in ROLES + COSTUMES:
        subject = f"role {words}"
    else:
        raise ValueError(f"{name!r} is not among the chosen drawings")
    return Picture(drawing, kind or "person", tone, subject)


def attributes(picture: Picture) -> list[bool]:
    """The row of a picture, in the order of the table of sets."""
    true = {picture.kind, f"tone {picture.tone}", picture.subject}
    return [attribute in true for attribute in SETS["emoji"].attributes]


def held_out(pictures: list[Picture]) -> set[str]:
    """The drawings that go to the test set."""
    people = {p.drawing: p.subject for p in pictures if p.kind != "face"}
    faces = {p.drawing: p.drawing for p in pictures if p.kind == "face"}
    chosen = set()
    for subjects in (people, faces):
        free = {s for s in subjects.values() if s.startswith(("role ", "gesture "))}
        free = free if subjects is people else set(subjects)
        count = 0
        for subject in sorted(free, key=lambda s: hashlib.sha256(s.encode()).digest()):
            if count * HELD_OUT >= len(subjects):
                break
            drawings = {d for d, s in subjects.items() if s == subject}
            chosen |= drawings
            count += len(drawings)
    return chosen


def read(folder: Path) -> dict[str, bytes]:
    """{name: content} of the chosen files, all verified by one checksum."""
    flat = folder / "icons" / "flat"
    if not flat.is_dir():
        raise DataError(f"{folder} has no icons/flat: give the unpacked npm package")
    contents = {}
    digest = hashlib.sha256()
    for name in sorted(names()):
        path = flat / f"{name}.svg"
        if not path.is_file():
            raise DataError(f"{path} is missing: is this fluentui-emoji 1.3.0?")
        contents[name] = path.read_bytes()
        digest.update(name.encode() + b"\0" + contents[name])
    if digest.hexdigest() != SHA256:
        raise DataError(
            f"the pictures in {flat} are not those of fluentui-emoji 1.3.0: their "
            f"SHA-256 is {digest.hexdigest()}, not {SHA256}"
        )
    return contents


def draw(svg: bytes) -> np.ndarray:
    """A drawing as pixels on white, uint8 (64, 64, 3)."""
    import resvg_py
    from PIL import Image

    png = resvg_py.svg_to_bytes(
        svg_string=svg.decode(), width=SIZE, height=SIZE, background="white"
    )
    pixels = np.array(Image.open(io.BytesIO(bytes(png))).convert("RGB"))
    if pixels.shape != (SIZE, SIZE, 3):
        raise DataError(f"a drawing is {pixels.shape}, not square")
    return pixels


def make(folder: Path, target: Path):
    """Write the embedded set; what it is drawn from is verified on the way."""
    try:
        version = importlib.metadata.version("resvg_py")
    except importlib.metadata.PackageNotFoundError:
        version = "missing"
    if version != RENDERER:
        raise DataError(
            f"resvg_py is {version}: pip install resvg_py=={RENDERER}, as others may "
            "draw other pixels"
        )
    contents = read(folder)
    drawn = {}  # by pixels, so that the first of equal ones stays
    for name in names():
        pixels = draw(contents[name])
        drawn.setdefault(pixels.tobytes(), (parse(name), pixels))
    left_out = held_out([parse(name) for name in names()])
    arrays = {}
    for split in SPLITS:
        rows = [
            row
            for row in drawn.values()
            if (row[0].drawing in left_out) is (split == "test")
        ]
        pictures = [picture for picture, _ in rows]
        kinds = [SETS["emoji"].classes.index(picture.kind) for picture in pictures]
        arrays[f"{split}_images"] = np.stack([pixels for _, pixels in rows])
        arrays[f"{split}_labels"] = np.array(kinds, np.uint8)
        arrays[f"{split}_drawings"] = np.array([p.drawing for p in pictures])
        arrays[f"{split}_attributes"] = np.array([attributes(p) for p in pictures])
    np.savez_compressed(target, **arrays)
    counts = " + ".join(f"{len(arrays[f'{split}_labels']):,}" for split in SPLITS)
    print(f"{counts} pictures; {len(contents) - len(drawn)} duplicates left out")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    args = parser.parse_args()
    target = EMBEDDED / "emoji.npz"
    try:
        if not args.check:
            make(args.folder, target)
            print(f"{target}: {target.stat().st_size:,} bytes")
            return
        with tempfile.TemporaryDirectory() as temporary:
            made = Path(temporary, target.name)
            make(args.folder, made)
            equal = made.read_bytes() == target.read_bytes()
    except DataError as error:
        sys.exit(f"error: {error}")
    print(f"{target}: {'the same' if equal else 'DIFFERENT'}")
    sys.exit(0 if equal else 1)


if __name__ == "__main__":
    main()
