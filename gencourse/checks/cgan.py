"""Checks of chapter 5's exercises."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

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

BY_KEY = (
    "Chance comes from the key alone, by jax.random: else nobody can repeat your run."
)


# --- 5.1 -----------------------------------------------------------------------


def join(joined):
    """5.1: the label's row of the table beside the latent vector."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(6, 5)).astype(np.float32)
    y = np.array([3, 0, 2, 3, 1, 3])
    table = rng.normal(size=(4, 3)).astype(np.float32)
    _check_side_by_side(call(joined, *map(jnp.asarray, (z[:, :3], y, table))))
    result = numbers(call(joined, jnp.asarray(z), jnp.asarray(y), jnp.asarray(table)))
    wanted = np.concatenate([z, table[y]], axis=1)
    one_hot = np.eye(4, dtype=np.float32)[y]
    known = [
        (
            np.concatenate([z, y[:, None]], axis=1),
            "The label has gone in as one number, so that 2 is twice 1. It should be "
            "its row of the table.",
        ),
        (
            np.concatenate([z, one_hot], axis=1),
            "These are one-hot vectors: four numbers, all 0 but one. They would work, "
            "but the exercise asks for the label's row of the table, three learned "
            "numbers.",
        ),
        (
            np.concatenate([table[y], z], axis=1),
            "The right numbers, with the label in front. A network would not mind, but "
            "the latent comes first in the chapter, and weights that were trained so "
            "would be mixed up.",
        ),
        (
            np.concatenate([z, table[y - 1]], axis=1),
            "Each label has got its neighbour's row: labels are counted from 0.",
        ),
    ]
    for value, hint in known:
        if close(result, value):
            raise Wrong(hint)
    result = shape(
        result, wanted.shape, "5 numbers of the latent vector and 3 of the label"
    )
    if close(result[:, :5], z):
        rows = result[:, 5:]
        if not close(rows[0], rows[3]) or not close(rows[0], rows[5]):
            raise Wrong(
                "Pictures 0, 3 and 5 have the same label and got different numbers. "
                "Take the row that the label names: table[y]."
            )
    if not close(result, wanted):
        raise Wrong(
            "The shape is right, the numbers aren't. Print the first row, and beside "
            "it z[0] and the row of the table that belongs to label y[0]."
        )
    more = call(joined, *map(jnp.asarray, (z[:1], y[:1], table)))
    if not close(numbers(more), wanted[:1]):
        raise Wrong("Right for six pictures, not for a single one.")
    passed(
        "Each latent is followed by its label's row, and alike labels get alike rows."
    )


def _check_side_by_side(result):
    """Of six latent vectors and rows that are both three numbers wide."""
    given = numbers(result).shape
    if given == (6, 3):
        raise Wrong(
            "The result is as wide as the latent. Adding the row to the latent, or "
            "multiplying, mixes both; join them: side by side."
        )
    if given == (12, 3):
        raise Wrong("They are joined one below the other. Say which axis: axis=1.")


# --- 5.2 -----------------------------------------------------------------------


