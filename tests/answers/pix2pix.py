"""Right answers to chapter 6's exercises, and the mistakes that learners make.

Those in the checks' own tables are handed in as they stand there.
"""

import re

import jax
import jax.numpy as jnp
import numpy as np

from gencourse.checks import pix2pix as checks


def blank(*given):
    raise NotImplementedError


def table(name, *, at=None, others=()):
    """(answer, pattern of its hint) for each mistake of a table, in its place `at`."""
    for wrong, hint in checks.MISTAKES[name]:
        answer = wrong if at is None else [*others[:at], wrong, *others[at + 1 :]]
        yield answer, re.escape(hint)


# --- 6.1 -----------------------------------------------------------------------


def drawn(key, n, low=-3, high=4):
    down, right, coin = jax.random.split(key, 3)
    return (
        jax.random.randint(down, (n,), low, high),
        jax.random.randint(right, (n,), low, high),
        jax.random.bernoulli(coin, 0.5, (n,)),
    )


def moved(pictures, down, right, mirrored, fill=1.0, **how):
    """Shift and mirror each picture; the mode of jnp.pad, or white."""
    how = how or dict(constant_values=fill)
    pads = ((0, 0), (8, 8), (8, 8), (0, 0))
    pictures = jnp.where(mirrored[:, None, None, None], pictures[:, :, ::-1], pictures)

    def one(padded, d, r):
        start = (8 - d, 8 - r, 0)
        side = padded.shape[0] - 16
        return jax.lax.dynamic_slice(padded, start, (side, side, padded.shape[-1]))

    return jax.vmap(one)(jnp.pad(pictures, pads, **how), down, right)


def jitter(x, y, key):
    how = drawn(key, len(x))
    return moved(x, *how), moved(y, *how)


def by_a_loop(x, y, key):
    pairs = []
    for one_x, one_y, k in zip(x, y, jax.random.split(key, len(x)), strict=True):
        rng = np.random.default_rng(np.asarray(jax.random.key_data(k)))
        down, right = rng.integers(-3, 4, 2)
        both = np.concatenate([one_x, one_y], axis=-1)
        both = both[:, ::-1] if rng.random() < 0.5 else both
        framed = np.pad(both, ((3, 3), (3, 3), (0, 0)), constant_values=1)
        cut = framed[3 - down : 15 - down, 3 - right : 15 - right]
        pairs.append((cut[..., :1], cut[..., 1:]))
    return [np.stack(side) for side in zip(*pairs, strict=True)]


def jitter_by(of_x=None, of_y=None, **how):
    """An answer whose draws are changed: functions of (key, n)."""

    def answer(x, y, key):
        a = (of_x or drawn)(key, len(x))
        b = (of_y or of_x or drawn)(key, len(x))
        return moved(x, *a, **how), moved(y, *b, **how)

    return answer


def other_draw(key, n):
    return drawn(jax.random.fold_in(key, 1), n)


def other_coins(key, n):
    return (*drawn(key, n)[:2], other_draw(key, n)[2])


def other_shifts(key, n):
    return (*other_draw(key, n)[:2], drawn(key, n)[2])


def no_move(key, n):
    still = jnp.zeros(n, int)
    return still, still, still.astype(bool)


def one_for_all(key, n):
    return [jnp.broadcast_to(a, (n,)) for a in drawn(key, 1)]


def half_open(key, n):
    return drawn(key, n, high=3)


def too_far(key, n):
    return drawn(key, n, -5, 6)


def only_mirrored(key, n):
    return (*no_move(key, n)[:2], drawn(key, n)[2])


def never_mirrored(key, n):
    return (*drawn(key, n)[:2], no_move(key, n)[2])


def all_mirrored(key, n):
    return (*drawn(key, n)[:2], ~no_move(key, n)[2])


def seldom_mirrored(key, n):
    coin = jax.random.bernoulli(key, 0.1, (n,))
    return (*drawn(key, n)[:2], coin)


def one_coin(key, n):
    coin = jax.random.bernoulli(jax.random.fold_in(key, 7))
    return (*drawn(key, n)[:2], jnp.full(n, coin))


def uneven(key, n):
    keys = jax.random.split(key, 3)
    shifts = [
        jnp.round(jax.random.uniform(k, (n,), minval=-3, maxval=3)).astype(int)
        for k in keys[:2]
    ]
    return (*shifts, jax.random.bernoulli(keys[2], 0.5, (n,)))


def by_the_shift(key, n):
    down, right, _ = drawn(key, n)
    return down, right, (down + right) % 2 == 0


def from_0(key, n):
    return drawn(key, n, low=0)


def diagonal(key, n):
    down, _, coin = drawn(key, n)
    return down, down, coin


def only_down(key, n):
    down, _, coin = drawn(key, n)
    return down, jnp.zeros(n, int), coin


def fixed_key(x, y, key):
    return jitter(x, y, jax.random.key(3))


def by_numpy(x, y, key):
    return jitter(x, y, jax.random.key(np.random.randint(1 << 30)))


