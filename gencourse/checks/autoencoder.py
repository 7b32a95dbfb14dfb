"""Checks of chapter 1's exercises."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gencourse import autoencoder
from gencourse.checks import (
    Wrong,
    call,
    choose,
    close,
    numbers,
    passed,
    shape,
    there,
)
from gencourse.metrics.neighbours import knn_classify, nearest


def shapes(answer):
    """1.1: how many numbers enter the dense layer for a 48 by 48 picture?"""
    choose(
        answer,
        "c",
        "48 to 24 to 12 to 6: the last convolution gives 6 x 6 places with 128 "
        "channels each, 4,608 numbers.",
        {
            "a": "36 is the number of places, 6 x 6. What does each place hold? Look "
            "at the last convolution's second argument.",
            "b": "2,048 is right for 32 by 32, where the side ends at 4. At which "
            "side does 48 end after three halvings?",
            "d": "18,432 is 12 x 12 x 128: that is 48 halved twice. Count the "
            "convolutions of stride 2.",
            "e": "294,912 is 48 x 48 x 128: nothing was halved. What does strides=2 "
            "do to the side?",
        },
    )


def loss(answer):
    """1.2: the binary cross-entropy from logits, in nats an image."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (5, 8, 8, 1)).astype(np.float32)
    x = rng.uniform(0, 1, (5, 8, 8, 1)).astype(np.float32)
    result = numbers(call(answer, jnp.asarray(logits), jnp.asarray(x)))
    each = np.asarray(autoencoder.reconstruction_loss(logits, x))
    pixel = logits.astype(np.float64)
    cost = np.logaddexp(0, pixel) - x * pixel  # (5, 8, 8, 1), each pixel's own
    if result.shape == ():
        raise Wrong(
            "It gives one number for the whole batch; wanted one an image. Which axes "
            "do you sum over? Axis 0 is the batch: leave it."
        )
    if result.shape == x.shape:
        raise Wrong("It gives a cost for each pixel. Sum over the axes 1, 2 and 3.")
    if not np.isfinite(result).all():
        raise Wrong(
            "Some images cost NaN: the logarithm of a negative number? The logits are "
            "any real numbers. Turn them into probabilities p first, by the sigmoid."
        )
    result = shape(result, (5,), "one number an image")
    if close(result, each / 64):
        raise Wrong(
            "That is the mean over the pixels; wanted the sum. In chapter 2 another "
            "term is added to it, and then the difference decides."
        )
    if close(result, -each):
        raise Wrong("The sign is turned: a cost is positive, so minus the logarithms.")
    other = (np.logaddexp(0, pixel) - (1 - x) * pixel).sum((1, 2, 3))
    if close(result, other):
        raise Wrong(
            "x and 1 - x have changed places: a white pixel, x = 1, is bet on with "
            "log p, so x multiplies log p."
        )
    half = (x * np.logaddexp(0, -pixel)).sum((1, 2, 3))
    if close(result, half):
        raise Wrong(
            "Only half of it: black pixels, x = 0, cost nothing here, whatever you "
            "bet. The second term is (1 - x) log(1 - p)."
        )
    if close(result, ((1 / (1 + np.exp(-pixel)) - x) ** 2).sum((1, 2, 3))):
        raise Wrong("That is the squared error. Wanted: the cross-entropy of 1.3.")
    ratio = result / each
    if not close(result, each) and np.ptp(ratio) < 1e-3:
        raise Wrong(
            f"All images cost {ratio.mean():.4g} times what they should. 1.443 would "
            f"be bits (a logarithm to base 2); a power of 2, a wrong count of pixels. "
            f"Plain sums and natural logarithms are wanted."
        )
    if not close(result, each):
        first = f"{result[0]:.4f}; it should be {each[0]:.4f}"
        raise Wrong(
            f"Not the cross-entropy: your first image costs {first}. Compare it for "
            f"one pixel: logit 0 and x = 1 must cost ln 2, {np.log(2):.4f}."
        )
    extreme = jnp.full((1, 1, 1, 1), 200.0)
    sure = numbers(call(answer, extreme, jnp.zeros((1, 1, 1, 1))))
    if not (np.isfinite(sure).all() and abs(float(sure[0]) - 200) < 1e-2):
        raise Wrong(
            f"Right for mild logits. But bet on white with a logit of 200, on a black "
            f"pixel, and it says {float(sure[0])}; right is 200. The sigmoid rounded "
            f"to 1 and log(1 - p) lost it. Use log p = -softplus(-logit) and "
            f"log(1 - p) = -softplus(logit)."
        )
    passed(f"{cost.sum() / 5:.2f} nats an image, and no overflow at a logit of 200.")


