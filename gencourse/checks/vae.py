"""Checks of chapter 2's exercises."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gencourse import vae
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


def _on_copies(answer, *given):
    """What the answer gives for copies, and which of the arrays it has changed."""
    copies = [v.copy() if isinstance(v, np.ndarray) else v for v in given]
    result = call(answer, *copies)
    pairs = zip(given, copies, strict=True)
    return result, [not np.array_equal(a, b) for a, b in pairs]


def _check_kept(changed, names, which):
    for name in (n for n, c in zip(names, changed, strict=True) if c):
        raise Wrong(
            f"The numbers of the {which} function are right, but it changes the {name} "
            f"that it was given, as `+=` and its like do: the next cell would find "
            f"other data. Make new arrays."
        )


def reparameterise(answer):
    """2.1: draw codes from N(mean, exp(log_var)), and let the gradient through."""
    n, key, other = 4000, jax.random.key(0), jax.random.key(1)
    mean = jnp.tile(jnp.array([3.0, -2.0, 0.5]), (n, 1))
    deviation = np.array([0.4, 2.5, 1.5])
    log_var = jnp.tile(2 * jnp.log(jnp.asarray(deviation)), (n, 1))

    def drawn(mean, log_var, key):
        result = numbers(call(answer, mean, log_var, key))
        if result.shape == (n, 3) and np.isnan(result).any():
            raise Wrong(
                "Some codes are NaN. log_var may be negative, and then it has no root "
                "and no logarithm. It is itself a logarithm: undo that first."
            )
        return shape(result, (n, 3), "a code for each mean, with as many numbers")

    z = drawn(mean, log_var, key)
    if not np.array_equal(z, drawn(mean, log_var, key)):
        raise Wrong(
            "The same key gives different codes each time. All that is random must "
            "come from the key: jax.random, not numpy."
        )
    if close(z, mean):
        raise Wrong("There is no chance in it: z is the mean itself, a point again.")
    if np.array_equal(z, drawn(mean, log_var, other)):
        raise Wrong(
            "Two keys give the same codes. Do you make a key of your own? Use the one "
            "that is given, or every batch gets the same noise."
        )
    _check_noise(z - mean)
    noise = drawn(0 * mean, 0 * log_var, key)  # of mean 0 and deviation 1
    if np.all(np.abs(z.mean(0)) < 0.25):
        raise Wrong(
            "The codes lie around 0, whatever the mean is. The encoder says where each "
            "cloud lies: where does the mean come in?"
        )
    _check_deviation(z, deviation)
    if np.abs(z.mean(0) - mean[0]).max() > 0.2:
        raise Wrong(
            f"The codes lie around {np.round(z.mean(0), 2)}; their means are "
            f"{np.asarray(mean[0])}. The noise itself must have mean 0."
        )
    if np.abs(noise).max() < 2.5:
        raise Wrong(
            f"The deviation is right, but no noise is larger than "
            f"{np.abs(noise).max():.2f}: that is a box, a uniform distribution. "
            f"Among {3 * n:,} normal numbers some lie beyond 3."
        )
    _check_rows(drawn, noise, key)
    _check_gradient(answer, noise, key)
    passed(
        f"{n:,} codes with deviations {np.round(z.std(0), 2)}, asked were {deviation}; "
        f"the gradient reaches mean and log_var."
    )


def _check_noise(away):
    if np.ptp(away, axis=0).max() < 1e-4:
        raise Wrong(
            "All pictures of the batch get the same noise. Draw a number of its own "
            "for each picture: what shape does the noise need?"
        )
    if np.abs(np.corrcoef(away.T)).min() > 0.5:
        raise Wrong(
            "Within a picture all latents move together: one number of noise is "
            "stretched over the row. Each latent needs its own."
        )


def _check_deviation(z, wanted):
    """Is the standard deviation of z's columns the `wanted`, or a known mistake?"""
    has, log_var = z.std(0), 2 * np.log(wanted)

    def like(deviation):
        return np.allclose(has, np.abs(deviation), rtol=0.06)

    if like(wanted):
        return
    spread = f"Asked were the deviations {wanted}; yours are {np.round(has, 2)}. "
    if like(wanted**2):
        raise Wrong(
            f"{spread}Those are the variances, the squares. What is exp(log_var): the "
            f"variance or the deviation? How do you get from one to the other?"
        )
    if like(log_var):
        raise Wrong(
            f"{spread}log_var itself multiplies the noise. It is a logarithm, and may "
            f"be 0 or negative: turn it into a deviation first."
        )
    if like(log_var / 2):
        raise Wrong(
            f"{spread}log_var / 2 is the logarithm of the deviation: undo the "
            f"logarithm as well."
        )
    if like(wanted**2 / 2):
        raise Wrong(
            f"{spread}Those are half the variances. Halving the logarithm takes the "
            f"root; halving what comes out of the exponential does not."
        )
    if like(1 / wanted) or like(1 / wanted**2):
        raise Wrong(f"{spread}Wide clouds come out narrow: a sign is turned.")
    if like(np.ones(3)):
        raise Wrong(f"{spread}Every cloud has the same width: log_var is not used.")
    if np.ptp(has / wanted) < 0.06:
        raise Wrong(
            f"{spread}All are {np.mean(has / wanted):.2f} of what they should be. The "
            f"noise itself must have deviation 1; uniform numbers have not."
        )
    raise Wrong(f"{spread}Look at what multiplies the noise.")


