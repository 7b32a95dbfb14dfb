"""Checks of chapter 7's exercises.

A mistake that can be written as an answer stands in a table, MISTAKES, with its hint:
the check compares what comes out, and the tests hand the same functions in.
"""

import itertools
import math

import jax.numpy as jnp
import numpy as np
from flax import nnx

from gencourse import cyclegan
from gencourse.checks import (
    Mistakes,
    Wrong,
    call,
    letter,
    passed,
    split,
    there,
)

MISTAKES = Mistakes()
mistake, compare = MISTAKES.enter, MISTAKES.compare

# --- 7.1 -----------------------------------------------------------------------

TERMS = ("game_a", "game_b", "cycle_a", "cycle_b", "identity_a", "identity_b")


def _l1(x, y):
    return np.abs(np.asarray(x) - np.asarray(y)).mean()


def _square(verdicts, target=1.0):
    return ((np.asarray(verdicts) - target) ** 2).mean()


def terms_right(to_a, to_b, judge_a, judge_b, a, b):
    fake_a, fake_b = to_a(b), to_b(a)
    games = _square(judge_a(fake_a)), _square(judge_b(fake_b))
    cycles = _l1(to_a(fake_b), a), _l1(to_b(fake_a), b)
    return np.array([*games, *cycles, _l1(to_a(a), a), _l1(to_b(b), b)])


def _but(first, *some):
    """The right terms, but for `some`, from the one numbered `first` on."""

    def changed(*given):
        terms = terms_right(*given)
        terms[first : first + len(some)] = [f(*given) for f in some]
        return terms

    return changed


@mistake("terms", "The games: each fake goes to the judge of its own domain.")
def terms_crossed(to_a, to_b, judge_a, judge_b, a, b):
    crossed = _square(judge_b(to_a(b))), _square(judge_a(to_b(a)))
    return np.array([*crossed, *terms_right(to_a, to_b, judge_a, judge_b, a, b)[2:]])


@mistake(
    "terms", "The games: 0 is what a judge aims at for fakes. The generators want 1."
)
def terms_zero(to_a, to_b, judge_a, judge_b, a, b):
    games = _square(judge_a(to_a(b)), 0), _square(judge_b(to_b(a)), 0)
    return np.array([*games, *terms_right(to_a, to_b, judge_a, judge_b, a, b)[2:]])


@mistake("terms", "The games: you judge real pictures. No generator can change those.")
def terms_real(to_a, to_b, judge_a, judge_b, a, b):
    games = _square(judge_a(a)), _square(judge_b(b))
    return np.array([*games, *terms_right(to_a, to_b, judge_a, judge_b, a, b)[2:]])


@mistake("terms", "The games: that is cross-entropy. Least squares was asked.")
def terms_entropy(to_a, to_b, judge_a, judge_b, a, b):
    games = [
        np.logaddexp(0, -np.asarray(v)).mean()
        for v in (judge_a(to_a(b)), judge_b(to_b(a)))
    ]
    return np.array([*games, *terms_right(to_a, to_b, judge_a, judge_b, a, b)[2:]])


@mistake("terms", "The games: square each verdict's distance from 1, then take means.")
def terms_mean_first(to_a, to_b, judge_a, judge_b, a, b):
    verdicts = judge_a(to_a(b)), judge_b(to_b(a))
    games = [(np.asarray(v).mean() - 1) ** 2 for v in verdicts]
    return np.array([*games, *terms_right(to_a, to_b, judge_a, judge_b, a, b)[2:]])


def _with(numbers, two, given):
    terms = terms_right(*given)
    terms[list(numbers)] = two
    return terms


@mistake(
    "terms",
    "The cycles: you compare with the picture of the other domain. Whoever begins at a "
    "is to come back to a.",
)
def terms_cycle_other(to_a, to_b, judge_a, judge_b, a, b):
    two = _l1(to_a(to_b(a)), b), _l1(to_b(to_a(b)), a)
    return _with((2, 3), two, (to_a, to_b, judge_a, judge_b, a, b))


