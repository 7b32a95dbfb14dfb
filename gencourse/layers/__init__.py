"""Flax NNX's layers, quick to make and, on a CPU, quick to train.

`modules` holds them; `convolution` is the CPU's way to convolve, `initializers` draws
Flax's numbers with fewer programs, `sharding` shares a batch among devices.
"""

from gencourse.layers.modules import (
    BatchNorm,
    Conv,
    ConvTranspose,
    Dropout,
    Embed,
    InstanceNorm,
    LayerNorm,
    Linear,
    batch_norm,
    dense_stack,
    dropout_rngs,
)

__all__ = [
    "BatchNorm",
    "Conv",
    "ConvTranspose",
    "Dropout",
    "Embed",
    "InstanceNorm",
    "LayerNorm",
    "Linear",
    "batch_norm",
    "dense_stack",
    "dropout_rngs",
]
