"""Checks of chapter 6's exercises.

A mistake that can be written as an answer stands in a table, MISTAKES, with its hint:
the check compares what comes out, and the tests hand the same functions in.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gencourse import pix2pix
from gencourse.checks import (
    Mistakes,
    Wrong,
    call,
    close,
    letter,
    numbers,
    passed,
    split,
    there,
)

MISTAKES = Mistakes()
mistake, compare = MISTAKES.enter, MISTAKES.compare


# --- 6.1 -----------------------------------------------------------------------

REACH = 3
WHITE = 1.0


def jitter(answer):
    """6.1: shift and mirror both of a pair alike."""
    n, side = 1000, 12
    rng = np.random.default_rng(0)
    one = rng.uniform(-0.9, 0.9, (side, side, 1)).astype(np.float32)
    pair = one, np.concatenate([one / 2, -one, one - 0.05], axis=-1)
    x, y = (np.broadcast_to(a, (n, *a.shape)) for a in pair)  # any move can be told
    given = jnp.asarray(x), jnp.asarray(y)
    results = []
    for seed in (0, 0, 1, 2, 3):
        key = jax.random.key(seed)
        result = call(answer, *given, key)
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise Wrong("Return two arrays: the new x and the new y.")
        results.append([numbers(a) for a in result])
    (new_x, new_y), again, *others = results
    if new_x.shape != x.shape or new_y.shape != y.shape:
        raise Wrong(
            f"Pairs {x.shape} and {y.shape} came out as {new_x.shape} and "
            f"{new_y.shape}: the shapes stay."
        )
    moves = _moves_of(pair[0], new_x)
    if None in moves:
        _name_the_edge(pair[0], new_x)
    _check_alike(moves, _moves_of(pair[1], new_y))
    _check_moves(*np.array(moves).T, [_moves_of(pair[0], new) for new, _ in others])
    if not np.array_equal(again[0], new_x):
        raise Wrong(
            "The same key moves them otherwise. Chance comes from the key alone, by "
            "jax.random: else nobody can repeat your run."
        )
    if np.array_equal(others[0][0], new_x):
        raise Wrong("Another key moves them just so: use the key that comes in.")
    _check_even(np.array(moves))
    passed("Both of a pair are moved alike, and each pair in its own way.")


def _moved(picture, down, right, mirrored, fill=WHITE, mode="constant"):
    """Shift (side, side, C) by whole pixels, after mirroring."""
    picture = picture[:, ::-1] if mirrored else picture
    m, side = 2 * REACH, len(picture)
    pads = ((m, m), (m, m), (0, 0))
    options = dict(constant_values=fill) if mode == "constant" else {}
    padded = np.pad(picture, pads, mode=mode, **options)
    return padded[m - down : m - down + side, m - right : m - right + side]


def _moves_of(picture, results, **how):
    """[(down, right, mirrored), or None where none fits] for each result."""
    steps = range(-2 * REACH, 2 * REACH + 1)
    moves = list(itertools.product(steps, steps, (False, True)))
    wanted = np.stack([_moved(picture, *move, **how).ravel() for move in moves])
    rows = results.reshape(len(results), 1, -1)
    near = [np.abs(wanted - row).max(axis=1) for row in rows]
    return [moves[d.argmin()] if d.min() < 1e-5 else None for d in near]


def _name_the_edge(picture, results):
    for how, hint in [
        (dict(fill=0.0), "0, which is grey in [-1, 1]. White is 1."),
        (dict(fill=-1.0), "black. White is 1."),
        (dict(mode="edge"), "the edge's own pixels, drawn out. White, 1, was asked."),
        (dict(mode="reflect"), "the picture's own mirror image. White, 1, was asked."),
        (
            dict(mode="wrap"),
            "what has left on the other side: that is `roll`. White, 1, was asked.",
        ),
    ]:
        if None not in _moves_of(picture, results, **how):
            raise Wrong(f"What comes in at the edge is {hint}")
    raise Wrong(
        f"A picture came out that is x neither shifted by up to {REACH} pixels nor "
        f"mirrored left to right, with white at the edge. Try it on one picture whose "
        f"pixels are 0, 1, 2, ..."
    )


def _check_alike(moves, moves_of_y):
    if moves == moves_of_y:
        return
    if set(moves_of_y) == {(0, 0, False)}:
        raise Wrong("Only x is moved. The pair must stay one: move y alike.")
    parts = list(zip(moves, moves_of_y, strict=True))
    if all(m and n and m[:2] == n[:2] for m, n in parts):
        raise Wrong("x and y are shifted alike, but not mirrored alike.")
    if all(m and n and m[2] == n[2] for m, n in parts):
        raise Wrong("x and y are mirrored alike, but not shifted alike.")
    if None in moves_of_y:
        raise Wrong("x is as it should be; y is not. Is its edge white too?")
    raise Wrong(
        "x moves one way and y another. Draw the numbers once, and use them for both: "
        "else what belongs together is torn apart."
    )


def _check_even(moves):
    """Hold that all moves come about as often: by chi squared, which is 97 on average
    and hardly ever above 180."""
    cells, side = np.zeros((2 * REACH + 1, 2 * REACH + 1, 2)), 2 * REACH + 1
    np.add.at(cells, tuple(moves.T + [[REACH], [REACH], [0]]), 1)
    expected = len(moves) / cells.size
    if ((cells - expected) ** 2 / expected).sum() < 180:
        return
    for name, axis in (("down", 0), ("to the right", 1)):
        counts = cells.sum(axis=tuple({0, 1, 2} - {axis}))
        if ((counts - len(moves) / side) ** 2).max() > 30 * len(moves) / side:
            least = int(counts.argmin())
            raise Wrong(
                f"Shifts {name} are not even: by {least - REACH} {counts[least]:.0f} "
                f"of {len(moves)} times, where {len(moves) / side:.0f} would be even."
            )
    raise Wrong(
        "Each number by itself comes evenly, but not independently of the others: of "
        f"the {cells.size} moves {int((cells == 0).sum())} never came. Draw the shift "
        "down, the shift to the right and the mirror from three keys."
    )


def _check_moves(down, right, mirrored, others):
    far = max(abs(down).max(), abs(right).max())
    if far > REACH:
        raise Wrong(f"Some are shifted by {far} pixels: {REACH} at most.")
    if far == 0:
        raise Wrong("Nothing is shifted.")
    if len(set(zip(down, right, strict=True))) == 1:
        raise Wrong("One shift for the whole batch: draw one for every pair.")
    shares = {np.mean([move[2] for move in other]) for other in others}
    if {mirrored.mean(), *shares} == {0.0, 1.0}:
        raise Wrong("One coin for the whole batch: toss one for every pair.")
    if mirrored.all() or not mirrored.any():
        which = "All are" if mirrored.all() else "None is"
        raise Wrong(f"{which} mirrored: every one with a chance of one half.")
    for name, shifts in (("up and down", down), ("to the sides", right)):
        if not shifts.any():
            raise Wrong(f"Nothing is shifted {name}.")
        missing = set(range(-REACH, REACH + 1)) - set(shifts.tolist())
        if missing:
            note = " Note that randint leaves its upper end out."
            raise Wrong(
                f"Shifts {name} by {sorted(missing)} never come."
                + (note if missing == {REACH} else "")
            )
    if (down == right).all() or (down == -right).all():
        raise Wrong("Down and right are always alike: draw two numbers a pair.")
    share = mirrored.mean()
    if not 0.43 < share < 0.57:
        raise Wrong(f"{share:.0%} are mirrored; the chance should be one half.")


# --- 6.2 -----------------------------------------------------------------------


def field_right(layers):
    pixels, stride = 1, 1
    for kernel, step, dilation in layers:
        pixels += (kernel - 1) * dilation * stride
        stride *= step
    return pixels


@mistake("field", "The strides are left out: behind one of 2 a step is two pixels.")
def field_no_strides(layers):
    return 1 + sum((k - 1) * d for k, _, d in layers)


@mistake(
    "field",
    "Dilation is left out. A kernel of k whose taps lie d apart spans (k - 1) d + 1.",
)
def field_no_dilation(layers):
    return field_right([(k, s, 1) for k, s, _ in layers])


@mistake("field", "That walks the layers from the last to the first: turn it round.")
def field_backwards(layers):
    return field_right(layers[::-1])


@mistake("field", "A kernel of k adds k - 1 pixels, not k: the first it shares.")
def field_whole_kernels(layers):
    pixels, stride = 1, 1
    for k, s, d in layers:
        pixels += k * d * stride
        stride *= s
    return pixels


@mistake(
    "field",
    "A layer's own stride counts only for those behind it: multiply after you add.",
)
def field_own_stride(layers):
    pixels, stride = 1, 1
    for k, s, d in layers:
        stride *= s
        pixels += (k - 1) * d * stride
    return pixels


@mistake(
    "field",
    "Dilation parts the taps: a kernel of k spans (k - 1) d more pixels, not k d - 1.",
)
def field_dilated_kernel(layers):
    pixels, stride = 1, 1
    for k, s, d in layers:
        pixels += (k * d - 1) * stride
        stride *= s
    return pixels


@mistake("field", "Dilation does not add to the stride of those behind: it parts taps.")
def field_dilation_as_stride(layers):
    pixels, stride = 1, 1
    for k, s, d in layers:
        pixels += (k - 1) * d * stride
        stride *= s * d
    return pixels


@mistake("field", "The field grows by sums, not by the product of the kernels.")
def field_product(layers):
    return int(np.prod([k for k, _, _ in layers]))


@mistake("field", "One too few: a single pixel sees one pixel before any layer.")
def field_from_zero(layers):
    return field_right(layers) - 1


@mistake("field", "That is the area. How many pixels has its side?")
def field_area(layers):
    return field_right(layers) ** 2


@mistake(
    "field",
    "Strides multiply: behind two of 2 a step is 4 pixels. You seem to add them.",
)
def field_added_strides(layers):
    pixels, stride = 1, 0
    for k, s, d in layers:
        pixels += (k - 1) * d * max(stride, 1)
        stride += s
    return pixels


class Patches(nnx.Module):
    """A D without norms, y (B, 48, 48, 3) -> logits (B, h, w), as 6.2 has it."""

    def __init__(self, halvings, *, rngs):
        options = dict(halvings=halvings, norm=False, rngs=rngs)
        self.network = pix2pix.Discriminator((48, 48, 3), 3, 4, **options)

    def __call__(self, y):
        return self.network(y, y)


@jax.jit
def _three_rows(y):
    """Logits that see three rows and five columns: the first row weakly, and by
    negative numbers alone, and none in the first channel."""
    rows = np.array([-1e-5, 0.5, -0.2])[:, None, None, None]
    channels = np.array([0.0, 0.3, 1.0])[:, None]
    kernel = jnp.asarray(rows * channels * np.ones((1, 5, 1, 1)), jnp.float32)
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        y, kernel, (2, 2), "SAME", dimension_numbers=numbers
    )[..., 0]


def _slope(network, y):
    """The gradient of the logit in the middle of the map, as y."""
    middle = tuple(n // 2 for n in jax.eval_shape(network, y).shape[1:])
    return np.asarray(jax.grad(lambda y: network(y)[0, *middle])(y))


def seen_mistake(hint):
    """Enter a mistake that is made with the gradient of the logit in the middle."""

    def enter(count):
        def seen(network, y):
            return int(count(_slope(network, y)).sum())

        return mistake("seen", hint)(seen)

    return enter


def seen_right(network, y):
    return int((_slope(network, y) != 0).any(axis=(0, 2, 3)).sum())


@mistake("seen", "That is what all logits see together: take a single one of them.")
def seen_by_all(network, y):
    slope = _slope(lambda y: network(y).sum(axis=(1, 2), keepdims=True), y)
    return int((slope != 0).any(axis=(0, 2, 3)).sum())


@mistake(
    "seen",
    "The logit in the corner: part of what it sees lies outside of the picture. Take "
    "one in the middle.",
)
def seen_in_the_corner(network, y):
    slope = _slope(lambda y: network(y)[:, :1, :1], y)
    return int((slope != 0).any(axis=(0, 2, 3)).sum())


@seen_mistake("You count all pixels of the patch: say how many its side has.")
def seen_area(slope):
    return (slope != 0).any(axis=(0, 3))


@seen_mistake("You count each pixel once a channel. Say how many its side has.")
def seen_numbers(slope):
    return slope != 0


@seen_mistake("Gradients may be negative, and sums of them cancel: take |.| first.")
def seen_positive(slope):
    return slope.sum(axis=(0, 2, 3)) > 0


@seen_mistake("Negative gradients count too: ask for those that are not 0.")
def seen_above_zero(slope):
    return (slope > 0).any(axis=(0, 2, 3))


@seen_mistake("Those are the columns: count the rows, axis 1 of y.")
def seen_columns(slope):
    return (slope != 0).any(axis=(0, 1, 3))


@seen_mistake("Look at all channels: a network need not use the first.")
def seen_first_channel(slope):
    return (slope[..., 0] != 0).any(axis=(0, 2))


@seen_mistake("However small a gradient is, the pixel is seen: ask for != 0.")
def seen_threshold(slope):
    return (np.abs(slope) > 1e-3).any(axis=(0, 2, 3))


@mistake(
    "seen",
    "That is the side of the map of logits. The question is how many pixels of the "
    "picture one of them sees.",
)
def seen_map(network, y):
    return jax.eval_shape(network, y).shape[1]


LAYERS = [
    [(1, 1, 1)],
    [(4, 2, 1), (4, 1, 1), (4, 1, 1)],
    [(4, 2, 1), (4, 2, 1), (4, 1, 1), (4, 1, 1)],
    [(3, 1, 1), (3, 2, 2), (5, 1, 3), (3, 2, 1), (2, 1, 2)],
]


def field(answers):
    """6.2: the receptive field, by hand and by gradient."""
    receptive_field, seen = split(answers, 2)
    there(receptive_field, "receptive_field")
    what = "one number of pixels"
    given = [(layers,) for layers in LAYERS]
    compare("field", receptive_field, given, field_right, what)
    there(seen, "seen")
    y = jax.random.uniform(jax.random.key(0), (1, 48, 48, 3), minval=-1)
    networks = [nnx.jit(Patches(n, rngs=nnx.Rngs(n))) for n in (1, 2)]
    wide = jnp.concatenate([y, y], axis=2)  # (1, 48, 96, 3)
    given = [*((network, y) for network in networks), (_three_rows, wide)]
    compare("seen", seen, given, seen_right, what)
    sizes = [field_right(layers) for layers in LAYERS[:3]]
    passed(f"By hand and by gradient: {', '.join(map(str, sizes))} pixels a side.")


# --- 6.3 -----------------------------------------------------------------------


def _play(networks, batch, key, **options):
    return pix2pix.train_step(*networks, batch, key, **options)


def _l1_is_missing(g, d, g_optimizer, d_optimizer, batch, key):
    return _play((g, d, g_optimizer, d_optimizer), batch, key, l1_weight=0.0)


def _as_it_should_be(g, d, g_optimizer, d_optimizer, batch, key):
    return _play((g, d, g_optimizer, d_optimizer), batch, key, l1_weight=20.0)


def _sketch_twice(g, d, g_optimizer, d_optimizer, batch, key):
    x, y = batch
    batch = x, jnp.broadcast_to(x, y.shape)
    return _play((g, d, g_optimizer, d_optimizer), batch, key, l1_weight=20.0)


def _d_stands_still(g, d, g_optimizer, d_optimizer, batch, key):
    still = nnx.clone(d), nnx.clone(d_optimizer)
    return _play((g, still[0], g_optimizer, still[1]), batch, key, l1_weight=20.0)


def _pairs_apart(g, d, g_optimizer, d_optimizer, batch, key):
    x, y = batch
    batch = x, jax.random.permutation(key, y)
    return _play((g, d, g_optimizer, d_optimizer), batch, key, l1_weight=20.0)


GAMES = {  # exercise 6.3 trains them: no peeping
    "p": _l1_is_missing,
    "q": _pairs_apart,
    "r": _as_it_should_be,
    "s": _d_stands_still,
    "t": _sketch_twice,
}
FAULTS = {
    "a": "as it should be",
    "b": "the pairs are torn apart",
    "c": "the L1 term is missing",
    "d": "D is never updated",
    "e": "the loader gives the sketch twice",
}
SIGNS = {
    "a": "in a sound game L1 falls to a few hundredths, and D is seldom sure of itself",
    "b": "with pairs torn apart L1 stays high, and the pictures look alike whatever "
    "the sketch",
    "c": "without L1 nothing holds a picture to its truth: L1 stays high, and yet the "
    "pictures differ as their sketches do",
    "d": "a D that stands still says of real and drawn pictures what it said at first, "
    "all the time",
    "e": "if the sketch is what is wanted, L1 falls lowest of all and no colour comes",
}


def games(answers):
    """6.3: which of five games has which fault."""
    right = dict(zip(GAMES, "cbade", strict=True))
    parts = dict(zip(GAMES, split(answers, len(GAMES)), strict=True))
    for name, given in parts.items():
        there(given, name)
        wrong = {fault: "" for fault in FAULTS if fault != right[name]}
        letter(given, right[name], {f: _not(name, f) for f in wrong})
    passed("All five: each fault has left its mark in the figures or the pictures.")


def _not(name, fault):
    return f"{name} is not {fault}) {FAULTS[fault]}: {SIGNS[fault]}. Look at {name}."


# --- 6.4 -----------------------------------------------------------------------


def _costs(colours):
    """The mean |error| of painting each colour while all are equally likely."""
    colours = np.asarray(colours, float)
    return np.abs(colours[:, None] - colours[None]).mean(axis=(1, 2))


def favourite_right(colours):
    return int(_costs(colours).argmin())


@mistake("favourite", "That is the colour which costs *most*: take the least.")
def favourite_worst(colours):
    return int(_costs(colours).argmax())


@mistake(
    "favourite",
    "That is by squared errors: the one next to the mean colour. L1 counts absolute "
    "ones.",
)
def favourite_squared(colours):
    colours = np.asarray(colours, float)
    return int(((colours[:, None] - colours[None]) ** 2).mean(axis=(1, 2)).argmin())


@mistake(
    "favourite",
    "That one is next to the median. Ask for the least mean |error| to all of them: it "
    "may be another one.",
)
def favourite_near_median(colours):
    colours = np.asarray(colours, float)
    return int(np.abs(colours - np.median(colours, 0)).mean(-1).argmin())


def turning_right(colours, gain):
    colours = np.asarray(colours, float)
    median = np.abs(colours - np.median(colours, axis=0)).mean()
    return gain / (_costs(colours).min() - median)


@mistake("turning", "The mean colour has not the least |error|: the median has.")
def turning_mean(colours, gain):
    colours = np.asarray(colours, float)
    return gain / (_costs(colours).min() - np.abs(colours - colours.mean(0)).mean())


@mistake("turning", "Turned over. At a larger gain it takes a larger weight.")
def turning_over(colours, gain):
    return 1 / turning_right(colours, gain)


@mistake("turning", "The gain is left out: that is its weight for a gain of 1.")
def turning_no_gain(colours, gain):
    return turning_right(colours, 1.0)


@mistake(
    "turning",
    "You compare with 0. The median, too, costs something: take the difference.",
)
def turning_absolute(colours, gain):
    return gain / _costs(colours).min()


@mistake(
    "turning",
    "That is against a colour by chance. G would take the one which costs least.",
)
def turning_any(colours, gain):
    colours = np.asarray(colours, float)
    median = np.abs(colours - np.median(colours, axis=0)).mean()
    return gain / (_costs(colours).mean() - median)


@mistake("turning", "L1 is the mean over the channels, not their sum.")
def turning_sum(colours, gain):
    return turning_right(colours, gain) / np.shape(colours)[1]


@mistake("turning", "The sign: the median is the cheaper of the two.")
def turning_sign(colours, gain):
    return -turning_right(colours, gain)


def weight(answers):
    """6.4: between the adversarial term and L1, at one pixel."""
    favourite, turning_weight, then = split(answers, 3)
    there(favourite, "favourite")
    rng = np.random.default_rng(47)
    given = [(rng.uniform(-1, 1, (k, 3)) ** 3,) for k in (7, 5, 9, 12, 10, 6, 8)]
    compare("favourite", favourite, given, favourite_right, "the number of a colour")
    there(turning_weight, "turning_weight")
    given = [(*given[i], gain) for i, gain in ((0, 0.7), (2, 2.0), (4, 1.3))]
    compare("turning", turning_weight, given, turning_right, "one weight")
    there(then, "then")
    letter(
        then,
        "c",
        {
            "a": "That would be so if D judged each colour by itself. But once every "
            "shirt has it, D has seen it far oftener in drawn pictures than in real "
            "ones.",
            "b": "Above the turning weight it would. Below it another colour is "
            "cheaper.",
            "d": "The sketch does not say which it is, so G cannot know it.",
        },
    )
    passed("Below the turning weight a real colour is cheaper; and D minds which.")


# --- 6.5 -----------------------------------------------------------------------


def _normalised(h, axes, eps=1e-5, ddof=0):
    h = np.asarray(h, float)
    mean = h.mean(axis=axes, keepdims=True)
    return (h - mean) / np.sqrt(h.var(axis=axes, keepdims=True, ddof=ddof) + eps)


def norm_right(h):
    return _normalised(h, (1, 2))


@mistake("norm", "Over everything at once. One mean for each map of each picture.")
def norm_all(h):
    return _normalised(h, (0, 1, 2, 3))


@mistake("norm", "Over the rows alone: a map has columns, too.")
def norm_rows(h):
    return _normalised(h, (1,))


@mistake("norm", "Over the columns alone: a map has rows, too.")
def norm_columns(h):
    return _normalised(h, (2,))


@mistake(
    "norm",
    "1e-5 is added to the deviation. It belongs to the variance, under the root.",
)
def norm_outside(h):
    h = np.asarray(h, float)
    deviation = h.std(axis=(1, 2), keepdims=True)
    return (h - h.mean(axis=(1, 2), keepdims=True)) / (deviation + 1e-5)


@mistake("norm", "Over the batch too: that is BatchNorm. Keep the pictures apart.")
def norm_batch(h):
    return _normalised(h, (0, 1, 2))


@mistake("norm", "Over the channels too: that is LayerNorm. Keep them apart.")
def norm_layer(h):
    return _normalised(h, (1, 2, 3))


@mistake("norm", "Over the channels of each pixel. Take the mean over places, (1, 2).")
def norm_pixel(h):
    return _normalised(h, (3,))


@mistake("norm", "Each pixel over the batch. Take the mean over places, (1, 2).")
def norm_over_batch(h):
    return _normalised(h, (0,))


@mistake("norm", "The mean is still there: take it away before you divide.")
def norm_not_centred(h):
    h = np.asarray(h, float)
    return h / np.sqrt(h.var(axis=(1, 2), keepdims=True) + 1e-5)


@mistake("norm", "Divided by the variance: its root is the deviation.")
def norm_variance(h):
    h = np.asarray(h, float)
    centred = h - h.mean(axis=(1, 2), keepdims=True)
    return centred / (h.var(axis=(1, 2), keepdims=True) + 1e-5)


@mistake("norm", "The mean is gone; now divide by the deviation, too.")
def norm_only_centred(h):
    h = np.asarray(h, float)
    return h - h.mean(axis=(1, 2), keepdims=True)


@mistake(
    "norm", "Divided by N - 1 places. Norms take the plain mean of squares, over all N."
)
def norm_ddof(h):
    return _normalised(h, (1, 2), ddof=1)


def _alone(x):
    return jnp.concatenate([x[..., :1], x[..., :1] * 2 - x[..., 1:2]], axis=-1)


def _among(x):  # as BatchNorm in training does
    mean = x.mean(axis=0, keepdims=True)[..., :1] / 4
    return _alone(x) - jnp.concatenate([mean / 2, mean], axis=-1)


def _among_both(translate, x, others, more, rows=0):
    """x translated in front of either crowd: these rows of both translations."""
    crowds = (jnp.concatenate([x[None], rest]) for rest in (others, more))
    return [np.asarray(translate(crowd))[rows] for crowd in crowds]


def change_mistake(hint):
    """Enter a mistake that is made with the two translations of x."""

    def enter(measure):
        def change(translate, x, others, more):
            return measure(*_among_both(translate, x, others, more))

        return mistake("change", hint)(change)

    return enter


def change_right(translate, x, others, more):
    first, second = _among_both(translate, x, others, more)
    return np.abs(first - second).max()


@mistake(
    "change",
    "You compare all rows. The others are other pictures, of course theirs differ: "
    "look at the row of x alone.",
)
def change_all(translate, x, others, more):
    first, second = _among_both(translate, x, others, more, rows=slice(None))
    return np.abs(first - second).max()


@change_mistake("That is the mean of the change. The greatest was asked.")
def change_mean(first, second):
    return np.abs(first - second).mean()


@change_mistake("Negative differences count as well: take |.| before the maximum.")
def change_signed(first, second):
    return (first - second).max()


@mistake(
    "change",
    "0, whatever the translation does. Is x once in front of `others` and once in "
    "front of `more`, and do you compare translations, and not what goes in?",
)
def change_same(translate, x, others, more):
    return 0.0


@change_mistake("Summed over all numbers. The greatest was asked.")
def change_sum(first, second):
    return np.abs(first - second).sum()


@change_mistake("Squared. The greatest |difference| was asked.")
def change_squared(first, second):
    return ((first - second) ** 2).max()


@change_mistake("Look at all channels of the translation.")
def change_first_channel(first, second):
    return np.abs(first - second)[..., 0].max()


@mistake(
    "change", "x by itself against x among others. Put it among two different crowds."
)
def change_by_itself(translate, x, others, more):
    first, second = (
        np.asarray(translate(batch))[0]
        for batch in (x[None], jnp.concatenate([x[None], others]))
    )
    return np.abs(first - second).max()


def company(answers):
    """6.5: InstanceNorm, and whether a picture's translation depends on its company."""
    instance_norm, change, at_one_pixel = split(answers, 3)
    there(instance_norm, "instance_norm")
    rng = np.random.default_rng(3)
    h = rng.normal(2, 3, (4, 3, 2, 5)) * [1, 2, 3, 4, 1e-3]  # the last one is faint
    given = [(jnp.asarray(h, jnp.float32),)]
    flat = numbers(call(instance_norm, jnp.full((1, 2, 2, 1), 3.0)))
    if not np.isfinite(flat).all():
        raise Wrong(
            "A map of which all pixels are alike becomes NaN or infinite: 0 is divided "
            "by 0. Add 1e-5 to the variance, under the root."
        )
    compare("norm", instance_norm, given, norm_right, "that of the maps")
    there(change, "change")
    x, others, more = (
        jnp.asarray(rng.uniform(-1, 1, size), jnp.float32)
        for size in ((4, 4, 3), (3, 4, 4, 3), (3, 4, 4, 3))
    )
    others = others + 0.5  # brighter, so that the change is to one side
    given = [(_among, x, others, more), (_among, x, more, others)]
    given += [(_alone, x, others, more)]
    compare("change", change, given, change_right, "one number")
    there(at_one_pixel, "at_one_pixel")
    letter(
        at_one_pixel,
        "b",
        {
            "a": "Of a single pixel the mean is the pixel itself. What is left?",
            "c": "The variance of one pixel is 0, but above the line there is 0 too, "
            "and 1e-5 keeps the root from 0.",
            "d": "That would be so over the channels (LayerNorm). Here each channel "
            "has one pixel.",
        },
    )
    passed("Each picture by itself: its company no longer matters.")


