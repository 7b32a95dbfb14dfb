"""Flax NNX's own layers, quick to make and, on a CPU, quick to train.

Parameters, initialisers and arguments are Flax's, so a state saved from one class
loads into the other, and the numbers are the same; only how one comes by them
differs. (Dropout alone draws its chance otherwise, on every device.) Why and how is
told in `initializers.py`, and of `Conv` and `ConvTranspose` in `convolution.py`: there
nothing changes but on a CPU. The convolutions' gradients are hand-written, for reverse
mode (`jax.grad`, `jax.vjp`, `jax.jacrev`, also twice); forward mode (`jax.jvp`,
`jax.jacfwd`) raises: use Flax's own layers there.
"""

import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from gencourse.layers.convolution import conv, conv_transpose
from gencourse.layers.initializers import lecun_normal, normal, ones, zeros

KERNEL_AND_BIAS = {"kernel_init": lecun_normal(), "bias_init": zeros}
SCALE_AND_BIAS = {"scale_init": ones, "bias_init": zeros}


class Linear(nnx.Linear):
    """`nnx.Linear`, quick to make."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **KERNEL_AND_BIAS | kwargs)


class Embed(nnx.Embed):
    """`nnx.Embed`, quick to make."""

    def __init__(self, num_embeddings, features, **kwargs):
        deviation = np.sqrt(np.float32(1 / features))
        kwargs.setdefault("embedding_init", normal(deviation))
        super().__init__(num_embeddings, features, **kwargs)


class BatchNorm(nnx.BatchNorm):
    """`nnx.BatchNorm`, quick to make."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **SCALE_AND_BIAS | kwargs)


class LayerNorm(nnx.LayerNorm):
    """`nnx.LayerNorm`, quick to make."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **SCALE_AND_BIAS | kwargs)


class InstanceNorm(nnx.InstanceNorm):
    """`nnx.InstanceNorm`, quick to make: each map of each picture by its own mean."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **SCALE_AND_BIAS | kwargs)


class Conv(nnx.Conv):
    """`nnx.Conv` for pictures: (B, H, W, C) -> (B, H', W', C'), float.

    The same arguments, parameters and values. It refuses a `kernel_size` that is
    not two numbers: Flax would take 3 for a one-dimensional convolution, silently.
    """

    def __init__(self, in_features, out_features, kernel_size, *args, **kwargs):
        _check_kernel_size(kernel_size)
        kwargs.setdefault("conv_general_dilated", _conv_general_dilated)
        kwargs = KERNEL_AND_BIAS | kwargs
        super().__init__(in_features, out_features, kernel_size, *args, **kwargs)

    def __call__(self, inputs):
        _check_rank(self, inputs)
        return super().__call__(inputs)


class ConvTranspose(nnx.ConvTranspose):
    """`nnx.ConvTranspose` for pictures: (B, H, W, C) -> (B, H', W', C'), float.

    The same arguments, parameters and values; with "SAME" padding H' = stride * H.
    The rarer options (dilation, masks, circular padding, `transpose_kernel`) go
    through Flax's own code at Flax's own speed.
    """

    def __init__(self, in_features, out_features, kernel_size, *args, **kwargs):
        _check_kernel_size(kernel_size)
        kwargs = KERNEL_AND_BIAS | kwargs
        super().__init__(in_features, out_features, kernel_size, *args, **kwargs)

    def __call__(self, inputs):
        _check_rank(self, inputs)
        rare = self.mask is not None or self.transpose_kernel
        rare |= self.padding not in ("SAME", "VALID")
        rare |= self.kernel_dilation not in (None, 1, (1, 1))
        rare |= self.preferred_element_type is not None
        if rare:
            return super().__call__(inputs)
        bias = None if self.bias is None else self.bias[...]
        inputs, kernel, bias = self.promote_dtype(
            (inputs, self.kernel[...], bias), dtype=self.dtype
        )
        strides = _pair(1 if self.strides is None else self.strides)
        y = conv_transpose(inputs, kernel, strides, self.padding, self.precision)
        return y if bias is None else y + bias.reshape(1, 1, 1, -1)


