"""Measure what a GAN's run shows: the evidence that `diagnosis` decides by."""

import numpy as np
from scipy.ndimage import median_filter

from gencourse.metrics import judges
from gencourse.metrics.neighbours import nearest
from gencourse.metrics.samples import entropy
from gencourse.validation import check_labels

PARTS = 100  # a history is read as the means of so many parts, of like length
AT_MOST = 1000  # samples, and real pictures beside them, that are looked at
AT_LEAST = 100  # samples: with fewer, chance decides which classes are missing
VOTES = 5  # nearest real pictures that name a sample; fewer where there are few
ENOUGH = 0.25  # of a class's real share: with less it counts as missing
NEEDED = (
    "p_fake",
    "d_accuracy_real",
    "d_accuracy_fake",
)  # and "g_grad_norm", if it is there


def measurements(history, samples, *, real, judge, labels=None, swapped=None):
    """Return all that `decide` needs: a dict of floats. Arguments as in `diagnose`.

    not_finite: how many numbers of history and samples are NaN or infinite; with
      first_bad_step, counted from 1 (0: only samples). If there is one, no more is
      measured.
    Of the history, cut into 100 parts; "at the end" is the last quarter:
    d_right: the share that D gets right, real and fake, at the end: the median of
      the parts, which overlooks a short stumble.
    p_fake: D's belief in fakes at the end, a median too. p_fake_rise: how much more
      than in the quarter before.
    g_gradient: the length of G's gradient at the end, over its largest part.
    swing: how far apart the 5% and the 95% quantile of p_fake lie in the second half.
    Of the pictures, through a median of 3x3 pixels, which takes away the specks that
      an MLP leaves; and a sample's class is what the judge calls most of the 5 real
      pictures nearest to it, in pixels (fewer than 5, where `real` has fewer than
      500). Both because the judge has never seen specks, and calls whatever lies
      beneath them by one name:
    near: the median distance of a sample to the nearest of `real`, over that of a real
      one to its nearest other: about 1 if all is well, 0 for copies.
    far: the same in the judge's features, beside 1,000 real ones. It decides nothing:
      how far away noise lies there differs from judge to judge.
    likeness: the correlation of the mean sample with the mean real picture.
    spread: the variance of samples, summed over pixels, over that of real ones.
    covered: the share of the real ones' classes of which the samples have at least a
      quarter of the real share.
    classes: exp(entropy) of the judged classes, "how many classes", over that of
      real ones.
    variety: the variance within a judged class over the real one's.
    agreement, if labels are given: (a - c) / (1 - c) for the share a of samples that
      are of the class asked for and the share c that chance would have (Cohen's kappa).
    response, if swapped is given: the mean distance from a sample to its swapped one
      over that to another sample, by chance.
    """
    check_history(history)
    samples = _pictures(samples, "samples", at_least=AT_LEAST)
    bad = [~np.isfinite(v) for v in history.values()]
    wrong = sum(int(b.sum()) for b in bad)
    if wrong or not np.isfinite(samples).all():
        steps = [int(np.argmax(b)) + 1 for b in bad if b.any()]
        wrong += int((~np.isfinite(samples)).sum())
        return {"not_finite": float(wrong), "first_bad_step": float(min(steps or [0]))}
    real = _pictures(real, "real", at_least=2)
    if labels is not None:
        labels = check_labels(labels, 10)
        if len(labels) != len(samples):
            raise ValueError(
                f"There are {len(labels)} labels and {len(samples)} samples: one each."
            )
        labels = labels[:AT_MOST]
    if swapped is not None:
        swapped = _pictures(swapped, "swapped", at_least=AT_LEAST)
        if len(swapped) != len(samples):
            raise ValueError(
                f"There are {len(swapped)} swapped ones and {len(samples)} samples: "
                f"one each, from the same latent vectors."
            )
        swapped = swapped[:AT_MOST]
    found = {"not_finite": 0.0, **_of_history(history)}
    found |= _of_samples(samples[:AT_MOST], real, judge, labels, swapped)
    return {name: float(value) for name, value in found.items()}


def in_parts(values):
    """Return the means of `PARTS` parts of like length; of short runs, all values."""
    return np.array([p.mean() for p in np.array_split(values, min(PARTS, len(values)))])


