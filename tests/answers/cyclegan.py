"""Right answers to chapter 7's exercises, and the mistakes that learners make.

Those in the checks' own tables are handed in as they stand there.
"""

import itertools
import random
import re

import jax.numpy as jnp
import numpy as np

from gencourse.checks import cyclegan as checks


def blank(*given):
    raise NotImplementedError


def table(name, *, at=0, others=()):
    """(answer, pattern of its hint) for each mistake of a table, in its place `at`."""
    for wrong, hint in checks.MISTAKES[name]:
        yield [*others[:at], wrong, *others[at + 1 :]], re.escape(hint)


# --- 7.1 -----------------------------------------------------------------------


def six_terms(to_a, to_b, judge_a, judge_b, a, b):
    def off(x, y):
        return jnp.abs(x - y).mean()

    fake_a, fake_b = to_a(b), to_b(a)
    return (
        ((judge_a(fake_a) - 1) ** 2).mean(),
        ((judge_b(fake_b) - 1) ** 2).mean(),
        off(to_a(fake_b), a),
        off(to_b(fake_a), b),
        off(to_a(a), a),
        off(to_b(b), b),
    )


def six_in_numpy(*given):
    return [float(term) for term in six_terms(*given)]


MOVING = ["game_b", "cycle_a", "cycle_b", "identity_b"]


def six_on_the_way(to_a, to_b, judge_a, judge_b, a, b):
    """Changes its own pictures afterwards: nobody else's."""
    found = six_in_numpy(to_a, to_b, judge_a, judge_b, a, b)
    a = 0 * a
    return np.asarray(found, np.float32)


def by_domain(*given):
    return np.asarray(six_terms(*given))[[0, 2, 4, 1, 3, 5]]


def six_maps(to_a, to_b, judge_a, judge_b, a, b):
    return (judge_a(to_a(b)) - 1) ** 2


def three_terms(*given):
    return six_terms(*given)[:3]


def third_of_six(*given):
    return [term / 3 for term in six_terms(*given)]


# --- 7.2 -----------------------------------------------------------------------


def game_alone(a, b):
    def even(f):
        return len({f.count(y) for y in b}) == 1

    return sum(even(f) for f in itertools.product(b, repeat=len(a)))


def and_cycle(a, b):
    n = 0
    for f in itertools.product(b, repeat=len(a)):
        for g in itertools.product(a, repeat=len(b)):
            there, back = dict(zip(a, f, strict=True)), dict(zip(b, g, strict=True))
            n += all(back[there[x]] == x for x in a) and all(
                there[back[y]] == y for y in b
            )
    return n


def and_identity(a, b):
    if len(a) != len(b):
        return np.int64(0)
    shared = set(a) & set(b)
    maps = (dict(zip(a, f, strict=True)) for f in itertools.permutations(b))
    return np.int64(sum(all(f[x] == x for x in shared) for f in maps))


PERFECT = [game_alone, and_cycle, and_identity]


def that_empties_a(a, b):
    found = checks.content_right(a, b)
    a.clear()
    return found


def the_maps(a, b):
    return [f for f in itertools.product(b, repeat=len(a))]


def content_by_cases(a, b):
    return 0.5 + checks.content_right(a, b)


# --- 7.3 -----------------------------------------------------------------------


def exchange(kept, fakes, size, rng):
    given = []
    for fake in fakes:
        if len(kept) < size:
            kept.append(fake)
        elif rng.random() < 0.5:
            place = rng.integers(size)
            fake, kept[place] = kept[place], fake
        given.append(fake)
    return given


def exchange_by_arrays(kept, fakes, size, rng):
    coins, places = rng.integers(0, 2, len(fakes)), rng.integers(0, size, len(fakes))
    out = []
    for fake, coin, place in zip(fakes, coins, places, strict=True):
        if len(kept) < size:
            kept += [fake]
            out += [fake]
        elif coin:
            out += [kept.pop(place)]
            kept.insert(place, fake)
        else:
            out += [fake]
    return np.stack(out)


def buffer_by(*, chance=0.5, place=None, keep=True, give=True):
    """An answer with one thing changed."""

    def answer(kept, fakes, size, rng):
        given = []
        for fake in fakes:
            if len(kept) < size:
                kept.append(fake)
            elif rng.random() < chance:
                at = rng.integers(size) if place is None else place(size, rng)
                old = kept[at]
                if keep:
                    kept[at] = fake
                fake = old if give else fake
            given.append(fake)
        return given

    return answer