class Dropout(nnx.Dropout):
    """`nnx.Dropout` with 8 random bits a number in place of 32: any shape, float.

    On a CPU Flax's 32 bits cost as much as a convolution. The rate is rounded to a
    multiple of 1/256, and what is kept is divided by 1 minus the rounded rate, so that
    the mean stays exact. Without `rngs` nothing is dropped.

    Raises:
      ValueError: if the rate is not in [0, 1].
    """

    def __init__(self, rate, **options):
        if not 0 <= rate <= 1:
            raise ValueError(f"dropout is a share, from 0 to 1; given {rate!r}.")
        super().__init__(rate, **options)

    def __call__(self, inputs, *, deterministic=None, rngs=None):
        rngs = self.rngs if rngs is None else rngs
        off = self.deterministic if deterministic is None else deterministic
        if off or rngs is None:
            return inputs
        drop = round(256 * self.rate)  # of 256
        if self.broadcast_dims or not 0 < drop < 256:
            return super().__call__(inputs, deterministic=deterministic, rngs=rngs)
        key = rngs[self.rng_collection]() if isinstance(rngs, nnx.Rngs) else rngs
        key = key() if isinstance(key, nnx.RngStream) else key
        words = jax.random.bits(key, (-(-inputs.size // 4),), jnp.uint32)
        random_bytes = lax.bitcast_convert_type(words, jnp.uint8).reshape(-1)
        kept = random_bytes[: inputs.size].reshape(inputs.shape) >= drop
        return jnp.where(kept, inputs * (256 / (256 - drop)), 0)


def batch_norm(width: int, rngs: nnx.Rngs, **options) -> BatchNorm:
    """Return a BatchNorm in training mode, with momentum 0.9: its running statistics
    cover about the last 10 batches (Flax's default of 0.99: about 100)."""
    options = {"use_running_average": False, "momentum": 0.9} | options
    return BatchNorm(width, rngs=rngs, **options)


def dense_stack(widths: Sequence[int], rngs: nnx.Rngs, **options) -> list[Linear]:
    """Return Linear layers from each of the widths to the next; none for one width."""
    return [Linear(i, o, rngs=rngs, **options) for i, o in itertools.pairwise(widths)]


def dropout_rngs(key: jax.Array | None) -> nnx.Rngs | None:
    """Return the `nnx.Rngs` that dropout draws from, or None without a key."""
    return None if key is None else nnx.Rngs(dropout=key)


def _conv_general_dilated(x, w, strides, padding, **options):
    """Convolve for `nnx.Conv`: our `conv` for the common options, else lax's own."""
    dilated = {*options["lhs_dilation"], *options["rhs_dilation"]} != {1}
    grouped = options["feature_group_count"] != 1
    if dilated or grouped or options.get("preferred_element_type") is not None:
        return lax.conv_general_dilated(x, w, strides, padding, **options)
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(x.shape[1:3], w.shape[:2], strides, padding)
    pads = tuple(tuple(pad) for pad in padding)
    return conv(x, w, tuple(strides), pads, options["precision"])


def _pair(n):
    return (n, n) if isinstance(n, int) else tuple(n)


def _check_kernel_size(kernel_size):
    if isinstance(kernel_size, int) or len(kernel_size) != 2:
        raise TypeError(
            f"kernel_size={kernel_size} would make Flax convolve in another number of "
            f"dimensions than two, without a word. For pictures give two numbers, such "
            f"as kernel_size=(3, 3)."
        )


def _check_rank(layer, inputs):
    if inputs.ndim != 4 or inputs.shape[-1] != layer.in_features:
        raise ValueError(
            f"{type(layer).__name__} expects pictures of shape (B, H, W, "
            f"{layer.in_features}) and was given {inputs.shape}."
        )
