"""CycleGAN: translation between two domains, both ways, without pairs.

    a (B, side, side, C) --generators.b--> fake b --generators.a--> a again
    b (B, side, side, C) --generators.a--> fake a --generators.b--> b again
    pictures (B, side, side, C) --discriminators.a, .b--> verdicts (B, h, w)

In each domain a game asks that the fakes look like its pictures. Any of them would do,
so more is asked: whoever goes there and back must arrive where it began, the cycle;
and a picture of b is to be left as it is on its way to b, the identity.

Paper: J.-Y. Zhu, T. Park, P. Isola, A. A. Efros, "Unpaired image-to-image translation
using cycle-consistent adversarial networks", ICCV 2017. The squared error: X. Mao and
others, ICCV 2017. The buffer: A. Shrivastava and others, CVPR 2017. A generator that
says where it paints: A. Pumarola and others, "GANimation", ECCV 2018.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.typing import ArrayLike

from gencourse import gan, pix2pix
from gencourse.layers import Conv
from gencourse.validation import check_int


class Domains(nnx.Module):
    """Two of a kind, one for each domain: `a` and `b`.

    Of generators `b` is the one that makes pictures of b, out of pictures of a. Of
    discriminators `b` judges pictures of b, and of buffers it keeps fakes of b.
    """

    def __init__(self, a: nnx.Module, b: nnx.Module):
        self.a, self.b = a, b


class Generator(pix2pix.Generator):
    """Pictures x (B, side, side, C) -> pictures of the other domain, in [-1, 1].

    Chapter 6's U-Net decides at each pixel what to paint there, in [-1, 1], and how
    much of it covers what was there, in [0, 1]. What it need not change it leaves.

    Args:
      shape, width, skips, dropout: as in chapter 6.
      keeps: whether it paints *over* x. If not, there is no cover, and everything is
        painted, as in the paper.
    """

    def __init__(
        self, shape=(64, 64, 3), width=12, *, keeps=True, rngs: nnx.Rngs, **options
    ):
        super().__init__(shape, shape[-1], width, rngs=rngs, **options)
        last = self.out.in_features
        self.cover = Conv(last, 1, (3, 3), rngs=rngs) if keeps else None

    def __call__(self, x, key=None):
        h = self.last_map(x, key)
        paint = jnp.tanh(self.out(h))  # (B, side, side, C)
        if self.cover is None:
            return paint
        cover = nnx.sigmoid(self.cover(h))  # (B, side, side, 1)
        return x + cover * (paint - x)


class Discriminator(pix2pix.Discriminator):
    """Pictures (B, side, side, C) -> verdicts (B, h, w), each of one patch.

    Chapter 6's, without a second picture. A verdict is any number, no logit: 1 says
    "real", 0 says "fake".

    Args:
      shape, width, halvings, norm: as in chapter 6.
    """

    def __init__(self, shape=(64, 64, 3), width=12, *, rngs: nnx.Rngs, **options):
        super().__init__(shape, 0, width, rngs=rngs, **options)

    def __call__(self, x):
        if x.shape[1:] != self.shape:
            raise ValueError(
                f"This discriminator takes pictures (B, {str(self.shape)[1:]}; given "
                f"{x.shape}."
            )
        return self.judge(x)


class Buffer(nnx.Module):
    """The last fakes, of which D is shown some again, lest it forget them.

    Args:
      shape: of a picture. size: how many are kept; 0 for none.
    """

    def __init__(self, shape=(64, 64, 3), size=50):
        self.size = check_int("size", size, least=0)
        self.pictures = nnx.Variable(jnp.zeros((size, *shape)))
        self.count = nnx.Variable(jnp.zeros((), jnp.int32))

    def exchange(self, fakes: jax.Array, key: jax.Array) -> jax.Array:
        """Take fakes (B, *shape) one by one, and give as many.

        Until it is full each is kept, and given. From then on one in two is exchanged:
        it stays here, and the one whose place it takes is given.
        """
        if not self.size:
            return fakes

        def take(kept, fake_and_key):
            (pictures, count), (fake, key) = kept, fake_and_key
            swap_key, place_key = jax.random.split(key)
            is_full = count == self.size
            place = jax.random.randint(place_key, (), 0, self.size)
            place = jnp.where(is_full, place, count)
            swap = is_full & jax.random.bernoulli(swap_key)
            given = jnp.where(swap, pictures[place], fake)
            stays = jnp.where(is_full & ~swap, pictures[place], fake)
            return (pictures.at[place].set(stays), count + ~is_full), given

        kept = self.pictures[...], self.count[...]
        keys = jax.random.split(key, len(fakes))
        kept, given = jax.lax.scan(take, kept, (fakes, keys))
        self.pictures[...], self.count[...] = kept
        return given


def d_loss(real: ArrayLike, fake: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Return (D(real) - 1)^2 and D(fake)^2, means over verdicts: least squares."""
    return ((real - 1) ** 2).mean(), (fake**2).mean()


def g_loss(fake: ArrayLike) -> jax.Array:
    """Return (D(fake) - 1)^2, the mean over verdicts."""
    return ((fake - 1) ** 2).mean()


