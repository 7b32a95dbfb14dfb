"""One strided convolution and its adjoint, quick on a CPU in value and gradient.

Why this file exists. Plain Flax trains a convolutional network on a CPU several times
slower than the machine could. Four things cost most. Each has a cure that computes
the same numbers another way:

1. The weight gradient of `lax.conv_transpose` becomes, in XLA, a convolution with a
   dilated window, for which the CPU has no fast path. But a transposed convolution is
   the *adjoint* of a strided convolution that runs the other way, from the large
   picture y down to the small one x:

       <conv_transpose(x, w), y>  =  <x, conv(y, w')>     for every x, y and w,

   where w' is w with its channel axes exchanged and both sides flipped. The two inner
   products are one function of w, so the weight gradient of the left side is that of
   the right side, an ordinary convolution, with x and y in each other's place.
2. A transposed convolution itself, and so the input gradient of a strided one, adds up
   overlapping windows on one core. As one small convolution for each phase of the
   stride, it need not, and all cores help.
3. The weight gradient of an ordinary convolution of large pictures is quicker as one
   matrix product: lay the window of each output pixel out as a row (im2col), and
   multiply. A few pictures at a time, so that the rows stay in the processor's cache.
4. A convolution to one or three channels leaves a matrix product nearly empty. Multiply
   every pixel by all taps of the kernel at once, then shift and add.

What each gains is measured in `benchmarks/NOTES.md`.

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
    """Convolve with strides, quickly on a CPU in value and gradient.

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
        if _is_narrow(x, w, strides):
            return _backward_narrow(x, w, dy, pads, precision)
        back = []  # how much to pad dy, once it is stretched by the stride
        for n, m, k, s, (before, _) in zip(
            x.shape[1:3], dy.shape[1:3], w.shape[:2], strides, pads, strict=True
        ):
            stretched = (m - 1) * s + 1
            back.append((k - 1 - before, n + before - stretched))
        dx = _up(dy, jnp.flip(w, (0, 1)).swapaxes(2, 3), strides, back, precision)
        return dx, _weight_gradient(x, dy, w, strides, pads, precision)

    return lax.platform_dependent(x, w, dy, cpu=fast, default=plain)


conv.defvjp(_conv_forward, _conv_backward)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def conv_transpose(x, w, strides=(1, 1), padding="SAME", precision=None):
    """Apply `lax.conv_transpose`, with a gradient that is quick on a CPU.

    Args:
      x: (B, H, W, C), float.
      w: (kh, kw, C, C'), float.
      strides: two ints.
      padding: "SAME" or "VALID".
      precision: as in `lax.conv_transpose`.

    Returns:
      (B, H', W', C'), float.
    """

    def plain(x, w):
        return lax.conv_transpose(x, w, strides, padding, precision=precision)

    def by_phases(x, w):
        sides = zip(w.shape[:2], strides, strict=True)
        pads = tuple(_stretched_padding(k, s, padding) for k, s in sides)
        return _up(x, w, strides, pads, precision)

    return lax.platform_dependent(x, w, cpu=by_phases, default=plain)


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
        pads = [(k, _stretched_padding(k, s, padding)) for k, s in sides]
        # Where x is padded by p, the strided convolution pads y by k - 1 - p; a
        # negative number crops.
        pads = tuple((k - 1 - before, k - 1 - after) for k, (before, after) in pads)
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


def _up(x, w, strides, pads, precision):
    """Convolve x, stretched by the strides and padded, with w: a larger picture.

    Of the stretched picture most is zeros. An output pixel (u, v) meets the same taps
    of the kernel as every other with the same u % stride and v % stride: so make each
    of these phases by a small convolution of x itself, and interleave them.
    """
    sides = [
        _phases(*side)
        for side in zip(x.shape[1:3], w.shape[:2], strides, pads, strict=True)
    ]
    if strides == (1, 1) or None in sides or w.shape[3] < 8 or x.dtype != jnp.float32:
        return lax.conv_general_dilated(
            x,
            w,
            (1, 1),
            pads,
            lhs_dilation=strides,
            dimension_numbers=_NHWC,
            precision=precision,
        )
    lines = []
    for i, pad_h in sides[0]:
        line = [
            _down(
                x,
                w[i :: strides[0], j :: strides[1]],
                (1, 1),
                (pad_h, pad_w),
                precision,
            )
            for j, pad_w in sides[1]
        ]
        lines.append(jnp.stack(line, axis=3))  # (B, h, w, stride, C')
    y = jnp.stack(lines, axis=2)  # (B, h, stride, w, stride, C')
    b, h, a, width, c, c_out = y.shape
    return y.reshape(b, h * a, width * c, c_out)


