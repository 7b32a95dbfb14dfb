"""Right answers to chapter 3's exercises, and the mistakes that learners make."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from scipy.special import xlogy

from gencourse import gan
from gencourse.checks.gan import BROKEN, RADIUS, WIDTH

stop = jax.lax.stop_gradient
bce = optax.sigmoid_binary_cross_entropy
ORDER = "cfadeb"


def frozen(network):
    """The same network; no gradient reaches its weights."""
    graphdef, state = nnx.split(network)
    return nnx.merge(graphdef, stop(state))


def three(real, fake, after):
    return tuple(
        softplus.mean() for softplus in map(nnx.softplus, (-real, fake, -after))
    )


def three_by_bce(real, fake, after):
    targets = (real, 1.0), (fake, 0.0), (after, 1.0)
    return jnp.stack([bce(a, jnp.full_like(a, t)).mean() for a, t in targets])


def three_of_p(eps=0.0):
    def losses(*logits):
        p, q, r = map(nnx.sigmoid, logits)
        terms = -jnp.log(p + eps), -jnp.log(1 - q + eps), -jnp.log(r + eps)
        return tuple(t.mean() for t in terms)

    return losses


def three_of_logits(*of):
    """Three losses, each a function of its own logits."""
    return lambda *logits: tuple(f(a).mean() for f, a in zip(of, logits, strict=True))


def as_real(a):
    return nnx.softplus(-a)


def as_fake(a):
    return nnx.softplus(a)


def blank(*given):
    raise NotImplementedError


def both(for_d=stop, judge=frozen, of_fake=lambda a: a):
    """D's loss and G's: what is done to D's fakes, to G's judge, to D's logits."""

    def losses(generator, discriminator, batch, z):
        fake = generator(z)
        on_fake = of_fake(discriminator(for_d(fake)))
        d_loss = sum(gan.d_loss(discriminator(batch), on_fake))
        return d_loss, gan.g_loss(judge(discriminator)(fake))

    return losses


def same(a):
    return a


def both_frozen(generator, discriminator, batch, z):
    """Another way to be right: G is frozen for D, and the real ones stopped in vain."""
    fake = frozen(generator)(z)
    d_loss = sum(gan.d_loss(discriminator(stop(batch)), discriminator(fake)))
    return d_loss, gan.g_loss(frozen(discriminator)(generator(z)))


def both_stopped_once(generator, discriminator, batch, z):
    fake = stop(generator(z))
    d_loss = sum(gan.d_loss(discriminator(batch), discriminator(fake)))
    return d_loss, gan.g_loss(frozen(discriminator)(fake))


def both_stopped_for_g(generator, discriminator, batch, z):
    """The stop that belongs to D's loss stands in G's."""
    fake = generator(z)
    d_loss = sum(gan.d_loss(discriminator(batch), discriminator(fake)))
    return d_loss, gan.g_loss(discriminator(stop(fake)))


def both_stopped_unfrozen(generator, discriminator, batch, z):
    fake = stop(generator(z))
    d_loss = sum(gan.d_loss(discriminator(batch), discriminator(fake)))
    return d_loss, gan.g_loss(discriminator(fake))


def both_frozen_early(generator, discriminator, batch, z):
    return both()(generator, frozen(discriminator), batch, z)


def both_frozen_for_fakes(generator, discriminator, batch, z):
    fake = generator(z)
    on_fake = frozen(discriminator)(fake)
    return sum(gan.d_loss(discriminator(batch), on_fake)), gan.g_loss(on_fake)


def both_real_stopped(generator, discriminator, batch, z):
    d_loss = sum(
        gan.d_loss(stop(discriminator(batch)), discriminator(stop(generator(z))))
    )
    return d_loss, gan.g_loss(frozen(discriminator)(generator(z)))


def both_then(change):
    return lambda *given: change(*both()(*given))


def both_of(d_of, g_of=gan.g_loss):
    def losses(generator, discriminator, batch, z):
        on_fake = discriminator(stop(generator(z)))
        d_loss = d_of(*gan.d_loss(discriminator(batch), on_fake))
        return d_loss, g_of(frozen(discriminator)(generator(z)))

    return losses


def both_by_numpy(*given):
    return tuple(np.asarray(v) for v in both()(*given))


def belief(p, q):
    return p / (p + q)


def belief_by_odds(p, q):
    return 1 / (1 + q / np.where(p > 0, p, 1e-300))


def terms_of(on_real, on_fake):
    def terms(p, q, width):
        best = p / (p + q)
        return on_real(p, q, best, width), on_fake(p, q, best, width)

    return terms