@mistake(
    "terms",
    "The cycles: a is a picture of a, so it goes to b first, by `to_b`, and then back.",
)
def terms_cycle_order(to_a, to_b, judge_a, judge_b, a, b):
    two = _l1(to_b(to_a(a)), a), _l1(to_a(to_b(b)), b)
    return _with((2, 3), two, (to_a, to_b, judge_a, judge_b, a, b))


@mistake("terms", "The cycles: one generator twice. There by one, back by the other.")
def terms_cycle_twice(to_a, to_b, judge_a, judge_b, a, b):
    two = _l1(to_b(to_b(a)), a), _l1(to_a(to_a(b)), b)
    return _with((2, 3), two, (to_a, to_b, judge_a, judge_b, a, b))


@mistake("terms", "The cycles: that is one way only. Come back before you compare.")
def terms_cycle_half(to_a, to_b, judge_a, judge_b, a, b):
    two = _l1(to_b(a), a), _l1(to_a(b), b)
    return _with((2, 3), two, (to_a, to_b, judge_a, judge_b, a, b))


@mistake(
    "terms",
    "The identities: `to_a` must leave pictures of a alone, and `to_b` those of b.",
)
def terms_identity_other(to_a, to_b, judge_a, judge_b, a, b):
    two = _l1(to_a(b), b), _l1(to_b(a), a)
    return _with((4, 5), two, (to_a, to_b, judge_a, judge_b, a, b))


@mistake("terms", "Cycles and identities: L1 was asked, and this is the squared error.")
def terms_squared(to_a, to_b, judge_a, judge_b, a, b):
    pairs = (to_a(to_b(a)), a), (to_b(to_a(b)), b), (to_a(a), a), (to_b(b), b)
    four = [((np.asarray(x) - np.asarray(y)) ** 2).mean() for x, y in pairs]
    return _with((2, 3, 4, 5), four, (to_a, to_b, judge_a, judge_b, a, b))


@mistake("terms", "Cycles and identities: take |difference|; what is signed cancels.")
def terms_signed(to_a, to_b, judge_a, judge_b, a, b):
    pairs = (to_a(to_b(a)), a), (to_b(to_a(b)), b), (to_a(a), a), (to_b(b), b)
    four = [(np.asarray(x) - np.asarray(y)).mean() for x, y in pairs]
    return _with((2, 3, 4, 5), four, (to_a, to_b, judge_a, judge_b, a, b))


@mistake("terms", "Cycles and identities: a mean over all numbers, not their sum.")
def terms_sum(to_a, to_b, judge_a, judge_b, a, b):
    given = to_a, to_b, judge_a, judge_b, a, b
    return _with((2, 3, 4, 5), terms_right(*given)[2:] * np.size(a), given)


@mistake("terms", "a and b are exchanged. The order is game a, game b, cycle a, ...")
def terms_exchanged(*given):
    return terms_right(*given)[[1, 0, 3, 2, 5, 4]]


def _toy(seed):
    """Two translators, two judges and two sets of pictures, all at random."""
    rng = np.random.default_rng(seed)

    def translator():
        mix, shift = rng.normal(size=(3, 3)), rng.normal(size=3) / 2
        return lambda x: jnp.tanh(
            x @ jnp.float32(mix) + jnp.float32(shift)[(None,) * 3]
        )

    def judge():
        weights = rng.normal(size=(3, 1))
        return lambda x: (x[:, ::2, ::2] @ jnp.float32(weights))[..., 0]

    a, b = jnp.float32(rng.uniform(-1, 1, (2, 3, 4, 4, 3)))
    return translator(), translator(), judge(), judge(), a, b


