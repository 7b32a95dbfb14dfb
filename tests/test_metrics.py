"""Measures of samples, and judges, against cases known by hand or in closed form."""

import numpy as np
import pytest
from flax import nnx
from scipy import linalg

from gencourse import data
from gencourse.data.registry import NotPrepared
from gencourse.metrics import judges
from gencourse.metrics.neighbours import knn_classify, nearest, precision_recall
from gencourse.metrics.samples import class_coverage, entropy, frechet_distance, moments

IN_HASTE = False  # the judge looks at thousands of pictures


def test_nearest_against_all_distances():
    rng = np.random.default_rng(0)
    points, codes = rng.normal(size=(20, 3)), rng.normal(size=(50, 3))
    distances, rows = nearest(points, codes, k=4)
    brute = np.linalg.norm(points[:, None] - codes[None], axis=-1)
    np.testing.assert_array_equal(rows, brute.argsort(axis=1)[:, :4])
    np.testing.assert_allclose(distances, np.sort(brute, axis=1)[:, :4])
    assert (nearest(codes, codes)[0] == 0).all()
    assert nearest(points, codes)[1].shape == (20, 1)


def test_nearest_in_many_dimensions():
    """Pictures: matrix products find them, exact differences measure them."""
    rng = np.random.default_rng(0)
    known = rng.random((5000, 10, 10, 1), np.float32)  # two blocks of data
    points = rng.random((1100, 10, 10, 1), np.float32)  # two blocks of points
    points[:3] = known[[7, 4999, 4095]]
    known[20] = known[10]
    distances, rows = nearest(points, known, k=3)
    assert distances.shape == rows.shape == (1100, 3)
    flat, seen = points.reshape(1100, 100), known.reshape(5000, 100)
    for i in (0, 1, 2, 500, 1023, 1024, 1099):
        brute = np.linalg.norm(flat[i].astype(np.float64) - seen, axis=1)
        np.testing.assert_array_equal(rows[i], brute.argsort(kind="stable")[:3])
        np.testing.assert_allclose(distances[i], np.sort(brute)[:3], rtol=1e-12)
    assert rows[:3, 0].tolist() == [7, 4999, 4095] and (distances[:3, 0] == 0).all()
    # Far from 0 and near to one another, where |a|^2 + |b|^2 - 2 a.b loses its digits.
    far = 1e6 + 1e-3 * rng.normal(size=(40, 100))
    distances, rows = nearest(far, far, k=40)
    assert (distances[:, 0] == 0).all() and (rows[:, 0] == np.arange(40)).all()
    brute = np.linalg.norm(far[:, None] - far[None], axis=-1)
    np.testing.assert_allclose(distances, np.sort(brute, axis=1), rtol=1e-12)
    # Two such groups, of rows nearer to one another than a product's rounding.
    groups = np.repeat([[-1e6], [1e6]], 4, axis=0) + 1e-3 * rng.normal(size=(8, 100))
    distances, rows = nearest(groups, groups)
    assert (distances == 0).all() and (rows[:, 0] == np.arange(8)).all()
    # Two rows alike: the first wins.
    assert nearest(known[20:21], known, k=2)[1].tolist() == [[10, 20]]
    assert nearest(points[:0], known)[0].shape == (0, 1)


