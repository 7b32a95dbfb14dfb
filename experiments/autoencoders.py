"""The figures of chapters 1 and 2: autoencoders and VAEs on the whole sets."""

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from experiments.registry import ALL_DIGITS, PADDED_CLOTHES, experiment
from gencourse import autoencoder, data, vae
from gencourse.metrics.likelihood import importance_weighted_bound
from gencourse.train import fit

BUDGET = "5 epochs, batch 100"


def full_pictures(name, split, args):
    images, labels = data.load(name, split, full=True, data_dir=args.data_dir)
    return data.scale(data.pad(images, 32), "unit"), labels


def five_epochs(step, model, rate, x, seed):
    optimizer = nnx.Optimizer(model, optax.adam(rate), wrt=nnx.Param)
    options = dict(batch_size=100, epochs=5, key=jax.random.key(seed))
    fit(step, (model, optimizer), x, **options)


@experiment(
    "autoencoder.fashion_mnist", data=PADDED_CLOTHES, how=f"{BUDGET}, Adam 1e-3"
)
def autoencoder_full(seed, args):
    """The syllabus's run: 60,000 pictures, 5 epochs of batches of 100, Adam 1e-3."""
    x, _ = full_pictures("fashion_mnist", "train", args)
    x_test, _ = full_pictures("fashion_mnist", "test", args)
    figures = {}
    for latent in (2, 6):
        model = autoencoder.Autoencoder(latent, rngs=nnx.Rngs(seed))
        five_epochs(autoencoder.train_step, model, 1e-3, x, seed)
        name = "autoencoder.fashion_mnist" + ("" if latent == 2 else f".{latent}d")
        figures[f"{name}.test_bce"] = autoencoder.bce_per_pixel(model, x_test)
    return figures


@experiment(
    "vae.fashion_mnist",
    data=PADDED_CLOTHES,
    how=f"{BUDGET}, Adam 5e-4, beta 1; reconstruction + KL on test",
)
def vae_full(seed, args):
    """The syllabus's run as a true ELBO: 5 epochs of batches of 100, Adam 5e-4."""
    x, _ = full_pictures("fashion_mnist", "train", args)
    x_test, _ = full_pictures("fashion_mnist", "test", args)
    figures = {}
    for latent in (2, 20):
        model = vae.VAE(latent, rngs=nnx.Rngs(seed))
        five_epochs(vae.train_step, model, 5e-4, x, seed)
        terms = vae.evaluate(model, x_test, jax.random.key(1000 + seed))
        name = f"vae.fashion_mnist.{latent}d"
        figures |= {f"{name}.{term}": value for term, value in terms.items()}
    return figures


class DenseEncoder(nnx.Module):
    """Pictures (B, 32, 32, 1) -> (B, out), by two hidden layers of 500."""

    def __init__(self, out, *, rngs: nnx.Rngs):
        self.dense1 = nnx.Linear(32 * 32, 500, rngs=rngs)
        self.dense2 = nnx.Linear(500, 500, rngs=rngs)
        self.to_latent = nnx.Linear(500, out, rngs=rngs)

    def __call__(self, x):
        x = x.reshape(len(x), -1)  # (B, 1024)
        x = nnx.relu(self.dense1(x))  # (B, 500)
        x = nnx.relu(self.dense2(x))  # (B, 500)
        return self.to_latent(x)  # (B, out)


class DenseDecoder(nnx.Module):
    """Codes (B, latent) -> logits (B, 32, 32, 1), by two hidden layers of 500."""

    def __init__(self, latent, *, rngs: nnx.Rngs):
        self.dense1 = nnx.Linear(latent, 500, rngs=rngs)
        self.dense2 = nnx.Linear(500, 500, rngs=rngs)
        self.to_image = nnx.Linear(500, 32 * 32, rngs=rngs)

    def __call__(self, z):
        z = nnx.relu(self.dense1(z))  # (B, 500)
        z = nnx.relu(self.dense2(z))  # (B, 500)
        return self.to_image(z).reshape(len(z), 32, 32, 1)


@nnx.jit
def binarised_step(model, optimizer, batch, key):
    """Chapter 2's step on pixels drawn at each step, white with the grey's chance."""
    pixels, noise = jax.random.split(key)
    return vae.train_step(model, optimizer, vae.binarise(batch, pixels), noise)


@experiment(
    "vae.mnist",
    data=f"{ALL_DIGITS}, binarised by chance, padded to 32x32",
    how="two hidden layers of 500 each way, 32 latents, 100 epochs, batch 100, Adam "
    "1e-3 falling to 1e-5 by a cosine; importance-weighted bound of 500 samples",
)
def vae_nll(seed, args):
    """-log p(x) of MNIST's test pictures, binarised by chance once a seed, bounded by
    500 importance samples each. The margin of the padding is always black."""
    x, _ = full_pictures("mnist", "train", args)
    x_test, _ = full_pictures("mnist", "test", args)
    chance, noise, weights = jax.random.split(jax.random.key(1000 + seed), 3)
    x_test = vae.binarise(jnp.asarray(x_test), chance)
    networks = {"encoder": DenseEncoder, "decoder": DenseDecoder}
    model = vae.VAE(32, rngs=nnx.Rngs(seed), **networks)
    steps = 100 * 600
    rate = optax.cosine_decay_schedule(1e-3, steps, 0.01)
    optimizer = nnx.Optimizer(model, optax.adam(rate), wrt=nnx.Param)
    fit(
        binarised_step,
        (model, optimizer),
        x,
        batch_size=100,
        steps=steps,
        key=jax.random.key(seed),
    )
    bound = importance_weighted_bound(
        vae.log_importance_weight, model, x_test, weights, samples=500
    )
    return {
        "vae.mnist.nll": -float(bound.mean()),
        "vae.mnist.negative_elbo": vae.evaluate(model, x_test, noise)["nats"],
    }
