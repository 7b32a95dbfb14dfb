"""The DCGAN: chapter 3's game, played by two convolutional networks.

    z (B, latent) --Generator--> fake (B, side, side, C), in [-1, 1]
    x (B, side, side, C) --Discriminator--> logit (B,)

G begins with a coarse map of 7x7 or 4x4 places and doubles its side until it is the
picture's; D halves it on the way back. The step, the losses and the samples are
`gan.py`'s, unchanged: `gan.train_step(generator, discriminator, ...)`.

Paper: A. Radford, L. Metz, S. Chintala, "Unsupervised representation learning with
deep convolutional generative adversarial networks", ICLR 2016.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gencourse.gan import LEAKY
from gencourse.given import as_whole, check_numbers, check_sides
from gencourse.layers import BatchNorm, Conv, ConvTranspose, Dropout, Linear


class Generator(nnx.Module):
    """Seeds z (B, latent) -> pictures (B, side, side, C) in [-1, 1].

    `shape` is the picture's: its side is 7 or 4, doubled once or more. `width` is the
    number of channels of the last map before the picture; each earlier one, of half
    the side, has twice as many. `kernel` is the side of all kernels, in pixels.
    `hidden` units, if any, stand between the seed and the first map: without them that
    map is a linear function of the seed, and its places cannot agree on more.
    `draw(key, shape)` gives seeds, as in chapter 3. A ValueError tells of a shape or a
    number that cannot be.
    """

    def __init__(
        self,
        shape=(28, 28, 1),
        width=64,
        latent=100,
        *,
        kernel=4,
        hidden=0,
        draw=jax.random.normal,
        rngs: nnx.Rngs,
    ):
        start, widths = stages(shape, width)
        check_numbers(latent=latent, kernel=kernel)
        self.latent, self.draw = latent, draw
        self.first = (start, start, widths[-1])
        size = int(np.prod(self.first))
        self.hidden = nnx.List(_dense(latent, hidden, rngs, use_bias=False))
        self.hidden_norms = nnx.List(_norm(hidden, rngs) for _ in self.hidden)
        self.dense = Linear(hidden or latent, size, use_bias=False, rngs=rngs)
        self.norm = _norm(size, rngs)
        sizes = list(itertools.pairwise(widths[::-1]))
        options = dict(kernel_size=(kernel, kernel), strides=2, rngs=rngs)
        self.ups = nnx.List(
            ConvTranspose(i, o, use_bias=False, **options) for i, o in sizes
        )
        self.norms = nnx.List(_norm(o, rngs) for _, o in sizes)
        self.pixels = ConvTranspose(width, shape[-1], **options)

    def __call__(self, z):
        for dense, norm in zip(self.hidden, self.hidden_norms, strict=True):
            z = LEAKY(norm(dense(z)))  # (B, hidden)
        x = LEAKY(self.norm(self.dense(z)))  # (B, start * start * C)
        x = x.reshape(len(x), *self.first)  # (B, start, start, C)
        for up, norm in zip(self.ups, self.norms, strict=True):
            x = LEAKY(norm(up(x)))  # (B, 2 * H, 2 * W, C / 2)
        return jnp.tanh(self.pixels(x))  # (B, side, side, channels)


class Discriminator(nnx.Module):
    """Pictures (B, side, side, C) in [-1, 1] -> logits (B,): above 0 it says "real".

    Sized as the generator. With `norm` a BatchNorm follows each convolution but the
    first; a side of 8 or 14 has only the first. `dropout` is the share of each map that
    is left out where a key is given. `hidden` units, if any, stand before the verdict:
    without them it is a sum of what each place says for itself.
    """

    def __init__(
        self,
        shape=(28, 28, 1),
        width=64,
        *,
        kernel=4,
        norm=False,
        dropout=0.3,
        hidden=0,
        rngs: nnx.Rngs,
    ):
        start, widths = stages(shape, width)
        check_numbers(kernel=kernel)
        self.shape = tuple(shape)
        sizes = list(itertools.pairwise((shape[-1], *widths)))
        options = dict(kernel_size=(kernel, kernel), strides=2, rngs=rngs)
        self.downs = nnx.List(Conv(i, o, **options) for i, o in sizes)
        self.norms = nnx.List(_norm(o, rngs) for o in widths[1:] if norm)
        self.dropout = Dropout(dropout)
        size = start * start * widths[-1]
        self.hidden = nnx.List(_dense(size, hidden, rngs))
        self.verdict = Linear(hidden or size, 1, rngs=rngs)

    def __call__(self, x, key=None):
        check_sides(x, self.shape)
        keys = [None] * len(self.downs)
        if key is not None:
            keys = jax.random.split(key, len(self.downs))
        norms = itertools.chain([None], self.norms)
        for down, norm, key in itertools.zip_longest(self.downs, norms, keys):
            x = down(x)  # (B, H / 2, W / 2, 2 * C)
            x = LEAKY(norm(x) if norm else x)
            x = self.dropout(x, deterministic=key is None, rngs=key)
        x = x.reshape(len(x), -1)  # (B, start * start * C)
        for dense in self.hidden:
            x = LEAKY(dense(x))  # (B, hidden)
        return self.verdict(x)[:, 0]  # (B,)


def _dense(inputs, hidden, rngs, **options):
    """One dense layer of `hidden` units, or none where that is 0."""
    hidden = as_whole("hidden, in units or 0 for none,", hidden, least=0)
    return [Linear(inputs, hidden, rngs=rngs, **options)] if hidden else []


def _norm(width, rngs):
    """Statistics of the latest ten batches or so; Flax's own 0.99 takes hundreds."""
    return BatchNorm(width, use_running_average=False, momentum=0.9, rngs=rngs)


def stages(shape, width):
    """(side of the first map, widths of D's maps in turn) for pictures of `shape`."""
    check_numbers(width=width)
    whole = all(isinstance(n, int | np.integer) and n > 0 for n in shape)
    square = whole and len(shape) == 3 and shape[0] == shape[1]
    for start in (7, 4):
        times = int(shape[0]) // start if square else 0
        if times > 1 and times & (times - 1) == 0 and times * start == shape[0]:
            return start, [width * 2**i for i in range(times.bit_length() - 1)]
    raise ValueError(
        f"These networks make square pictures (side, side, channels) whose side is 7 "
        f"or 4 doubled once or more: 8, 14, 16, 28, 32, 56, 64 and so on; given "
        f"{tuple(shape)}. Pad them: data.pad(images, 32)."
    )
