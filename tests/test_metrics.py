"""Neighbours, votes and judges against cases known by hand."""

import numpy as np
import pytest
from flax import nnx

from gencourse import data
from gencourse.metrics import judge as judges
from gencourse.metrics.samples import knn_classify, nearest


def test_nearest_against_all_distances():
    rng = np.random.default_rng(0)
    points, codes = rng.normal(size=(20, 3)), rng.normal(size=(50, 3))
    distances, rows = nearest(points, codes, k=4)
    brute = np.linalg.norm(points[:, None] - codes[None], axis=-1)
    np.testing.assert_array_equal(rows, brute.argsort(axis=1)[:, :4])
    np.testing.assert_allclose(distances, np.sort(brute, axis=1)[:, :4])
    assert (nearest(codes, codes)[0] == 0).all()
    assert nearest(points, codes)[1].shape == (20, 1)


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
    ],
)
def test_bad_points_are_refused(points, codes, k, message):
    with pytest.raises(ValueError, match=message):
        nearest(points, codes, k)


@pytest.fixture(scope="module")
def judge():
    return judges.load_judge("fashion_mnist")


def test_the_judge_knows_real_pictures(judge):
    """2,000 of the 10,000 pictures on which its stated accuracy was measured."""
    images, labels = data.load("fashion_mnist", "test")
    p = judges.probabilities(judge, data.scale(images, "unit"))
    assert p.shape == (2000, 10) and np.allclose(p.sum(1), 1, atol=1e-5)
    right = (p.argmax(1) == labels).mean()
    assert judge.accuracy_on_test >= 0.92
    assert abs(right - judge.accuracy_on_test) < 0.02


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


def test_a_saved_judge_is_the_same_judge(judge, tmp_path):
    """Weights and running statistics go through the file, in half precision."""
    other = judges.Judge(training=True, rngs=nnx.Rngs(7))
    x = np.random.default_rng(0).random((20, 28, 28, 1), np.float32)
    other(x)  # moves the running statistics away from where they start
    judges.save_judge(tmp_path / "other.npz", other, 0.5)
    loaded = judges._read_judge(tmp_path / "other.npz")
    assert loaded.accuracy_on_test == 0.5
    still = nnx.view(other, use_running_average=True)
    np.testing.assert_allclose(loaded(x), still(x), rtol=0.02, atol=0.01)
    assert not np.allclose(loaded(x), judge(x), atol=0.1)


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


def test_an_unknown_judge_is_named():
    with pytest.raises(ValueError, match="no judge of 'shoes'"):
        judges.load_judge("shoes")
