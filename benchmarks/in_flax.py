"""The workloads in Flax NNX: with gencourse's layers and `fit`, or as plain Flax.

The networks are the chapters' own; plain Flax has its own layers in their place. (The
faces' are below, since chapter 2's have other widths.) The steps are the chapters',
too. Only a GAN's, which measures more than the losses, has a plain one beside it.
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

from benchmarks.workloads import (
    EPSILON,
    L1_WEIGHT,
    LAST,
    MOMENTUM,
    SLOPE,
    cut,
    loop,
    taken,
)
from gencourse import autoencoder, cgan, dcgan, gan, layers, pix2pix, vae, vae_faces
from gencourse.layers import initializers
from gencourse.system import malloc
from gencourse.train import fit

malloc.retain_freed_memory()  # as notebooks do at their start


class Layers(NamedTuple):
    Conv: Callable
    ConvTranspose: Callable
    Dropout: Callable
    Linear: Callable
    BatchNorm: Callable
    LayerNorm: Callable
    InstanceNorm: Callable
    Embed: Callable
    normal: Callable


def flax_conv(i, o, kernel_size, strides=1, **options):
    return nnx.Conv(i, o, kernel_size, strides=(strides, strides), **options)


def flax_conv_transpose(i, o, kernel_size, strides=1, **options):
    strides = (strides, strides)
    return nnx.ConvTranspose(i, o, kernel_size, strides=strides, **options)


LAYERS = {
    "gencourse": Layers(
        *(getattr(layers, name) for name in Layers._fields[:-1]), initializers.normal
    ),
    "flax": Layers(
        flax_conv,
        flax_conv_transpose,
        nnx.Dropout,
        nnx.Linear,
        nnx.BatchNorm,
        nnx.LayerNorm,
        nnx.InstanceNorm,
        nnx.Embed,
        nnx.initializers.normal,
    ),
}


@contextlib.contextmanager
def chapter_with(module, made_of):
    """A chapter's networks are made of other layers while this lasts."""
    before = {k: v for k, v in vars(module).items() if k in made_of._fields}
    try:
        vars(module).update({name: getattr(made_of, name) for name in before})
        yield
    finally:
        vars(module).update(before)


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
        self.norms = nnx.List(norm(o, made_of=made_of, rngs=rngs) for _, o in sizes)
        self.out = made_of.Linear(w.start**2 * w.down[-1], out, rngs=rngs)

    def __call__(self, x):
        for conv, batch_norm in zip(self.convs, self.norms, strict=True):
            x = leaky(batch_norm(conv(x)))  # (B, H / 2, W / 2, C)
        return self.out(x.reshape(len(x), -1))  # (B, out)


class Decoder(nnx.Module):
    """Codes (B, latent) -> logits (B, H, W, 3): convolutions that double the side."""

    def __init__(self, w, latent, *, made_of, rngs: nnx.Rngs):
        self.first = (w.start, w.start, w.up[0])
        self.dense = made_of.Linear(latent, int(np.prod(self.first)), rngs=rngs)
        self.norm = norm(self.dense.out_features, made_of=made_of, rngs=rngs)
        sizes = list(itertools.pairwise((w.up[0], *w.up)))
        self.convs = nnx.List(
            made_of.ConvTranspose(i, o, (3, 3), strides=2, rngs=rngs) for i, o in sizes
        )
        self.norms = nnx.List(norm(o, made_of=made_of, rngs=rngs) for _, o in sizes)
        self.to_image = made_of.Conv(w.up[-1], w.shape[-1], (3, 3), rngs=rngs)

    def __call__(self, z):
        x = leaky(self.norm(self.dense(z)))
        x = x.reshape(len(x), *self.first)  # (B, 2, 2, C)
        for conv, batch_norm in zip(self.convs, self.norms, strict=True):
            x = leaky(batch_norm(conv(x)))  # (B, 2 * H, 2 * W, C)
        return self.to_image(x)  # (B, H, W, 3)


def norm(features, *, made_of, rngs):
    options = {"momentum": MOMENTUM, "epsilon": EPSILON, "rngs": rngs}
    return made_of.BatchNorm(features, use_running_average=False, **options)


# --- steps ---------------------------------------------------------------------


@nnx.jit
def plain_gan_step(generator, discriminator, g_optimizer, d_optimizer, batch, key):
    """What `gan.train_step` and `cgan.train_step` do to the networks, and the two
    losses alone.

    batch: pictures, or pictures and labels. One z for both updates: the compiler finds
    that the fakes are wanted twice.
    """
    x, *labels = batch if isinstance(batch, tuple) else (batch,)
    z_key, *keys = jax.random.split(key, 4)
    z = jax.random.normal(z_key, (len(x), generator.latent))
    fake = nnx.clone(generator)(z, *labels)  # its BatchNorm learns only once

    def d_loss_fn(discriminator):
        on_real = discriminator(x, *labels, key=keys[0])
        on_fake = discriminator(fake, *labels, key=keys[1])
        return cross_entropy(on_real, 1) + cross_entropy(on_fake, 0)

    d_loss, grads = nnx.value_and_grad(d_loss_fn)(discriminator)
    d_optimizer.update(discriminator, grads)

    def g_loss_fn(generator, discriminator):
        fake = generator(z, *labels)
        return cross_entropy(discriminator(fake, *labels, key=keys[2]), 1)

    g_loss, grads = nnx.value_and_grad(g_loss_fn)(generator, discriminator)
    g_optimizer.update(generator, grads)
    return {"d_loss": d_loss, "g_loss": g_loss}


