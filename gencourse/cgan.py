"""The conditional GAN: chapter 3's game, in which both players are told the label.

    z (B, latent), y (B,) --Generator--> fake (B, *shape)
    x (B, *shape), y (B,) --Discriminator--> logit (B,)

The discriminator D judges pairs: is this a real picture *and* one of label y? The
generator G is asked for a label and must answer with such a picture. These networks
are dense; `conv_cgan.py` has convolutional ones, for the same step and samples.

Papers: M. Mirza, S. Osindero, "Conditional generative adversarial nets", 2014. Real
pictures under wrong labels (GAN-CLS): S. Reed and others, "Generative adversarial text
to image synthesis", ICML 2016.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gencourse import gan, looking
from gencourse.gan import LEAKY, noise
from gencourse.given import (
    check_alike,
    check_hidden,
    check_kind,
    check_labels,
    check_mismatched,
    check_numbers,
    check_seeds,
    check_sides,
    pair,
    whole,
)
from gencourse.initializers import lecun_normal, normal
from gencourse.layers import Dropout, Embed, LayerNorm, Linear

LECUN = lecun_normal()  # Flax's own; deviation 1 / sqrt(inputs)
STANDARD = normal(1.0)


class Generator(nnx.Module):
    """Seeds z (B, latent), labels y (B,), int -> (B, *shape), in the range of `last`.

    `hidden`: the widths of the dense layers, one or more. `draw(key, shape)` gives
    seeds, as in chapter 3. Labels lie in 0..`classes` - 1.
    A label becomes `embedding` learned numbers, joined to the seed. At first they have
    the seed's deviation, 1, so that neither drowns the other. With `classes=None` y is
    such vectors (B, embedding), float, given from outside, in place of labels; see
    `by_vectors` as well. `norm(width, rngs=...)` makes what stands
    before each activation but the first. `init`: of the kernels; `label_init`: of the
    labels' numbers.
    """

    def __init__(
        self,
        latent=100,
        hidden=(256, 512),
        shape=(28, 28, 1),
        classes=10,
        *,
        embedding=10,
        norm=LayerNorm,
        last=jnp.tanh,
        init=LECUN,
        label_init=STANDARD,
        draw=jax.random.normal,
        rngs: nnx.Rngs,
    ):
        check_numbers(latent=latent, embedding=embedding)
        check_hidden(hidden)
        self.latent, self.shape, self.classes = latent, tuple(shape), classes
        self.last, self.draw, self.embedding = last, draw, embedding
        self.embed = _embed(classes, embedding, label_init, rngs)
        widths = (latent + embedding, *hidden)
        self.hidden = nnx.List(_dense(widths, init, rngs))
        self.norms = nnx.List(norm(width, rngs=rngs) for width in hidden[1:])
        pixels = int(np.prod(shape))
        self.out = Linear(widths[-1], pixels, kernel_init=init, rngs=rngs)

    def __call__(self, z, y):
        x = join(z, self.vectors(y))  # (B, latent + embedding)
        norms = itertools.chain([None], self.norms)
        for dense, norm in zip(self.hidden, norms, strict=True):
            x = dense(x)  # (B, width)
            x = LEAKY(norm(x) if norm else x)
        x = self.last(self.out(x))  # (B, pixels)
        return x.reshape(len(x), *self.shape)  # (B, *shape)

    def vectors(self, y):
        """Return what labels y (B,) are turned into, (B, embedding); with
        `classes=None`, y itself."""
        check_kind(y.ndim != 1, self, y)
        if self.classes is None:
            return y
        y = jnp.where(y < 0, self.classes, whole(y))  # -1 would be the last class
        return self.embed(y)  # (B, embedding); NaN of a label out of range


class Discriminator(nnx.Module):
    """Pictures x (B, *shape) with labels y (B,) -> logits (B,): above 0, "a real pair".

    The pictures are in the range of the generator's. `hidden` as there.

    `dropout` is the share of each hidden layer but the first that is left out where a
    key is given. With `classes=None` y is vectors, as in the generator.
    """

    def __init__(
        self,
        hidden=(512, 256),
        shape=(28, 28, 1),
        classes=10,
        *,
        embedding=10,
        dropout=0.15,
        init=LECUN,
        label_init=STANDARD,
        rngs: nnx.Rngs,
    ):
        check_numbers(embedding=embedding)
        check_hidden(hidden)
        self.classes, self.embedding = classes, embedding
        self.embed = _embed(classes, embedding, label_init, rngs)
        self.shape = tuple(shape)
        widths = (int(np.prod(shape)) + embedding, *hidden)
        self.hidden = nnx.List(_dense(widths, init, rngs))
        self.dropout = Dropout(dropout)
        self.verdict = Linear(widths[-1], 1, kernel_init=init, rngs=rngs)

    def __call__(self, x, y, key=None):
        check_sides(x, self.shape)
        x = x.reshape(len(x), -1)  # (B, pixels)
        x = join(x, self.vectors(y))  # (B, pixels + embedding)
        keys = [None] * len(self.hidden)
        if key is not None:
            keys[1:] = jax.random.split(key, len(self.hidden) - 1)
        for dense, key in zip(self.hidden, keys, strict=True):
            x = LEAKY(dense(x))  # (B, width)
            x = self.dropout(x, deterministic=key is None, rngs=key)
        return self.verdict(x)[:, 0]  # (B,)

    vectors = Generator.vectors


def one_hot(network, y):
    """Labels y (B,), int, as one-hot vectors (B, classes), float; of a label out of
    range NaN, at which training stops. Of a network of vectors (see `by_vectors`), y
    itself."""
    check_kind(y.ndim != 1, network, y)
    if network.classes is None:
        return y
    inside = (y >= 0) & (y < network.classes)
    return jnp.where(inside[:, None], nnx.one_hot(whole(y), network.classes), jnp.nan)


def by_vectors(network):
    """Return a copy of a network that takes vectors (B, E) in place of labels.

    The vectors are those that labels are turned into, `network.vectors(y)`, and what
    lies between them: to ask for something between two labels.
    """
    copy = nnx.clone(network)
    copy.classes = None
    return copy


def join(x, y):
    """Rows (B, D) or maps (B, H, W, C), float, with y (B, E) at each place as E more:
    (B, D + E) or (B, H, W, C + E)."""
    if len(x) != len(y):  # one label would be told of all, silently
        raise ValueError(f"There are {len(y)} labels for {len(x)}: one each, in order.")
    places = y.reshape(len(y), *(1,) * (x.ndim - 2), -1)  # (B, 1, 1, E)
    there = jnp.broadcast_to(places, (*x.shape[:-1], y.shape[-1]))
    return jnp.concatenate([x, there], axis=-1)


@nnx.jit(static_argnames=("mismatched", "d_loss", "g_loss"))
def train_step(
    generator,
    discriminator,
    g_optimizer,
    d_optimizer,
    batch,
    key,
    mismatched=0.0,
    d_loss=gan.d_loss,
    g_loss=gan.g_loss,
):
    """One step of D, then one of G: chapter 3's, with the label told to both.

    Args:
      generator: `generator(z, y)` gives fakes; it has `latent`, `draw` and, if wrong
        labels are wanted, `classes`.
      discriminator: `discriminator(x, y, key)` gives logits (B,).
      g_optimizer, d_optimizer: an `nnx.Optimizer` of each one's `nnx.Param`s.
      batch: real pictures (B, *shape), float32, in the range of the generator's output,
        and their labels (B,), int, or, for networks of `classes=None`, vectors (B, E).
        The fakes are asked for the same.
      key: for the seeds, the wrong labels, and the discriminator's dropout.
      mismatched: from 0 to 1. Of what D is shown as not real, the weight of real
        pictures under a wrong label; the rest is the fakes'. Reed and others take 0.5.
      d_loss, g_loss: of logits, as in chapter 3. These three decide what is compiled:
        for `fit` fix them by functools.partial(train_step, mismatched=0.5).

    Returns:
      What chapter 3's step returns; with `mismatched` also "p_wrong", D's mean belief
      in the real pictures under a wrong label.

    Raises:
      ValueError: on a batch that is no pair, pictures of another shape than G's, labels
        of another number or dtype, and a `mismatched` that is no such share.
    """
    x, y = pair(batch)
    check_mismatched(mismatched, y, getattr(generator, "classes", None))
    z_key, wrong_key, *keys = jax.random.split(key, 6)
    z = noise(generator, len(x), z_key)  # (B, latent)
    # What a clone's BatchNorm learns of its batch goes with the clone.
    fake = nnx.clone(generator)(z, y)  # (B, *shape)
    check_alike(fake, x)
    wrong = wrong_labels(wrong_key, y, generator.classes) if mismatched else None

    def d_loss_fn(discriminator):
        on_real = discriminator(x, y, keys[0])  # (B,)
        on_fake = discriminator(fake, y, keys[1])  # (B,)
        real_term, fake_term = d_loss(on_real, on_fake)
        if not mismatched:
            return real_term + fake_term, (on_real, on_fake, None)
        on_wrong = discriminator(x, wrong, keys[3])  # (B,)
        _, wrong_term = d_loss(on_real, on_wrong)
        not_real = (1 - mismatched) * fake_term + mismatched * wrong_term
        return real_term + not_real, (on_real, on_fake, on_wrong)

    d_grad = nnx.value_and_grad(d_loss_fn, has_aux=True)
    (loss_d, (on_real, on_fake, on_wrong)), d_grads = d_grad(discriminator)
    d_optimizer.update(discriminator, d_grads)

    def g_loss_fn(generator, discriminator):
        return g_loss(discriminator(generator(z, y), y, keys[2]))

    g_grad = nnx.value_and_grad(g_loss_fn)  # by the generator, its first argument
    loss_g, g_grads = g_grad(generator, nnx.clone(discriminator))
    g_optimizer.update(generator, g_grads)
    told = gan.figures((loss_d, loss_g), (on_real, on_fake), (d_grads, g_grads))
    return told | ({"p_wrong": nnx.sigmoid(on_wrong).mean()} if mismatched else {})


def wrong_labels(key, y, classes=10):
    """For each label of y (N,), int, another of the `classes`, 2 or more: (N,), int,
    each other one as likely."""
    return (y + jax.random.randint(key, y.shape, 1, classes)) % classes


def sample(generator, labels, key):
    """One new picture for each of `labels` (N,), int: (N, *shape), float32.

    In the range of the generator's last function. One of `classes=None` takes vectors
    (N, E) in place of labels.

    Raises:
      ValueError: where labels are not whole numbers in 0..classes - 1, or vectors not
        as many numbers as the generator is told, or not finite; where labels are given
        to a network of vectors, or the reverse.
    """
    labels = check_labels(labels, generator)
    return generate(generator, noise(generator, len(labels), key), labels)


def generate(generator, z, labels):
    """What G makes of seeds z (N, latent), float, and labels (N,), int, row by row.

    Gives (N, *shape), float32. Its BatchNorms, if any, use their running statistics,
    and nothing moves. Raises as `sample`, and on seeds of another shape or number.
    """
    labels = check_labels(labels, generator)
    check_seeds(generator, z, len(labels))
    return looking.output(generator, z, labels)


def belief(discriminator, x, labels):
    """P(a real pair) of each picture of x (N, *shape) with its label: (N,), float32.

    Raises as `check`.
    """
    check((x, labels), (discriminator,), dark=False)
    return looking.probability(discriminator, x, labels)


def check(batch, objects=(), dark=True):
    """Raise a ValueError where `batch` is not pictures and their labels, as a pair.

    The pictures as in chapter 3; the labels (N,), int, in 0..classes - 1, where those
    of `objects` that have `classes` say how many; or, where that is None, vectors
    (N, E), float. JAX itself would take any: an embedding answers label 10 of 10
    classes with NaN, a one-hot vector is then all 0.
    """
    x, labels = pair(batch)
    if not hasattr(x, "shape"):
        raise ValueError(f"x is one array of pictures; given {type(x).__name__}.")
    gan.check(x, dark=dark)
    classes = [o for o in objects if hasattr(o, "classes")] or [None]
    for network in classes:
        check_labels(labels, network, len(x))


train_step.check_batch = check  # fit asks it of all data


def _embed(classes, embedding, init, rngs):
    """Return the labels' vectors, to be learned, or None where labels are vectors."""
    if classes is None:
        return None
    check_numbers(classes=classes)
    return Embed(classes, embedding, embedding_init=init, rngs=rngs)


def _dense(widths, init, rngs):
    pairs = itertools.pairwise(widths)
    return [Linear(i, o, kernel_init=init, rngs=rngs) for i, o in pairs]
