"""The ways of gencourse.layers.convolution, compiled as users compile them."""

import jax
import pytest
from flax import nnx
from helpers import assert_equal_to_flax

from gencourse import layers
from gencourse.layers import convolution

IN_HASTE = False
PAIRS = [(layers.Conv, nnx.Conv), (layers.ConvTranspose, nnx.ConvTranspose)]
FEW_OR_MANY = [  # kernel, channels in and out
    *((kernel, (16, 16)) for kernel in (1, 3, 4, 7)),
    *((kernel, channels) for kernel in (3, 4) for channels in ((16, 1), (24, 3))),
    (3, (1, 16)),
]


@pytest.mark.parametrize("kernel, channels", FEW_OR_MANY, ids=str)
@pytest.mark.parametrize("ours, theirs", PAIRS, ids=["Conv", "ConvTranspose"])
def test_every_way_of_computing_gives_the_same(
    ours, theirs, kernel, channels, monkeypatch
):
    """Few and many channels take other ways; so do pieces that leave a remainder."""
    monkeypatch.setattr(convolution, "PIECE", 1_000_000)
    x = jax.random.normal(jax.random.key(1), (7, 16, 17, channels[0]))
    for stride in (1, 2):
        a, b = (
            cls(*channels, (kernel,) * 2, (stride,) * 2, rngs=nnx.Rngs(0))
            for cls in (ours, theirs)
        )
        assert_equal_to_flax(a, b, x)
