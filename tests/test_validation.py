"""Numbers that networks, samples and fit are given; the other checks have their tests
with the chapters that they serve."""

import jax
import numpy as np
import pytest
from flax import nnx

from gencourse import autoencoder, cgan, cgan_conv, cgan_maxout, dcgan, gan, vae
from gencourse.validation import check_int

SMALL = dict(shape=(8, 8, 1), width=4)
NUMBERS = [
    (autoencoder.Autoencoder, {}, ["latent"]),
    (vae.VAE, {}, ["latent"]),
    (gan.Generator, {}, ["latent"]),
    (dcgan.Generator, SMALL, ["width", "latent", "kernel"]),
    (dcgan.Discriminator, SMALL, ["width", "kernel"]),
    (cgan.Generator, {}, ["latent", "classes", "embedding"]),
    (cgan.Discriminator, {}, ["classes", "embedding"]),
    (cgan_conv.Generator, SMALL, ["width", "latent", "classes", "kernel"]),
    (cgan_conv.Discriminator, SMALL, ["width", "classes", "kernel"]),
    (
        *(cgan_conv.ProjectionDiscriminator, SMALL),
        ["width", "classes", "kernel", "hidden"],
    ),
    (cgan_maxout.Generator, {}, ["classes"]),
    (cgan_maxout.Discriminator, {}, ["classes"]),
]
WIDTHS = [gan.Generator, gan.Discriminator, cgan.Generator, cgan.Discriminator]
DOUBLED = [net for net, given, names in NUMBERS if given and "hidden" not in names]


def name(network):
    return f"{network.__module__}.{network.__name__}"


def shapes(network, **given):
    """{where: shape} of what the network trains, made on paper alone."""
    made = nnx.eval_shape(lambda: network(**given, rngs=nnx.Rngs(0)))
    found = jax.tree.leaves_with_path(nnx.state(made, nnx.Param))
    return {jax.tree_util.keystr(path): leaf.shape for path, leaf in found}


@pytest.mark.parametrize("network, given, names", NUMBERS, ids=lambda x: str(x)[:40])
def test_a_network_says_which_of_its_numbers_cannot_be(network, given, names):
    for wrong in (0, -3, 2.0, None, True, "8"):
        for which in names:
            if (wrong, which, given) == (None, "classes", {}) and "cgan" in name(
                network
            ):
                continue  # the dense networks then take vectors
            match = f"^{which} is a whole number, 1 or more; given {wrong!r}"
            with pytest.raises(ValueError, match=match):
                network(**given | {which: wrong}, rngs=nnx.Rngs(0))


@pytest.mark.parametrize("network, given, names", NUMBERS, ids=lambda x: str(x)[:40])
def test_a_whole_number_may_be_one_of_numpys(network, given, names):
    for which in names:
        pythons, numpys = (
            shapes(network, **given | {which: kind(3)}) for kind in (int, np.int64)
        )
        assert pythons and pythons == numpys, which


@pytest.mark.parametrize("network", WIDTHS, ids=name)
def test_every_width_is_looked_at(network):
    for wrong in (0, 2.5, None):
        with pytest.raises(ValueError, match="a width in hidden is a whole number"):
            network(hidden=(8, wrong), rngs=nnx.Rngs(0))
    for wrong in (8, None, "16"):
        with pytest.raises(ValueError, match="hidden is widths of dense layers"):
            network(hidden=wrong, rngs=nnx.Rngs(0))


@pytest.mark.parametrize("network", DOUBLED, ids=name)
def test_hidden_units_and_the_shape_are_looked_at(network):
    for wrong in (-1, 2.5, None):
        with pytest.raises(ValueError, match="0 for none, is a whole number, 0 or"):
            network(**SMALL, hidden=wrong, rngs=nnx.Rngs(0))
    for shape in ((8, 8, 0), (8.0, 8, 1), (8, None, 1)):
        with pytest.raises(ValueError, match=r"4 doubled once or more.*given \("):
            network(shape=shape, rngs=nnx.Rngs(0))
    numpys = tuple(map(np.int64, (8, 8, 1)))
    assert shapes(network, shape=numpys) == shapes(network, shape=(8, 8, 1))


def test_the_number_comes_back_as_pythons():
    for given in (3, np.int64(3), np.uint8(3), jax.numpy.int32(3)):
        n = check_int("n", given)
        assert n == 3 and type(n) is int
    assert check_int("n", 0, least=0) == 0
    for wrong in (-1, np.int64(-1), np.True_, np.float32(1), np.array([1, 2]), "1"):
        with pytest.raises(ValueError, match="n is a whole number, 0 or more"):
            check_int("n", wrong, least=0)


def test_samples_are_of_numpys_numbers_too():
    generator = gan.Generator(2, (4,), (3,), rngs=nnx.Rngs(0))
    key = jax.random.key(0)
    np.testing.assert_array_equal(
        gan.sample(generator, np.int64(5), key), gan.sample(generator, 5, key)
    )
    model = vae.VAE(rngs=nnx.Rngs(0))
    assert vae.sample(model, np.int32(2), key).shape == (2, 32, 32, 1)
