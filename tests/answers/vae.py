"""Right answers to chapter 2's exercises, and the mistakes that learners make."""

import jax
import jax.numpy as jnp
import numpy as np

from gencourse import vae
from gencourse.autoencoder import reconstruction_loss

stop = jax.lax.stop_gradient


def normal(key, like):
    return jax.random.normal(key, like.shape)


def z_split(mean, log_var, key):
    """Another way to be right: a split key, and the root of the variance."""
    noise = normal(jax.random.split(key)[0], mean)
    return jnp.sqrt(jnp.exp(log_var)) * noise + mean


def z_numpy(mean, log_var, key):
    return mean + jnp.exp(log_var / 2) * np.random.randn(*mean.shape)


def z_numpy_of_key(mean, log_var, key):
    seed = int(jax.random.key_data(key)[-1])
    noise = np.random.default_rng(seed).normal(size=mean.shape)
    return np.asarray(mean) + np.exp(np.asarray(log_var) / 2) * noise


def z_wide(width):
    return lambda m, v, key: m + width(v) * normal(key, m)


def z_noise(noise):
    return lambda m, v, key: m + jnp.exp(v / 2) * noise(key, m.shape)


def box(key, shape):
    return jax.random.uniform(key, shape, minval=-(3**0.5), maxval=3**0.5)


def kl_sum(of_each):
    return lambda m, v: of_each(m, v).sum(axis=1)


def kl_by_draws(mean, log_var):
    noise = jax.random.normal(jax.random.key(0), (50_000, *mean.shape))
    mean, log_var = mean[None], log_var[None]  # (1, B, latent)
    z = mean + jnp.exp(log_var / 2) * noise
    return (0.5 * (z**2 - noise**2 - log_var)).sum(axis=-1).mean(axis=0)


def terms(model, batch, key):
    """reconstruction (B,), and KL of each latent (B, latent)."""
    logits, _, mean, log_var = model(batch, key)
    return reconstruction_loss(logits, batch), vae.kl_per_latent(mean, log_var)


def loss_of(join):
    def loss(model, batch, key):
        return join(*terms(model, batch, key))

    return loss


def loss(model, batch, key):
    reconstruction, kl = vae.negative_elbo(model, batch, key)
    return (reconstruction + kl).mean()


def loss_of_mean(model, batch, key):
    """No VAE: the decoder gets the mean, and nothing is drawn."""
    mean, log_var = jnp.split(model.encoder(batch), 2, axis=1)
    reconstruction = reconstruction_loss(model.decoder(mean), batch)
    return (reconstruction + vae.kl_to_standard_normal(mean, log_var)).mean()


def loss_by_numpy(model, batch, key):
    logits, _, mean, log_var = (np.asarray(t) for t in model(batch, key))
    kl = (mean**2 + np.exp(log_var) - 1 - log_var).sum(axis=1) / 2
    return np.mean(reconstruction_loss(logits, batch) + kl)


def loss_blank(model, batch, key):
    raise NotImplementedError


def there(codes, mean, var):
    return (codes - mean) / np.sqrt(var)


def back(z, mean, var):
    return z * np.sqrt(var) + mean


def there_in_place(codes, mean, var):
    codes -= mean
    codes /= np.sqrt(var)
    return codes


def back_in_place(z, mean, var):
    z *= np.sqrt(var)
    z += mean
    return z


def back_by_var(z, mean, var):
    var **= 0.5
    return z * var + mean


def beta(weight, pixels, latents, kl_averaged):
    return pixels / weight / (latents if kl_averaged else 1)


def vector(codes, has):
    return codes[has].mean(axis=0) - codes[~has].mean(axis=0)


def vector_by_numbers(codes, has):
    ones = has.astype(int)
    return codes[ones].mean(axis=0) - codes[1 - ones].mean(axis=0)


def move(codes, vector, alpha):
    return codes + alpha * vector


def move_in_place(codes, vector, alpha):
    codes += alpha * vector
    return codes


def move_by_vector(codes, vector, alpha):
    vector *= alpha
    return codes + vector


def vector_in_place(codes, has):
    codes -= codes[~has].mean(axis=0)
    return codes[has].mean(axis=0)