def _check_rows(drawn, noise, key):
    """Does each row have its own mean and deviation?"""
    rng = np.random.default_rng(0)
    mean = rng.normal(0, 3, noise.shape).astype(np.float32)
    log_var = rng.uniform(-3, 3, noise.shape).astype(np.float32)
    z = drawn(jnp.asarray(mean), jnp.asarray(log_var), key)
    if not close(z, mean + np.exp(log_var / 2) * noise, 1e-3):
        raise Wrong(
            "Right where all pictures share one mean and one log_var. Where each has "
            "its own, z differs: is something averaged over the batch, or only the "
            "first row used?"
        )


def _check_gradient(answer, noise, key):
    """z moves one to one with the mean, and with log_var by half its noise."""
    rng = np.random.default_rng(1)
    mean, log_var, weight = (
        jnp.asarray(rng.normal(0, 1, noise.shape), jnp.float32) for _ in range(3)
    )

    def weighted(mean, log_var):
        return (weight * answer(mean, log_var, key)).sum()

    try:
        by_mean, by_log_var = jax.jit(jax.grad(weighted, argnums=(0, 1)))(mean, log_var)
    except Exception as error:
        raise Wrong(
            f"The codes are right, but JAX can neither compile it nor take a gradient: "
            f"{type(error).__name__}. Something in it is numpy or float(), which JAX "
            f"cannot look into. Use jnp and jax.random throughout."
        ) from error
    stopped = [not np.any(g) for g in (by_mean, by_log_var)]
    if all(stopped):
        raise Wrong(
            "The codes are right, but no gradient passes, neither to the mean nor to "
            "log_var: the encoder would never learn. Nothing may be stopped here."
        )
    if stopped[0]:
        raise Wrong(
            "The codes are right, but the mean gets no gradient: the clouds could "
            "change their width and never move."
        )
    if stopped[1]:
        raise Wrong(
            "The codes are right, but log_var gets no gradient: the clouds could move "
            "and never change their width. Only the noise is a constant."
        )
    wanted = weight * jnp.exp(log_var / 2) * noise / 2
    if not close(by_mean, weight, 1e-3) or not close(by_log_var, wanted, 1e-3):
        raise Wrong(
            "The codes are right, their gradients are not. dz / dmean is 1, and "
            "dz / dlog_var is half of what the noise adds to z."
        )