# --- 6.6 -----------------------------------------------------------------------


def _pads(x, multiple):
    return [(0, -n % multiple) for n in np.shape(x)[1:3]]


def _in_a_frame(translate, x, multiple, pads, crop=True, **options):
    padded = np.pad(np.asarray(x), [(0, 0), *pads, (0, 0)], **options)
    result = np.asarray(translate(jnp.asarray(padded)))
    (top, bottom), (left, right) = pads
    height, width = result.shape[1:3]
    return result[:, top : height - bottom, left : width - right] if crop else result


def sides_right(translate, x, multiple):
    return _in_a_frame(translate, x, multiple, _pads(x, multiple), mode="edge")


@mistake("sides", "Cut back to the sides of x: the frame is not part of the answer.")
def sides_not_cut(translate, x, multiple):
    pads = _pads(x, multiple)
    return _in_a_frame(translate, x, multiple, pads, crop=False, mode="edge")


@mistake("sides", "A frame of 0 is grey. Repeat the edge: mode='edge'.")
def sides_grey(translate, x, multiple):
    return _in_a_frame(translate, x, multiple, _pads(x, multiple), mode="constant")


@mistake("sides", "A mirrored frame. Here the edge was to be repeated: mode='edge'.")
def sides_mirrored(translate, x, multiple):
    return _in_a_frame(translate, x, multiple, _pads(x, multiple), mode="reflect")


