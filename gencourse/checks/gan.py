"""Checks of chapter 3's exercises."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gencourse import gan
from gencourse.checks import (
    Missing,
    Wrong,
    call,
    close,
    letter,
    numbers,
    passed,
    shape,
    split,
    there,
)


def _number(given, wanted, wrong, what, tolerance=2e-3):
    """Hold that a number is the one `wanted`; `wrong`: (value, hint) pairs."""
    there(given)
    value = float(shape(given, (), f"one number, {what}"))
    for known, hint in wrong:
        if abs(value - known) <= tolerance * max(1, abs(known)):
            raise Wrong(hint)
    if abs(value - wanted) > tolerance * max(1, abs(wanted)):
        raise Wrong(f"{what[0].upper()}{what[1:]} is not {value:.4g}. Compute it.")


def softplus(a):
    """log(1 + exp(a)), float64."""
    return np.logaddexp(0, np.asarray(a, np.float64))


# --- 3.1 -----------------------------------------------------------------------


def updates(answers):
    """3.1: the pieces of a step in order, and the losses of its three lessons."""
    order, losses = split(answers, 2)
    _check_order(order)
    rng = np.random.default_rng(0)
    logits = [rng.normal(m, 2, 40).astype(np.float32) for m in (1.0, -0.7, -0.2)]
    given = [jnp.asarray(a) for a in logits]
    result = _three(losses, *given)
    wanted = np.array(
        [softplus(s * a).mean() for s, a in zip(SIGNS, logits, strict=True)]
    )
    _check_targets(result, logits, wanted)
    for name, value, right in zip(NAMES, result, wanted, strict=True):
        if not close(value, right):
            raise Wrong(
                f"{name}: {value:.4f}, and it should be {right:.4f}. Every logit a "
                f"stands for P = sigmoid(a); the loss is -log P where the target is 1, "
                f"-log(1 - P) where it is 0, and a mean over the batch."
            )
    far = [jnp.full(40, 120.0 * sign) for sign in SIGNS]  # D is sure, and wrong
    if not close(_three(losses, *far, finite=False), np.full(3, 120.0)):
        raise Wrong(
            "Right for small logits. But where D is sure and wrong, at a logit of 120, "
            "the loss should be 120, and yours is infinite, NaN or cut off: the "
            "sigmoid has rounded to 0 or 1 before the logarithm saw it. Work from the "
            "logits: nnx.softplus, or optax.sigmoid_binary_cross_entropy."
        )
    try:
        slopes = jax.grad(lambda a: losses(*given[:2], a)[2])(given[2])
    except Exception as error:
        raise Wrong(
            f"The numbers are right, but JAX cannot take a gradient: "
            f"{type(error).__name__}. Something in it is numpy or float(), which JAX "
            f"cannot look into. Use jnp, nnx and optax."
        ) from error
    if not close(slopes, -jax.nn.sigmoid(-given[2]) / 40, 1e-3):
        raise Wrong("The numbers are right, but G's loss passes no right gradient.")
    passed(
        f"The order, and three losses: {result[0]:.3f} for D on real, {result[1]:.3f} "
        f"for D on fake, {result[2]:.3f} for G. Exact at logits of 120, too."
    )


NAMES = ["D on real", "D on fake", "G through D"]
SIGNS = [-1, 1, -1]  # softplus(sign * logit): -1 where the target is 1


def _three(losses, *logits, finite=True):
    result = call(losses, *logits)
    if isinstance(result, (tuple, list)) and any(r is ... for r in result):
        raise Missing
    if isinstance(result, (tuple, list)) and {np.shape(r) for r in result} == {(40,)}:
        raise Wrong("One number a picture: each loss is the mean over its batch.")
    result = numbers(result)
    if result.shape == ():
        raise Wrong("One number. Keep the three losses apart: return three numbers.")
    if result.shape == (2,):
        raise Wrong(
            "Two numbers. D is updated on real ones and on fakes, and G through D: "
            "that makes three."
        )
    if finite:
        return shape(result, (3,), "the losses of the three lessons, apart")
    return result


def _check_order(order):
    there(order, "order")
    letters = "".join(c for c in str(order).lower() if c.isalpha())
    if sorted(letters) != list("abcdef"):
        raise Wrong(
            f"Give each of the letters a to f once, such as 'abcdef'; not {order!r}."
        )
    for first, then, hint in [
        ("c", "f", "G makes pictures of latent vectors: draw them first (c before f)."),
        ("f", "a", "D's loss needs fakes to judge: make them first (f before a)."),
        ("f", "e", "D cannot judge fakes that are not made yet (f before e)."),
        ("a", "d", "D moves along its gradient: take that first (a before d)."),
        ("e", "b", "G moves along its gradient: take that first (e before b)."),
        (
            "d",
            "e",
            "G asks a D that has not learnt from this batch yet. It would run, and "
            "some programs do so. In the chapter D moves first, so that G's gradient "
            "comes from the better teacher (d before e).",
        ),
    ]:
        if letters.index(first) > letters.index(then):
            raise Wrong(hint)


def _check_targets(result, logits, wanted):
    """Known mistakes in the three losses."""
    real, fake, after = logits
    p = [1 / (1 + np.exp(-a.astype(np.float64))) for a in logits]
    turned = [softplus(-s * a).mean() for s, a in zip(SIGNS, logits, strict=True)]
    for value, hint in [
        (
            turned,
            "All three targets are the wrong way round. Real is 1 and fake is 0, and "
            "G wants its fakes to be taken for real.",
        ),
        (-wanted, "All three have the wrong sign: a loss is -log P, never below 0."),
        (wanted * 40, "Those are sums. Take means: a step must not grow with B."),
        (wanted / np.log(2), "Those are bits: natural logarithms, please."),
        (
            [softplus(s * q).mean() for s, q in zip(SIGNS, p, strict=True)],
            "You took the sigmoid first, and then the loss *from logits*: squashed "
            "twice. The loss takes the logits as they are.",
        ),
        (
            [((q - (s < 0)) ** 2).mean() for s, q in zip(SIGNS, p, strict=True)],
            "That is the squared error. Asked is the cross-entropy.",
        ),
        (wanted[[1, 0, 2]], "D's two losses are swapped: that on real comes first."),
        (
            [*wanted[:2], softplus(-fake).mean()],
            "D's losses are right. G's is computed from what D said of the fakes "
            "*before* its own step. G learns from D as it is afterwards: `after`.",
        ),
        (
            [*wanted[:2], -softplus(after).mean()],
            "D's losses are right. G's is the min-max form, log(1 - P). It has the "
            "same goal, but hardly any slope where G is bad. With target 1: -log P.",
        ),
    ]:
        if close(result, value):
            raise Wrong(hint)
    for i, hint in enumerate(
        [
            "Its target is 1: D should call real ones real.",
            "Its target is 0. With 1, D would learn to wave every fake through, and "
            "would have nothing to tell apart.",
            "Its target is 1, though these are fakes: G wants D to be fooled. With 0 "
            "it would help D, and make fakes that are easy to find.",
        ]
    ):
        if close(result[i], turned[i]):
            raise Wrong(f"{NAMES[i]}: the target is turned round. {hint}")


# --- 3.2 -----------------------------------------------------------------------


def stop(answer):
    """3.2: two losses in one, and each network gets the gradient of its own."""
    networks, batch, z = _small_game()
    losses = call(answer, *networks, batch, z)
    if not isinstance(losses, (tuple, list)) or len(losses) != 2:
        raise Wrong("Return two numbers, D's loss and G's: `return d_loss, g_loss`.")
    if any(v is ... for v in losses):
        raise Missing
    result = shape(list(map(numbers, losses)), (2,), "D's loss and G's, a number each")
    right = _losses(*networks, batch, z)
    on_real, on_fake, for_g = (float(v) for v in right)
    for value, hint in [
        ((for_g, on_real + on_fake), "The two losses are swapped: D's comes first."),
        ((on_real, for_g), "D's loss has only its term on real ones: add the fakes'."),
        ((on_fake, for_g), "D's loss has only its term on fakes: add that on real."),
        (
            (on_real + on_fake, -on_fake),
            "G's loss is the min-max form, log(1 - P). Take -log P: gan.g_loss.",
        ),
        (
            (on_real + on_fake, on_fake),
            "G's loss has target 0: it would help D to find the fakes.",
        ),
    ]:
        if close(result, value):
            raise Wrong(hint)
    if not close(result, (on_real + on_fake, for_g)):
        raise Wrong(
            f"The losses are {result[0]:.4f} and {result[1]:.4f}; they should be "
            f"{on_real + on_fake:.4f} and {for_g:.4f}. Both see the same fakes, of z: "
            f"d_real + d_fake = gan.d_loss(...) adds up to D's, gan.g_loss gives G's. "
            f"Stopping a gradient changes no value."
        )
    _check_flow(answer, networks, batch, z)
    passed(
        "One call of nnx.grad, two gradients: D gets that of its own loss alone, G "
        "gets that of its own, through D. Both equal those of two separate steps."
    )


def _small_game():
    generator = gan.Generator(4, (8,), (3,), rngs=nnx.Rngs(0))
    discriminator = gan.Discriminator((8,), (3,), rngs=nnx.Rngs(1))
    rng = np.random.default_rng(0)
    batch, z = (rng.normal(0, 0.5, (16, n)).astype(np.float32) for n in (3, 4))
    return (generator, discriminator), jnp.asarray(batch), jnp.asarray(z)


def _losses(generator, discriminator, batch, z):
    """D on real, D on fake, G through D: nothing stopped."""
    on_fake = discriminator(generator(z))
    return *gan.d_loss(discriminator(batch), on_fake), gan.g_loss(on_fake)


def _check_flow(answer, networks, batch, z):
    """What reaches G and what reaches D of the sum of both losses?"""

    def of(*which):
        def loss(*networks):
            return sum(_losses(*networks, batch, z)[i] for i in which)

        return [_flat(g) for g in nnx.grad(loss, argnums=(0, 1))(*networks)]

    def both(*networks):
        return sum(answer(*networks, batch, z))

    try:
        to_g, to_d = map(_flat, nnx.grad(both, argnums=(0, 1))(*networks))
    except Exception as error:
        raise Wrong(
            f"The losses are right, but JAX cannot take their gradient: "
            f"{type(error).__name__}. Something in it is numpy or float(), or changes "
            f"a network that came from outside. Use jax.lax.stop_gradient and frozen."
        ) from error
    (_, d_real), (g_fake, d_fake), (g_own, d_of_g) = of(0), of(1), of(2)
    d_own = d_real + d_fake
    if close(to_g, g_own) and close(to_d, d_own):
        return
    if close(to_g, g_own + g_fake) and close(to_d, d_own + d_of_g):
        raise Wrong(
            "Nothing is stopped: each network is pulled by the other's loss as well. "
            "G learns to please D and to be found out, both at once."
        )
    if not np.any(to_g) and not np.any(to_d):
        raise Wrong("No gradient passes at all: nobody would learn.")
    if not np.any(to_g):
        hint = "G gets no gradient, it would never learn. G's loss must reach it "
        if close(to_d, d_own + d_of_g):
            raise Wrong(
                f"{hint}through D; and D gets G's gradient on top of its own. Stopped "
                f"are the fakes where they should not be: stop them for D's loss "
                f"alone, and for G's freeze D."
            )
        raise Wrong(
            f"{hint}*through* the frozen D: the fakes that G's loss sees may not be "
            f"stopped, nor D's logits, nor G be frozen."
        )
    if not np.any(to_d):
        raise Wrong(
            "D gets no gradient: it is frozen in its own loss, too. Freeze it only "
            "where it is G's judge."
        )
    if close(to_g, g_own + g_fake) and close(to_d, d_own):
        raise Wrong(
            "D is right. But D's loss reaches G: G is pushed to make fakes that D "
            "finds more easily, against its own loss. Stop the fakes in D's loss."
        )
    if close(to_g, g_own + g_fake) and close(to_d, d_real):
        raise Wrong(
            "D learns nothing from fakes: you froze D where it judges them for its own "
            "loss, and G feels that loss besides. Stop the fakes there, not D."
        )
    if close(to_g, g_own) and close(to_d, d_own + d_of_g):
        raise Wrong(
            "G is right. But G's loss reaches D: D is pushed to be fooled, against its "
            "own loss. Freeze D where it is G's judge."
        )
    if close(to_g, g_own) and close(to_d, d_real):
        raise Wrong(
            "G is right. But D learns nothing from fakes: in D's loss its logits of "
            "them are stopped. Stop what goes *into* D, not what comes out."
        )
    if close(to_g, g_own) and close(to_d, d_fake):
        raise Wrong(
            "G is right. But D learns nothing from the real ones: its logits of them "
            "are stopped. Nothing need be stopped there."
        )
    if close(to_g, g_fake):
        raise Wrong(
            "G gets the gradient of D's loss and not of its own: the stop stands in "
            "the wrong one of the two losses."
        )
    raise Wrong(
        "The losses are right, their gradients are not. Four arrows: D's loss to D, "
        "D's to G, G's to D, G's to G. Which two should remain, and where are the "
        "others cut?"
    )


def _flat(grads):
    return np.concatenate([np.asarray(g).ravel() for g in jax.tree.leaves(grads)])


# --- 3.3 -----------------------------------------------------------------------


def balance(answers):
    """3.3: what the best D believes, and what it pays."""
    belief, terms = split(answers, 2)
    p = np.array([0.1, 0.4, 0.3, 0.2, 0.0, 0.6])
    q = np.array([0.1, 0.1, 0.6, 0.0, 0.5, 0.2])
    with np.errstate(all="ignore"):
        result = numbers(call(belief, p.copy(), q.copy()))
    if result.shape == (6,) and not np.isfinite(result).all():
        raise Wrong(
            "There are infinite numbers or NaN in it. Where G never makes x, q = 0, D "
            "should simply be sure: 1."
        )
    result = shape(result, (6,), "a belief for each place")
    wanted = p / (p + q)
    first = f"At p = {p[1]} and q = {q[1]} you get {result[1]:.3g}. "
    for value, hint in [
        (wanted - 1 / 2, "What if both are alike? D cannot tell then: 1/2, not 0."),
        (q / (p + q), "Turned round: D should be sure of *real* where q is small."),
        (
            (p - q) / (p + q),
            "That lies between -1 and 1. A probability lies between 0 and 1.",
        ),
        (
            1 / (1 + np.exp(q - p)),
            "The sigmoid of a difference of densities: but where q = 0, D should be "
            "quite sure. What does Bayes say, with as many fakes as real ones?",
        ),
        (
            p,
            "That is the density of the real ones. D's belief needs G's as well.",
        ),
        (
            p**2 / (p**2 + q**2),
            "Nearly: squares have no place in it. Set the derivative to 0 once more.",
        ),
        (np.full(6, 0.5), "Always 1/2? That is so only where p and q are alike."),
        (
            np.where(p > q, 1.0, 0.0),
            "That is the better *guess*, always sure. The belief that costs least says "
            "how sure one may be.",
        ),
    ]:
        if close(result, value):
            raise Wrong(first + hint)
    if result.min() < 0 or result.max() > 1:
        raise Wrong(
            f"{first}A belief lies between 0 and 1. p/q is the odds; the belief is the "
            f"odds' share, odds / (1 + odds)."
        )
    if not close(result, wanted, 1e-4):
        raise Wrong(
            f"{first}Of {p[1]} + {q[1]} that come by there, which share is real?"
        )
    _check_terms(terms)


def _curves(distance, spacing=0.02):
    """The densities of two bells, the second one wider, on a grid."""
    x = np.arange(-12, 12, spacing)

    def bell(mean, deviation):
        far = (x - mean) / deviation
        return np.exp(-(far**2) / 2) / (np.sqrt(2 * np.pi) * deviation)

    return bell(-distance / 2, 1), bell(distance / 2, 1.5), spacing


def _two_terms(p, q, width):
    best = p / (p + q)
    return np.array([-(p * np.log(best)).sum(), -(q * np.log(1 - best)).sum()]) * width


def _check_terms(terms):
    p, q, width = _curves(1.7)
    result = call(terms, p.copy(), q.copy(), width)
    if isinstance(result, (tuple, list)) and any(r is ... for r in result):
        raise Missing
    result = numbers(result)
    start = "The belief is right. The terms: "
    if result.shape == ():
        raise Wrong(f"{start}one number. Give D's two terms apart: a pair.")
    if result.shape == (2, len(p)):
        raise Wrong(
            f"{start}that is what each place costs. Add them up over all places, times "
            f"the width of a place."
        )
    if result.shape == (2,) and not np.isfinite(result).all():
        raise Wrong(f"{start}there is a NaN or an infinite number among them.")
    result = shape(result, (2,), "D's two terms")
    wanted = _two_terms(p, q, width)
    best = p / (p + q)
    for value, hint in [
        (-wanted, "the sign is turned. A term is -log, never below 0."),
        (wanted / width, "that sum grows as the grid gets finer: times `width`."),
        (
            -np.array([np.log(best).mean(), np.log(1 - best).mean()]),
            "a plain mean over the grid. But real ones fall mostly where p is large: "
            "weigh each place with the density of what D is shown there.",
        ),
        (
            -np.array([np.log(best).sum(), np.log(1 - best).sum()]) * width,
            "the densities are missing. Real ones fall mostly where p is large: weigh "
            "each place with the density of what D is shown there.",
        ),
        (
            -np.array([(p * np.log(best)).mean(), (q * np.log(1 - best)).mean()]),
            "mean() divides by the number of places, which has no meaning here. An "
            "integral is sum() * width.",
        ),
        (
            np.array([(p * (1 - best) ** 2).sum(), (q * best**2).sum()]) * width,
            "that is the squared error. Asked is the cross-entropy.",
        ),
        (wanted / np.log(2), "those are bits. Natural logarithms give nats."),
        (wanted / 2, "half of what they should be. Each is a mean of its own."),
        (
            -np.array([(p * np.log(best)).sum(), (q * np.log(best)).sum()]) * width,
            "the second is of the fakes, and what D pays for them is -log(1 - belief).",
        ),
        (
            -np.array([(p * np.log(best)).sum(), (p * np.log(1 - best)).sum()]) * width,
            "both are weighted with p. The second is of the fakes: their density is q.",
        ),
        (
            -np.array([(q * np.log(best)).sum(), (p * np.log(1 - best)).sum()]) * width,
            "the densities are swapped: real ones fall where p is large.",
        ),
        (wanted.sum() * np.ones(2), "both are the sum of the two. Keep them apart."),
    ]:
        if close(result, value, 1e-3):
            raise Wrong(start + hint)
    if not close(result, wanted, 1e-3):
        raise Wrong(
            f"{start}{np.round(result, 4)}, and they should be {np.round(wanted, 4)}. "
            f"The first is the sum of p * -log(belief) * width over all places."
        )
    same = numbers(call(terms, p.copy(), p.copy(), width))
    if not close(same, np.log([2, 2]), 1e-3):
        raise Wrong(f"{start}where p = q they should be ln 2 each, not {same}.")
    left = np.repeat([0.5, 0.0], 20)
    with np.errstate(all="ignore"):
        apart = numbers(call(terms, left, left[::-1].copy(), 0.1))
    if not np.allclose(apart, 0, atol=1e-6):
        raise Wrong(
            f"{start}right where p and q overlap. But where q is 0, nothing of the "
            f"fakes' term can be paid, and you get {apart}: 0 * log 0 is NaN for a "
            f"computer. scipy.special.xlogy, or a sum over the places that have any."
        )
    passed(
        f"The best D believes p / (p + q). Where p = q it pays {same[0]:.4f} a term, "
        f"ln 2 = {np.log(2):.4f}; where the two never meet, nothing."
    )


# --- 3.4 -----------------------------------------------------------------------


def clipped(answers):
    """3.4: the floor of a loss on clipped logits, its dead places, and the repair."""
    floor, dead, loss = split(answers, 3)
    there(floor, "floor")
    real_best, fake_best = softplus(-1), softplus(0)
    _number(
        floor,
        real_best + fake_best,
        [
            (
                0,
                "Without the clip D could come as near to 0 as it likes. With it, what "
                "is the best logit that is left for a real one? And for a fake?",
            ),
            (
                real_best,
                "That is what a real one costs at best, at logit 1. The fakes have a "
                "best logit, too, and that is not free either.",
            ),
            (
                fake_best,
                "That is what a fake costs at best, at logit 0. The real ones come on "
                "top, and a logit of 1 is not free either.",
            ),
            (
                2 * real_best,
                "As if a fake's logit could be -1. The clip leaves nothing below 0.",
            ),
            (
                2 * fake_best,
                "2 ln 2 is what a D pays that cannot tell. This one may still say 1 "
                "of real ones.",
            ),
            (
                real_best + softplus(1),
                "Logit 1 for both? For the fakes that is the dearest one.",
            ),
            ((real_best + fake_best) / 2, "D's loss is the sum of both, not the mean."),
            (
                (real_best + fake_best) / np.log(2),
                "Those are bits. Natural logarithms give nats.",
            ),
            (
                1 / (1 + np.exp(-1)),
                "That is the probability at logit 1. What does it cost? And the fakes?",
            ),
        ],
        "the lowest loss that D can reach",
        tolerance=5e-3,
    )
    there(dead, "dead")
    letter(
        dead,
        "c",
        {
            "a": "softplus has a slope everywhere. But the clip comes before it, and "
            "is flat outside of [0, 1].",
            "b": "Those get none, that is true, and there it would do no harm: D is "
            "right there. But which other logits are outside of [0, 1]?",
            "d": "Inside of [0, 1] the clip changes nothing: its slope is 1 there.",
        },
    )
    _check_repaired(loss)
    passed(
        f"No D gets below {real_best + fake_best:.4f} with the friend's loss, and what "
        f"it judges most wrongly teaches it nothing. The repaired loss goes down to 0 "
        f"and has a slope at logits of 120."
    )


def _check_repaired(loss):
    rng = np.random.default_rng(0)
    real, fake = (rng.normal(m, 3, 50).astype(np.float32) for m in (1.0, -1.0))
    given = jnp.asarray(real), jnp.asarray(fake)
    result = call(loss, *given)
    if isinstance(result, (tuple, list)) and len(result) == 2:
        raise Wrong("Two numbers. Return one, D's whole loss: their sum.")
    result = numbers(result)
    if result.shape == (50,):
        raise Wrong("One number a picture. Take the mean over the batch.")
    result = shape(result, (), "one number, D's loss")
    in_real, in_fake = np.clip(real, 0, 1), np.clip(fake, 0, 1)
    p_real, p_fake = (1 / (1 + np.exp(-a.astype(np.float64))) for a in (real, fake))
    wanted = softplus(-real).mean() + softplus(fake).mean()
    for value, hint in [
        (
            softplus(-in_real).mean() + softplus(in_fake).mean(),
            "The loss is still the friend's: something cuts the logits to [0, 1].",
        ),
        (
            softplus(-real).mean() + softplus(in_fake).mean(),
            "The real logits are free now; the fakes' are still clipped.",
        ),
        (
            softplus(-in_real).mean() + softplus(fake).mean(),
            "The fakes' logits are free now; the real ones are still clipped.",
        ),
        (
            softplus(-p_real).mean() + softplus(p_fake).mean(),
            "The clip is gone, and a sigmoid has come in its place: it squeezes the "
            "logits into [0, 1] as well, only smoothly. The floor is the same.",
        ),
        (
            softplus(real).mean() + softplus(-fake).mean(),
            "The clip is gone, and so is the sense: now real has target 0 and fake 1.",
        ),
        (softplus(-real).mean(), "The term of the fakes is gone."),
        (softplus(fake).mean(), "The term of the real ones is gone."),
        (wanted / 2, "Half of it: add the two means, and don't average them."),
        (50 * wanted, "That is a sum over the batch. Take means, as the friend does."),
        (-wanted, "The sign is turned."),
    ]:
        if close(result, value):
            raise Wrong(hint)
    if not close(result, wanted):
        raise Wrong(
            f"The loss gives {result:.4f} where the chapter's gives {wanted:.4f}. Take "
            f"the friend's, and change as little as possible."
        )
    far, farther = (
        numbers(call(loss, jnp.full(50, -a), jnp.full(50, a))) for a in (60.0, 120.0)
    )
    if not np.isfinite([far, farther]).all():
        raise Wrong(
            "Right for small logits; at 120 it is infinite or NaN. The sigmoid has "
            "become exactly 1 there, and log(1 - 1) is no number. Stay with logits."
        )
    if not close([far, farther], [120.0, 240.0]):
        raise Wrong(
            f"Right for small logits. But a D that is sure and wrong, with logits of "
            f"120, pays {farther:.4g} instead of 240: something is still cut off, only "
            f"farther out, and beyond it D learns nothing."
        )
    try:
        slopes = jax.grad(lambda r, f: loss(r, f), argnums=(0, 1))(*given)
    except Exception as error:
        raise Wrong(
            f"The value is right, but JAX cannot take the gradient: "
            f"{type(error).__name__}. Something in it is numpy or float()."
        ) from error
    if not close(slopes, np.array([p_real - 1, p_fake]) / 50, 1e-3):
        raise Wrong("The value is right, but its gradient is not: is a part stopped?")


# --- 3.5 -----------------------------------------------------------------------

BROKEN = {
    "loss": "squared error",
    "activation": "sigmoid",
    "optimizer": "SGD",
    "norm": False,
}
OPTIONS = {
    "loss": ("squared error", "cross-entropy"),
    "activation": ("sigmoid", "leaky ReLU"),
    "optimizer": ("SGD", "Adam"),
    "norm": (False, True),
}
RADIUS, WIDTH = 2.0, 0.1  # of the ring, and of each of its eight Gaussians


def modes(points):
    """How many of the eight Gaussians points (N, 2) hit, and how many points hit one.

    A point hits a Gaussian within three deviations of its middle; a Gaussian is hit if
    at least a fiftieth of all points do so (an even share is an eighth).
    """
    angles = 2 * np.pi * np.arange(8) / 8
    middles = RADIUS * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    away = np.linalg.norm(points[:, None] - middles[None], axis=2)  # (N, 8)
    hits = np.bincount(away.argmin(1)[away.min(1) < 3 * WIDTH], minlength=8)
    return int((hits >= len(points) / 50).sum()), float(hits.sum() / len(points))


def collapse(answers):
    """3.5: as few changes as possible that cure a collapsed generator."""
    cure, generator = split(answers, 2)
    there(cure, "cure")
    there(generator, "generator")
    changed = _check_settings(cure)
    points = _points(generator, cure)
    found, share = modes(points)
    said = f"Gaussians hit: {found} of 8, by {share:.0%} of the points. "
    if not changed:
        raise Wrong(f"{said}These are the broken settings: change something.")
    if found < 8 or share < 0.5:
        raise Wrong(f"{said}{_seen(points, found, share)} {_advice(cure)}")
    if len(changed) > 2:
        raise Wrong(
            f"{said}That is a cure. But you changed {', '.join(changed)}: was each of "
            f"them needed? Put one back at a time. Two changes are enough."
        )
    passed(
        f"2,000 points from latents of the check's own: all 8 Gaussians are hit, by "
        f"{share:.0%} of them. Changed: {' and '.join(changed)}."
    )


def _check_settings(cure):
    """The names of the settings that were changed."""
    if not isinstance(cure, dict) or set(cure) != set(BROKEN):
        raise Wrong(f"`cure` is a dict with the four settings {', '.join(BROKEN)}.")
    for name, value in cure.items():
        there(value, "cure")
        if value not in OPTIONS[name]:
            one, other = OPTIONS[name]
            raise Wrong(f"{name} is {one!r} or {other!r}; not {value!r}.")
    return [name for name in BROKEN if cure[name] != BROKEN[name]]


def _points(generator, cure):
    """2,000 points that the generator makes of the check's own latent vectors."""
    if hasattr(generator, "shape") and not isinstance(generator, gan.Generator):
        raise Wrong(
            "These are points, and anyone can make points: the real ones are a row "
            "away. Give the trained generator, and the check draws for itself."
        )
    if isinstance(generator, (tuple, list)):
        raise Wrong("Give the generator alone, without the history beside it.")
    if type(generator) is not gan.Generator:
        raise Wrong(
            f"This is a {type(generator).__name__}. Give the gan.Generator that "
            f"train_on_ring(**cure) has trained."
        )
    slope = float(generator.activation(jnp.float32(-1.0)))
    leaky = cure["activation"] == "leaky ReLU"
    if (slope < 0) != leaky or bool(len(generator.norms)) != cure["norm"]:
        raise Wrong(
            "This generator was not trained with these settings: its activation or its "
            "LayerNorms are others. Train again with `cure` as it stands."
        )
    z = jax.random.normal(jax.random.key(1234), (2000, generator.latent))
    points = numbers(gan.generate(generator, z))
    if points.shape != (2000, 2) or not np.isfinite(points).all():
        raise Wrong("The generator does not make finite points of the plane.")
    if not close(generator.output_activation(jnp.array([0.3, -7.0])), [0.3, -7.0]):
        raise Wrong("The points are bent by a last function that training never saw.")
    return points


