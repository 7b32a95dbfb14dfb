"""diagnose: each verdict from a case that was made for it, and the recorded runs."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from gencourse import data, metrics
from gencourse.metrics import diagnosis, evidence, judges
from gencourse.metrics.judges import load_judge

ROOT = Path(__file__).resolve().parent.parent
RECORDED = ROOT / "results" / "diagnosis"
STEPS = 400
IN_HASTE = False  # the judge looks at thousands of pictures
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module", autouse=True)
def judge():
    """The judge, which here looks only once at the same pictures."""
    looked = {}

    def once(look):
        def remembered(judge, images):
            key = look, np.asarray(images).tobytes()
            if key not in looked:
                looked[key] = look(judge, images)
            return looked[key]

        return remembered

    with pytest.MonkeyPatch.context() as patch:
        for name in ("features", "probabilities"):
            patch.setattr(judges, name, once(getattr(judges, name)))
        yield load_judge("mnist")


@pytest.fixture(scope="module")
def digits():
    """((1,000 to train on, their labels), (300 others, their labels))."""
    train, test = data.load("mnist", "train"), data.load("mnist", "test")
    return (
        (data.scale(train[0][:1000], "unit"), train[1][:1000]),
        (data.scale(test[0][:300], "unit"), test[1][:300]),
    )


def run(p_fake=0.3, right=0.8, g_grad_norm=2.0, steps=STEPS):
    """A history that stands still but for a little noise; arguments may be arrays."""
    noise = 1 + 0.02 * np.random.default_rng(1).standard_normal(steps)
    history = dict(
        d_loss=noise, g_loss=noise, p_real=0.7 * noise, p_fake=p_fake * noise,
        d_accuracy_real=np.clip(right * noise, 0, 1),
        d_grad_norm=noise, g_grad_norm=g_grad_norm * noise,
    )  # fmt: skip
    history["d_accuracy_fake"] = history["d_accuracy_real"]
    return {k: np.float32(v) for k, v in history.items()}


WAVE = 0.5 + 0.45 * np.sin(np.arange(STEPS) / 8)
WON = dict(p_fake=1e-3, right=1.0)
GREY = RNG.random((300, 28, 28, 1), np.float32)  # what an untrained G draws, about


def bad(pictures):
    """Under blocks of 4x4 noise: far from any real one, with a mean that is alike."""
    noise = RNG.random((len(pictures), 7, 7, 1), np.float32)
    return np.clip(pictures + noise.repeat(4, axis=1).repeat(4, axis=2), 0, 1)


def said(history, samples, digits, judge, **more):
    return metrics.diagnose(history, samples, real=digits[0][0], judge=judge, **more)


def test_other_real_pictures_are_healthy_samples(digits, judge):
    found = said(run(), digits[1][0], digits, judge)
    assert (found.verdict, found.also) == ("healthy", ())
    figures = found.measurements
    for name in ("spread", "covered", "classes", "variety", "near", "far", "likeness"):
        assert 0.8 < figures[name] < 1.25, name
    assert figures["d_right"] == pytest.approx(0.8, abs=0.01)
    assert figures["p_fake"] == pytest.approx(0.3, abs=0.01)
    assert figures["p_fake_rise"] == pytest.approx(0, abs=0.02)
    assert figures["swing"] < 0.05 and figures["g_gradient"] > 0.9


def test_d_that_is_ahead_of_good_samples_is_no_verdict(digits, judge):
    found = said(run(p_fake=0.01, right=0.99), digits[1][0], digits, judge)
    assert found.verdict == "healthy"


def test_not_finite_names_the_first_bad_step(digits, judge):
    history = run()
    history["g_loss"][37:] = np.nan
    history["d_grad_norm"][50:] = np.inf
    found = said(history, digits[1][0], digits, judge)
    assert found.verdict == "not finite" and not found.also
    assert found.measurements["first_bad_step"] == 38
    assert found.measurements["not_finite"] == 2 * STEPS - 37 - 50
    # At the first step already, which leaves a history of one.
    short = {k: v[37:38] for k, v in history.items()}
    assert said(short, digits[1][0], digits, judge).verdict == "not finite"
    samples = digits[1][0].copy()
    samples[5, 3, 3] = np.nan
    found = said(run(), samples, digits, judge)
    assert found.verdict == "not finite" and found.measurements["first_bad_step"] == 0


def test_g_stuck_by_its_pictures_or_by_its_gradient(digits, judge):
    found = said(run(**WON), GREY, digits, judge)
    assert found.verdict == "G stuck" and found.because.startswith("likeness")
    assert "D won" in found.also
    dying = 2.0 * np.where(np.arange(STEPS) < 50, 1, 1e-4)
    found = said(run(**WON, g_grad_norm=dying), bad(digits[1][0]), digits, judge)
    assert found.verdict == "G stuck" and found.because.startswith("g_gradient")
    # Where G never had a gradient, or its length was not kept.
    found = said(run(**WON, g_grad_norm=0.0), GREY, digits, judge)
    assert found.verdict == "G stuck" and found.because.startswith("g_gradient")
    history = run(**WON)
    del history["g_grad_norm"]
    found = said(history, GREY, digits, judge)
    assert found.verdict == "G stuck" and "g_gradient" not in found.measurements
    # A gradient that vanishes beside good samples is the end of a good run.
    assert (
        said(run(g_grad_norm=dying), digits[1][0], digits, judge).verdict == "healthy"
    )


def test_d_won_needs_bad_samples_and_no_progress(digits, judge):
    samples = bad(digits[1][0])
    found = said(run(**WON), samples, digits, judge)
    assert found.verdict == "D won"
    rising = np.where(np.arange(STEPS) < 300, 1e-3, 0.15)
    found = said(run(p_fake=rising, right=1.0), samples, digits, judge)
    assert found.verdict == "unclear"
    # A short stumble of D does not hide it.
    stumble = np.where(np.arange(STEPS) // 10 == 35, 0.5, 1.0)
    history = run(p_fake=1e-3 + (1 - stumble), right=stumble)
    assert said(history, samples, digits, judge).verdict == "D won"
    assert said(run(), samples, digits, judge).verdict == "unclear"


def test_one_picture_or_one_class_is_a_total_collapse(digits, judge):
    x, labels = digits[0]
    one = np.repeat(x[:1], 200, axis=0)
    found = said(run(), one, digits, judge)
    assert found.verdict == "total collapse" and found.because.startswith("spread")
    ones = np.float32(np.concatenate([x[labels == 1], 0.9 * x[labels == 1]]))
    found = said(run(), ones, digits, judge)
    assert found.verdict == "total collapse" and found.because.startswith("classes")
    assert "partial collapse" not in found.also


def test_missing_classes_or_variety_are_a_partial_collapse(digits, judge):
    four = digits[1][0][digits[1][1] < 4]
    found = said(run(), four, digits, judge)
    assert found.verdict == "partial collapse" and found.because.startswith("covered")
    others, named = digits[1]
    ten = []  # of each class the one nearest to the mean
    for mine in (others[named == c] for c in range(10)):
        ten.append(mine[((mine - mine.mean(0)) ** 2).sum((1, 2, 3)).argmin()])
    shift = np.float32(RNG.uniform(0.8, 1, (300, 1, 1, 1)))
    found = said(run(), np.tile(np.stack(ten), (30, 1, 1, 1)) * shift, digits, judge)
    assert found.verdict == "partial collapse" and found.because.startswith("variety")


def test_few_classes_are_no_collapse_where_the_real_ones_have_no_more(digits, judge):
    (x, labels), (others, others_labels) = digits
    for few in ((0, 1, 7), (3,)):
        real = x[np.isin(labels, few)]
        samples = others[np.isin(others_labels, few)]
        samples = samples[np.arange(100) % len(samples)]
        found = metrics.diagnose(run(), samples, real=real, judge=judge)
        assert found.verdict == "healthy", few


def test_oscillation_is_a_swing_to_the_end(digits, judge):
    found = said(run(p_fake=WAVE), digits[1][0], digits, judge)
    assert found.verdict == "oscillation"
    calm = np.where(np.arange(STEPS) < 150, WAVE, 0.3)
    assert said(run(p_fake=calm), digits[1][0], digits, judge).verdict == "healthy"


def test_copies_of_training_pictures_are_memorised(digits, judge):
    copies = np.clip(digits[0][0][:300] + RNG.normal(0, 0.03, (300, 28, 28, 1)), 0, 1)
    assert said(run(), np.float32(copies), digits, judge).verdict == "memorised"


def test_labels_ignored_by_what_the_judge_sees_or_by_what_stays(digits, judge):
    x, labels = digits[1]
    found = said(run(), x, digits, judge, labels=labels)
    assert found.verdict == "healthy" and found.measurements["agreement"] > 0.75
    found = said(run(), x, digits, judge, labels=RNG.permutation(labels))
    assert found.verdict == "labels ignored"
    assert found.measurements["agreement"] == pytest.approx(0, abs=0.1)
    found = said(run(), x, digits, judge, swapped=x)
    assert found.verdict == "labels ignored" and found.measurements["response"] == 0
    found = said(run(), x, digits, judge, labels=labels, swapped=RNG.permutation(x))
    assert found.verdict == "healthy"
    assert found.measurements["response"] == pytest.approx(1, abs=0.1)


def test_the_order_and_what_else_holds(digits, judge):
    """One picture, copied from the training set, from a game that swings."""
    one = np.repeat(digits[0][0][:1], 200, axis=0)
    found = said(run(p_fake=WAVE), one, digits, judge)
    assert found.verdict == "oscillation"
    assert found.also == ("total collapse", "memorised")
    found = said(run(), one, digits, judge)
    assert (found.verdict, found.also) == ("total collapse", ("memorised",))
    history = run(p_fake=WAVE)
    history["g_loss"][-1] = np.inf
    assert said(history, one, digits, judge).verdict == "not finite"
    # An untrained G may draw one grey: it is stuck, it did not collapse.
    grey = np.full((200, 28, 28, 1), 0.5, np.float32)
    found = said(run(**WON), grey, digits, judge)
    assert found.verdict == "G stuck" and "total collapse" in found.also
    # Copies of five pictures are memorised first, and collapsed besides.
    five = np.tile(digits[0][0][:5], (40, 1, 1, 1))
    found = said(run(), five, digits, judge)
    assert (found.verdict, found.also) == ("memorised", ("partial collapse",))


def test_it_prints_its_verdict_its_reason_and_advice(digits, judge):
    text = repr(said(run(), np.repeat(digits[0][0][:1], 200, axis=0), digits, judge))
    assert text.startswith("total collapse: spread is ") and ", below 0.03" in text
    assert "Also: memorised." in text and "latents differ" in text and "d_right" in text
    assert set(diagnosis.ADVICE) == {*diagnosis.RULES, "healthy"}


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(history={"d_loss": np.zeros(30)}), "no .'p_fake'"),
        (dict(history=run() | {"g_loss": np.zeros(3)}), "of one length"),
        (dict(history=run(steps=10)), "10 steps"),
        (dict(samples=2 * GREY - 1), r"data.to_unit\(x\)"),
        (dict(samples=np.uint8(GREY)), "not float"),
        (dict(samples=GREY[:20]), "100 pictures"),
        (dict(samples=GREY[..., 0]), "28, 28, 1"),
        (dict(real=GREY[:1]), "2 pictures"),
        (dict(real=np.full_like(GREY, np.nan)), "infinite numbers in real"),
        (dict(labels=np.zeros(3, int)), "3 labels"),
        (dict(labels=np.full(300, 10)), "0..9"),
        (dict(swapped=GREY[:100]), "100 swapped"),
    ],
)
def test_bad_input_is_refused(change, message, judge):
    given = dict(history=run(), samples=GREY, real=GREY, judge=judge) | change
    with pytest.raises(ValueError, match=message):
        metrics.diagnose(given.pop("history"), given.pop("samples"), **given)


# --- the recorded runs ---------------------------------------------------------


@pytest.fixture(scope="module")
def recorded():
    return json.loads((RECORDED / "runs.json").read_text(encoding="utf-8"))


def test_the_recorded_figures_give_the_recorded_verdicts(recorded):
    """And the recorded histories, means of parts already, give their figures."""
    histories = np.load(RECORDED / "histories.npz")
    for one in recorded["runs"]:
        assert diagnosis.decide(one["figures"]).verdict == one["said"], one["name"]
        if one["said"] == "not finite":
            continue
        history = dict(zip(recorded["metrics"], histories[one["name"]], strict=True))
        again = evidence._of_history(history)
        for name, value in again.items():
            assert value == pytest.approx(one["figures"][name], rel=1e-4, abs=1e-6)


def test_the_table_is_what_was_recorded(recorded):
    spec = importlib.util.spec_from_file_location("r", ROOT / "recipes/diagnosis.py")
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    written = (RECORDED / "README.md").read_text(encoding="utf-8")
    assert written == recipe.table(recorded)
    assert recorded["rules"] == json.loads(json.dumps(diagnosis.RULES))
    names = [run["name"] for run in recorded["runs"]]
    assert names == [title for title, *_ in recipe.every_run()]
    for kind in {*diagnosis.RULES, "healthy"} - {"labels ignored", "unclear"}:
        for purpose in ("fix", "score"):
            runs = [r for r in recorded["runs"] if r["purpose"] == purpose]
            assert sum(r["kind"] == kind for r in runs) >= 3, (purpose, kind)
    seeds = {"fix": set(), "score": set(), "new": set()}
    for run in recorded["runs"]:
        seeds[run["purpose"]].add(run["seed"])
    assert not seeds["fix"] & (seeds["score"] | seeds["new"])


def test_pictures_given_many_times_are_refused(judge):
    twice = np.repeat(GREY, 2, axis=0)
    with pytest.raises(ValueError, match="each picture once"):
        metrics.diagnose(run(), GREY, real=twice, judge=judge)