def loud(answers):
    """5.2: how loud a label is in the first layer, and how loud it should be."""
    loudness, even = split(answers, 2)
    given = [(0.02, 10, 100), (1.0, 10, 100), (0.5, 3, 27), (2.0, 40, 10)]
    results = [float(shape(call(loudness, *g), (), "one ratio")) for g in given]
    wanted = [s * (m / n) ** 0.5 for s, m, n in given]
    for f, hint in [
        (
            lambda s, m, n: s * m / n,
            "Deviations do not add up, variances do: of a sum of n independent numbers "
            "the variance is n times one's, and the deviation its root.",
        ),
        (
            lambda s, m, n: (n / m) ** 0.5 / s,
            "That is the latent vector's over the label's: turn it over.",
        ),
        (
            lambda s, m, n: s**2 * m / n,
            "That is the ratio of the variances. The ratio of the deviations is its "
            "root.",
        ),
        (
            lambda s, m, n: s,
            "The ratio of single numbers. The label has fewer numbers than the latent, "
            "so fewer terms are added up.",
        ),
        (
            lambda s, m, n: s * (n / m) ** 0.5,
            "Who has more numbers, label or latent vector?",
        ),
    ]:
        if close(results, [f(*g) for g in given], 1e-3):
            raise Wrong(hint)
    if not close(results, wanted, 1e-3):
        raise Wrong(
            f"For a label of 10 numbers of deviation 0.02 beside a latent of 100: "
            f"{results[0]:.4g}. Write down the variance of w1 a1 + w2 a2 + ... for "
            f"both parts; the weights are alike and fall out of the ratio."
        )
    there(even, "even")
    even = float(shape(even, (), "one deviation"))
    for value, hint in [
        (
            1.0,
            "At deviation 1 the label of 10 numbers has 32% of the latent's loudness.",
        ),
        (10.0, "10 would be right for variances: take the root."),
        (0.1**0.5, "Turned over: with 0.32 the label would be softer still."),
    ]:
        if abs(even - value) < 0.02 * value:
            raise Wrong(hint)
    if abs(even - 10**0.5) > 0.02 * 10**0.5:
        raise Wrong(
            f"Your own function gives {_called(loudness, even)} for {even:g}, and 1 is "
            f"wanted."
        )
    passed(
        f"{results[0]:.2%} for the tutorials' label, {results[1]:.0%} for one of "
        f"deviation 1; both alike at {10**0.5:.2f}."
    )


def _called(loudness, deviation):
    return f"{float(loudness(deviation, 10, 100)):.3g}"


# --- 5.3 -----------------------------------------------------------------------


def permutation(response):
    """5.3: the permutation test."""
    rng = np.random.default_rng(1)
    z = rng.normal(size=(40, 6)).astype(np.float32)
    labels = rng.integers(0, 10, 40)
    others = (labels + rng.integers(1, 10, 40)) % 10
    faces = rng.normal(size=(10, 4, 4, 3)) * np.arange(1, 11).reshape(-1, 1, 1, 1)
    faces[:, 1:] *= 0.1  # unlike the styles, so that means and roots differ
    faces *= [1.0, 3.0, 0.2]  # and so do the colours

    def generator(listens):
        def draw(z, y):
            style = np.resize(np.asarray(z), (len(z), 6))[:, :4]
            style = style[:, :, None, None] * np.array([2.0, 0.5, 1.0])
            return jnp.asarray(style + listens * faces[np.asarray(y)])

        return draw

    def wanted(draw):
        mine, theirs = np.asarray(draw(z, labels)), np.asarray(draw(z, others))
        rows, moved = mine.reshape(40, -1), theirs.reshape(40, -1)
        by_label = np.linalg.norm(rows - moved, axis=1).mean()
        return by_label / np.linalg.norm(rows - np.roll(rows, 1, axis=0), axis=1).mean()

    def known(draw):
        mine, theirs = np.asarray(draw(z, labels)), np.asarray(draw(z, others))
        rows, moved = mine.reshape(40, -1), theirs.reshape(40, -1)
        by_label = rows - moved
        by_chance = rows - np.roll(rows, 1, axis=0)
        norm = np.linalg.norm
        yield (
            norm(by_label, axis=1).mean(),
            "Not yet divided by the distance of two pictures by chance: without it the "
            "figure depends on how large and how bright the pictures are.",
        )
        yield (
            norm(by_chance, axis=1).mean() / norm(by_label, axis=1).mean(),
            "Turned over: a G that ignores its labels should have 0, yours gives it "
            "infinity.",
        )
        yield (
            (by_label**2).sum(1).mean() / (by_chance**2).sum(1).mean(),
            "These are squared distances. Take the root of each before the mean.",
        )
        yield (
            norm(rows.mean(0) - moved.mean(0)) / norm(by_chance, axis=1).mean(),
            "That is the distance of two mean pictures. Each picture has to be "
            "compared with the one of its own latent vector, and then the mean taken.",
        )
        yield (
            np.abs(by_label).mean() / np.abs(by_chance).mean(),
            "That is the mean of each pixel's change. The distance of two pictures is "
            "the root of the sum over all their pixels, squared.",
        )
        flat = norm(by_label) / norm(by_chance)
        yield flat, "One norm over all pictures at once: take one a picture (axis=1)."
        colours = [a.reshape(40, 16, 3) for a in (by_label, by_chance)]
        one_each = [norm(a, axis=1).mean() for a in colours]
        yield (
            one_each[0] / one_each[1],
            "One distance for each colour. A picture's distance is over all of its "
            "numbers, height, width and colours: make it a row first.",
        )

    deaf, hears = generator(0.0), generator(1.0)
    result = float(shape(call(response, hears, z, labels, others), (), "one number"))
    for value, hint in known(hears):
        if abs(result - value) < 1e-3 * abs(value):
            raise Wrong(hint)
    silent = float(shape(call(response, deaf, z, labels, others), (), "one number"))
    if silent > 1e-6:
        raise Wrong(
            f"A G that ignores its labels gets {silent:.3g} and should get 0. Are both "
            f"pictures drawn from the same latent vectors, row by row?"
        )
    if abs(result - wanted(hears)) > 1e-3 * wanted(hears):
        raise Wrong(
            f"A G that hears its labels gets {result:.4g}, and {wanted(hears):.4g} was "
            f"expected. Above: the distance of each picture to the one of its latent "
            f"under the other label. Below: to the picture of the latent before it, "
            f"np.roll(pictures, 1, axis=0), under its own label. Means of both."
        )
    passed(f"0 for a deaf generator, {result:.2f} for one that hears.")