WITHOUT = {
    "game_a": "`game_a` looks at what `to_a` makes of real pictures of b: `to_b` has "
    "no part in it.",
    "identity_a": "`identity_a` looks at what `to_a` makes of real pictures of a: "
    "`to_b` has no part in it.",
}
WITH = {
    "game_b": "`game_b` judges what `to_b` made.",
    "cycle_a": "the cycle from a goes through `to_b` on its way there.",
    "cycle_b": "the cycle from b comes back through `to_b`.",
    "identity_b": "`identity_b` looks at what `to_b` makes of pictures of b.",
}


def terms(answers):
    """7.1: the six terms, and which of them teach `to_b`."""
    six_terms, moving = split(answers, 2)
    there(six_terms, "six_terms")
    what = "game a, game b, cycle a, cycle b, identity a, identity b"
    compare("terms", six_terms, [_toy(0), _toy(1)], terms_right, what)
    there(moving, "moving")
    if isinstance(moving, str):
        moving = moving.replace(",", " ").split()
    try:
        named = [str(name).strip().lower().replace(" ", "_") for name in moving]
    except TypeError:
        raise Wrong("Give a list of names, such as ['game_a', 'cycle_b'].") from None
    if unknown := [name for name in named if name not in TERMS]:
        raise Wrong(f"There is no term {unknown[0]!r}; there are {list(TERMS)}.")
    for name, why in WITHOUT.items():
        if name in named:
            raise Wrong(f"One too many: {why}")
    for name, why in WITH.items():
        if name not in named:
            raise Wrong(f"One is missing: {why}")
    passed("Four of the six terms teach `to_b`, and no D: that learns by its own loss.")


# --- 7.2 -----------------------------------------------------------------------


def content_right(a, b):
    n, m = len(a), len(b)
    if n % m:
        return 0
    return math.factorial(n) // math.factorial(n // m) ** m


@mistake(
    "content",
    "Those are all maps from a to b. D has counted: each of b must come out as often "
    "as the others, else it knows fakes by what is too frequent.",
)
def content_all(a, b):
    return len(b) ** len(a)


@mistake(
    "content",
    "Those are all in which each of b comes out at least once. As *often* as the "
    "others, it must be.",
)
def content_onto(a, b):
    maps = itertools.product(b, repeat=len(a))
    return sum(set(f) == set(b) for f in maps)


@mistake(
    "content",
    "You ask that each of b comes out at most once. With twice as many of a as of b "
    "each should come out twice.",
)
def content_once(a, b):
    return math.perm(len(b), len(a))


@mistake("content", "You count which of a go where, but not in how many ways: n! / ...")
def content_one(a, b):
    return int(len(a) % len(b) == 0)


def back_right(a, b):
    return math.factorial(len(a)) if len(a) == len(b) else 0


@mistake(
    "back",
    "Those are all pairs of maps with which both games are content. Now whoever goes "
    "there and back must be where it was: the way back is fixed by the way there.",
)
def back_pairs(a, b):
    return content_right(a, b) * content_right(b, a)


@mistake(
    "back",
    "If two of a become the same in b, no map can bring both back: of unequal sets "
    "there is none.",
)
def back_one_way(a, b):
    return content_right(a, b)


@mistake(
    "back", "Not one alone: any exchange of b's pictures among each other will do."
)
def back_one(a, b):
    return int(len(a) == len(b))


def same_right(a, b):
    return math.factorial(len(a) - len(set(a) & set(b))) if len(a) == len(b) else 0


@mistake(
    "same",
    "That is without the identity: what is in both must stay where it is, both ways.",
)
def same_without(a, b):
    return back_right(a, b)


@mistake("same", "What is in both stays; the *others* can go among each other anyhow.")
def same_shared(a, b):
    return math.factorial(len(set(a) & set(b))) if len(a) == len(b) else 0


@mistake(
    "same",
    "Divided. The maps that leave what is shared alone are those which permute the "
    "rest.",
)
def same_divided(a, b):
    shared = len(set(a) & set(b))
    return math.perm(len(a), len(a) - shared) if len(a) == len(b) else 0


@mistake("same", "Only one? What is in one set alone may still go anywhere.")
def same_one(a, b):
    return int(len(a) == len(b))


