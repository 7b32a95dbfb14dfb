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
    close,
    letter,
    numbers,
    passed,
    shape,
    split,
    there,
)

MISTAKES = Mistakes()
mistake, compare = MISTAKES.enter, MISTAKES.compare

# --- 7.1 -----------------------------------------------------------------------

TERMS = ("game_a", "game_b", "cycle_a", "cycle_b", "identity_a", "identity_b")
GROUPS = {"games": 0, "cycles": 2, "identities": 4}  # where they begin, two of each


def _l1(x, y):
    return np.abs(np.asarray(x) - np.asarray(y)).mean()


def _square(verdicts, target=1.0):
    return ((np.asarray(verdicts) - target) ** 2).mean()


def _trips(to_a, to_b, a, b):
    return (to_a(to_b(a)), a), (to_b(to_a(b)), b)


def terms_right(to_a, to_b, judge_a, judge_b, a, b):
    games = _square(judge_a(to_a(b))), _square(judge_b(to_b(a)))
    cycles = [_l1(*pair) for pair in _trips(to_a, to_b, a, b)]
    return np.array([*games, *cycles, _l1(to_a(a), a), _l1(to_b(b), b)])


def group_of(name, answer):
    """The part of an answer that is one of GROUPS, as a function of its own."""

    def part(*given):
        terms = np.asarray(call(answer, *given))
        return terms[GROUPS[name] : GROUPS[name] + 2]

    return part


def with_group(name, wrong):
    """Right terms, but for one of GROUPS, which is `wrong`: for the tests."""

    def answer(*given):
        terms = terms_right(*given)
        terms[GROUPS[name] : GROUPS[name] + 2] = wrong(*given)
        return terms

    return answer


def _of_verdicts(f):
    """A mistake in the games: what f makes of the verdicts on fakes."""

    def games(to_a, to_b, judge_a, judge_b, a, b):
        verdicts = judge_a(to_a(b)), judge_b(to_b(a))
        return np.array([f(np.asarray(v)) for v in verdicts])

    return games


def _of_pairs(f, which):
    """A mistake in cycles or identities: what f makes of two pictures' difference."""

    def terms(to_a, to_b, judge_a, judge_b, a, b):
        pairs = _trips(to_a, to_b, a, b)
        if which == "identities":
            pairs = (to_a(a), a), (to_b(b), b)
        return np.array([f(np.asarray(x) - np.asarray(y)) for x, y in pairs])

    return terms


for f, hint in [
    (
        lambda v: (v**2).mean(),
        "0 is what a judge aims at for fakes. The generators want 1.",
    ),
    (
        lambda v: np.logaddexp(0, -v).mean(),
        "that is cross-entropy. Least squares was asked for.",
    ),
    (
        lambda v: (v.mean() - 1) ** 2,
        "square each verdict's distance from 1, then take the mean.",
    ),
    (lambda v: np.abs(v - 1).mean(), "that is |verdict - 1|; it should be squared."),
    (lambda v: (v - 1).mean(), "that is verdict - 1; it should be squared."),
    (
        lambda v: ((v - 1) ** 2).mean() / 2,
        "half of it. The generators' terms are not halved.",
    ),
    (lambda v: ((v - 1) ** 2).sum(), "a mean over all verdicts, not their sum."),
]:
    mistake("games", f"The games: {hint}")(_of_verdicts(f))

for f, hint in [
    (lambda d: (d**2).mean(), "L1 was asked for, and this is the squared error."),
    (lambda d: d.mean(), "take |difference|; what is signed cancels."),
    (lambda d: np.abs(d.mean()), "take |difference| first, and then the mean."),
    (lambda d: (d**2).mean() ** 0.5, "that is a root mean square. L1 was asked for."),
    (lambda d: np.abs(d).sum(), "a mean over all numbers, not their sum."),
]:
    for which in ("cycles", "identities"):
        mistake(which, f"The {which}: {hint}")(_of_pairs(f, which))


@mistake("games", "The games: each fake goes to the judge of its own domain.")
def games_crossed(to_a, to_b, judge_a, judge_b, a, b):
    return np.array([_square(judge_b(to_a(b))), _square(judge_a(to_b(a)))])


@mistake("games", "The games: you judge real pictures. No generator can change those.")
def games_real(to_a, to_b, judge_a, judge_b, a, b):
    return np.array([_square(judge_a(a)), _square(judge_b(b))])


