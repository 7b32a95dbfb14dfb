"""What is wrong with a GAN's run, and the figure that says so.

    history, samples, real --figures--> a dict of numbers --decide--> a Diagnosis

No single curve tells. D that is right on 98% of the pictures is normal in a run that
goes well, and so is a loss that stands still. So most verdicts ask for a sign in the
history *and* for its effect in the samples, which the judge looks at. The verdicts, in
the order in which they are tried; the first that holds is given, the others that hold
too are named beside it:

  not finite        A number in the history or in the samples is NaN or infinite. All
                    other figures would be made of it.
  oscillation       D's belief in the fakes swings, up to the end. Before all that
                    looks at the samples: they are those of one moment, and a few steps
                    earlier or later they would have been others.
  G stuck           The samples are bad, D names nearly every picture rightly, and G
                    does not answer: its gradient has vanished or was none, or its
                    pictures are still noise, whose mean is nothing like the mean of
                    real ones. Before "D won", for there G does learn, only not
                    enough; before collapse, for a G that never moved may draw nothing
                    but one grey.
  D won             The samples are bad, D names nearly every picture rightly, hardly
                    believes any fake, and does not come to believe more. D ahead of
                    good samples is no verdict. Before collapse: without a D that can
                    be fooled, what G draws has no meaning, one picture or many.
  total collapse    (Nearly) one picture; or one class, where the real ones have more.
  labels ignored    The judge does not see the class that was asked for; or other
                    labels do not change the picture.
  memorised         Samples lie much nearer to training pictures than these lie to each
                    other. After total collapse, which may fall onto a training
                    picture; before the partial one, for a G that copies rarely copies
                    all.
  partial collapse  Classes are missing; or the pictures within each are too much alike.
  unclear           The samples are bad and none of the above holds: most often a run
                    that was too short.
  healthy           None of these.

The thresholds, in `RULES`, were fixed on small runs that had been broken on purpose,
and scored on others: `recipes/diagnosis.py` and `results/diagnosis/`, which has the
hits and the misses. Those of the labels were set by hand, on constructed cases.
"""

import dataclasses

import numpy as np
from scipy.ndimage import median_filter

from gencourse.metrics import judge as judges
from gencourse.metrics import samples as measures

PARTS = 100  # a history is read as the means of so many parts, of like length
AT_MOST = 1000  # samples, and real pictures beside them, that are looked at
AT_LEAST = 100  # samples: with fewer, chance decides which classes are missing
VOTES = 5  # nearest real pictures that name a sample; fewer where there are few
ENOUGH = 0.25  # of a class's real share: with less it counts as missing
NEEDED = "p_fake", "real_right", "fake_right"  # and "g_norm", if it is there

BAD = "near", ">", 1.45  # the samples are bad
AHEAD = "d_right", ">", 0.95  # D names nearly every picture rightly
# Of each verdict, in this order: the ways in which it holds; of each way, all that must
# be so.
RULES = {
    "not finite": [[("not_finite", ">", 0)]],
    "oscillation": [[("swing", ">", 0.4)]],
    "G stuck": [
        [("g_gradient", "<", 0.01), AHEAD, BAD],
        [("likeness", "<", 0.2), AHEAD, BAD],
    ],
    "D won": [[("p_fake", "<", 0.2), ("p_fake_rise", "<", 0.1), AHEAD, BAD]],
    "total collapse": [[("spread", "<", 0.03)], [("classes", "<", 0.2)]],
    "labels ignored": [[("agreement", "<", 0.3)], [("response", "<", 0.2)]],
    "memorised": [[("near", "<", 0.8)]],
    "partial collapse": [[("covered", "<", 0.8)], [("variety", "<", 0.45)]],
    "unclear": [[BAD]],
}
ADVICE = {
    "not finite": "Lower the rates; compute the losses from logits; see that the real "
    "pictures are finite and in G's range.",
    "G stuck": "See that G's optimizer gets G's gradient and has a rate; that no "
    "stop_gradient lies between D and G; that G's loss is the non-saturating one.",
    "D won": "Slow D down: a lower rate, one step for one of G, a smaller network. See "
    "that G's last function reaches all that real pixels reach.",
    "total collapse": "See that the seeds differ. Then cross-entropy, LeakyReLU, Adam "
    "and LayerNorm in G; lower rates.",
    "labels ignored": "See that G and D both get the labels, and that pictures and "
    "labels are shuffled together. Then give D real pictures under wrong labels too.",
    "partial collapse": "See that the seeds differ and are long enough, and that "
    "every class is among the batches. Then lower rates, and LayerNorm in G.",
    "oscillation": "Lower both rates, and Adam's b1 to 0.5; let D and G take turns at "
    "every step.",
    "memorised": "Train on more pictures, or for fewer steps.",
    "unclear": "Train longer and look again; then a larger G, or other rates.",
    "healthy": "Look at the samples yourself all the same.",
}