def floor(answer):
    """1.3: the floor of the loss when every pixel is 0 or 1."""
    choose(
        answer,
        "a",
        "A pixel of 0 or 1 has no entropy: bet everything on it and pay nothing.",
        {
            "b": "It was the grey pixels that could not be copied for nothing. How "
            "many grey pixels are left after rounding?",
            "c": "ln 2 is what the untrained network pays, which bets one half. A "
            "perfect copy bets p = x, here 0 or 1. Put that into the formula.",
            "d": "A cost -log p with p at most 1 is never negative.",
        },
    )


def bug(Decoder):
    """1.4: the decoder whose background stays grey."""
    there(Decoder)
    if isinstance(Decoder, nnx.Module):
        raise Wrong("Give the class itself, without brackets: checks.bug(MyDecoder).")
    z = jax.random.normal(jax.random.key(0), (4, 2)) * 20
    right = autoencoder.Decoder(2, rngs=nnx.Rngs(3))
    mine = call(Decoder, 2, rngs=nnx.Rngs(3))
    logits = np.asarray(call(mine, z))
    logits = shape(logits, (4, 32, 32, 1), "the logits of 4 pictures")
    wanted = np.asarray(right(z))
    if close(logits, np.maximum(wanted, 0)):
        raise Wrong(
            "Still there: the smallest logit is 0, so the darkest pixel is "
            "sigmoid(0) = 0.5. Which function in the last line never gives a "
            "negative number?"
        )
    if close(logits, nnx.sigmoid(wanted)):
        raise Wrong(
            "Now it gives probabilities. The loss takes logits and applies the "
            "sigmoid itself; twice, a pixel lies between 0.5 and 0.73."
        )
    if close(logits, nnx.leaky_relu(wanted)):
        raise Wrong(
            "A leaky relu lets negative logits through, a hundred times too small: "
            "black needs -5, so the layer must learn -500. No function belongs here."
        )
    if close(logits, np.tanh(wanted)):
        raise Wrong(
            "tanh keeps the logits in [-1, 1], so pixels stay between 0.27 and 0.73. "
            "Logits may be any real numbers."
        )
    if not close(logits, wanted):
        linear = close(mine(-z) - mine(0 * z), mine(0 * z) - mine(z), 1e-3)
        raise Wrong(
            "The hidden layers' relu are gone: without them the whole decoder is "
            "linear, one matrix, and three layers do no more than one. Only the "
            "last line was wrong."
            if linear
            else "With the same weights it gives other numbers than the chapter's "
            "decoder. Change the last line of __call__ only."
        )
    passed("Logits of both signs, and the same numbers as the chapter's decoder.")


def neighbours(answer):
    """1.5: name places by the vote of their k nearest codes."""
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 4, 9], 40)
    centres = np.array([[0, 0], [3, 0], [0, 3]])[np.repeat(np.arange(3), 40)]
    codes = (centres + rng.normal(0, 1.1, (120, 2))).astype(np.float32)
    order = rng.permutation(120)
    codes, labels = codes[order], labels[order]
    points = rng.uniform(-1, 4, (50, 2)).astype(np.float32)
    result = call(answer, points, codes, labels, 7)
    if not hasattr(result, "__len__") or len(result) != 2:
        raise Wrong("Return two things: the winning labels, and their share of votes.")
    named = shape(result[0], (50,), "one label a place")
    share = shape(result[1], (50,), "one share a place")
    want_named, want_share = knn_classify(points, codes, labels, 7)
    _, rows = nearest(points, codes, 7)
    same = np.mean(named == want_named)
    if np.array_equal(share, want_named) or np.array_equal(share, labels[rows[:, 0]]):
        raise Wrong("The other way round: the labels first, then their shares.")
    if np.mean(named == labels[rows[:, 0]]) == 1 and same < 1:
        raise Wrong(
            "Only the nearest code was asked. Let all k of them vote: one odd picture "
            "in the wrong place must not decide."
        )
    if np.array_equal(named, _by_farthest(points, codes, labels)):
        raise Wrong(
            "These are the farthest codes, not the nearest. argsort sorts upwards: "
            "take the first k."
        )
    if not np.isin(named, labels).all():
        if np.allclose(named, labels[rows].mean(1)) or np.allclose(
            named, np.round(labels[rows].mean(1))
        ):
            raise Wrong(
                "You averaged the labels. A place between classes 0 and 4 is not of "
                "class 2: labels are names, not amounts. Count votes."
            )
        raise Wrong(
            "Some of these are no labels. Did you return row numbers of `codes`? "
            "Look the label of a row up: labels[rows]."
        )
    _, more = nearest(points, codes, 15)
    for others in (more[:, :8], more[:, :6], more[:, 1:7], more[:, 1:8], more):
        if same < 1 and np.array_equal(named, _winners(labels[others])):
            raise Wrong(
                "Not exactly the k nearest vote: k is 7 here. Is one too many or too "
                "few among them, the nearest left out, or k fixed to another number?"
            )
    if same < 1:
        raise Wrong(
            f"{1 - same:.0%} of the places got another name than the vote of their 7 "
            f"nearest codes gives. Look at the distance (the root of the sum of "
            f"squares over the last axis), and that exactly the k nearest vote."
        )
    if close(share, want_share * 7):
        raise Wrong("The names are right. You count votes; divide them by k.")
    if not close(share, want_share):
        raise Wrong(
            "The names are right, their shares are not: of the k votes, how large is "
            "the winner's part?"
        )
    passed("50 places named by 7 neighbours each, with the winner's share.")


