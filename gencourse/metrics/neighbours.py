"""Measures by nearest neighbours: of points, pictures or features, beside real ones.

Distances are Euclidean. Between pictures they compare pixel by pixel: a digit moved by
one pixel is far from itself. Put the same figure of real test data beside each.
"""

import numpy as np
from jax.typing import ArrayLike
from scipy.spatial import cKDTree

from gencourse.metrics.samples import check_rows

K_D_TREE = 20  # up to so many dimensions `nearest` is faster by a tree


def nearest(points, data, k=1):
    """Find the k nearest rows of `data` for each row of `points`, nearest first.

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


def precision_recall(
    fake: ArrayLike, real: ArrayLike, k: int = 3
) -> tuple[float, float]:
    """Return the shares of samples that look real and of real ones that they cover.

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
    fake, real = check_rows(fake, "fake"), check_rows(real, "real")
    _check_alike(fake, real, "fake (N, D) and real (M, D)")
    few = min(len(fake), len(real))
    if not 1 <= k < few:
        raise ValueError(
            f"k is {k}; with {few} rows on a side it lies in 1..{few - 1}."
        )
    centre = real.mean(0, dtype=np.float64)  # nearer to 0 less is lost by rounding
    fake, real = fake - centre, real - centre
    return _share_inside(fake, real, k), _share_inside(real, fake, k)


def _check_alike(points, data, names):
    if min(points.ndim, data.ndim) < 2 or points.shape[1:] != data.shape[1:]:
        raise ValueError(
            f"{names} must agree in D; given {points.shape} and {data.shape}."
        )


def _squares(a, b):
    """Return squared distances of the rows of a (N, D) and b (M, D), float64: (N, M).

    |a|^2 + |b|^2 - 2 a.b, a matrix product. What is less than its rounding is set to 0,
    so that copies lie at distance 0.
    """
    size = (a**2).sum(1)[:, None] + (b**2).sum(1)  # (N, M)
    square = size - 2 * (a @ b.T)
    square[square < a.shape[1] * np.finfo(np.float64).eps * size] = 0
    return square


def _share_inside(points, data, k, block=500):
    """Return the share of points within reach of any row of data's k-th neighbour."""
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
    """Do as `nearest`, for large D: by all distances, as matrix products of blocks.

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
