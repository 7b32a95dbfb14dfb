"""The importance-weighted bound, against a model whose likelihood is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import stats

from gencourse.metrics.likelihood import importance_weighted_bound

NOISE = 0.5  # deviation of x about its mean, given z


class LinearGaussian(nnx.Module):
    """x = W z + b + noise: log p(x) and the true posterior have closed forms. The q
    used here misses that posterior by `shift` and `factor`."""

    def __init__(self, shift, factor):
        rng = np.random.default_rng(0)
        self.W = nnx.Param(jnp.asarray(rng.normal(size=(5, 2)), jnp.float32))
        self.b = nnx.Param(jnp.asarray(rng.normal(size=5), jnp.float32))
        self.shift, self.factor = shift, factor


def exact(model, x):
    W, b = np.asarray(model.W[...], np.float64), np.asarray(model.b[...], np.float64)
    return stats.multivariate_normal(b, W @ W.T + NOISE**2 * np.eye(5)).logpdf(x)


def log_importance_weight(model, x, key):
    W, b = model.W[...], model.b[...]
    precision = jnp.eye(2) + W.T @ W / NOISE**2
    covariance = jnp.linalg.inv(precision)
    mean = (x - b[None]) @ W @ covariance / NOISE**2 + model.shift
    root = jnp.linalg.cholesky(covariance) * model.factor
    noise = jax.random.normal(key, mean.shape)
    z = mean + noise @ root.T
    prior = -0.5 * (z**2).sum(1)
    posterior = -0.5 * (noise**2).sum(1) - jnp.log(jnp.diag(root)).sum()
    error = (x - z @ W.T - b[None]) / NOISE
    return prior - posterior - 0.5 * (error**2 + jnp.log(2 * jnp.pi * NOISE**2)).sum(1)


def pictures(model, n=30):
    rng = np.random.default_rng(1)
    W, b = np.asarray(model.W[...]), np.asarray(model.b[...])
    x = rng.normal(size=(n, 2)) @ W.T + b + NOISE * rng.normal(size=(n, 5))
    return x.astype(np.float32)


def test_with_the_true_posterior_one_sample_is_exact():
    model = LinearGaussian(0.0, 1.0)
    x = pictures(model)
    bound = importance_weighted_bound(
        log_importance_weight, model, x, jax.random.key(0), samples=1
    )
    np.testing.assert_allclose(bound, exact(model, x), rtol=1e-4)


def test_with_a_wrong_posterior_the_bound_rises_to_the_truth_and_not_above():
    model = LinearGaussian(0.2, 1.3)
    x = pictures(model)
    truth = exact(model, x).mean()
    means = [
        importance_weighted_bound(
            log_importance_weight, model, x, jax.random.key(0), samples=k
        ).mean()
        for k in (1, 10, 4000)
    ]
    assert means[0] < means[1] - 0.2 < means[2] - 0.2
    assert means[1] < truth
    np.testing.assert_allclose(means[2], truth, atol=0.02)


def test_chunks_of_rows_and_samples_change_nothing_but_chance():
    model = LinearGaussian(0.1, 1.2)
    x = pictures(model)
    key = jax.random.key(0)
    whole = importance_weighted_bound(
        log_importance_weight, model, x, key, samples=2000, at_once=2000
    )
    parts = importance_weighted_bound(
        log_importance_weight, model, x, key, samples=2000, rows=7, at_once=300
    )
    assert parts.shape == (30,)
    np.testing.assert_allclose(parts, whole, atol=0.15)
    again = importance_weighted_bound(
        log_importance_weight, model, x, key, samples=2000, rows=7, at_once=300
    )
    np.testing.assert_array_equal(parts, again)


def test_what_cannot_be_is_refused():
    model = LinearGaussian(0.0, 1.0)
    x, key = pictures(model), jax.random.key(0)
    with pytest.raises(ValueError, match="1 or more"):
        importance_weighted_bound(log_importance_weight, model, x, key, samples=0)
    with pytest.raises(ValueError, match="0 rows"):
        importance_weighted_bound(log_importance_weight, model, x[:0], key)
    x[12] = np.nan
    with pytest.raises(FloatingPointError, match="row 12"):
        importance_weighted_bound(
            log_importance_weight, model, x, key, samples=3, rows=8
        )