def upside_down(x, y, key):
    how = drawn(key, len(x))
    turned = (jnp.flip(moved(a, *how), 1) for a in (x, y))
    return tuple(turned)


def cut_smaller(x, y, key):
    return x[:, 2:-2, 2:-2], y[:, 2:-2, 2:-2]


def only_x(x, y, key):
    return jitter(x, y, key)[0], y


def y_grey_at_the_edge(x, y, key):
    how = drawn(key, len(x))
    return moved(x, *how), moved(y, *how, fill=0.0)


# --- 6.2 -----------------------------------------------------------------------


def from_the_end(layers):
    """The other way to do it: a patch grows from one logit back to the pixels."""
    pixels = 1
    for kernel, stride, dilation in reversed(layers):
        pixels = (pixels - 1) * stride + (kernel - 1) * dilation + 1
    return pixels


def by_changing(network, y):
    """By hand: change each row of the picture and see whether the logit moves."""
    h, w = network(y).shape[1:]
    before = float(network(y)[0, h // 2, w // 2])
    moves = [
        float(network(y.at[:, i].add(0.5))[0, h // 2, w // 2]) != before
        for i in range(y.shape[1])
    ]
    return sum(moves)


# --- 6.4 -----------------------------------------------------------------------


def favourite_by_loops(colours):
    costs = []
    for mine in np.asarray(colours):
        costs.append(sum(abs(mine - other).mean() for other in np.asarray(colours)))
    return jnp.argmin(jnp.array(costs))


def turning_in_jax(colours, gain):
    colours = jnp.asarray(colours)
    real = jnp.abs(colours[:, None] - colours[None]).mean((1, 2)).min()
    return gain / (
        real - jnp.abs(colours - jnp.median(colours, axis=0, keepdims=True)).mean()
    )


# --- 6.5 -----------------------------------------------------------------------


def norm_in_jax(h):
    mean = h.mean((1, 2), keepdims=True)
    return (h - mean) / jnp.sqrt(((h - mean) ** 2).mean((1, 2), keepdims=True) + 1e-5)


def norm_by_a_loop(h):
    result = np.zeros(h.shape)
    for b, c in np.ndindex(h.shape[0], h.shape[3]):
        one = np.asarray(h[b, :, :, c], np.float64)
        result[b, :, :, c] = (one - one.mean()) / np.sqrt(one.var() + 1e-5)
    return result.tolist()


def norm_without_epsilon(h):
    return (h - h.mean((1, 2), keepdims=True)) / h.std((1, 2), keepdims=True)


def change_in_jax(translate, x, others, more):
    two = [translate(jnp.stack([x, *rest]))[0] for rest in (others, more)]
    return jnp.max(jnp.abs(two[0] - two[1]))


# --- 6.6 -----------------------------------------------------------------------


def sides_evenly(translate, x, multiple):
    over = [-n % multiple for n in x.shape[1:3]]
    pads = [(n // 2, n - n // 2) for n in over]
    result = translate(jnp.pad(x, [(0, 0), *pads, (0, 0)], mode="edge"))
    (top, _), (left, _) = pads
    return result[:, top : top + x.shape[1], left : left + x.shape[2]]


def sides_compiled(translate, x, multiple):
    translate, (height, width) = jax.jit(translate), x.shape[1:3]
    pads = ((0, 0), (0, -height % multiple), (0, -width % multiple), (0, 0))
    return translate(np.pad(x, pads, mode="edge"))[:, :height, :width]


def sides_by_eight(translate, x, multiple):
    return sides_evenly(translate, x, 8)


def sides_mirrored_with_the_edge(translate, x, multiple):
    pads = ((0, 0), (0, -x.shape[1] % multiple), (0, -x.shape[2] % multiple), (0, 0))
    result = translate(jnp.pad(x, pads, mode="symmetric"))
    return result[:, : x.shape[1], : x.shape[2]]


def sides_cut_by_minus(translate, x, multiple):
    over = [-n % multiple for n in x.shape[1:3]]
    pads = ((0, 0), (0, over[0]), (0, over[1]), (0, 0))
    return translate(jnp.pad(x, pads, mode="edge"))[:, : -over[0], : -over[1]]


def sides_always_more(translate, x, multiple):
    pads = [(0, multiple - n % multiple) for n in x.shape[1:3]]
    result = translate(jnp.pad(x, [(0, 0), *pads, (0, 0)], mode="edge"))
    return result[:, : x.shape[1], : x.shape[2]]


def sides_as_they_are(translate, x, multiple):
    return translate(x)


def sides_of_the_height(translate, x, multiple):
    over = -x.shape[1] % multiple
    pads = [(0, 0), (0, over), (0, over), (0, 0)]
    return translate(jnp.pad(x, pads, mode="edge"))[:, : x.shape[1], : x.shape[2]]


def sides_twice_as_far(translate, x, multiple):
    pads = [(0, -n % multiple and multiple + -n % multiple) for n in x.shape[1:3]]
    result = translate(jnp.pad(x, [(0, 0), *pads, (0, 0)], mode="edge"))
    return result[:, : x.shape[1], : x.shape[2]]


def sides_transposed(translate, x, multiple):
    return sides_evenly(translate, x, multiple).swapaxes(1, 2)


FIELD = [checks.field_right, checks.seen_right]
WEIGHT = [checks.favourite_right, checks.turning_right, "c"]
COMPANY = [checks.norm_right, checks.change_right, "b"]
GAMES = list("cbade")

EXERCISES = {
    "jitter": {
        "right": [jitter, by_a_loop],
        "wrong": [
            (jitter_by(of_y=other_draw), "torn apart"),
            (jitter_by(of_y=other_coins), "not mirrored alike"),
            (jitter_by(of_y=other_shifts), "not shifted alike"),
            (only_x, "Only x is moved"),
            (jitter_by(only_mirrored), "Nothing is shifted[.]"),
            (jitter_by(only_down), "Nothing is shifted to the sides"),
            (jitter_by(one_for_all), "One shift for the whole batch"),
            (jitter_by(half_open), r"by \[3\] never come"),
            (jitter_by(too_far), "shifted by 5 pixels"),
            (jitter_by(never_mirrored), "None is mirrored"),
            (jitter_by(all_mirrored), "All are mirrored"),
            (jitter_by(seldom_mirrored), "% are mirrored"),
            (jitter_by(diagonal), "always alike"),
            (fixed_key, "Another key"),
            (by_numpy, "The same key"),
            (jitter_by(fill=0.0), "grey in"),
            (jitter_by(fill=-1.0), "black"),
            (jitter_by(mode="edge"), "drawn out"),
            (jitter_by(mode="wrap"), "`roll`"),
            (jitter_by(mode="reflect"), "own mirror image"),
            (upside_down, "neither shifted"),
            (cut_smaller, "the shapes stay"),
            (y_grey_at_the_edge, "Is its edge white"),
            (lambda x, y, key: x, "Return two arrays"),
            (jitter_by(one_coin), "One coin for the whole batch"),
            (jitter_by(uneven), "are not even"),
            (jitter_by(by_the_shift), "not independently"),
            (jitter_by(from_0), r"by \[-3, -2, -1\] never come[.]$"),
        ],
        "blank": blank,
    },
    "field": {
        "right": [FIELD, [from_the_end, by_changing]],
        "wrong": [
            *table("field", at=0, others=FIELD),
            *table("seen", at=1, others=FIELD),
            ([lambda layers: 17, checks.seen_right], "For .* it gives 17"),
        ],
        "blank": [blank, blank],
    },
    "games": {
        "right": [GAMES, tuple("CBADE")],
        "wrong": [
            (["b", "b", "a", "d", "e"], "p is not b"),
            (["c", "c", "a", "d", "e"], "q is not c"),
            (["c", "b", "d", "d", "e"], "r is not d"),
            (["c", "b", "a", "e", "e"], "s is not e"),
            (["c", "b", "a", "d", "a"], "t is not a"),
            (["c", "b", "a", "d", "f"], "none of the options"),
        ],
        "blank": [...] * 5,
    },
    "weight": {
        "right": [WEIGHT, [favourite_by_loops, turning_in_jax, "c"]],
        "wrong": [
            *table("favourite", at=0, others=WEIGHT),
            *table("turning", at=1, others=WEIGHT),
            ([*WEIGHT[:2], "a"], "judged each colour by itself"),
            ([*WEIGHT[:2], "b"], "Above the turning weight"),
            ([*WEIGHT[:2], "d"], "G cannot know it"),
        ],
        "blank": [blank, blank, ...],
    },
    "company": {
        "right": [
            COMPANY,
            [norm_in_jax, change_in_jax, "B"],
            [norm_by_a_loop, change_in_jax, "b"],
        ],
        "wrong": [
            *table("norm", at=0, others=COMPANY),
            ([norm_without_epsilon, *COMPANY[1:]], "becomes NaN"),
            *table("change", at=1, others=COMPANY),
            ([*COMPANY[:2], "a"], "What is left"),
            ([*COMPANY[:2], "c"], "above the line"),
            ([*COMPANY[:2], "d"], "LayerNorm"),
        ],
        "blank": [blank, blank, ...],
    },
    "sides": {
        "right": [checks.sides_right, sides_evenly, sides_compiled],
        "wrong": [
            *table("sides"),
            (sides_always_more, "fit already"),
            (sides_as_they_are, "13 x 30 pixels, and both"),
            (sides_of_the_height, "16 x 33 pixels, and both"),
            (sides_twice_as_far, "the next multiple, and"),
            (sides_transposed, "the sides of x were asked"),
            (sides_by_eight, "went in as 16 x 16"),
            (sides_mirrored_with_the_edge, "Does the frame repeat"),
            (sides_cut_by_minus, "A slice `:-0` is empty"),
            (lambda t, x, m: (sides_evenly(t, x, m),), "A tuple"),
            (lambda t, x, m: x, "with 1 channels"),
        ],
        "blank": blank,
    },
}
