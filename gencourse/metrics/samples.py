"""Measures of samples: arrays of points or pictures, compared with real ones."""

import numpy as np
from scipy.spatial import cKDTree


def nearest(points, data, k=1):
    """The k nearest rows of `data` for each row of `points`, nearest first.

    Args:
      points: (N, D), float; data: (M, D), float, M at least k. A point that is itself
        a row of `data` finds itself first, at distance 0.
      k: how many.

    Returns:
      Euclidean distances (N, k), float64, and row numbers into `data` (N, k), int.

    Raises:
      ValueError: on shapes that do not match, NaN, or k greater than M.
    """
    points, data = np.asarray(points), np.asarray(data)
    if points.ndim != 2 or data.ndim != 2 or points.shape[1] != data.shape[1]:
        raise ValueError(
            f"points (N, D) and data (M, D) must agree in D; given {points.shape} "
            f"and {data.shape}."
        )
    if not 1 <= k <= len(data):
        raise ValueError(f"k is {k}; with {len(data)} rows it lies in 1..{len(data)}.")
    if not (np.isfinite(points).all() and np.isfinite(data).all()):
        raise ValueError("There are NaN or infinite values among the points.")
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