# --- 5.4 -----------------------------------------------------------------------


def shuffled(answers):
    """5.4: a loader that mixes up pictures and labels, its symptom and its cure."""
    symptom, shuffle = split(answers, 2)
    there(symptom, "symptom")
    letter(
        symptom,
        "b",
        {
            "a": "Each picture alone is as it was, and G learns to draw such pictures. "
            "What is lost is which label belongs to which.",
            "c": "0% would take a lesson: 'never what is asked for'. Here every label "
            "has come with every digit, so a label says nothing, and one in ten is "
            "right by chance.",
            "d": "Nothing is infinite: the labels are whole numbers in 0..9 as before, "
            "and the loss is as calm as chapter 3's.",
        },
    )
    n = 500
    x = np.arange(n, dtype=np.float32).reshape(n, 1, 1, 1) / n
    labels = (np.arange(n) * 7 % 10).astype(np.int32)
    pairs = {(float(a), int(b)) for a, b in zip(x.ravel(), labels, strict=True)}
    result = call(shuffle, jnp.asarray(x), jnp.asarray(labels), jax.random.key(0))
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise Wrong("Return two arrays: the pictures and their labels.")
    new_x, new_labels = (numbers(a) for a in result)
    if new_x.shape != x.shape or new_labels.shape != labels.shape:
        raise Wrong(
            f"Pictures {x.shape} and labels {labels.shape} came out as {new_x.shape} "
            f"and {new_labels.shape}: the shapes stay."
        )
    if sorted(new_x.ravel()) != sorted(x.ravel()):
        raise Wrong("Some pictures are there twice, and others have gone: permute.")
    now = {(float(a), int(b)) for a, b in zip(new_x.ravel(), new_labels, strict=True)}
    same = len(now & pairs) / n
    if same < 1:
        raise Wrong(
            f"Only {same:.0%} of the pictures still have their own label. Draw one "
            f"order, and use it for both."
        )
    if np.array_equal(new_x, x):
        raise Wrong("Every picture has its label, but nothing is shuffled any more.")
    if abs(np.sign(np.diff(new_x.ravel())).mean()) > 0.9:
        raise Wrong("Turned or cut, not shuffled: neighbours are still neighbours.")
    again, other = (
        numbers(call(shuffle, jnp.asarray(x), jnp.asarray(labels), key)[0])
        for key in (jax.random.key(0), jax.random.key(1))
    )
    if not np.array_equal(again, new_x):
        raise Wrong(f"The same key gives another order. {BY_KEY}")
    if np.array_equal(other, new_x):
        raise Wrong("Another key gives the same order: use the key that comes in.")
    passed("Shuffled by one order, drawn from the key: every picture kept its label.")


# --- 5.5 -----------------------------------------------------------------------


