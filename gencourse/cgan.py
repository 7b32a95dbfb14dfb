"""The conditional GAN: chapter 3's game, in which both players are told the label.

    z (B, latent), y (B,) --Generator--> fake (B, *shape)
    x (B, *shape), y (B,) --Discriminator--> logit (B,)

The discriminator D judges pairs: is this a real picture *and* one of label y? The
generator G is asked for a label and must answer with such a picture. These networks
are dense; `cgan_conv.py` has convolutional ones, for the same step and samples.

Papers: M. Mirza, S. Osindero, "Conditional generative adversarial nets", 2014. Real
pictures under wrong labels (GAN-CLS): S. Reed and others, "Generative adversarial text
to image synthesis", ICML 2016.
"""

import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from gencourse import gan, inference
from gencourse.conditions import concat_condition, embed_labels, wrong_labels
from gencourse.gan import LEAKY, sample_latent
from gencourse.layers import (
    Dropout,
    Embed,
    LayerNorm,
    Linear,
    dense_stack,
    dropout_rngs,
)
from gencourse.layers.initializers import lecun_normal, normal
from gencourse.validation import (
    check_condition,
    check_hidden,
    check_image_shape,
    check_latent,
    check_mismatch_weight,
    check_numbers,
    check_same_shape,
    unpack_batch,
)

LECUN = lecun_normal()  # Flax's own; deviation 1 / sqrt(inputs)
STANDARD = normal(1.0)


class Generator(nnx.Module):
    """z (B, latent), labels y (B,), int -> (B, *shape), in the range of tanh: [-1, 1].

    Args:
      latent, shape, output_activation, prior: as in chapter 3.
      hidden: the widths of the dense layers, one or more.
      classes: labels lie in 0..classes - 1. None: y is not labels but vectors
        (B, embedding), float, given from outside; see `conditions.by_vectors`.
      embedding: how many learned numbers a label becomes, to be appended to z. At first
        they have the deviation of z, 1, so that neither drowns the other.
      norm: `norm(width, rngs=...)` makes what stands before each activation but the
        first.
      kernel_init, embedding_init: initialisers of the kernels and of the embedding.
    """

    def __init__(
        self,
        latent=100,
        hidden=(256, 512),
        shape=(28, 28, 1),
        classes=10,
        *,
        embedding=10,
        norm=LayerNorm,
        output_activation=jnp.tanh,
        kernel_init=LECUN,
        embedding_init=STANDARD,
        prior=jax.random.normal,
        rngs: nnx.Rngs,
    ):
        check_numbers(latent=latent, embedding=embedding)
        check_hidden(hidden)
        self.latent, self.prior, self.shape = latent, prior, tuple(shape)
        self.classes, self.embedding = classes, embedding
        self.output_activation = output_activation
        self.embed = _embed(classes, embedding, embedding_init, rngs)
        widths = (latent + embedding, *hidden)
        self.hidden = nnx.List(dense_stack(widths, rngs, kernel_init=kernel_init))
        self.norms = nnx.List(norm(width, rngs=rngs) for width in hidden[1:])
        pixels = int(np.prod(shape))
        self.out = Linear(widths[-1], pixels, kernel_init=kernel_init, rngs=rngs)

    def __call__(self, z, y, key=None):
        x = concat_condition(z, self.embed_labels(y))  # (B, latent + embedding)
        norms = itertools.chain([None], self.norms)
        for dense, norm in zip(self.hidden, norms, strict=True):
            x = dense(x)  # (B, width)
            x = LEAKY(norm(x) if norm else x)
        x = self.output_activation(self.out(x))  # (B, pixels)
        return x.reshape(len(x), *self.shape)  # (B, *shape)

    def embed_labels(self, y):
        """Return the learned vectors (B, embedding) of labels y (B,), int."""
        return embed_labels(self, y)