def perfect(answers):
    """7.2: how many answers have no loss at all?"""
    game_alone, and_cycle, and_identity = split(answers, 3)
    sets = [
        ("abc", "xyz"),
        ("abcd", "xy"),
        ("ab", "wxyz"),
        ("abcde", "xy"),
        ("abcd", "cdxy"),
        ("abcd", "dxyz"),
        ("abc", "abc"),
    ]
    sets = [(list(a), list(b)) for a, b in sets]
    for part, answer, right, table in (
        ("game_alone", game_alone, content_right, "content"),
        ("and_cycle", and_cycle, back_right, "back"),
        ("and_identity", and_identity, same_right, "same"),
    ):
        there(answer, part)
        compare(table, answer, sets, right, "one number of maps")
    passed("The losses leave a choice. Which one training makes, they do not say.")


# --- 7.3 -----------------------------------------------------------------------

SIZE, SOME = 12, 5


def _stream(answer, seed, n=1200):
    """What comes out where pictures 0, 1, 2, ... go in, five at a time; and what
    stays."""
    kept, given, rng = [], [], np.random.default_rng(seed)
    for start in range(0, n * SOME, SOME):
        fakes = [np.full((1, 1, 1), float(i)) for i in range(start, start + SOME)]
        out = call(answer, kept, fakes, SIZE, rng)
        if not isinstance(out, (list, tuple, np.ndarray)) or len(out) != SOME:
            raise Wrong(
                f"Of {SOME} fakes that came in, {np.shape(out)} came out. Give a list "
                f"of as many."
            )
        if len(kept) > SIZE:
            raise Wrong(
                f"{len(kept)} pictures are kept, where {SIZE} is the size: once it is "
                f"full a new one takes an old one's place."
            )
        if not start and not kept:
            raise Wrong("`kept` is still empty. Append to that very list, in place.")
        given += [float(np.ravel(picture)[0]) for picture in out]
    return np.array(given), [float(np.ravel(picture)[0]) for picture in kept]


