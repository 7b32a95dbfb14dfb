"""The paper's own networks: dense, a maxout discriminator, dropout in both.

    z (B, 100) --200--+--1200--> fake (B, 28, 28, 1)    x --240 x 5--+--240 x 4--> logit
    y (B,) ----1000---+                                 y --50 x 5---+

Chapter 5's project trains them with the paper's optimizer, and with another one. The
step, the samples and the checks are `cgan.py`'s, unchanged; G's loss is the
non-saturating one.

Papers: M. Mirza, S. Osindero, "Conditional generative adversarial nets", 2014, section
4.1. Maxout: I. J. Goodfellow and others, "Maxout networks", ICML 2013.
"""

import jax
import numpy as np
import optax
from flax import nnx

from gencourse.conditions import concat_condition, one_hot
from gencourse.layers import Dropout, Linear, dropout_rngs
from gencourse.layers.initializers import uniform
from gencourse.validation import check_image_shape, check_int, check_numbers

SMALL = {"kernel_init": uniform(0.005)}  # of D, so that it is in doubt at first
LARGER = {"kernel_init": uniform(0.05)}  # of G


class Maxout(nnx.Module):
    """(B, in) -> (B, out): each unit is the largest of its `pieces` linear functions.

    So a unit learns its own bend; a ReLU has two pieces, one of which is 0.
    """

    def __init__(self, inputs, out, pieces, *, rngs: nnx.Rngs):
        self.out, self.pieces = out, pieces
        self.dense = Linear(inputs, out * pieces, **SMALL, rngs=rngs)

    def __call__(self, x):
        x = self.dense(x).reshape(len(x), self.out, self.pieces)
        return x.max(axis=-1)  # (B, out)


def unit_cube(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Draw latent vectors from the unit cube, as the paper does."""
    return jax.random.uniform(key, shape)


class Generator(nnx.Module):
    """z (B, 100) in the unit cube, labels y (B,), int -> (B, *shape) in [-1, 1].

    The paper ends in a sigmoid, in [0, 1]; here it is stretched to [-1, 1]. `dropout`
    is its rate after each hidden layer; it acts only if the call is given a key.
    """

    def __init__(self, shape=(28, 28, 1), classes=10, *, dropout=0.5, rngs: nnx.Rngs):
        check_numbers(classes=classes)
        self.latent, self.prior, self.shape = 100, unit_cube, tuple(shape)
        self.classes = self.embedding = classes
        self.from_z = Linear(self.latent, 200, **LARGER, rngs=rngs)
        self.from_label = Linear(classes, 1000, **LARGER, rngs=rngs)
        self.joint = Linear(1200, 1200, **LARGER, rngs=rngs)
        self.out = Linear(1200, int(np.prod(shape)), **LARGER, rngs=rngs)
        self.dropout = Dropout(dropout)

    def __call__(self, z, y, key=None):
        rngs = dropout_rngs(key)
        from_label = nnx.relu(self.from_label(self.embed_labels(y)))  # (B, 1000)
        x = concat_condition(nnx.relu(self.from_z(z)), from_label)  # (B, 1200)
        x = self.dropout(x, rngs=rngs)
        x = self.dropout(nnx.relu(self.joint(x)), rngs=rngs)  # (B, 1200)
        x = 2 * nnx.sigmoid(self.out(x)) - 1  # (B, pixels)
        return x.reshape(len(x), *self.shape)  # (B, *shape)

    def embed_labels(self, y):
        """Return labels y (B,), int, as one-hot vectors (B, classes), float."""
        return one_hot(self, y)


class Discriminator(nnx.Module):
    """x (B, *shape) in [-1, 1], labels y (B,), int -> logits (B,), by maxout units."""

    def __init__(self, shape=(28, 28, 1), classes=10, *, dropout=0.5, rngs: nnx.Rngs):
        check_numbers(classes=classes)
        self.shape = tuple(shape)
        self.classes = self.embedding = classes
        self.from_pixels = Maxout(int(np.prod(shape)), 240, pieces=5, rngs=rngs)
        self.from_label = Maxout(classes, 50, pieces=5, rngs=rngs)
        self.joint = Maxout(240 + 50, 240, pieces=4, rngs=rngs)
        self.logit = Linear(240, 1, **SMALL, rngs=rngs)
        self.dropout = Dropout(dropout)

    def __call__(self, x, y, key=None):
        check_image_shape(x, self.shape)
        rngs = dropout_rngs(key)
        pixels = (x.reshape(len(x), -1) + 1) / 2  # (B, pixels), in the paper's [0, 1]
        from_label = self.from_label(self.embed_labels(y))  # (B, 50)
        x = concat_condition(self.from_pixels(pixels), from_label)  # (B, 290)
        x = self.dropout(x, rngs=rngs)
        x = self.dropout(self.joint(x), rngs=rngs)  # (B, 240)
        return self.logit(x)[:, 0]  # (B,)

    def embed_labels(self, y):
        """Return labels y (B,), int, as one-hot vectors (B, classes), float."""
        return one_hot(self, y)


def sgd(steps: int) -> optax.GradientTransformation:
    """Return the paper's optimizer, its schedules compressed from 288,000 to `steps`.

    The rate falls from 0.1, by a factor of 1.00004 per step of the paper, to no less
    than 1e-6; the momentum rises from 0.5 to 0.7.

    Raises:
      ValueError: if `steps` is not a whole number, 1 or more.
    """
    steps = check_int("steps", steps)
    factor = 1.00004 ** (-288_000 / steps)
    rate = optax.exponential_decay(0.1, 1, factor, end_value=1e-6)
    momentum = optax.linear_schedule(0.5, 0.7, steps)
    return optax.inject_hyperparams(optax.sgd)(learning_rate=rate, momentum=momentum)
