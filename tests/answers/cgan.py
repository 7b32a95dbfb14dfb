"""Right answers to chapter 5's exercises, and the mistakes that learners make."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx


def blank(*given):
    raise NotImplementedError


# --- 5.1 -----------------------------------------------------------------------


def joined(z, y, table):
    return jnp.concatenate([z, table[y]], axis=1)


# --- 5.2 -----------------------------------------------------------------------

EVEN = 10**0.5


def loudness(deviation, numbers, latent):
    return deviation * (numbers / latent) ** 0.5


# --- 5.3 -----------------------------------------------------------------------


def flat(pictures):
    return np.asarray(pictures).reshape(len(pictures), -1)


def distance(a, b):
    return np.linalg.norm(flat(a) - flat(b), axis=1)


def response_by(above=distance, below=distance, mean=np.mean):
    def response(draw, z, labels, others):
        mine, theirs = draw(z, labels), draw(z, others)
        chance = np.roll(mine, 1, axis=0)
        return mean(above(mine, theirs)) / mean(below(mine, chance))

    return response


def not_divided(draw, z, labels, others):
    return distance(draw(z, labels), draw(z, others)).mean()


def turned_over(draw, z, labels, others):
    mine = draw(z, labels)
    chance = distance(mine, np.roll(mine, 1, axis=0)).mean()
    return chance / distance(mine, draw(z, others)).mean()


def of_means(draw, z, labels, others):
    mine, theirs = flat(draw(z, labels)), flat(draw(z, others))
    chance = distance(mine, np.roll(mine, 1, axis=0)).mean()
    return np.linalg.norm(mine.mean(0) - theirs.mean(0)) / chance


def other_seeds(draw, z, labels, others):
    mine, theirs = draw(z, labels), draw(z[::-1], others)
    chance = distance(mine, np.roll(mine, 1, axis=0)).mean()
    return distance(mine, theirs).mean() / chance


# --- 5.4 -----------------------------------------------------------------------


def shuffled(x, labels, key):
    order = jax.random.permutation(key, len(x))
    return x[order], labels[order]


def two_orders(x, labels, key):
    keys = jax.random.split(key)
    return jax.random.permutation(keys[0], x), jax.random.permutation(keys[1], labels)


def drawn_again(x, labels, key):
    rows = jax.random.randint(key, (len(x),), 0, len(x))
    return x[rows], labels[rows]


def fixed_order(x, labels, key):
    return shuffled(x, labels, jax.random.key(3))


def by_numpy(x, labels, key):
    order = np.random.permutation(len(x))
    return x[order], labels[order]


def rolled(x, labels, key):
    by = jax.random.randint(key, (), 1, len(x))
    return jnp.roll(x, by, axis=0), jnp.roll(labels, by)


# --- 5.5 -----------------------------------------------------------------------


def wrong_labels(key, labels):
    return (labels + jax.random.randint(key, labels.shape, 1, 10)) % 10


def in_place(key, labels):
    return labels.at[:].add(jax.random.randint(key, labels.shape, 1, 10)) % 10


def d_loss(real, fake, wrong, w):
    not_real = (1 - w) * nnx.softplus(fake).mean() + w * nnx.softplus(wrong).mean()
    return nnx.softplus(-real).mean() + not_real


def d_loss_of(of_real, of_fake, of_wrong, sign=1, turned=1):
    def loss(real, fake, wrong, w):
        real_term, fake_term = nnx.softplus(-real).mean(), nnx.softplus(fake).mean()
        wrong_term = nnx.softplus(turned * wrong).mean()
        weights = of_real(w), of_fake(w), of_wrong(w)
        terms = zip(weights, (real_term, fake_term, wrong_term), strict=True)
        return sign * sum(a * b for a, b in terms)

    return loss


def by_sigmoids(real, fake, wrong, w):
    p, q, r = map(nnx.sigmoid, (real, fake, wrong))
    not_real = (1 - w) * jnp.log(1 - q).mean() + w * jnp.log(1 - r).mean()
    return -jnp.log(p).mean() - not_real


def one(w):
    return 1.0


def rest(w):
    return 1 - w


def share(w):
    return w


def half(w):
    return 0.5


def weights_inside(real, fake, wrong, w):
    terms = -real, (1 - w) * fake, w * wrong
    return sum(nnx.softplus(a).mean() for a in terms)


def none(w):
    return 0.0


# --- 5.6 -----------------------------------------------------------------------


def measured_by(size):
    def moved(rule, gradient, scale, steps):
        weights, state = jnp.zeros_like(gradient), rule.init(gradient)
        for _ in range(steps):
            step, state = rule.update(scale * gradient, state)
            weights = optax.apply_updates(weights, step)
        return size(weights)

    return moved


moved = measured_by(lambda weights: jnp.abs(weights).sum())


def forgetful(rule, gradient, scale, steps):
    weights = jnp.zeros_like(gradient)
    for _ in range(steps):
        step, _ = rule.update(scale * gradient, rule.init(gradient))
        weights = weights + step
    return jnp.abs(weights).sum()


def moved_once(rule, gradient, scale, steps):
    return moved(rule, gradient, scale, 1)


def never_added(rule, gradient, scale, steps):
    weights, state = jnp.zeros_like(gradient), rule.init(gradient)
    for _ in range(steps):
        _, state = rule.update(scale * gradient, state)
    return jnp.abs(weights).sum()


def scaled_afterwards(rule, gradient, scale, steps):
    return scale * moved(rule, gradient, 1.0, steps)


# --- 5.7 -----------------------------------------------------------------------


def checked(labels, classes):
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not len(labels):
        raise ValueError(f"Labels are whole numbers (N,); given {labels.dtype}.")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"Labels lie in 0..{classes - 1}; given {labels}.")
    return labels


def checked_but(change):
    """The right check, of what `change` makes of the labels."""
    return lambda labels, classes: (
        checked(change(labels, classes), classes) * 0 + labels
    )


def passes(when):
    """The right check, but whatever `when` says is let through."""

    def check(labels, classes):
        return labels if when(np.asarray(labels), classes) else checked(labels, classes)

    return check


def without_asking_for_none(labels, classes):
    if labels.size:
        return checked(labels, classes)
    return labels[labels.min() :]


def by_assert(labels, classes):
    assert (labels >= 0).all() and (labels < classes).all()
    return labels


def clipped(labels, classes):
    return np.clip(labels, 0, classes - 1)


def speechless(labels, classes):
    try:
        return checked(labels, classes)
    except ValueError:
        raise ValueError from None


def of_ten(labels, classes):
    return checked(labels, 10)


SGD, ADAM = 0.5, 1.0

EXERCISES = {
    "join": {
        "right": [joined, lambda z, y, t: jnp.hstack([z, jnp.take(t, y, axis=0)])],
        "wrong": [
            (lambda z, y, t: jnp.hstack([z, y[:, None]]), "one number"),
            (lambda z, y, t: jnp.hstack([z, nnx.one_hot(y, 4)]), "one-hot"),
            (lambda z, y, t: jnp.hstack([t[y], z]), "in front"),
            (lambda z, y, t: jnp.hstack([z, t[y - 1]]), "counted from 0"),
            (lambda z, y, t: z + t[y], "as wide as the latent"),
            (lambda z, y, t: jnp.concatenate([z, t[y]]), "one below the other"),
            (lambda z, y, t: jnp.hstack([z, t[jnp.arange(6) % 4]]), "same label"),
            (lambda z, y, t: jnp.hstack([z, 2 * t[y]]), "the numbers aren't"),
            (lambda z, y, t: jnp.hstack([z, t[y], t[y]]), r"shape \(6, 11\)"),
        ],
        "blank": blank,
    },
    "loud": {
        "right": [[loudness, EVEN], [loudness, 3.16]],
        "wrong": [
            ([lambda s, m, n: s * m / n, EVEN], "variances do"),
            ([lambda s, m, n: (n / m) ** 0.5 / s, EVEN], "turn it over"),
            ([lambda s, m, n: s**2 * m / n, EVEN], "ratio of the variances"),
            ([lambda s, m, n: s, EVEN], "fewer terms"),
            ([lambda s, m, n: s * (n / m) ** 0.5, EVEN], "Who has more"),
            ([lambda s, m, n: 2 * s, EVEN], "Write down the variance"),
            ([loudness, 1], "32%"),
            ([loudness, 10], "take the root"),
            ([loudness, 0.316], "softer still"),
            ([loudness, 5], "Your own function gives"),
        ],
        "blank": [blank, ...],
    },
    "permutation": {
        "right": [response_by()],
        "wrong": [
            (not_divided, "Not yet divided"),
            (turned_over, "Turned over"),
            (
                response_by(*[lambda a, b: distance(a, b) ** 2] * 2),
                "squared distances",
            ),
            (of_means, "two mean pictures"),
            (response_by(*[lambda a, b: np.abs(flat(a) - flat(b))] * 2), "each pixel"),
            (
                response_by(*[lambda a, b: np.linalg.norm(flat(a) - flat(b))] * 2),
                "One norm over all",
            ),
            (other_seeds, "same latent vectors"),
            (response_by(mean=np.median), "Means of both"),
            (
                response_by(*[lambda a, b: np.linalg.norm(a - b, axis=(1, 2))] * 2),
                "for each colour",
            ),
        ],
        "blank": blank,
    },
    "shuffled": {
        "right": [["b", shuffled]],
        "wrong": [
            (["a", shuffled], "as it was"),
            (["c", shuffled], "would take a lesson"),
            (["d", shuffled], "Nothing is infinite"),
            (["b", two_orders], "still have their own label"),
            (["b", drawn_again], "there twice"),
            (["b", lambda x, y, key: (x, y)], "nothing is shuffled"),
            (["b", rolled], "Turned or cut"),
            (["b", fixed_order], "Another key"),
            (["b", by_numpy], "The same key"),
            (["b", lambda x, y, key: shuffled(x, y, key)[0]], "two arrays"),
            (["b", lambda x, y, key: shuffled(x[:9], y[:9], key)], "shapes stay"),
        ],
        "blank": [..., blank],
    },
    "mismatched": {
        "right": [[wrong_labels, d_loss], [in_place, d_loss]],
        "wrong": [
            (
                [lambda k, y: jax.random.randint(k, y.shape, 0, 10), d_loss],
                "one case of ten",
            ),
            ([lambda k, y: (y + 1) % 10, d_loss], "always gets the same"),
            (
                [lambda k, y: (y + jax.random.randint(k, (), 1, 10)) % 10, d_loss],
                "One distance for the whole batch",
            ),
            (
                [lambda k, y: (y + np.random.randint(1, 10, y.shape)) % 10, d_loss],
                "The same key",
            ),
            (
                [lambda k, y: y + jax.random.randint(k, y.shape, 1, 10), d_loss],
                "beyond 9",
            ),
            (
                [lambda k, y: (y + jax.random.randint(k, y.shape, 1, 9)) % 10, d_loss],
                "never come",
            ),
            ([lambda k, y: y, d_loss], "Most labels are the right"),
            ([lambda k, y: wrong_labels(jax.random.key(0), y), d_loss], "Another key"),
            ([lambda k, y: wrong_labels(k, y) * 1.0, d_loss], "whole numbers"),
            (
                [
                    lambda k, y: (
                        (y + 1 + jnp.minimum(jax.random.randint(k, y.shape, 0, 20), 8))
                        % 10
                    ),
                    d_loss,
                ],
                "times as often",
            ),
            ([wrong_labels, d_loss_of(one, one, share)], "full weight"),
            ([wrong_labels, d_loss_of(one, share, rest)], "1 - w that of the fakes"),
            ([wrong_labels, d_loss_of(one, rest, share, turned=-1)], "taught here"),
            ([wrong_labels, d_loss_of(one, one, none)], "third term is missing"),
            ([wrong_labels, d_loss_of(rest, rest, share)], "real pairs keeps 1"),
            ([wrong_labels, d_loss_of(one, rest, share, sign=-1)], "The sign"),
            ([wrong_labels, d_loss_of(one, rest, one)], "was expected"),
            ([wrong_labels, d_loss_of(one, one, one)], "their full weight"),
            ([wrong_labels, d_loss_of(one, half, half)], "whatever w is"),
            (
                [wrong_labels, lambda *given: d_loss(*given) / 2],
                "Half of what it should be",
            ),
            ([wrong_labels, lambda *given: 30 * d_loss(*given)], "sums over the batch"),
            (
                [wrong_labels, lambda r, f, x, w: d_loss(-r, -f, -x, w)],
                "targets are turned round",
            ),
            ([wrong_labels, weights_inside], "inside of softplus"),
            ([wrong_labels, by_sigmoids], "At logits of 120"),
        ],
        "blank": [blank, blank],
    },
    "halved": {
        "right": [[SGD, ADAM, "c", moved]],
        "wrong": [
            ([SGD, ADAM, "a", moved], "would be so"),
            ([SGD, ADAM, "b", moved], "has not been touched"),
            ([SGD, ADAM, "d", moved], "halved alike"),
            ([SGD, 0.5, "c", moved], "try it"),
            ([1, ADAM, "c", moved], "Half of it is"),
            ([0.25, ADAM, "c", moved], "SGD: a quarter"),
            ([SGD, 3, "c", moved], "Adam: not 3"),
            ([2, ADAM, "c", moved], "SGD: turned over"),
            ([SGD, ADAM, "c", moved_once], "one step"),
            ([SGD, ADAM, "c", forgetful], "a new state at every step"),
            ([SGD, ADAM, "c", measured_by(jnp.linalg.norm)], "the length"),
            ([SGD, ADAM, "c", measured_by(jnp.sum)], "cancel"),
            ([SGD, ADAM, "c", measured_by(lambda w: jnp.abs(w).mean())], "the mean of"),
            ([SGD, ADAM, "c", never_added], "Nothing has moved"),
            ([SGD, ADAM, "c", scaled_afterwards], "adam, a scale of 0.5"),
        ],
        "blank": [..., ..., ..., blank],
    },
    "out_of_range": {
        "right": [["b", "c", "d", checked]],
        "wrong": [
            (["a", "c", "d", checked], r"table\[10\]: not an error"),
            (["c", "c", "d", checked], r"table\[10\]: not NaN"),
            (["b", "b", "d", checked], "nnx.Embed: not the last row"),
            (["b", "a", "d", checked], "nnx.Embed: not an error"),
            (["b", "c", "b", checked], "one_hot: not the last row"),
            (["b", "c", "c", checked], "one_hot: not NaN"),
            (["b", "c", "d", passes(lambda y, n: y.size and y.max() == n)], "10 of 10"),
            (["b", "c", "d", passes(lambda y, n: y.size and y.min() < 0)], "-1 passes"),
            (
                ["b", "c", "d", passes(lambda y, n: y.dtype.kind == "f")],
                "floats passes",
            ),
            (["b", "c", "d", passes(lambda y, n: y.ndim == 2)], "two dimensions"),
            (["b", "c", "d", passes(lambda y, n: not y.size)], "no label at all"),
            (["b", "c", "d", passes(lambda y, n: y.ndim == 0)], "a single 3"),
            (
                ["b", "c", "d", passes(lambda y, n: y.dtype.kind == "b")],
                "True and False passes",
            ),
            (["b", "c", "d", without_asking_for_none], "NumPy that stops"),
            (["b", "c", "d", by_assert], "vanishes"),
            (["b", "c", "d", clipped], "was changed"),
            (["b", "c", "d", speechless], "says nothing"),
            (["b", "c", "d", of_ten], "25 of 26"),
            (["b", "c", "d", lambda y, n: y + 0.5], "come back as they are"),
        ],
        "blank": [..., ..., ..., blank],
    },
}
