"""Networks for faces, 64x64 in colour, and a likelihood whose variance one may choose.

    x (B, 64, 64, 3) --Encoder--> (B, 2 latent) .. z --Decoder--> logits (B, 64, 64, 3)

They are put into a `vae.VAE`, which splits the encoder's numbers into mean and log_var:

    VAE(32, encoder=vae_faces.Encoder, decoder=vae_faces.Decoder, rngs=nnx.Rngs(0),
        likelihood=functools.partial(vae_faces.squared_error, variance=0.1))

The first convolution looks at patches of 4x4, the last one paints such patches: most of
the work is done on maps of 16x16 and smaller, where a CPU does it quickly.

BatchNorm: S. Ioffe, C. Szegedy, "Batch normalization", ICML 2015. In training it uses
the batch's statistics and moves its running ones; vae.encode, decode, sample and
evaluate use the running ones and move nothing.
"""

import jax
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from gencourse.layers import Conv, ConvTranspose, Linear, batch_norm

BOOK_VARIANCE = 64 * 64 * 3 / 4000  # of a pixel, see squared_error


class Encoder(nnx.Module):
    """Pictures (B, 64, 64, 3) in [0, 1] -> `out` numbers each (B, out).

    width: channels of the first map; they double as the side halves.
    hidden: units of the dense layer.
    """

    def __init__(self, out, *, width=32, hidden=256, rngs: nnx.Rngs):
        self.conv1 = Conv(3, width, (4, 4), strides=4, rngs=rngs)
        self.norm1 = batch_norm(width, rngs)
        self.conv2 = Conv(width, 2 * width, (4, 4), strides=2, rngs=rngs)
        self.norm2 = batch_norm(2 * width, rngs)
        self.conv3 = Conv(2 * width, 4 * width, (4, 4), strides=2, rngs=rngs)
        self.norm3 = batch_norm(4 * width, rngs)
        self.dense = Linear(4 * 4 * 4 * width, hidden, rngs=rngs)
        self.norm4 = batch_norm(hidden, rngs)
        self.to_latent = Linear(hidden, out, rngs=rngs)

    def __call__(self, x):
        x = nnx.leaky_relu(self.norm1(self.conv1(x)))  # (B, 16, 16, width)
        x = nnx.leaky_relu(self.norm2(self.conv2(x)))  # (B, 8, 8, 2 * width)
        x = nnx.leaky_relu(self.norm3(self.conv3(x)))  # (B, 4, 4, 4 * width)
        x = x.reshape(len(x), -1)  # (B, 64 * width)
        x = nnx.leaky_relu(self.norm4(self.dense(x)))  # (B, hidden)
        return self.to_latent(x)  # (B, out)


class Decoder(nnx.Module):
    """z (B, latent) -> logits (B, 64, 64, 3); their sigmoid is a picture.

    width: channels of its last map, of 16x16; hidden: units of the dense layer.
    """

    def __init__(self, latent, *, width=32, hidden=256, rngs: nnx.Rngs):
        self.start = (4, 4, 4 * width)
        self.dense1 = Linear(latent, hidden, rngs=rngs)
        self.norm1 = batch_norm(hidden, rngs)
        self.dense2 = Linear(hidden, 4 * 4 * 4 * width, rngs=rngs)
        self.norm2 = batch_norm(4 * 4 * 4 * width, rngs)
        self.up1 = ConvTranspose(4 * width, 2 * width, (4, 4), strides=2, rngs=rngs)
        self.norm3 = batch_norm(2 * width, rngs)
        self.up2 = ConvTranspose(2 * width, width, (4, 4), strides=2, rngs=rngs)
        self.norm4 = batch_norm(width, rngs)
        self.to_image = ConvTranspose(width, 3, (8, 8), strides=4, rngs=rngs)

    def __call__(self, z):
        x = nnx.leaky_relu(self.norm1(self.dense1(z)))  # (B, hidden)
        x = nnx.leaky_relu(self.norm2(self.dense2(x)))  # (B, 64 * width)
        x = x.reshape(len(x), *self.start)  # (B, 4, 4, 4 * width)
        x = nnx.leaky_relu(self.norm3(self.up1(x)))  # (B, 8, 8, 2 * width)
        x = nnx.leaky_relu(self.norm4(self.up2(x)))  # (B, 16, 16, width)
        return self.to_image(x)  # (B, 64, 64, 3)


def squared_error(
    logits: ArrayLike, x: ArrayLike, variance: float | ArrayLike
) -> jax.Array:
    """Return -log density of a Gaussian around the decoded picture, (B,), in nats.

    Args:
      logits: (B, H, W, C), float; their sigmoid is the Gaussian's mean.
      x: the same shape, float in [0, 1].
      variance: of each number about that mean: one for all, or a map (H, W, 1) for
        pixels that matter more and less. It sets how much a nat of the KL may buy.
        BOOK_VARIANCE is what 2000 times the mean squared error over 64x64x3 numbers
        amounts to, the weight of D. Foster, "Generative Deep Learning", 2nd edition, as
        printed (its notebook has had 32x32 since 2024, which makes it 0.77): about
        3.07, a deviation of 1.75 where pixels only go from 0 to 1.

    The constant log(2 pi variance) / 2 a number moves nothing in training and is left
    out. So losses of two variances cannot be compared, and bounds of log p(x) made of
    this are off by it.

    Raises:
      ValueError: if the shapes differ, or a variance is not greater than 0.
    """
    if logits.shape != x.shape:  # they would broadcast, silently
        raise ValueError(f"logits are {logits.shape} and pictures {x.shape}.")
    if np.shape(variance) not in ((), (*x.shape[1:3], 1)):
        raise ValueError(
            f"A variance is a number or a map {(*x.shape[1:3], 1)}; given an array "
            f"{np.shape(variance)}."
        )
    if not np.min(variance) > 0:
        raise ValueError(f"A variance is greater than 0; given {variance!r}.")
    variance = variance[None] if np.ndim(variance) else variance  # (1, H, W, 1)
    error = (nnx.sigmoid(logits) - x) ** 2 / (2 * variance)  # (B, H, W, C)
    return error.sum(axis=(1, 2, 3))  # (B,)
