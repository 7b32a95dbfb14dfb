"""Checks of chapter 4's exercises."""

import collections.abc
import contextlib
import functools
import io
import itertools
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import lax

from gencourse import dcgan, gan
from gencourse.checks import (
    Missing,
    Wrong,
    call,
    close,
    letter,
    numbers,
    passed,
    shape,
    split,
    there,
)


def _convolve(x, kernel, strides, padding):
    dims = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=dims)


# --- 4.1 -----------------------------------------------------------------------


def sizes(answer):
    """4.1: how many places a (transposed) convolution makes of one side."""
    tried = 0
    _check_paddings(answer)
    for (up, padding), (what, formulas) in SIZES.items():
        rows = _sides(up, padding)
        given = np.array([_side(answer, *row[:3], padding, up) for row in rows])
        wanted = np.array([row[3] for row in rows])
        tried += len(rows)
        if np.array_equal(given, wanted):
            continue
        wrong = np.flatnonzero(given != wanted)
        at = min(wrong, key=lambda i: sum(abs(np.subtract(rows[i][:3], USUAL))))
        n, k, s, right = rows[at]
        example = (
            f"{what}: of a side of {n}, with kernel {k} and stride {s}, the layer "
            f"makes {right}, you {given[at]:g}. "
        )
        for formula, hint in formulas:
            if np.array_equal(given, [formula(*row[:3]) for row in rows]):
                raise Wrong(example + hint)
        if not np.array_equal(given, np.round(given)):
            raise Wrong(
                f"{example}A side is a whole number of pixels. Does a last window that "
                f"does not quite fit count, or is it left out? Round accordingly."
            )
        raise Wrong(
            f"{example}Draw the places in a row, and slide the kernel over them."
        )
    passed(
        f"{tried:,} sizes, as JAX makes them: convolutions and transposed ones, SAME "
        f"and VALID."
    )


USUAL = 7, 4, 2  # side, kernel and stride of an example


def _check_paddings(answer):
    """Is an `if padding == "same"` never met?"""
    alike = [
        _side(answer, *USUAL, "SAME", up) == _side(answer, *USUAL, "VALID", up)
        for up in (False, True)
    ]
    if all(alike):
        raise Wrong(
            "SAME and VALID give the same side, up and down. The padding comes as "
            '"SAME" or "VALID", in capitals. Does your `if` meet both?'
        )