def buffer(exchange):
    """7.3: old fakes, some of which come back."""
    given, kept = _stream(exchange, 0)
    late = np.arange(len(given)) - given  # how long ago it was made
    if (late < 0).any():
        raise Wrong("A picture comes out before it came in: keep them in their order.")
    if (late[:SIZE] != 0).any():
        raise Wrong(
            f"The first {SIZE} fakes should be kept, and given all the same: nothing "
            f"is exchanged before the buffer is full."
        )
    if len(kept) < SIZE:
        raise Wrong(f"It keeps {len(kept)} pictures; the size is {SIZE}.")
    later, full = late[SIZE:], given[SIZE:]
    old = float((later > 0).mean())
    if old == 0 and any(k >= SIZE for k in kept):
        raise Wrong(
            "New ones take the places of old ones, but it is the old one which should "
            "then be given."
        )
    if old == 0:
        raise Wrong(
            "New fakes come out, always. Every second time an old one should, in the "
            "place of which the new one is kept."
        )
    if old > 0.95:
        raise Wrong(
            "Always an old one. With probability one half the new one is given, and "
            "the buffer stays as it is."
        )
    if abs(old - 0.5) > 0.04:
        raise Wrong(f"{old:.0%} of what comes out is old, where half should be.")
    if not any(k >= SIZE for k in kept):
        raise Wrong(
            "An old one is given, but the new one does not take its place: the buffer "
            "holds what came first, for ever."
        )
    times = np.unique(full, return_counts=True)[1]
    if times.max() > 1:
        raise Wrong(
            "A picture comes out several times. One that is given back leaves the "
            "buffer; and one that is given at once is not kept."
        )
    first = -(-SIZE // SOME) * SOME - SIZE  # of `later`, where a batch begins
    batches = (later > 0)[first:].reshape(-1, SOME)
    if (batches.all(axis=1) | ~batches.any(axis=1)).mean() > 0.5:
        raise Wrong("One coin for the whole batch. Toss one for each picture.")
    waits = later[later > 0]
    if waits.std() < 0.6 * waits.mean():
        raise Wrong(
            "Old ones come out in the order in which they came in. Draw the place at "
            "random, so that some stay for long."
        )
    if abs(waits.mean() / (2 * SIZE) - 1) > 0.25:
        raise Wrong(
            f"An old picture has waited for {waits.mean():.0f} others, on average, "
            f"where {2 * SIZE} are expected: are all {SIZE} places drawn equally often?"
        )
    if not np.array_equal(given, _stream(exchange, 0)[0]):
        raise Wrong("The same rng draws otherwise: all chance must come from `rng`.")
    if np.array_equal(given, _stream(exchange, 1)[0]):
        raise Wrong("Another rng draws just so. Use the one that comes in.")
    passed(f"Half are old, and have waited for some {waits.mean():.0f} others.")


# --- 7.4 -----------------------------------------------------------------------


def _as_it_should_be(*given):
    return cyclegan.train_step(*given)


def _no_way_back(*given):
    return cyclegan.train_step(*given, cycle_weight=0.0, identity_weight=0.0)


def _both_in_both(g, d, g_optimizer, d_optimizer, buffers, batch, key):
    a, b = batch
    half = len(a) // 2
    first, second = (jnp.concatenate([x[:half], y[half:]]) for x, y in ((a, b), (b, a)))
    given = g, d, g_optimizer, d_optimizer, buffers
    return cyclegan.train_step(*given, (first, second), key)


def _ds_stand_still(g, d, g_optimizer, d_optimizer, buffers, batch, key):
    still = nnx.clone(d), nnx.clone(d_optimizer)
    given = g, still[0], g_optimizer, still[1], buffers
    return cyclegan.train_step(*given, batch, key)


def _g_moves_ds(g, d, g_optimizer, d_optimizer, buffers, batch, key):
    a, b = batch

    def pleased(d):
        verdicts = d.a(g.a(b)), d.b(g.b(a))
        return sum(map(cyclegan.g_loss, verdicts)) / 2

    d_optimizer.update(d, nnx.grad(pleased)(d))
    given = g, d, g_optimizer, d_optimizer, buffers
    return cyclegan.train_step(*given, batch, key)


GAMES = {  # exercise 7.4 trains them: no peeping
    "p": _both_in_both,
    "q": _g_moves_ds,
    "r": _no_way_back,
    "s": _as_it_should_be,
    "t": _ds_stand_still,
}
FAULTS = {
    "a": "as it should be",
    "b": "the generators' step also moves the Ds, to please the generators",
    "c": "the loader mixes the two piles",
    "d": "cycle and identity are missing",
    "e": "the Ds are never updated",
}
SIGNS = {
    "a": "in a sound game the pictures change domain, and the Ds are a little ahead: "
    "`d_loss` lies below 1/4 and `g_loss` above",
    "b": "Ds that are moved by the generators, too, are easily pleased: `g_loss` falls "
    "far below 1/4, while `d_loss` lies above",
    "c": "if both piles hold both, there is nothing to translate: every loss looks "
    "fine, and the pictures come out as they went in",
    "d": "without cycle and identity nothing keeps these two small",
    "e": "Ds that stand still have a `d_loss` that hardly changes, far above 1/4",
}


def games(answers):
    """7.4: five games, and what went wrong in four of them."""
    answers = split(answers, len(GAMES))
    for name, given in zip(GAMES, answers, strict=True):
        there(given, name)
    letters = [str(given).strip(" ().").lower() for given in answers]
    for name, given in zip(GAMES, letters, strict=True):
        if given not in FAULTS:
            raise Wrong(
                f"`{name}` is {given!r}: give one letter from a to e, in quotes."
            )
    if len(set(letters)) < len(letters):
        raise Wrong("Each letter is used once: one game is sound, four are not.")
    right = {"p": "c", "q": "b", "r": "d", "s": "a", "t": "e"}
    for name, given in zip(GAMES, letters, strict=True):
        if given != right[name]:
            raise Wrong(f"`{name}` is not {given}: {SIGNS[given]}.")
    passed("Look at the losses of both players, and at the pictures.")


# --- 7.5 -----------------------------------------------------------------------


def amplified_right(to_b, to_a, a, noise):
    there = np.asarray(to_b(a))
    return _l1(to_a(there + noise), to_a(there)) / np.abs(noise).mean()


@mistake(
    "amplified",
    "You compare with a: so the error of the round trip itself is in it. Compare with "
    "the round trip without noise.",
)
def amplified_from_a(to_b, to_a, a, noise):
    return _l1(to_a(np.asarray(to_b(a)) + noise), a) / np.abs(noise).mean()


@mistake("amplified", "The noise is on a. Put it on what lies between, `to_b(a)`.")
def amplified_before(to_b, to_a, a, noise):
    return _l1(to_a(to_b(a + noise)), to_a(to_b(a))) / np.abs(noise).mean()


@mistake("amplified", "The noise comes after the way back: that is always 1.")
def amplified_after(to_b, to_a, a, noise):
    return 1.0


@mistake("amplified", "Divide by the mean of |noise|.")
def amplified_undivided(to_b, to_a, a, noise):
    return amplified_right(to_b, to_a, a, noise) * np.abs(noise).mean()


@mistake("amplified", "Turned over: what comes out over what went in.")
def amplified_over(to_b, to_a, a, noise):
    return 1 / amplified_right(to_b, to_a, a, noise)


@mistake("amplified", "The mean of the noise is near 0: take that of |noise|.")
def amplified_signed(to_b, to_a, a, noise):
    there = np.asarray(to_b(a))
    return _l1(to_a(there + noise), to_a(there)) / np.mean(noise)


@mistake("amplified", "Those are root mean squares. Means of |.| were asked.")
def amplified_squares(to_b, to_a, a, noise):
    there = np.asarray(to_b(a))
    squares = (np.asarray(to_a(there + noise)) - np.asarray(to_a(there))) ** 2
    return np.sqrt(squares.mean() / (noise**2).mean())


@mistake("amplified", "Those are the largest ones. Means of |.| were asked.")
def amplified_max(to_b, to_a, a, noise):
    there = np.asarray(to_b(a))
    off = np.abs(np.asarray(to_a(there + noise)) - np.asarray(to_a(there)))
    return off.max() / np.abs(noise).max()


@mistake("amplified", "That is the way there alone. The noise goes the way *back*.")
def amplified_there(to_b, to_a, a, noise):
    return _l1(to_b(a + noise), to_b(a)) / np.abs(noise).mean()


def _whispering(seed):
    """Translators of which the one hides a, very small, in grey, and the other finds
    it; a, and noise."""
    rng = np.random.default_rng(seed)
    a, noise = rng.uniform(-1, 1, (2, 3, 4, 4, 3)).astype(np.float32)
    small = np.float32(0.02 * (seed + 1))
    return (lambda x: 0.3 + small * x), (lambda y: (y - 0.3) / small), a, noise / 50


def hidden(answers):
    """7.5: what is whispered from one generator to the other."""
    amplified, cure = split(answers, 2)
    there(amplified, "amplified")
    honest = [(t[1], t[0], np.asarray(t[4]), np.asarray(t[5]) / 20) for t in (_toy(2),)]
    given = [*honest, _whispering(0), _whispering(1)]
    compare("amplified", amplified, given, amplified_right, "one number")
    there(cure, "cure")
    letter(
        cure,
        "b",
        {
            "a": "The cycle is what *rewards* a whisper: more weight, more of it.",
            "c": "It is not unfinished. All losses are low; longer, and it whispers "
            "better.",
            "d": "The whisper need only be smaller than what D can see, and `to_a` has "
            "no one to hide from: it is on the other's side.",
        },
    )
    passed("A whisper is loud again on the way back; noise drowns it.")