def one_coin(kept, fakes, size, rng):
    swap = rng.random() < 0.5
    given = []
    for fake in fakes:
        if len(kept) < size:
            kept.append(fake)
        elif swap:
            place = rng.integers(size)
            fake, kept[place] = kept[place], fake
        given.append(fake)
    return given


def in_order(kept, fakes, size, rng):
    given = []
    for fake in fakes:
        if len(kept) < size:
            kept.append(fake)
        elif rng.random() < 0.5:
            kept.append(fake)
            fake = kept.pop(0)
        given.append(fake)
    return given


def kept_and_given(kept, fakes, size, rng):
    """What is given at once is kept, too."""
    given = []
    for fake in fakes:
        if len(kept) < size:
            kept.append(fake)
            given.append(fake)
            continue
        place = rng.integers(size)
        old, kept[place] = kept[place], fake
        given.append(old if rng.random() < 0.5 else fake)
    return given


def no_limit(kept, fakes, size, rng):
    kept.extend(fakes)
    return [kept[rng.integers(len(kept))] for _ in fakes]


def exchanged_at_once(kept, fakes, size, rng):
    given = []
    for fake in fakes:
        if kept and rng.random() < 0.5:
            place = rng.integers(len(kept))
            old, kept[place] = kept[place], fake
            given.append(old)
        else:
            if len(kept) < size:
                kept.append(fake)
            given.append(fake)
    return given


def new_list(kept, fakes, size, rng):
    kept = [*kept, *fakes][:size]
    return list(fakes)


def too_few(kept, fakes, size, rng):
    return exchange(kept, fakes, size, rng)[:-1]


def own_chance(kept, fakes, size, rng):
    return exchange(kept, fakes, size, np.random.default_rng(random.randrange(2**32)))


def own_key(kept, fakes, size, rng):
    """The same draws, whatever rng comes."""
    seed = int(np.ravel(fakes[0])[0])
    return exchange(kept, fakes, size, np.random.default_rng(seed))


def smaller(kept, fakes, size, rng):
    return exchange(kept, fakes, size - 1, rng)


def backwards(kept, fakes, size, rng):
    return exchange(kept, fakes, size, rng)[::-1]


