"""The workloads in Flax NNX: with gencourse's layers and `fit`, or as plain Flax.

Both take the networks and steps below, or the chapters' own: chapter 1's, the model and
the step of chapter 2, and chapter 3's networks, which are Flax's own layers; its step,
which measures more than the losses, is ours alone.
Plain Flax is a Python loop over the step under `nnx.jit`, on batches cut beforehand.
"""

import contextlib
import functools
import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from benchmarks.workloads import EPSILON, LAST, MOMENTUM, SLOPE, cut, loop, taken
from gencourse import autoencoder, faces, gan, layers, vae
from gencourse.train import fit


class Layers(NamedTuple):
    Conv: Callable
    ConvTranspose: Callable
    BatchNorm: Callable
    Dropout: Callable


def flax_conv(i, o, kernel, strides=1, **options):
    return nnx.Conv(i, o, kernel, strides=layers._pair(strides), **options)


def flax_conv_transpose(i, o, kernel, strides=1, **options):
    return nnx.ConvTranspose(i, o, kernel, strides=layers._pair(strides), **options)


LAYERS = {
    "gencourse": Layers(
        layers.Conv, layers.ConvTranspose, nnx.BatchNorm, layers.Dropout
    ),
    "flax": Layers(flax_conv, flax_conv_transpose, nnx.BatchNorm, nnx.Dropout),
}


@contextlib.contextmanager
def chapter1_with(made_of):
    """Chapter 1's networks, made of other layers while this lasts."""
    before = autoencoder.Conv, autoencoder.ConvTranspose
    try:
        autoencoder.Conv, autoencoder.ConvTranspose = made_of[:2]
        yield autoencoder
    finally:
        autoencoder.Conv, autoencoder.ConvTranspose = before


# --- networks ------------------------------------------------------------------


def leaky(x):
    return nnx.leaky_relu(x, SLOPE)


class Encoder(nnx.Module):
    """Pictures (B, H, W, 3) -> (B, out): convolutions that halve the side."""

    def __init__(self, w, out, *, made_of, rngs: nnx.Rngs):
        sizes = list(itertools.pairwise((w.shape[-1], *w.down)))
        self.convs = nnx.List(
            made_of.Conv(i, o, (3, 3), strides=2, rngs=rngs) for i, o in sizes
        )
        self.norms = nnx.List(norm(made_of, o, rngs) for _, o in sizes)
        self.out = nnx.Linear(w.start**2 * w.down[-1], out, rngs=rngs)

    def __call__(self, x):
        for conv, batch_norm in zip(self.convs, self.norms, strict=True):
            x = leaky(batch_norm(conv(x)))  # (B, H / 2, W / 2, C)
        return self.out(x.reshape(len(x), -1))  # (B, out)


class Decoder(nnx.Module):
    """Codes (B, latent) -> logits (B, H, W, 3): convolutions that double the side."""

    def __init__(self, w, latent, *, made_of, rngs: nnx.Rngs):
        self.first = (w.start, w.start, w.up[0])
        self.dense = nnx.Linear(latent, int(np.prod(self.first)), rngs=rngs)
        self.norm = norm(made_of, self.dense.out_features, rngs)
        sizes = list(itertools.pairwise((w.up[0], *w.up)))
        self.convs = nnx.List(
            made_of.ConvTranspose(i, o, (3, 3), strides=2, rngs=rngs) for i, o in sizes
        )
        self.norms = nnx.List(norm(made_of, o, rngs) for _, o in sizes)
        self.pixels = made_of.Conv(w.up[-1], w.shape[-1], (3, 3), rngs=rngs)

    def __call__(self, z):
        x = leaky(self.norm(self.dense(z)))
        x = x.reshape(len(x), *self.first)  # (B, 2, 2, C)
        for conv, batch_norm in zip(self.convs, self.norms, strict=True):
            x = leaky(batch_norm(conv(x)))  # (B, 2 * H, 2 * W, C)
        return self.pixels(x)  # (B, H, W, 3)


class ConvGenerator(nnx.Module):
    """z (B, latent) -> pictures (B, H, W, C) in [-1, 1]."""

    def __init__(self, w, made_of, *, rngs: nnx.Rngs):
        self.latent = w.latent
        self.first = (w.start, w.start, w.up[0])
        size = int(np.prod(self.first))
        self.dense = nnx.Linear(w.latent, size, use_bias=False, rngs=rngs)
        self.norm = norm(made_of, size, rngs)
        sizes = list(itertools.pairwise(w.up))
        self.convs = nnx.List(
            made_of.ConvTranspose(i, o, (4, 4), strides=2, use_bias=False, rngs=rngs)
            for i, o in sizes
        )
        self.norms = nnx.List(norm(made_of, o, rngs) for _, o in sizes)
        self.pixels = made_of.ConvTranspose(
            w.up[-1], w.shape[-1], (4, 4), strides=2, rngs=rngs
        )

    def __call__(self, z):
        x = leaky(self.norm(self.dense(z)))
        x = x.reshape(len(x), *self.first)  # (B, start, start, C)
        for conv, batch_norm in zip(self.convs, self.norms, strict=True):
            x = leaky(batch_norm(conv(x)))  # (B, 2 * H, 2 * W, C)
        return jnp.tanh(self.pixels(x))  # (B, 2 * H, 2 * W, C)