def kl(answer):
    """2.2: KL(N(mean, exp(log_var)) || N(0, I)), in nats an image."""
    rng = np.random.default_rng(0)
    mean = rng.normal(0, 1.5, (6, 5)).astype(np.float32)
    log_var = rng.uniform(-3, 2, (6, 5)).astype(np.float32)
    result = numbers(call(answer, jnp.asarray(mean), jnp.asarray(log_var)))
    m2, lv = mean.astype(np.float64) ** 2, log_var.astype(np.float64)
    var = np.exp(lv)
    wanted = 0.5 * (m2 + var - 1 - lv).sum(1)  # (6,)
    if result.shape == ():
        raise Wrong(
            "It gives one number for the whole batch; wanted is one an image. Axis 0 "
            "is the batch: leave it."
        )
    if result.shape == (6, 5):
        raise Wrong("It gives the cost of each latent. Add them up, over axis 1.")
    if result.shape == (5,):
        raise Wrong(
            "It gives 5 numbers for 6 images of 5 latents: you summed over the images "
            "and kept the latents. It should be the other way round."
        )
    if result.shape == (6,) and np.isnan(result).any():
        raise Wrong(
            "There is a NaN in it. A logarithm of log_var? It is a logarithm already, "
            "of the variance, and may be negative."
        )
    result = shape(result, (6,), "the KL of each of 6 images")
    outside = (
        "The -1 stands outside of the sum: it is subtracted once an image. Every "
        "latent has one of its own."
    )
    for value, hint in [
        (
            wanted / 5,
            "That is the mean over the 5 latents. What they cost adds up, as it does "
            "for pixels.",
        ),
        (-wanted, "The sign is turned: a KL divergence is never below 0."),
        (2 * wanted, "Every image costs twice what it should: where is the 1/2?"),
        (wanted / np.log(2), "These are bits. Natural logarithms give nats."),
        (
            0.5 * (m2 + np.sqrt(var) - 1 - lv).sum(1),
            "exp(log_var / 2) is the deviation. Which of the two stands in the "
            "formula, the deviation or the variance?",
        ),
        (
            0.5 * (m2 + lv - 1 - np.log(np.abs(var))).sum(1),
            "log_var has taken the variance's place, and cancels the other log_var: "
            "only the means are left. How do you get the variance from log_var?",
        ),
        (
            0.5 * (m2 + var - lv).sum(1),
            "A cloud that *is* the standard normal, mean 0 and log_var 0, should cost "
            "nothing. With yours each of its latents costs 1/2: a constant is missing.",
        ),
        (0.5 * (m2 + var - lv).sum(1) - 1, outside),
        (0.5 * ((m2 + var - lv).sum(1) - 1), outside),
        (
            0.5 * (m2 + var - 1 - lv / 2).sum(1),
            "log_var / 2 is the logarithm of the deviation. The formula has the "
            "logarithm of the variance: that is log_var as it stands.",
        ),
        (
            0.5 * (m2 + var - 1).sum(1),
            "A cloud of no width at all costs hardly anything with yours. It should "
            "cost infinitely much: which term grows as the variance goes to 0?",
        ),
        (
            0.5 * (m2 + var - 1 + lv).sum(1),
            "The term that should punish narrow clouds rewards them: look at the sign "
            "of log_var.",
        ),
        (
            0.5 * (var - 1 - lv).sum(1),
            "The means cost nothing: clouds could lie anywhere.",
        ),
        (
            0.5 * (mean + var - 1 - lv).sum(1),
            "A mean of -3 lowers the cost, one of 3 raises it. Both lie equally far "
            "from 0: what should be done to the mean?",
        ),
        (
            0.5 * ((m2 + 1) / var - 1 + lv).sum(1),
            "That is KL(N(0, I) || q): the other direction. It averages over the "
            "prior; the ELBO's averages over the codes that the encoder gives.",
        ),
    ]:
        if close(result, value):
            raise Wrong(hint)
    turned = jnp.asarray(mean[::-1, ::-1]), jnp.asarray(log_var[::-1, ::-1])
    again = numbers(call(answer, *turned))[::-1]  # a formula gives the same again
    by_draws = not close(again, result, 1e-5)
    if by_draws and not close(result, wanted) and close(result, wanted, 0.2):
        raise Wrong(
            f"Nearly: your first image costs {result[0]:.3f}, it should be "
            f"{wanted[0]:.3f}. Did you estimate it from draws? Between two normals "
            f"there is a closed form, without chance."
        )
    if not close(result, wanted):
        raise Wrong(
            f"Your first image costs {result[0]:.3f}; it should be {wanted[0]:.3f}. "
            f"Try one latent by hand: mean 2 and log_var 0 must cost exactly 2."
        )
    draws = rng.normal(0, 1, (200_000, 5))
    z = mean[0] + np.sqrt(var[0]) * draws
    by_chance = 0.5 * (z**2 - draws**2 - lv[0]).sum(1).mean()  # log q - log p
    passed(
        f"The first image costs {result[0]:.3f} nats. The mean of log q(z) - log p(z) "
        f"over 200,000 draws says {by_chance:.3f}."
    )


