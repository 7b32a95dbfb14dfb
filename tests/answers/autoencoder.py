"""Right answers to chapter 1's exercises, and the mistakes that learners make."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from gencourse import autoencoder
from gencourse.metrics.neighbours import knn_classify, nearest


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
            return last(self.to_image(x))

    return Decoder


def same(x):
    return x


def rows_of(points, codes, k):
    return nearest(points, codes, k)[1]


def as_list(points, codes, labels, k):
    named, share = knn_classify(points, codes, labels, k)
    return [named.tolist(), share.astype(np.float32)]


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
    named, share = knn_classify(points, codes, labels, k)
    return named, share * k


def one_too_many(points, codes, labels, k):
    return knn_classify(points, codes, labels, k + 1)


def swapped(points, codes, labels, k):
    return knn_classify(points, codes, labels, k)[::-1]


def only_names(points, codes, labels, k):
    return knn_classify(points, codes, labels, k)[0]


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


def draw_numpy(codes, key, n, width):
    rows = np.random.randint(0, len(codes), n)
    return codes[rows] + width * np.random.randn(n, codes.shape[1])


def draw_one_key(codes, key, n, width):
    rows = jax.random.choice(key, len(codes), (n,))
    return codes[rows] + width * jax.random.normal(key, (n, codes.shape[1]))


def draw_noise_from_parent(codes, key, n, width):
    rows = jax.random.randint(jax.random.split(key)[0], (n,), 0, len(codes))
    return codes[rows] + width * jax.random.normal(key, (n, codes.shape[1]))


def draw_same_step(codes, key, n, width):
    return draw(codes, key, n, 0) + width * jax.random.normal(
        jax.random.fold_in(key, 1), (n, 1)
    )


def draw_box(codes, key, n, width):
    step = jax.random.uniform(
        jax.random.fold_in(key, 1), (n, codes.shape[1]), minval=-1, maxval=1
    )
    return draw(codes, key, n, 0) + width * 3**0.5 * step


def draw_single_numbers(codes, key, n, width):
    one, two = jax.random.split(key)
    picked = jax.random.choice(one, codes.ravel(), (n, codes.shape[1]))
    return picked + width * jax.random.normal(two, picked.shape)


def draw_two_wide(codes, key, n, width):
    one, two = jax.random.split(key)
    rows = jax.random.randint(one, (n,), 0, len(codes))
    return codes[rows] + width * jax.random.normal(two, (n, 2))


def draw_without_width(codes, key, n, width):
    return draw(codes, key, n, 1.0 if width else 0.0)


def draw_in_order(codes, key, n, width):
    noise = jax.random.normal(jax.random.fold_in(key, 1), (n, codes.shape[1]))
    return codes[jnp.arange(n) % len(codes)] + width * noise


def draw_one_noise(codes, key, n, width):
    noise = jax.random.normal(jax.random.fold_in(key, 1), (1, codes.shape[1]))
    return draw(codes, key, n, 0) + width * noise


def draw_variance(codes, key, n, width):
    return draw(codes, key, n, width**0.5)


SIZES = {1: 0.283, 2: 0.262, 6: 0.231, 20: 0.218}

EXERCISES = {
    "shapes": {
        "right": ["c", " C ", "(c)", "c)"],
        "wrong": [
            ("a", "number of places"),
            ("b", "right for 32 by 32"),
            ("d", "48 halved twice"),
            ("e", "nothing was halved"),
        ],
    },
    "loss": {
        "right": [loss, autoencoder.reconstruction_loss],
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
            (lambda g, x: loss(g, x) / np.log(2), "1.443 would be bits"),
            (lambda g, x: loss(g, x).tolist() and "89", "one array of numbers"),
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
            (decoder(lambda x: -x), "other numbers than the chapter's"),
        ],
    },
    "neighbours": {
        "right": [knn_classify, as_list],
        "wrong": [
            (one_neighbour, "Only the nearest code"),
            (farthest, "farthest codes"),
            (mean_label, "averaged the labels"),
            (row_numbers, "row numbers"),
            (vote_count, "divide them by k"),
            (only_names, "Return two things"),
            (one_too_many, "Not exactly the k nearest"),
            (swapped, "labels first"),
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
            (draw_numpy, "different codes each time"),
            (draw_one_key, "choice uses the key as it was given"),
            (draw_noise_from_parent, "noise comes from the key as it was given"),
            (draw_same_step, "Both coordinates take the same step"),
            (draw_box, "uniform distribution"),
            (draw_single_numbers, "single numbers instead of whole"),
            (draw_two_wide, "stops with"),
            (draw_without_width, "Multiply it by `width`"),
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
            ({k: v - 0.185 for k, v in SIZES.items()}, "Below 0.185"),
            ({k: np.full(9, v) for k, v in SIZES.items()}, "not a whole history"),
        ],
    },
}