def _by_farthest(points, codes, labels):
    distances = np.linalg.norm(points[:, None] - codes[None], axis=-1)
    return _winners(labels[np.argsort(-distances, axis=1)[:, :7]])


def _winners(votes):
    return np.array([np.bincount(each).argmax() for each in votes])


def draw(answer):
    """1.6: draw codes as the data lie, each near some real code."""
    middles = np.repeat([-6, 6], [600, 200])[:, None]
    codes = middles + np.random.default_rng(2).normal(0, 0.5, (800, 2))
    codes, n, width = jnp.asarray(codes, jnp.float32), 4000, 0.2
    key, other = jax.random.key(0), jax.random.key(1)

    def drawn(codes, key, width):
        result = call(answer, codes, key, n, width)
        return shape(result, (n, codes.shape[1]), "n drawn codes")

    one = drawn(codes, key, width)
    if not np.array_equal(one, drawn(codes, key, width)):
        raise Wrong(
            "The same key draws different codes each time. All that is random must "
            "come from the key: jax.random, not numpy."
        )
    if np.array_equal(one, drawn(codes, other, width)):
        raise Wrong(
            "Two keys draw the same codes. Use the key that is given, for the choice "
            "and for the noise."
        )
    _check_choice(codes, one, drawn(codes, key, 0.0), key)
    alone = jnp.zeros((1, 2))
    spread = _check_noise(drawn(alone, key, width), drawn(alone, other, width), width)
    half = jax.random.normal(key, (n, 2)) * width
    if close(drawn(alone, key, width), half):
        raise Wrong(
            "The noise comes from the key as it was given. Split it first, and use its "
            "two children: one for the choice, one for the noise."
        )
    wide = drawn(jnp.ones((5, 6)), key, width)  # chapter 1's codes have 2 or 6 numbers
    if wide.std(axis=1).min() == 0:
        raise Wrong("A step needs noise of its own in every coordinate.")
    passed(f"Drawn near the data, on both sides, with a spread of {spread:.2f}.")


def _check_choice(codes, one, still, key):
    """`one` was drawn with noise; `still` without: those are the chosen codes."""
    n = len(still)
    distance, rows = nearest(still, codes)
    if np.mean(np.abs(one).min(1) < 4) > 0.05 and distance.max() > 0.5:
        raise Wrong(
            "Many drawn codes lie between the two groups, where there is no data. One "
            "normal distribution, or a rectangle, over all codes fills the gap. Choose "
            "a training code for each, and stay near it."
        )
    if distance.max() > 1e-5:
        raise Wrong(
            "With width=0 every drawn code should be one of `codes`, with all its "
            "coordinates. Some are not: did you choose single numbers instead of whole "
            "rows, or is there noise that `width` does not scale?"
        )
    if np.array_equal(one, still):
        raise Wrong(
            "Every drawn code is a training code, exactly: decoded, that gives the "
            "copies again. Add noise of standard deviation `width`."
        )
    rows = rows[:, 0]
    if np.array_equal(rows, np.arange(n) % len(codes)):
        raise Wrong(
            "The codes are taken in their order, one after the other. Choose them at "
            "random, or the first n draws show the first n pictures."
        )
    if len(np.unique(rows)) < 200:
        raise Wrong(
            f"4,000 draws stay near only {len(np.unique(rows))} of the 800 codes. "
            f"Choose a fresh code for each draw: jax.random.randint with shape (n,). "
            f"In a loop, split the key again each time."
        )
    right_side = np.mean(still[:, 0] > 0)
    if abs(right_side - 0.25) > 0.05:
        raise Wrong(
            f"A quarter of the data lie on the right, and {right_side:.0%} of your "
            f"draws. Choose among all codes with equal chances."
        )
    spent = jax.random.randint(key, (n,), 0, len(codes))
    also = jax.random.choice(key, len(codes), (n,))
    if np.array_equal(rows, spent) or np.array_equal(rows, also):
        raise Wrong(
            "The choice uses the key as it was given. A key that is split, or used "
            "for something else as well, is spent: split it first, and use its two "
            "children, one for the choice and one for the noise."
        )


