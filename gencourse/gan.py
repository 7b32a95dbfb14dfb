"""The generative adversarial network: two networks, and each is the other's teacher.

    z (B, latent) --Generator--> fake (B, *shape) --Discriminator--> logit (B,)
                          x real (B, *shape) --Discriminator--> logit (B,)

The discriminator D learns to tell real from fake; the generator G learns to make what
D takes for real. G never sees a real picture: all it has is D's gradient. A logit's
sigmoid is P(real), what D believes.

Paper: I. J. Goodfellow and others, "Generative adversarial nets", NIPS 2014. The
squared error, there on logits, is of X. Mao and others, "Least squares generative
adversarial networks", ICCV 2017.
"""

import functools
import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.typing import ArrayLike

from gencourse import inference
from gencourse.layers import Dropout, LayerNorm, Linear, dense_stack, dropout_rngs
from gencourse.layers.sharding import shard_batch
from gencourse.validation import (
    check_hidden,
    check_latent,
    check_numbers,
    check_same_shape,
)
from gencourse.validation import check_pictures as check

LEAKY = functools.partial(nnx.leaky_relu, negative_slope=0.2)


class Generator(nnx.Module):
    """Latent vectors z (B, latent) -> (B, *shape), float, in tanh's range, [-1, 1].

    Args:
      latent: how many numbers z has.
      hidden: the widths of the dense layers; () for none.
      shape: of one picture or point.
      norm: whether a LayerNorm follows each activation.
      output_activation: the last function, which sets the range.
      prior: `prior(key, shape)` draws latent vectors.
    """

    def __init__(
        self,
        latent=100,
        hidden=(256, 512),
        shape=(28, 28, 1),
        *,
        activation=LEAKY,
        norm=True,
        output_activation=jnp.tanh,
        prior=jax.random.normal,
        rngs: nnx.Rngs,
    ):
        check_numbers(latent=latent)
        check_hidden(hidden, least=0)
        self.latent, self.prior, self.shape = latent, prior, tuple(shape)
        self.activation, self.output_activation = activation, output_activation
        widths = (latent, *hidden)
        self.hidden = nnx.List(dense_stack(widths, rngs))
        self.norms = nnx.List(LayerNorm(w, rngs=rngs) for w in widths[1:] if norm)
        self.out = Linear(widths[-1], int(np.prod(shape)), rngs=rngs)

    def __call__(self, z):
        for dense, norm in itertools.zip_longest(self.hidden, self.norms):
            z = self.activation(dense(z))  # (B, width)
            z = norm(z) if norm else z
        x = self.output_activation(self.out(z))  # (B, pixels)
        return x.reshape(len(x), *self.shape)  # (B, *shape)


class Discriminator(nnx.Module):
    """Pictures or points (B, *shape), float -> logits (B,): above 0 it says "real".

    Args:
      hidden, activation, norm: as in the generator.
      shape: of one picture or point.
      dropout: the rate of it after each hidden layer, in [0, 1]. It acts only if the
        call is given a key, as in training.
    """

    def __init__(
        self,
        hidden=(512, 256),
        shape=(28, 28, 1),
        *,
        activation=LEAKY,
        norm=False,
        dropout=0.0,
        rngs: nnx.Rngs,
    ):
        check_hidden(hidden, least=0)
        self.activation = activation
        widths = (int(np.prod(shape)), *hidden)
        self.hidden = nnx.List(dense_stack(widths, rngs))
        self.norms = nnx.List(LayerNorm(w, rngs=rngs) for w in widths[1:] if norm)
        self.dropout = Dropout(dropout)
        self.logit = Linear(widths[-1], 1, rngs=rngs)

    def __call__(self, x, key=None):
        rngs = dropout_rngs(key)
        x = x.reshape(len(x), -1)  # (B, pixels)
        for dense, norm in itertools.zip_longest(self.hidden, self.norms):
            x = self.activation(dense(x))  # (B, width)
            x = norm(x) if norm else x
            x = self.dropout(x, rngs=rngs)
        return self.logit(x)[:, 0]  # (B,)