def _seen(points, found, share):
    """What is wrong with the points, in words."""
    spread = points.std(axis=0).max()
    if spread < 3 * WIDTH:
        where = "right on one Gaussian" if found else "where nothing real lies"
        return f"Nearly all points lie on one spot, {where}: collapse, whole."
    if share < 0.25:
        return "The points are spread, but not where the real ones are."
    if found < 8:
        return "Some Gaussians are left out: collapse, in part."
    return "All are hit, but too many points lie between them."


def _advice(cure):
    """What to try next."""
    sigmoid, sgd = cure["activation"] == "sigmoid", cure["optimizer"] == "SGD"
    if cure["norm"] and not sigmoid and not sgd:
        return (
            "LayerNorm helps with digits. In the plane, with two numbers a point, it "
            "did not in our runs: try without."
        )
    if sigmoid and sgd:
        return (
            "Both networks still have sigmoids, which pass on a quarter of a slope at "
            "most, layer by layer, and SGD, which takes small slopes as they are."
        )
    if sigmoid:
        return (
            "Adam makes the steps large enough. But sigmoids still stand between D's "
            "verdict and G: what comes through two networks of them tells G little."
        )
    if sgd:
        return (
            "The slopes come through now. But SGD takes steps as long as the slope, "
            "however small or wild that is. Which optimizer measures its own steps?"
        )
    if cure["loss"] == "cross-entropy":
        return (
            "Activation and optimizer are good now. The loss need not change, and in "
            "some of our runs this one dropped a Gaussian or two: put it back."
        )
    return "The settings are good. Were the steps as many as the notebook says?"