@mistake(
    "games",
    "The games: the fakes of a are `to_a(b)`: what `to_a` makes out of pictures of b.",
)
def games_not_fakes(to_a, to_b, judge_a, judge_b, a, b):
    return np.array([_square(judge_a(to_a(a))), _square(judge_b(to_b(b)))])


@mistake(
    "cycles",
    "The cycles: you compare with the picture of the other domain. Whoever begins at a "
    "is to come back to a.",
)
def cycles_other(to_a, to_b, judge_a, judge_b, a, b):
    return np.array([_l1(to_a(to_b(a)), b), _l1(to_b(to_a(b)), a)])


@mistake(
    "cycles",
    "The cycles: a is a picture of a, so it goes to b first, by `to_b`, and then back.",
)
def cycles_order(to_a, to_b, judge_a, judge_b, a, b):
    return np.array([_l1(to_b(to_a(a)), a), _l1(to_a(to_b(b)), b)])


@mistake("cycles", "The cycles: one generator twice. There by one, back by the other.")
def cycles_twice(to_a, to_b, judge_a, judge_b, a, b):
    return np.array([_l1(to_b(to_b(a)), a), _l1(to_a(to_a(b)), b)])


@mistake("cycles", "The cycles: that is one way only. Come back before you compare.")
def cycles_half(to_a, to_b, judge_a, judge_b, a, b):
    return np.array([_l1(to_b(a), a), _l1(to_a(b), b)])


@mistake(
    "identities",
    "The identities: `to_a` must leave pictures of a alone, and `to_b` those of b.",
)
def identities_other(to_a, to_b, judge_a, judge_b, a, b):
    return np.array([_l1(to_a(b), b), _l1(to_b(a), a)])


@mistake(
    "identities",
    "The identities: you compare a fake with somebody else's picture: no pair belongs "
    "together. Give `to_a` a picture of a.",
)
def identities_fake(to_a, to_b, judge_a, judge_b, a, b):
    return np.array([_l1(to_a(b), a), _l1(to_b(a), b)])


@mistake(
    "whole",
    "You take `to_a` for the one that *takes* pictures of a. It makes pictures of a, "
    "out of pictures of b.",
)
def whole_other_way(to_a, to_b, judge_a, judge_b, a, b):
    return terms_right(to_b, to_a, judge_a, judge_b, a, b)


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
    "game_a": "it looks at what `to_a` makes of real pictures of b",
    "identity_a": "it looks at what `to_a` makes of real pictures of a",
}
WITH = {
    "game_b": "it judges what `to_b` made",
    "cycle_a": "the cycle from a goes through `to_b` on its way there",
    "cycle_b": "the cycle from b comes back through `to_b`",
    "identity_b": "it looks at what `to_b` makes of pictures of b",
}


def terms(answers):
    """7.1: the six terms, and which of them teach `to_b`."""
    six_terms, moving = split(answers, 2)
    there(six_terms, "six_terms")
    given = [_toy(0), _toy(1)]
    found = [numbers(call(six_terms, *args)) for args in given]
    wanted = [terms_right(*args) for args in given]
    for result in found:
        shape(result, (6,), "one number for each of the six terms")
    if not all(map(close, found, wanted)):
        if all(
            close(np.sort(f), np.sort(w)) for f, w in zip(found, wanted, strict=True)
        ):
            raise Wrong(
                "The six numbers are right, their order is not: game a, game b, cycle "
                "a, cycle b, identity a, identity b."
            )
        for wrong, hint in MISTAKES["whole"]:
            if all(map(close, found, [wrong(*args) for args in given])):
                raise Wrong(hint)
        for name in GROUPS:
            right, what = group_of(name, terms_right), f"two numbers, the {name}"
            compare(name, group_of(name, six_terms), given, right, what)
    there(moving, "moving")
    _check_moving(moving)
    passed("Four of the six terms teach `to_b`. None teaches a D: they have their own.")


def _check_moving(moving):
    if isinstance(moving, str):
        moving = moving.replace(";", ",").split("," if "," in moving else None)
    try:
        moving = [str(name) for name in moving]
    except TypeError:
        raise Wrong("Give a list of names, such as ['game_a', 'cycle_b'].") from None
    named = {n.strip().lower().replace(" ", "_").replace("-", "_"): n for n in moving}
    for name, given in named.items():
        if name not in TERMS:
            raise Wrong(f"There is no term {given!r}; there are {list(TERMS)}.")
    for name, why in WITHOUT.items():
        if name in named:
            raise Wrong(
                f"`{name}` does not belong here: {why}, and `to_b` has no part in that."
            )
    for name, why in WITH.items():
        if name not in named:
            raise Wrong(f"`{name}` is missing: {why}.")