def mismatched(answers):
    """5.5: wrong labels, and D's loss with a third term."""
    wrong_labels, d_loss = split(answers, 2)
    _check_wrong_labels(wrong_labels)
    rng = np.random.default_rng(2)
    logits = [rng.normal(m, 1.5, 30).astype(np.float32) for m in (1.0, -0.5, 1.7)]
    given = [jnp.asarray(a) for a in logits]

    def plus(a):
        return np.logaddexp(0, np.asarray(a, np.float64)).mean()

    real, fake, wrong = logits
    terms = plus(-real), plus(fake), plus(wrong)
    w = 0.3
    result = float(shape(call(d_loss, *given, w), (), "D's loss"))
    for value, hint in [
        (
            terms[0] + terms[1] + w * terms[2],
            "The fakes' term still has its full weight, so that D hears 'not real' "
            "more often than 'real'. It gets 1 - w.",
        ),
        (
            terms[0] + w * terms[1] + (1 - w) * terms[2],
            "w is the weight of the wrong pairs, 1 - w that of the fakes.",
        ),
        (
            terms[0] + (1 - w) * terms[1] + w * plus(-wrong),
            "D is taught here that wrong pairs are real: the target of the third term "
            "is 0, as of the fakes.",
        ),
        (
            terms[0] + terms[1],
            "The third term is missing, or it comes out as 0.",
        ),
        (
            (1 - w) * (terms[0] + terms[1]) + w * terms[2],
            "1 - w belongs to the fakes' term alone; that of the real pairs keeps 1.",
        ),
        (
            -(terms[0] + (1 - w) * terms[1] + w * terms[2]),
            "The sign: D's loss is what it pays, and no less than 0.",
        ),
        (
            sum(terms),
            "All three terms have their full weight. The fakes' gets 1 - w, and that "
            "of the wrong pairs w.",
        ),
        (
            terms[0] + (terms[1] + terms[2]) / 2,
            "Fakes and wrong pairs weigh alike, whatever w is. The fakes' term gets "
            "1 - w, and that of the wrong pairs w.",
        ),
        (
            (terms[0] + (1 - w) * terms[1] + w * terms[2]) / 2,
            "Half of what it should be. D's two halves, real and not real, are added.",
        ),
        (
            30 * (terms[0] + (1 - w) * terms[1] + w * terms[2]),
            "Those are sums over the batch. Take means.",
        ),
        (
            plus(real) + (1 - w) * plus(-fake) + w * plus(-wrong),
            "The targets are turned round. Real pairs have 1, which is softplus(-a).",
        ),
        (
            terms[0] + plus((1 - w) * fake) + plus(w * wrong),
            "The weights stand inside of softplus, at the logits. Weigh the terms, "
            "once they are means.",
        ),
    ]:
        if abs(result - value) < 1e-3 * abs(value):
            raise Wrong(hint)
    wanted = terms[0] + (1 - w) * terms[1] + w * terms[2]
    if abs(result - wanted) > 1e-3 * wanted:
        raise Wrong(
            f"{result:.4f}, and {wanted:.4f} was expected: the mean of softplus(-a) "
            f"for real pairs, 1 - w times the mean of softplus(a) for fakes, and w "
            f"times that for wrong pairs."
        )
    alone = float(numbers(call(d_loss, *given, 0.0)))
    if not np.isfinite(alone) or abs(alone - terms[0] - terms[1]) > 1e-3:
        raise Wrong("With w = 0 it should be the plain loss of the two terms.")
    sure = jnp.full(30, 120.0)
    if not close(numbers(call(d_loss, -sure, sure, sure, w)), 240.0):
        raise Wrong(
            "Right for small logits. At logits of 120, where D is sure and wrong, each "
            "term should be 120, and yours is infinite, NaN or cut off: work from the "
            "logits, by nnx.softplus."
        )
    passed("Every label is wrong, each other one as likely, and D's three terms fit.")