def averaged(answers):
    """2.3: the symptom of a KL averaged over the latents, and the repaired loss."""
    symptom, loss = split(answers, 2)
    there(symptom, "symptom")
    wrong = {
        "a": "Look at the column of the reconstruction: the friend's copies are better "
        "than the chapter's, not worse. That is what hides the mistake.",
        "c": "Collapse would be a KL near 0 and clouds of width 1. The friend's row "
        "shows the opposite of both.",
        "d": "Without a gradient the encoder could not have learned to tell pictures "
        "apart. These copies are good: it did.",
    }
    letter(symptom, "b", wrong)
    for latent in (20, 5):
        _check_loss(loss, latent)
    passed(
        "The symptom, and the chapter's loss, with 20 latents and with 5. A mean over "
        "20 latents was a beta of 1/20 that nobody chose. With 2 latents it would have "
        "been 1/2, and perhaps nobody would have noticed."
    )


class _Encoder(nnx.Module):
    """Gives six images the same means and log-variances, whatever they show."""

    def __init__(self, numbers, *, rngs):
        self.codes = nnx.Param(jax.random.normal(rngs.params(), (6, numbers)))

    def __call__(self, x):
        return self.codes[...]


class _Decoder(nnx.Module):
    """One layer, as a sum of products: equally exact on every device."""

    def __init__(self, latent, *, rngs):
        weight = jax.random.normal(rngs.params(), (latent, 1024))
        self.weight = nnx.Param(weight / latent**0.5)

    def __call__(self, z):
        logits = (z[:, :, None] * self.weight[...][None]).sum(axis=1)  # (B, 1024)
        return logits.reshape(len(z), 32, 32, 1)


def _check_loss(loss, latent):
    small = {"encoder": _Encoder, "decoder": _Decoder}
    model = vae.VAE(latent, **small, rngs=nnx.Rngs(latent))
    rng = np.random.default_rng(latent)
    batch = jnp.asarray(rng.uniform(0, 1, (6, 32, 32, 1)), jnp.float32)
    key, other = jax.random.key(1234), jax.random.key(4321)
    result = numbers(call(loss, model, batch, key))
    r, k = (np.asarray(t, np.float64) for t in vae.negative_elbo(model, batch, key))
    mean, _ = jnp.split(model.encoder(batch), 2, axis=1)
    of_mean = np.asarray(model.likelihood(model.decoder(mean), batch), np.float64)
    if result.shape == (6,):
        raise Wrong(
            "The symptom is right. The loss gives one number an image; to follow a "
            "gradient we need one for the batch: their mean."
        )
    result = shape(result, (), "one number, the loss of the batch")
    if latent == 5 and close(result, (r + 4 * k).mean(), 1e-5):
        raise Wrong(
            "Right with 20 latents, but with 5 the KL counts four times: a 20 is "
            "written into it. Don't mend a mean by a factor. What should it have been?"
        )
    for value, hint in [
        (
            (r + k / latent).mean(),
            "The symptom is right. The loss is still the friend's: the KL counts a "
            "twentieth of what it should. Over which axis is the mean taken?",
        ),
        (
            (r / 1024 + k).mean(),
            "The symptom is right. Now it is the reconstruction that is averaged, over "
            "the pixels: the KL rules, and all pictures get one code. The ELBO sums "
            "both, over pixels and over latents.",
        ),
        (
            (r / 1024 + k / latent).mean(),
            "The symptom is right. Now both terms are averaged, over different "
            "numbers of things: 1,024 pixels here, the latents there. That weighs them "
            "differently again. The ELBO sums both.",
        ),
        (
            (r + k).sum(),
            "The symptom is right, and so is the sum over the latents. But the images "
            "are summed as well: the loss now grows with the batch.",
        ),
        (
            r.mean() + k.sum(),
            "The symptom is right. The KL is now summed over the images as well, and "
            "counts as often as the batch is long. Sum it over the latents alone.",
        ),
        (
            (r - k).mean(),
            "The symptom is right. The KL has the wrong sign: this loss drives clouds "
            "away from the standard normal.",
        ),
        (
            r.mean(),
            "The symptom is right. The KL is gone altogether: that is an autoencoder "
            "with some noise, and its codes may lie anywhere.",
        ),
        (k.mean(), "The symptom is right. The reconstruction is gone from the loss."),
        (
            (of_mean + k).mean(),
            "The symptom is right. But there is no chance left: the decoder gets the "
            "mean, a point, and never sees the cloud that the KL is paid for. Take the "
            "logits that model(batch, key) gives.",
        ),
    ]:
        if close(result, value, 1e-5):
            raise Wrong(hint)
    if not close(result, (r + k).mean(), 1e-5):
        if close(numbers(call(loss, model, batch, other)), result, 1e-7):
            raise Wrong(
                "The symptom is right. But two keys give the same loss. The noise must "
                "come from the key that is given, as in model(batch, key)."
            )
        raise Wrong(
            f"The symptom is right. The loss gives {result:.2f} where the chapter's "
            f"gives, with the same key, {(r + k).mean():.2f}: {r.mean():.2f} of "
            f"reconstruction and {k.mean():.2f} of KL. Change one line of the friend's "
            f"only."
        )
    _check_loss_gradient(loss, model, batch, key)