SIZES = {  # (transposed, padding): (name, the known mistakes)
    (False, "SAME"): (
        "Convolution, SAME",
        [
            (
                lambda n, k, s: n,
                "SAME keeps the side only where the stride is 1. The kernel is put "
                "down at every s-th place.",
            ),
            (
                lambda n, k, s: n // s,
                "You round down. SAME pads until the last place has a window, too: "
                "round up.",
            ),
            (
                lambda n, k, s: n // s + 1,
                "Adding one always is too much where the stride divides the side. "
                "Round up: -(-n // s), or math.ceil.",
            ),
            (
                lambda n, k, s: (n + 2 * (k // 2) - k) // s + 1,
                "You pad k // 2 on either side, as other libraries do. With even "
                "kernels that is one too many. SAME does not depend on the kernel.",
            ),
            (
                lambda n, k, s: (n - k) // s + 1,
                "That is VALID, without any padding.",
            ),
            (lambda n, k, s: n * s, "You go up. Only a transposed one does."),
            (
                lambda n, k, s: round(n / s),
                "You round to the nearest, and Python rounds halves to even numbers. "
                "Round up: -(-n // s), or math.ceil.",
            ),
            (
                lambda n, k, s: (n + 2 * ((k - 1) // 2) - k) // s + 1,
                "You pad (k - 1) // 2 on either side, as other libraries do. With even "
                "kernels that is one too few. SAME does not depend on the kernel.",
            ),
        ],
    ),
    (False, "VALID"): (
        "Convolution, VALID",
        [
            (
                lambda n, k, s: (n - k) // s,
                "You count the moves of the window. Before the first move there is a "
                "window already.",
            ),
            (
                lambda n, k, s: -(-(n - k) // s) + 1,
                "You round up. VALID does not pad: a last window that hangs over the "
                "edge is left out.",
            ),
            (
                lambda n, k, s: (n - k + 1) // s,
                "There are n - k + 1 windows with stride 1, and every s-th is kept, "
                "the first of them: rounding down drops one.",
            ),
            (lambda n, k, s: n - k + 1, "That is right for stride 1. Use the stride."),
            (
                lambda n, k, s: n - k // s + 1,
                "Python divides before it subtracts: (n - k) // s wants its brackets.",
            ),
            (
                lambda n, k, s: -(-n // s),
                "That is SAME, padded. VALID has only windows that fit.",
            ),
            (
                lambda n, k, s: n // s,
                "The kernel must matter: a large one fits in fewer places.",
            ),
        ],
    ),
    (True, "SAME"): (
        "Transposed convolution, SAME",
        [
            (
                lambda n, k, s: (n - 1) * s + k,
                "That is VALID: all that the stamps cover. SAME cuts it to a "
                "multiple of n.",
            ),
            (
                lambda n, k, s: n,
                "Transposed SAME keeps the side only where the stride is 1.",
            ),
            (
                lambda n, k, s: -(-n // s),
                "You go down. A transposed convolution goes the other way: it makes "
                "more places.",
            ),
            (
                lambda n, k, s: (n - 1) * s + 1,
                "That is the smallest side from which a strided convolution would come "
                "back to n. Several sides do so; JAX takes the largest.",
            ),
            (
                lambda n, k, s: (n - 1) * s + k - 2 * (k // 2),
                "You cut k // 2 on either side, as other libraries do. SAME does not "
                "depend on the kernel.",
            ),
        ],
    ),
    (True, "VALID"): (
        "Transposed convolution, VALID",
        [
            (
                lambda n, k, s: n * s,
                "That is SAME. VALID keeps all that the stamps cover: how far does the "
                "last stamp reach?",
            ),
            (
                lambda n, k, s: (n - 1) * s + k - 1,
                "One too few. The last stamp begins at place (n - 1) * s, and covers k "
                "places from there.",
            ),
            (
                lambda n, k, s: n * s + k - 1,
                "The first stamp begins at place 0, so the last one at (n - 1) * s.",
            ),
            (
                lambda n, k, s: n * s + k,
                "There are n stamps, so n - 1 moves between the first and the last.",
            ),
            (
                lambda n, k, s: (n - 1) * s + 1,
                "Those are the middles of the stamps alone. A stamp is k wide.",
            ),
            (
                lambda n, k, s: n + k - 1,
                "The stride is missing: stamps are s places apart.",
            ),
            (
                lambda n, k, s: (n - k) // s + 1,
                "You go down. Transposed and VALID means the other way round.",
            ),
        ],
    ),
}


@functools.cache
def _sides(up, padding):
    """(side, kernel, stride, the side that JAX's layer makes of it), many."""
    rows = []
    for n, k, s in itertools.product(range(1, 18), range(1, 7), range(1, 4)):
        if k < s if up else padding == "VALID" and n < k:
            continue
        x, kernel = (jax.ShapeDtypeStruct((1, a, a, 1), jnp.float32) for a in (n, 1))
        kernel = jax.ShapeDtypeStruct((k, k, 1, 1), jnp.float32)
        layer = lax.conv_transpose if up else _convolve
        made = functools.partial(layer, strides=(s, s), padding=padding)
        rows.append((n, k, s, jax.eval_shape(made, x, kernel).shape[1]))
    return rows


def _side(answer, n, k, s, padding, up):
    result = call(answer, n, k, s, padding, up)
    return float(shape(result, (), "one number, the side"))


# --- 4.2 -----------------------------------------------------------------------


def adjoint(answers):
    """4.2: are two maps adjoint, and which kernel makes ConvTranspose an adjoint?"""
    test, turn = split(answers, 2)
    said = {name: _verdict(test, *pair) for name, pair in _pairs().items()}
    _check_verdicts(said)
    for w in (_kernel(4, 4, 3, 2), _kernel(4, 4, 2, 2), _kernel(5, 3, 2, 3)):
        _check_turned(call(turn, jnp.asarray(w)), w)
    passed(
        f"{len(said)} pairs of maps, each told rightly; and your kernel makes "
        f"ConvTranspose the adjoint of Conv, for kernels 4x4 and 5x3."
    )


def _kernel(*sides):
    return np.random.default_rng(sum(sides)).normal(size=sides).astype(np.float32)


@functools.cache
def _pairs():
    """name: (forward, back, x's shape, y's shape), of linear maps."""
    rng = np.random.default_rng(0)
    square, wide, other = (
        jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((6, 6), (5, 7), (5, 7))
    )
    nearly = wide.T.at[2, 1].add(3.0)
    w = jnp.asarray(_kernel(4, 4, 3, 2))
    down = functools.partial(_convolve, kernel=w, strides=(2, 2), padding="SAME")
    seen, made = (2, 8, 8, 3), (2, 4, 4, 2)
    back = jax.linear_transpose(down, jax.ShapeDtypeStruct(seen, jnp.float32))

    def by(matrix):
        return lambda x: jnp.matmul(matrix, x, precision="highest")

    def up_unflipped(y):
        return lax.conv_transpose(y, w.swapaxes(2, 3), (2, 2), "SAME")

    return {
        "wide": (by(wide), by(wide.T), (7,), (5,)),
        "square": (by(square), by(square.T), (6,), (6,)),
        "convolution": (down, lambda y: back(y)[0], seen, made),
        "large": (by(3e4 * wide), by(3e4 * wide.T), (7,), (5,)),
        "unrelated": (by(wide), by(other.T), (7,), (5,)),
        "itself": (by(square), by(square), (6,), (6,)),
        "inverse": (by(square), by(jnp.linalg.inv(square)), (6,), (6,)),
        "minus": (by(wide), by(-wide.T), (7,), (5,)),
        "twice": (by(wide), by(2 * wide.T), (7,), (5,)),
        "one entry": (by(wide), by(nearly), (7,), (5,)),
        "unflipped": (down, up_unflipped, seen, made),
        "small": (by(1e-5 * wide), by(1e-5 * other.T), (7,), (5,)),
    }


TRUE_PAIRS = ("wide", "square", "convolution", "large")


def _verdict(test, *pair):
    """What the learner's test says of a pair: for every key the same, or Wrong."""
    said, seen = [], []
    forward, *others = pair

    def watched(x):
        seen[-1].append(np.asarray(x).ravel())
        return forward(x)

    for seed in (0, *range(8)):
        seen.append([])
        result = call(test, watched, *others, jax.random.key(seed))
        if isinstance(result, (tuple, list)) or np.shape(result) != ():
            raise Wrong(
                f"The test gives {type(result).__name__} of shape {np.shape(result)}. "
                f"Two inner products are two numbers: are they equal? True or False."
            )
        if np.asarray(result).dtype.kind != "b":
            raise Wrong(
                f"The test gives {result!r}. Say True or False: compare both numbers."
            )
        said.append(bool(result))
    first, again, other = (np.concatenate([*s, [0.0]]) for s in seen[:3])
    if not np.array_equal(first, again):
        raise Wrong(
            "Asked twice with one key, your test takes other numbers. Draw x and y "
            "from the key alone, by jax.random: else nobody can repeat what you saw."
        )
    drawn = len(np.unique(first)) > 5  # ones, or a lone one, get hints of their own
    if drawn and np.array_equal(first, other):
        raise Wrong(
            "With another key your test takes the same numbers. Draw x and y from the "
            "key that comes in."
        )
    return np.mean(said[1:])  # the share of keys with True


def _check_verdicts(said):
    right = {name: said[name] == (name in TRUE_PAIRS) for name in said}
    if all(right.values()):
        return
    yes = {name for name, share in said.items() if share > 0.5}
    if len(yes) == len(said):
        raise Wrong("It says True of every pair, unrelated ones, too: all shapes fit.")
    if not yes:
        raise Wrong(
            "It says False of every pair, even of a matrix and its transpose. Two "
            "float32 sums are seldom equal to the last bit: allow a tolerance. And "
            "each is the sum of *all* products, as jnp.vdot gives it."
        )
    if "inverse" in yes and "square" not in yes:
        raise Wrong(
            "It says True of a matrix and its *inverse*, and False of its transpose. "
            "An adjoint does not undo the map. Compare <forward(x), y> and "
            "<x, back(y)>."
        )
    if "itself" in yes and "unflipped" in yes:
        raise Wrong(
            "It takes a kernel that is not flipped for the adjoint, and a matrix for "
            "its own transpose. With ones for x and y only sums are compared. Draw "
            "both from jax.random.normal."
        )
    if "itself" in yes and "one entry" in yes:
        raise Wrong(
            "It misses a wrong entry of the matrix: x and y are 0 in most places. Use "
            "random numbers everywhere."
        )
    if "itself" in yes:
        raise Wrong(
            "It takes a square matrix for its own adjoint. There x and y are the same, "
            "drawn with one key, and <Ax, x> = <x, Ax> holds for any A. Split the key."
        )
    if "square" in yes and "wide" not in yes:
        raise Wrong(
            "Right for square matrices, wrong where x and y are of different size: do "
            "you take means? An inner product is a sum."
        )
    _check_tolerance(said, right, yes)
    unsure = [n for n in said if n not in TRUE_PAIRS and 0 < said[n] < 1]
    if unsure and all(said[n] == 1 for n in TRUE_PAIRS):
        raise Wrong(
            f"All true pairs are told, but of the pair {unsure[0]!r}, which is not "
            f"adjoint, it says True for {said[unsure[0]]:.0%} of the keys. Either the "
            f"tolerance is too wide, or many of your numbers are 0: an error that "
            f"meets a 0 is not seen."
        )
    name = next(name for name in said if not right[name])
    raise Wrong(
        f"Of the pair {name!r} it says {name in yes}, for {said[name]:.0%} of the keys "
        f"True. Compare <forward(x), y> with <x, back(y)>, both over all numbers."
    )


def _check_tolerance(said, right, yes):
    if "minus" in yes:
        raise Wrong("It takes -A' for the adjoint of A: the sign belongs to it.")
    if "twice" in yes:
        raise Wrong(
            "It takes twice the adjoint for the adjoint. The two inner products must "
            "be equal, not only go together."
        )
    if said["small"] > 0:
        raise Wrong(
            "Of two small maps (about 1e-5) that have nothing to do with each other it "
            "says True: the tolerance is a fixed number (jnp.isclose has one, too, "
            "atol). Measure it by the lengths, such as 1e-4 |forward(x)| |y|."
        )
    if not right["large"] and right["wide"]:
        raise Wrong(
            "Right, but for a large matrix (about 30,000) and its transpose it says "
            "False: rounding grows with the numbers, so must the tolerance. Measure it "
            "by the lengths, such as 1e-4 |forward(x)| |y|."
        )
    if any(0 < said[name] < 1 for name in TRUE_PAIRS):
        raise Wrong(
            "Of a true pair it says now True and now False, by the key. A sum of many "
            "products may come out near 0, and then a small share *of it* is less than "
            "float32 rounds. Measure the tolerance by the lengths, such as "
            "1e-4 |forward(x)| |y|."
        )


def _check_turned(result, w):
    given = numbers(result)
    kh, kw, c, c_out = w.shape
    start = "The test is right. The kernel: "
    flipped = w[::-1, ::-1]
    wanted = flipped.swapaxes(2, 3)
    for known, hint in [
        (w, "you changed nothing. Try it with your own test: it says False."),
        (
            flipped,
            "it is flipped, but its channels still go from the large picture to the "
            "small map. The way back begins with the map's.",
        ),
        (
            w.swapaxes(2, 3),
            "the channels are right, but it is not flipped. A tap that takes from the "
            "left gives to the left on the way back.",
        ),
        (w[::-1].swapaxes(2, 3), "flipped top to bottom only; left to right, too."),
        (w[:, ::-1].swapaxes(2, 3), "flipped left to right only; top to bottom, too."),
        (
            w.transpose(1, 0, 3, 2),
            "height and width are exchanged. Flip each of them; exchange none.",
        ),
        (
            w.T,
            "`.T` turns all four axes round: (C', C, width, height). Flip the first "
            "two, exchange the last two.",
        ),
        (
            w[::-1, ::-1, ::-1, ::-1].swapaxes(2, 3),
            "the channels are reversed as well. They are exchanged, not flipped.",
        ),
        (
            w.reshape(kh, kw, c_out, c),
            "`reshape` only reads the same numbers in other rows. Exchange axes with "
            "swapaxes.",
        ),
        (
            flipped.reshape(kh, kw, c_out, c),
            "flipped, but then `reshape` reads the numbers in other rows. Exchange the "
            "channels with swapaxes.",
        ),
        (
            np.rot90(w).swapaxes(2, 3),
            "a quarter turn. A flip of both sides is half a turn.",
        ),
        (wanted / 4, "divided by 4: an adjoint takes no mean."),
    ]:
        same = given.shape == wanted.shape and close(given, wanted)
        if given.shape == known.shape and close(given, known) and not same:
            raise Wrong(start + hint)
    if given.shape != wanted.shape:
        raise Wrong(
            f"{start}of {w.shape} you make {given.shape}; wanted {wanted.shape}, "
            f"(height, width, channels in, channels out) of the way back."
        )
    if not close(given, wanted):
        raise Wrong(
            f"{start}its shape is right, its numbers are not. Which tap of it joins "
            f"place u of the picture and place i of the map?"
        )


# --- 4.3 -----------------------------------------------------------------------


def pictures(answers):
    """4.3: one range for real ones and fakes, there and back."""
    seen, last, scale, unscale = split(answers, 4)
    there(seen, "seen")
    letter(
        seen,
        "b",
        {
            "a": "Put numbers in: a sigmoid of 0.01, a dark pixel. What is (0.01 + 1) "
            "/ 2, and what would black be?",
            "c": "The other way round: (1 + 1) / 2 is still white. What becomes of 0?",
            "d": "(p + 1) / 2 keeps the order: what is brighter stays brighter.",
        },
    )
    _check_last(last)
    _check_scale(scale)
    _check_unscale(unscale)
    passed(
        "Black is -1 and white is 1, for real ones and for fakes, and all 256 bytes "
        "come back as they were."
    )


def _check_last(last):
    start = "The prediction is right. G's last function: "
    a = np.linspace(-4, 4, 64, dtype=np.float32).reshape(2, 4, 8, 1)
    a = np.concatenate([a, np.full_like(a[:1], 50), np.full_like(a[:1], -50)])
    y = shape(call(last, jnp.asarray(a)), a.shape, "one number for each pixel")
    p = 1 / (1 + np.exp(-a.astype(np.float64)))
    for known, hint in [
        (p, "that is the friend's sigmoid, between 0 and 1."),
        (2 * p, "twice a sigmoid lies between 0 and 2. And then shift it."),
        (p - 0.5, "a sigmoid that is shifted, but only 1 wide: [-0.5, 0.5]."),
        ((np.tanh(a) + 1) / 2, "tanh is right, but you move it to [0, 1] again."),
        (np.tanh(p), "tanh *of the sigmoid*: it never gets below 0. Take tanh alone."),
        (a, "nothing holds the pixels within [-1, 1]."),
        (
            np.clip(a, -1, 1),
            "the range is right, but a clip has no slope outside of it: a pixel that "
            "has gone beyond is told nothing any more. Bend smoothly.",
        ),
        (np.maximum(a, 0), "a ReLU has no upper end, and nothing below 0."),
    ]:
        if close(y, known):
            raise Wrong(start + hint)
    if y.min() < -1 - 1e-6 or y.max() > 1 + 1e-6:
        raise Wrong(f"{start}its pixels lie in [{y.min():.2g}, {y.max():.2g}].")
    alone = numbers(call(last, jnp.asarray(a[:1])))
    if not close(alone, y[:1]):
        raise Wrong(
            f"{start}a picture alone comes out otherwise than among others. Don't "
            f"divide by what the batch holds: each pixel by itself."
        )
    if y[3].max() > -0.99 or y[2].min() < 0.99:
        raise Wrong(
            f"{start}at -50 and 50 it gives {y[3].max():.3f} and {y[2].min():.3f}. "
            f"Black must be within reach, and white."
        )
    try:
        at = jnp.linspace(-6, 6, 1201)
        slope = np.asarray(jax.vmap(jax.grad(lambda v: last(v)))(at))
    except Exception as error:
        raise Wrong(
            f"{start}JAX cannot take its slope: {type(error).__name__}. Use jnp or "
            f"nnx, not numpy."
        ) from error
    # Far out even tanh(2 a) is 1 to the last bit, and its slope 0. A clip gets there by
    # a kink: from one place to the next nothing is left of a slope that was large.
    within = np.abs(numbers(call(last, at))) < 0.999
    flat = (slope < 0).any() or (slope <= 1e-5)[within].any()
    before, after = slope[:-1] / slope.max(), slope[1:] / slope.max()
    kinks = (np.minimum(before, after) == 0) & (np.maximum(before, after) > 0.05)
    if flat or kinks.any():
        raise Wrong(
            f"{start}the range is right, but it is flat, or falls, in places where G "
            f"should learn. Bend smoothly, and always upwards."
        )


BYTES = np.arange(256, dtype=np.uint8).reshape(4, 8, 8, 1)


def _check_scale(scale):
    start = "G's last function is right. Real ones: "
    x, given, dim = BYTES.astype(np.float64), BYTES.copy(), BYTES[1:3].copy()
    made = shape(call(scale, given), BYTES.shape, "a number for each pixel")
    if not np.array_equal(given, BYTES):
        raise Wrong(f"{start}you change the bytes that were given. Make new numbers.")
    if made.dtype.kind != "f":
        raise Wrong(
            f"{start}they are {made.dtype} still, whole numbers that wrap round at 255 "
            f"or -128. Make them float first: images.astype(np.float32)."
        )
    for known, hint in [
        (x / 255, "they lie in [0, 1] now. G makes [-1, 1]: the same fault, reversed."),
        (x / 127.5, "they lie in [0, 2]: shift them."),
        (x / 255 - 1, "they lie in [-1, 0]: stretch them by 2 as well."),
        (x / 255 - 0.5, "they lie in [-0.5, 0.5]: right in the middle, half as wide."),
        (
            x / 128 - 1,
            "nearly. Divided by 128, white is 0.992 and not 1. The largest byte is "
            "255, so half the way is 127.5.",
        ),
        (
            (x - x.mean()) / x.std(),
            "standardised by the batch: the range depends on which pictures come.",
        ),
        ((x - 0.5) * 2, "the bytes are not divided by 255."),
        (1 - x / 127.5, "black is 1 and white -1: they are negatives."),
        (x, "they are the bytes still, from 0 to 255."),
        *(
            (
                wrapped,
                "half of the greys are wrong: bytes have wrapped round. Twice 200, as "
                "a byte, is 144, and 100 - 128 is 228. Make them float before you "
                "count with them: images.astype(np.float32).",
            )
            for wrapped in (
                (2 * x % 256) / 255 - 1,
                ((x - 128) % 256) / 127.5,
                ((x - 127) % 256) / 127.5,
                ((x - 128) % 256) / 128,
            )
        ),
    ]:
        if close(made, known, 1e-3):
            raise Wrong(start + hint)
    if not close(made, x / 127.5 - 1, 1e-5):
        raise Wrong(
            f"{start}0, 51 and 255 become {made.flat[0]:.3g}, {made.flat[51]:.3g} and "
            f"{made.flat[255]:.3g}; wanted -1, -0.6 and 1."
        )
    if not close(numbers(call(scale, dim)), made[1:3], 1e-5):
        raise Wrong(
            f"{start}right if there are black and white pixels among them. Dim "
            f"pictures are stretched: don't use the batch's own least and largest."
        )


def _check_unscale(unscale):
    start = "G and the real ones are right. For plotting: "
    x = BYTES.astype(np.float64)
    p = (x / 127.5 - 1).astype(np.float32)
    result = call(unscale, jnp.asarray(p))
    made = shape(result, BYTES.shape, "a byte for each pixel")
    whole = made.astype(np.float64)
    for known, hint in [
        (p, "they are G's numbers still: -1 is no byte."),
        ((p + 1) / 2, "those are floats in [0, 1]. Asked are bytes, 0 to 255."),
        (p * 255, "black would be -255: shift before you stretch."),
        ((p + 1) * 255, "white would be 510: the way is 2 long, from -1 to 1."),
        (np.clip(p, 0, 1) * 255, "all below 0, half of the greys, is cut to black."),
        (255 - x, "black is white: they are negatives."),
    ]:
        for v in (known, np.rint(known), np.trunc(known)):
            if close(whole, v, 1e-4):
                raise Wrong(start + hint)
            if made.dtype.kind != "f" and np.array_equal(made, _wrapped(v)):
                raise Wrong(f"{start}{hint} As bytes such numbers wrap round.")
    if made.dtype != np.uint8:
        if np.array_equal(np.rint(whole), x):
            raise Wrong(f"{start}right, but {made.dtype}. Round, then .astype(uint8).")
        raise Wrong(f"{start}give bytes, uint8; these are {made.dtype}.")
    if not np.array_equal(made, BYTES):
        away = np.abs(whole - x)
        if away.max() == 1:
            raise Wrong(
                f"{start}{int(away.sum())} of the 256 bytes come back off by one: "
                f"`astype` cuts off what is behind the point. Round first."
            )
        at = int(away.argmax())
        raise Wrong(
            f"{start}byte {at}, which is {p.flat[at]:.3f}, comes back as "
            f"{int(whole.flat[at])}. Undo your scaling: shift, stretch, round."
        )
    if not np.array_equal(numbers(call(unscale, jnp.asarray(p[1:3]))), BYTES[1:3]):
        raise Wrong(
            f"{start}right if there are black and white pixels among them. A dim "
            f"picture must stay dim: don't use the batch's own least and largest."
        )

    between = np.concatenate([x.ravel()[:-1] + part for part in (0.3, 0.7)])
    nearest = np.rint(between).reshape(2, 255, 1, 1)
    p = (between / 127.5 - 1).astype(np.float32).reshape(nearest.shape)
    off = (numbers(call(unscale, jnp.asarray(p))) != nearest).mean()
    if off:
        raise Wrong(
            f"{start}the 256 bytes come back. But G's pixels lie between them, and "
            f"{off:.0%} of those do not get the nearest byte. Round: np.rint."
        )


def _wrapped(values):
    return np.trunc(values).astype(np.int64).astype(np.uint8)


# --- 4.4 -----------------------------------------------------------------------


def checkerboard(answers):
    """4.4: count the stamps at each place, find even kernels, cure by upsampling."""
    touches, even, up = split(answers, 3)
    for n, k, s in itertools.product((5, 1, 2, 7), (3, 4, 5, 2, 1, 6), (2, 3, 1, 4)):
        _check_touches(call(touches, n, k, s), n, k, s)
    for stride, largest in ((3, 10), (2, 9), (1, 4), (4, 7)):
        _check_even(call(even, stride, largest), stride, largest)
    _check_up(up)
    passed(
        "The counts are right for 96 rows of stamps; a kernel that is a multiple of "
        "the stride covers the middle evenly; and upsampling before the convolution "
        "gives every place the same."
    )


def stamps(n, k, s):
    """How many of n stamps, k wide and s apart, cover each place."""
    counts = np.zeros((n - 1) * s + k, int)
    for i in range(n):
        counts[i * s : i * s + k] += 1
    return counts


def _check_touches(result, n, k, s):
    given, wanted = numbers(result), stamps(n, k, s)
    start = f"{n} places, kernel {k}, stride {s}: "
    if given.ndim == 2:
        raise Wrong(
            f"{start}you give a square of shape {given.shape}. Count along one side; a "
            f"square has the products."
        )
    together = stamps(n, k, 1)
    for known, hint in [
        (together, "your stamps are 1 apart. They are as far apart as the stride."),
        (
            np.minimum(wanted, 1),
            "you say whether a place is covered. Asked is by how many stamps.",
        ),
        (wanted - 1, "each count is one too few: begin at 0, and add 1 a stamp."),
        (wanted / k, "divided by the kernel: count the stamps, take no mean."),
    ]:
        same = given.shape == wanted.shape and close(given, wanted)
        if given.shape == known.shape and close(given, known) and not same:
            raise Wrong(start + hint)
    if given.shape == (n * s,) != wanted.shape:
        raise Wrong(
            f"{start}you give {n * s} places, as SAME does. Here nothing is cut off: "
            f"the last stamp begins at {(n - 1) * s} and covers {k}."
        )
    if given.shape != wanted.shape:
        raise Wrong(
            f"{start}you give an array of shape {given.shape}. The first stamp begins "
            f"at place 0, the last at {(n - 1) * s}, and it covers {k}: that makes "
            f"{len(wanted)} places."
        )
    if not close(given, wanted):
        at = int(np.flatnonzero(given != wanted)[0])
        raise Wrong(
            f"{start}place {at} is covered {wanted[at]} times, you say {given[at]:g}. "
            f"Stamp i covers the places i * stride to i * stride + kernel - 1."
        )


def _check_even(result, stride, largest):
    if isinstance(result, collections.abc.Iterable) and not hasattr(result, "shape"):
        result = list(result)
    given = sorted(np.atleast_1d(numbers(result)).ravel().tolist())
    sizes = range(1, largest + 1)
    wanted = [k for k in sizes if k % stride == 0]
    if given == wanted:
        return
    start = f"The counts are right. Stride {stride}, kernels up to {largest}: "
    for known, hint in [
        (
            [k for k in sizes if k % 2 == 0],
            "those are the even numbers. Asked is which kernel covers the middle "
            "*evenly*. Look at your counts.",
        ),
        ([k for k in sizes if k % 2], "odd kernels have a middle; that is no cure."),
        ([stride], "the stride itself is one of them. There are larger ones, too."),
        (
            [k for k in sizes if k >= stride],
            "those leave no gap. But they are not all even: look at a kernel of "
            "stride + 1.",
        ),
        (
            [k for k in wanted if k > 1],
            "a kernel of 1 covers each place once, which is even, too.",
        ),
        ([k for k in sizes if k > stride], "an overlap alone is no cure."),
        (
            [k for k in sizes if stride % k == 0],
            "you divide the stride by the kernel. The other way round.",
        ),
        (
            [k for k in sizes if k % stride],
            "those are just the uneven ones.",
        ),
        (
            [k for k in wanted if k < largest],
            "the largest is missing: range(1, n) ends before n.",
        ),
        ([0, *wanted], "a kernel of size 0 covers nothing."),
    ]:
        if given == known:
            raise Wrong(start + hint)
    raise Wrong(
        f"{start}you give {given}. Take your counts of many places, leave out a kernel "
        f"at either end, and see whether one number is left."
    )


def _check_up(up):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 5, 4, 3)).astype(np.float32)
    w = rng.normal(size=(3, 3, 3, 2)).astype(np.float32)
    result = numbers(call(up, jnp.asarray(x), jnp.asarray(w)))
    twice = x.repeat(2, 1).repeat(2, 2)

    def conv(x, padding="SAME", kernel=w, strides=(1, 1)):
        return np.asarray(_convolve(jnp.asarray(x), kernel, strides, padding))

    holes = np.zeros_like(twice)
    holes[:, ::2, ::2] = x
    smooth = jax.image.resize(x, twice.shape, "bilinear")
    start = "Counts and kernels are right. The cure: "
    wanted = conv(twice)
    for known, hint in [
        (conv(x), "nothing is upsampled. Double both sides first."),
        (
            conv(x).repeat(2, 1).repeat(2, 2),
            "you convolve first and upsample what comes out: every four pixels are "
            "alike, so nothing fine can be drawn. Turn the order round.",
        ),
        (
            conv(np.tile(x, (1, 2, 2, 1))),
            "`tile` puts four copies of the map side by side. Each place should become "
            "four, next to each other: jnp.repeat.",
        ),
        (
            conv(holes),
            "between the places you put zeros. That is the transposed convolution "
            "again, boards and all. Repeat the numbers instead.",
        ),
        (conv(x.repeat(4, 1)), "you repeat the rows twice, and the columns never."),
        (conv(x.repeat(2, 1)), "the rows are doubled; the columns, too."),
        (conv(x.repeat(2, 2)), "the columns are doubled; the rows, too."),
        (
            conv(twice, "VALID"),
            "the edges are cut off: VALID. With SAME the side is exactly doubled.",
        ),
        (conv(twice, strides=(2, 2)), "a stride of 2 halves again what was doubled."),
        (
            conv(smooth),
            "a smooth upsampling, which is a cure, too. Asked is the plain one: each "
            "place becomes four equal ones.",
        ),
        (conv(twice, kernel=w[::-1, ::-1]), "the kernel is turned round. Leave it."),
        (
            np.asarray(lax.conv_transpose(x, w, (2, 2), "SAME")),
            "that is a transposed convolution, with kernel 3 and stride 2: uneven.",
        ),
        (twice, "upsampled, and then not convolved: the kernel is not used."),
    ]:
        if result.shape == known.shape and close(result, known, 1e-3):
            raise Wrong(start + hint)
    result = shape(result, wanted.shape, "both sides doubled, the kernel's channels")
    if not close(result, wanted, 1e-3):
        raise Wrong(
            f"{start}the shape is right, the numbers are not. Each place becomes four "
            f"equal ones; then the kernel, with stride 1 and SAME."
        )


# --- 4.5 -----------------------------------------------------------------------


def mode(answers):
    """4.5: what a BatchNorm in the wrong mode does, and sampling in the right one."""
    alone, moved, still = split(answers, 3)
    there(alone, "alone")
    letter(
        alone,
        "c",
        {
            "a": "They would, if each latent were normalised by fixed numbers. In this "
            "mode the batch's own mean is taken away. What is left of a batch of one?",
            "b": "Not by chance: the network is the same, and so are the weights. What "
            "is left of a latent when the mean of its batch, itself, is taken away?",
            "d": "The variance of one is 0, and BatchNorm divides by its root. But it "
            "adds a small number first, so nothing is infinite.",
        },
    )
    start = "One alone: right. What moves: "
    there(moved, "moved")
    try:
        letter(
            moved,
            "b",
            {
                "a": "no gradient is taken, so no weights move. But a BatchNorm in "
                "this mode keeps more than weights.",
                "c": "weights move by a gradient, through an optimizer. Nobody took "
                "one.",
                "d": "the mode is a flag, and only you set it. What does a BatchNorm "
                "note down in training, batch by batch?",
            },
        )
    except Missing:
        raise
    except Wrong as wrong:
        raise Wrong(f"{start}{wrong}") from None
    _check_still(still)
    passed(
        "Your pictures depend on their latents alone, in any company; and G is as it "
        "was before: weights, statistics and mode."
    )


SMALL = (16, 16, 1), 2, 4  # shape, width, latent


def _trained():
    """A generator whose statistics have seen some batches."""
    generator = dcgan.Generator(*SMALL, rngs=nnx.Rngs(0))
    for i in range(3):
        generator(1 + 2 * jax.random.normal(jax.random.key(i), (12, 4)))
    return generator


def _parts(network):
    """(weights, running statistics, modes), the first two as flat numpy."""
    flags = [
        m.use_running_average
        for _, m in nnx.iter_modules(network)
        if isinstance(m, nnx.BatchNorm)
    ]
    return _flat(network, nnx.Param), _flat(network, nnx.BatchStat), flags


def _flat(thing, kind):
    leaves = jax.tree.leaves(nnx.state(thing, kind))
    return np.concatenate([np.ravel(a) for a in leaves]) if leaves else np.zeros(0)


def _check_still(still):
    start = "Both predictions are right. Sampling: "
    generator, z = _trained(), jax.random.normal(jax.random.key(9), (6, 4))
    wanted = np.asarray(gan.generate(generator, z))
    by_batch = np.asarray(nnx.clone(generator)(z))
    singly = np.concatenate([nnx.clone(generator)(z[i : i + 1]) for i in range(6)])
    before = _parts(generator)
    result = shape(
        call(still, generator, z),
        wanted.shape,
        "a picture for each latent vector, as G's",
    )
    after = _parts(generator)
    moved = not np.array_equal(before[1], after[1])
    if close(result, singly) and not close(result, wanted):
        raise Wrong(
            f"{start}one at a time, and each is normalised by itself: the same picture "
            f"for every latent vector."
        )
    if close(result, by_batch) and moved:
        raise Wrong(
            f"{start}it is as the friend's: by the batch's own statistics, and the "
            f"running ones have moved. Look at G through "
            f"nnx.view(generator, use_running_average=True)."
        )
    if close(result, by_batch):
        raise Wrong(
            f"{start}nothing moves any more. But a picture still depends on its "
            f"neighbours: the mean and variance are those of the batch. Ask for the "
            f"running ones."
        )
    if close(result, (wanted + 1) / 2):
        raise Wrong(f"{start}give the pictures as G makes them, in [-1, 1].")
    if moved and close(result, gan.generate(generator, z)):
        raise Wrong(
            f"{start}you use the running statistics, but on the way you have moved "
            f"them: G runs in training mode somewhere."
        )
    if close(result, call(still, nnx.clone(generator), -z)):
        raise Wrong(
            f"{start}two batches of latent vectors give the same pictures: use z."
        )
    if close(result, call(still, dcgan.Generator(*SMALL, rngs=nnx.Rngs(5)), z)):
        raise Wrong(
            f"{start}two generators give the same pictures: use the one that is given."
        )
    if not close(result, wanted):
        raise Wrong(
            f"{start}those are not the pictures that G makes with its running "
            f"statistics. Give what the network gives, and change nothing about it."
        )
    if moved:
        raise Wrong(
            f"{start}the pictures are right, but afterwards the running statistics "
            f"are others: after looking, G runs in training mode once more."
        )
    _check_kept(still, generator, z, before, after, start)


def _check_kept(still, generator, z, before, after, start):
    if after[2] != before[2]:
        raise Wrong(
            f"{start}the pictures are right. But you leave G in the other mode: if "
            f"training goes on, its BatchNorms no longer learn. A view of it, "
            f"nnx.view, leaves the original alone."
        )
    if not np.array_equal(before[0], after[0]):
        raise Wrong(f"{start}the pictures are right, but G's weights have changed.")
    generator.eval()
    call(still, generator, z)
    if not all(_parts(generator)[2]):
        raise Wrong(
            f"{start}right for a G in training. But one that comes in the other mode "
            f"is in training afterwards: don't set it back to what you suppose. A "
            f"view, nnx.view, leaves the original alone."
        )
    generator.train()
    more = jnp.concatenate([z[2:3], 5 + z])
    first = shape(call(still, generator, more), (7, 16, 16, 1), "a picture each")[:1]
    one = shape(call(still, generator, z[2:3]), (1, 16, 16, 1), "one picture")
    if not close(one, first):
        raise Wrong(f"{start}a picture alone comes out otherwise than in company.")


# --- 4.6 -----------------------------------------------------------------------


def statistics(answer):
    """4.6: a step of G that moves nothing of D."""
    before, after, loss = _after(answer)
    _, wanted, right_loss = _friends_step()
    names = ("weights", "running statistics", "modes")
    d_moved, g_moved, g_right = (
        {n: not _same(a, b) for n, a, b in zip(names, one, other, strict=True)}
        for one, other in (
            (before["D"], after["D"]),
            (before["G"], after["G"]),
            (wanted["G"], after["G"]),
        )
    )
    _check_d(d_moved)
    _check_g(g_moved, g_right, after, wanted)
    if loss is None or not close(loss, right_loss, 1e-3):
        raise Wrong("G and D are as they should be. Return G's loss, one number.")
    passed(
        "G moves just as in the friend's step, and its statistics with it. Of D "
        "nothing moves: no weight, no statistic, no mode."
    )


def _game():
    shape = (16, 16, 1)
    generator = dcgan.Generator(shape, 2, 4, rngs=nnx.Rngs(0))
    discriminator = dcgan.Discriminator(shape, 2, norm=True, rngs=nnx.Rngs(1))
    keys = jax.random.split(jax.random.key(2), 5)
    for key in keys[:3]:  # statistics that are not those of a beginner
        generator(1 + jax.random.normal(key, (10, 4)))
        discriminator(jax.random.uniform(key, (10, *shape), minval=-1, maxval=0.5))
    optimizer = nnx.Optimizer(generator, optax.sgd(0.5), wrt=nnx.Param)
    return generator, discriminator, optimizer, jax.random.normal(keys[4], (10, 4))


def _after(step):
    """What both networks hold before and after a step, and what it returns."""
    generator, discriminator, optimizer, z = _game()
    networks = {"G": generator, "D": discriminator}
    before = {name: _parts(network) for name, network in networks.items()}
    try:
        loss = call(step, generator, discriminator, optimizer, z)
    except Wrong as wrong:
        if "TraceContextError" in str(wrong):
            raise Wrong(
                "Flax refuses: inside the loss you change a network that comes from "
                "outside of it. Give it to the loss as an argument."
            ) from None
        if "pytree" in str(wrong).lower() or "custom node type" in str(wrong).lower():
            raise Wrong(
                "The gradients do not fit what they are given to: g_optimizer belongs "
                "to G. Take the gradient by G, the loss's first argument, and give "
                "update G and its gradient."
            ) from None
        if not str(wrong).startswith("It returns nothing"):
            raise
        loss = None
    after = {name: _parts(network) for name, network in networks.items()}
    after["steps"] = int(optimizer.step[...])
    if loss is not None:
        loss = shape(loss, (), "G's loss, one number")
    return before, after, loss


@functools.cache
def _friends_step(**change):
    """What the friend's step leaves behind, or one that differs in `change`."""
    return _after(functools.partial(_g_step, **change))


def _g_step(
    generator, discriminator, optimizer, z, loss=gan.g_loss, judge=nnx.clone, times=1
):
    def of(generator, discriminator):
        return loss(discriminator(generator(z)))

    judge = judge(discriminator)
    value, grads = nnx.value_and_grad(of)(generator, judge)
    optimizer.update(generator, grads)
    for _ in range(times - 1):
        nnx.clone(generator)(z)
    return value


def _same(a, b):
    if isinstance(a, list):
        return a == b
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=1e-3, atol=1e-5))


def _check_d(moved):
    if moved["weights"]:
        raise Wrong(
            "D's weights have moved. This is G's step: one update, of the generator."
        )
    if moved["modes"]:
        raise Wrong(
            "You leave D in another mode than it came in: in its next step its "
            "BatchNorms no longer learn. Set nothing; give the loss a copy of D."
        )
    if moved["running statistics"]:
        raise Wrong(
            "D's weights rest, but its running mean and variance have moved, towards "
            "the fakes of this step. No gradient does that: D's BatchNorms note down "
            "every batch that comes by. Let a copy of D judge, one that is thrown "
            "away: nnx.clone. (Did you note them down and put them back? nnx.state "
            "holds the variables themselves, which move under your hands.)"
        )


def _check_g(moved, wrong, after, wanted):
    start = "D rests. "
    if not moved["weights"] and not after["steps"]:
        raise Wrong(f"{start}So does G: its optimizer is never asked.")
    if not moved["weights"]:
        raise Wrong(
            f"{start}So does G: its gradient is 0. The copy is for D alone; from the "
            f"loss through D to G's weights nothing may be stopped or copied."
        )
    if wrong["modes"]:
        raise Wrong(f"{start}But G is left in another mode than it came in.")
    if wrong["weights"]:
        _check_moves(after["G"][0], start)
    if not moved["running statistics"]:
        raise Wrong(
            f"{start}G moves rightly, but its own running statistics don't any more. "
            f"They are G's, and it will need them when it draws. Copy D alone."
        )
    if wrong["running statistics"]:
        raise Wrong(
            f"{start}G moves rightly, but its running statistics have moved otherwise "
            f"than in the friend's step. Is G called once more on the way?"
        )


def _running(discriminator):
    return nnx.view(discriminator, use_running_average=True)


def _as_fake(logits):
    return -gan.g_loss_saturating(logits)


def _check_moves(weights, start):
    for how, hint in [
        (
            dict(judge=_running),
            "But G moves otherwise than in the friend's step: D now judges by its "
            "running statistics, as it does when training is over. In training it "
            "judges by the batch's. Keep the mode, and throw away what it notes.",
        ),
        (
            dict(loss=gan.g_loss_saturating),
            "But that is the min-max loss. The loss was right: gan.g_loss.",
        ),
        (
            dict(loss=_as_fake),
            "But G learns to be found out: the target is turned round.",
        ),
    ]:
        if _same(_friends_step(**how)[1]["G"][0], weights):
            raise Wrong(start + hint)
    raise Wrong(
        f"{start}But G does not move as in the friend's step, which was right for G: "
        f"the same latent vectors, the same loss, one update."
    )


# --- 4.7 -----------------------------------------------------------------------

HALF, WHOLE = 12, 30  # steps


def resume(answers):
    """4.7: stopped after HALF steps, resumed up to WHOLE, with the same bits."""
    first, second, one_go = split(answers, 3)
    there(first, "first_half")
    there(second, "second_half")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder) / "run"
        _quietly(first, folder)
        before = _saved(folder)
        _check_saved(before)
        objects, history = _result(_quietly(second, folder))
        after = _saved(folder)
    wanted, whole = one_go(WHOLE)
    length = len(next(iter(history.values())))
    went_on = {step for step in after if after[step] == before[HALF]}
    if not _alike(objects, wanted):
        _check_steps(objects, length, went_on, one_go)
        _check_bits(length, history, whole)
    if WHOLE not in went_on:
        raise Wrong(
            f"The bits are right. But the second half did not begin at step {HALF}: it "
            f"did all {WHOLE} again. Where the first half saved there is nothing new. "
            f"Give both calls the same folder."
        )
    if length != WHOLE or not _same_history(history, whole):
        raise Wrong(
            f"The networks are right, the history is not: it has {length} steps. "
            f"Return it as fit gives it, the steps before the stop included."
        )
    passed(
        f"Stopped after step {HALF}, resumed, done at step {WHOLE}: weights, running "
        f"statistics and Adam's memory are those of one go, to the last bit, and so is "
        f"the history."
    )


def _quietly(function, folder):
    """Call it; fit's lines name a folder that nobody knows, so they are not shown."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return call(function, folder)
    except Missing:
        raise
    except Wrong as wrong:
        said = str(wrong)
        if said.startswith("It returns nothing"):
            return None
        for clue, hint in RESUMED:
            if clue in said:
                raise Wrong(f"{hint} fit says: {said}") from None
        raise


RESUMED = [  # (what fit says, a hint)
    (
        "of another run: key is",
        "The two halves have different keys. The key says in which order the pictures "
        "come, and which latent vectors: both halves get the same.",
    ),
    (
        "of another run: batch_size is",
        "The two halves have batches of different size.",
    ),
    (
        "of another run: the data",
        "The two halves are given different data. fit finds the place by itself: give "
        "all of it again.",
    ),
    (
        "of another run",
        "What lies in the folder belongs to another run.",
    ),
    (
        "of another architecture: it has no objects[",
        "What was saved is less than training needs: networks alone are not a run.",
    ),
    (
        "of another architecture",
        "The networks or optimizers of the two halves differ.",
    ),
]


def _saved(folder):
    """{step: where} of the checkpoints in a folder, or below it."""
    places = [p.parent for p in Path(folder).rglob("record.json")]
    return {int(p.name): p.parent for p in places if p.name.isdigit()}


def _check_saved(there):
    if not there:
        raise Wrong(
            "After the first half there is no checkpoint in the folder. fit saves only "
            "where it is told to: resume=folder, in the first call already."
        )
    if max(there) >= WHOLE:
        raise Wrong(
            f"The first half goes to step {max(there)}. It should end after step "
            f"{HALF}, as if somebody had pulled the plug."
        )
    if max(there) != HALF:
        raise Wrong(
            f"The first half ends after step {max(there)}; it should be {HALF}."
        )


def _result(result):
    """(objects, history) of what the second half returns."""
    if result is None:
        raise Wrong("The second half returns nothing. `return objects, history`.")
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise Wrong("The second half returns two things: `return objects, history`.")
    objects, history = result
    if not isinstance(history, dict) or not history:
        raise Wrong(
            f"The history is what fit returns, a dict; this is a "
            f"{type(history).__name__}. `return objects, history`."
        )
    several = isinstance(objects, (tuple, list))
    kinds = [isinstance(o, nnx.Optimizer) for o in objects] if several else []
    if kinds != [False, False, True, True]:
        raise Wrong("The objects are G, D and their two optimizers, in this order.")
    return objects, history


def _alike(objects, others):
    """The same bits?"""
    pairs = zip(objects, others, strict=True)
    states = [[jax.tree.leaves(nnx.state(o)) for o in pair] for pair in pairs]
    return all(len(a) == len(b) and all(map(np.array_equal, a, b)) for a, b in states)


def _same_history(history, whole):
    return history.keys() == whole.keys() and all(
        np.array_equal(history[name], whole[name]) for name in whole
    )


def _check_steps(objects, length, went_on, one_go):
    """Are the steps too few or too many? `went_on`: checkpoints beside the first's."""
    rest = WHOLE - HALF
    steps = [int(o.step[...]) for o in objects if isinstance(o, nnx.Optimizer)]
    last = max(steps)
    if last == HALF and length == HALF:
        raise Wrong(
            f"The second half trained nothing: the objects are those of step {HALF}. "
            f"fit counts from the beginning of the run, not from where it goes on."
        )
    if last == rest and rest in went_on:
        raise Wrong(
            f"The run ends at step {rest}. Those are the steps that remain; fit counts "
            f"from the run's beginning. How many are they in all?"
        )
    if last == rest and _alike(objects, one_go(rest)[0]):
        raise Wrong(
            f"The second half knows nothing of the first: {rest} steps from new "
            f"networks. Give it resume=folder, too, and say how long the *whole* run "
            f"is."
        )
    if last == rest:
        raise Wrong(
            f"The optimizers have seen {rest} steps and not {WHOLE}: they began again, "
            f"and Adam has forgotten how large the gradients are. fit saves networks "
            f"and optimizers together, and restores both."
        )
    if last > WHOLE:
        raise Wrong(
            f"The run has gone to step {last}. `steps` counts from the beginning of "
            f"the run: the first half's are in it."
        )
    if steps == [0, 0]:
        raise Wrong(
            "The optimizers have done no step at all: these are new objects. Return "
            "the ones that you gave to fit; it fills them."
        )
    if steps != [WHOLE, WHOLE]:
        raise Wrong(f"The optimizers have done {steps} steps; wanted {WHOLE} each.")


def _check_bits(length, history, whole):
    """As many steps, and other numbers: why?"""
    if length == WHOLE - HALF:
        raise Wrong(
            "Networks and optimizers went on, but fit began to count again: the order "
            "of the pictures, and the latents, are those of step 1 again. Let fit "
            "itself find the place: resume=folder."
        )
    name = next(iter(whole))
    if length == WHOLE and history[name][0] != whole[name][0]:
        raise Wrong(
            "Both halves fit together, but from the first step on it is another run "
            "than the one in one go: another key, batch size or beginning."
        )
    raise Wrong(
        "The steps are as many as they should be, but the bits differ. Both calls are "
        "those of one_go, with the same arguments, but for resume and steps."
    )