def _check_wrong_labels(wrong_labels):
    y = np.resize(np.arange(10), 9000).astype(np.int32)
    key = jax.random.key(5)
    result = numbers(call(wrong_labels, key, jnp.asarray(y)))
    result = shape(result, y.shape, "a label for each")
    if result.dtype.kind not in "iu":
        raise Wrong(f"Labels are whole numbers; these are {result.dtype}.")
    if result.min() < 0 or result.max() > 9:
        raise Wrong(
            f"Labels from {result.min()} to {result.max()}: beyond 9 it begins again "
            f"at 0, which is % 10."
        )
    right = (result == y).mean()
    counts = np.zeros((10, 10))
    np.add.at(counts, (y, result), 1)
    if right > 0:
        drawn = "a label drawn from all ten is the right one in one case of ten"
        raise Wrong(
            f"{right:.0%} of the labels are right after all: {drawn}, and so is "
            f"another picture's label. Move each label on, by 1 to 9 places."
            if right < 0.5
            else "Most labels are the right ones still."
        )
    again, other = (
        numbers(call(wrong_labels, jax.random.key(seed), jnp.asarray(y)))
        for seed in (5, 6)
    )
    if not np.array_equal(again, result):
        raise Wrong(f"The same key gives other labels. {BY_KEY}")
    if (counts.max(axis=1) == 900).all():
        if not np.array_equal(other, result):
            raise Wrong(
                "One distance for the whole batch. Draw one for each label: as many as "
                "there are, labels.shape."
            )
        raise Wrong(
            "Each label always gets the same wrong one, so D learns of nine tenths of "
            "the wrong pairs nothing. Draw the distance by chance."
        )
    off = counts[~np.eye(10, dtype=bool)]
    if off.min() == 0:
        raise Wrong(
            "Some wrong labels never come. From 1 to 9 places is randint(key, shape, "
            "1, 10): its upper end is left out."
        )
    if off.min() < 60 or off.max() > 140:
        raise Wrong(
            f"Some wrong labels come {off.max() / off.min():.1f} times as often as "
            f"others. Let each of the nine be as likely."
        )
    if np.array_equal(other, result):
        raise Wrong("Another key gives the same labels: use the key that comes in.")


# --- 5.6 -----------------------------------------------------------------------


def halved(answers):
    """5.6: D's two terms averaged in place of added: what does it change?"""
    by_sgd, by_adam, change, moved = split(answers, 4)
    _check_moved(moved)
    for given, right, name in ((by_sgd, 0.5, "SGD"), (by_adam, 1.0, "Adam")):
        there(given, f"by_{name.lower()}")
        value = float(shape(given, (), f"the ratio for {name}"))
        if abs(value - right) < 0.01:
            continue
        if name == "Adam" and abs(value - 0.5) < 0.01:
            raise Wrong(
                "Adam: try it. It divides the mean of the gradients by the root of the "
                "mean of their squares, and half of both is the same."
            )
        if name == "SGD" and abs(value - 1) < 0.01:
            raise Wrong("SGD: its step is the rate times the gradient. Half of it is?")
        if abs(value - 2) < 0.01:
            raise Wrong(f"{name}: turned over. The halved gradient's way comes above.")
        if abs(value - 0.25) < 0.01:
            raise Wrong(f"{name}: a quarter? The gradient comes in once, not squared.")
        raise Wrong(f"{name}: not {value:g}. `moved` tells you.")
    there(change, "change")
    letter(
        change,
        "c",
        {
            "a": "With SGD it would be so. The recipe's optimizer is Adam.",
            "b": "G's loss has not been touched, and D moves as before.",
            "d": "Both terms are halved alike, so their balance stays.",
        },
    )
    passed("Half for SGD, the whole for Adam: only the number that is printed halves.")


SIZES = (
    "Positive and negative weights cancel in this. Add up their sizes without a sign, "
    "jnp.abs."
)


