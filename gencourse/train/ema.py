"""An exponential moving average (EMA) of a network's weights, kept during training.

    step = with_ema(gan.train_step)
    fit(step, (nnx.clone(generator), generator, discriminator, ...), ..., decay=0.999)

Two players circle, and the mean of a circle lies nearer to its middle than any point
that they pass. Source: Y. Yazici and others, "The unusual effectiveness of averaging in
GAN training", ICLR 2019.

Flax has `nnx.EMA` and Optax `optax.incremental_update`. Neither averages the running
statistics of BatchNorm together with the weights; this does, around any of the
course's steps.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from gencourse.train.resolve import resolve


def update_ema(
    ema: nnx.Module, network: nnx.Module, decay: float | jax.Array = 0.999
) -> None:
    """Move the weights of `ema` a little towards those of `network`, inside a step.

    ema: a clone of `network` from before training. decay: what is kept of it at each
    step, a number in [0, 1]; the mean is over about the last 1 / (1 - decay) steps.
    """

    def towards(old, new):
        return old + (1 - decay) * (new - old)

    averaged = nnx.Param, nnx.BatchStat  # BatchNorm's running statistics, too
    states = (nnx.state(a, averaged) for a in (ema, network))
    nnx.update(ema, jax.tree.map(towards, *states))


def with_ema(step: Callable) -> Callable:
    """Return a step that also keeps an EMA of its first object, the generator.

    It is called as `step` is, with the averaged network as one more object before the
    others, and with `decay`, a number or a schedule, by name.
    """
    found = resolve(step)
    ema_step = _ema_step if found.cacheable else _ema_step.__wrapped__
    averaged = functools.partial(ema_step, found.function)
    averaged.check_batch = found.check_batch
    return averaged


@nnx.jit(static_argnums=0)
def _ema_step(step, ema, *objects_batch_key, decay, **scalars):
    metrics = step(*objects_batch_key, **scalars)
    update_ema(ema, objects_batch_key[0], decay)
    return metrics


def warm_up(max_decay: float) -> Callable:
    """Return a schedule of the decay that starts low, so that the mean soon forgets the
    untrained network: min(max_decay, (1 + t) / (10 + t)) at step t."""
    return lambda t: jnp.minimum(max_decay, (1 + t) / (10 + t))
