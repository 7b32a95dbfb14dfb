"""Measures of samples: arrays of points, pictures or labels, beside real ones.

None of them says alone how good samples are. Labels tell which classes are there, and
nothing of how they look; distances between features see what the judge sees, and
nothing else. Read several together, and put the same figure of real test data beside
each.
"""

import numpy as np
from scipy.spatial import cKDTree

K_D_TREE = 20  # up to so many dimensions a tree is faster than all the distances


def check_labels(labels, classes=10):
    """`labels` as an array (N,); a ValueError where they are not integers from 0 up to
    `classes` - 1, or where there is none."""
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not len(labels):
        raise ValueError(
            f"Labels are whole numbers (N,), at least one; given {labels.dtype} "
            f"{labels.shape}. A judge's probabilities become labels by .argmax(-1)."
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"Labels of {classes} classes lie in 0..{classes - 1}; given "
            f"{labels.min()}..{labels.max()}."
        )
    return labels


def coverage(labels, classes=10, *, at_least=0.1):
    """How many classes are there.

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


def entropy(labels, classes=10):
    """The entropy of the labels' distribution, in nats: from 0 to log(classes).

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


def moments(features):
    """The Gaussian that fits features best: mean (D,) and covariance (D, D), float64.

    Args:
      features: (N, D), float. N is at least D + 1: with fewer rows the covariance is
        singular whatever they are, and a distance from it would measure N.

    Raises:
      ValueError: on fewer rows, another shape, NaN or infinite values.
    """
    features = _rows(features, "features").astype(np.float64)
    n, d = features.shape
    if n <= d:
        raise ValueError(
            f"The covariance of {d} features needs {d + 1} rows or more; there are {n}."
        )
    return features.mean(0), np.cov(features, rowvar=False).reshape(d, d)