def _check_noise(alone, other, width):
    """The standard deviation of the steps around one code, drawn with two keys."""
    if not np.ptp(alone, axis=0).any():
        raise Wrong(
            "All draws have the same noise: one step aside for everybody. Draw noise "
            "of shape (n, latent), not (latent,)."
        )
    if np.array_equal(alone, other):
        raise Wrong("The noise is the same for every key. Draw it with a key, too.")
    if np.corrcoef(alone.T)[0, 1] > 0.5:
        raise Wrong(
            "Both coordinates take the same step. Noise of shape (n, 1) is stretched "
            "over them; draw it of shape (n, latent)."
        )
    spread = float(alone.std())
    if abs(spread - 1) < 0.05:
        raise Wrong("The noise has standard deviation 1. Multiply it by `width`.")
    if abs(spread - np.sqrt(width)) < 0.03:
        raise Wrong(
            f"The noise has standard deviation {spread:.2f}; asked was {width}. You "
            f"used `width` as a variance: multiply standard normal numbers by it."
        )
    if np.abs(alone).max() < 2.5 * spread:
        raise Wrong(
            "The noise never goes far: that is a uniform distribution, a box. The "
            "steps should be normal: jax.random.normal."
        )
    if abs(spread - width) > 0.02:
        raise Wrong(
            f"The noise has standard deviation {spread:.2f}; asked was {width}."
        )
    return spread


def sizes(bce):
    """1.7: the test loss for several sizes of the code."""
    there(bce, "bce")
    if not isinstance(bce, dict) or not bce:
        raise Wrong("Give a dict: size -> loss.")
    for loss in bce.values():
        there(loss, "bce")
    wanted = [1, 2, 6, 20]
    if set(bce) != set(wanted):
        raise Wrong(f"The sizes should be {wanted}; there are {list(bce)}.")
    losses = [numbers(bce[size]) for size in wanted]
    if any(loss.size != 1 for loss in losses):
        raise Wrong("Each loss should be one number, not a whole history.")
    values = np.array([float(loss.squeeze()) for loss in losses])
    if not np.isfinite(values).all() or (values < 0).any():
        raise Wrong(
            "A loss is negative, NaN or infinite. Give the loss itself, not a "
            "logarithm of it."
        )
    if (values < 0.18).any():
        raise Wrong(
            "Below 0.185 there is nothing: that is what a perfect copy of these "
            "pictures costs (section 1.3). Give the loss itself, not its distance from "
            "there."
        )
    if (values > 10).any():
        raise Wrong(
            "These are nats an image. autoencoder.bce_per_pixel gives nats a pixel."
        )
    if (values > 0.66).any():
        raise Wrong(
            "A loss near ln 2 belongs to a network that was not trained. Is the model "
            "that you measure the one that you gave to fit?"
        )
    if np.ptp(values) < 1e-4:
        raise Wrong(
            "All sizes give the same loss. Make a new model, and a new optimizer for "
            "it, inside the loop, with latent=size."
        )
    if values[-1] >= values[0]:
        raise Wrong(
            "20 numbers copy worse than 1? Look at which size each loss was stored "
            "under, and that each run had the same number of steps."
        )
    per_number = (values[0] - values[1]), (values[2] - values[3]) / 14
    if per_number[1] > per_number[0]:
        raise Wrong(
            "Later numbers buy more than the first ones did. Did the larger models "
            "train longer? Give every size the same steps."
        )
    passed(
        "From size 1 to 20 the loss falls by "
        f"{values[0] - values[-1]:.3f} nats a pixel; the second number alone bought "
        f"{per_number[0]:.4f}, the last fourteen {per_number[1]:.4f} each."
    )
