"""The variational autoencoder: codes that fill a region which we know.

    x --Encoder--> mean, log_var (B, latent) --chance--> z --Decoder--> logits

A picture's code is no longer a point but a small cloud, and all clouds together are
pulled towards one: the standard normal. Whoever draws from that and decodes gets a new
picture. The loss is the negative ELBO, in nats an image, in two terms:

    -log p(x) <= E[-log p(x | z)] + KL(q(z | x) || p(z)),  z from q(z | x)

Papers: D. P. Kingma, M. Welling, "Auto-encoding variational Bayes", ICLR 2014;
D. J. Rezende, S. Mohamed, D. Wierstra, "Stochastic backpropagation and approximate
inference in deep generative models", ICML 2014. The weight beta is of I. Higgins and
others, "beta-VAE", ICLR 2017.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from gencourse import autoencoder
from gencourse.autoencoder import ROWS, Decoder, Encoder, reconstruction_loss
from gencourse.inference import eval_view, map_batches
from gencourse.validation import check_numbers


class Output(NamedTuple):
    """What a VAE returns: logits (B, H, W, C); z, mean and log_var (B, latent)."""

    logits: jax.Array
    z: jax.Array
    mean: jax.Array
    log_var: jax.Array


class VAE(nnx.Module):
    """Chapter 1's encoder, giving two numbers for each latent, and its decoder.

    Others that take the same arguments and give the same shapes may be put in their
    place; `likelihood(logits, x)` gives -log p(x | z) of each image, (B,), in nats.
    (If it leaves a constant out, as `vae_faces.squared_error` does, all sums below are
    off by it: fit for training and for comparing, not as log-likelihoods.)
    """

    def __init__(
        self,
        latent=2,
        *,
        encoder=Encoder,
        decoder=Decoder,
        likelihood=reconstruction_loss,
        rngs: nnx.Rngs,
    ):
        check_numbers(latent=latent)
        self.latent = latent
        self.encoder = encoder(2 * latent, rngs=rngs)
        self.decoder = decoder(latent, rngs=rngs)
        self.likelihood = likelihood

    def __call__(self, x, key):
        mean, log_var = jnp.split(self.encoder(x), 2, axis=1)  # (B, latent) both
        z = reparameterise(mean, log_var, key)  # (B, latent)
        return Output(self.decoder(z), z, mean, log_var)


def reparameterise(mean: ArrayLike, log_var: ArrayLike, key: jax.Array) -> jax.Array:
    """Draw z (B, latent) from N(mean, exp(log_var)), each number independently.

    The chance is drawn apart from the parameters, so z is a smooth function of both
    and passes the gradient on. (B, latent), float, all; Kingma & Welling, section 2.4.
    """
    _check_codes(mean, log_var)
    noise = jax.random.normal(key, mean.shape, mean.dtype)  # (B, latent)
    return mean + jnp.exp(log_var / 2) * noise


def kl_per_latent(mean: ArrayLike, log_var: ArrayLike) -> jax.Array:
    """Return KL(N(mean, exp(log_var)) || N(0, 1)), at least 0, in nats: (B, latent)."""
    _check_codes(mean, log_var)
    return 0.5 * (mean**2 + jnp.exp(log_var) - 1 - log_var)


def kl_to_standard_normal(mean: ArrayLike, log_var: ArrayLike) -> jax.Array:
    """Return KL(q(z | x) || N(0, I)) in nats an image: (B,), *summed* over the latents.

    Of two (B, latent), float; Kingma & Welling, appendix B.
    """
    return kl_per_latent(mean, log_var).sum(axis=1)


def negative_elbo(
    model: nnx.Module, x: ArrayLike, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the two terms in nats an image, (B,) and (B,): reconstruction and KL.

    BatchNorms work in the mode that the model is in: in training they move.
    """
    logits, _, mean, log_var = model(x, key)
    return model.likelihood(logits, x), kl_to_standard_normal(mean, log_var)


@nnx.jit
def train_step(
    model: nnx.Module,
    optimizer: nnx.Optimizer,
    batch: jax.Array,
    key: jax.Array,
    beta: float | jax.Array = 1.0,
) -> dict[str, jax.Array]:
    """Take one step of gradient descent on reconstruction + beta * KL.

    Args:
      model: a `VAE`. optimizer: an `nnx.Optimizer` of its `nnx.Param`s.
      batch: (B, H, W, C), float32 in [0, 1].
      key: for the noise of the codes.
      beta: the weight of the KL. From 1 on the loss is a bound of -log p(x), and at 1
        the tightest. It is traced: it may change from step to step, and nothing is
        compiled again.

    Returns:
      "loss", "reconstruction" and "kl": means over the batch, in nats an image.
    """

    def loss_fn(model):
        reconstruction, kl = (t.mean() for t in negative_elbo(model, batch, key))
        return reconstruction + beta * kl, (reconstruction, kl)

    (loss, terms), grads = nnx.value_and_grad(loss_fn, has_aux=True)(model)
    optimizer.update(model, grads)
    return {"loss": loss, "reconstruction": terms[0], "kl": terms[1]}


def sample(model: nnx.Module, n: int, key: jax.Array) -> jax.Array:
    """Draw n new pictures (n, H, W, C), float32 in [0, 1]: z from N(0, I), decoded."""
    check_numbers(n=n)
    return decode(model, jax.random.normal(key, (n, model.latent)))