def _of_history(history):
    parts = {name: in_parts(values) for name, values in history.items()}
    n = len(parts["p_fake"])
    end, before, half = (
        slice(n - n // 4, n),
        slice(n // 2, n - n // 4),
        slice(n // 2, n),
    )
    p_fake = np.median(parts["p_fake"][end])
    found = {
        "d_right": np.median(
            parts["d_accuracy_real"][end] + parts["d_accuracy_fake"][end]
        )
        / 2,
        "p_fake": p_fake,
        "p_fake_rise": p_fake - np.median(parts["p_fake"][before]),
        "swing": np.ptp(np.quantile(parts["p_fake"][half], [0.05, 0.95])),
    }
    if "g_grad_norm" in parts:
        found["g_gradient"] = parts["g_grad_norm"][end].mean() / max(
            parts["g_grad_norm"].max(), 1e-12
        )
    return found


def _of_samples(samples, real, judge, labels, swapped):
    x, all_real = _smooth(samples), _smooth(real)
    some = np.linspace(0, len(real) - 1, min(AT_MOST, len(real))).astype(int)
    y = all_real[some]
    seen, seen_real = judges.features(judge, x), judges.features(judge, y)
    rows, real_rows = x.reshape(len(x), -1), y.reshape(len(y), -1)
    all_rows = all_real.reshape(len(real), -1)
    k = int(np.clip(len(real) // 100, 1, VOTES))
    distances, at = nearest(rows, all_rows, k)
    named = _vote(judge, real, at)
    named_real = judges.probabilities(judge, real[some]).argmax(-1)
    if not (usual := _usual(real_rows, all_rows)):
        raise ValueError(
            "Half of the real pictures, or more, have a twin among them: give each "
            "picture once."
        )
    found = {
        "near": np.median(distances[:, 0]) / usual,
        "far": np.median(nearest(seen, seen_real)[0])
        / max(_usual(seen_real, seen_real), 1e-12),
        "likeness": _correlation(rows.mean(0), real_rows.mean(0)),
        "spread": rows.var(0).sum() / max(real_rows.var(0).sum(), 1e-12),
        "covered": _covered(named, named_real),
        "classes": np.exp(entropy(named) - entropy(named_real)),
        "variety": _variety(rows, named, real_rows, named_real),
    }
    if labels is not None:
        right = (named == labels).mean()
        shares = [np.bincount(n, minlength=10) / len(n) for n in (named, labels)]
        chance = (shares[0] * shares[1]).sum()
        found["agreement"] = (right - chance) / max(1 - chance, 1e-12)
    if swapped is not None:
        other = _smooth(swapped).reshape(len(x), -1)
        moved = np.linalg.norm(rows - other, axis=1).mean()
        others = rows[np.random.default_rng(0).permutation(len(rows))]
        apart = np.linalg.norm(rows - others, axis=1).mean()
        found["response"] = moved / max(apart, 1e-12)
    return found


def _smooth(pictures):
    return median_filter(pictures, (1, 3, 3, 1))


def _vote(judge, real, at):
    """Return what the judge calls most real pictures in each row of `at` (N, k)."""
    rows, where = np.unique(at, return_inverse=True)
    # In whole thousands, so that the judge is not compiled for every other number.
    many = np.resize(rows, -(-len(rows) // 1000) * 1000)
    labels = judges.probabilities(judge, real[many]).argmax(-1)[where.reshape(at.shape)]
    return (labels[:, :, None] == np.arange(10)).sum(1).argmax(1)


def _covered(named, named_real):
    """Return the share of the real ones' classes of which samples draw enough."""
    shares, real = (np.bincount(n, minlength=10) / len(n) for n in (named, named_real))
    there = real > 0.03  # what is less may be the judge's slips
    return (shares[there] >= ENOUGH * real[there]).mean()


def _usual(some, data):
    """Return the median distance of `some` rows of data to the nearest other row."""
    return np.median(nearest(some, data, k=2)[0][:, 1])


def _variety(rows, named, real_rows, named_real):
    """Return the variance within the judged classes, over that of real ones."""
    of_samples = of_real = 0
    for label in np.unique(named):
        mine, theirs = rows[named == label], real_rows[named_real == label]
        if len(mine) > 1 and len(theirs) > 1:
            of_samples += len(mine) * mine.var(0).sum()
            of_real += len(mine) * theirs.var(0).sum()
    return of_samples / of_real if of_real else 1.0  # nothing to compare


def _correlation(a, b):
    a, b = a - a.mean(), b - b.mean()
    return (a @ b) / max(np.sqrt((a @ a) * (b @ b)), 1e-12)


def check_history(history):
    """Raise ValueError if `history` is not what `diagnose` can read."""
    missing = [name for name in NEEDED if name not in history]
    if missing:
        raise ValueError(
            f"The history has no {missing}; it has {list(history)}. It is the dict "
            f"that fit returns for gan.train_step."
        )
    for name, values in history.items():
        if np.ndim(values) != 1 or np.shape(values) != np.shape(history["p_fake"]):
            raise ValueError(
                f"Each of the history is an array (steps,), of one length; "
                f"{name!r} is {np.shape(values)}."
            )
    steps = len(history["p_fake"])
    finite = all(np.isfinite(values).all() for values in history.values())
    if not steps or (finite and steps < 20):
        raise ValueError(f"The history has {steps} steps; it takes 20 to read it.")


def _pictures(pictures, name, at_least):
    """Return pictures as float32, or raise ValueError. Only samples may hold NaN."""
    pictures = np.asarray(pictures)
    if pictures.ndim != 4 or pictures.shape[1:] != (28, 28, 1):
        raise ValueError(f"{name} are (N, 28, 28, 1); given {pictures.shape}.")
    if len(pictures) < at_least:
        raise ValueError(f"{name}: {at_least} pictures or more; given {len(pictures)}.")
    if not np.issubdtype(pictures.dtype, np.floating):
        raise ValueError(
            f'{name} are {pictures.dtype}, not float: data.scale(images, "unit").'
        )
    finite = np.isfinite(pictures)
    if name != "samples" and not finite.all():
        raise ValueError(f"There are NaN or infinite numbers in {name}.")
    inside = pictures[finite]
    if inside.size and (inside.min() < 0 or inside.max() > 1):
        raise ValueError(
            f"{name} lie in [0, 1]; given [{inside.min():g}, {inside.max():g}]. What "
            f"comes of tanh becomes so by data.to_unit(x)."
        )
    return pictures.astype(np.float32)