def alternating(kept, fakes, size, rng):
    given = []
    for i, fake in enumerate(fakes):
        if len(kept) < size:
            kept.append(fake)
        elif (int(np.ravel(fake)[0]) + i // 10) % 2:
            place = rng.integers(size)
            fake, kept[place] = kept[place], fake
        given.append(fake)
    return given


def one_place(kept, fakes, size, rng):
    given, place = [], rng.integers(size)
    for fake in fakes:
        if len(kept) < size:
            kept.append(fake)
        elif rng.random() < 0.5:
            fake, kept[place] = kept[place], fake
        given.append(fake)
    return given


def never_the_last(size, rng):
    return rng.integers(size - 1)


def often_the_first(size, rng):
    return int(size * rng.random() ** 2)


def batches(kept, fakes, size, rng):
    kept.append(fakes)
    return fakes


def nothing(kept, fakes, size, rng):
    return [kept.append(fake) if len(kept) < size else fake for fake in fakes]


def and_more(kept, fakes, size, rng):
    return exchange(kept, fakes, size, rng), kept


def taken_out(kept, fakes, size, rng):
    given = []
    for fake in fakes:
        if len(kept) < size:
            kept.append(fake)
        elif rng.random() < 0.5:
            fake = kept.pop(rng.integers(len(kept)))
        given.append(fake)
    return given


def exchange_in_jax(kept, fakes, size, rng):
    return jnp.stack([jnp.asarray(f) for f in exchange(kept, fakes, size, rng)])


# --- 7.5 -----------------------------------------------------------------------


def amplified(to_a, to_b, a, noise):
    there = to_b(a)
    off = jnp.abs(to_a(there + noise) - to_a(there))
    return off.mean() / jnp.abs(noise).mean()


def amplified_in_numpy(to_a, to_b, a, noise):
    there = np.asarray(to_b(a), np.float64)
    again, noisy = np.asarray(to_a(there)), np.asarray(to_a(there + noise))
    noise[...] = np.abs(noise)  # its own copy
    return float(np.sum(np.abs(noisy - again)) / np.sum(noise))


EXERCISES = {
    "terms": {
        "right": [
            [six_terms, MOVING],
            [six_in_numpy, {"cycle_b", "Cycle A", "game_b", "identity-b"}],
            [six_on_the_way, "game b, cycle a, cycle b, identity b"],
            [six_terms, "game_b cycle_a cycle_b identity_b"],
        ],
        "blank": [blank, ...],
        "wrong": [
            *(
                ([checks.with_group(name, wrong), MOVING], re.escape(hint))
                for name in checks.GROUPS
                for wrong, hint in checks.MISTAKES[name]
            ),
            *table("whole", others=[None, MOVING]),
            ([by_domain, MOVING], "their order is not"),
            ([three_terms, MOVING], "shape"),
            ([six_maps, MOVING], "one number for each"),
            ([third_of_six, MOVING], "numbers are not"),
            ([six_terms, [*MOVING, "game_a"]], "`game_a` does not belong"),
            ([six_terms, [*MOVING, "identity_a"]], "`identity_a` does not belong"),
            ([six_terms, MOVING[1:]], "`game_b` is missing"),
            ([six_terms, ["game_b", "cycle_b", "identity_b"]], "on its way there"),
            ([six_terms, ["game_b", "cycle_a", "identity_b"]], "comes back"),
            ([six_terms, MOVING[:-1]], "`identity_b` is missing"),
            ([six_terms, [*MOVING, "game_c"]], "no term 'game_c'"),
            ([six_terms, 4], "a list of names"),
        ],
    },
    "perfect": {
        "right": [
            PERFECT,
            [checks.content_right, checks.back_right, checks.same_right],
            [that_empties_a, checks.back_right, and_identity],
        ],
        "blank": [blank, blank, blank],
        "wrong": [
            *table("content", others=PERFECT),
            *table("back", at=1, others=PERFECT),
            *table("same", at=2, others=PERFECT),
            ([content_by_cases, *PERFECT[1:]], "was expected"),
            ([the_maps, *PERFECT[1:]], "shape|one array of numbers"),
        ],
    },
    "buffer": {
        "right": [exchange, exchange_by_arrays, exchange_in_jax],
        "blank": blank,
        "wrong": [
            (buffer_by(chance=0.0), "Only new fakes come out"),
            (buffer_by(chance=1.0), "Always an old one"),
            (buffer_by(chance=0.2), "of what comes out is old, where half should be"),
            (buffer_by(keep=False), "the new one does not take its place"),
            (buffer_by(give=False), "the old one which should"),
            (buffer_by(place=never_the_last), "Some places are never drawn"),
            (buffer_by(place=often_the_first), "drawn more often than others"),
            (kept_and_given, "comes out several times"),
            (alternating, "New and old alternate"),
            (one_coin, "One coin for the whole batch"),
            (one_place, "One place for the whole batch"),
            (in_order, "in the order in which they came in"),
            (no_limit, "once it is full"),
            (exchanged_at_once, "nothing is exchanged before the buffer is full"),
            (taken_out, "none took its place"),
            (new_list, "still empty"),
            (batches, "What are kept|What is kept|are not the pictures"),
            (nothing, "a NoneType"),
            (too_few, "5 fakes came in, and 4 came out"),
            (and_more, "5 fakes came in, and 2 came out"),
            (own_chance, "all chance must come from `rng`"),
            (own_key, "Another rng gives the same draws"),
            (smaller, "It keeps 11 pictures"),
            (backwards, "not in the order of the fakes"),
        ],
    },
    "games": {
        "right": [list("cbdae"), ["c)", "(b)", "D", " a", "e."]],
        "blank": [..., ..., ..., ..., ...],
        "wrong": [
            (["c", "b", "d", "a", "f"], "one letter from a to e"),
            (list("cbdaa"), "Each letter is used once"),
            (list("abdce"), "`p` is not a"),
            (list("bcdae"), "`p` is not b"),
            (list("cdbae"), "`q` is not d"),
            (list("cebad"), "`q` is not e"),
            (list("cbade"), "`r` is not a"),
            (list("cbead"), "`r` is not e: Ds that stand still"),
        ],
    },
    "hidden": {
        "right": [[amplified, "b"], [amplified_in_numpy, " B)"]],
        "blank": [blank, ...],
        "wrong": [
            *table("amplified", others=[None, "b"]),
            ([amplified, "a"], "rewards"),
            ([amplified, "c"], "It is not unfinished"),
            ([amplified, "d"], "a fainter one will do"),
            ([amplified, "e"], "none of the options"),
        ],
    },
}