def encode(model: nnx.Module, x: ArrayLike) -> list[jax.Array]:
    """Return means and log-variances (N, latent) of pictures (N, H, W, C) in [0, 1]."""
    _check_fits(model, x)
    codes = map_batches(_encode, eval_view(model).encoder, x, size=ROWS)
    return jnp.split(codes, 2, axis=1)  # (N, latent) both


def decode(model: nnx.Module, z: ArrayLike) -> jax.Array:
    """Return the pictures (N, H, W, C), float32 in [0, 1], of z (N, latent), float."""
    return autoencoder.decode(eval_view(model), z)


def reconstruct(model: nnx.Module, x: ArrayLike) -> jax.Array:
    """Decode the means of x's codes; x and the result are (N, H, W, C) in [0, 1]."""
    return decode(model, encode(model, x)[0])


def evaluate(model: nnx.Module, x: ArrayLike, key: jax.Array) -> dict[str, float]:
    """Measure the negative ELBO on x (N, H, W, C), float in [0, 1], in nats an image.

    Returns:
      A dict of floats: "reconstruction", "kl", and "nats", their sum. One z is drawn
      for each picture.
    """
    mean, log_var = encode(model, x)  # (N, latent) both
    z = [  # a key for every thousand, and so the same z however few are held at once
        reparameterise(
            mean[i : i + 1000], log_var[i : i + 1000], jax.random.fold_in(key, i)
        )
        for i in range(0, len(x), 1000)
    ]
    network, z = eval_view(model), jnp.concatenate(z)
    losses = map_batches(_losses, network, z, x, size=ROWS)  # (N,)
    reconstruction = np.asarray(losses).mean().item()
    kl = np.asarray(kl_to_standard_normal(mean, log_var)).mean().item()
    return {"reconstruction": reconstruction, "kl": kl, "nats": reconstruction + kl}


def log_importance_weight(model: nnx.Module, x: ArrayLike, key: jax.Array) -> jax.Array:
    """Return log p(x, z) - log q(z | x) in nats, (B,), of one z from q(z | x) each.

    Its mean is the ELBO; `metrics.likelihood.importance_weighted_bound` makes a
    tighter bound of many (Burda, Grosse, Salakhutdinov, "Importance weighted
    autoencoders", ICLR 2016).
    """
    logits, z, mean, log_var = model(x, key)
    prior = -0.5 * (z**2).sum(axis=1)  # here and below without log(2 pi): they cancel
    away = (z - mean) * jnp.exp(-log_var / 2)  # in standard deviations
    posterior = -0.5 * (away**2 + log_var).sum(axis=1)
    return prior - posterior - model.likelihood(logits, x)  # (B,)


def binarise(x: ArrayLike, key: jax.Array) -> jax.Array:
    """Draw pixels 0 or 1: 1 with the probability that the grey x in [0, 1] gives."""
    if not isinstance(x, jax.core.Tracer):  # inside a step nobody can look
        check(x)
    return jax.random.bernoulli(key, x).astype(x.dtype)


def continuous_bernoulli_loss(logits: ArrayLike, x: ArrayLike) -> jax.Array:
    """Return -log density in nats an image, (B,), of grey pixels x in [0, 1].

    Binary cross-entropy of grey pixels is no likelihood: exp(-loss) does not integrate
    to 1 over [0, 1]. Divided by its integral it does, and the density may be greater
    than 1, so this loss may be negative. Arguments as of `reconstruction_loss`. The
    density's mean is not p = sigmoid(logit), which `decode` shows, but greyer:
    p / (2 p - 1) + 1 / (2 artanh(1 - 2 p)).
    Source: G. Loaiza-Ganem, J. P. Cunningham, "The continuous Bernoulli", NeurIPS 2019.
    """
    small = jnp.abs(logits) < 0.1  # where l / tanh(l / 2) is 0 / 0
    apart = jnp.where(small, 1.0, logits)
    far = jnp.log(apart / jnp.tanh(apart / 2))
    log_constant = jnp.where(small, jnp.log(2.0) + logits**2 / 12, far)
    return reconstruction_loss(logits, x) - log_constant.sum(axis=(1, 2, 3))


def check(batch, objects=()):
    """Raise a ValueError where `batch` is not (B, H, W, C), float, in [0, 1].

    objects: not looked at; fit gives them to every check.
    """
    if hasattr(batch, "shape") and np.ndim(batch) != 4:
        raise ValueError(
            f"Pictures have shape (B, H, W, C); given {np.shape(batch)}. One picture "
            f"alone is x[None]; grey ones without a channel are x[..., None]."
        )
    autoencoder.check(batch, shape=getattr(batch, "shape", ())[1:])


train_step.check_batch = log_importance_weight.check_batch = check


def _check_fits(model, x):
    """Raise ValueError as `check`, and if the model makes pictures of another size."""
    check(x)
    z = jax.ShapeDtypeStruct((1, model.latent), jnp.float32)
    made = jax.eval_shape(lambda z: eval_view(model).decoder(z), z).shape[1:]
    if x.shape[1:] != made:
        raise ValueError(
            f"This model makes pictures {made}; given {x.shape[1:]}. Pad 28x28 "
            f"pictures: data.pad(images, 32)."
        )


def _check_codes(mean, log_var):
    if mean.ndim != 2 or mean.shape != log_var.shape:
        raise ValueError(
            f"mean and log_var have one shape, (B, latent); given {mean.shape} and "
            f"{log_var.shape}."
        )


@nnx.jit
def _encode(encoder, x):
    return encoder(x)


@nnx.jit
def _losses(model, z, x):
    return model.likelihood(model.decoder(z), x)  # (B,)