# --- 3.6 -----------------------------------------------------------------------


def latent(answers):
    """3.6: the lengths of sums and middles of latents, and a mix that keeps them."""
    of_sum, of_middle, mix = split(answers, 3)
    there(of_sum, "length_of_sum")
    _number(
        of_sum,
        np.sqrt(200),
        [
            (
                20,
                "20 if both pointed the same way. Two random latents hardly ever do.",
            ),
            (10, "As long as one of them? The squares of 100 pairs add up: larger."),
            (200, "That is the squared length. Take the root."),
            (np.sqrt(2), "That is the deviation of one of the 100 numbers."),
            (
                0,
                "They would have to be opposite. Two random latents hardly ever are.",
            ),
        ],
        "the length of a sum of two latent vectors",
        tolerance=0.02,
    )
    there(of_middle, "length_of_middle")
    _number(
        of_middle,
        np.sqrt(50),
        [
            (
                10,
                "The ends are 10 long. The way between leads through the inside.",
            ),
            (5, "5 would be a right answer if the sum were 10 long. It is longer."),
            (50, "That is the squared length. Take the root."),
            (np.sqrt(200), "That is the sum. The middle is half of it."),
            (0, "Only if the two were opposite."),
        ],
        "the length of the middle of two latent vectors",
        tolerance=0.02,
    )
    _check_mix(mix)


