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
from gencourse.layers import (
    Conv,
    ConvTranspose,
    Dropout,
    Linear,
    batch_norm,
    dense_stack,
    dropout_rngs,
)
from gencourse.validation import check_image_shape, check_int, check_numbers


class Generator(nnx.Module):
    """Latent vectors z (B, latent) -> pictures (B, side, side, C) in [-1, 1].

    Args:
      shape: of a picture; its side is 7 or 4, doubled once or more.
      width: channels of the last map before the picture; each earlier map, of half the
        side, has twice as many.
      latent, prior: as in chapter 3.
      kernel: side of all kernels, in pixels.
      hidden: units between z and the first map, or 0 for none. Without them that map
        is a linear function of z, and its places cannot agree on more.

    Raises:
      ValueError: if a size is impossible.
    """

    def __init__(
        self,
        shape=(28, 28, 1),
        width=64,
        latent=100,
        *,
        kernel=4,
        hidden=0,
        prior=jax.random.normal,
        rngs: nnx.Rngs,
    ):
        start, widths = feature_map_sizes(shape, width)
        check_numbers(latent=latent, kernel=kernel)
        self.latent, self.prior = latent, prior
        self.first_map_shape = (start, start, widths[-1])
        size = int(np.prod(self.first_map_shape))
        dense = (latent, *hidden_widths(hidden))
        self.hidden = nnx.List(dense_stack(dense, rngs, use_bias=False))
        self.hidden_norms = nnx.List(batch_norm(w, rngs) for w in dense[1:])
        self.dense = Linear(dense[-1], size, use_bias=False, rngs=rngs)
        self.norm = batch_norm(size, rngs)
        sizes = list(itertools.pairwise(widths[::-1]))
        options = dict(kernel_size=(kernel, kernel), strides=2, rngs=rngs)
        self.ups = nnx.List(
            ConvTranspose(i, o, use_bias=False, **options) for i, o in sizes
        )
        self.norms = nnx.List(batch_norm(o, rngs) for _, o in sizes)
        self.to_image = ConvTranspose(width, shape[-1], **options)

    def __call__(self, z):
        for dense, norm in zip(self.hidden, self.hidden_norms, strict=True):
            z = LEAKY(norm(dense(z)))  # (B, hidden)
        x = LEAKY(self.norm(self.dense(z)))  # (B, start * start * C)
        x = x.reshape(len(x), *self.first_map_shape)  # (B, start, start, C)
        for up, norm in zip(self.ups, self.norms, strict=True):
            x = LEAKY(norm(up(x)))  # (B, 2 * H, 2 * W, C / 2)
        return jnp.tanh(self.to_image(x))  # (B, side, side, channels)


class Discriminator(nnx.Module):
    """Pictures (B, side, side, C) in [-1, 1] -> logits (B,): above 0 it says "real".

    Args:
      shape, width, kernel: as in the generator.
      norm: whether a BatchNorm follows each convolution but the first. (For sides of 8
        and 14 there is only the first.)
      dropout: the rate of it after each convolution; it acts only if the call is given
        a key.
      hidden: units before the logit, or 0 for none. Without them the logit is a sum of
        what each place says on its own.
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
        start, widths = feature_map_sizes(shape, width)
        check_numbers(kernel=kernel)
        self.shape = tuple(shape)
        sizes = list(itertools.pairwise((shape[-1], *widths)))
        options = dict(kernel_size=(kernel, kernel), strides=2, rngs=rngs)
        self.downs = nnx.List(Conv(i, o, **options) for i, o in sizes)
        self.norms = nnx.List(batch_norm(o, rngs) for o in widths[1:] if norm)
        self.dropout = Dropout(dropout)
        dense = (start * start * widths[-1], *hidden_widths(hidden))
        self.hidden = nnx.List(dense_stack(dense, rngs))
        self.logit = Linear(dense[-1], 1, rngs=rngs)

    def __call__(self, x, key=None):
        return self.logit(self.features(x, key))[:, 0]  # (B,)

    def features(self, x, key=None):
        """Return what the logit is a weighted sum of: (B, hidden or start² C)."""
        check_image_shape(x, self.shape)
        rngs = dropout_rngs(key)
        norms = itertools.chain([None], self.norms)
        for down, norm in itertools.zip_longest(self.downs, norms):
            x = down(x)  # (B, H / 2, W / 2, 2 * C)
            x = LEAKY(norm(x) if norm else x)
            x = self.dropout(x, rngs=rngs)
        x = x.reshape(len(x), -1)  # (B, start * start * C)
        for dense in self.hidden:
            x = LEAKY(dense(x))  # (B, hidden)
        return x


def hidden_widths(hidden: int) -> tuple[int, ...]:
    """Return (hidden,), the widths of the dense layers, or () for 0.

    Raises:
      ValueError: if it is not a whole number, 0 or more.
    """
    hidden = check_int("hidden, in units or 0 for none,", hidden, least=0)
    return (hidden,) if hidden else ()


def feature_map_sizes(shape: tuple[int, int, int], width: int) -> tuple[int, list[int]]:
    """Return (side of the first map, widths of D's maps in turn) for a picture shape.

    Raises:
      ValueError: if the picture is not square, of a side of 7 or 4 doubled.
    """
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
