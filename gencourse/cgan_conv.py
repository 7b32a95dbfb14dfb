"""Chapter 4's networks, told the label at every layer.

    z (B, latent), y (B,) --Generator--> fake (B, side, side, C), in [-1, 1]
    x (B, side, side, C), y (B,) --Discriminator--> logit (B,)

The label is a one-hot vector, appended to rows as numbers and to maps as constant maps.
The step, the samples and the checks are `cgan.py`'s, unchanged.

Papers: M. Mirza, S. Osindero, "Conditional generative adversarial nets", 2014. The
label as an inner product: T. Miyato, M. Koyama, "cGANs with projection discriminator",
ICLR 2018.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gencourse import dcgan
from gencourse.conditions import concat_condition, one_hot
from gencourse.dcgan import feature_map_sizes, hidden_widths
from gencourse.gan import LEAKY
from gencourse.layers import (
    Conv,
    ConvTranspose,
    Dropout,
    Linear,
    batch_norm,
    dropout_rngs,
)
from gencourse.validation import check_image_shape, check_numbers


class Generator(nnx.Module):
    """z (B, latent), labels y (B,), int -> pictures (B, side, side, C) in [-1, 1].

    Arguments as in chapter 4. The label, as a one-hot vector (B, classes), is appended
    to the input of every layer: to a map as `classes` constant maps.
    """

    def __init__(
        self,
        shape=(28, 28, 1),
        width=32,
        latent=100,
        classes=10,
        *,
        kernel=4,
        hidden=256,
        prior=jax.random.normal,
        rngs: nnx.Rngs,
    ):
        start, widths = feature_map_sizes(shape, width)
        check_numbers(latent=latent, classes=classes, kernel=kernel)
        self.latent, self.prior = latent, prior
        self.classes = self.embedding = classes
        self.first_map_shape = (start, start, widths[-1])
        size = int(np.prod(self.first_map_shape))
        dense = (latent, *hidden_widths(hidden))
        self.hidden = nnx.List(
            Linear(i + classes, o, use_bias=False, rngs=rngs)
            for i, o in itertools.pairwise(dense)
        )
        self.hidden_norms = nnx.List(batch_norm(w, rngs) for w in dense[1:])
        self.dense = Linear(dense[-1] + classes, size, use_bias=False, rngs=rngs)
        self.norm = batch_norm(size, rngs)
        sizes = list(itertools.pairwise(widths[::-1]))
        options = dict(kernel_size=(kernel, kernel), strides=2, rngs=rngs)
        self.ups = nnx.List(
            ConvTranspose(i + classes, o, use_bias=False, **options) for i, o in sizes
        )
        self.norms = nnx.List(batch_norm(o, rngs) for _, o in sizes)
        self.to_image = ConvTranspose(width + classes, shape[-1], **options)

    def __call__(self, z, y, key=None):
        y = self.embed_labels(y)  # (B, classes)
        for dense, norm in zip(self.hidden, self.hidden_norms, strict=True):
            z = LEAKY(norm(dense(concat_condition(z, y))))  # (B, hidden)
        x = self.dense(concat_condition(z, y))  # (B, start * start * C)
        x = LEAKY(self.norm(x))
        x = x.reshape(len(x), *self.first_map_shape)  # (B, start, start, C)
        for up, norm in zip(self.ups, self.norms, strict=True):
            x = LEAKY(norm(up(concat_condition(x, y))))  # (B, 2 * H, 2 * W, C / 2)
        x = self.to_image(concat_condition(x, y))  # (B, side, side, channels)
        return jnp.tanh(x)

    def embed_labels(self, y):
        """Return labels y (B,), int, as one-hot vectors (B, classes), float."""
        return one_hot(self, y)


class Discriminator(nnx.Module):
    """Pictures x (B, side, side, C) with labels y (B,), int -> logits (B,).

    Sized as the generator; the label is appended to the input of every layer. `norm`,
    `dropout` and `hidden` as in chapter 4.
    """

    def __init__(
        self,
        shape=(28, 28, 1),
        width=32,
        classes=10,
        *,
        kernel=4,
        norm=True,
        dropout=0.0,
        hidden=256,
        rngs: nnx.Rngs,
    ):
        start, widths = feature_map_sizes(shape, width)
        check_numbers(classes=classes, kernel=kernel)
        self.shape, self.classes, self.embedding = tuple(shape), classes, classes
        sizes = list(itertools.pairwise((shape[-1], *widths)))
        options = dict(kernel_size=(kernel, kernel), strides=2, rngs=rngs)
        self.downs = nnx.List(Conv(i + classes, o, **options) for i, o in sizes)
        self.norms = nnx.List(batch_norm(o, rngs) for o in widths[1:] if norm)
        self.dropout = Dropout(dropout)
        dense = (start * start * widths[-1], *hidden_widths(hidden))
        self.hidden = nnx.List(
            Linear(i + classes, o, rngs=rngs) for i, o in itertools.pairwise(dense)
        )
        self.logit = Linear(dense[-1] + classes, 1, rngs=rngs)

    def __call__(self, x, y, key=None):
        check_image_shape(x, self.shape)
        rngs = dropout_rngs(key)
        y = self.embed_labels(y)  # (B, classes)
        norms = itertools.chain([None], self.norms)
        for down, norm in itertools.zip_longest(self.downs, norms):
            x = down(concat_condition(x, y))  # (B, H / 2, W / 2, 2 * C)
            x = LEAKY(norm(x) if norm else x)
            x = self.dropout(x, rngs=rngs)
        x = x.reshape(len(x), -1)  # (B, start * start * C)
        for dense in self.hidden:
            x = LEAKY(dense(concat_condition(x, y)))  # (B, hidden)
        return self.logit(concat_condition(x, y))[:, 0]  # (B,)

    def embed_labels(self, y):
        """Return labels y (B,), int, as one-hot vectors (B, classes), float."""
        return one_hot(self, y)


class ProjectionDiscriminator(nnx.Module):
    """Pictures x (B, side, side, C) with labels y (B,), int -> logits (B,).

        logit = w . h(x) + b + (V y) . h(x)

    The convolutions h do not see the label. It only chooses how their features are
    weighed: one vector of weights for all labels, w, plus one for each, a column of V.

    Args:
      shape, width, kernel, norm, dropout: as in chapter 4's discriminator.
      classes: labels lie in 0..classes - 1; the width of the vectors after
        `conditions.by_vectors`.
      hidden: how many features there are, 1 or more.
    """

    def __init__(
        self,
        shape=(28, 28, 1),
        width=32,
        classes=10,
        *,
        kernel=4,
        norm=True,
        dropout=0.0,
        hidden=256,
        rngs: nnx.Rngs,
    ):
        check_numbers(classes=classes, hidden=hidden)
        self.classes = self.embedding = classes
        options = dict(kernel=kernel, norm=norm, dropout=dropout, hidden=hidden)
        self.body = dcgan.Discriminator(shape, width, **options, rngs=rngs)
        self.weigh = Linear(classes, hidden, use_bias=False, rngs=rngs)

    def __call__(self, x, y, key=None):
        h = self.body.features(x, key)  # (B, hidden)
        by_label = self.weigh(self.embed_labels(y))  # (B, hidden)
        if len(h) != len(by_label):
            raise ValueError(f"There are {len(y)} labels for {len(x)}: one each.")
        return self.body.logit(h)[:, 0] + jnp.sum(by_label * h, axis=1)  # (B,)

    def embed_labels(self, y):
        """Return labels y (B,), int, as one-hot vectors (B, classes), float."""
        return one_hot(self, y)