def _check_loss_gradient(loss, model, batch, key):
    """Does the gradient of the chapter's loss reach encoder and decoder?"""

    def right(model):
        reconstruction, kl = vae.negative_elbo(model, batch, key)
        return (reconstruction + kl).mean()

    try:
        grads = nnx.grad(lambda model: loss(model, batch, key))(model)
    except Exception as error:
        raise Wrong(
            f"The symptom is right, and so is the loss's value. But JAX cannot take "
            f"its gradient: {type(error).__name__}. Something in it is numpy or "
            f"float(), which JAX cannot look into. Use jnp throughout."
        ) from error
    given = [np.asarray(g) for g in jax.tree.leaves(grads)]
    wanted = [np.asarray(g) for g in jax.tree.leaves(nnx.grad(right)(model))]
    if not any(np.any(g) for g in given):
        raise Wrong(
            "The symptom is right, and so is the loss's value. But no gradient passes: "
            "the model would never learn. Nothing may be stopped here."
        )
    if not all(close(g, w, 1e-3) for g, w in zip(given, wanted, strict=True)):
        raise Wrong(
            "The symptom is right, and so is the loss's value. But its gradient is not "
            "the chapter's: does something stop a part of it on the way?"
        )


def standardise(answers):
    """2.4: codes of mean 0 and deviation 1 in every latent, and the way back."""
    there, back = answers if isinstance(answers, (list, tuple)) else (answers, None)
    rng = np.random.default_rng(0)
    mean, var = np.array([3.0, -1.0, 0.2]), np.array([0.04, 9.0, 2.25])
    codes = mean + np.sqrt(var) * rng.normal(0, 1, (500, 3)) + 0.1
    result, changed = _on_copies(there, codes, mean, var)
    result = shape(result, (500, 3), "a code for each code")
    wanted = (codes - mean) / np.sqrt(var)
    own = (codes - codes.mean(0)) / codes.std(0)
    for value, hint in [
        (
            (codes - mean) / var,
            f"The deviations are now {np.round(result.std(0), 2)}, not 1: you divided "
            f"by the variance. Narrow latents got too wide, and wide ones too narrow.",
        ),
        (
            codes / np.sqrt(var),
            "Each latent has deviation 1 now, but none has mean 0: centre it, too.",
        ),
        (
            codes / np.sqrt(var) - mean,
            "You divide first and subtract the mean afterwards. But the mean is that "
            "of the codes as they came in: which has to go first?",
        ),
        (
            (codes - mean) * np.sqrt(var),
            "Wide latents became wider: you multiplied by the deviation.",
        ),
        (
            codes - mean,
            "The codes are centred, and as wide as they were: `var` is not used.",
        ),
        (
            (codes - mean) / np.exp(var / 2),
            "exp(var / 2) would be right for a log-variance. This is a variance.",
        ),
        (
            own,
            "You took mean and deviation from the codes that came in. A new code must "
            "move as the training codes did: use the mean and var that are given. A "
            "single code would always come out as 0.",
        ),
        (
            (codes - mean.mean()) / np.sqrt(var.mean()),
            "One mean and one deviation for all latents: each latent has its own.",
        ),
        (
            (codes - codes.mean()) / codes.std(),
            "One mean and one deviation over the whole array, and of the codes that "
            "came in. Each latent has its own, and both are given.",
        ),
    ]:
        if close(result, value) and not close(result, wanted):
            raise Wrong(hint)
    if not close(result, wanted, 1e-3):
        raise Wrong(
            f"The deviations are {np.round(result.std(0), 2)} and the means "
            f"{np.round(result.mean(0), 2)}; wanted are about 1 and about 0."
        )
    _check_kept(changed, ("codes", "mean", "var"), "first")
    z = rng.normal(0, 1, (400, 3))
    result, changed = _on_copies(back, z, mean, var)
    result = shape(result, (400, 3), "a code for each z")
    for value, hint in [
        (
            z * var + mean,
            "Forwards it is right; backwards you multiply by the variance.",
        ),
        ((z + mean) * np.sqrt(var), "Forwards it is right; backwards the order turns."),
        (z * np.sqrt(var), "Forwards it is right; backwards the mean is missing."),
        (z, "Forwards it is right; backwards nothing happens."),
        (
            (z - mean) / np.sqrt(var),
            "Forwards it is right, and the second function goes forwards once more.",
        ),
        (
            z / np.sqrt(var) + mean,
            "Forwards it is right; backwards you divide once more.",
        ),
    ]:
        if close(result, value):
            raise Wrong(f"{hint} Undo the last step first, each by its opposite.")
    if not close(result, mean + np.sqrt(var) * z, 1e-3):
        raise Wrong(
            "Forwards it is right, but the second function does not undo the first: "
            "undo(standardise(codes)) should be the codes again."
        )
    _check_kept(changed, ("z", "mean", "var"), "second")
    passed("Deviation 1 in every latent, and back again to the codes.")


