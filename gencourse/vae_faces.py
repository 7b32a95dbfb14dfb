"""Networks for faces: 64x64 in colour, five halvings down, five doublings up.

    x (B, 64, 64, 3) --Encoder--> (B, 2 latent) .. z --Decoder--> logits (B, 64, 64, 3)

They are put into a `vae.VAE`, which splits the encoder's numbers into mean and log_var:

    VAE(200, encoder=vae_faces.Encoder, decoder=vae_faces.Decoder,
        likelihood=vae_faces.squared_error, rngs=nnx.Rngs(0))

BatchNorm: S. Ioffe, C. Szegedy, "Batch normalization", ICML 2015. In training it uses
the batch's statistics and moves its running ones; vae.encode, decode, sample and
evaluate use the running ones and move nothing.
"""

import jax
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from gencourse.layers import Conv, ConvTranspose, Linear, batch_norm

VARIANCE = 64 * 64 * 3 / 4000  # of a pixel, see squared_error


class Encoder(nnx.Module):
    """Pictures (B, 64, 64, 3) in [0, 1] -> `out` numbers each (B, out)."""

    def __init__(self, out, *, width=64, rngs: nnx.Rngs):
        self.conv1 = Conv(3, width, (3, 3), strides=2, rngs=rngs)
        self.norm1 = batch_norm(width, rngs)
        self.conv2 = Conv(width, width, (3, 3), strides=2, rngs=rngs)
        self.norm2 = batch_norm(width, rngs)
        self.conv3 = Conv(width, width, (3, 3), strides=2, rngs=rngs)
        self.norm3 = batch_norm(width, rngs)
        self.conv4 = Conv(width, width, (3, 3), strides=2, rngs=rngs)
        self.norm4 = batch_norm(width, rngs)
        self.conv5 = Conv(width, width, (3, 3), strides=2, rngs=rngs)
        self.norm5 = batch_norm(width, rngs)
        self.to_latent = Linear(2 * 2 * width, out, rngs=rngs)

    def __call__(self, x):
        x = nnx.leaky_relu(self.norm1(self.conv1(x)))  # (B, 32, 32, width)
        x = nnx.leaky_relu(self.norm2(self.conv2(x)))  # (B, 16, 16, width)
        x = nnx.leaky_relu(self.norm3(self.conv3(x)))  # (B, 8, 8, width)
        x = nnx.leaky_relu(self.norm4(self.conv4(x)))  # (B, 4, 4, width)
        x = nnx.leaky_relu(self.norm5(self.conv5(x)))  # (B, 2, 2, width)
        return self.to_latent(x.reshape(len(x), -1))  # (B, out)


class Decoder(nnx.Module):
    """z (B, latent) -> logits (B, 64, 64, 3); their sigmoid is a picture."""

    def __init__(self, latent, *, width=64, rngs: nnx.Rngs):
        self.width = width
        self.dense = Linear(latent, 2 * 2 * width, rngs=rngs)
        self.norm0 = batch_norm(2 * 2 * width, rngs)
        self.up1 = ConvTranspose(width, width, (3, 3), strides=2, rngs=rngs)
        self.norm1 = batch_norm(width, rngs)
        self.up2 = ConvTranspose(width, width, (3, 3), strides=2, rngs=rngs)
        self.norm2 = batch_norm(width, rngs)
        self.up3 = ConvTranspose(width, width, (3, 3), strides=2, rngs=rngs)
        self.norm3 = batch_norm(width, rngs)
        self.up4 = ConvTranspose(width, width, (3, 3), strides=2, rngs=rngs)
        self.norm4 = batch_norm(width, rngs)
        self.up5 = ConvTranspose(width, width, (3, 3), strides=2, rngs=rngs)
        self.norm5 = batch_norm(width, rngs)
        self.to_image = Conv(width, 3, (3, 3), rngs=rngs)

    def __call__(self, z):
        x = nnx.leaky_relu(self.norm0(self.dense(z)))  # (B, 4 * width)
        x = x.reshape(len(x), 2, 2, self.width)  # (B, 2, 2, width)
        x = nnx.leaky_relu(self.norm1(self.up1(x)))  # (B, 4, 4, width)
        x = nnx.leaky_relu(self.norm2(self.up2(x)))  # (B, 8, 8, width)
        x = nnx.leaky_relu(self.norm3(self.up3(x)))  # (B, 16, 16, width)
        x = nnx.leaky_relu(self.norm4(self.up4(x)))  # (B, 32, 32, width)
        x = nnx.leaky_relu(self.norm5(self.up5(x)))  # (B, 64, 64, width)
        return self.to_image(x)  # (B, 64, 64, 3)


def squared_error(
    logits: ArrayLike, x: ArrayLike, variance: float = VARIANCE
) -> jax.Array:
    """Return -log density of a Gaussian around the decoded picture, (B,), in nats.

    Args:
      logits: (B, H, W, C), float; their sigmoid is the Gaussian's mean.
      x: the same shape, float in [0, 1].
      variance: of each pixel about that mean. The default is what 2000 times the mean
        squared error over 64x64x3 numbers amounts to, the weight of D. Foster,
        "Generative Deep Learning", 2nd edition: about 3.07, a deviation of 1.75 where
        pixels only go from 0 to 1. It sets how much a nat of the KL may buy.

    The constant log(2 pi variance) / 2 a pixel moves nothing in training and is left
    out. So losses of two variances cannot be compared, and bounds of log p(x) made of
    this are off by it: 18,187 nats an image at the default.
    """
    if logits.shape != x.shape:  # they would broadcast, silently
        raise ValueError(f"logits are {logits.shape} and pictures {x.shape}.")
    if not variance > 0:
        raise ValueError(f"A variance is greater than 0; given {variance!r}.")
    error = (nnx.sigmoid(logits) - x) ** 2  # (B, H, W, C)
    return error.sum(axis=(1, 2, 3)) / (2 * variance)  # (B,)


def pairs(attributes, name, instead=None):
    """Match each picture that has an attribute with one that differs in it alone.

    Args:
      attributes: as of `data.attributes`: a dict from names to bool (N,).
      name: the attribute.
      instead: the attribute that the other one has in its place, if any: for
        "tone dark" it may be "tone default".

    Returns:
      Two arrays of row numbers (P,), int. Row i of the first has the attribute; row i
      of the second is the first picture that agrees with it in every other attribute.
      Pictures without such an equal are left out.
    """
    for column in attributes.values():
        if np.asarray(column).dtype != bool:  # ~ turns a 1 into -2, which is true too
            raise ValueError("Attributes are arrays of True and False.")
    for known in (name, instead):
        if known is not None and known not in attributes:
            raise ValueError(f"No attribute {known!r}; there are {list(attributes)}.")
    other = [a for n, a in attributes.items() if n not in (name, instead)]
    has = np.asarray(attributes[name])
    rest = np.stack([np.zeros_like(has), *other], axis=1)  # (N, A or A - 1)
    lacks = ~has if instead is None else ~has & attributes[instead]
    equal = {rest[i].tobytes(): i for i in np.flatnonzero(lacks)[::-1]}
    found = [(i, equal.get(rest[i].tobytes())) for i in np.flatnonzero(has)]
    found = [(i, j) for i, j in found if j is not None]
    if not found:
        raise ValueError(f"No two pictures differ in {name!r} alone.")
    return tuple(np.array(found).T)