@dataclasses.dataclass(frozen=True, repr=False)
class Diagnosis:
    """What `diagnose` found: print it.

    verdict: a key of `ADVICE`. because: the figures that decided, beside their
    thresholds. also: the other verdicts that hold. figures: all that was measured.
    """

    verdict: str
    because: str
    also: tuple
    figures: dict

    @property
    def advice(self):
        return ADVICE[self.verdict]

    def __repr__(self):
        lines = [f"{self.verdict}: {self.because}"]
        if self.also:
            lines.append(f"Also: {', '.join(self.also)}.")
        figures = (f"{name} {value:.3g}" for name, value in self.figures.items())
        return "\n".join([*lines, self.advice, f"Figures: {', '.join(figures)}."])


def diagnose(history, samples, *, real, judge, labels=None, swapped=None):
    """Read a run: what is wrong with it, and which figure says so?

    Args:
      history: what `fit` returned for `gan.train_step`, or the `.history` of its
        NotFinite: a dict of arrays (steps,). It needs "p_fake", "real_right" and
        "fake_right"; without "g_norm" a vanished gradient cannot be seen; of all
        others only whether they are finite is read. At least 20 steps, if finite.
      samples: what G draws at the end, (N, 28, 28, 1), float in [0, 1], N at least
        100; the first 1,000 are looked at. Those of a G that ends in tanh: (x + 1) / 2.
      real: the pictures that it was trained on, (M, 28, 28, 1), float in [0, 1], M at
        least 2. All of them: from a part nobody can tell what was copied.
      judge: a `metrics.judge.Judge` of such pictures.
      labels: (N,), int: what was asked of a conditional G, one a sample.
      swapped: as samples, from the same seeds, row by row, with other labels.

    Returns:
      A `Diagnosis`. `figures` and `decide` are its two halves.

    Raises:
      ValueError: on missing keys, other shapes, ranges or dtypes.

    Flaws: nearness is in pixels, so a copy that was shifted or mirrored does not count
    as memorised, and sharp pictures of nothing may count as good. Specks are taken
    away first: samples full of them may pass as healthy. A run is read at its end: one
    that has only begun often looks like "G stuck" or "D won", so look at the curves
    too. The thresholds come from small dense networks.
    """
    checked = dict(real=real, judge=judge, labels=labels, swapped=swapped)
    return decide(figures(history, samples, **checked))