def five_hundred(answer):
    """2.5: which beta is a weight on the mean error of a pixel?"""
    cases = [  # weight, pixels, latents, is the KL averaged?
        (500, 1024, 2, False),
        (500, 1024, 20, False),
        (100, 784, 5, False),
        (500, 1024, 2, True),
        (500, 1024, 200, True),
        (30, 3072, 64, True),
    ]
    given = np.array(
        [float(shape(call(answer, *c), (), "one number, the beta")) for c in cases]
    )
    w, p, n = (np.array([case[i] for case in cases], float) for i in range(3))
    mean = np.array([case[3] for case in cases])
    wanted = p / w / np.where(mean, n, 1)
    first = f"For weight 500, 1,024 pixels and a summed KL you get {given[0]:.4g}. "
    for value, hint in [
        (
            1 / wanted,
            "That is the other way up: the weight of the reconstruction with the KL at "
            "1. Divide the loss so that the *reconstruction* has no factor.",
        ),
        (
            p / w,
            "Right for a summed KL. A KL that is averaged over the latents is smaller "
            "than the sum: by what factor, and how does that change beta?",
        ),
        (
            p / w / n,
            "You divide by the latents always. Where the KL is summed, their number "
            "does not matter.",
        ),
        (
            p / w * np.where(mean, n, 1),
            "The latents act the wrong way round. An averaged KL weighs less than a "
            "summed one, so its beta is smaller, not larger.",
        ),
        (
            p / w / np.where(mean, 1, n),
            "`kl_averaged` is used the wrong way round: look at your `if`.",
        ),
        (
            p * w / np.where(mean, n, 1),
            "A large weight on the reconstruction should give a *small* beta. With "
            "yours it gives a large one.",
        ),
        (
            1 / w / np.where(mean, n, 1),
            "The pixels are missing. The weight stands at a mean over pixels; how many "
            "times larger is the sum?",
        ),
        (
            1024 / w / np.where(mean, n, 1),
            "Right for pictures of 1,024 pixels only: use `pixels`.",
        ),
        (
            p / 500 / np.where(mean, n, 1),
            "Right for a weight of 500 only: use `weight`.",
        ),
        (
            w / np.where(mean, n, 1),
            "That is the weight itself. It stands at the reconstruction, not the KL.",
        ),
        (
            1 / p * w * np.where(mean, 1 / n, 1),
            "The ratio of weight and pixels is upside down, though not the latents.",
        ),
    ]:
        if close(given / wanted, value / wanted):
            raise Wrong(f"{first}{hint}")
    if not np.allclose(given, wanted, rtol=1e-3):
        bad = cases[int(np.argmax(np.abs(given / wanted - 1)))]
        raise Wrong(
            f"Not for beta{bad}. Write down the whole loss with its sums, divide it by "
            f"the factor that stands before the summed reconstruction, and read off "
            f"what stands before the summed KL."
        )
    passed(
        f"The old 500 was beta = {given[0]:.3f}; with the KL averaged over 2 latents "
        f"{given[3]:.3f}, and over 200 latents {given[4]:.5f}. A weight says nothing "
        f"before you know what is summed and what is averaged."
    )


