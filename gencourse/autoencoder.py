"""The autoencoder: squeeze a picture into a few numbers and unfold it again.

    x (B, 32, 32, 1) --Encoder--> z (B, latent) --Decoder--> logits (B, 32, 32, 1)

The only aim is that the picture which comes out resembles the one that went in.
With two numbers in the middle the network must decide what matters.

Paper: G. E. Hinton, R. R. Salakhutdinov, "Reducing the dimensionality of data with
neural networks", Science 313 (2006).
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.typing import ArrayLike

from gencourse.inference import map_batches
from gencourse.layers import Conv, ConvTranspose, Linear
from gencourse.validation import check_numbers

ROWS = 64  # looked at together: a large picture's maps take a lot of memory


class Encoder(nnx.Module):
    """Pictures (B, 32, 32, 1) in [0, 1] -> codes z (B, latent), any real numbers."""

    def __init__(self, latent, *, rngs: nnx.Rngs):
        self.conv1 = Conv(1, 32, (3, 3), strides=2, rngs=rngs)
        self.conv2 = Conv(32, 64, (3, 3), strides=2, rngs=rngs)
        self.conv3 = Conv(64, 128, (3, 3), strides=2, rngs=rngs)
        self.to_latent = Linear(4 * 4 * 128, latent, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.conv1(x))  # (B, 16, 16, 32)
        x = nnx.relu(self.conv2(x))  # (B, 8, 8, 64)
        x = nnx.relu(self.conv3(x))  # (B, 4, 4, 128)
        x = x.reshape(len(x), -1)  # (B, 2048)
        return self.to_latent(x)  # (B, latent)


class Decoder(nnx.Module):
    """Codes z (B, latent) -> logits (B, 32, 32, 1); their sigmoid is a picture."""

    def __init__(self, latent, *, rngs: nnx.Rngs):
        self.dense = Linear(latent, 4 * 4 * 128, rngs=rngs)
        self.up1 = ConvTranspose(128, 128, (3, 3), strides=2, rngs=rngs)
        self.up2 = ConvTranspose(128, 64, (3, 3), strides=2, rngs=rngs)
        self.up3 = ConvTranspose(64, 32, (3, 3), strides=2, rngs=rngs)
        self.to_image = Conv(32, 1, (3, 3), rngs=rngs)

    def __call__(self, z):
        x = self.dense(z)  # (B, 2048)
        x = x.reshape(len(x), 4, 4, 128)  # (B, 4, 4, 128)
        x = nnx.relu(self.up1(x))  # (B, 8, 8, 128)
        x = nnx.relu(self.up2(x))  # (B, 16, 16, 64)
        x = nnx.relu(self.up3(x))  # (B, 32, 32, 32)
        return self.to_image(x)  # (B, 32, 32, 1)


class Autoencoder(nnx.Module):
    """An encoder and a decoder with `latent` numbers between them."""

    def __init__(self, latent=2, *, rngs: nnx.Rngs):
        check_numbers(latent=latent)
        self.latent = latent
        self.encoder = Encoder(latent, rngs=rngs)
        self.decoder = Decoder(latent, rngs=rngs)

    def __call__(self, x):
        return self.decoder(self.encoder(x))  # logits (B, 32, 32, 1)


def reconstruction_loss(logits: ArrayLike, x: ArrayLike) -> jax.Array:
    """Return the binary cross-entropy in nats an image: (B,), summed over pixels.

    Args:
      logits: (B, H, W, C), float, any real numbers.
      x: the same shape, float in [0, 1], the pictures to be met.

    Divide by H * W * C for nats a pixel. A grey pixel cannot cost less than its own
    entropy, so even a perfect copy does not reach 0.
    """
    if logits.shape != x.shape:  # they would broadcast, silently
        raise ValueError(f"logits are {logits.shape} and pictures {x.shape}.")
    pixels = optax.sigmoid_binary_cross_entropy(logits, x)  # (B, H, W, C)
    return pixels.sum(axis=(1, 2, 3))  # (B,)


@nnx.jit
def train_step(
    model: nnx.Module, optimizer: nnx.Optimizer, batch: jax.Array, key: jax.Array
) -> dict[str, jax.Array]:
    """Take one step of gradient descent. The metrics are nats an image and a pixel.

    Args:
      model: an `Autoencoder`. optimizer: an `nnx.Optimizer` of its `nnx.Param`s.
      batch: (B, 32, 32, 1), float32 in [0, 1].
      key: unused; every chapter's step has one.
    """

    def loss_fn(model):
        return reconstruction_loss(model(batch), batch).mean()

    loss, grads = nnx.value_and_grad(loss_fn)(model)
    optimizer.update(model, grads)
    return {"loss": loss, "bce": loss / batch[0].size}


def encode(model: nnx.Module, x: ArrayLike) -> jax.Array:
    """Return the codes (N, latent), float32, of pictures (N, 32, 32, 1) in [0, 1]."""
    check(x)
    return map_batches(_encode, model.encoder, x, size=ROWS)


def decode(model: nnx.Module, z: ArrayLike) -> jax.Array:
    """Return the pictures (N, 32, 32, 1), float32 in [0, 1], of codes (N, latent)."""
    if np.ndim(z) != 2 or np.shape(z)[1] != model.latent or not len(z):
        raise ValueError(
            f"This model's codes have shape (N, {model.latent}); given {np.shape(z)}."
        )
    if not np.isfinite(z).all():
        raise ValueError("There are NaN or infinite numbers among the codes.")
    return map_batches(_decode, model.decoder, z, size=ROWS)


def reconstruct(model: nnx.Module, x: ArrayLike) -> jax.Array:
    """Encode and decode pictures x (N, 32, 32, 1), float in [0, 1]; same shape."""
    return decode(model, encode(model, x))


def bce_per_pixel(model: nnx.Module, x: ArrayLike) -> float:
    """Return the mean binary cross-entropy in nats a pixel on x (N, 32, 32, 1)."""
    check(x)
    losses = map_batches(_losses, model, x, size=ROWS)  # (N,)
    return float(losses.mean()) / x[0].size


def interpolate(model: nnx.Module, a: ArrayLike, b: ArrayLike, n: int = 8) -> jax.Array:
    """Decode n pictures (n, 32, 32, 1) on the line between two codes (latent,)."""
    t = jnp.linspace(0, 1, n)[:, None]  # (n, 1)
    return decode(model, (1 - t) * a[None] + t * b[None])


def check(batch, objects=(), shape=(32, 32, 1)):
    """Raise a ValueError where `batch` is not (B, *shape), float, in [0, 1].

    objects: not looked at; fit gives them to every check.
    """
    if not hasattr(batch, "shape"):
        raise ValueError(
            "The autoencoder learns from pictures alone: give one array of them. "
            "It has no use for labels."
        )
    if np.ndim(batch) != 4 or np.shape(batch)[1:] != tuple(shape):
        raise ValueError(
            f"The autoencoder takes pictures of shape (B, {str(tuple(shape))[1:]}; "
            f"given {np.shape(batch)}. Pad 28x28 pictures: data.pad(images, 32)."
        )
    if not jnp.issubdtype(batch.dtype, jnp.floating):
        raise ValueError(
            f"The pictures are {batch.dtype}, not float. Scale them to [0, 1]: "
            f'data.scale(images, "unit").'
        )
    if not len(batch):
        raise ValueError("There is no picture in this batch.")
    low, high = float(batch.min()), float(batch.max())
    if not (0 <= low and high <= 1):  # also true of NaN
        raise ValueError(
            f"Pixels lie in [{low:g}, {high:g}]; this loss needs [0, 1]. "
            f'Scale the bytes with data.scale(images, "unit").'
        )


train_step.check_batch = check  # fit asks it of all data


@nnx.jit
def _encode(encoder, x):
    return encoder(x)


@nnx.jit
def _decode(decoder, z):
    return nnx.sigmoid(decoder(z))


@nnx.jit
def _losses(model, x):
    return reconstruction_loss(model(x), x)