def real_term(p, q, best, width):
    return -xlogy(p, best).sum() * width


def fake_term(p, q, best, width):
    return -xlogy(q, 1 - best).sum() * width


terms = terms_of(real_term, fake_term)


def terms_masked(p, q, width):
    best = p / (p + q)
    on_real = -(p[p > 0] * np.log(best[p > 0])).sum() * width
    return jnp.array([on_real, -(q[q > 0] * np.log(1 - best[q > 0])).sum() * width])


def terms_nan(p, q, width):
    best = p / (p + q)
    return -(p * np.log(best)).sum() * width, -(q * np.log(1 - best)).sum() * width


def terms_then(change):
    return lambda *given: change(np.array(terms(*given)))


FLOOR = 1.00641


def d_loss(real, fake):
    return nnx.softplus(-real).mean() + nnx.softplus(fake).mean()


def d_loss_by_bce(real, fake):
    return (bce(real, jnp.ones_like(real)) + bce(fake, jnp.zeros_like(fake))).mean()


def d_loss_of(real_by, fake_by):
    return lambda real, fake: d_loss(real_by(real), fake_by(fake))


def d_loss_of_p(eps=0.0):
    def loss(real, fake):
        p, q = nnx.sigmoid(real), nnx.sigmoid(fake)
        return -(jnp.log(p + eps) + jnp.log(1 - q + eps)).mean()

    return loss


def clip(a):
    return jnp.clip(a, 0, 1)


def clip_far(a):
    return jnp.clip(a, -20, 20)


def middles():
    angles = 2 * np.pi * np.arange(8) / 8
    return RADIUS * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def stairs(to, noise=WIDTH / 2, activation=nnx.leaky_relu, norm=False):
    """A generator built by hand: z[0] chooses one of the points `to`, z[1] adds noise.

    A stair is the difference of two leaky ReLUs with one bend each, 0.001 apart.
    """
    g = gan.Generator(
        2,
        (2 * len(to),),
        (2,),
        activation=activation,
        norm=norm,
        output_activation=same,
        rngs=nnx.Rngs(0),
    )
    if activation is not nnx.leaky_relu or norm:
        return g
    n = len(to) - 1
    at = jnp.asarray([0.0]) if n == 0 else _quantiles(n)
    kernel = np.zeros((2, 2 * len(to)), np.float32)
    bias = np.zeros(2 * len(to), np.float32)
    out = np.zeros((2 * len(to), 2), np.float32)
    start = np.array(to[0], np.float32)
    for i in range(n):
        kernel[0, 2 * i : 2 * i + 2] = 1000
        bias[2 * i], bias[2 * i + 1] = -1000 * at[i], -1000 * at[i] - 1
        step = (np.array(to[i + 1]) - to[i]) / 0.99
        out[2 * i], out[2 * i + 1] = step, -step
        start -= 0.01 * step
    kernel[1, -2:] = 1, -1
    out[-2], out[-1] = noise / 1.01, -noise / 1.01
    g.hidden[0].kernel[...], g.hidden[0].bias[...] = kernel, bias
    g.out.kernel[...], g.out.bias[...] = out, start
    return g


def _quantiles(n):
    """Places that cut the normal distribution into n + 1 equal parts."""
    from scipy.stats import norm

    return norm.ppf(np.arange(1, n + 1) / (n + 1))


RING = stairs(middles())
CURE = BROKEN | {"activation": "leaky ReLU", "optimizer": "Adam"}
CROSS = {"loss": "cross-entropy"}


def sigmoids():
    return stairs(middles(), activation=nnx.sigmoid)


class Real(gan.Generator):
    """What somebody might call a generator."""

    def __call__(self, z):
        return jnp.asarray(middles())[jnp.arange(len(z)) % 8]


def bent(points):
    """A generator whose last function does the work."""
    g = stairs(points)
    g.output_activation = jnp.tanh
    return g


def mix(a, b, t):
    return ((1 - t) * a + t * b) / jnp.sqrt(t**2 + (1 - t) ** 2)


def mix_turning(a, b, t):
    return jnp.cos(t * jnp.pi / 2) * a + jnp.sin(t * jnp.pi / 2) * b


def norm(x):
    return jnp.linalg.norm(x, axis=-1, keepdims=True)


def mix_spherical(a, b, t):
    cosine = (a * b).sum(-1, keepdims=True) / norm(a) / norm(b)
    angle = jnp.arccos(cosine)
    return (jnp.sin((1 - t) * angle) * a + jnp.sin(t * angle) * b) / jnp.sin(angle)


def straight(a, b, t):
    return (1 - t) * a + t * b


