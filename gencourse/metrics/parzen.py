"""The Parzen-window log-likelihood: what the first GAN papers reported.

A GAN has no likelihood that one could compute: it only gives samples. So put a
Gaussian of one width around each of many samples, call their mean a density, and ask
how likely it finds real test pictures:

    log p(x) = log of the mean over samples s of N(x; s, bandwidth^2 I), in nats

The width is chosen on validation pictures (`choose_bandwidth`), and never on the test
pictures that the figure is of. Pixels lie in [0, 1], as in the papers; another scale
shifts every figure.

Flaws, and they are grave. With D = 784 pixels no number of samples that anyone can draw
brings this near to the model's true likelihood. It ranks models wrongly: centres of
k-means, which are blurred means of digits, score far above real training pictures,
which are samples of the truth. The more samples, the higher the score, so that it is
compared only at the same number, 10,000 as a rule. It is here to stand beside what was
published, and for no choice that matters (L. Theis, A. van den Oord, M. Bethge, "A note
on the evaluation of generative models", ICLR 2016).

Sources: O. Breuleux, Y. Bengio, P. Vincent, "Quickly generating representative samples
from an RBM-derived process", Neural Computation 23 (2011). I. Goodfellow and others,
"Generative adversarial nets", NIPS 2014, table 1; the +- there is the standard error of
the mean over test pictures: `values.std(ddof=1) / len(values) ** 0.5`.
"""

from collections.abc import Sequence

import numpy as np
from jax.typing import ArrayLike


def parzen_log_likelihood(
    x: ArrayLike, samples: ArrayLike, bandwidth: float
) -> np.ndarray:
    """Return log p(x) of each picture under Gaussians around samples, in nats.

    Args:
      x: (N, ...), float in [0, 1]; real test pictures, or points. samples: (M, ...), of
        the same shape but for M, float in [0, 1]. A generator that ends in tanh gives
        [-1, 1]: data.to_unit(fake).
      bandwidth: the deviation of each Gaussian in every pixel, above 0; from
        `choose_bandwidth`.

    Returns:
      (N,), float64. Its mean is the usual figure, for MNIST in the hundreds: a density
      over [0, 1]^784 may be far above 1.

    Raises:
      ValueError: on shapes that do not match, other dtypes, values outside [0, 1],
        NaN, or a bandwidth that is not above 0.

    Flaws and sources: see the module.
    """
    return _log_likelihoods(x, samples, [bandwidth])[0]


def choose_bandwidth(
    validation: ArrayLike, samples: ArrayLike, bandwidths: Sequence[float]
) -> tuple[float, np.ndarray]:
    """Choose the bandwidth under which validation pictures are likeliest.

    Args:
      validation: (N, ...), float in [0, 1]; real pictures that are neither training
        nor test ones. samples: (M, ...), float in [0, 1].
      bandwidths: three or more, above 0; np.geomspace(0.1, 0.3, 10), say.

    Returns:
      The best bandwidth, a float, and {bandwidth: mean log-likelihood of validation},
      in ascending order, to be looked at.

    Raises:
      ValueError: where the best is the smallest or the greatest one, as a better one
        may then lie outside: it says on which side to offer more. On fewer than three;
        of `parzen_log_likelihood`.

    The distances are computed once, and serve every bandwidth.
    """
    bandwidths = sorted({float(b) for b in bandwidths})
    if len(bandwidths) < 3:
        raise ValueError(
            f"Offer three bandwidths or more, so that the best can have a worse one on "
            f"either side; given {bandwidths}."
        )
    means = _log_likelihoods(validation, samples, bandwidths).mean(1)
    best = int(means.argmax())
    if best == 0:
        raise ValueError(
            f"The best bandwidth, {bandwidths[0]:g}, is the smallest one offered: the "
            f"real best may be smaller. Offer smaller ones. If that never ends, "
            f"validation pictures are among the samples."
        )
    if best == len(bandwidths) - 1:
        raise ValueError(
            f"The best bandwidth, {bandwidths[-1]:g}, is the greatest one offered: the "
            f"real best may be greater. Offer greater ones."
        )
    return bandwidths[best], dict(zip(bandwidths, means.tolist(), strict=True))


def _log_likelihoods(x, samples, bandwidths):
    """Return it for several bandwidths: (len(bandwidths), N), float64.

    In float64: a squared distance is the small difference of large sums, and is then
    divided by bandwidth^2.
    """
    x, samples = _pixels(x, "x"), _pixels(samples, "samples")
    if x.shape[1:] != samples.shape[1:]:
        raise ValueError(
            f"x (N, ...) and samples (M, ...) must be alike but for N and M; given "
            f"{x.shape} and {samples.shape}."
        )
    for bandwidth in bandwidths:
        if not (np.isfinite(bandwidth) and bandwidth > 0):
            raise ValueError(f"A bandwidth is above 0; given {bandwidth}.")
    d, m = int(np.prod(x.shape[1:])), len(samples)
    samples = samples.reshape(m, d).astype(np.float64)  # (M, D)
    lengths = (samples**2).sum(1)
    result = np.empty((len(bandwidths), len(x)))
    block = max(1, 2**22 // m)  # rows at once: 32 MB of distances
    for i in range(0, len(x), block):
        some = x[i : i + block].reshape(-1, d).astype(np.float64)
        square = (some**2).sum(1)[:, None] + lengths - 2 * (some @ samples.T)  # (B, M)
        least = square.min(1)  # the nearest sample's term is taken out of the sum:
        square -= least[:, None]  # the others are then at most 1, and no sum is 0
        for row, bandwidth in zip(result, bandwidths, strict=True):
            total = np.exp(square * (-0.5 / bandwidth**2)).sum(1)
            row[i : i + block] = np.log(total) - 0.5 * least / bandwidth**2
    widths = np.asarray(bandwidths, np.float64)[:, None]
    return result - np.log(m) - 0.5 * d * np.log(2 * np.pi * widths**2)


def _pixels(x, name):
    if np.ndim(x) < 2 or not np.size(x):
        raise ValueError(
            f"{name}: pictures (N, H, W, C), or rows (N, D), N 1 or more; given shape "
            f"{np.shape(x)}."
        )
    x = np.asarray(x)
    low, high = float(x.min()), float(x.max())
    if not (np.issubdtype(x.dtype, np.floating) and low >= 0 and high <= 1):
        raise ValueError(
            f"{name}: floats in [0, 1]; given {x.dtype} in [{low:g}, {high:g}]. Scale "
            f'bytes with data.scale(images, "unit"), and the samples of a generator '
            f"that ends in tanh with data.to_unit(fake)."
        )
    return x