def sweep(terms):
    """2.6: reconstruction and KL of models that were trained with several betas."""
    there(terms, "terms")
    if not isinstance(terms, dict):
        raise Wrong("Give a dict of pairs.")
    for pair in terms.values():
        there(pair, "terms")
    betas = [0.1, 1, 4, 16]
    if set(terms) != set(betas):
        raise Wrong(f"The betas should be {betas}; there are {list(terms)}.")
    if any(isinstance(v, dict) for v in terms.values()):
        raise Wrong(
            "You stored what vae.evaluate returns, a dict. Take two of its entries, "
            "and store them as a pair: (reconstruction, kl)."
        )
    r, k = np.array([_pair(beta, terms[beta]) for beta in betas], float).T
    if not np.isfinite([r, k]).all() or k.min() < 0:
        raise Wrong("A term is negative, NaN or infinite.")
    if r.max() < k.max():
        raise Wrong("The two terms are swapped: the reconstruction comes first.")
    if r.max() < 10:
        raise Wrong(
            "The reconstruction should be hundreds of nats an image. Is this a mean "
            "over the pixels?"
        )
    _check_trend(r, k, np.array(betas))
    passed(
        f"From beta 0.1 to 16 the KL falls from {k[0]:.1f} to {k[3]:.2f} nats, and the "
        f"reconstruction rises from {r[0]:.0f} to {r[3]:.0f}."
    )


def _pair(beta, given):
    """The two numbers that are stored under a beta."""
    if isinstance(given, (list, tuple)) and any(v is ... for v in given):
        raise Missing("terms")
    try:
        pair = np.asarray(given, dtype=object)
        two = pair.shape == (2,) and all(np.size(v) == 1 for v in pair)
    except (TypeError, ValueError):  # lists of several lengths, say
        two = False
    if not two:
        raise Wrong("Give two numbers for each beta: (reconstruction, kl).")
    values = [np.asarray(v) for v in pair]
    if any(v.dtype.kind not in "fiu" for v in values):
        raise Wrong(
            f"Under beta {beta} stands {given!r}, and not both of these are numbers. "
            f"Store two of the floats that vae.evaluate gives."
        )
    return [v.item() for v in values]


def _check_trend(r, k, betas):
    if r.min() > 690:
        raise Wrong(
            "About 710 nats an image is what an untrained network costs (ln 2 for each "
            "of 1,024 pixels). Do you evaluate the model that you gave to fit?"
        )
    if r.min() < 185:
        raise Wrong(
            "Below 189 nats there is nothing: a perfect copy costs that much. Give "
            "the reconstruction itself."
        )
    if np.ptp(r) < 0.01 and np.ptp(k) < 1e-4:
        raise Wrong(
            "All betas give the same. Does fit get the beta? It passes on to the step "
            "what it does not know itself: beta=beta."
        )
    if (np.diff(k) > 0).all() and r[0] > r[3]:
        raise Wrong(
            "A heavier KL makes the KL larger? Look at which beta each pair was stored "
            "under."
        )
    if (np.diff(k) >= 0).any() and (np.diff(k / betas) < 0).all():
        raise Wrong(
            "The KL does not fall steadily, and divided by beta it does. Did you store "
            "beta * KL, as it stands in the loss? Store the term itself."
        )
    if (np.diff(k) >= 0).any():
        raise Wrong(
            f"The KLs are {np.round(k, 2)}: with a larger weight it should be smaller "
            f"each time. Same steps, same seeds, a new model for each beta?"
        )
    if (np.diff(r) <= 0).any():
        raise Wrong(
            "A model that pays more for its code copies better? That happens where one "
            "model is trained on and on: the last beta then had all the steps of the "
            "others. Make model and optimizer again inside the loop. (Or is the first "
            "number the sum of both terms?)"
        )


