"""Checks of chapter 1's exercises."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gencourse import autoencoder
from gencourse.checks import MISSING, Wrong, call, choose, close, passed, shape
from gencourse.metrics.samples import nearest, vote


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
    result = np.asarray(call(answer, jnp.asarray(logits), jnp.asarray(x)))
    each = np.asarray(autoencoder.reconstruction(logits, x))
    pixel = logits.astype(np.float64)
    cost = np.logaddexp(0, pixel) - x * pixel  # (5, 8, 8, 1), each pixel's own
    if result.shape == ():
        raise Wrong(
            "It gives one number for the whole batch; wanted one an image. Which axes "
            "do you sum over? Axis 0 is the batch: leave it."
        )
    if result.shape == x.shape:
        raise Wrong("It gives a cost for each pixel. Sum over the axes 1, 2 and 3.")
    result = shape(result, (5,), "one number an image")
    if not np.isfinite(result).all():
        raise Wrong(
            "Some images cost NaN: the logarithm of a negative number? The logits are "
            "any real numbers. Turn them into probabilities p first, by the sigmoid."
        )
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
    if not close(result, each):
        first = f"{result[0]:.4f}; it should be {each[0]:.4f}"
        raise Wrong(
            f"Not the cross-entropy: your first image costs {first}. Compare it for "
            f"one pixel: logit 0 and x = 1 must cost ln 2, {np.log(2):.4f}."
        )
    extreme = jnp.full((1, 1, 1, 1), 200.0)
    sure = np.asarray(call(answer, extreme, jnp.zeros((1, 1, 1, 1))))
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
    if Decoder is ... or Decoder is None:
        raise Wrong(MISSING)
    z = jax.random.normal(jax.random.key(0), (64, 2)) * 20
    right = autoencoder.Decoder(2, rngs=nnx.Rngs(3))
    mine = call(Decoder, 2, rngs=nnx.Rngs(3))
    logits = np.asarray(call(mine, z))
    logits = shape(logits, (64, 32, 32, 1), "the logits of 64 pictures")
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
        linear = close(mine(2 * z) - mine(z), mine(z) - mine(0 * z), 1e-3)
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
    if not (isinstance(result, tuple) and len(result) == 2):
        raise Wrong("Return two things: the winning labels, and their share of votes.")
    named = shape(result[0], (50,), "one label a place")
    share = shape(result[1], (50,), "one share a place")
    want_named, want_share = vote(points, codes, labels, 7)
    _, rows = nearest(points, codes, 7)
    same = np.mean(named == want_named)
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
    if same < 1:
        raise Wrong(
            f"{1 - same:.0%} of the places got another name than the vote of their 7 "
            f"nearest codes gives. Distance is the root of the sum of squares over "
            f"the last axis."
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
    rows = np.argsort(-distances, axis=1)[:, :7]
    return np.array([np.bincount(votes).argmax() for votes in labels[rows]])


def draw(answer):
    """1.6: draw codes as the data lie, each near some real code."""
    middles = np.repeat([-6, 6], [600, 200])[:, None]
    codes = middles + np.random.default_rng(2).normal(0, 0.5, (800, 2))
    codes, n, width = jnp.asarray(codes, jnp.float32), 4000, 0.2
    one = shape(
        call(answer, codes, jax.random.key(0), n, width), (n, 2), "n drawn codes"
    )
    two = np.asarray(call(answer, codes, jax.random.key(1), n, width))
    if np.array_equal(one, two):
        raise Wrong(
            "Two keys draw the same codes. Use the key that is given, for the choice "
            "and for the noise."
        )
    distance, rows = nearest(one, codes)
    if distance.max() == 0:
        raise Wrong(
            "Every drawn code is a training code, exactly: decoded, that gives the "
            "copies again. Add noise of standard deviation `width`."
        )
    chosen = len(np.unique(rows))
    if np.mean(np.abs(one).min(1) < 4) > 0.05:
        raise Wrong(
            "Many drawn codes lie between the two groups, where there is no data. One "
            "normal distribution, or a rectangle, over all codes fills the gap. Choose "
            "a training code for each, and stay near it."
        )
    right_side = np.mean(one[:, 0] > 0)
    if chosen < 200:
        raise Wrong(
            f"4,000 draws stay near only {chosen} of the 800 codes. Choose a fresh "
            f"code for each draw: jax.random.randint or choice with shape (n,)."
        )
    if abs(right_side - 0.25) > 0.05:
        raise Wrong(
            f"A quarter of the data lie on the right, and {right_side:.0%} of your "
            f"draws. Choose among all codes with equal chances."
        )
    if (one - np.asarray(codes)[np.arange(n) % 800]).std() < 2 * width:
        raise Wrong(
            "The codes are taken in their order, one after the other. Choose them at "
            "random, or the first n draws show the first n pictures."
        )
    spread = _spread(answer, width)
    if spread is None:
        raise Wrong(
            "All draws have the same noise: one step aside for everybody. Draw noise "
            "of shape (n, latent), not (latent,)."
        )
    if abs(spread - np.sqrt(width)) < 0.03:
        raise Wrong(
            f"The noise has standard deviation {spread:.2f}; asked was {width}. You "
            f"used `width` as a variance: multiply standard normal numbers by it."
        )
    if abs(spread - width) > 0.02:
        raise Wrong(
            f"The noise has standard deviation {spread:.2f}; asked was {width}. "
            f"jax.random.normal has 1 (and jax.random.uniform is another shape)."
        )
    passed(f"Drawn near the data, on both sides, with a spread of {spread:.2f}.")


def _spread(answer, width):
    """Standard deviation of the noise around one code; None if it is all the same."""
    alone = call(answer, jnp.zeros((1, 2)), jax.random.key(5), 4000, width)
    alone = np.asarray(alone)
    return float(alone.std()) if np.ptp(alone, axis=0).any() else None


def sizes(bce):
    """1.7: the test loss for several sizes of the code."""
    if bce is ... or bce is None:
        raise Wrong(MISSING)
    if not isinstance(bce, dict) or not bce or any(v is ... for v in bce.values()):
        raise Wrong(MISSING if isinstance(bce, dict) else "Give a dict: size -> loss.")
    wanted = [1, 2, 6, 20]
    if sorted(bce) != wanted:
        raise Wrong(f"The sizes should be {wanted}; there are {sorted(bce)}.")
    values = np.array([float(bce[size]) for size in wanted])
    if not np.isfinite(values).all() or (values < 0).any():
        raise Wrong(
            "A loss is negative, NaN or infinite. Give the loss itself, not its "
            "distance from the floor or a logarithm."
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