def _check_moved(moved):
    gradient = jnp.array([0.3, -2.0, 0.01])
    for name, rule in (
        ("sgd", optax.sgd(0.1)),
        ("sgd with momentum", optax.sgd(0.1, momentum=0.9)),
        ("adam", optax.adam(0.1)),
    ):
        for scale in (1.0, 0.5):
            weights, state = jnp.zeros(3), rule.init(jnp.zeros(3))
            for _ in range(10):
                step, state = rule.update(scale * gradient, state)
                weights = weights + step
            wanted = float(jnp.abs(weights).sum())
            result = call(moved, rule, gradient, scale, 10)
            result = float(shape(result, (), "how far, one number"))
            once = float(
                jnp.abs(rule.update(scale * gradient, rule.init(weights))[0]).sum()
            )
            if abs(result - once) < 1e-4 * once:
                raise Wrong("That is one step: take all of them, and add them up.")
            if abs(result) < 1e-4:
                raise Wrong("Nothing has moved. Are the updates added to the weights?")
            for value, hint in [
                (
                    10 * once,
                    "The rule gets a new state at every step, and so forgets where it "
                    "was: momentum never builds up. Hand on the state that it returns.",
                ),
                (
                    float(jnp.linalg.norm(weights)),
                    "That is the length, the root of the squares. Add up the sizes.",
                ),
                (abs(float(weights.sum())), SIZES),
                (abs(float(weights.mean())), SIZES),
                (wanted / 3, "That is the mean of the sizes. Add them up."),
            ]:
                known = abs(abs(result) - value) < 1e-3 * value
                if known and abs(result - wanted) > 1e-3 * wanted:
                    raise Wrong(hint)
            if abs(result - wanted) > 1e-3 * wanted:
                raise Wrong(
                    f"{name}, a scale of {scale:g}: {result:.4f}, and {wanted:.4f} was "
                    f"expected. Begin at zeros, multiply the gradient by the scale at "
                    f"every step, hand the state on, and add up the sizes at the end."
                )


# --- 5.7 -----------------------------------------------------------------------


def out_of_range(answers):
    """5.7: what JAX makes of label 10 of 10, and a check that says so."""
    by_index, by_embed, by_one_hot, checked = split(answers, 4)
    words = {"a": "an error", "b": "the last row", "c": "NaN", "d": "zeros"}
    for part, given, right, what in [
        ("by_index", by_index, "b", "table[10]"),
        ("by_embed", by_embed, "c", "nnx.Embed"),
        ("by_one_hot", by_one_hot, "d", "nnx.one_hot"),
    ]:
        there(given, part)
        wrong = {
            other: f"{what}: not {words[other]}. Run it and look."
            for other in words
            if other != right
        }
        letter(given, right, wrong)
    fine = np.array([0, 9, 4])
    result = call(checked, fine, 10)
    if not np.array_equal(numbers(result), fine):
        raise Wrong("Labels that are right have to come back as they are.")
    for bad, name in [
        (np.array([3, 10]), "10 of 10 classes"),
        (np.array([-1, 3]), "-1"),
        (np.array([3.0, 4.0]), "floats"),
        (np.array([[3], [4]]), "an array of two dimensions"),
        (np.array(3), "a single 3, of shape ()"),
        (np.array([True, False]), "True and False"),
        (np.array([], np.int32), "no label at all"),
    ]:
        _check_refused(checked, bad, name)
    try:
        checked(np.array([25]), 26)
    except ValueError:
        raise Wrong("25 of 26 classes is fine: use `classes`, not 10.") from None
    passed("The last row, NaN, zeros: three silent answers. Your check speaks up.")


def _check_refused(checked, bad, name):
    try:
        result = checked(bad, 10)
    except NotImplementedError:
        raise Missing("checked") from None
    except ValueError as error:
        if not str(error).strip():
            raise Wrong(
                f"It refuses {name}, but says nothing. Say what is wrong."
            ) from None
        if "zero-size" in str(error):
            raise Wrong(
                f"{name}: it is NumPy that stops, since of no numbers there is no "
                f"least one. Ask for it yourself, and say what is wrong."
            ) from None
        return
    except Exception as error:
        raise Wrong(
            f"{name}: raise a ValueError with a sentence; yours stops with "
            f"{type(error).__name__}. (An `assert` vanishes under `python -O`.)"
        ) from error
    if result is not None and not np.array_equal(np.asarray(result), bad):
        raise Wrong(f"{name} was changed to {np.asarray(result)}, silently. Refuse it.")
    raise Wrong(f"{name} passes. Who asks for it has made a mistake: tell them.")