@nnx.jit(static_argnames=("d_loss", "g_loss"))
def train_step(
    generators: Domains,
    discriminators: Domains,
    g_optimizer: nnx.Optimizer,
    d_optimizer: nnx.Optimizer,
    buffers: Domains,
    batch: tuple[jax.Array, jax.Array],
    key: jax.Array,
    cycle_weight: float = 10.0,
    identity_weight: float = 5.0,
    d_loss: Callable = d_loss,
    g_loss: Callable = g_loss,
) -> dict[str, jax.Array]:
    """Update both Gs once, then both Ds, on pictures of two domains, without pairs.

    Args:
      generators, discriminators: `Domains` of each.
      g_optimizer, d_optimizer: an `nnx.Optimizer` of the `nnx.Param`s of both
        generators, and one of both discriminators.
      buffers: `Domains` of `Buffer`s, through which Ds are shown fakes.
      batch: a (B, side, side, C) and b (B', side, side, C), float32, in [-1, 1]. For
        `fit` there must be as many of a as of b: see `unpaired`.
      key: for the buffers.
      cycle_weight, identity_weight: what they weigh beside the verdict; the paper's
        are 10 and, in its published code, half as much.
      d_loss, g_loss: functions of verdicts. They decide what is compiled: for `fit`
        use functools.partial(train_step, d_loss=gan.d_loss, g_loss=gan.g_loss).

    Returns:
      Means over the two domains (the paper has sums): "d_loss", halved; 1/4 if D cannot
      tell; "g_loss", D's verdict on the fakes; "cycle" and "identity", means of
      |difference|; and the gradients' norms "d_grad_norm" and "g_grad_norm".

    Raises:
      ValueError: if the batch is not two arrays of pictures with one shape.
    """
    a, b = check_two(batch)
    keys = jax.random.split(key)

    def g_loss_fn(generators, discriminators):
        fake_a, fake_b = generators.a(b), generators.b(a)
        game = g_loss(discriminators.a(fake_a)), g_loss(discriminators.b(fake_b))
        cycle = _l1(generators.a(fake_b), a), _l1(generators.b(fake_a), b)
        identity = _l1(generators.a(a), a), _l1(generators.b(b), b)
        game, cycle, identity = (sum(terms) / 2 for terms in (game, cycle, identity))
        loss = game + cycle_weight * cycle + identity_weight * identity
        return loss, ((fake_a, fake_b), game, cycle, identity)

    g_grad = nnx.value_and_grad(g_loss_fn, has_aux=True)  # of the generators alone
    (_, found), g_grads = g_grad(generators, nnx.clone(discriminators))
    (fake_a, fake_b), game, cycle, identity = found
    g_optimizer.update(generators, g_grads)
    fake_a = buffers.a.exchange(fake_a, keys[0])
    fake_b = buffers.b.exchange(fake_b, keys[1])

    def d_loss_fn(discriminators):
        real = discriminators.a(a), discriminators.b(b)  # (B, h, w) each
        fake = discriminators.a(fake_a), discriminators.b(fake_b)
        return sum(map(sum, map(d_loss, real, fake))) / 4

    loss_d, d_grads = nnx.value_and_grad(d_loss_fn)(discriminators)
    d_optimizer.update(discriminators, d_grads)
    return {
        "d_loss": loss_d,
        "g_loss": game,
        "cycle": cycle,
        "identity": identity,
        "d_grad_norm": optax.tree.norm(d_grads),
        "g_grad_norm": optax.tree.norm(g_grads),
    }


def _l1(x, y):
    return jnp.abs(x - y).mean()


def unpaired(a: ArrayLike, b: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return a and b with as many rows each, for `fit`: the shorter one is repeated.

    Which a comes beside which b does not matter: no loss compares the two.
    """
    n = max(len(a), len(b))
    return tuple(np.resize(x, (n, *np.shape(x)[1:])) for x in (a, b))


def translate(generator: nnx.Module, x: ArrayLike) -> jax.Array:
    """Return what a generator makes of pictures x (N, side, side, C): (N, side, side,
    C), float32, in [-1, 1]. Nothing changes.

    Raises:
      ValueError: if x has another shape than G takes, or lies outside of [-1, 1].
    """
    return pix2pix.translate(generator, x)


def check_two(batch):
    """Return `batch` as (a, b), pictures of one shape, or raise ValueError."""
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise ValueError(
            f"Give (a, b), pictures of either domain; given {type(batch).__name__}."
        )
    a, b = batch
    if jnp.ndim(a) != 4 or jnp.ndim(b) != 4 or a.shape[1:] != b.shape[1:]:
        raise ValueError(
            f"a and b are arrays of pictures of one shape, (N, H, W, C); given "
            f"{jnp.shape(a)} and {jnp.shape(b)}."
        )
    return a, b


def check(batch, objects=()):
    """Raise ValueError if `batch` is not two domains a and b: pictures of one shape,
    float, in [-1, 1], not the same in both, and as `objects` take them."""
    a, b = check_two(batch)
    for pictures in (a, b):
        gan.check(pictures, expect_negative=False)
    if np.array_equal(a, b):
        raise ValueError("a and b are the same pictures: nothing is to be translated.")
    networks = [n for o in objects if isinstance(o, Domains) for n in (o.a, o.b)]
    for network in networks:
        shape = getattr(network, "shape", a.shape[1:])
        if shape != a.shape[1:]:
            raise ValueError(
                f"{type(network).__name__} is made for pictures {shape}; these have "
                f"{a.shape[1:]}."
            )


train_step.check_batch = check  # fit calls it on all of its data
