"""`Conv` and `ConvTranspose`: Flax NNX's own layers, with gradients quick on a CPU.

Why this file exists. On a CPU, XLA computes the weight gradient of
`lax.conv_transpose` as a convolution with a dilated window, for which it has no
fast path: it takes 15 to 40 times longer than it need. But a transposed
convolution is the *adjoint* of a strided convolution that runs the other way,
from the large picture `y` down to the small one `x`:

    <conv_transpose(x, w), y>  =  <x, conv(y, w')>        for every x, y and w,

where w' is w with its two channel axes exchanged and both sides flipped. The two
inner products are one function of w. So the weight gradient of the left side is
the weight gradient of the right side, an ordinary convolution, with input and
output gradient in each other's place. That one has a fast path. The numbers are
the same; on other devices we leave `lax` alone.

Parameters, initialisers and arguments are Flax's, so a state saved from one class
loads into the other.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

_NHWC = ("NHWC", "HWIO", "NHWC")


class Conv(nnx.Conv):
    """`nnx.Conv` for pictures: (B, H, W, C) -> (B, H', W', C'), float.

    The same arguments, parameters and values. It refuses a `kernel_size` that is
    not two numbers: Flax would take 3 for a one-dimensional convolution, silently.
    """

    def __init__(self, in_features, out_features, kernel_size, *args, **kwargs):
        _check_kernel_size(kernel_size)
        super().__init__(in_features, out_features, kernel_size, *args, **kwargs)

    def __call__(self, inputs):
        _check_rank(self, inputs)
        return super().__call__(inputs)


class ConvTranspose(nnx.ConvTranspose):
    """`nnx.ConvTranspose` for pictures: (B, H, W, C) -> (B, H', W', C'), float.

    The same arguments, parameters and values; with "SAME" padding H' = stride * H.
    The rarer options (dilation, masks, circular padding, `transpose_kernel`) go
    through Flax's own code at Flax's own speed. Its derivative is hand-written, for
    reverse mode (`jax.grad`, `jax.vjp`, `jax.jacrev`, also twice); forward mode
    (`jax.jvp`, `jax.jacfwd`) raises: use `nnx.ConvTranspose` there.
    """

    def __init__(self, in_features, out_features, kernel_size, *args, **kwargs):
        _check_kernel_size(kernel_size)
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


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def conv_transpose(x, w, strides=(1, 1), padding="SAME", precision=None):
    """`lax.conv_transpose` with the weight gradient of its adjoint on a CPU.

    Args:
      x: (B, H, W, C), float.
      w: (kh, kw, C, C'), float.
      strides: two ints.
      padding: "SAME" or "VALID".
      precision: as in `lax.conv_transpose`.

    Returns:
      (B, H', W', C'), float.
    """
    return lax.conv_transpose(x, w, strides, padding, precision=precision)


def _forward(x, w, strides, padding, precision):
    return conv_transpose(x, w, strides, padding, precision), (x, w)


def _backward(strides, padding, precision, saved, dy):
    x, w = saved

    def plain(x, w, dy):
        def forward(x, w):
            return lax.conv_transpose(x, w, strides, padding, precision=precision)

        return jax.vjp(forward, x, w)[1](dy)

    def by_adjoint(x, w, dy):
        sides = zip(w.shape[:2], strides, strict=True)
        pads = [_adjoint_padding(k, s, padding) for k, s in sides]

        def adjoint(y, w):  # from the large picture down to the small one
            w = jnp.flip(w, (0, 1)).swapaxes(2, 3)
            return lax.conv_general_dilated(
                y, w, strides, pads, dimension_numbers=_NHWC, precision=precision
            )

        dx = adjoint(dy, w)
        dw = jax.vjp(lambda w: adjoint(dy, w), w)[1](x)[0]
        return dx, dw

    return lax.platform_dependent(x, w, dy, cpu=by_adjoint, default=plain)


conv_transpose.defvjp(_forward, _backward)


def _adjoint_padding(k, s, padding):
    """Padding of the strided convolution whose adjoint is `lax.conv_transpose`.

    Where the transposed convolution pads its stretched input by p, the strided
    one pads its own by k - 1 - p. A negative number crops.
    """
    if padding == "VALID":
        before, total = k - 1, k + s - 2 + max(k - s, 0)
    else:  # "SAME"
        total = k + s - 2
        before = k - 1 if s > k - 1 else -(-total // 2)
    return k - 1 - before, k - 1 - (total - before)


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
