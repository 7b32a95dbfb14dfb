"""The paper's own networks: dense, a maxout discriminator, dropout in both.

    z (B, 100) --200--+--1200--> fake (B, 28, 28, 1)    x --240 x 5--+--240 x 4--> logit
    y (B,) ----1000---+                                 y --50 x 5---+

Chapter 5's project trains them by the paper's optimizer, and by another one. The step
is chapter 5's, G's non-saturating loss included, with dropout in G too; `cgan.sample`,
`cgan.generate` and `cgan.belief` take these networks as well.

Papers: M. Mirza, S. Osindero, "Conditional generative adversarial nets", 2014, section
4.1. Maxout: I. J. Goodfellow and others, "Maxout networks", ICML 2013.
"""

import jax
import numpy as np
import optax
from flax import nnx

from gencourse import cgan, gan
from gencourse.given import as_whole, check_alike, check_numbers, check_sides, pair
from gencourse.initializers import uniform
from gencourse.layers import Dropout, Linear

SMALL = {"kernel_init": uniform(0.005)}  # of D, so that it is in doubt at first
LARGER = {"kernel_init": uniform(0.05)}  # of G


class Maxout(nnx.Module):
    """(B, in) -> (B, out): each unit is the greatest of its `pieces` linear functions.

    A unit so learns its own bend; a ReLU is two pieces, one of which is 0.
    """

    def __init__(self, inputs, out, pieces, *, rngs: nnx.Rngs):
        self.out, self.pieces = out, pieces
        self.dense = Linear(inputs, out * pieces, **SMALL, rngs=rngs)

    def __call__(self, x):
        x = self.dense(x).reshape(len(x), self.out, self.pieces)
        return x.max(axis=-1)  # (B, out)


def _uniform(key, shape):
    return jax.random.uniform(key, shape)  # the unit cube


class Generator(nnx.Module):
    """Seeds z (B, 100) in the unit cube and labels y (B,) -> (B, *shape) in [-1, 1].

    The paper ends in a sigmoid, in [0, 1]; here it is stretched to [-1, 1]. `dropout`
    is the share of each hidden layer that is left out where a key is given.
    """

    def __init__(self, shape=(28, 28, 1), classes=10, *, dropout=0.5, rngs: nnx.Rngs):
        check_numbers(classes=classes)
        self.latent, self.draw, self.shape = 100, _uniform, tuple(shape)
        self.classes = self.embedding = classes
        self.of_seed = Linear(self.latent, 200, **LARGER, rngs=rngs)
        self.of_label = Linear(classes, 1000, **LARGER, rngs=rngs)
        self.joint = Linear(1200, 1200, **LARGER, rngs=rngs)
        self.out = Linear(1200, int(np.prod(shape)), **LARGER, rngs=rngs)
        self.dropout = Dropout(dropout)

    def __call__(self, z, y, key=None):
        keys = [None] * 2 if key is None else jax.random.split(key)
        of_label = nnx.relu(self.of_label(self.vectors(y)))  # (B, 1000)
        x = cgan.join(nnx.relu(self.of_seed(z)), of_label)  # (B, 1200)
        x = self.dropout(x, deterministic=key is None, rngs=keys[0])
        x = nnx.relu(self.joint(x))  # (B, 1200)
        x = self.dropout(x, deterministic=key is None, rngs=keys[1])
        x = 2 * nnx.sigmoid(self.out(x)) - 1  # (B, pixels)
        return x.reshape(len(x), *self.shape)  # (B, *shape)

    vectors = cgan.one_hot


class Discriminator(nnx.Module):
    """Pictures x (B, *shape) with labels y (B,) -> logits (B,), by maxout units."""

    def __init__(self, shape=(28, 28, 1), classes=10, *, dropout=0.5, rngs: nnx.Rngs):
        check_numbers(classes=classes)
        self.shape = tuple(shape)
        self.classes = self.embedding = classes
        self.of_pixels = Maxout(int(np.prod(shape)), 240, pieces=5, rngs=rngs)
        self.of_label = Maxout(classes, 50, pieces=5, rngs=rngs)
        self.joint = Maxout(240 + 50, 240, pieces=4, rngs=rngs)
        self.verdict = Linear(240, 1, **SMALL, rngs=rngs)
        self.dropout = Dropout(dropout)

    def __call__(self, x, y, key=None):
        keys = [None] * 2 if key is None else jax.random.split(key)
        check_sides(x, self.shape)
        pixels = (x.reshape(len(x), -1) + 1) / 2  # (B, pixels), in the paper's [0, 1]
        of_pixels = self.of_pixels(pixels)  # (B, 240)
        x = cgan.join(of_pixels, self.of_label(self.vectors(y)))  # (B, 290)
        x = self.dropout(x, deterministic=key is None, rngs=keys[0])
        x = self.joint(x)  # (B, 240)
        x = self.dropout(x, deterministic=key is None, rngs=keys[1])
        return self.verdict(x)[:, 0]  # (B,)

    vectors = cgan.one_hot


@nnx.jit
def train_step(generator, discriminator, g_optimizer, d_optimizer, batch, key):
    """One step of D, then one of G, as `cgan.train_step`; G has dropout too.

    Args, and what it returns: there.
    """
    x, y = pair(batch)
    z_key, g_key, *keys = jax.random.split(key, 5)
    z = gan.noise(generator, len(x), z_key)  # (B, latent)
    fake = generator(z, y, g_key)  # (B, *shape)
    check_alike(fake, x)

    def d_loss_fn(discriminator):
        on_real = discriminator(x, y, keys[0])  # (B,)
        on_fake = discriminator(fake, y, keys[1])  # (B,)
        return sum(gan.d_loss(on_real, on_fake)), (on_real, on_fake)

    d_grad = nnx.value_and_grad(d_loss_fn, has_aux=True)
    (loss_d, (on_real, on_fake)), d_grads = d_grad(discriminator)
    d_optimizer.update(discriminator, d_grads)

    def g_loss_fn(generator, discriminator):
        return gan.g_loss(discriminator(generator(z, y, g_key), y, keys[2]))

    loss_g, g_grads = nnx.value_and_grad(g_loss_fn)(generator, discriminator)
    g_optimizer.update(generator, g_grads)
    return gan.figures((loss_d, loss_g), (on_real, on_fake), (d_grads, g_grads))


train_step.check_batch = cgan.check  # fit asks it of all data


def sgd(steps):
    """The paper's optimizer, its schedules compressed from 288,000 steps to `steps`.

    The rate falls from 0.1, by a factor of 1.00004 a step of the paper, and no lower
    than 1e-6; the momentum rises from 0.5 to 0.7. `steps` is a whole number, 1 or more;
    else a ValueError.
    """
    steps = as_whole("steps", steps)
    factor = 1.00004 ** (-288_000 / steps)
    rate = optax.exponential_decay(0.1, 1, factor, end_value=1e-6)
    momentum = optax.linear_schedule(0.5, 0.7, steps)
    return optax.inject_hyperparams(optax.sgd)(learning_rate=rate, momentum=momentum)
