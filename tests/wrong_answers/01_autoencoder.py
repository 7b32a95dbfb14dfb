"""Right answers to chapter 1's exercises, and the mistakes that learners make."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from gencourse import autoencoder
from gencourse.metrics.samples import nearest, vote


def loss(logits, x):
    pixels = x * nnx.softplus(-logits) + (1 - x) * nnx.softplus(logits)
    return pixels.sum(axis=(1, 2, 3))


def loss_naive(logits, x):
    p = nnx.sigmoid(logits)
    return -(x * jnp.log(p) + (1 - x) * jnp.log(1 - p)).sum(axis=(1, 2, 3))


def loss_without_sigmoid(logits, x):
    return -(x * jnp.log(logits) + (1 - x) * jnp.log(1 - logits)).sum(axis=(1, 2, 3))


def loss_white_only(logits, x):
    return (x * nnx.softplus(-logits)).sum(axis=(1, 2, 3))


def loss_squared(logits, x):
    return ((nnx.sigmoid(logits) - x) ** 2).sum(axis=(1, 2, 3))


def decoder(last, hidden=nnx.relu):
    class Decoder(autoencoder.Decoder):
        def __call__(self, z):
            x = self.dense(z).reshape(len(z), 4, 4, 128)
            x = hidden(self.up1(x))
            x = hidden(self.up2(x))
            x = hidden(self.up3(x))
            return last(self.pixels(x))

    return Decoder


def same(x):
    return x


def rows_of(points, codes, k):
    return nearest(points, codes, k)[1]


def one_neighbour(points, codes, labels, k):
    return labels[rows_of(points, codes, 1)[:, 0]], np.ones(len(points))


def farthest(points, codes, labels, k):
    distances = np.linalg.norm(points[:, None] - codes, axis=-1)
    votes = labels[np.argsort(distances, axis=1)[:, -k:]]
    named = np.array([np.bincount(v).argmax() for v in votes])
    return named, (votes == named[:, None]).mean(1)


def mean_label(points, codes, labels, k):
    return labels[rows_of(points, codes, k)].mean(1), np.ones(len(points))


def row_numbers(points, codes, labels, k):
    return rows_of(points, codes, k)[:, 0], np.ones(len(points))


def vote_count(points, codes, labels, k):
    named, share = vote(points, codes, labels, k)
    return named, share * k


def only_names(points, codes, labels, k):
    return vote(points, codes, labels, k)[0]


def draw(codes, key, n, width):
    key_row, key_noise = jax.random.split(key)
    rows = jax.random.randint(key_row, (n,), 0, len(codes))
    noise = jax.random.normal(key_noise, (n, codes.shape[1]))
    return codes[rows] + width * noise


def draw_own_key(codes, key, n, width):
    return draw(codes, jax.random.key(42), n, width)


def draw_copies(codes, key, n, width):
    return draw(codes, key, n, 0)


def draw_normal(codes, key, n, width):
    noise = jax.random.normal(key, (n, codes.shape[1]))
    return codes.mean(axis=0, keepdims=True) + codes.std(axis=0, keepdims=True) * noise


def draw_in_order(codes, key, n, width):
    noise = jax.random.normal(key, (n, codes.shape[1]))
    return codes[jnp.arange(n) % len(codes)] + width * noise


def draw_one_noise(codes, key, n, width):
    noise = jax.random.normal(key, (1, codes.shape[1]))
    return draw(codes, key, n, 0) + width * noise


def draw_variance(codes, key, n, width):
    return draw(codes, key, n, width**0.5)


SIZES = {1: 0.283, 2: 0.262, 6: 0.231, 20: 0.218}

EXERCISES = {
    "shapes": {
        "right": "c",
        "wrong": [
            ("a", "number of places"),
            ("b", "right for 32 by 32"),
            ("d", "48 halved twice"),
            ("e", "nothing was halved"),
        ],
    },
    "loss": {
        "right": [loss, autoencoder.reconstruction],
        "wrong": [
            (lambda g, x: loss(g, x).mean(), "one number for the whole batch"),
            (lambda g, x: optax.sigmoid_binary_cross_entropy(g, x), "each pixel"),
            (lambda g, x: loss(g, x) / x[0].size, "mean over the pixels"),
            (lambda g, x: -loss(g, x), "sign is turned"),
            (lambda g, x: loss(g, 1 - x), "changed places"),
            (loss_white_only, "Only half of it"),
            (loss_without_sigmoid, "probabilities p first"),
            (loss_squared, "squared error"),
            (loss_naive, "logit of 200"),
        ],
    },
    "floor": {
        "right": ["a", "A"],
        "wrong": [
            ("b", "grey pixels are left"),
            ("c", "bets one half"),
            ("d", "never negative"),
        ],
    },
    "bug": {
        "right": [autoencoder.Decoder, decoder(same)],
        "wrong": [
            (decoder(nnx.relu), "smallest logit is 0"),
            (decoder(nnx.sigmoid), "gives probabilities"),
            (decoder(nnx.leaky_relu), "hundred times too small"),
            (decoder(jnp.tanh), "tanh keeps the logits"),
            (decoder(same, hidden=same), "hidden layers' relu are gone"),
        ],
    },
    "neighbours": {
        "right": vote,
        "wrong": [
            (one_neighbour, "Only the nearest code"),
            (farthest, "farthest codes"),
            (mean_label, "averaged the labels"),
            (row_numbers, "row numbers"),
            (vote_count, "divide them by k"),
            (only_names, "Return two things"),
        ],
    },
    "draw": {
        "right": draw,
        "wrong": [
            (draw_own_key, "Two keys draw the same"),
            (draw_copies, "Every drawn code is a training code"),
            (draw_normal, "lie between the two groups"),
            (draw_in_order, "taken in their order"),
            (draw_one_noise, "All draws have the same noise"),
            (draw_variance, "as a variance"),
        ],
    },
    "sizes": {
        "right": SIZES,
        "wrong": [
            (dict.fromkeys(SIZES, 0.262), "All sizes give the same"),
            ({k: 1024 * v for k, v in SIZES.items()}, "nats an image"),
            (dict.fromkeys(SIZES, 0.6931), "not trained"),
            ({1: 0.218, 2: 0.231, 6: 0.262, 20: 0.283}, "copy worse than 1"),
            ({k: np.log(v) for k, v in SIZES.items()}, "negative, NaN"),
            ({1: 0.283, 2: 0.262}, "sizes should be"),
        ],
    },
}