class ConvDiscriminator(nnx.Module):
    """Pictures (B, H, W, C) -> logits (B, 1): how real they look."""

    def __init__(self, w, made_of, *, rngs: nnx.Rngs):
        sizes = itertools.pairwise((w.shape[-1], *w.down))
        self.convs = nnx.List(
            made_of.Conv(i, o, (4, 4), strides=2, rngs=rngs) for i, o in sizes
        )
        self.dropout = made_of.Dropout(0.3)
        side = w.shape[0] // 2 ** len(w.down)
        self.verdict = nnx.Linear(side**2 * w.down[-1], 1, rngs=rngs)

    def __call__(self, x, *, key):
        keys = jax.random.split(key, len(self.convs))
        for conv, mask_key in zip(self.convs, keys, strict=True):
            x = self.dropout(leaky(conv(x)), rngs=mask_key)  # (B, H / 2, W / 2, C)
        return self.verdict(x.reshape(len(x), -1))  # (B, 1)


class Conditional(nnx.Module):
    """A network that is told the class too: (B, C) and labels (B,) -> what it gives."""

    def __init__(self, body, *, rngs: nnx.Rngs):
        init = nnx.initializers.normal(0.02)
        self.embed = nnx.Embed(10, 10, embedding_init=init, rngs=rngs)
        self.body = body

    @property
    def latent(self):
        return self.body.latent

    def __call__(self, x, labels, **key):
        return self.body(jnp.concatenate([x, self.embed(labels)], axis=1), **key)


def small(i, o, rngs):
    return nnx.Linear(i, o, kernel_init=nnx.initializers.normal(0.02), rngs=rngs)


class ConditionalGenerator(nnx.Module):
    """z and a class's embedding (B, 110) -> pictures (B, 784) in [-1, 1]."""

    def __init__(self, w, made_of, *, rngs: nnx.Rngs):
        self.latent = w.latent
        sizes = list(itertools.pairwise((w.latent + 10, *w.up)))
        self.hidden = nnx.List(small(i, o, rngs) for i, o in sizes)
        self.norms = nnx.List(norm(made_of, o, rngs) for _, o in sizes[1:])
        self.pixels = small(w.up[-1], w.shape[0], rngs)

    def __call__(self, z):
        first, *others = self.hidden
        z = leaky(first(z))  # (B, 128)
        for dense, batch_norm in zip(others, self.norms, strict=True):
            z = leaky(batch_norm(dense(z)))  # (B, C)
        return jnp.tanh(self.pixels(z))  # (B, 784)


class ConditionalDiscriminator(nnx.Module):
    """A picture and a class's embedding (B, 794) -> logits (B, 1)."""

    def __init__(self, w, made_of, *, rngs: nnx.Rngs):
        sizes = itertools.pairwise((w.shape[0] + 10, *w.down))
        self.hidden = nnx.List(small(i, o, rngs) for i, o in sizes)
        self.dropout = made_of.Dropout(0.4)
        self.verdict = small(w.down[-1], 1, rngs)

    def __call__(self, x, *, key):
        first, *others = self.hidden
        x = leaky(first(x))  # (B, 512)
        keys = jax.random.split(key, len(others))
        for dense, mask_key in zip(others, keys, strict=True):
            x = self.dropout(leaky(dense(x)), rngs=mask_key)  # (B, 512)
        return self.verdict(x)  # (B, 1)


def norm(made_of, features, rngs):
    options = {"momentum": MOMENTUM, "epsilon": EPSILON, "rngs": rngs}
    return made_of.BatchNorm(features, use_running_average=False, **options)


# --- steps ---------------------------------------------------------------------


def cross_entropy(logits, target):
    return optax.sigmoid_binary_cross_entropy(
        logits, jnp.full_like(logits, target)
    ).mean()


@nnx.jit
def gan_step(generator, discriminator, g_optimizer, d_optimizer, batch, key):
    """The discriminator's step, then the generator's, each with its own noise.

    batch: pictures, float32 in [-1, 1], in a tuple, with labels (B,) or without. With
    labels the discriminator's two terms are averaged, else added.
    """
    real, *labels = batch
    d_key, g_key, *keys = jax.random.split(key, 5)

    def wishes(key):
        z_key, label_key = jax.random.split(key)
        z = jax.random.normal(z_key, (len(real), generator.latent))
        return z, [jax.random.randint(label_key, a.shape, 0, 10) for a in labels]

    z, wanted = wishes(d_key)
    fake = generator(z, *wanted)

    def d_loss_fn(discriminator):
        on_real = discriminator(real, *labels, key=keys[0])
        on_fake = discriminator(fake, *wanted, key=keys[1])
        terms = cross_entropy(on_real, 1), cross_entropy(on_fake, 0)
        return sum(terms) / (2 if labels else 1)

    d_loss, grads = nnx.value_and_grad(d_loss_fn)(discriminator)
    d_optimizer.update(discriminator, grads)

    z2, wanted2 = wishes(g_key)

    def g_loss_fn(generator, discriminator):
        fake = generator(z2, *wanted2)
        return cross_entropy(discriminator(fake, *wanted2, key=keys[2]), 1)

    g_loss, grads = nnx.value_and_grad(g_loss_fn)(generator, discriminator)
    g_optimizer.update(generator, grads)
    return {"d_loss": d_loss, "g_loss": g_loss}


