"""Does one latent tell one thing? Codes beside factors that are known.

Paper: R. T. Q. Chen, X. Li, R. Grosse, D. Duvenaud, "Isolating sources of
disentanglement in variational autoencoders", NeurIPS 2018, section 4.1.
"""

import numpy as np
from jax.typing import ArrayLike

from gencourse.metrics.samples import check_rows
from gencourse.validation import check_labels, check_numbers


def mutual_information(codes: ArrayLike, labels: ArrayLike, bins: int = 20):
    """Estimate how much each latent tells of a factor, in nats: float64 (D,).

    A latent's values are sorted into `bins` of equal count, and the table of bins and
    labels is taken for the joint distribution. For few pictures that is too much: of N
    pictures and K labels, independent ones have about (bins - 1) (K - 1) / 2 N nats.

    Args:
      codes: (N, D), float, finite; for a VAE the means of q(z | x).
      labels: (N,), int from 0, a factor's value for each picture.

    Raises:
      ValueError: where the numbers of codes and labels differ, or labels are no whole
        numbers from 0.
    """
    codes = check_rows(codes, "codes")
    check_numbers(bins=bins)
    labels = np.asarray(labels)
    labels = check_labels(labels, int(labels.max(initial=0)) + 1, len(codes))
    ranks = codes.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
    cell = ranks * bins // len(codes)  # (N, D), in 0..bins - 1
    return np.array([_information(column, labels) for column in cell.T])


def mutual_information_gap(codes: ArrayLike, factors: dict, bins: int = 20) -> dict:
    """Return for each factor how far one latent is ahead in telling it: 0 to 1.

    That is the mutual information of the latent that tells most of it, less that of the
    second, over the factor's entropy; 1 if one latent alone tells all of it. Their mean
    is the mutual information gap, MIG.

    Args:
      codes: (N, D), float, D at least 2. factors: {name: int (N,)}, as of
        `data.attributes`, each with two values or more.

    Raises:
      ValueError: as `mutual_information`, and for a factor that never changes.
    """
    gaps = {}
    for name, labels in factors.items():
        share = np.bincount(np.asarray(labels)) / len(labels)
        entropy = -np.sum(
            share * np.log(share, where=share > 0, out=np.zeros_like(share))
        )
        if not entropy > 0:
            raise ValueError(f"The factor {name!r} never changes: nothing tells it.")
        second, first = np.sort(mutual_information(codes, labels, bins))[-2:]
        gaps[name] = float((first - second) / entropy)
    return gaps


def _information(a, b):
    """Return the mutual information of two rows of whole numbers (N,), in nats."""
    table = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(table, (a, b), 1 / len(a))
    alone = table.sum(1, keepdims=True) * table.sum(0, keepdims=True)
    there = table > 0
    return float((table[there] * np.log(table[there] / alone[there])).sum())