TERMS = {0.1: (241.4, 37.4), 1: (247.5, 14.5), 4: (264.3, 6.6), 16: (300.9, 2.2)}
VALUES = np.array(list(TERMS.values()))


def swept(reconstruction, kl):
    return dict(zip(TERMS, zip(reconstruction, kl, strict=True), strict=True))


EXERCISES = {
    "reparameterise": {
        "right": [vae.reparameterise, z_split],
        "wrong": [
            (z_wide(jnp.exp), "Those are the variances"),
            (z_wide(lambda v: jnp.exp(v) / 2), "half the variances"),
            (z_wide(lambda v: v), "log_var itself multiplies"),
            (z_wide(lambda v: v / 2), "undo the logarithm as well"),
            (z_wide(jnp.sqrt), "Some codes are NaN"),
            (z_wide(lambda v: jnp.exp(-v / 2)), "a sign is turned"),
            (z_wide(jnp.ones_like), "log_var is not used"),
            (lambda m, v, key: m, "no chance in it"),
            (lambda m, v, key: jnp.exp(v / 2) * normal(key, m), "lie around 0"),
            (lambda m, v, key: z_split(m, v, jax.random.key(42)), "Two keys give"),
            (z_numpy, "different codes each time"),
            (z_numpy_of_key, "neither compile it"),
            (
                z_noise(lambda key, s: jax.random.normal(key, (1, s[1]))),
                "All pictures of the batch",
            ),
            (
                z_noise(lambda key, s: jax.random.normal(key, (s[0], 1))),
                "one number of noise is stretched",
            ),
            (z_noise(jax.random.uniform), "of what they should be"),
            (z_noise(box), "that is a box"),
            (
                lambda m, v, key: z_split(0 * m + m.mean(0, keepdims=True), v, key),
                "averaged over the batch",
            ),
            (
                lambda m, v, key: m + (m**2 + 1) * jnp.exp(v / 2) * normal(key, m),
                "what multiplies the noise",
            ),
            (lambda m, v, key: stop(z_split(m, v, key)), "neither to the mean nor"),
            (lambda m, v, key: z_split(stop(m), v, key), "the mean gets no gradient"),
            (lambda m, v, key: z_split(m, stop(v), key), "log_var gets no gradient"),
        ],
    },
    "kl": {
        "right": [vae.kl_to_standard_normal],
        "wrong": [
            (vae.kl_per_latent, "the cost of each latent"),
            (lambda m, v: vae.kl_to_standard_normal(m, v).mean(), "whole batch"),
            (lambda m, v: vae.kl_per_latent(m, v).sum(0), "summed over the images"),
            (lambda m, v: vae.kl_per_latent(m, v).mean(1), "mean over the 5"),
            (lambda m, v: -vae.kl_to_standard_normal(m, v), "sign is turned"),
            (kl_sum(lambda m, v: m**2 + jnp.exp(v) - 1 - v), "where is the 1/2"),
            (
                kl_sum(lambda m, v: 0.5 * (m**2 + jnp.exp(v / 2) - 1 - v)),
                "is the deviation",
            ),
            (
                kl_sum(lambda m, v: 0.5 * (m**2 + jnp.exp(v) - v)),
                "a constant is missing",
            ),
            (
                kl_sum(lambda m, v: 0.5 * (m**2 + jnp.exp(v) - 1)),
                "no width at all",
            ),
            (
                kl_sum(lambda m, v: 0.5 * (m**2 + jnp.exp(v) - 1 + v)),
                "rewards them",
            ),
            (kl_sum(lambda m, v: 0.5 * (m**2 + v - 1 - jnp.log(v))), "There is a NaN"),
            (kl_sum(lambda m, v: 0.5 * (m**2 + v - 1 - v)), "cancels the other"),
            (kl_sum(lambda m, v: 0.5 * (jnp.exp(v) - 1 - v)), "means cost nothing"),
            (
                kl_sum(lambda m, v: 0.5 * (m + jnp.exp(v) - 1 - v)),
                "A mean of -3 lowers",
            ),
            (
                kl_sum(lambda m, v: 0.5 * ((m**2 + 1) / jnp.exp(v) - 1 + v)),
                "other direction",
            ),
            (
                lambda m, v: vae.kl_to_standard_normal(m, v) / jnp.log(2),
                "These are bits",
            ),
            (
                lambda m, v: 0.5 * (m**2 + jnp.exp(v) - v).sum(axis=1) - 1,
                "outside of the sum",
            ),
            (
                kl_sum(lambda m, v: 0.5 * (m**2 + jnp.exp(v) - 1 - v / 2)),
                "logarithm of the deviation",
            ),
            (
                kl_sum(lambda m, v: 0.5 * (m**2 + jnp.exp(v) - 1.1 - v)),
                "Your first image costs .* by hand",
            ),
            (kl_by_draws, "estimate it from draws"),
        ],
    },
    "averaged": {
        "blank": [..., loss_blank],
        "right": [["b", loss], ("(B)", loss_of(lambda r, k: (r + k.sum(1)).mean()))],
        "wrong": [
            (["a", loss], "column of the reconstruction"),
            (["c", loss], "Collapse would be"),
            (["d", loss], "Without a gradient"),
            (["b", loss_blank], "still missing"),
            (
                ["b", loss_of(lambda r, k: (r + k.mean(1)).mean())],
                "still the friend's",
            ),
            (
                ["b", loss_of(lambda r, k: (r + 20 * k.mean(1)).mean())],
                "a 20 is written",
            ),
            (
                ["b", loss_of(lambda r, k: (r / 1024 + k.sum(1)).mean())],
                "Now it is the reconstruction that is averaged",
            ),
            (
                ["b", loss_of(lambda r, k: (r / 1024 + k.mean(1)).mean())],
                "both terms are averaged",
            ),
            (["b", loss_of(lambda r, k: (r + k.sum(1)).sum())], "grows with the batch"),
            (
                ["b", loss_of(lambda r, k: r.mean() + k.sum())],
                "as often as the batch",
            ),
            (["b", loss_of(lambda r, k: r + k.sum(1))], "one number an image"),
            (["b", loss_of(lambda r, k: (r - k.sum(1)).mean())], "wrong sign"),
            (["b", loss_of(lambda r, k: r.mean())], "KL is gone"),
            (["b", loss_of_mean], "no chance left"),
            (
                ["b", lambda model, batch, key: loss(model, batch, jax.random.key(0))],
                "two keys give the same loss",
            ),
            (
                ["b", lambda *given: loss(*given[:2], jax.random.split(given[2])[0])],
                "with the same key",
            ),
            (["b", loss_by_numpy], "cannot take its gradient: TracerArray"),
            (["b", lambda *given: float(loss(*given))], "gradient: Concretization"),
            (["b", lambda *given: stop(loss(*given))], "no gradient passes"),
            (
                ["b", loss_of(lambda r, k: (r + stop(k.sum(1))).mean())],
                "not the chapter's: does something stop",
            ),
        ],
    },
    "standardise": {
        "right": [[there, back]],
        "wrong": [
            ([lambda c, m, v: (c - m) / v, back], "divided by the variance"),
            ([lambda c, m, v: c / np.sqrt(v), back], "centre it, too"),
            ([lambda c, m, v: c / np.sqrt(v) - m, back], "which has to go first"),
            ([lambda c, m, v: (c - m) * np.sqrt(v), back], "Wide latents became wider"),
            ([lambda c, m, v: c - m, back], "`var` is not used"),
            ([lambda c, m, v: (c - m) / np.exp(v / 2), back], "a log-variance"),
            (
                [lambda c, m, v: (c - c.mean(0)) / c.std(0), back],
                "from the codes that came in",
            ),
            (
                [lambda c, m, v: (c - c.mean()) / c.std(), back],
                "over the whole array",
            ),
            (
                [lambda c, m, v: (c - m.mean()) / np.sqrt(v.mean()), back],
                "for all latents",
            ),
            ([there, lambda z, m, v: z * v + m], "multiply by the variance"),
            ([there, lambda z, m, v: (z + m) * np.sqrt(v)], "the order turns"),
            ([there, lambda z, m, v: z * np.sqrt(v)], "backwards the mean is missing"),
            ([there, there], "forwards once more"),
            ([there_in_place, back], "first function .* changes the codes"),
            ([there, back_in_place], "second function .* changes the z "),
            ([there, back_by_var], "second function .* changes the var "),
        ],
    },
    "five_hundred": {
        "right": [beta],
        "wrong": [
            (lambda w, p, n, mean: w / p * (n if mean else 1), "other way up"),
            (lambda w, p, n, mean: p / w, "Right for a summed KL"),
            (lambda w, p, n, mean: p / w / n, "divide by the latents always"),
            (lambda w, p, n, mean: beta(w, p, 1 / n, mean), "the wrong way round. An"),
            (lambda w, p, n, mean: beta(w, p, n, not mean), "look at your `if`"),
            (lambda w, p, n, mean: beta(1 / w, p, n, mean), "a \\*small\\* beta"),
            (lambda w, p, n, mean: beta(w, 1, n, mean), "The pixels are missing"),
            (lambda w, p, n, mean: beta(w, 1024, n, mean), "1,024 pixels only"),
            (lambda w, p, n, mean: beta(500, p, n, mean), "a weight of 500 only"),
            (lambda w, p, n, mean: w / (n if mean else 1), "the weight itself"),
            (lambda w, p, n, mean: beta(p, w, n, mean), "upside down"),
        ],
    },
    "sweep": {
        "blank": ...,
        "right": [TERMS],
        "wrong": [
            (swept(VALUES[:, 1], VALUES[:, 0]), "two terms are swapped"),
            (swept(VALUES[:, 0] / 1024, VALUES[:, 1] / 1024), "a mean over the pixels"),
            (swept(VALUES[:, 0], list(TERMS) * VALUES[:, 1]), "beta \\* KL"),
            (swept([247.5] * 4, [14.5] * 4), "All betas give the same"),
            (
                swept([241.4, 240.5, 253.1, 290.2], [37.4, 14.7, 7.4, 2.7]),
                "trained on and on",
            ),
            (swept(*VALUES[::-1].T), "A heavier KL makes"),
            (swept([709.8, 709.9, 710.0, 710.1], VALUES[:, 1]), "untrained network"),
            ({1: (247.5, 14.5), 4: (264.3, 6.6)}, "The betas should be"),
            ({b: {"kl": k} for b, (_, k) in TERMS.items()}, "what vae.evaluate"),
            ({b: (np.full(9, r), k) for b, (r, k) in TERMS.items()}, "Give two"),
            (swept(VALUES[:, 0] - 189, VALUES[:, 1]), "nothing: a perfect copy"),
            (TERMS | {0.1: (None, 37.4)}, "not both of these are numbers"),
            (TERMS | {1: ("247.5", "14.5")}, "'247.5', '14.5'.*not both"),
            (TERMS | {4: (..., ...)}, "still missing"),
        ],
    },
    "attribute": {
        "right": [[vector, move]],
        "wrong": [
            ([lambda c, has: -vector(c, has), move], "takes the attribute away"),
            ([lambda c, has: c[has].sum(0) - c[~has].sum(0), move], "Those are sums"),
            (
                [lambda c, has: (c[has].sum(0) - c[~has].sum(0)) / len(c), move],
                "number of all pictures",
            ),
            (
                [
                    lambda c, has: vector(c, has) / np.linalg.norm(vector(c, has)),
                    move,
                ],
                "its length is not",
            ),
            (
                [lambda c, has: c[has].mean(0) - c.mean(0), move],
                "of \\*all\\* pictures",
            ),
            ([lambda c, has: c[has].mean(0), move], "From where"),
            ([lambda c, has: c[has].mean() - c[~has].mean(), move], "one number. An"),
            (
                [lambda c, has: c[has].mean(1), move],
                "one number a picture",
            ),
            ([vector_by_numbers, move], "taken for row numbers"),
            ([lambda c, has: np.zeros((1, 32, 32, 1)), move], "These are pictures"),
            ([vector_in_place, move], "first function .* changes the codes"),
            ([vector, move_in_place], "second function .* changes the codes"),
            ([vector, move_by_vector], "second function .* changes the vector"),
            ([vector, lambda c, v, alpha: c - alpha * v], "away from the attribute"),
            ([vector, lambda c, v, alpha: c + v], "whatever alpha is"),
            ([vector, lambda c, v, alpha: alpha * v], "one code for seven"),
            (
                [vector, lambda c, v, alpha: (1 - alpha) * c + alpha * v],
                "a place on the map",
            ),
        ],
    },
}
