"""The likelihood of pictures under a model with hidden codes, as a bound."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from gencourse.validation import check_of


def importance_weighted_bound(
    log_importance_weight: Callable,
    model: nnx.Module,
    x: ArrayLike,
    key: jax.Array,
    *,
    samples: int = 500,
    rows: int = 100,
    at_once: int = 50,
) -> np.ndarray:
    """Bound log p(x) of each picture from below, in nats, by importance sampling.

    The logarithm of the mean of `samples` weights p(x, z) / q(z | x), z from q(z | x).
    One sample gives the ELBO; on average the bound rises with every further one, and
    comes to log p(x) in the end. Where q fits badly it stays far below for as many
    samples as anyone can wait for: it flatters nobody.

    Args:
      log_weight: `log_weight(model, x, key)` gives log p(x, z) - log q(z | x) of one z
        for each row of x: (B,).
      model: its first argument, an `nnx.Module`. Where it has BatchNorms they are set
        to their running statistics here; the model itself stays as it is.
      x: (N, ...), float; for Bernoulli likelihoods 0 or 1. If `log_weight` has an
        attribute `check_batch`, a function of x and of (model,), x has to pass it.
      key: a `jax.random.key`. samples: how many weights a row.
      rows, at_once: how many rows, and samples of each, are held in memory together;
        the result does not depend on `at_once` but for other noise.

    Returns:
      (N,), float64. Its mean over the rows is the usual figure.

    Raises:
      ValueError: where there is no row, or a number is below 1; of `check_batch`.
      FloatingPointError: where a weight is NaN or infinite.

    Source: Y. Burda, R. Grosse, R. Salakhutdinov, "Importance weighted autoencoders",
    ICLR 2016, equation 8.
    """
    if not len(x) or min(samples, rows, at_once) < 1:
        raise ValueError(
            f"There are {len(x)} rows, samples={samples}, rows={rows}, "
            f"at_once={at_once}: each must be 1 or more."
        )
    if check_batch := check_of(log_importance_weight):
        check_batch(x, (model,))
    model = nnx.view(model, use_running_average=True, raise_if_not_found=False)
    at_once = min(at_once, samples)
    results = []
    for i in range(0, len(x), rows):
        some = jnp.asarray(x[i : i + rows])
        total = np.full(len(some), -np.inf)  # log of the sum of weights so far
        for j in range(0, samples, at_once):
            chance = jax.random.fold_in(jax.random.fold_in(key, i), j)
            n = min(at_once, samples - j)
            more = np.asarray(
                _log_sum(model, some, chance, log_importance_weight, n), np.float64
            )
            if not np.isfinite(more).all():
                raise FloatingPointError(
                    f"A weight of row {i + int(np.argmin(np.isfinite(more)))} is NaN "
                    f"or infinite: is x in the likelihood's range, and is the model "
                    f"well?"
                )
            total = np.logaddexp(total, more)
        results.append(total - np.log(samples))
    return np.concatenate(results)


@nnx.jit(static_argnames=("log_importance_weight", "n"))
def _log_sum(model, x, key, log_importance_weight, n):
    """Return the log of the sum of n weights for each row of x: (B,)."""
    many = jnp.repeat(x, n, axis=0)  # (B * n, ...)
    weights = log_importance_weight(model, many, key).reshape(len(x), n)
    return jax.nn.logsumexp(weights, axis=1)