class Discriminator(nnx.Module):
    """Pictures x (B, *shape) with labels y (B,), int -> logits (B,): "a real pair"?

    Args:
      hidden, shape, classes, embedding: as in the generator, whose range the pictures
        have.
      dropout: the rate of it after each hidden layer but the first; it acts only if the
        call is given a key.
      kernel_init, embedding_init: as in the generator.
    """

    def __init__(
        self,
        hidden=(512, 256),
        shape=(28, 28, 1),
        classes=10,
        *,
        embedding=10,
        dropout=0.15,
        kernel_init=LECUN,
        embedding_init=STANDARD,
        rngs: nnx.Rngs,
    ):
        check_numbers(embedding=embedding)
        check_hidden(hidden)
        self.shape, self.classes, self.embedding = tuple(shape), classes, embedding
        self.embed = _embed(classes, embedding, embedding_init, rngs)
        widths = (int(np.prod(shape)) + embedding, *hidden)
        self.hidden = nnx.List(dense_stack(widths, rngs, kernel_init=kernel_init))
        self.dropout = Dropout(dropout)
        self.logit = Linear(widths[-1], 1, kernel_init=kernel_init, rngs=rngs)

    def __call__(self, x, y, key=None):
        check_image_shape(x, self.shape)
        rngs = dropout_rngs(key)
        x = x.reshape(len(x), -1)  # (B, pixels)
        x = concat_condition(x, self.embed_labels(y))  # (B, pixels + embedding)
        for i, dense in enumerate(self.hidden):
            x = LEAKY(dense(x))  # (B, width)
            x = self.dropout(x, rngs=rngs) if i else x
        return self.logit(x)[:, 0]  # (B,)

    def embed_labels(self, y):
        """Return the learned vectors (B, embedding) of labels y (B,), int."""
        return embed_labels(self, y)


@nnx.jit(static_argnames=("mismatch_weight", "draw_wrong", "d_loss", "g_loss"))
def train_step(
    generator: nnx.Module,
    discriminator: nnx.Module,
    g_optimizer: nnx.Optimizer,
    d_optimizer: nnx.Optimizer,
    batch: tuple[jax.Array, jax.Array],
    key: jax.Array,
    mismatch_weight: float = 0.0,
    draw_wrong: Callable = wrong_labels,
    d_loss: Callable = gan.d_loss,
    g_loss: Callable = gan.g_loss,
) -> dict[str, jax.Array]:
    """Update D once, then G once: chapter 3's step, with the label given to both.

    Args:
      generator: `generator(z, y, key)` returns fakes; it has `latent`, `prior` and, if
        `mismatch_weight` is not 0, `classes`.
      discriminator: `discriminator(x, y, key)` returns logits (B,).
      g_optimizer, d_optimizer: an `nnx.Optimizer` of each one's `nnx.Param`s.
      batch: real pictures (B, *shape), float32, in the range of the generator's output,
        and their labels (B,), int, or, for networks of `classes=None`, vectors (B, E).
        Fakes are drawn for the same ones.
      key: for the latent vectors, the wrong labels and the networks' dropout.
      mismatch_weight: in [0, 1]. Of what D is shown as not real, the weight of real
        pictures with a wrong label; the fakes have the rest. Reed and others take 0.5.
      draw_wrong: `draw_wrong(key, y, generator.classes)` returns the wrong labels.
      d_loss, g_loss: functions of logits, as in chapter 3. These four decide what is
        compiled: for `fit` use functools.partial(train_step, mismatch_weight=0.5).

    Returns:
      What chapter 3's step returns; with a `mismatch_weight` also "p_wrong", D's mean
      probability that the real pictures with a wrong label are a real pair.

    Raises:
      ValueError: if the batch is not a pair; if pictures have another shape than G's;
        on labels of another number or dtype; on a `mismatch_weight` out of range.
    """
    x, y = unpack_batch(batch)
    check_mismatch_weight(mismatch_weight, y, getattr(generator, "classes", None))
    z_key, wrong_key, *keys, g_key = jax.random.split(key, 7)
    z = sample_latent(generator, len(x), z_key)  # (B, latent)
    # A clone: G's BatchNorm statistics are updated once, in G's own update.
    fake = nnx.clone(generator)(z, y, g_key)  # (B, *shape)
    check_same_shape(fake, x)
    wrong = draw_wrong(wrong_key, y, generator.classes) if mismatch_weight else None

    def d_loss_fn(discriminator):
        on_real = discriminator(x, y, keys[0])  # (B,)
        on_fake = discriminator(fake, y, keys[1])  # (B,)
        real_term, fake_term = d_loss(on_real, on_fake)
        if not mismatch_weight:
            return real_term + fake_term, (on_real, on_fake, None)
        on_wrong = discriminator(x, wrong, keys[3])  # (B,)
        _, wrong_term = d_loss(on_real, on_wrong)
        not_real = (1 - mismatch_weight) * fake_term + mismatch_weight * wrong_term
        return real_term + not_real, (on_real, on_fake, on_wrong)

    d_grad = nnx.value_and_grad(d_loss_fn, has_aux=True)
    (loss_d, (on_real, on_fake, on_wrong)), d_grads = d_grad(discriminator)
    d_optimizer.update(discriminator, d_grads)

    def g_loss_fn(generator, discriminator):
        return g_loss(discriminator(generator(z, y, g_key), y, keys[2]))

    g_grad = nnx.value_and_grad(g_loss_fn)  # with respect to argument 0, the generator
    loss_g, g_grads = g_grad(generator, nnx.clone(discriminator))
    g_optimizer.update(generator, g_grads)
    losses, logits = (loss_d, loss_g), (on_real, on_fake)
    metrics = gan.step_metrics(losses, logits, (d_grads, g_grads))
    if mismatch_weight:
        metrics["p_wrong"] = nnx.sigmoid(on_wrong).mean()
    return metrics


