"""Chapter 4's networks, told the label at every layer.

    z (B, latent), y (B,) --Generator--> fake (B, side, side, C), in [-1, 1]
    x (B, side, side, C), y (B,) --Discriminator--> logit (B,)

The label is a one-hot vector, joined to rows as numbers and to maps as constant maps.
The step, the samples and the checks are `cgan.py`'s, unchanged.

Paper: M. Mirza, S. Osindero, "Conditional generative adversarial nets", 2014.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gencourse.cgan import join, one_hot
from gencourse.dcgan import _dense, _norm, stages
from gencourse.gan import LEAKY
from gencourse.given import check_numbers, check_sides
from gencourse.layers import Conv, ConvTranspose, Dropout, Linear


class Generator(nnx.Module):
    """Seeds z (B, latent) and labels y (B,), int -> pictures (B, side, side, C).

    `shape`, `width`, `kernel` and `hidden` as in chapter 4. The label, as a one-hot
    vector (B, classes), is joined to what every layer is given: to a map as `classes`
    constant maps.
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
        draw=jax.random.normal,
        rngs: nnx.Rngs,
    ):
        start, widths = stages(shape, width)
        check_numbers(latent=latent, classes=classes, kernel=kernel)
        self.latent, self.draw = latent, draw
        self.classes = self.embedding = classes
        self.first = (start, start, widths[-1])
        size = int(np.prod(self.first))
        told = latent + classes
        self.hidden = nnx.List(_dense(told, hidden, rngs, use_bias=False))
        self.hidden_norms = nnx.List(_norm(hidden, rngs) for _ in self.hidden)
        told = (hidden or latent) + classes
        self.dense = Linear(told, size, use_bias=False, rngs=rngs)
        self.norm = _norm(size, rngs)
        sizes = list(itertools.pairwise(widths[::-1]))
        options = dict(kernel_size=(kernel, kernel), strides=2, rngs=rngs)
        self.ups = nnx.List(
            ConvTranspose(i + classes, o, use_bias=False, **options) for i, o in sizes
        )
        self.norms = nnx.List(_norm(o, rngs) for _, o in sizes)
        self.pixels = ConvTranspose(width + classes, shape[-1], **options)

    def __call__(self, z, y):
        y = self.vectors(y)  # (B, classes)
        for dense, norm in zip(self.hidden, self.hidden_norms, strict=True):
            z = LEAKY(norm(dense(join(z, y))))  # (B, hidden)
        x = LEAKY(self.norm(self.dense(join(z, y))))  # (B, start * start * C)
        x = x.reshape(len(x), *self.first)  # (B, start, start, C)
        for up, norm in zip(self.ups, self.norms, strict=True):
            x = LEAKY(norm(up(join(x, y))))  # (B, 2 * H, 2 * W, C / 2)
        return jnp.tanh(self.pixels(join(x, y)))  # (B, side, side, channels)

    vectors = one_hot


class Discriminator(nnx.Module):
    """Pictures x (B, side, side, C) with labels y (B,) -> logits (B,).

    Sized as the generator, and told the label as it is: before every layer. `norm`,
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
        start, widths = stages(shape, width)
        check_numbers(classes=classes, kernel=kernel)
        self.shape, self.classes, self.embedding = tuple(shape), classes, classes
        sizes = list(itertools.pairwise((shape[-1], *widths)))
        options = dict(kernel_size=(kernel, kernel), strides=2, rngs=rngs)
        self.downs = nnx.List(Conv(i + classes, o, **options) for i, o in sizes)
        self.norms = nnx.List(_norm(o, rngs) for o in widths[1:] if norm)
        self.dropout = Dropout(dropout)
        size = start * start * widths[-1]
        self.hidden = nnx.List(_dense(size + classes, hidden, rngs))
        self.verdict = Linear((hidden or size) + classes, 1, rngs=rngs)

    def __call__(self, x, y, key=None):
        check_sides(x, self.shape)
        y = self.vectors(y)  # (B, classes)
        keys = [None] * len(self.downs)
        if key is not None:
            keys = jax.random.split(key, len(self.downs))
        norms = itertools.chain([None], self.norms)
        for down, norm, key in itertools.zip_longest(self.downs, norms, keys):
            x = down(join(x, y))  # (B, H / 2, W / 2, 2 * C)
            x = LEAKY(norm(x) if norm else x)
            x = self.dropout(x, deterministic=key is None, rngs=key)
        x = x.reshape(len(x), -1)  # (B, start * start * C)
        for dense in self.hidden:
            x = LEAKY(dense(join(x, y)))  # (B, hidden)
        return self.verdict(join(x, y))[:, 0]  # (B,)

    vectors = one_hot