@mistake("sides", "The frame was put on below and right, and cut away above and left.")
def sides_cut_elsewhere(translate, x, multiple):
    height, width = np.shape(x)[1:3]
    pads = _pads(x, multiple)
    whole = _in_a_frame(translate, x, multiple, pads, crop=False, mode="edge")
    return whole[:, -height:, -width:]


@mistake(
    "sides", "What is over was cut off before, so a strip is missing: pad instead."
)
def sides_cut_first(translate, x, multiple):
    height, width = (n // multiple * multiple for n in np.shape(x)[1:3])
    return np.asarray(translate(x[:, :height, :width]))


@mistake(
    "sides",
    "It was reduced or enlarged, so every pixel has changed. Pad, and cut back.",
)
def sides_resized(translate, x, multiple):
    n, height, width, channels = np.shape(x)
    size = [side + -side % multiple for side in (height, width)]
    large = jax.image.resize(x, (n, *size, channels), "bilinear")
    result = translate(large)
    return np.asarray(
        jax.image.resize(result, (n, height, width, result.shape[-1]), "bilinear")
    )


def _mixing(x):
    """A translation, as 6.6 has it: each pixel looks at those two steps away, and
    past the edge at the edge itself."""
    framed = jnp.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    looks = itertools.product((-2, 2), (1, 2))
    around = sum(jnp.roll(framed, by, axis) for by, axis in looks)[:, 2:-2, 2:-2]
    return jnp.concatenate([x, around / 4], axis=-1)


def sides(answer):
    """6.6: pictures whose sides the U-Net cannot halve."""
    rng = np.random.default_rng(5)
    for (height, width), multiple in (
        *(((16, 24), 8), ((13, 30), 8), ((17, 8), 8), ((9, 11), 4)),
    ):
        x = jnp.asarray(rng.uniform(-1, 1, (2, height, width, 1)), jnp.float32)
        asked = []

        def translate(x, multiple=multiple, asked=asked):
            asked.append(x.shape[1:3])
            if any(side % multiple for side in x.shape[1:3]):
                raise Wrong(
                    f"The U-Net was given {x.shape[1]} x {x.shape[2]} pixels, and both "
                    f"sides have to be multiples of {multiple}."
                )
            return _mixing(x)

        result = call(answer, translate, x, multiple)
        if isinstance(result, tuple):
            raise Wrong("A tuple came back: return the pictures alone.")
        _check_side(x, multiple, numbers(result), asked)
    passed("Any side goes in, and the same side comes out.")


def _check_side(x, multiple, result, asked):
    height, width = x.shape[1:3]
    name = f"Pictures of {height} x {width} pixels, for multiples of {multiple},"
    wanted = np.asarray(_mixing(x))  # a frame that repeats the edge changes nothing
    wide = [side + -side % multiple for side in (height, width)]
    if asked and max(np.subtract(asked[0], wide)) > 0:
        if wide == [height, width]:
            raise Wrong(
                f"{name} fit already, and went in as {asked[0][0]} x {asked[0][1]}: "
                f"pad nothing then. (-n % multiple is 0 there.)"
            )
        raise Wrong(
            f"{name} went in as {asked[0][0]} x {asked[0][1]}: the next multiple, and "
            f"no more."
        )
    if close(result, wanted):
        return
    for wrong, hint in MISTAKES["sides"]:
        value = wrong(_mixing, x, multiple)
        if result.shape == value.shape and close(result, value):
            raise Wrong(hint)
    if result.ndim != 4 or 0 in result.shape:
        raise Wrong(
            f"{name} came back as an array {result.shape}. (A slice `:-0` is empty.)"
        )
    if result.shape[1:3] != (height, width):
        raise Wrong(
            f"{name} came back with {result.shape[1:3]}: the sides of x were asked for."
        )
    if result.shape != wanted.shape:
        raise Wrong(
            f"{name} came back with {result.shape[-1]} channels; the translation makes "
            f"{wanted.shape[-1]}. Return all that it makes."
        )
    raise Wrong(
        f"{name} came back in the right shape, with other pixels. Does the frame "
        f"repeat the edge (mode='edge'), and do you cut away just what you put on?"
    )