def sample(generator: nnx.Module, labels: ArrayLike, key: jax.Array) -> jax.Array:
    """Draw one new picture for each of `labels` (N,), int: (N, *shape), float32.

    In the range of the generator's last function. A generator of `classes=None` takes
    vectors (N, embedding), float, in place of labels.

    Raises:
      ValueError: if the labels are not whole numbers in 0..classes - 1; if vectors have
        another width or are not finite; if the network takes the other of the two.
    """
    labels = check_condition(labels, generator)
    z = sample_latent(generator, len(labels), key)
    return inference.predict(generator, z, labels)


def generate(generator: nnx.Module, z: ArrayLike, labels: ArrayLike) -> jax.Array:
    """Return the pictures (N, *shape), float32, that G makes of z (N, latent), float,
    and labels (N,), int, row by row.

    Its BatchNorms, if any, use their running statistics, and nothing changes.

    Raises:
      ValueError: as `sample`, and if z has another shape, or is not finite.
    """
    labels = check_condition(labels, generator)
    check_latent(generator, z, len(labels))
    return inference.predict(generator, z, labels)


def p_real(discriminator: nnx.Module, x: ArrayLike, labels: ArrayLike) -> jax.Array:
    """Return P(a real pair) of each picture of x (N, *shape) and its label: (N,).

    Raises:
      ValueError: as `check`, but for pictures that are all bright.
    """
    check((x, labels), (discriminator,), expect_negative=False)
    return inference.predict_probability(discriminator, x, labels)


def check(batch, objects=(), expect_negative=True):
    """Raise ValueError if `batch` is not pictures and their labels, as a pair.

    The pictures as in chapter 3; the labels (N,), int, in 0..classes - 1, if one of
    `objects` has `classes`; or, if that is None, vectors (N, embedding), float. JAX
    itself would take any: an embedding answers label 10 of 10 classes with NaN, and a
    one-hot vector would be all 0.
    """
    x, labels = unpack_batch(batch)
    if not hasattr(x, "shape"):
        raise ValueError(f"x is one array of pictures; given {type(x).__name__}.")
    gan.check(x, expect_negative=expect_negative)
    for network in [o for o in objects if hasattr(o, "classes")] or [None]:
        check_condition(labels, network, len(x))


train_step.check_batch = check  # fit calls it on all of its data


def _embed(classes, embedding, embedding_init, rngs):
    """Return the labels' vectors, to be learned, or None if labels are vectors."""
    if classes is None:
        return None
    check_numbers(classes=classes)
    return Embed(classes, embedding, embedding_init=embedding_init, rngs=rngs)
