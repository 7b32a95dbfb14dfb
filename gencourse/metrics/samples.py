"""Measures of samples as a whole: the classes that they cover, the Frechet distance.

None of them says alone how good samples are. Labels tell which classes are there, and
nothing of how they look; a distance between features sees what the judge sees, and
nothing else. Read several together (`neighbours` holds those by nearest neighbours),
and put the same figure of real test data beside each.
"""

import numpy as np
from jax.typing import ArrayLike

from gencourse.validation import check_labels


def check_rows(x, name):
    """Return `x` as an array of rows (N, D); raise ValueError for another shape, or
    if they hold NaN or infinite values."""
    x = np.asarray(x)
    if x.ndim != 2 or not x.size:
        raise ValueError(
            f"{name} have shape (N, D), N and D 1 or more; given {x.shape}."
        )
    if not np.isfinite(x).all():
        raise ValueError(f"There are NaN or infinite values among {name}.")
    return x


def class_coverage(
    labels: ArrayLike, classes: int = 10, *, at_least: float = 0.1
) -> int:
    """Count the classes that are covered.

    A class counts where its share of the labels is at least `at_least` of an even
    share, 1 / classes. With 10 classes and the default: 1 label in 100. One stray
    sample, or a judge's slip, is no coverage.

    Args:
      labels: (N,), int in 0..classes - 1; of samples, as a judge names them.
      at_least: the rule's share of an even share, above 0, up to 1.

    Returns:
      An int in 0..classes.

    Raises:
      ValueError: on labels out of range, of another dtype, or none; on `at_least`.

    Flaws: it says nothing of what the samples look like, or of how alike those of one
    class are: ten good pictures, each a thousand times, cover ten classes.
    """
    labels = check_labels(labels, classes)
    if not 0 < at_least <= 1:
        raise ValueError(f"at_least is above 0 and at most 1; given {at_least}.")
    counts = np.bincount(labels, minlength=classes)
    even = len(labels) / classes
    return int((counts >= at_least * even - 1e-9 * even).sum())  # 0.55 * 100 > 55


def entropy(labels: ArrayLike, classes: int = 10) -> float:
    """Return the entropy of the labels' distribution, in nats: 0 to log(classes).

    0 where all are the same; log 10 = 2.303 where each of ten comes as often.

    Args:
      labels: (N,), int in 0..classes - 1.

    Returns:
      A float. On average it is about (classes - 1) / 2N too low (G. Miller, "Note on
      the bias of information estimates", 1955).

    Raises:
      ValueError: on labels out of range, of another dtype, or none.

    Flaws: as `coverage`. And more is better only if real data is even: compare with
    the entropy of real labels.
    """
    labels = check_labels(labels, classes)
    shares = np.bincount(labels, minlength=classes) / len(labels)
    shares = shares[shares > 0]
    return float((shares * np.log(1 / shares)).sum())


def moments(features: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Fit a Gaussian to features: return mean (D,) and covariance (D, D), float64.

    Args:
      features: (N, D), float. N is at least D + 1: with fewer rows the covariance is
        singular whatever they are, and a distance from it would measure N.

    Raises:
      ValueError: on fewer rows, another shape, NaN or infinite values.
    """
    features = check_rows(features, "features").astype(np.float64)
    n, d = features.shape
    if n <= d:
        raise ValueError(
            f"The covariance of {d} features needs {d + 1} rows or more; there are {n}."
        )
    return features.mean(0), np.cov(features, rowvar=False).reshape(d, d)


def frechet_distance(features: ArrayLike, reference: ArrayLike | tuple) -> float:
    """Return the squared Frechet distance of two Gaussians fitted to features.

    |m1 - m2|^2 + trace(C1 + C2 - 2 (C1 C2)^(1/2)): 0 where means and covariances
    agree. On the features of the Inception network it is known as FID.

    Args:
      features: (N, D), float, N at least D + 1; of samples.
      reference: features of real ones (M, D), M at least D + 1; or a tuple of their
        mean (D,) and covariance (D, D), as `moments` gives, or a judge's
        (judge.feature_mean, judge.feature_covariance).

    Returns:
      A float, 0 or more, in the features' units squared.

    Raises:
      ValueError: on too few rows, other shapes, NaN, or what is no covariance.

    Flaws: few samples make it too high, even samples of the real data. Beside a
    reference that is exact, N rows of D features that are Gaussian, independent, of
    variance 1, score about D (D + 5) / 4N where they should score 0: 1.1 for D = 64, N
    = 1,000; a tenth of it for ten times as many. So only figures of the same N, the
    same judge and the same reference can be compared, and beside each belongs that of
    N real pictures. It sees two moments only: features are not Gaussian, and samples
    that agree in both may still look wrong. A copy of the training set scores best.

    Sources: D. Dowson, B. Landau, "The Frechet distance between multivariate normal
    distributions", Journal of Multivariate Analysis 12 (1982). M. Heusel and others,
    "GANs trained by a two time-scale update rule converge to a local Nash
    equilibrium", NIPS 2017. Of the bias: M. Chong, D. Forsyth, "Effectively unbiased
    FID and Inception score and where to find them", CVPR 2020.
    """
    mean, covariance = moments(features)
    if isinstance(reference, tuple):
        real_mean, real_covariance = _check_moments(reference, len(mean))
    else:
        real_mean, real_covariance = moments(reference)
        if len(real_mean) != len(mean):
            raise ValueError(
                f"There are {len(mean)} features on one side and {len(real_mean)} on "
                f"the other."
            )
    # With C = A A^T on either side, the trace of (C1 C2)^(1/2) is the sum of the
    # singular values of A1^T A2. No root of a product that rounding made asymmetric.
    a, b = _root(covariance), _root(real_covariance)
    shared = np.linalg.svd(a.T @ b, compute_uv=False).sum()
    distance = ((mean - real_mean) ** 2).sum() + (a**2).sum() + (b**2).sum()
    return max(float(distance - 2 * shared), 0.0)


def _check_moments(pair, d):
    given = [np.shape(x) for x in pair]
    if given != [(d,), (d, d)]:
        raise ValueError(
            f"A reference of {d} features is a mean ({d},) and a covariance "
            f"({d}, {d}); given a tuple of {given}."
        )
    mean, covariance = (np.asarray(x, np.float64) for x in pair)
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise ValueError("There are NaN or infinite values in the reference.")
    size = np.abs(covariance).max()
    if np.abs(covariance - covariance.T).max() > 1e-5 * size:
        raise ValueError("The reference's second array is no covariance: asymmetric.")
    if np.linalg.eigvalsh(covariance).min() < -1e-5 * size:
        raise ValueError("The reference's second array is no covariance: below 0.")
    return mean, covariance


def _root(covariance):
    """Return A with A A^T = covariance, singular or not."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0))
