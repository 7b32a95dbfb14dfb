"""What is wrong with a GAN's run, and the figure that says so.

    history, samples, real --measurements--> a dict of numbers --decide--> a Diagnosis

No single curve tells. D that is right on 98% of the pictures is normal in a run that
goes well, and so is a loss that stands still. So most verdicts ask for a sign in the
history *and* for its effect in the samples. The verdicts, in
the order in which they are tried; the first that holds is given, the others that hold
too are named beside it:

  not finite        A number in the history or in the samples is NaN or infinite. All
                    other measurements would be made of it.
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
  labels ignored    The samples are not of the class that was asked for; or other
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

from gencourse.metrics.evidence import measurements

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
    "total collapse": "See that the latents differ. Then cross-entropy, LeakyReLU, "
    "Adam and LayerNorm in G; lower rates.",
    "labels ignored": "See that G and D both get the labels, and that pictures and "
    "labels are shuffled together. Then give D real pictures under wrong labels too.",
    "partial collapse": "See that the latents differ and are long enough, and that "
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

    verdict: a key of `ADVICE`. because: the measurements that decided, beside their
    thresholds. also: the other verdicts that hold. measurements: all that was measured.
    """

    verdict: str
    because: str
    also: tuple
    measurements: dict

    @property
    def advice(self):
        return ADVICE[self.verdict]

    def __repr__(self):
        lines = [f"{self.verdict}: {self.because}"]
        if self.also:
            lines.append(f"Also: {', '.join(self.also)}.")
        measurements = (
            f"{name} {value:.3g}" for name, value in self.measurements.items()
        )
        return "\n".join(
            [*lines, self.advice, f"Measurements: {', '.join(measurements)}."]
        )


def diagnose(history, samples, *, real, judge, labels=None, swapped=None):
    """Read a run: what is wrong with it, and which figure says so?

    Args:
      history: what `fit` returned for `gan.train_step`, or the `.history` of its
        NotFinite: a dict of arrays (steps,). It needs "p_fake", "d_accuracy_real" and
        "d_accuracy_fake"; without "g_grad_norm" a vanished gradient cannot be seen; of
        all others only whether they are finite is read. At least 20 steps, if finite.
      samples: what G draws at the end, (N, 28, 28, 1), float in [0, 1], N at least
        100; the first 1,000 are looked at. Bring those of a G that ends in tanh into
        that range with `data.to_unit`.
      real: the pictures that it was trained on, (M, 28, 28, 1), float in [0, 1], M at
        least 2. All of them: from a part nobody can tell what was copied.
      judge: a `metrics.judge.Judge` of such pictures.
      labels: (N,), int: what was asked of a conditional G, one a sample.
      swapped: as samples, from the same latent vectors, row by row, with other labels.

    Returns:
      A `Diagnosis`. `evidence.measurements` and `decide` are its two halves.

    Raises:
      ValueError: on missing keys, other shapes, ranges or dtypes.

    Flaws: nearness is in pixels, so a copy that was shifted or mirrored does not count
    as memorised, and sharp pictures of nothing may count as good. Specks are taken
    away first: samples full of them may pass as healthy. A run is read at its end: one
    that has only begun often looks like "G stuck" or "D won", so look at the curves
    too. The thresholds come from small dense networks.
    """
    checked = dict(real=real, judge=judge, labels=labels, swapped=swapped)
    return decide(measurements(history, samples, **checked))


def decide(measured):
    """Return the Diagnosis that follows from `measured` by `RULES`."""
    found = {}
    for verdict, ways in RULES.items():
        holds = [way for way in ways if all(_is_so(measured, *rule) for rule in way)]
        if holds:
            found[verdict] = _because(measured, holds[0])
    if "total collapse" in found:
        found.pop("partial collapse", None)
    if len(found) > 1:
        found.pop("unclear", None)
    if not found:
        found["healthy"] = "no figure is past its threshold"
    verdict, *also = found
    return Diagnosis(verdict, found[verdict], tuple(also), measured)


def _is_so(measured, name, sign, threshold):
    if name not in measured:
        return False
    return measured[name] > threshold if sign == ">" else measured[name] < threshold


def _because(measured, way):
    words = {">": "above", "<": "below"}
    return ", ".join(f"{n} is {measured[n]:.3g}, {words[s]} {t:g}" for n, s, t in way)