def _check_mix(mix):
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, (2, 500, 100)).astype(np.float32)
    start = "The two lengths are right. "

    def at(t):
        result = numbers(call(mix, jnp.asarray(a), jnp.asarray(b), t))
        return shape(
            result, (500, 100), "a latent vector for each pair of latent vectors"
        )

    steps = (0.0, 0.25, 0.5, 0.75, 1.0)
    made = {t: at(t) for t in steps}
    plain = {t: (1 - t) * a + t * b for t in steps}

    def like(known):
        return all(close(made[t], known(t, plain[t]), 1e-3) for t in (0.25, 0.5, 1.0))

    def length(x):
        return np.linalg.norm(x, axis=-1, keepdims=True)

    for known, hint in [
        (
            lambda t, m: m,
            f"But this is the straight way: in the middle the latent vectors are "
            f"{length(made[0.5]).mean():.1f} long, too short. Lengthen them.",
        ),
        (
            lambda t, m: m / length(m),
            "But every latent vector is now of length 1. The usual length is 10.",
        ),
        (
            lambda t, m: 10 * m / length(m),
            "But every latent is now exactly 10 long, the ends too: mix(a, b, 0) is no "
            "longer a. Divide by what the mixing itself takes away.",
        ),
        (
            lambda t, m: m / (t**2 + (1 - t) ** 2),
            "But in the middle they are too long now: that was the variance of the "
            "mix. Divide by its root.",
        ),
        (
            lambda t, m: m * np.sqrt(2),
            "But every mix is lengthened by the root of 2, the ends, too. That is "
            "right in the middle alone.",
        ),
        (
            lambda t, m: (m - m.mean(0)) / m.std(0),
            "But you standardise over the batch: a latent vector would depend on its "
            "neighbours, and one alone would be NaN.",
        ),
        (
            lambda t, m: (m - m.mean(1, keepdims=True)) / m.std(1, keepdims=True),
            "But you standardise each latent: the ends move, too. Divide by what the "
            "mixing itself takes away.",
        ),
        (
            lambda t, m: m * length(a) / length(m),
            "But every mix is as long as its a. At the end there should be b itself.",
        ),
    ]:
        with np.errstate(all="ignore"):
            if like(known):
                raise Wrong(start + hint)
    if close(made[0.0], b, 1e-3) and close(made[1.0], a, 1e-3):
        raise Wrong(f"{start}But it goes backwards: t = 0 is a, t = 1 is b.")
    for t, end, name in ((0.0, a, "a"), (1.0, b, "b")):
        if not close(made[t], end, 1e-3):
            raise Wrong(f"{start}But mix(a, b, {t:.0f}) is not {name}.")
    means = {t: float(length(made[t]).mean()) for t in steps}
    for t, mean in means.items():
        if abs(mean - 10) > 0.25:
            raise Wrong(
                f"{start}But at t = {t} the latents are {mean:.2f} long on average; "
                f"usual is about 10. Which deviation has (1 - t) * a + t * b?"
            )
    towards = [float((made[t] * (b - a)).sum(1).mean()) for t in steps]
    if (np.diff(towards) <= 0).any():
        raise Wrong(f"{start}But the way does not lead evenly from a to b.")
    one = numbers(call(mix, jnp.asarray(a[:1]), jnp.asarray(b[:1]), 0.5))
    if not close(one, made[0.5][:1], 1e-3):
        raise Wrong(f"{start}But a pair alone gives another mix than among others.")
    passed(
        f"A sum is 14.1 long, the middle 7.1, and your mix stays on the shell: "
        f"{means[0.25]:.2f}, {means[0.5]:.2f} and {means[0.75]:.2f} on the way."
    )