@nnx.jit
def plain_pix2pix_step(generator, discriminator, g_optimizer, d_optimizer, batch, key):
    """What `pix2pix.train_step` does to the networks, and the losses alone."""
    x, y = batch
    fake = nnx.clone(generator)(x)

    def d_loss_fn(discriminator):
        on_real, on_fake = discriminator(x, y), discriminator(x, fake)
        return (cross_entropy(on_real, 1) + cross_entropy(on_fake, 0)) / 2

    d_loss, grads = nnx.value_and_grad(d_loss_fn)(discriminator)
    d_optimizer.update(discriminator, grads)

    def g_loss_fn(generator, discriminator):
        fake = generator(x)
        verdict = cross_entropy(discriminator(x, fake), 1)
        l1 = jnp.abs(y - fake).mean()
        return verdict + L1_WEIGHT * l1, (verdict, l1)

    g_grad = nnx.value_and_grad(g_loss_fn, has_aux=True)
    (_, (g_loss, l1)), grads = g_grad(generator, discriminator)
    g_optimizer.update(generator, grads)
    return {"d_loss": d_loss, "g_loss": g_loss, "l1": l1}


def cross_entropy(logits, target):
    return optax.sigmoid_binary_cross_entropy(
        logits, jnp.full_like(logits, target)
    ).mean()


# --- all together --------------------------------------------------------------


def models(w, made_of, rngs):
    """The models of a workload: one, or generator and discriminator."""
    if w.networks == "chapter1":
        with chapter_with(autoencoder, made_of):
            if w.game == "autoencoder":
                return (autoencoder.Autoencoder(w.latent, rngs=rngs),)
            return (vae.VAE(w.latent, rngs=rngs),)
    if w.networks == "faces":
        model = vae.VAE(
            w.latent,
            encoder=functools.partial(Encoder, w, made_of=made_of),
            decoder=functools.partial(Decoder, w, made_of=made_of),
            likelihood=functools.partial(
                vae_faces.squared_error, variance=math.prod(w.shape) / 4000
            ),
            rngs=rngs,
        )
        return (model,)
    if w.networks == "mlp":
        with chapter_with(gan, made_of):
            generator = gan.Generator(w.latent, w.up, w.shape, rngs=rngs)
            return generator, gan.Discriminator(w.down, w.shape, rngs=rngs)
    if w.networks == "conv":
        sizes = dict(shape=w.shape, width=w.up[-1], rngs=rngs)
        with chapter_with(dcgan, made_of):
            discriminator = dcgan.Discriminator(**sizes, dropout=w.dropout)
            return dcgan.Generator(**sizes, latent=w.latent), discriminator
    if w.networks == "unet":
        with chapter_with(pix2pix, made_of):
            generator = pix2pix.Generator(w.shape, 1, w.up[0], rngs=rngs)
            d = dict(halvings=len(w.down) - 1, rngs=rngs)
            return generator, pix2pix.Discriminator(w.shape, 1, w.down[0], **d)
    small = made_of.normal(0.02)
    options = dict(shape=w.shape, kernel_init=small, embedding_init=small, rngs=rngs)
    with chapter_with(cgan, made_of):
        discriminator = cgan.Discriminator(w.down, dropout=w.dropout, **options)
        norms = {"norm": functools.partial(norm, made_of=made_of)}
        return cgan.Generator(w.latent, w.up, **norms, **options), discriminator


def step_and_objects(implementation, w):
    """(step, objects) as `fit` takes them: models, then an optimizer for each."""
    made = models(w, LAYERS[implementation], nnx.Rngs(0))
    optimizers = [
        nnx.Optimizer(m, optax.adam(w.learning_rate, b1=w.beta1), wrt=nnx.Param)
        for m in made
    ]
    return step_of(implementation, w), (*made, *optimizers)


def step_of(implementation, w):
    """The chapter's step. Of a GAN it measures more than losses: plain Flax has one
    that does not."""
    if w.game != "gan":
        return {"autoencoder": autoencoder, "vae": vae}[w.game].train_step
    if w.networks == "unet":
        return plain_pix2pix_step if implementation == "flax" else pix2pix.train_step
    if implementation == "flax":
        return plain_gan_step
    return cgan.train_step if w.networks == "conditional" else gan.train_step


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