def test_both_ways_to_the_nearest_agree():
    """The tree of few dimensions, and all the distances of many."""
    rng = np.random.default_rng(1)
    points, known = rng.normal(size=(30, 5)), rng.normal(size=(200, 5))
    wide = [np.pad(x, ((0, 0), (0, 60))) for x in (points, known)]
    for a, b in zip(nearest(points, known, 6), nearest(*wide, 6), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_votes_are_counted():
    codes = np.array([[0.0], [1.0], [2.0], [10.0]])
    labels = np.array([3, 3, 1, 1])
    named, share = knn_classify(np.array([[0.5], [9.0]]), codes, labels, k=3)
    assert named.tolist() == [3, 1]
    np.testing.assert_allclose(share, [2 / 3, 2 / 3])
    named, share = knn_classify(np.array([[0.1]]), codes, labels, k=4)  # two each
    assert named.tolist() == [1] and share.tolist() == [0.5]


@pytest.mark.parametrize(
    "points, codes, k, message",
    [
        (np.zeros((2, 3)), np.zeros((5, 2)), 1, "agree in D"),
        (np.zeros((2, 2)), np.zeros((5, 2)), 6, "in 1..5"),
        (np.full((2, 2), np.nan), np.zeros((5, 2)), 1, "NaN"),
        (np.zeros((2, 8, 8, 1)), np.zeros((5, 8, 7, 1)), 1, "agree in D"),
        (np.zeros((2, 64)), np.zeros((5, 8, 8, 1)), 1, "agree in D"),
        (np.zeros(2), np.zeros(5), 1, "agree in D"),
        (np.zeros((2, 64)), np.zeros((5, 64), np.uint8), 1, "bytes on one side"),
        (np.zeros((2, 64)), np.full((5, 64), np.inf), 1, "NaN"),
    ],
)
def test_bad_points_are_refused(points, codes, k, message):
    with pytest.raises(ValueError, match=message):
        nearest(points, codes, k)


# --- labels ----------------------------------------------------------------------


def test_entropy_in_nats():
    assert entropy(np.arange(10).repeat(7)) == pytest.approx(np.log(10))
    assert entropy([3] * 50) == 0
    assert entropy([0, 0, 0, 1], classes=2) == pytest.approx(
        -0.75 * np.log(0.75) - 0.25 * np.log(0.25)
    )


def test_coverage_at_the_edge_of_its_rule():
    """A tenth of an even share counts; one less does not."""
    for n in (100, 300, 1000, 7000):
        edge = n // 100
        labels = np.zeros(n, int)
        labels[:edge] = 9
        assert class_coverage(labels) == 2, n
        labels[0] = 0
        assert class_coverage(labels) == 1, n
    assert class_coverage(np.arange(10).repeat(5)) == 10
    assert class_coverage(np.arange(10).repeat(5), at_least=1) == 10
    assert class_coverage([0, 0, 1, 1, 1], at_least=1) == 2
    assert class_coverage([0, 0, 1], classes=2, at_least=1) == 1
    assert class_coverage([0, 0, 1], classes=2, at_least=0.6) == 2
    labels = np.array([0] * 945 + [1] * 55)
    assert class_coverage(labels, at_least=0.55) == 2  # 0.55 * 100 is a little above 55


@pytest.mark.parametrize("measure", [entropy, class_coverage])
@pytest.mark.parametrize(
    "labels, message",
    [
        ([0, 10], r"0\.\.9, of 10 classes; labels\[1\] is 10"),
        ([-1, 3], r"0\.\.9"),
        ([0.0, 1.0], "whole numbers"),
        (np.eye(10, dtype=int), "argmax"),
        (np.zeros(0, int), "N 1 or more"),
    ],
)
def test_bad_labels_are_refused(measure, labels, message):
    with pytest.raises(ValueError, match=message):
        measure(labels)


def test_a_share_that_is_none_is_refused():
    for at_least in (0, -1, 1.5):
        with pytest.raises(ValueError, match="at_least"):
            class_coverage([0, 1], at_least=at_least)


# --- Frechet distance --------------------------------------------------------------


def cloud(mean, covariance, n):
    """n points whose mean and covariance are exactly these."""
    x = np.random.default_rng(0).normal(size=(n, len(mean)))
    x = (x - x.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return x @ np.linalg.cholesky(covariance).T + mean


def test_moments_are_the_mean_and_the_covariance():
    mean, covariance = np.array([1.0, 2.0]), np.array([[2.0, 0.5], [0.5, 1.0]])
    found = moments(cloud(mean, covariance, 50))
    np.testing.assert_allclose(found[0], mean)
    np.testing.assert_allclose(found[1], covariance, atol=1e-12)
    assert moments(np.array([[1.0], [3.0]]))[1].tolist() == [[2.0]]  # over N - 1


def test_frechet_of_gaussians_along_the_axes():
    """|m1 - m2|^2 + sum of (s1 - s2)^2, s the deviations: in closed form."""
    s1, s2 = np.array([1.0, 2.0, 3.0]), np.array([1.5, 0.5, 3.0])
    m1, m2 = np.array([0.0, 1.0, -1.0]), np.array([2.0, 1.0, 0.5])
    want = ((m1 - m2) ** 2).sum() + ((s1 - s2) ** 2).sum()
    a, b = cloud(m1, np.diag(s1**2), 40), cloud(m2, np.diag(s2**2), 60)
    assert frechet_distance(a, b) == pytest.approx(want)
    assert frechet_distance(b, a) == pytest.approx(want)
    assert frechet_distance(a, (m2, np.diag(s2**2))) == pytest.approx(want)


def test_frechet_against_the_root_of_a_matrix():
    rng = np.random.default_rng(1)
    a = rng.normal(size=(90, 8)) @ rng.normal(size=(8, 8))
    b = rng.normal(size=(70, 8)) @ rng.normal(size=(8, 8)) + 0.3
    (m1, c1), (m2, c2) = moments(a), moments(b)
    root = linalg.sqrtm(c1 @ c2).real
    want = ((m1 - m2) ** 2).sum() + np.trace(c1 + c2 - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(want, rel=1e-8)
    assert (
        frechet_distance(a, a) == pytest.approx(0, abs=1e-10)
        and frechet_distance(a, a) >= 0
    )


def test_frechet_of_what_collapsed():
    """Singular covariances: all one picture; and features that are always 0."""
    a = cloud(np.zeros(3), np.eye(3), 30)
    assert frechet_distance(np.ones((30, 3)), a) == pytest.approx(3 + 3)
    dead = np.pad(a, ((0, 0), (0, 2)))
    assert frechet_distance(dead, 2 * dead) == pytest.approx(3)
    assert frechet_distance(dead, dead) == pytest.approx(0, abs=1e-10)


def test_frechet_is_too_high_for_few_samples_as_stated():
    rng = np.random.default_rng(2)
    exact = (np.zeros(20), np.eye(20))
    means = [
        np.mean([frechet_distance(rng.normal(size=(n, 20)), exact) for _ in range(20)])
        for n in (250, 1000, 4000)
    ]
    stated = [20 * 25 / (4 * n) for n in (250, 1000, 4000)]
    np.testing.assert_allclose(means, stated, rtol=0.15)


@pytest.mark.parametrize(
    "features, reference, message",
    [
        (np.zeros((3, 3)), np.zeros((9, 3)), "needs 4 rows or more; there are 3"),
        (np.zeros((9, 3)), np.zeros((3, 3)), "needs 4 rows"),
        (np.zeros((9, 3)), np.zeros((9, 2)), "3 features on one side and 2"),
        (np.zeros(9), np.zeros((9, 2)), "shape"),
        (np.full((9, 2), np.nan), np.zeros((9, 2)), "NaN"),
        (np.zeros((9, 2)), (np.zeros(2), np.eye(3)), "covariance"),
        (np.zeros((9, 2)), (np.zeros(2),), "covariance"),
        (np.zeros((9, 2)), (np.zeros(2), np.full((2, 2), np.inf)), "NaN"),
        (np.zeros((9, 2)), (np.zeros(2), np.array([[1, 1], [0, 1]])), "asymmetric"),
        (np.zeros((9, 2)), (np.zeros(2), -np.eye(2)), "below 0"),
    ],
)
def test_frechet_refuses_what_it_cannot_measure(features, reference, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance(features, reference)


# --- precision and recall ------------------------------------------------------------


def precision_recall_by_hand(fake, real, k):
    def inside(points, known):
        among = np.linalg.norm(known[:, None] - known[None], axis=-1)
        radii = np.sort(among, axis=1)[:, k]  # the first is the point itself
        reach = np.linalg.norm(points[:, None] - known[None], axis=-1)
        return (reach <= radii[None]).any(1).mean()

    return inside(fake, real), inside(real, fake)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_precision_and_recall_against_all_distances(k):
    rng = np.random.default_rng(0)
    fake, real = rng.normal(0.5, 0.8, (620, 4)), rng.normal(size=(550, 4)) + 100
    fake += 100  # away from 0, where rounding is worse
    got = precision_recall(fake, real, k)
    assert got == pytest.approx(precision_recall_by_hand(fake, real, k), abs=1e-12)
    assert 0.1 < got[1] < got[0] < 1  # the case can tell the two apart


def test_precision_and_recall_of_known_clouds():
    rng = np.random.default_rng(1)

    def modes(n, *at):
        centres = 10.0 * np.array(at)[rng.integers(0, len(at), n)]
        return np.stack([centres, np.zeros(n)], 1) + rng.normal(size=(n, 2))

    real = modes(1000, 0, 1)
    assert precision_recall(real, real) == (1, 1)
    precision, recall = precision_recall(modes(1000, 0, 1), real)
    assert precision > 0.9 and recall > 0.9
    assert precision_recall(modes(1000, 5, 6), real) == (0, 0)
    precision, recall = precision_recall(modes(1000, 0), real)  # a mode is missing
    assert precision > 0.9 and 0.4 < recall < 0.6
    precision, recall = precision_recall(modes(1000, 0, 1, 5, 6), real)  # half is wrong
    assert 0.4 < precision < 0.6 and recall > 0.85
    copies = np.repeat(real[:5], 200, axis=0)  # total collapse onto real pictures
    precision, recall = precision_recall(copies, real)
    assert precision == 1 and recall == 0.005
    for _ in range(20):  # balls of radius 0, whatever rounding makes of it
        pairs = np.repeat(5 * rng.normal(size=(50, 64)), 2, axis=0)
        assert precision_recall(pairs[:2], pairs, k=1) == (1, 2 / 100)


def test_precision_and_recall_refuse_bad_input():
    good = np.random.default_rng(0).normal(size=(5, 2))
    for fake, real, k, message in [
        (good, good[:, :1], 3, "agree in D"),
        (good, good[:3], 3, r"1\.\.2"),
        (good, good, 0, r"1\.\.4"),
        (good * np.nan, good, 3, "NaN"),
        (good[0], good, 3, "shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            precision_recall(fake, real, k)


# --- judges ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def judge():
    return judges.load_judge("fashion_mnist")


@pytest.mark.parametrize("name, least", [("fashion_mnist", 0.92), ("mnist", 0.993)])
def test_the_judge_knows_real_pictures(name, least):
    """2,000 of the 10,000 pictures on which its stated accuracy was measured."""
    judge = judges.load_judge(name)
    images, labels = data.load(name, "test")
    x = data.scale(images, "unit")
    p = judges.probabilities(judge, x)
    assert p.shape == (2000, 10) and np.allclose(p.sum(1), 1, atol=1e-5)
    right = (p.argmax(1) == labels).mean()
    assert judge.accuracy_on_test >= least
    assert abs(right - judge.accuracy_on_test) < 0.02
    assert judges.agreement(judge, x, labels) == right
    assert judges.agreement(judge, x, (labels + 1) % 10) < 0.05


@pytest.mark.parametrize("name", ["fashion_mnist", "mnist"])
def test_the_judges_stored_statistics_are_those_of_the_test_set(name):
    judge = judges.load_judge(name)
    assert judge.feature_mean.shape == (64,)
    assert judge.feature_covariance.shape == (64, 64)
    reference = judge.feature_mean, judge.feature_covariance
    try:
        images, labels = data.load(name, "test", full=True)
    except NotPrepared:  # 2,000 of the same pictures: as near as chance lets them be
        images, labels = data.load(name, "test")
    features = judges.features(judge, data.scale(images, "unit"))
    distance = frechet_distance(features, reference)
    if len(images) == 10_000:
        assert distance < 1e-3
        for stored, again in zip(reference, moments(features), strict=True):
            np.testing.assert_allclose(stored, again, atol=1e-3)
        right = (judge.classes(features).argmax(-1) == labels).mean()
        assert float(right) == pytest.approx(judge.accuracy_on_test, abs=3e-4)
    # 64 features of variance 1 would score 64 * 69 / 4N; these vary a little more.
    spread = np.trace(judge.feature_covariance) / 64
    assert distance < 2 * spread * 64 * 69 / (4 * len(images))
    # And other pictures are far from it.
    noise = np.random.default_rng(0).random((200, 28, 28, 1), np.float32)
    assert frechet_distance(judges.features(judge, noise), reference) > 20 * spread


def test_the_judge_of_photographs():
    """Photographs are not embedded; this much can be told of the file alone."""
    judge = judges.load_judge("cifar10")
    assert judge.shape == (32, 32, 3) and judge.accuracy_on_test > 0.75
    reference = judge.feature_mean, judge.feature_covariance
    assert np.linalg.eigvalsh(judge.feature_covariance).min() > -1e-3
    spread = np.trace(judge.feature_covariance) / 64
    noise = np.random.default_rng(0).random((200, 32, 32, 3), np.float32)
    assert frechet_distance(judges.features(judge, noise), reference) > 20 * spread
    for shape in ((28, 28, 1), (32, 32, 1), (64, 64, 3)):
        with pytest.raises(ValueError, match=r"\(N, 32, 32, 3\); given"):
            judges.probabilities(judge, np.zeros((2, *shape), np.float32))


def test_the_judge_of_photographs_knows_them():
    judge = judges.load_judge("cifar10")
    try:
        images, labels = data.load("cifar10", "test", full=True)
    except NotPrepared:
        pytest.skip("CIFAR-10 is not prepared here")
    features = judges.features(judge, data.scale(images, "unit"))
    reference = judge.feature_mean, judge.feature_covariance
    for stored, again in zip(reference, moments(features), strict=True):
        np.testing.assert_allclose(stored, again, atol=1e-3)
    right = (judge.classes(features).argmax(-1) == labels).mean()
    assert float(right) == pytest.approx(judge.accuracy_on_test, abs=3e-4)


def test_padding_is_cut_off_and_nothing_moves(judge):
    images, _ = data.load("fashion_mnist", "test")
    x = data.scale(images[:50], "unit")
    before = judges.features(judge, x)
    padded = judges.features(judge, data.scale(data.pad(images[:50], 32), "unit"))
    assert before.shape == (50, 64)
    np.testing.assert_allclose(before, padded, rtol=1e-5, atol=1e-6)
    # Running statistics: a picture's features do not depend on its company.
    alone = judges.features(judge, x[:1])
    np.testing.assert_allclose(alone, before[:1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3)])
def test_a_saved_judge_is_the_same_judge(shape, tmp_path):
    """Weights and running statistics go through the file, in half precision."""
    other = judges.Judge(training=True, shape=shape, rngs=nnx.Rngs(7))
    untouched = judges.Judge(shape=shape, rngs=nnx.Rngs(0))
    x = np.random.default_rng(0).random((20, *shape), np.float32)
    other(x)  # moves the running statistics away from where they start
    mean, covariance = np.arange(64.0), np.eye(64) / 3
    moments = mean, covariance
    judges.save_judge(tmp_path / "other.npz", other, moments, accuracy_on_test=0.5)
    loaded = judges.read_judge(tmp_path / "other.npz")
    assert loaded.accuracy_on_test == 0.5
    np.testing.assert_array_equal(loaded.feature_mean, mean)
    np.testing.assert_allclose(loaded.feature_covariance, covariance, rtol=1e-6)
    judges.features(loaded, x)  # compiled code takes them along, and moves nothing
    np.testing.assert_array_equal(loaded.feature_mean, mean)
    still = nnx.view(other, use_running_average=True)
    np.testing.assert_allclose(loaded(x), still(x), rtol=0.02, atol=0.01)
    assert loaded.shape == shape
    assert not np.allclose(loaded(x), untouched(x), atol=0.1)


@pytest.mark.parametrize(
    "images, message",
    [
        (np.zeros((2, 28, 28), np.float32), "looks at pictures"),
        (np.zeros((2, 64, 64, 1), np.float32), "looks at pictures"),
        (np.zeros((2, 28, 28, 1), np.uint8), "floats in"),
        (np.full((2, 28, 28, 1), -1, np.float32), "floats in"),
        (np.full((2, 28, 28, 1), np.nan, np.float32), "floats in"),
    ],
)
def test_the_judge_refuses_what_it_cannot_read(judge, images, message):
    with pytest.raises(ValueError, match=message):
        judges.probabilities(judge, images)


@pytest.mark.parametrize(
    "labels, message",
    [
        ([0, 1, 2], "3 labels for 2"),
        ([0, 10], r"0\.\.9"),
        ([0.0, 1.0], "whole numbers"),
        (np.eye(10, dtype=int)[:2], "whole numbers"),
    ],
)
def test_agreement_refuses_labels_that_are_none(judge, labels, message):
    with pytest.raises(ValueError, match=message):
        judges.agreement(judge, np.zeros((2, 28, 28, 1), np.float32), labels)


def test_an_unknown_judge_is_named():
    with pytest.raises(ValueError, match="no judge of 'shoes'"):
        judges.load_judge("shoes")
