"""The variance within classes, in closed form, and what it refuses."""

import numpy as np
import pytest

from gencourse.metrics.classes import variance_within


def clouds(scale=1.0, n=3000, seed=0):
    """Three classes of rows (n, 4): class c has deviation scale * (c + 1)."""
    labels = np.resize(np.arange(3), n)
    noise = np.random.default_rng(seed).normal(size=(n, 4))
    centres = 100.0 * labels  # that classes lie apart is no variance within
    return (centres + scale * (labels + 1) * noise.T).T, labels


def test_it_is_the_square_of_how_much_wider_a_class_is():
    real, drawn = clouds(), clouds(0.5, seed=1)
    ratios = variance_within(*drawn, *real, classes=3)
    np.testing.assert_allclose(ratios, [0.25] * 3, rtol=0.1)
    np.testing.assert_allclose(variance_within(*real, *real, classes=3), [1] * 3)


def test_one_picture_a_class_has_none():
    real, labels = clouds()
    one = real[labels]  # row 0 is of class 0, row 1 of class 1, row 2 of class 2
    ratios = variance_within(one, labels, real, labels, 3)
    np.testing.assert_allclose(ratios, 0, atol=1e-9)


def test_each_class_counts_for_itself_whatever_its_share():
    (real, labels), (drawn, _) = clouds(), clouds()
    drawn = np.where(labels[:, None] == 1, real[labels], drawn)
    keep = (labels != 0) | (np.arange(len(labels)) < 300)
    ratios = variance_within(drawn[keep], labels[keep], real, labels, 3)
    np.testing.assert_allclose(ratios, [1, 0, 1], atol=0.25)


def test_it_is_half_the_mean_squared_distance():
    x, labels = clouds(n=90)
    ones = x[labels == 0]
    apart = ((ones[:, None] - ones[None]) ** 2).sum(-1)
    mean = apart.sum() / (30 * 29)
    unit = np.resize([-1.0, 1.0], 90)[:, None] * np.eye(4)[0]  # variance 30/29
    of_unit = 2 * 30 / 29 / 2
    ratio = variance_within(x, labels, unit, np.repeat(np.arange(3), 30), 3)[0]
    np.testing.assert_allclose(ratio, (mean / 2) / of_unit, rtol=1e-6)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda x, y: (x, y - 1), r"are 0\.\.2"),
        (lambda x, y: (x, y[:-1]), "one label each"),
        (lambda x, y: (x, np.minimum(y, 1)), "of class 2 there are 0"),
        (lambda x, y: (x[:, :3], y), "alike but for their number"),
        (lambda x, y: (np.where(x > 5, np.nan, x), y), "NaN or infinite"),
        (lambda x, y: (x.astype(np.uint8), y), "floats; given uint8"),
        (lambda x, y: (x[:, 0], y), "one label each"),
    ],
)
def test_what_cannot_be_meant_is_refused(change, message):
    x, y = clouds(n=90)
    with pytest.raises(ValueError, match=message):
        variance_within(*change(x, y), x, y, classes=3)


def test_real_pictures_that_are_all_alike_are_refused():
    x, y = clouds(n=90)
    with pytest.raises(ValueError, match="class 2 are the same one"):
        variance_within(x, y, np.where(y[:, None] == 2, 0.1, x), y, classes=3)
