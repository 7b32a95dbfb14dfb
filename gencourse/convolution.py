"""One strided convolution and its adjoint, quick on a CPU in value and gradient.

Why this file exists. Plain Flax trains a convolutional network on a CPU several times
slower than the machine could. Three things cost most. Each has a cure that computes
the same numbers another way:

1. The weight gradient of `lax.conv_transpose` becomes, in XLA, a convolution with a
   dilated window, for which the CPU has no fast path. But a transposed convolution is
   the *adjoint* of a strided convolution that runs the other way, from the large
   picture y down to the small one x:

       <conv_transpose(x, w), y>  =  <x, conv(y, w')>     for every x, y and w,

   where w' is w with its channel axes exchanged and both sides flipped. The two inner
   products are one function of w, so the weight gradient of the left side is that of
   the right side, an ordinary convolution, with x and y in each other's place.
2. The weight gradient of an ordinary convolution is quicker as one matrix product: lay
   the window of each output pixel out as a row (im2col), and multiply. A few pictures
   at a time, so that the rows stay in the processor's cache.
3. A convolution to one or three channels leaves a matrix product nearly empty. Multiply
   every pixel by all taps of the kernel at once, then shift and add.

On other devices `lax` is left alone: `lax.platform_dependent` chooses where the code is
lowered, so that an export for a GPU made on a CPU machine is right too.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

_NHWC = ("NHWC", "HWIO", "NHWC")
PIECE = 1_500_000  # bytes of im2col rows at a time: they should stay in the cache


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def conv(x, w, strides=(1, 1), pads=((0, 0), (0, 0)), precision=None):
    """A strided convolution, quick on a CPU in value and gradient.

    Args:
      x: (B, H, W, C), float.
      w: (kh, kw, C, C'), float.
      strides: two ints. pads: for H and for W how much to pad before and after.
      precision: as in `lax.conv_general_dilated`.

    Returns:
      (B, H', W', C'), float.
    """
    if not _is_narrow(x, w, strides):
        return _down(x, w, strides, pads, precision)
    return lax.platform_dependent(
        x,
        w,
        cpu=lambda x, w: _down_by_taps(x, w, pads, precision),
        default=lambda x, w: _down(x, w, strides, pads, precision),
    )


def _conv_forward(x, w, strides, pads, precision):
    return conv(x, w, strides, pads, precision), (x, w)


def _conv_backward(strides, pads, precision, saved, dy):
    x, w = saved

    def plain(x, w, dy):
        return jax.vjp(lambda x, w: _down(x, w, strides, pads, precision), x, w)[1](dy)

    def fast(x, w, dy):
        dx = jax.vjp(lambda x: _down(x, w, strides, pads, precision), x)[1](dy)[0]
        return dx, _weight_gradient(x, dy, w, strides, pads, precision)

    return lax.platform_dependent(x, w, dy, cpu=fast, default=plain)


conv.defvjp(_conv_forward, _conv_backward)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def conv_transpose(x, w, strides=(1, 1), padding="SAME", precision=None):
    """`lax.conv_transpose`, with a gradient that is quick on a CPU.

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


def _transpose_forward(x, w, strides, padding, precision):
    return conv_transpose(x, w, strides, padding, precision), (x, w)


def _transpose_backward(strides, padding, precision, saved, dy):
    x, w = saved

    def plain(x, w, dy):
        def forward(x, w):
            return lax.conv_transpose(x, w, strides, padding, precision=precision)

        return jax.vjp(forward, x, w)[1](dy)

    def by_adjoint(x, w, dy):
        sides = zip(w.shape[:2], strides, strict=True)
        pads = tuple(_adjoint_padding(k, s, padding) for k, s in sides)
        adjoint = jnp.flip(w, (0, 1)).swapaxes(2, 3)  # (kh, kw, C', C)
        dx = _down(dy, adjoint, strides, pads, precision)
        dw = _weight_gradient(dy, x, adjoint, strides, pads, precision)
        return dx, jnp.flip(dw, (0, 1)).swapaxes(2, 3)

    return lax.platform_dependent(x, w, dy, cpu=by_adjoint, default=plain)


conv_transpose.defvjp(_transpose_forward, _transpose_backward)


def _down(x, w, strides, pads, precision):
    return lax.conv_general_dilated(
        x, w, strides, pads, dimension_numbers=_NHWC, precision=precision
    )


def _is_narrow(x, w, strides):
    kh, kw, c, c_out = w.shape
    few = kh * kw * c_out <= 32 and c >= 8
    return few and strides == (1, 1) and x.dtype == jnp.float32


def _down_by_taps(x, w, pads, precision):
    """Stride 1, few output channels: all taps at once, then shift and add."""
    kh, kw, c, c_out = w.shape
    taps = jnp.dot(x, w.transpose(2, 0, 1, 3).reshape(c, -1), precision=precision)
    taps = lax.pad(taps, 0.0, [(0, 0, 0), *((*p, 0) for p in pads), (0, 0, 0)])
    h, width = taps.shape[1] - kh + 1, taps.shape[2] - kw + 1
    taps = taps.reshape(*taps.shape[:3], kh * kw, c_out)
    return sum(
        taps[:, i : i + h, j : j + width, i * kw + j]
        for i in range(kh)
        for j in range(kw)
    )


def _weight_gradient(x, dy, w, strides, pads, precision):
    """The gradient of _down's w, like w, from its input x and output gradient dy."""
    kh, kw, c, c_out = w.shape
    batch, h, width = dy.shape[:3]
    if _is_narrow(x, w, strides) and dy.size:
        return _weight_gradient_narrow(x, dy, kh, kw, pads, precision)
    wide = h * width >= 64 and c >= 16 and c_out >= 16
    if wide and batch and x.dtype == jnp.float32:
        return _weight_gradient_by_columns(x, dy, kh, kw, strides, pads, precision)
    return jax.vjp(lambda w: _down(x, w, strides, pads, precision), w)[1](dy)[0]


def _columns(x, kh, kw, strides, h, width):
    """The windows of a padded picture as rows: (B * h * width, kh * kw * C)."""
    windows = [
        x[:, i :: strides[0], j :: strides[1]][:, :h, :width]
        for i in range(kh)
        for j in range(kw)
    ]
    return jnp.concatenate(windows, axis=-1).reshape(len(x) * h * width, -1)


def _weight_gradient_by_columns(x, dy, kh, kw, strides, pads, precision):
    batch, h, width, c_out = dy.shape
    c = x.shape[-1]
    x = lax.pad(x, 0.0, [(0, 0, 0), *((*p, 0) for p in pads), (0, 0, 0)])
    piece = min(batch, max(1, PIECE // (4 * h * width * kh * kw * c)))

    def add(total, part):
        x, dy = part
        columns = _columns(x, kh, kw, strides, h, width)
        dy = dy.reshape(-1, c_out)
        return total + jnp.dot(dy.T, columns, precision=precision), None

    whole = batch // piece * piece
    parts = [a[:whole].reshape(-1, piece, *a.shape[1:]) for a in (x, dy)]
    total = jnp.zeros((c_out, kh * kw * c), x.dtype)
    total, _ = lax.scan(add, total, tuple(parts))
    if whole < batch:
        total, _ = add(total, (x[whole:], dy[whole:]))
    return total.reshape(c_out, kh, kw, c).transpose(1, 2, 3, 0)


def _weight_gradient_narrow(x, dy, kh, kw, pads, precision):
    """Stride 1, few output channels: the columns are dy's, and few."""
    c_out = dy.shape[-1]
    (top, _), (left, _) = pads
    h, width = x.shape[1:3]
    # dw[i, j] pairs x at (u, v) with dy at (u + top - i, v + left - j).
    config = [
        (kh - 1 - top, h + top - dy.shape[1], 0),
        (kw - 1 - left, width + left - dy.shape[2], 0),
    ]
    dy = lax.pad(dy, 0.0, [(0, 0, 0), *config, (0, 0, 0)])
    columns = _columns(dy, kh, kw, (1, 1), h, width)  # (B*h*w, kh*kw*c_out), reversed
    dw = jnp.dot(x.reshape(-1, x.shape[-1]).T, columns, precision=precision)
    dw = dw.reshape(-1, kh, kw, c_out)[:, ::-1, ::-1]
    return dw.transpose(1, 2, 0, 3)


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