def d_loss(real: ArrayLike, fake: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Return D's two terms, of logits (B,) and (B,): -log P(real), -log(1 - P(fake)).

    Each is a mean over the batch, in nats; log 2 if D cannot tell. Goodfellow and
    others, equation 1. softplus(a) = log(1 + exp(a)) stays exact for any logit.
    """
    return nnx.softplus(-real).mean(), nnx.softplus(fake).mean()


def g_loss(fake: ArrayLike) -> jax.Array:
    """Return -log P(fake), the mean over logits (B,), in nats: the non-saturating loss,
    whose gradient is strong where G is bad."""
    return nnx.softplus(-fake).mean()


def g_loss_saturating(fake: ArrayLike) -> jax.Array:
    """Return log(1 - P(fake)), D's second term negated: flat where G is bad."""
    return -nnx.softplus(fake).mean()


def d_loss_squared(real: ArrayLike, fake: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Return (P(real) - 1)^2 and P(fake)^2, of logits; each is 1/4 if D cannot tell."""
    return ((nnx.sigmoid(real) - 1) ** 2).mean(), (nnx.sigmoid(fake) ** 2).mean()


def g_loss_squared(fake: ArrayLike) -> jax.Array:
    """Return (P(fake) - 1)^2, the mean over logits (B,)."""
    return ((nnx.sigmoid(fake) - 1) ** 2).mean()


@nnx.jit(static_argnames=("d_loss", "g_loss"))
def train_step(
    generator: nnx.Module,
    discriminator: nnx.Module,
    g_optimizer: nnx.Optimizer,
    d_optimizer: nnx.Optimizer,
    batch: jax.Array,
    key: jax.Array,
    d_loss: Callable = d_loss,
    g_loss: Callable = g_loss,
) -> dict[str, jax.Array]:
    """Update D once, then G once. Neither changes anything in the other.

    Args:
      generator: `generator(z)` returns fakes; it has `latent` and `prior`.
      discriminator: `discriminator(x, key)` returns logits (B,).
      g_optimizer, d_optimizer: an `nnx.Optimizer` of each one's `nnx.Param`s.
      batch: real pictures (B, *shape), float32, in the range of the generator's output.
      key: for the latent vectors, and for the discriminator's dropout if it has any.
      d_loss, g_loss: functions of logits, as above. For other losses:
        functools.partial(train_step, d_loss=d_loss_squared, g_loss=g_loss_squared).

    Returns:
      "d_loss" (its two terms added) and "g_loss"; "p_real" and "p_fake", D's mean
      probability that either is real; "d_accuracy_real" and "d_accuracy_fake", the
      shares that D gets right; "d_grad_norm" and "g_grad_norm", the lengths of the
      gradients. D's values are from before its update, G's from after it.
    """
    z_key, *keys = jax.random.split(key, 4)
    z = sample_latent(generator, len(batch), z_key)  # (B, latent)

    # A clone: G's BatchNorm statistics are updated once, in G's own update.
    fake = nnx.clone(generator)(z)  # (B, *shape)
    check_same_shape(fake, batch)

    def d_loss_fn(discriminator):
        on_real = discriminator(batch, keys[0])  # (B,)
        on_fake = discriminator(fake, keys[1])  # (B,)
        return sum(d_loss(on_real, on_fake)), (on_real, on_fake)

    d_grad = nnx.value_and_grad(d_loss_fn, has_aux=True)
    (loss_d, (on_real, on_fake)), d_grads = d_grad(discriminator)
    d_optimizer.update(discriminator, d_grads)

    def g_loss_fn(generator, discriminator):
        return g_loss(discriminator(generator(z), keys[2]))

    g_grad = nnx.value_and_grad(g_loss_fn)  # with respect to argument 0, the generator
    loss_g, g_grads = g_grad(generator, nnx.clone(discriminator))
    g_optimizer.update(generator, g_grads)
    return step_metrics((loss_d, loss_g), (on_real, on_fake), (d_grads, g_grads))


train_step.check_batch = check  # fit calls it on all of its data


def step_metrics(losses, logits, gradients):
    """Collect the metrics that `train_step` documents.

    Args:
      losses: D's and G's. logits: D's of real and of fake ones, (B,) each.
      gradients: D's and G's.
    """
    (loss_d, loss_g), (on_real, on_fake), (d_grads, g_grads) = losses, logits, gradients
    return {
        "d_loss": loss_d,
        "g_loss": loss_g,
        "p_real": nnx.sigmoid(on_real).mean(),
        "p_fake": nnx.sigmoid(on_fake).mean(),
        "d_accuracy_real": (on_real > 0).mean(),
        "d_accuracy_fake": (on_fake < 0).mean(),
        "d_grad_norm": optax.tree.norm(d_grads),
        "g_grad_norm": optax.tree.norm(g_grads),
    }


def sample_latent(generator: nnx.Module, n: int, key: jax.Array) -> jax.Array:
    """Draw n latent vectors (n, latent), float32, from the generator's prior."""
    return shard_batch(generator.prior(key, (n, generator.latent)))


def sample(generator: nnx.Module, n: int, key: jax.Array) -> jax.Array:
    """Draw n new pictures (n, *shape), float32, in the range of G's last function.

    Raises:
      ValueError: if n is not a whole number, 1 or more.
    """
    check_numbers(n=n)
    return generate(generator, sample_latent(generator, n, key))


def generate(generator: nnx.Module, z: ArrayLike) -> jax.Array:
    """Return the pictures (N, *shape), float32, that G makes of z (N, latent), float.

    Its BatchNorms, if any, use their running statistics, and nothing changes.

    Raises:
      ValueError: if z has another shape or dtype, or is not finite.
    """
    check_latent(generator, z)
    return inference.predict(generator, z)


def p_real(discriminator: nnx.Module, x: ArrayLike) -> jax.Array:
    """Return P(real) of each picture of x (N, *shape), float: (N,), float32.

    Raises:
      ValueError: as `check`, but for pictures that are all bright.
    """
    check(x, expect_negative=False)
    return inference.predict_probability(discriminator, x)