# --- 7.2 -----------------------------------------------------------------------


def content_right(a, b):
    n, m = len(a), len(b)
    if n % m:
        return 0
    return math.factorial(n) // math.factorial(n // m) ** m


@mistake(
    "content",
    "Those are all maps from a to b. D counts: each of b must come out as often as the "
    "others, or it spots fakes by what is too frequent.",
)
def content_all(a, b):
    return len(b) ** len(a)


@mistake(
    "content",
    "Those are all in which each of b comes out at least once. It must come out *as "
    "often* as the others.",
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


@mistake(
    "content",
    "You ask that each of b comes out exactly once. With twice as many of a as of b it "
    "should be twice.",
)
def content_exactly_once(a, b):
    return back_right(a, b)


@mistake(
    "content",
    "You ask that those which come out do so equally often. One that never comes out "
    "does so 0 times, and D misses it.",
)
def content_of_some(a, b):
    maps = itertools.product(b, repeat=len(a))
    return sum(len({f.count(y) for y in set(f)}) == 1 for f in maps)


@mistake("content", "Those are the maps from b to a: f goes from a to b.")
def content_backwards(a, b):
    return content_right(b, a)


@mistake("content", "That says whether there is any. Count how many there are.")
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


@mistake("same", "What is in both stays; the *others* may be permuted freely.")
def same_shared(a, b):
    return math.factorial(len(set(a) & set(b))) if len(a) == len(b) else 0


@mistake(
    "same",
    "You divide. The maps that leave what is shared alone are those which permute the "
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
    passed("The losses leave a choice. They do not say which one training makes.")


# --- 7.3 -----------------------------------------------------------------------

SIZE, SOME = 12, 5


def _number(picture, what):
    """The number that a picture of the stream is made of."""
    try:
        values = np.asarray(picture, float)
    except (TypeError, ValueError):
        values = np.zeros(0)
    if values.shape != (1, 1, 1):
        raise Wrong(
            f"What is {what} are not the pictures that came in, each by itself: there "
            f"is a {type(picture).__name__} of shape {np.shape(values)} among them."
        )
    return float(values[0, 0, 0])


def _stream(answer, seed, n=1200):
    """What comes out where pictures 0, 1, 2, ... go in, five at a time; what stays."""
    kept, given, rng = [], [], np.random.default_rng(seed)
    for start in range(0, n * SOME, SOME):
        fakes = [np.full((1, 1, 1), float(i)) for i in range(start, start + SOME)]
        was_full = len(kept) == SIZE
        out = call(answer, kept, fakes, SIZE, rng)
        if not isinstance(out, (list, tuple)) and np.ndim(out) == 0:
            raise Wrong(f"Give a list of pictures; this is a {type(out).__name__}.")
        if len(out) != SOME:
            raise Wrong(
                f"{SOME} fakes came in, and {len(out)} came out. Give as many pictures "
                f"as came."
            )
        if len(kept) > SIZE:
            raise Wrong(
                f"{len(kept)} pictures are kept, where {SIZE} is the size: once it is "
                f"full a new one takes an old one's place."
            )
        if was_full and len(kept) < SIZE:
            raise Wrong("A picture left the buffer, and none took its place.")
        if not start and not kept:
            raise Wrong("`kept` is still empty. Append to that very list, in place.")
        given += [_number(picture, "given") for picture in out]
        [_number(picture, "kept") for picture in kept]
    return np.array(given), [_number(picture, "kept") for picture in kept]


def buffer(exchange):
    """7.3: old fakes, some of which come back."""
    given, kept = _stream(exchange, 0)
    late = np.arange(len(given)) - given  # how long ago it was made
    if (late < 0).any():
        raise Wrong("What you give is not in the order of the fakes that came in.")
    if (late[:SIZE] != 0).any():
        raise Wrong(
            f"The first {SIZE} fakes should be kept, and given all the same: nothing "
            f"is exchanged before the buffer is full."
        )
    if len(kept) < SIZE:
        raise Wrong(f"It keeps {len(kept)} pictures; the size is {SIZE}.")
    later, full = late[SIZE:], given[SIZE:]
    is_old = later > 0
    old, fresh = float(is_old.mean()), any(k >= SIZE for k in kept)
    if old == 0 and fresh:
        raise Wrong(
            "New ones take the places of old ones, but it is the old one which should "
            "then be given."
        )
    if old == 0:
        raise Wrong(
            "Only new fakes come out. Half the time it should be an old one, in whose "
            "place the new one is kept."
        )
    if old > 0.95:
        raise Wrong(
            "Always an old one. With probability one half the new one is given, and "
            "the buffer stays as it is."
        )
    if abs(old - 0.5) > 0.04:
        raise Wrong(f"{old:.0%} of what comes out is old, where half should be.")
    if not fresh:
        raise Wrong(
            "An old one is given, but the new one does not take its place: the buffer "
            "holds what came first, forever."
        )
    if np.unique(full, return_counts=True)[1].max() > 1:
        raise Wrong(
            "A picture comes out several times. One that is given back leaves the "
            "buffer; and one that is given at once is not kept."
        )
    alike = float((is_old[1:] == is_old[:-1]).mean())
    if alike < 0.45:
        raise Wrong("New and old alternate. Toss a coin each time.")
    first = -(-SIZE // SOME) * SOME - SIZE  # of `later`, where a batch begins
    batches = is_old[first:].reshape(-1, SOME)
    if (batches.all(axis=1) | ~batches.any(axis=1)).mean() > 0.5:
        raise Wrong("One coin for the whole batch. Toss one for each picture.")
    _check_places(later[is_old], kept)
    if not np.array_equal(given, _stream(exchange, 0)[0]):
        raise Wrong("The same rng gives other draws: all chance must come from `rng`.")
    if np.array_equal(given, _stream(exchange, 1)[0]):
        raise Wrong("Another rng gives the same draws. Use the `rng` you are given.")
    waited = f"{later[is_old].mean():.0f}"
    passed(f"Half are old, and have waited for some {waited} others.")


def _check_places(waits, kept):
    """Hold that places are drawn one by one, all equally often. Of right answers the
    waits' deviation over their mean lies in 0.92 to 1.02, and 13% to 18% of the waits
    are of four or less."""
    spread = waits.std() / waits.mean()
    if spread < 0.6:
        raise Wrong(
            "Old ones come out in the order in which they came in. Draw the place at "
            "random, so that some stay for long."
        )
    if (waits < SOME).mean() > 0.4:
        raise Wrong("One place for the whole batch. Draw one for each picture.")
    if min(kept) < SIZE:
        raise Wrong(
            "Some places are never drawn: `rng.integers(size)` draws 0 to size - 1."
        )
    if spread > 1.15:
        raise Wrong("Some places are drawn more often than others.")


# --- 7.4 -----------------------------------------------------------------------


WEIGHTS = dict(cycle_weight=3.0, identity_weight=1.5)


def _as_it_should_be(*given):
    return cyclegan.train_step(*given, **WEIGHTS)


def _no_way_back(*given):
    return cyclegan.train_step(*given, cycle_weight=0.0, identity_weight=0.0)


def _both_in_both(*given):
    *given, (a, b), key = given
    half = len(a) // 2
    mixed = [jnp.concatenate([x[:half], y[half:]]) for x, y in ((a, b), (b, a))]
    return cyclegan.train_step(*given, mixed, key, **WEIGHTS)


def _ds_stand_still(g, d, g_optimizer, d_optimizer, *given):
    still = nnx.clone(d), nnx.clone(d_optimizer)
    given = g, still[0], g_optimizer, still[1], *given
    return cyclegan.train_step(*given, **WEIGHTS)


def _g_moves_ds(g, d, g_optimizer, d_optimizer, buffers, batch, key):
    a, b = batch

    def pleased(d):
        verdicts = d.a(g.a(b)), d.b(g.b(a))
        return sum(map(cyclegan.g_loss, verdicts)) / 2

    d_optimizer.update(d, nnx.grad(pleased)(d))
    given = g, d, g_optimizer, d_optimizer, buffers, batch, key
    return cyclegan.train_step(*given, **WEIGHTS)


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
    if isinstance(answers, (str, np.ndarray)):
        answers = list(answers)
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


def _louder(f):
    """What f makes of the way back with noise and without, and of the noise."""

    def amplified(to_a, to_b, a, noise):
        there = np.asarray(to_b(a))
        off = np.asarray(to_a(there + noise)) - np.asarray(to_a(there))
        return float(f(off, np.asarray(noise)))

    return amplified


amplified_right = _louder(lambda off, noise: np.abs(off).mean() / np.abs(noise).mean())

for f, hint in [
    (lambda off, noise: np.abs(off).mean(), "Divide by the mean of |noise|."),
    (
        lambda off, noise: np.abs(noise).mean() / np.abs(off).mean(),
        "Upside down: what comes out over what went in.",
    ),
    (
        lambda off, noise: np.abs(off).mean() / noise.mean(),
        "The mean of the noise is near 0: take that of |noise|.",
    ),
    (
        lambda off, noise: np.abs(off).mean() / np.abs(noise.mean()),
        "That divides by |mean of the noise|, which is near 0. Take |.| first.",
    ),
    (
        lambda off, noise: ((off**2).mean() / (noise**2).mean()) ** 0.5,
        "Those are root mean squares. Means of |.| were asked for.",
    ),
    (
        lambda off, noise: (off**2).mean() / (noise**2).mean(),
        "Those are squares. Means of |.| were asked for.",
    ),
    (
        lambda off, noise: np.abs(off).max() / np.abs(noise).max(),
        "Those are the largest ones. Means of |.| were asked for.",
    ),
    (
        lambda off, noise: (np.abs(off) / np.abs(noise)).mean(),
        "That is a mean of ratios. The ratio of the two means was asked for.",
    ),
    (
        lambda off, noise: off.mean() / noise.mean(),
        "What is signed cancels: take |.| before each mean.",
    ),
]:
    mistake("amplified", hint)(_louder(f))


@mistake(
    "amplified",
    "You compare with a: so the error of the round trip itself is in it. Compare with "
    "the round trip without noise.",
)
def amplified_from_a(to_a, to_b, a, noise):
    return _l1(to_a(np.asarray(to_b(a)) + noise), a) / np.abs(noise).mean()


@mistake("amplified", "The noise is on a. Put it on what lies between, `to_b(a)`.")
def amplified_before(to_a, to_b, a, noise):
    return _l1(to_a(to_b(a + noise)), to_a(to_b(a))) / np.abs(noise).mean()


@mistake("amplified", "The noise comes after the way back: that is always 1.")
def amplified_after(to_a, to_b, a, noise):
    return 1.0


@mistake("amplified", "That is the way there alone. The noise goes the way *back*.")
def amplified_there(to_a, to_b, a, noise):
    return _l1(to_b(a + noise), to_b(a)) / np.abs(noise).mean()


@mistake(
    "amplified",
    "The translators have changed places: a is a picture of a, so `to_b` comes first.",
)
def amplified_exchanged(to_a, to_b, a, noise):
    return amplified_right(to_b, to_a, a, noise)


@mistake("amplified", "Do not clip: the noise is then smaller than what you divide by.")
def amplified_clipped(to_a, to_b, a, noise):
    there = np.asarray(to_b(a))
    off = _l1(to_a(np.clip(there + noise, -1, 1)), to_a(there))
    return off / np.abs(noise).mean()


def _whispering(seed):
    """Translators of which the one hides a, very small, in grey, and the other finds
    it; a, and noise."""
    rng = np.random.default_rng(seed)
    a, noise = rng.uniform(-1, 1, (2, 3, 4, 4, 3)).astype(np.float32)
    small = np.float32(0.02 * (seed + 1))
    return (lambda y: (y - 0.9) / small), (lambda x: 0.9 + small * x), a, noise / 5


def hidden(answers):
    """7.5: what is whispered from one generator to the other."""
    amplified, cure = split(answers, 2)
    there(amplified, "amplified")
    to_a, to_b, _, _, a, b = _toy(2)
    given = [(to_a, to_b, np.array(a), np.array(b) / 5), *map(_whispering, (0, 1))]
    compare("amplified", amplified, given, amplified_right, "one number")
    there(cure, "cure")
    letter(
        cure,
        "b",
        {
            "a": "The cycle is what *rewards* a whisper: more weight, more of it.",
            "c": "It is not unfinished. All losses are low; train longer, and it only "
            "whispers better.",
            "d": "It might hear a fainter whisper, and a fainter one will do: `to_a` "
            "listens for it, and no D can look at what `to_a` is able to hear.",
        },
    )
    passed("A whisper is loud again on the way back; noise drowns it.")