def _phases(n, k, s, pad):
    """For each phase of one side its first tap and its padding; None if they differ
    in length, or one has no tap."""
    before, after = pad
    length = (n - 1) * s + 1 + before + after - k + 1
    if length < s or length % s or k < s:
        return None
    phases = []
    for u in range(s):
        first = (before - u) % s  # the first tap that meets no zero at pixel u
        taps = len(range(first, k, s))
        low = (before - u - first) // s
        phases.append((first, (low, length // s + taps - 1 - n - low)))
    return phases


def _is_narrow(x, w, strides):
    kh, kw, c, c_out = w.shape
    few = kh * kw * c_out <= 32 and c >= 8
    return few and strides == (1, 1) and x.dtype == jnp.float32


def _down_by_taps(x, w, pads, precision):
    """Stride 1, few output channels: all taps at once, then shift and add."""
    kh, kw, c, c_out = w.shape
    taps = jnp.dot(x, w.transpose(2, 0, 1, 3).reshape(c, -1), precision=precision)
    taps = lax.pad(
        taps, taps.dtype.type(0), [(0, 0, 0), *((*p, 0) for p in pads), (0, 0, 0)]
    )
    h, width = taps.shape[1] - kh + 1, taps.shape[2] - kw + 1
    taps = taps.reshape(*taps.shape[:3], kh * kw, c_out)
    return sum(
        taps[:, i : i + h, j : j + width, i * kw + j]
        for i in range(kh)
        for j in range(kw)
    )


def _weight_gradient(x, dy, w, strides, pads, precision):
    """Return the gradient of _down's w from its input x and output gradient dy."""
    kh, kw, c, c_out = w.shape
    pixels = dy.shape[1] * dy.shape[2]
    fits = 2 * 4 * pixels * kh * kw * c <= PIECE  # two pictures at a time or more
    # A batch that is cut over several devices they would have to send about, to go
    # through it in pieces.
    fits &= jax.sharding.get_abstract_mesh().empty
    if pixels >= 256 and fits and min(c, c_out) >= 16 and x.dtype == jnp.float32:
        return _weight_gradient_by_columns(x, dy, kh, kw, strides, pads, precision)
    return jax.vjp(lambda w: _down(x, w, strides, pads, precision), w)[1](dy)[0]


def _weight_gradient_by_columns(x, dy, kh, kw, strides, pads, precision):
    batch, h, width, c_out = dy.shape
    c = x.shape[-1]
    x = lax.pad(x, x.dtype.type(0), [(0, 0, 0), *((*p, 0) for p in pads), (0, 0, 0)])
    piece = max(1, min(batch, PIECE // (4 * h * width * kh * kw * c)))

    def add(total, part):
        x, dy = part
        windows = [
            x[:, i :: strides[0], j :: strides[1]][:, :h, :width]
            for i in range(kh)
            for j in range(kw)
        ]
        columns = jnp.concatenate(windows, axis=-1).reshape(-1, kh * kw * c)
        # Turned in a step of its own (hence the barrier): quicker than in the product.
        dy = lax.optimization_barrier(dy.reshape(-1, c_out).T)
        return total + jnp.dot(dy, columns, precision=precision), None

    whole = batch // piece * piece
    parts = [a[:whole].reshape(-1, piece, *a.shape[1:]) for a in (x, dy)]
    total = jnp.zeros((c_out, kh * kw * c), x.dtype)
    total, _ = lax.scan(add, total, tuple(parts))
    if whole < batch:
        total, _ = add(total, (x[whole:], dy[whole:]))
    return total.reshape(c_out, kh, kw, c).transpose(1, 2, 3, 0)


def _backward_narrow(x, w, dy, pads, precision):
    """Both gradients of `_down_by_taps`. The windows are dy's: few channels, so few
    rows, each as long as all the pixels; the two products share them."""
    kh, kw, c, c_out = w.shape
    (top, _), (left, _) = pads
    batch, h, width = x.shape[:3]
    # x at (u, v) met tap (i, j) on its way to dy at (u + top - i, v + left - j).
    config = [
        (kh - 1 - top, h + top - dy.shape[1], 0),
        (kw - 1 - left, width + left - dy.shape[2], 0),
    ]
    dy = jnp.moveaxis(dy, 3, 0)  # (C', B, H', W')
    dy = lax.pad(dy, dy.dtype.type(0), [(0, 0, 0), (0, 0, 0), *config])
    rows = jnp.stack(
        [
            dy[:, :, kh - 1 - i :, kw - 1 - j :][:, :, :h, :width]
            for i in range(kh)
            for j in range(kw)
        ]
    ).reshape(kh * kw * c_out, -1)  # (kh * kw * C', B * H * W)
    dw = jnp.dot(rows, x.reshape(-1, c), precision=precision)
    dw = dw.reshape(kh, kw, c_out, c).swapaxes(2, 3)
    taps = w.swapaxes(2, 3).reshape(-1, c)  # (kh * kw * C', C)
    dx = lax.dot_general(rows, taps, (((0,), (0,)), ((), ())), precision=precision)
    return dx.reshape(batch, h, width, c), dw


def _stretched_padding(k, s, padding):
    """Return how `lax.conv_transpose` pads its input, stretched by the stride."""
    if padding == "VALID":
        before, total = k - 1, k + s - 2 + max(k - s, 0)
    else:  # "SAME"
        total = k + s - 2
        before = k - 1 if s > k - 1 else -(-total // 2)
    return before, total - before