# --- 3.7 -----------------------------------------------------------------------


def slopes(answers):
    """3.7: which losses still teach a G whose fakes D sees through?"""
    dead, slope = split(answers, 2)
    there(dead, "dead_losses")
    letter(
        dead,
        "c",
        {
            "a": "They have the same goal, but not the same slopes. Compute them.",
            "b": "Min-max is dead, yes. Look at the squared error, too: the sigmoid "
            "before it is flat at -5, and the error cannot grow beyond 1.",
            "d": "Turned round: -log P grows without end as P goes to 0. It is named "
            "non-saturating for that.",
        },
    )
    losses = {
        "non-saturating": gan.g_loss,
        "min-max": gan.g_loss_saturating,
        "squared error": gan.g_loss_squared,
    }
    places = [-5.0, -1.0, 0.0, 2.0]
    result, value = (
        np.array([[f(loss, a) for a in places] for loss in losses.values()])
        for f in (
            lambda loss, a: float(
                shape(call(slope, loss, a), (), "one number, the slope at that logit")
            ),
            lambda loss, a: float(loss(jnp.float32(a))),
        )
    )
    p = 1 / (1 + np.exp(-np.array(places)))
    wanted = np.array([p - 1, -p, 2 * (p - 1) * p * (1 - p)])
    at_p = np.array(
        [[float(jax.grad(f)(jnp.float32(v))) for v in p] for f in losses.values()]
    )
    for known, hint in [
        (value, "Those are the losses themselves. How fast do they change?"),
        (-wanted, "The sign is turned. All three fall as the logit rises."),
        (
            wanted / (p * (1 - p)),
            "Those are the slopes by the *probability*. G moves the logit, and the "
            "sigmoid between the two is what is flat.",
        ),
        (
            at_p,
            "You took the sigmoid first, and these losses do so themselves: they are "
            "functions of logits.",
        ),
        (
            at_p * p * (1 - p),
            "You put a sigmoid before the loss. The losses have their own: they are "
            "functions of logits.",
        ),
        (
            np.repeat(wanted[:, 2:3], 4, axis=1),
            "The same slope at every logit? It is taken at 0 always.",
        ),
        (
            np.repeat(wanted[:1], 3, axis=0),
            "The same for all three losses: use the loss that is given.",
        ),
        (
            np.repeat(wanted[1:2], 3, axis=0),
            "The same for all three losses, the min-max form: use the one given.",
        ),
    ]:
        if close(result, known, 1e-3):
            raise Wrong(f"The prediction is right. {hint}")
    if not close(result, wanted, 2e-3):
        i, j = np.unravel_index(np.abs(result - wanted).argmax(), wanted.shape)
        raise Wrong(
            f"The prediction is right. But for {list(losses)[i]} at a logit of "
            f"{places[j]:g} you get {result[i, j]:.4f}, and it should be "
            f"{wanted[i, j]:.4f}. jax.grad(f)(a) is the slope of f at a."
        )
    passed(
        f"At a logit of -5 the slopes are {result[0, 0]:.4f} (non-saturating), "
        f"{result[1, 0]:.4f} (min-max) and {result[2, 0]:.4f} (squared error): where G "
        f"is bad, only the first teaches it."
    )
