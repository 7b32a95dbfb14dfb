"""The generative adversarial network: two networks, and each is the other's teacher.

    z (B, latent) --Generator--> fake (B, *shape) --Discriminator--> logit (B,)
                          x real (B, *shape) --Discriminator--> logit (B,)

The discriminator D learns to tell real from fake; the generator G learns to make what
D takes for real. G never sees a real picture: all it has is D's gradient. A logit's
sigmoid is P(real), what D believes.

Paper: I. J. Goodfellow and others, "Generative adversarial nets", NIPS 2014. The
squared error, there on logits, is of X. Mao and others, "Least squares generative
adversarial networks", ICCV 2017.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from gencourse import looking
from gencourse.devices import spread
from gencourse.given import check_alike, check_hidden, check_numbers, check_seeds
from gencourse.given import check_pictures as check
from gencourse.layers import Dropout, LayerNorm, Linear

LEAKY = functools.partial(nnx.leaky_relu, negative_slope=0.2)


class Generator(nnx.Module):
    """Seeds z (B, latent) -> (B, *shape), in the range of `last`: tanh's is [-1, 1].

    `draw(key, shape)` gives seeds. With `norm`, a LayerNorm stands after each
    activation.
    """

    def __init__(
        self,
        latent=100,
        hidden=(256, 512),
        shape=(28, 28, 1),
        *,
        activation=LEAKY,
        norm=True,
        last=jnp.tanh,
        draw=jax.random.normal,
        rngs: nnx.Rngs,
    ):
        check_numbers(latent=latent)
        check_hidden(hidden, least=0)
        self.latent, self.shape = latent, tuple(shape)
        self.activation, self.last, self.draw = activation, last, draw
        widths = (latent, *hidden)
        self.hidden = nnx.List(_dense(widths, rngs))
        self.norms = nnx.List(_norms(hidden if norm else (), rngs))
        self.out = Linear(widths[-1], int(np.prod(shape)), rngs=rngs)

    def __call__(self, z):
        for dense, norm in itertools.zip_longest(self.hidden, self.norms):
            z = self.activation(dense(z))  # (B, width)
            z = norm(z) if norm else z
        x = self.last(self.out(z))  # (B, pixels)
        return x.reshape(len(x), *self.shape)  # (B, *shape)


class Discriminator(nnx.Module):
    """Pictures or points (B, *shape) -> logits (B,): above 0 it says "real".

    `dropout` is the share of each hidden layer that is left out, by chance, where a
    key is given, as in training; `norm` as in the generator.
    """

    def __init__(
        self,
        hidden=(512, 256),
        shape=(28, 28, 1),
        *,
        activation=LEAKY,
        norm=False,
        dropout=0.0,
        rngs: nnx.Rngs,
    ):
        check_hidden(hidden, least=0)
        self.activation = activation
        widths = (int(np.prod(shape)), *hidden)
        self.hidden = nnx.List(_dense(widths, rngs))
        self.norms = nnx.List(_norms(hidden if norm else (), rngs))
        self.dropout = Dropout(dropout)
        self.verdict = Linear(widths[-1], 1, rngs=rngs)

    def __call__(self, x, key=None):
        x = x.reshape(len(x), -1)  # (B, pixels)
        keys = [None] * len(self.hidden)
        if key is not None:
            keys = jax.random.split(key, len(self.hidden))
        for dense, norm, key in itertools.zip_longest(self.hidden, self.norms, keys):
            x = self.activation(dense(x))  # (B, width)
            x = norm(x) if norm else x
            x = self.dropout(x, deterministic=key is None, rngs=key)
        return self.verdict(x)[:, 0]  # (B,)


def d_loss(real, fake):
    """D's two terms, of logits (B,) and (B,): -log P(real), and -log(1 - P(fake)).

    Each is a mean over the batch, in nats; log 2 where D cannot tell. Goodfellow and
    others, equation 1. softplus(a) = log(1 + exp(a)) stays exact for any logit.
    """
    return nnx.softplus(-real).mean(), nnx.softplus(fake).mean()


def g_loss(fake):
    """-log P(fake), mean over logits (B,): strong where G is bad ("non-saturating")."""
    return nnx.softplus(-fake).mean()


def g_loss_min_max(fake):
    """log(1 - P(fake)): D's second term with the sign turned; flat where G is bad."""
    return -nnx.softplus(fake).mean()


def d_squared_error(real, fake):
    """(P(real) - 1)^2 and P(fake)^2, of logits; each 1/4 where D cannot tell."""
    return ((nnx.sigmoid(real) - 1) ** 2).mean(), (nnx.sigmoid(fake) ** 2).mean()


def g_squared_error(fake):
    """(P(fake) - 1)^2, mean over logits (B,)."""
    return ((nnx.sigmoid(fake) - 1) ** 2).mean()


