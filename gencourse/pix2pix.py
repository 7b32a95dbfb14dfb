"""Pix2Pix: a picture as the condition, and pairs to learn the translation from.

    x (B, side, side, C) --Generator, a U-Net--> fake (B, side, side, C'), in [-1, 1]
    x, y or fake --Discriminator, a PatchGAN--> logits (B, h, w): each for one patch

D judges pairs: is this patch of y real *and* does it belong to what x has there? G
must deceive it, and also come near to the true picture y, pixel by pixel (L1).

Paper: P. Isola, J.-Y. Zhu, T. Zhou, A. A. Efros, "Image-to-image translation with
conditional adversarial networks", CVPR 2017. The U-Net: O. Ronneberger, P. Fischer, T.
Brox, MICCAI 2015.
"""

import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.typing import ArrayLike

from gencourse import gan, inference
from gencourse.dcgan import feature_map_sizes
from gencourse.gan import LEAKY
from gencourse.layers import Conv, ConvTranspose, Dropout, InstanceNorm, dropout_rngs
from gencourse.validation import check_int, check_numbers, check_pair, check_same_shape


class Generator(nnx.Module):
    """A U-Net: pictures x (B, side, side, source) -> (B, side, side, C), in [-1, 1].

    The side is halved down to 4 (or 7) and doubled again. On the way up each map is
    joined by the map of its size from the way down: a skip, which carries *where*
    things are past the narrow middle. The last map is joined by x itself, and one more
    convolution looks at both: the paper's network ends without it.

    Args:
      shape: of what it makes, (side, side, C); the side is 4 or 7, doubled once or
        more.
      source: channels of x.
      width: channels of the first map, even; they double as the side halves. The last
        map has half of them.
      skips: whether there are any.
      dropout: the rate of it in the first two maps on the way up, if there are so many
        and the call is given a key: the paper's noise.
    """

    def __init__(
        self,
        shape=(64, 64, 3),
        source=1,
        width=24,
        *,
        skips=True,
        dropout=0.0,
        rngs: nnx.Rngs,
    ):
        _, widths = feature_map_sizes(shape, width)
        check_numbers(source=source)
        self.shape, self.source, self.skips = tuple(shape), source, skips
        options = dict(kernel_size=(4, 4), strides=2, rngs=rngs)
        sizes = itertools.pairwise((source, *widths))
        self.downs = nnx.List(  # a norm takes a bias away again
            Conv(i, o, use_bias=o == width, **options) for i, o in sizes
        )
        self.down_norms = nnx.List(InstanceNorm(w, rngs=rngs) for w in widths[1:])
        twice = 2 if skips else 1
        inputs = [widths[-1], *(twice * w for w in widths[-2::-1])]
        outputs = [*widths[-2::-1], width // 2]
        self.ups = nnx.List(
            ConvTranspose(i, o, use_bias=o == width // 2, **options)
            for i, o in zip(inputs, outputs, strict=True)
        )
        self.up_norms = nnx.List(InstanceNorm(w, rngs=rngs) for w in outputs[:-1])
        last = width // 2 + source if skips else width // 2
        self.out = Conv(last, shape[-1], (3, 3), rngs=rngs)
        self.dropout = Dropout(dropout)

    def __call__(self, x, key=None):
        return jnp.tanh(self.out(self.last_map(x, key)))  # (B, side, side, C)

    def last_map(self, x, key=None):
        """Return what is painted from: (B, side, side, width / 2 + source)."""
        rngs, maps = dropout_rngs(key), [x]
        for down, norm in itertools.zip_longest(self.downs, [None, *self.down_norms]):
            x = down(x)  # (B, H / 2, W / 2, 2 * C)
            x = LEAKY(norm(x) if norm else x)
            maps.append(x)
        maps.pop()  # the last one is where the way up begins
        for i, (up, norm) in enumerate(zip(self.ups, self.up_norms, strict=False)):
            x = nnx.relu(norm(up(x)))  # (B, 2 * H, 2 * W, C / 2)
            x = self.dropout(x, rngs=rngs) if i < 2 else x
            x = self._join(x, maps.pop())
        return self._join(nnx.relu(self.ups[-1](x)), maps.pop())

    def _join(self, x, skip):
        return jnp.concatenate([x, skip], axis=-1) if self.skips else x


class Discriminator(nnx.Module):
    """Pairs x (B, side, side, source), y (B, side, side, C) -> logits (B, h, w).

    A logit sees a patch of `receptive_field` pixels a side. With `norm`, as the paper
    has it, it also knows the mean and deviation of whole maps, by InstanceNorm; but a
    map's own level, such as "all of this is red", is taken out of it.

    Args:
      shape: of y. source: channels of x; 0 if pictures are judged alone.
      width: channels of the first map.
      halvings: how many convolutions halve the side. Two more do not. So a patch has
        16, 34 or 70 pixels a side for 1, 2 or 3 of them. 0: a single pixel.
      norm: whether all but the first and the last are followed by InstanceNorm.
    """

    def __init__(
        self,
        shape=(64, 64, 3),
        source=1,
        width=24,
        *,
        halvings=2,
        norm=True,
        rngs: nnx.Rngs,
    ):
        check_numbers(width=width)
        check_int("source", source, least=0)
        check_int("halvings", halvings, least=0)
        self.shape, self.source = tuple(shape), source
        kernel = (4, 4) if halvings else (1, 1)
        widths = [source + shape[-1], *(width * 2**i for i in range(halvings + 1))]
        strides = [2] * halvings + [1]
        self.convs = nnx.List(
            Conv(i, o, kernel, strides=s, use_bias=o == width or not norm, rngs=rngs)
            for (i, o), s in zip(itertools.pairwise(widths), strides, strict=True)
        )
        normed = widths[2:] if norm else []
        self.norms = nnx.List(InstanceNorm(w, rngs=rngs) for w in normed)
        self.logits = Conv(widths[-1], 1, kernel, rngs=rngs)

    def __call__(self, x, y):
        if x.shape[:3] != y.shape[:3] or y.shape[1:] != self.shape:
            raise ValueError(
                f"This discriminator takes pairs of x and pictures (B, "
                f"{str(self.shape)[1:]}; given {x.shape} and {y.shape}."
            )
        return self.judge(jnp.concatenate([x, y], axis=-1))  # (B, h, w)

    def judge(self, h):
        """Return the logits (B, h, w) of pictures (B, side, side, channels)."""
        for conv, norm in itertools.zip_longest(self.convs, [None, *self.norms]):
            h = conv(h)  # (B, H / 2, W / 2, 2 * C), the last one (B, H, W, 2 * C)
            h = LEAKY(norm(h) if norm else h)
        return self.logits(h)[..., 0]  # (B, h, w)

    @property
    def receptive_field(self):
        """The side of the patch that a logit sees, in pixels."""
        pixels = 1
        for conv in reversed([*self.convs, self.logits]):
            stride = conv.strides if isinstance(conv.strides, int) else conv.strides[0]
            pixels = (pixels - 1) * stride + conv.kernel_size[0]
        return pixels


@nnx.jit(static_argnames=("adversarial", "d_loss", "g_loss"))
def train_step(
    generator: nnx.Module,
    discriminator: nnx.Module,
    g_optimizer: nnx.Optimizer,
    d_optimizer: nnx.Optimizer,
    batch: tuple[jax.Array, jax.Array],
    key: jax.Array,
    l1_weight: float = 100.0,
    adversarial: bool = True,
    d_loss: Callable = gan.d_loss,
    g_loss: Callable = gan.g_loss,
) -> dict[str, jax.Array]:
    """Update D once, then G once, on pairs: G by D's verdict and by the L1 distance.

    Args:
      generator: `generator(x, key)` returns fakes.
      discriminator: `discriminator(x, y)` returns logits (B, h, w).
      g_optimizer, d_optimizer: an `nnx.Optimizer` of each one's `nnx.Param`s.
      batch: what is given, x, and what is wanted, y: both (B, side, side, channels),
        float32, in [-1, 1], in the same order.
      key: for G's dropout.
      l1_weight: what the mean of |y - fake| weighs beside D's verdict; the paper's is
        100, also of pictures in [-1, 1].
      adversarial: whether D plays. If not, it stands still, and G learns by L1 alone.
      d_loss, g_loss: functions of logits, as in chapter 3. D's is halved, as in the
        paper. These and `adversarial` decide what is compiled: for `fit` use
        functools.partial(train_step, adversarial=False).

    Returns:
      What chapter 3's step returns, over all patches, and "l1", the mean of |y - fake|.
      "g_loss" is D's verdict without L1; "d_loss", halved, is log 2 if D cannot tell.
      Without D "l1" and "g_grad_norm" alone.

    Raises:
      ValueError: if the batch is not a pair, or G's pictures have another shape than y.
    """
    x, y = check_pair(batch)

    def g_loss_fn(generator, discriminator):
        fake = generator(x, key)  # (B, side, side, C)
        check_same_shape(fake, y)
        l1 = jnp.abs(y - fake).mean()
        verdict = g_loss(discriminator(x, fake)) if adversarial else 0.0
        return verdict + l1_weight * l1, (verdict, l1)

    g_grad = nnx.value_and_grad(g_loss_fn, has_aux=True)
    if not adversarial:
        (_, (_, l1)), g_grads = g_grad(generator, None)
        g_optimizer.update(generator, g_grads)
        return {"l1": l1, "g_grad_norm": optax.tree.norm(g_grads)}

    fake = nnx.clone(generator)(x, key)  # (B, side, side, C)

    def d_loss_fn(discriminator):
        on_real, on_fake = discriminator(x, y), discriminator(x, fake)  # (B, h, w)
        return sum(d_loss(on_real, on_fake)) / 2, (on_real, on_fake)

    d_grad = nnx.value_and_grad(d_loss_fn, has_aux=True)
    (loss_d, logits), d_grads = d_grad(discriminator)
    d_optimizer.update(discriminator, d_grads)
    (_, (loss_g, l1)), g_grads = g_grad(generator, nnx.clone(discriminator))
    g_optimizer.update(generator, g_grads)
    metrics = gan.step_metrics((loss_d, loss_g), logits, (d_grads, g_grads))
    return metrics | {"l1": l1}


def translate(
    generator: nnx.Module, x: ArrayLike, key: jax.Array | None = None
) -> jax.Array:
    """Return what G makes of pictures x (N, side, side, source): (N, side, side, C).

    In [-1, 1], float32, and nothing changes. Without a key there is no noise: the same
    picture always becomes the same one. With a key G's dropout acts, as in training.

    Raises:
      ValueError: if x has another shape than G takes, or lies outside of [-1, 1].
    """
    check_source(generator, x)
    if key is None:
        return inference.predict(generator, x)
    keys = jax.random.split(key, len(x))
    return inference.map_batches(_translate_with_noise, generator, x, keys)


@nnx.jit
def _translate_with_noise(generator, x, keys):
    return generator(x, keys[0])  # the rows draw differently from one key


def check_source(network, x):
    """Raise ValueError if x is not pictures that G, or D as a source, takes."""
    wanted = (*network.shape[:2], network.source)
    if np.ndim(x) != 4 or np.shape(x)[1:] != wanted or not len(x):
        raise ValueError(
            f"{type(network).__name__} takes pictures x (N, {str(wanted)[1:]}; given "
            f"{np.shape(x)}."
        )
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating) or not np.abs(x).max() <= 1:
        raise ValueError(
            f'Pictures are float and in [-1, 1]: data.scale(x, "tanh"). Given '
            f"{x.dtype} in [{np.min(x):g}, {np.max(x):g}]."
        )


def check(batch, objects=()):
    """Raise ValueError if `batch` is not pairs: x and y (N, side, side, channels),
    float, in [-1, 1], as many of the one as of the other, and as `objects` take them.

    Whether each x belongs to its y cannot be seen from the numbers.
    """
    x, y = check_pair(batch)
    for pictures in (x, y):
        gan.check(pictures, expect_negative=False)
    for network in objects:
        if isinstance(network, (Generator, Discriminator)):
            check_source(network, x[:1])
            if y.shape[1:] != network.shape:
                raise ValueError(
                    f"{type(network).__name__} is made for pictures {network.shape}; "
                    f"what is wanted, y, has {y.shape[1:]}."
                )


train_step.check_batch = check  # fit calls it on all of its data