def figures(history, samples, *, real, judge, labels=None, swapped=None):
    """All that `decide` needs to know: a dict of floats. Arguments as in `diagnose`.

    not_finite: how many numbers of history and samples are NaN or infinite; with
      first_bad_step, counted from 1 (0: only samples). If there is one, no more is
      measured.
    Of the history, cut into 100 parts; "at the end" is the last quarter:
    d_right: the share that D names rightly, real and fake, at the end: the median of
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
      over that to the next row's sample.
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
        labels = measures.check_labels(labels)
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
                f"one each, from the same seeds."
            )
        swapped = swapped[:AT_MOST]
    found = {"not_finite": 0.0, **_of_history(history)}
    found |= _of_samples(samples[:AT_MOST], real, judge, labels, swapped)
    return {name: float(value) for name, value in found.items()}


def decide(figures):
    """The Diagnosis that `figures` gives, by `RULES`."""
    found = {}
    for verdict, ways in RULES.items():
        holds = [way for way in ways if all(_is_so(figures, *rule) for rule in way)]
        if holds:
            found[verdict] = _because(figures, holds[0])
    if "total collapse" in found:
        found.pop("partial collapse", None)
    if len(found) > 1:
        found.pop("unclear", None)
    if not found:
        found["healthy"] = "no figure is past its threshold"
    verdict, *also = found
    return Diagnosis(verdict, found[verdict], tuple(also), figures)


def in_parts(values):
    """The means of `PARTS` parts of like length; of a shorter run, all its values."""
    return np.array([p.mean() for p in np.array_split(values, min(PARTS, len(values)))])


def _is_so(figures, name, sign, threshold):
    if name not in figures:
        return False
    return figures[name] > threshold if sign == ">" else figures[name] < threshold


def _because(figures, way):
    words = {">": "above", "<": "below"}
    return ", ".join(f"{n} is {figures[n]:.3g}, {words[s]} {t:g}" for n, s, t in way)


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
        "d_right": np.median(parts["real_right"][end] + parts["fake_right"][end]) / 2,
        "p_fake": p_fake,
        "p_fake_rise": p_fake - np.median(parts["p_fake"][before]),
        "swing": np.ptp(np.quantile(parts["p_fake"][half], [0.05, 0.95])),
    }
    if "g_norm" in parts:
        found["g_gradient"] = parts["g_norm"][end].mean() / max(
            parts["g_norm"].max(), 1e-12
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
    distances, at = measures.nearest(rows, all_rows, k)
    named = _vote(judge, real, at)
    named_real = judges.probabilities(judge, real[some]).argmax(-1)
    found = {
        "near": np.median(distances[:, 0]) / _usual(real_rows, all_rows),
        "far": np.median(measures.nearest(seen, seen_real)[0])
        / _usual(seen_real, seen_real),
        "likeness": _correlation(rows.mean(0), real_rows.mean(0)),
        "spread": rows.var(0).sum() / max(real_rows.var(0).sum(), 1e-12),
        "covered": _covered(named, named_real),
        "classes": np.exp(measures.entropy(named) - measures.entropy(named_real)),
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
        apart = np.linalg.norm(rows - np.roll(rows, 1, axis=0), axis=1).mean()
        found["response"] = moved / max(apart, 1e-12)
    return found


def _smooth(pictures):
    return median_filter(pictures, (1, 3, 3, 1))


def _vote(judge, real, at):
    """What the judge calls most of the real pictures in each row of `at` (N, k)."""
    rows, where = np.unique(at, return_inverse=True)
    # In whole thousands, so that the judge is not compiled for every other number.
    many = np.resize(rows, -(-len(rows) // 1000) * 1000)
    labels = judges.probabilities(judge, real[many]).argmax(-1)[where.reshape(at.shape)]
    return (labels[:, :, None] == np.arange(10)).sum(1).argmax(1)


def _covered(named, named_real):
    """The share of the real ones' classes of which samples draw enough."""
    shares, real = (np.bincount(n, minlength=10) / len(n) for n in (named, named_real))
    there = real > 0.03  # what is less may be the judge's slips
    return (shares[there] >= ENOUGH * real[there]).mean()


def _usual(some, data):
    """The median distance of `some` rows of data to the nearest other row."""
    return max(np.median(measures.nearest(some, data, k=2)[0][:, 1]), 1e-12)


def _variety(rows, named, real_rows, named_real):
    """Variance within the judged classes, over that of the same classes if real."""
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
    """A ValueError where `history` is not what `diagnose` can read."""
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
    """As float32, or a ValueError. NaN and infinity pass only in samples."""
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
            f"comes of tanh becomes so by (x + 1) / 2."
        )
    return pictures.astype(np.float32)