def attribute(answers):
    """2.7: the vector of an attribute, and codes moved along it."""
    vector, move = answers if isinstance(answers, (list, tuple)) else (answers, None)
    rng = np.random.default_rng(0)
    codes = rng.normal(0, 1, (90, 6)).astype(np.float32) + 0.5
    has = np.arange(90) % 3 == 0  # 30 with, 60 without
    codes[has] += np.array([2, 0, -1, 0, 0, 0.5], np.float32)
    with_, without = codes[has], codes[~has]
    wanted = with_.mean(0) - without.mean(0)
    result, changed = _on_copies(vector, codes, has)
    result = numbers(result)
    if result.shape == ():
        raise Wrong(
            "It gives one number. An attribute is a direction: one number for each "
            "latent. Take the means over axis 0 alone."
        )
    if result.ndim == 4:
        raise Wrong(
            "These are pictures. Take the difference between codes, and decode last: a "
            "difference of pixels is the mixture that chapter 1 warned of."
        )
    if result.shape in {(30,), (60,), (90,)}:
        raise Wrong("It gives one number a picture: the mean goes over axis 0, not 1.")
    result = shape(result, (6,), "one number for each latent")
    for value, hint in [
        (
            -wanted,
            "The sign is turned: this vector takes the attribute away.",
        ),
        (
            with_.sum(0) - without.sum(0),
            "Those are sums. There are twice as many pictures without as with: their "
            "sum is large for that alone. Take means.",
        ),
        (
            (with_.sum(0) - without.sum(0)) / 90,
            "You divide both sums by the number of all pictures. Each group has its "
            "own number.",
        ),
        (
            wanted / np.linalg.norm(wanted),
            "The direction is right, its length is not: you made it 1. Then alpha = 1 "
            "no longer means from the one group's middle to the other's.",
        ),
        (
            with_.mean(0) - codes.mean(0),
            "You subtract the mean of *all* pictures. Those with the attribute are "
            "among them, so the vector is too short.",
        ),
        (
            with_.mean(0),
            "That is where the pictures with the attribute lie, not how to get there. "
            "From where does one start?",
        ),
        (
            codes[has.astype(int)].mean(0) - codes[1 - has.astype(int)].mean(0),
            "0 and 1 were taken for row numbers: you compared two pictures, many "
            "times. A mask has to stay boolean; its opposite is ~has.",
        ),
        (
            np.median(with_, axis=0) - np.median(without, axis=0),
            "Those are medians. Wanted are means.",
        ),
    ]:
        if close(result, value):
            raise Wrong(hint)
    if not close(result, wanted, 1e-3):
        raise Wrong(
            "Not the difference of the two means. Try it by hand with four codes of "
            "one latent: with 3 and 5, without 0 and 2, gives 3."
        )
    _check_kept(changed, ("codes", "mask"), "first")
    _check_move(move, codes[:7], wanted)
    passed("The vector from one group's middle to the other's, and steps along it.")


def _check_move(move, codes, vector):
    result, changed = _on_copies(move, codes, vector, 1.5)
    result = numbers(result)
    if result.shape == (6,):
        raise Wrong(
            "The vector is right. The second function gives one code for seven: did "
            "the codes get lost, or averaged?"
        )
    result = shape(result, (7, 6), "a moved code for each code")
    for value, hint in [
        (codes - 1.5 * vector, "It moves the codes away from the attribute."),
        (codes + vector, "It moves them all the same, whatever alpha is."),
        (codes, "It leaves the codes where they were."),
        (
            codes * (1 + 1.5 * vector),
            "It multiplies the codes; a step is something that one adds.",
        ),
        (
            -0.5 * codes + 1.5 * vector,
            "That is a walk from the code to the vector, as if the vector were a place "
            "on the map. It is a step: the code stays whole.",
        ),
    ]:
        if close(result, value):
            raise Wrong(f"The vector is right; the second function is not. {hint}")
    if not close(result, codes + 1.5 * vector, 1e-3):
        raise Wrong(
            "The vector is right; the second function is not. With alpha = 0 it should "
            "give the codes, with alpha = 1 the codes a whole vector away."
        )
    _check_kept(changed, ("codes", "vector", "alpha"), "second")