def frechet(features, reference):
    """The Frechet distance, squared, of two Gaussians fitted to features.

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


def precision_recall(fake, real, k=3):
    """Two shares: of samples that look real, and of real ones that samples look like.

    Around each point lies a ball that reaches to its k-th nearest neighbour on its own
    side. Precision is the share of `fake` within any ball of `real`; recall the share
    of `real` within any ball of `fake`. Poor samples lower the first, missing kinds
    the second.

    Args:
      fake: (N, D), real: (M, D), float; features, or points. N and M at least k + 1.
      k: which neighbour; 3 in the paper.

    Returns:
      (precision, recall), floats in [0, 1].

    Raises:
      ValueError: on other shapes, NaN, or too few rows for k.

    Flaws: both depend on N, M and k: compare at the same ones, with N = M. Two
    halves of one data set do not score 1 (try it: this is the figure to compare
    with). An outlier has a large ball, in which much that is wrong counts as right
    (M. Naeem and others, "Reliable fidelity and diversity metrics for generative
    models", ICML 2020). Where all samples are copies of a few, their balls have radius
    0 and recall is 0, whatever they show.

    Source: T. Kynkaanniemi and others, "Improved precision and recall metric for
    assessing generative models", NeurIPS 2019.
    """
    fake, real = _rows(fake, "fake"), _rows(real, "real")
    _check_alike(fake, real, "fake (N, D) and real (M, D)")
    few = min(len(fake), len(real))
    if not 1 <= k < few:
        raise ValueError(
            f"k is {k}; with {few} rows on a side it lies in 1..{few - 1}."
        )
    centre = real.mean(0, dtype=np.float64)  # nearer to 0 less is lost by rounding
    fake, real = fake - centre, real - centre
    return _share_inside(fake, real, k), _share_inside(real, fake, k)


def nearest(points, data, k=1):
    """The k nearest rows of `data` for each row of `points`, nearest first.

    Does a model copy? Look at the nearest training pictures of its samples, and beside
    their distances at those of real test pictures. A copy moved by one pixel is far
    away by this distance, so that it cannot prove that nothing was copied; features of
    a judge see a little further.

    Args:
      points: (N, D), data: (M, D), numbers in the same range, M at least k. Pictures
        (N, H, W, C) are taken as rows of H * W * C. A point that is itself a row of
        `data` finds itself first, at distance 0.
      k: how many.

    Returns:
      Euclidean distances (N, k), float64, and row numbers into `data` (N, k), int.

    Raises:
      ValueError: on shapes that do not match, NaN, bytes on one side and floats on the
        other, or k greater than M.
    """
    points, data = np.asarray(points), np.asarray(data)
    _check_alike(points, data, "points (N, D) and data (M, D)")
    if not 1 <= k <= len(data):
        raise ValueError(f"k is {k}; with {len(data)} rows it lies in 1..{len(data)}.")
    if not (np.isfinite(points).all() and np.isfinite(data).all()):
        raise ValueError("There are NaN or infinite values among the points.")
    if (points.dtype == np.uint8) != (data.dtype == np.uint8):
        raise ValueError(
            f"points are {points.dtype} and data {data.dtype}: bytes on one side, and "
            f"not on the other. Scale both alike, with data.scale."
        )
    points, data = (x.reshape(len(x), np.prod(x.shape[1:])) for x in (points, data))
    if points.shape[1] > K_D_TREE:
        return _nearest_of_all(points, data, k)
    distances, rows = cKDTree(data).query(points, k=k, workers=-1)
    return distances.reshape(len(points), k), rows.reshape(len(points), k)


def knn_classify(points, data, labels, k=15):
    """Name each point by the k nearest rows of `data`: the k-nearest-neighbour rule.

    Args:
      points: (N, D), float. data: (M, D), float. labels: (M,), int from 0.
      k: how many neighbours have a vote.

    Returns:
      The winning label (N,), int, and its share of the votes (N,), float in (0, 1].
      Of two labels with as many votes the smaller wins.

    Source: T. Cover, P. Hart, "Nearest neighbor pattern classification", IEEE
    Transactions on Information Theory 13 (1967).
    """
    labels = np.asarray(labels)
    if labels.shape != (len(data),) or labels.dtype.kind not in "iu" or min(labels) < 0:
        raise ValueError(
            f"labels are {len(data)} whole numbers from 0, one a row of data; given "
            f"{labels.dtype} {labels.shape}."
        )
    _, rows = nearest(points, data, k)
    votes = np.zeros((len(points), labels.max() + 1))
    np.add.at(votes, (np.arange(len(points))[:, None], labels[rows]), 1)
    return votes.argmax(1), votes.max(1) / k


def _rows(x, name):
    """x as an array of rows (N, D) of finite numbers, or a ValueError."""
    x = np.asarray(x)
    if x.ndim != 2 or not x.size:
        raise ValueError(
            f"{name} have shape (N, D), N and D 1 or more; given {x.shape}."
        )
    if not np.isfinite(x).all():
        raise ValueError(f"There are NaN or infinite values among {name}.")
    return x


def _check_alike(points, data, names):
    if min(points.ndim, data.ndim) < 2 or points.shape[1:] != data.shape[1:]:
        raise ValueError(
            f"{names} must agree in D; given {points.shape} and {data.shape}."
        )


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
    """A with A A^T = covariance, singular or not."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0))


def _squares(a, b):
    """Squared distances of all rows of a (N, D) and b (M, D), float64: (N, M).

    |a|^2 + |b|^2 - 2 a.b, a matrix product. What is less than its rounding is set to 0,
    so that copies lie at distance 0.
    """
    size = (a**2).sum(1)[:, None] + (b**2).sum(1)  # (N, M)
    square = size - 2 * (a @ b.T)
    square[square < a.shape[1] * np.finfo(np.float64).eps * size] = 0
    return square


def _share_inside(points, data, k, block=500):
    """The share of points within reach of any row of data's k-th neighbour."""
    radii = []
    for i in range(0, len(data), block):
        square = _squares(data[i : i + block], data)
        square[np.arange(len(square)), i + np.arange(len(square))] = np.inf  # itself
        radii.append(np.partition(square, k - 1, axis=1)[:, k - 1])
    radii = np.concatenate(radii)  # (M,), squared
    inside = 0
    for i in range(0, len(points), block):
        inside += (_squares(points[i : i + block], data) <= radii).any(1).sum()
    return float(inside / len(points))


def _nearest_of_all(points, data, k, block=1024, data_block=4096):
    """`nearest` by all the distances, as matrix products of blocks; where D is large.

    A matrix product finds a few more rows than asked; their distances are then taken
    from the differences themselves, which are exact, and decide.
    """
    few = min(k + 4, len(data))
    centre = data.mean(0, dtype=np.float64)
    distances = np.empty((len(points), k))
    rows = np.empty((len(points), k), np.intp)
    for i in range(0, len(points), block):
        some = points[i : i + block].astype(np.float64)
        best = np.empty((len(some), 0))
        found = np.empty((len(some), 0), np.intp)
        for j in range(0, len(data), data_block):
            others = data[j : j + data_block] - centre
            square = (others**2).sum(1) - 2 * ((some - centre) @ others.T)  # less |a|^2
            best = np.concatenate([best, square], axis=1)
            more = np.broadcast_to(j + np.arange(len(others)), square.shape)
            found = np.concatenate([found, more], axis=1)
            keep = np.argpartition(best, min(few, best.shape[1]) - 1, axis=1)[:, :few]
            best = np.take_along_axis(best, keep, axis=1)
            found = np.take_along_axis(found, keep, axis=1)
        found.sort(axis=1)  # of equal distances the first row wins
        exact = np.stack(
            [np.sqrt(((some - data[at]) ** 2).sum(1)) for at in found.T], axis=1
        )
        order = np.argsort(exact, axis=1, kind="stable")[:, :k]
        distances[i : i + block] = np.take_along_axis(exact, order, axis=1)
        rows[i : i + block] = np.take_along_axis(found, order, axis=1)
    return distances, rows
