"""The Parzen-window likelihood, against sums written out and against closed forms."""

import numpy as np
import pytest
from scipy import special, stats

from gencourse.metrics import parzen
from gencourse.metrics.parzen import choose_bandwidth, parzen_log_likelihood


def by_hand(x, samples, bandwidth):
    """Every difference, every Gaussian's logarithm from SciPy, in float64."""
    x, samples = x.astype(np.float64), samples.astype(np.float64)
    each = stats.norm.logpdf(x[:, None], samples[None], bandwidth).sum(-1)  # (N, M)
    return special.logsumexp(each, axis=1) - np.log(len(samples))


@pytest.mark.parametrize("bandwidth", [0.01, 0.2, 3.0])
def test_against_the_sum_written_out(bandwidth):
    """784 pixels in float32, as pictures come: exact even at a small bandwidth."""
    rng = np.random.default_rng(0)
    samples = rng.random((60, 28, 28, 1), np.float32)
    x = rng.random((7, 28, 28, 1), np.float32)
    x[0] = samples[3]
    x[1] = np.clip(samples[4] + 0.01 * rng.normal(size=(28, 28, 1)), 0, 1)
    found = parzen_log_likelihood(x, samples, bandwidth)
    assert found.shape == (7,) and found.dtype == np.float64
    flat = by_hand(x.reshape(7, -1), samples.reshape(60, -1), bandwidth)
    np.testing.assert_allclose(found, flat, rtol=1e-9, atol=1e-6)


def test_one_sample_is_one_gaussian():
    x, sample = np.array([[0.5, 0.5, 0.5], [0.5, 0.5, 0.1]]), np.full((1, 3), 0.5)
    at_the_middle = -1.5 * np.log(2 * np.pi * 0.1**2)
    found = parzen_log_likelihood(x, sample, 0.1)
    np.testing.assert_allclose(found, [at_the_middle, at_the_middle - 0.4**2 / 0.02])
    # A mean over samples, not a sum: copies of a sample change nothing.
    np.testing.assert_allclose(
        parzen_log_likelihood(x, sample.repeat(5, 0), 0.1), found
    )


def test_it_is_a_density():
    grid = np.linspace(0, 1, 2001)[:, None]
    density = np.exp(
        parzen_log_likelihood(grid, np.array([[0.4], [0.5], [0.62]]), 0.03)
    )
    assert np.trapezoid(density, grid[:, 0]) == pytest.approx(1, abs=1e-6)


def test_blocks_of_rows_change_nothing():
    rng = np.random.default_rng(1)
    x, samples = rng.random((2000, 2)), rng.random((5000, 2))  # blocks of 838 rows
    whole = parzen_log_likelihood(x, samples, 0.05)
    some = [0, 837, 838, 1999]
    np.testing.assert_allclose(whole[some], by_hand(x[some], samples, 0.05))


def test_the_width_of_the_data_is_chosen():
    """One centre, 50 pixels of deviation 0.05: likeliest at that deviation."""
    rng = np.random.default_rng(2)
    validation = 0.5 + 0.05 * rng.normal(size=(400, 50))
    grid = [0.2, 0.04, 0.03, 0.05, 0.06, 0.1]
    best, means = choose_bandwidth(validation, np.full((3, 50), 0.5), grid)
    assert best == 0.05 and list(means) == sorted(grid)
    for bandwidth, mean in means.items():
        alone = parzen_log_likelihood(
            validation, np.full((3, 50), 0.5), bandwidth
        ).mean()
        assert mean == pytest.approx(alone)
        assert bandwidth == best or mean < means[best]


def test_an_edge_of_the_grid_is_no_answer():
    rng = np.random.default_rng(3)
    validation, samples = rng.random((50, 4)), rng.random((50, 4))
    with pytest.raises(ValueError, match="smaller ones"):
        choose_bandwidth(validation, samples, [2.0, 3.0, 4.0])
    with pytest.raises(ValueError, match="greater ones"):
        choose_bandwidth(validation, samples, [0.001, 0.002, 0.003])
    with pytest.raises(ValueError, match="among the samples"):
        choose_bandwidth(samples, samples, [1e-4, 1e-3, 1e-2])
    with pytest.raises(ValueError, match="three"):
        choose_bandwidth(validation, samples, [0.1, 0.2, 0.2])


GOOD = np.full((3, 4), 0.5)


@pytest.mark.parametrize(
    "x, samples, bandwidth, message",
    [
        (GOOD, np.full((3, 5), 0.5), 0.2, "alike"),
        (np.full(4, 0.5), GOOD, 0.2, "x: pictures"),
        (GOOD, GOOD[:0], 0.2, "samples: pictures"),
        (GOOD.astype(np.uint8), GOOD, 0.2, "x: floats"),
        (GOOD, GOOD - 1, 0.2, r"samples: floats.*data.to_unit\(fake\)"),
        (GOOD * 255, GOOD, 0.2, "x: floats"),
        (GOOD, np.full((3, 4), np.nan), 0.2, "samples: floats"),
        (GOOD, GOOD, 0.0, "above 0"),
        (GOOD, GOOD, -0.2, "above 0"),
        (GOOD, GOOD, np.nan, "above 0"),
    ],
)
def test_bad_input_is_refused(x, samples, bandwidth, message):
    with pytest.raises(ValueError, match=message):
        parzen_log_likelihood(x, samples, bandwidth)


def test_its_weakness_is_as_stated():
    """Means of samples score above samples: the measure prefers blur."""
    rng = np.random.default_rng(4)

    def real(n):  # two kinds, with noise of their own
        kind = rng.integers(0, 2, (n, 1)) * 0.4 + 0.3
        return np.clip(kind + 0.1 * rng.normal(size=(n, 100)), 0, 1)

    centres = np.array([[0.3], [0.7]]).repeat(100, 1)
    validation, test, grid = real(200), real(200), np.geomspace(0.05, 0.4, 12)
    scores = []
    for samples in (real(200), centres):
        best, _ = choose_bandwidth(validation, samples, grid)
        scores.append(parzen_log_likelihood(test, samples, best).mean())
    assert scores[1] > scores[0] + 5
    assert "k-means" in parzen.__doc__
