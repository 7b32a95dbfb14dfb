"""Within the classes: how much do samples that were asked for alike differ?

A generator that draws one good picture for each label agrees with every label, covers
every class, and looks well in a small grid. What it lacks shows within a class. The
judge's `agreement` and these belong together: the one without the other can be had
cheaply, by one picture a class, or by any picture for any label.
"""

import numpy as np

from gencourse.validation import check_labels

AT_LEAST = 20  # pictures of a class: the variance of fewer says little


def variance_within(pictures, labels, real, real_labels, classes=10):
    """Return for each class the variance of its pictures over that of the real ones.

    The variance is summed over pixels: half the mean squared distance of two pictures
    of the class. 1: as different as real ones; 0: all the same.

    Args:
      pictures: (N, ...), float, at least 20 of each class. labels: (N,), int in
        0..classes - 1; what was asked for.
      real, real_labels: the same of real pictures, in the same range.

    Returns:
      (classes,), float64. Read its mean and its least.

    Raises:
      ValueError: on labels out of range or of another number, shapes that do not
        match, a class of fewer than 20, NaN, or real pictures that are all alike.

    Flaws: specks and noise are variance too, and so are pictures of another class:
    read it beside the judge's `agreement`. It does not see *how* pictures differ.
    """
    drawn = _variances(pictures, labels, "pictures", classes)
    truth = _variances(real, real_labels, "real", classes)
    if np.shape(pictures)[1:] != np.shape(real)[1:]:
        raise ValueError(
            f"pictures and real are alike but for their number; given "
            f"{np.shape(pictures)} and {np.shape(real)}."
        )
    if not truth.all():
        raise ValueError(
            f"All real pictures of class {int(truth.argmin())} are the same one: "
            f"nothing can be compared with that."
        )
    return drawn / truth


def _variances(pictures, labels, name, classes):
    labels, pictures = check_labels(labels, classes), np.asarray(pictures)
    if pictures.ndim < 2 or len(pictures) != len(labels):
        raise ValueError(
            f"{name}: pictures (N, ...) and one label each; given {pictures.shape} "
            f"and {len(labels)} labels."
        )
    counts = np.bincount(labels, minlength=classes)
    if counts.min() < AT_LEAST:
        raise ValueError(
            f"{name}: {AT_LEAST} pictures of each class or more; of class "
            f"{int(counts.argmin())} there are {counts.min()}."
        )
    if pictures.dtype.kind != "f":
        raise ValueError(f"{name}: floats; given {pictures.dtype}.")
    if not np.isfinite(pictures).all():
        raise ValueError(f"{name}: there are NaN or infinite numbers among them.")
    rows = pictures.reshape(len(pictures), -1).astype(np.float64)
    # Measured from one of the class: of alike pictures exactly 0, not rounding.
    of_classes = (rows[labels == c] for c in range(classes))
    return np.array([(a - a[0]).var(0, ddof=1).sum() for a in of_classes])