@nnx.jit
def chapter3_step(generator, discriminator, g_optimizer, d_optimizer, batch, key):
    """What `gan.train_step` does to the networks, and the two losses alone.

    One z for both updates: the compiler finds that the fakes are wanted twice.
    """
    z_key, *_ = jax.random.split(key, 4)
    z = jax.random.normal(z_key, (len(batch), generator.latent))
    fake = generator(z)

    def d_loss_fn(discriminator):
        on_real, on_fake = discriminator(batch), discriminator(fake)
        return cross_entropy(on_real, 1) + cross_entropy(on_fake, 0)

    d_loss, grads = nnx.value_and_grad(d_loss_fn)(discriminator)
    d_optimizer.update(discriminator, grads)

    def g_loss_fn(generator, discriminator):
        return cross_entropy(discriminator(generator(z)), 1)

    g_loss, grads = nnx.value_and_grad(g_loss_fn)(generator, discriminator)
    g_optimizer.update(generator, grads)
    return {"d_loss": d_loss, "g_loss": g_loss}


# --- all together --------------------------------------------------------------


def models(w, made_of, rngs):
    """The models of a workload: one, or generator and discriminator."""
    if w.networks == "chapter1":
        with chapter1_with(made_of) as chapter1:
            if w.game == "autoencoder":
                return (chapter1.Autoencoder(w.latent, rngs=rngs),)
            return (vae.VAE(w.latent, rngs=rngs),)
    if w.networks == "faces":
        model = vae.VAE(
            w.latent,
            encoder=functools.partial(Encoder, w, made_of=made_of),
            decoder=functools.partial(Decoder, w, made_of=made_of),
            likelihood=functools.partial(
                faces.squared_error, variance=math.prod(w.shape) / 4000
            ),
            rngs=rngs,
        )
        return (model,)
    if w.networks == "mlp":
        generator = gan.Generator(w.latent, w.up, w.shape, activation=leaky, rngs=rngs)
        options = dict(activation=leaky, rngs=rngs)
        return generator, gan.Discriminator(w.down, w.shape, **options)
    if w.networks == "conv":
        generator = ConvGenerator(w, made_of, rngs=rngs)
        return generator, ConvDiscriminator(w, made_of, rngs=rngs)
    bodies = (
        ConditionalGenerator(w, made_of, rngs=rngs),
        ConditionalDiscriminator(w, made_of, rngs=rngs),
    )
    return tuple(Conditional(body, rngs=rngs) for body in bodies)


STEPS = {"autoencoder": autoencoder.train_step, "vae": vae.train_step, "gan": gan_step}
CHAPTER3 = {"gencourse": gan.train_step, "flax": chapter3_step}


def step_and_objects(implementation, w):
    """(step, objects) as `fit` takes them: models, then an optimizer for each."""
    made = models(w, LAYERS[implementation], nnx.Rngs(0))
    optimizers = [
        nnx.Optimizer(m, optax.adam(w.learning_rate, b1=w.beta1), wrt=nnx.Param)
        for m in made
    ]
    step = CHAPTER3[implementation] if w.networks == "mlp" else STEPS[w.game]
    return step, (*made, *optimizers)


def parameters(objects):
    """How many numbers the optimizers among `objects` train."""
    found = [nnx.state(m, nnx.Param) for m in objects[: len(objects) // 2]]
    return sum(leaf.size for leaf in jax.tree.leaves(found))


def by_fit(step, objects, data, w):
    data = jax.tree.map(jnp.asarray, taken(data, w))
    calls = itertools.count()

    def run(steps):
        options = dict(batch_size=w.batch, key=jax.random.key(next(calls)))
        history = fit(step, objects, data, steps=steps, progress=False, **options)
        return {name: values[-LAST:].tolist() for name, values in history.items()}

    return run


def by_nnx_jit(step, objects, data, w):
    batches = jax.tree.map(jnp.asarray, cut(data, w))
    keys = itertools.cycle(list(jax.random.split(jax.random.key(0), 100)))

    def advance(*batch):
        return step(*objects, taken(batch, w), next(keys))

    return loop(advance, batches)


def build(implementation, w, data):
    """run(steps) -> the last losses by name, and the facts about it, a dict."""
    step, objects = step_and_objects(implementation, w)
    wrap = {"gencourse": by_fit, "flax": by_nnx_jit}[implementation]
    device = jax.devices()[0]
    facts = {
        "parameters": parameters(objects),
        "device": jax.default_backend(),
        "device_name": device.device_kind,
        "versions": {"jax": jax.__version__, "flax": flax.__version__},
    }
    return wrap(step, objects, data, w), facts