@nnx.jit(static_argnames=("d_loss", "g_loss"))
def train_step(
    generator,
    discriminator,
    g_optimizer,
    d_optimizer,
    batch,
    key,
    d_loss=d_loss,
    g_loss=g_loss,
):
    """One step of D, then one of G. Neither moves anything of the other.

    Args:
      generator: `generator(z)` gives fakes; it has `latent` and `draw`.
      discriminator: `discriminator(x, key)` gives logits (B,).
      g_optimizer, d_optimizer: an `nnx.Optimizer` of each one's `nnx.Param`s.
      batch: real ones (B, *shape), float32, in the range of the generator's output.
      key: for the seeds, and for the discriminator's dropout if it has one.
      d_loss, g_loss: of logits, as above. For others: functools.partial(train_step,
        d_loss=d_squared_error, g_loss=g_squared_error).

    Returns:
      "d_loss" (its two terms added) and "g_loss"; "p_real" and "p_fake", D's mean
      belief in either; "real_right" and "fake_right", the shares that D names rightly;
      "d_norm" and "g_norm", the lengths of both gradients. D's figures are from before
      its step, G's from after it.
    """
    z_key, *keys = jax.random.split(key, 4)
    z = noise(generator, len(batch), z_key)  # (B, latent)

    # What a clone's BatchNorm learns of its batch goes with the clone.
    fake = nnx.clone(generator)(z)  # (B, *shape)
    check_alike(fake, batch)

    def d_loss_fn(discriminator):
        on_real = discriminator(batch, keys[0])  # (B,)
        on_fake = discriminator(fake, keys[1])  # (B,)
        return sum(d_loss(on_real, on_fake)), (on_real, on_fake)

    d_grad = nnx.value_and_grad(d_loss_fn, has_aux=True)
    (loss_d, (on_real, on_fake)), d_grads = d_grad(discriminator)
    d_optimizer.update(discriminator, d_grads)

    def g_loss_fn(generator, discriminator):
        return g_loss(discriminator(generator(z), keys[2]))

    g_grad = nnx.value_and_grad(g_loss_fn)  # by the generator, its first argument
    loss_g, g_grads = g_grad(generator, nnx.clone(discriminator))
    g_optimizer.update(generator, g_grads)
    return figures((loss_d, loss_g), (on_real, on_fake), (d_grads, g_grads))


train_step.check_batch = check  # fit asks it of all data


def figures(losses, logits, gradients):
    """What a step returns, of D's and G's losses, D's logits of real and fake (B,),
    and both networks' gradients: a dict of scalars, told in `train_step`."""
    (loss_d, loss_g), (on_real, on_fake), (d_grads, g_grads) = losses, logits, gradients
    return {
        "d_loss": loss_d,
        "g_loss": loss_g,
        "p_real": nnx.sigmoid(on_real).mean(),
        "p_fake": nnx.sigmoid(on_fake).mean(),
        "real_right": (on_real > 0).mean(),
        "fake_right": (on_fake < 0).mean(),
        "d_norm": optax.tree.norm(d_grads),
        "g_norm": optax.tree.norm(g_grads),
    }


def average(mean, network, decay=0.999):
    """Move the weights of `mean` a little towards those of `network`, inside a step.

    mean: a clone of `network` from before training. decay: what stays of it; it is a
    running mean over about 1 / (1 - decay) steps. Two players circle; the mean of a
    circle is nearer to its middle than any point that they come by. Source: Y. Yazici
    and others, "The unusual effectiveness of averaging in GAN training", ICLR 2019.
    """

    def towards(old, new):
        return old + (1 - decay) * (new - old)

    moved = nnx.Param, nnx.BatchStat  # BatchNorms' running statistics too
    states = (nnx.state(a, moved) for a in (mean, network))
    nnx.update(mean, jax.tree.map(towards, *states))


def noise(generator, n, key):
    """n seeds (n, latent), float32, from the distribution that G was trained on."""
    return spread(generator.draw(key, (n, generator.latent)))


def sample(generator, n, key):
    """n new ones (n, *shape), float32, in the range of G's last function."""
    check_numbers(n=n)
    return generate(generator, noise(generator, n, key))


def generate(generator, z):
    """What G makes of seeds z (N, latent), float: (N, *shape), float32.

    Its BatchNorms, if any, use their running statistics, and nothing moves.
    """
    check_seeds(generator, z)
    return looking.output(generator, z)


def belief(discriminator, x):
    """P(real) of each row of x (N, *shape), float: (N,), float32."""
    check(x, dark=False)
    return looking.probability(discriminator, x)


def _dense(widths, rngs):
    return [Linear(i, o, rngs=rngs) for i, o in itertools.pairwise(widths)]


def _norms(widths, rngs):
    return [LayerNorm(width, rngs=rngs) for width in widths]