def mix_of(change):
    return lambda a, b, t: change(straight(a, b, t), a, t)


def standardised(m):
    return (m - m.mean(0, keepdims=True)) / m.std(0, keepdims=True)


SUM, MIDDLE = 14.14, 7.07


def slope(loss, logit):
    return jax.grad(loss)(logit)


def slope_by_hand(loss, logit):
    h = 0.01
    return (loss(jnp.array([logit + h])) - loss(jnp.array([logit - h]))) / (2 * h)


def slope_by_p(loss, logit):
    p = 1 / (1 + np.exp(-logit))
    return slope(loss, logit) / (p * (1 - p))


EXERCISES = {
    "updates": {
        "blank": [..., blank],
        "right": [
            [ORDER, three],
            ["c, f, a, d, e, b", three_by_bce],
        ],
        "wrong": [
            (["fcadeb", three], "draw them first"),
            (["cafdeb", three], "fakes to judge"),
            (["cfdaeb", three], "D moves along its gradient"),
            (["cfadbe", three], "G moves along its gradient"),
            (["cfeadb", three], "better teacher"),
            (["cfade", three], "each of the letters"),
            ([ORDER, blank], "still missing"),
            (
                [ORDER, three_of_logits(as_fake, as_real, as_fake)],
                "All three targets",
            ),
            ([ORDER, three_of_logits(as_fake, as_fake, as_real)], "^D on real: "),
            ([ORDER, three_of_logits(as_real, as_real, as_real)], "^D on fake: "),
            ([ORDER, three_of_logits(as_real, as_fake, as_fake)], "^G through D: "),
            (
                [ORDER, three_of_logits(as_real, as_fake, lambda a: -as_fake(a))],
                "min-max form",
            ),
            ([ORDER, lambda r, f, a: three(r, f, f)], "before\\* its own step"),
            ([ORDER, lambda *given: three(*map(nnx.sigmoid, given))], "twice"),
            ([ORDER, lambda r, f, a: three(f, r, a)], "should be"),
            (
                [ORDER, lambda *given: tuple(three(*given)[i] for i in (1, 0, 2))],
                "two losses are swapped",
            ),
            ([ORDER, three_of_p()], "logit of 120"),
            ([ORDER, lambda *given: sum(three(*given))], "Keep the three"),
            (
                [ORDER, lambda r, f, a: (d_loss(r, f), three(r, f, a)[2])],
                "that makes three",
            ),
            (
                [ORDER, lambda r, f, a: (as_real(r), as_fake(f), as_real(a))],
                "mean over its batch",
            ),
            (
                [ORDER, lambda *given: tuple(40 * v for v in three(*given))],
                "Those are sums",
            ),
            (
                [
                    ORDER,
                    three_of_logits(
                        lambda a: (nnx.sigmoid(a) - 1) ** 2,
                        lambda a: nnx.sigmoid(a) ** 2,
                        lambda a: (nnx.sigmoid(a) - 1) ** 2,
                    ),
                ],
                "squared error",
            ),
            (
                [ORDER, lambda *given: tuple(float(v) for v in three(*given))],
                "cannot take a gradient",
            ),
            (
                [ORDER, lambda r, f, a: three(r, f, stop(a))],
                "no right gradient",
            ),
        ],
    },
    "stop": {
        "blank": blank,
        "right": [both(), both_frozen],
        "wrong": [
            (both(for_d=same, judge=same), "Nothing is stopped"),
            (both(for_d=same), "D's loss reaches G"),
            (both(judge=same), "G's loss reaches D"),
            (both_stopped_once, "G gets no gradient.*nor G be frozen"),
            (both_stopped_unfrozen, "G gets no gradient.*on top of its own"),
            (both_stopped_for_g, "in the wrong one|G gets the gradient of D's loss"),
            (both_frozen_early, "D gets no gradient"),
            (both_frozen_for_fakes, "you froze D where"),
            (both(of_fake=stop), "what comes out"),
            (both_real_stopped, "nothing from the real ones"),
            (both_then(lambda d, g: (stop(d), stop(g))), "nobody would learn"),
            (both_then(lambda d, g: (g, d)), "swapped"),
            (both_of(lambda real, fake: real), "only its term on real"),
            (both_of(lambda real, fake: fake), "only its term on fakes"),
            (both_of(lambda *t: sum(t), gan.g_loss_saturating), "min-max form"),
            (
                both_of(lambda *t: sum(t), lambda a: -gan.g_loss_saturating(a)),
                "has target 0",
            ),
            (both_then(lambda d, g: d + g), "Return two numbers"),
            (both_by_numpy, "cannot take their gradient"),
        ],
    },
    "balance": {
        "blank": [blank, blank],
        "right": [[belief, terms], [belief_by_odds, terms_masked]],
        "wrong": [
            ([lambda p, q: p / q, terms], "infinite numbers or NaN"),
            ([lambda p, q: p / (q + 1e-3), terms], "odds"),
            ([lambda p, q: q / (p + q), terms], "Turned round"),
            ([lambda p, q: 1 / (1 + np.exp(q - p)), terms], "difference of densities"),
            ([lambda p, q: (p - q) / (p + q), terms], "between -1 and 1"),
            ([lambda p, q: np.full_like(p, 0.5), terms], "Always 1/2"),
            ([lambda p, q: (p > q).astype(float), terms], "better \\*guess"),
            ([lambda p, q: p, terms], "density of the real"),
            ([belief, blank], "still missing"),
            ([belief, terms_then(lambda v: v.sum())], "terms apart"),
            ([belief, terms_then(lambda v: -v)], "sign is turned"),
            ([belief, lambda p, q, w: terms(p, q, 1)], "finer"),
            ([belief, terms_then(lambda v: v / np.log(2))], "bits"),
            ([belief, terms_then(lambda v: v / 2)], "half of what"),
            (
                [
                    belief,
                    terms_of(
                        lambda p, q, d, w: -np.log(d).mean(),
                        lambda p, q, d, w: -np.log(1 - d).mean(),
                    ),
                ],
                "plain mean",
            ),
            (
                [
                    belief,
                    terms_of(real_term, lambda p, q, d, w: -xlogy(q, d).sum() * w),
                ],
                "what D pays for them",
            ),
            (
                [
                    belief,
                    terms_of(real_term, lambda p, q, d, w: -xlogy(p, 1 - d).sum() * w),
                ],
                "their density is q",
            ),
            (
                [
                    belief,
                    terms_of(
                        lambda p, q, d, w: (p * (1 - d) ** 2).sum() * w,
                        lambda p, q, d, w: (q * d**2).sum() * w,
                    ),
                ],
                "squared error",
            ),
            ([belief, terms_nan], "0 \\* log 0"),
        ],
    },
    "clipped": {
        "blank": [..., ..., blank],
        "right": [
            [FLOOR, "c", d_loss],
            [np.log(2) + np.log1p(np.exp(-1)), "(C)", d_loss_by_bce],
        ],
        "wrong": [
            ([0, "c", d_loss], "Without the clip"),
            ([0.3133, "c", d_loss], "The fakes have a"),
            ([0.6931, "c", d_loss], "The real ones come on top"),
            ([0.6265, "c", d_loss], "could be -1"),
            ([1.3863, "c", d_loss], "2 ln 2"),
            ([1.6265, "c", d_loss], "dearest"),
            ([0.5032, "c", d_loss], "not the mean"),
            ([1.2, "c", d_loss], "Compute it"),
            ([1.4519, "c", d_loss], "bits"),
            ([FLOOR, "a", d_loss], "a slope everywhere"),
            ([FLOOR, "b", d_loss], "which other logits"),
            ([FLOOR, "d", d_loss], "Inside of"),
            ([FLOOR, "c", blank], "still missing"),
            ([FLOOR, "c", d_loss_of(clip, clip)], "still the friend's"),
            ([FLOOR, "c", d_loss_of(same, clip)], "the fakes' are still"),
            ([FLOOR, "c", d_loss_of(clip, same)], "the real ones are still"),
            ([FLOOR, "c", d_loss_of(nnx.sigmoid, nnx.sigmoid)], "only smoothly"),
            ([FLOOR, "c", d_loss_of(clip_far, clip_far)], "only farther out"),
            ([FLOOR, "c", d_loss_of_p()], "is no number"),
            ([FLOOR, "c", lambda r, f: d_loss(-r, -f)], "real has target 0"),
            ([FLOOR, "c", lambda r, f: d_loss(r, f) / 2], "don't average"),
            ([FLOOR, "c", gan.d_loss], "Two numbers"),
            ([FLOOR, "c", lambda r, f: nnx.softplus(-r).mean()], "of the fakes is"),
            ([FLOOR, "c", lambda r, f: 50 * d_loss(r, f)], "sum over the batch"),
            ([FLOOR, "c", d_loss_of(same, stop)], "a part stopped"),
        ],
    },
    "collapse": {
        "blank": [..., ...],
        "right": [[CURE, RING]],
        "wrong": [
            ([BROKEN, sigmoids()], "change something"),
            ([CURE | CROSS, RING], "was each of them needed"),
            ([BROKEN | {"optimizer": "Adam"}, sigmoids()], "Adam makes the steps"),
            ([BROKEN | CROSS, sigmoids()], "Both networks still"),
            (
                [BROKEN | {"activation": "leaky ReLU"}, stairs(middles()[[3] * 8])],
                "right on one Gaussian.* Which optimizer",
            ),
            ([CURE, stairs(middles()[[3] * 8])], "right on one Gaussian.*as many as"),
            ([CURE, stairs(np.zeros((8, 2)))], "nothing real lies"),
            (
                [CURE | CROSS, stairs(middles()[[0, 0, 1, 2, 3, 4, 5, 6]])],
                "left out.*put it back",
            ),
            ([CURE, stairs(middles()[[0, 0, 0, 2, 2, 4, 4, 4]])], "left out"),
            ([CURE, stairs(middles(), noise=5 * WIDTH)], "lie between them"),
            (
                [
                    CURE | {"norm": True},
                    stairs(middles(), norm=True),
                ],
                "try without",
            ),
            ([CURE, sigmoids()], "not trained with these settings"),
            ([CURE, middles().repeat(250, axis=0)], "anyone can make points"),
            ([CURE, Real(2, (8,), (2,), rngs=nnx.Rngs(0))], "This is a Real"),
            ([CURE, lambda z: middles()], "This is a function"),
            ([CURE, (RING, {})], "without the history"),
            ([CURE, bent(middles())], "bent by a last function"),
            ([CURE | {"optimizer": "adam"}, RING], "'SGD' or 'Adam'; not 'adam'"),
            ([{"optimizer": "Adam"}, RING], "the four settings"),
        ],
    },
    "latent": {
        "blank": [..., ..., blank],
        "right": [
            [SUM, MIDDLE, mix],
            [14.2, 7.1, mix_turning],
            [200**0.5, 50**0.5, mix_spherical],
        ],
        "wrong": [
            ([20, MIDDLE, mix], "pointed the same way"),
            ([10, MIDDLE, mix], "As long as one of them"),
            ([200, MIDDLE, mix], "squared length"),
            ([1.414, MIDDLE, mix], "deviation of one"),
            ([SUM, 10, mix], "through the inside"),
            ([SUM, 5, mix], "if the sum were 10"),
            ([SUM, 14.1, mix], "The middle is half"),
            ([SUM, MIDDLE, blank], "still missing"),
            ([SUM, MIDDLE, straight], "straight way"),
            ([SUM, MIDDLE, mix_of(lambda m, a, t: m / norm(m))], "of length 1"),
            ([SUM, MIDDLE, mix_of(lambda m, a, t: 10 * m / norm(m))], "exactly 10"),
            (
                [SUM, MIDDLE, mix_of(lambda m, a, t: m / (t**2 + (1 - t) ** 2))],
                "by its root",
            ),
            ([SUM, MIDDLE, mix_of(lambda m, a, t: m * 2**0.5)], "root of 2"),
            (
                [
                    SUM,
                    MIDDLE,
                    mix_of(
                        lambda m, a, t: (
                            (m - m.mean(0, keepdims=True)) / m.std(0, keepdims=True)
                        )
                    ),
                ],
                "over the batch",
            ),
            (
                [SUM, MIDDLE, mix_of(lambda m, a, t: m * norm(a) / norm(m))],
                "as long as its a",
            ),
            ([SUM, MIDDLE, lambda a, b, t: mix(b, a, t)], "goes backwards"),
            ([SUM, MIDDLE, lambda a, b, t: mix(a, b, 0.5)], "is not a"),
        ],
    },
    "slopes": {
        "blank": [..., blank],
        "right": [["c", slope], [" C)", slope_by_hand]],
        "wrong": [
            (["a", slope], "the same goal"),
            (["b", slope], "squared error, too"),
            (["d", slope], "Turned round"),
            (["c", blank], "still missing"),
            (["c", lambda loss, a: loss(a)], "losses themselves"),
            (["c", lambda loss, a: -slope(loss, a)], "sign is turned"),
            (["c", slope_by_p], "by the \\*probability"),
            (["c", lambda loss, a: slope(loss, float(nnx.sigmoid(a)))], "You took the"),
            (
                ["c", lambda loss, a: slope(lambda x: loss(nnx.sigmoid(x)), a)],
                "sigmoid before the loss",
            ),
            (["c", lambda loss, a: slope(loss, 0.0)], "at 0 always"),
            (["c", lambda loss, a: slope(gan.g_loss, a)], "use the loss that is given"),
            (["c", lambda loss, a: (loss(a + 1) - loss(a - 1)) / 2], "jax.grad"),
        ],
    },
}
