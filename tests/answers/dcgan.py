"""Right answers to chapter 4's exercises, and the mistakes that learners make."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import lax

from gencourse import checkpoint, data, dcgan, gan
from gencourse.checks.dcgan import HALF, WHOLE, stamps
from gencourse.train import fit


def blank(*given):
    raise NotImplementedError


# --- 4.1 -----------------------------------------------------------------------


def sizes(
    same=lambda n, k, s: -(-n // s),
    valid=lambda n, k, s: (n - k) // s + 1,
    up_same=lambda n, k, s: n * s,
    up_valid=lambda n, k, s: (n - 1) * s + k,
):
    """A function of the four cases, each by a formula."""

    def side_after(side, kernel, stride, padding, transposed):
        pair = (up_same, up_valid) if transposed else (same, valid)
        return pair[padding == "VALID"](side, kernel, stride)

    return side_after


def in_small_letters(side, kernel, stride, padding, transposed):
    padding = "SAME" if padding == "same" else "VALID"
    return sizes()(side, kernel, stride, padding, transposed)


def sizes_by_counting(side, kernel, stride, padding, transposed):
    if not transposed:
        last = side if padding == "SAME" else side - kernel + 1
        return len(range(0, last, stride))
    return side * stride + (padding == "VALID") * max(kernel - stride, 0)


# --- 4.2 -----------------------------------------------------------------------


def draw(key, x_shape, y_shape):
    x_key, y_key = jax.random.split(key)
    return jax.random.normal(x_key, x_shape), jax.random.normal(y_key, y_shape)


def length(a):
    return jnp.sqrt((a**2).sum())


def adjoint(drawn=draw, product=jnp.vdot, same=None):
    """A test by two inner products."""

    def are_adjoint(forward, back, x_shape, y_shape, key):
        x, y = drawn(key, x_shape, y_shape)
        ahead = forward(x)
        a, b = product(ahead, y), product(x, back(y))
        if same:
            return same(a, b)
        return abs(a - b) <= 1e-4 * length(ahead) * length(y)

    return are_adjoint


def adjoint_often(forward, back, x_shape, y_shape, key):
    keys = jax.random.split(key, 5)
    return all(adjoint()(forward, back, x_shape, y_shape, k) for k in keys)


def drawn_with_one_key(key, x_shape, y_shape):
    return jax.random.normal(key, x_shape), jax.random.normal(key, y_shape)


def by_numpy(key, x_shape, y_shape):
    return np.random.normal(size=x_shape), np.random.normal(size=y_shape)


def with_key_0(key, x_shape, y_shape):
    return draw(jax.random.key(0), x_shape, y_shape)


def with_zeros(key, x_shape, y_shape):
    keys = jax.random.split(key)
    shapes = zip(keys, (x_shape, y_shape), strict=True)
    return (jax.random.randint(k, s, 0, 3) * 1.0 for k, s in shapes)


def ones(key, x_shape, y_shape):
    return jnp.ones(x_shape), jnp.ones(y_shape)


def one_place(key, x_shape, y_shape):
    return (jnp.zeros(math.prod(s)).at[0].set(1).reshape(s) for s in (x_shape, y_shape))


def means(a, b):
    return (a * b).mean()


def by_inverse(forward, back, x_shape, y_shape, key):
    x, _ = draw(key, x_shape, y_shape)
    return bool(jnp.allclose(back(forward(x)), x, atol=1e-2))


def by_shape(forward, back, x_shape, y_shape, key):
    x, y = draw(key, x_shape, y_shape)
    return forward(x).shape == y_shape and back(y).shape == x_shape


def by_share(a, b):
    return bool(jnp.isclose(a / b, 1, rtol=1e-6))


def kernel_back(kernel):
    return jnp.flip(kernel, (0, 1)).swapaxes(2, 3)


def kernel_by_slices(kernel):
    return np.asarray(kernel)[::-1, ::-1].transpose(0, 1, 3, 2)


# --- 4.3 -----------------------------------------------------------------------


def to_tanh(images):
    return images.astype(np.float32) / 127.5 - 1


def to_bytes(pictures):
    pictures = np.asarray(pictures)
    return np.rint((pictures + 1) * 127.5).astype(np.uint8)


def as_bytes(change):
    """A way to bytes without rounding: as NumPy casts, numbers may wrap."""
    return lambda p: change(np.asarray(p)).astype(np.int64).astype(np.uint8)


def by_least_and_largest(x, low, high):
    return (x - x.min()) / (x.max() - x.min()) * (high - low) + low


def shown(last=jnp.tanh, scale=to_tanh, unscale=to_bytes, seen="b"):
    return [seen, last, scale, unscale]


def changed_bytes(images):
    images[...] = images // 2
    return to_tanh(images)


# --- 4.4 -----------------------------------------------------------------------


def touches(places, kernel, stride):
    return stamps(places, kernel, stride).tolist()


def touches_by_transpose(places, kernel, stride):
    holes = np.zeros((places - 1) * stride + 1)
    holes[::stride] = 1
    return np.convolve(holes, np.ones(kernel))


def touches_shifted(places, kernel, stride):
    counts = np.zeros((places - 1) * stride + kernel)
    for i in range(places):
        counts[i * stride + 1 : i * stride + kernel] += 1
    return counts


def even(stride, largest):
    return [k for k in range(1, largest + 1) if k % stride == 0]


def kernels(rule):
    return lambda stride, n: [k for k in range(1, n + 1) if rule(k, stride)]


def conv(x, kernel, padding="SAME", stride=1):
    dims = ("NHWC", "HWIO", "NHWC")
    sides = (stride, stride)
    return lax.conv_general_dilated(x, kernel, sides, padding, dimension_numbers=dims)


def double(x):
    return x.repeat(2, axis=1).repeat(2, axis=2)


def up(x, kernel):
    return conv(double(x), kernel)


def up_by_resize(x, kernel):
    b, h, w, c = x.shape
    return conv(jax.image.resize(x, (b, 2 * h, 2 * w, c), "nearest"), kernel)


def up_smoothly(x, kernel):
    b, h, w, c = x.shape
    return conv(jax.image.resize(x, (b, 2 * h, 2 * w, c), "bilinear"), kernel)


def up_with_holes(x, kernel):
    b, h, w, c = x.shape
    return conv(jnp.zeros((b, 2 * h, 2 * w, c)).at[:, ::2, ::2].set(x), kernel)


def board(touches=touches, even=even, up=up):
    return [touches, even, up]


# --- 4.5 -----------------------------------------------------------------------


def still(generator, z):
    return nnx.view(generator, use_running_average=True)(z)


@nnx.jit
def still_compiled(generator, z):
    return nnx.view(generator, use_running_average=True)(z)


def still_cloned(generator, z):
    copy = nnx.clone(generator)
    copy.eval()
    return copy(z)


def as_it_comes(generator, z):
    return generator(z)


def of_a_clone(generator, z):
    return nnx.clone(generator)(z)


@jax.jit
def with_jax_jit(generator, z):
    return generator(z)


def left_still(generator, z):
    generator.eval()
    return generator(z)


def set_and_reset(generator, z):
    generator.eval()
    pictures = generator(z)
    generator.train()
    return pictures


def one_by_one(generator, z):
    return jnp.concatenate([generator(z[i : i + 1]) for i in range(len(z))])


def looked_before(generator, z):
    generator(z)
    return still(generator, z)


def looked_after(generator, z):
    pictures = still(generator, z)
    generator(z)
    return pictures


def warmed_up(generator, z):
    copy = nnx.clone(generator)
    for _ in range(50):
        copy(z)
    return still(copy, z)


def in_training(generator, z):
    return nnx.view(generator, use_running_average=False)(z)


OTHER_SEEDS = jax.random.normal(jax.random.key(3), (6, 4))
OTHER = dcgan.Generator((16, 16, 1), 2, 4, rngs=nnx.Rngs(0))


def of_another(generator, z):
    return still(OTHER, z)


# --- 4.6 -----------------------------------------------------------------------


def g_step(judge=nnx.clone, me=lambda g: g, loss=gan.g_loss, stop=lambda x: x):
    """A step of G: who judges, who draws, by which loss, and what is stopped."""

    def step(generator, discriminator, g_optimizer, z):
        def of(generator, discriminator):
            return loss(discriminator(stop(me(generator)(z))))

        value, grads = nnx.value_and_grad(of)(generator, judge(discriminator))
        g_optimizer.update(generator, grads)
        return value

    return step


def running(network):
    return nnx.view(network, use_running_average=True)


def g_step_put_back(generator, discriminator, g_optimizer, z):
    before = jax.tree.map(jnp.copy, nnx.state(discriminator, nnx.BatchStat))
    value = g_step(judge=lambda d: d)(generator, discriminator, g_optimizer, z)
    nnx.update(discriminator, before)
    return value


def g_step_of_clones(generator, discriminator, g_optimizer, z):
    def of(generator, discriminator):
        return gan.g_loss(discriminator(generator(z)))

    judge = nnx.clone(discriminator)
    value, grads = nnx.value_and_grad(of)(nnx.clone(generator), judge)
    g_optimizer.update(generator, grads)
    return value


def g_step_in_eval(generator, discriminator, g_optimizer, z):
    discriminator.eval()
    return g_step(judge=lambda d: d)(generator, discriminator, g_optimizer, z)


def g_step_all_in_eval(generator, discriminator, g_optimizer, z):
    generator.eval()
    return g_step()(generator, discriminator, g_optimizer, z)


def g_step_eval_and_train(generator, discriminator, g_optimizer, z):
    value = g_step_in_eval(generator, discriminator, g_optimizer, z)
    discriminator.train()
    return value


def g_step_both(generator, discriminator, g_optimizer, z):
    """D is moved along, too, and its statistics spared."""
    before = nnx.clone(discriminator)

    def of(discriminator):
        return gan.g_loss(discriminator(nnx.clone(generator)(z)))

    grads = nnx.grad(of)(nnx.clone(discriminator))
    value = g_step()(generator, discriminator, g_optimizer, z)
    rule = nnx.Optimizer(before, optax.sgd(0.1), wrt=nnx.Param)
    rule.update(discriminator, grads)
    return value


def g_step_idle(generator, discriminator, g_optimizer, z):
    return gan.g_loss(nnx.clone(discriminator)(generator(z)))


def g_step_drawn_twice(generator, discriminator, g_optimizer, z):
    fake = generator(z)
    assert fake.shape[0] == len(z)
    return g_step()(generator, discriminator, g_optimizer, z)


def g_step_silent(generator, discriminator, g_optimizer, z):
    g_step()(generator, discriminator, g_optimizer, z)


def g_step_of_the_other(generator, discriminator, g_optimizer, z):
    def of(generator, discriminator):
        return gan.g_loss(discriminator(generator(z)))

    by_g = nnx.value_and_grad(of)
    value, grads = by_g(generator, nnx.clone(discriminator))
    g_optimizer.update(discriminator, grads)
    return value


def g_step_twice(generator, discriminator, g_optimizer, z):
    g_step()(generator, discriminator, g_optimizer, z)
    return g_step()(generator, discriminator, g_optimizer, z)


# --- 4.7 -----------------------------------------------------------------------

KEY, BATCH = jax.random.key(0), 32
RULE = optax.adam(1e-3, b1=0.5)  # one for all, so that fit compiles once
x = data.scale(data.load("mnist", "test")[0][:320, ::4, ::4], "tanh")
x = np.pad(x, [(0, 0), (0, 1), (0, 1), (0, 0)], constant_values=-1)  # 8x8


def new_objects(seed=0):
    networks = (
        dcgan.Generator((8, 8, 1), 2, 4, rngs=nnx.Rngs(seed)),
        dcgan.Discriminator((8, 8, 1), 2, rngs=nnx.Rngs(seed + 1)),
    )
    return (*networks, *(nnx.Optimizer(n, RULE, wrt=nnx.Param) for n in networks))


def train(objects, steps, folder=None, key=KEY, batch=BATCH, pictures=x, **more):
    more = dict(batch_size=batch, steps=steps, key=key, resume=folder) | more
    return objects, fit(gan.train_step, objects, pictures, progress=False, **more)


def one_go(steps):
    return train(new_objects(), steps)


def first(folder):
    train(new_objects(), HALF, folder)


def second(folder):
    return train(new_objects(), WHOLE, folder)


def halves(first=first, second=second):
    return [first, second, one_go]


def half(steps, inner=".", seed=0, **more):
    return lambda folder: train(new_objects(seed), steps, folder / inner, **more)


def networks_by_hand(folder):
    objects, history = one_go(HALF)
    checkpoint.save(folder, HALF, objects[:2], history=history)


def networks_back(folder):
    objects = new_objects()
    checkpoint.restore(folder, objects[:2])
    return train(objects, WHOLE - HALF)


def all_by_hand(folder):
    objects, _ = one_go(HALF)
    checkpoint.save(folder, HALF, objects)


def all_back(folder):
    objects = new_objects()
    checkpoint.restore(folder, objects)
    return train(objects, WHOLE - HALF)


def later_part(folder):
    objects, history = second(folder)
    return objects, {name: values[HALF:] for name, values in history.items()}


def no_folder(folder):
    train(new_objects(), HALF, save_every=HALF)


EXERCISES = {
    "sizes": {
        "blank": blank,
        "right": [sizes(), sizes_by_counting, sizes(lambda n, k, s: math.ceil(n / s))],
        "wrong": [
            (sizes(same=lambda n, k, s: n), "SAME keeps the side only"),
            (sizes(same=lambda n, k, s: n // s), "You round down"),
            (sizes(same=lambda n, k, s: n // s + 1), "Adding one always"),
            (
                sizes(same=lambda n, k, s: (n + 2 * (k // 2) - k) // s + 1),
                "other libraries do. With even",
            ),
            (sizes(same=lambda n, k, s: n / s), "SAME.*whole number"),
            (sizes(same=lambda n, k, s: n * s), "You go up"),
            (sizes(same=lambda n, k, s: (n - k) // s + 1), "That is VALID, without"),
            (sizes(same=lambda n, k, s: round(n / s)), "rounds halves"),
            (
                sizes(same=lambda n, k, s: (n + 2 * ((k - 1) // 2) - k) // s + 1),
                "one too few. SAME",
            ),
            (sizes(valid=lambda n, k, s: n - k // s + 1), "brackets"),
            (in_small_letters, "in capitals"),
            (sizes(valid=lambda n, k, s: (n - k) // s), "Before the first move"),
            (sizes(valid=lambda n, k, s: -(-(n - k) // s) + 1), "You round up"),
            (sizes(valid=lambda n, k, s: (n - k + 1) // s), "drops one"),
            (sizes(valid=lambda n, k, s: n - k + 1), "right for stride 1"),
            (sizes(valid=lambda n, k, s: -(-n // s)), "only windows that fit"),
            (sizes(valid=lambda n, k, s: n // s), "kernel must matter"),
            (sizes(valid=lambda n, k, s: (n - k) / s + 1), "VALID.*whole number"),
            (sizes(up_same=lambda n, k, s: (n - 1) * s + k), "SAME cuts it"),
            (sizes(up_same=lambda n, k, s: n), "Transposed SAME keeps"),
            (sizes(up_same=lambda n, k, s: -(-n // s)), "makes more places"),
            (sizes(up_same=lambda n, k, s: (n - 1) * s + 1), "takes the largest"),
            (
                sizes(up_same=lambda n, k, s: (n - 1) * s + k - 2 * (k // 2)),
                "You cut k // 2",
            ),
            (sizes(up_valid=lambda n, k, s: n * s), "how far does the last stamp"),
            (sizes(up_valid=lambda n, k, s: (n - 1) * s + k - 1), "One too few"),
            (sizes(up_valid=lambda n, k, s: n * s + k - 1), "begins at place 0"),
            (sizes(up_valid=lambda n, k, s: n * s + k), "n - 1 moves"),
            (sizes(up_valid=lambda n, k, s: (n - 1) * s + 1), "middles of the stamps"),
            (sizes(up_valid=lambda n, k, s: n + k - 1), "stride is missing"),
            (
                sizes(up_valid=lambda n, k, s: (n - k) // s + 1),
                "You go down. Transposed and VALID",
            ),
            (lambda *given: (14, 14), "one number, the side"),
        ],
    },
    "adjoint": {
        "blank": [blank, blank],
        "right": [[adjoint(), kernel_back], [adjoint_often, kernel_by_slices]],
        "wrong": [
            ([adjoint(drawn=drawn_with_one_key), kernel_back], "Split the key"),
            ([adjoint(drawn=ones), kernel_back], "only sums are compared"),
            ([adjoint(drawn=one_place), kernel_back], "random numbers everywhere"),
            ([adjoint(drawn=by_numpy), kernel_back], "Asked twice with one key"),
            ([adjoint(drawn=with_key_0), kernel_back], "With another key"),
            ([adjoint(drawn=with_zeros), kernel_back], "meets a 0"),
            ([adjoint(product=means), kernel_back], "do you take means"),
            ([by_inverse, kernel_back], "its \\*inverse"),
            ([by_shape, kernel_back], "True of every pair"),
            ([adjoint(same=lambda a, b: a == b), kernel_back], "False of every pair"),
            (
                [adjoint(same=lambda a, b: abs(abs(a) - abs(b)) < 1e-3), kernel_back],
                "the sign belongs",
            ),
            (
                [adjoint(same=lambda a, b: abs(a - b) < 1e-3), kernel_back],
                "two small maps",
            ),
            (
                [adjoint(same=lambda a, b: abs(a - b) < 1e-6), kernel_back],
                "for a large matrix",
            ),
            ([adjoint(same=by_share), kernel_back], "now True and now False"),
            ([adjoint(same=lambda a, b: a * b > 0), kernel_back], "twice"),
            ([adjoint(same=lambda a, b: a - b), kernel_back], "Say True or False"),
            ([adjoint(same=lambda a, b: (a, b)), kernel_back], "two numbers"),
            ([adjoint(), blank], "still missing"),
            ([adjoint(), lambda w: w], "you changed nothing"),
            ([adjoint(), lambda w: jnp.flip(w, (0, 1))], "its channels still go"),
            ([adjoint(), lambda w: w.swapaxes(2, 3)], "not flipped"),
            ([adjoint(), lambda w: w[::-1].swapaxes(2, 3)], "top to bottom only"),
            ([adjoint(), lambda w: w[:, ::-1].swapaxes(2, 3)], "left to right only"),
            ([adjoint(), lambda w: w.transpose(1, 0, 3, 2)], "height and width"),
            ([adjoint(), lambda w: w.T], "all four axes"),
            ([adjoint(), lambda w: jnp.flip(w).swapaxes(2, 3)], "channels are rev"),
            (
                [adjoint(), lambda w: jnp.flip(w, (0, 1)).reshape(*w.shape[:2], -1, 3)],
                "but then `reshape`",
            ),
            ([adjoint(), lambda w: jnp.rot90(w).swapaxes(2, 3)], "quarter turn"),
            ([adjoint(), lambda w: kernel_back(w) / 4], "takes no mean"),
            ([adjoint(), lambda w: w[0]], "wanted \\(4, 4, 2, 3\\)"),
        ],
    },
    "pictures": {
        "blank": [..., blank, blank, blank],
        "right": [
            shown(),
            shown(
                last=lambda a: 2 * nnx.sigmoid(a) - 1,
                scale=lambda x: (x / 255 - 0.5) / 0.5,
                unscale=lambda p: jnp.round((p + 1) / 2 * 255).astype(jnp.uint8),
            ),
            shown(last=lambda a: jnp.tanh(3 * a)),
            shown(last=jax.scipy.special.erf),
            shown(
                scale=lambda x: data.scale(x, "tanh"),
                unscale=lambda p: data.unscale(p, "tanh"),
            ),
        ],
        "wrong": [
            (shown(seen="a"), "Put numbers in"),
            (shown(seen="c"), "The other way round"),
            (shown(seen="d"), "keeps the order"),
            (shown(last=blank), "still missing"),
            (shown(last=nnx.sigmoid), "the friend's sigmoid"),
            (shown(last=lambda a: 2 * nnx.sigmoid(a)), "between 0 and 2"),
            (shown(last=lambda a: nnx.sigmoid(a) - 0.5), "only 1 wide"),
            (shown(last=lambda a: (jnp.tanh(a) + 1) / 2), r"to \[0, 1\] again"),
            (shown(last=lambda a: jnp.tanh(nnx.sigmoid(a))), "of the sigmoid"),
            (shown(last=lambda a: a), "nothing holds"),
            (shown(last=lambda a: jnp.clip(a, -1, 1)), "a clip has no slope"),
            (shown(last=lambda a: jnp.clip(a / 3, -1, 1)), "it is flat, or falls"),
            (shown(scale=lambda x: 2 * x / 255 - 1), "wrapped round"),
            (
                shown(unscale=as_bytes(lambda p: np.ceil((p + 1) * 127.5))),
                "G's pixels lie between",
            ),
            (shown(last=nnx.relu), "ReLU"),
            (shown(last=lambda a: a / abs(a).max()), "each pixel by itself"),
            (shown(last=lambda a: jnp.tanh(-a)), "at -50"),
            (
                shown(last=lambda a: 2 * jnp.arctan(a) / jnp.pi),
                "gives -0.987 and 0.987",
            ),
            (shown(scale=lambda x: x / 255), "the same fault, reversed"),
            (shown(scale=lambda x: x / 127.5), r"in \[0, 2\]"),
            (shown(scale=lambda x: x / 255 - 1), r"in \[-1, 0\]"),
            (shown(scale=lambda x: x / 255 - 0.5), "half as wide"),
            (shown(scale=lambda x: x / 128 - 1), "0.992"),
            (shown(scale=lambda x: (x - x.mean()) / x.std()), "standardised"),
            (shown(scale=lambda x: (x.astype(float) - 0.5) * 2), "not divided by 255"),
            (shown(scale=lambda x: x - 127), "wrap round at 255"),
            (shown(scale=lambda x: 1 - x / 127.5), "black is 1 and white -1"),
            (shown(scale=lambda x: x.astype(np.float32)), "the bytes still"),
            (shown(scale=changed_bytes), "change the bytes"),
            (
                shown(scale=lambda x: by_least_and_largest(x.astype(float), -1, 1)),
                "Dim pictures are stretched",
            ),
            (shown(unscale=lambda p: p), "-1 is no byte"),
            (shown(unscale=lambda p: (p + 1) / 2), r"floats in \[0, 1\]"),
            (shown(unscale=as_bytes(lambda p: p * 255)), "shift before"),
            (shown(unscale=as_bytes(lambda p: (p + 1) * 255)), "white would be 510"),
            (
                shown(unscale=as_bytes(lambda p: np.clip(p, 0, 1) * 255)),
                "half of the greys",
            ),
            (shown(unscale=as_bytes(lambda p: (p + 1) * 127.5)), "off by one"),
            (shown(unscale=as_bytes(lambda p: (p + 1) * 128)), "byte 255"),
            (shown(unscale=lambda p: (p + 1) * 127.5), "then .astype"),
            (
                shown(unscale=lambda p: 255 - to_bytes(p)),
                "black is white",
            ),
            (
                shown(
                    unscale=lambda p: np.rint(
                        by_least_and_largest(np.asarray(p), 0, 255)
                    ).astype(np.uint8)
                ),
                "A dim picture",
            ),
        ],
    },
    "checkerboard": {
        "blank": [blank, blank, blank],
        "right": [
            board(),
            board(touches_by_transpose, lambda s, n: range(s, n + 1, s), up_by_resize),
        ],
        "wrong": [
            (board(lambda n, k, s: stamps(n, k, 1)), "are 1 apart"),
            (board(lambda n, k, s: np.minimum(stamps(n, k, s), 1)), "by how many"),
            (board(lambda n, k, s: stamps(n, k, s) - 1), "one too few"),
            (board(lambda n, k, s: stamps(n, k, s)[: n * s]), "as SAME does"),
            (board(lambda n, k, s: stamps(n, k, s) / k), "take no mean"),
            (
                board(lambda n, k, s: np.outer(stamps(n, k, s), stamps(n, k, s))),
                "along one side",
            ),
            (board(touches_shifted), "covers the places"),
            (board(lambda n, k, s: stamps(n + 1, k, s)), "that makes"),
            (board(even=blank), "still missing"),
            (board(even=kernels(lambda k, s: k % 2 == 0)), "even numbers"),
            (board(even=kernels(lambda k, s: k % 2)), "odd kernels"),
            (board(even=lambda s, n: [s]), "larger ones, too"),
            (board(even=kernels(lambda k, s: k >= s)), "leave no gap"),
            (board(even=kernels(lambda k, s: k > s)), "overlap alone"),
            (board(even=kernels(lambda k, s: k > 1 and k % s == 0)), "kernel of 1"),
            (board(even=kernels(lambda k, s: s % k == 0)), "divide the stride"),
            (board(even=kernels(lambda k, s: k % s)), "uneven ones"),
            (
                board(even=lambda s, n: [k for k in range(0, n + 1) if k % s == 0]),
                "size 0",
            ),
            (board(even=lambda s, n: [k for k in range(s, n, s)]), "ends before n"),
            (board(even=kernels(lambda k, s: k % s == 1)), "one number is left"),
            (board(up=lambda x, w: conv(x, w)), "nothing is upsampled"),
            (board(up=lambda x, w: double(conv(x, w))), "Turn the order round"),
            (board(up=lambda x, w: conv(jnp.tile(x, (1, 2, 2, 1)), w)), "four copies"),
            (board(up=up_with_holes), "boards and all"),
            (
                board(up=lambda x, w: conv(x.repeat(2, axis=1).repeat(2, axis=1), w)),
                "the columns never",
            ),
            (board(up=lambda x, w: conv(x.repeat(2, axis=1), w)), "rows are doubled"),
            (board(up=lambda x, w: conv(double(x), w, "VALID")), "edges are cut"),
            (board(up=lambda x, w: conv(double(x), w, stride=2)), "halves again"),
            (board(up=up_smoothly), "smooth upsampling"),
            (board(up=lambda x, w: up(x, w[::-1, ::-1])), "turned round. Leave"),
            (
                board(up=lambda x, w: lax.conv_transpose(x, w, (2, 2), "SAME")),
                "kernel 3 and stride 2",
            ),
            (board(up=lambda x, w: double(x)), "kernel is not used"),
            (board(up=lambda x, w: up(x, w) / 9), "the numbers are not"),
        ],
    },
    "mode": {
        "blank": [..., ..., blank],
        "right": [
            ["c", "b", still],
            ["(C)", "B.", still_compiled],
            ["c", "b", gan.generate],
            ["c", "b", still_cloned],
        ],
        "wrong": [
            (["a", "b", still], "fixed numbers"),
            (["b", "b", still], "Not by chance"),
            (["d", "b", still], "adds a small number"),
            (["c", "a", still], "no gradient is taken"),
            (["c", "c", still], "Nobody took one"),
            (["c", "d", still], "is a flag"),
            (["c", "b", blank], "still missing"),
            (["c", "b", as_it_comes], "as the friend's"),
            (["c", "b", of_a_clone], "depends on its neighbours"),
            (["c", "b", left_still], "leave G in the other mode"),
            (["c", "b", set_and_reset], "what you suppose"),
            (["c", "b", one_by_one], "one at a time"),
            (["c", "b", looked_before], "on the way you have moved"),
            (["c", "b", looked_after], "after looking"),
            (
                ["c", "b", lambda g, z: still(g, OTHER_SEEDS)],
                "two batches of latent vectors",
            ),
            (["c", "b", warmed_up], "those are not the pictures"),
            (["c", "b", of_another], "two generators give"),
            (["c", "b", lambda g, z: (still(g, z) + 1) / 2], r"in \[-1, 1\]"),
            (
                ["c", "b", lambda g, z: still(g, z)[:1]],
                "a picture for each latent vector",
            ),
        ],
    },
    "statistics": {
        "blank": blank,
        "right": [g_step(), nnx.jit(g_step()), g_step_put_back],
        "wrong": [
            (g_step(judge=lambda d: d), "D's weights rest, but its running"),
            (g_step_of_clones, "its own running statistics don't"),
            (g_step(judge=running), "judges by its running statistics"),
            (g_step_in_eval, "You leave D in another mode"),
            (g_step_all_in_eval, "G is left in another mode"),
            (g_step_both, "D's weights have moved"),
            (g_step_idle, "never asked"),
            (g_step(stop=lax.stop_gradient), "its gradient is 0"),
            (g_step(loss=gan.g_loss_saturating), "min-max"),
            (g_step(loss=lambda a: -gan.g_loss_saturating(a)), "found out"),
            (g_step_drawn_twice, "called once more"),
            (g_step_twice, "does not move as in"),
            (g_step_silent, "Return G's loss"),
            (g_step_of_the_other, "belongs to G"),
        ],
    },
    "resume": {
        "blank": [blank, blank, one_go],
        "right": [
            halves(),
            halves(half(HALF, save_every=5), half(WHOLE, seed=1)),
            halves(half(HALF, "a"), half(WHOLE, "a", keep=1)),
        ],
        "wrong": [
            (halves(second=blank), "still missing"),
            (halves(second=half(HALF)), "trained nothing"),
            (halves(second=half(WHOLE - HALF)), "How many are they in all"),
            (halves(second=half(WHOLE + HALF)), "gone to step 42"),
            (halves(second=half(WHOLE, key=jax.random.key(1))), "different keys"),
            (halves(second=half(WHOLE, batch=16)), "batches of different size"),
            (halves(second=half(WHOLE, pictures=x[160:])), "different data"),
            (
                halves(half(HALF, key=jax.random.key(1)), half(WHOLE, "b")),
                "there is nothing new",
            ),
            (
                halves(
                    half(HALF, key=jax.random.key(1)),
                    half(WHOLE, key=jax.random.key(1)),
                ),
                "from the first step on",
            ),
            (halves(no_folder), "no checkpoint in the folder"),
            (halves(half(WHOLE)), "pulled the plug"),
            (halves(half(HALF + 3)), "ends after step 15"),
            (
                halves(second=lambda folder: one_go(WHOLE - HALF)),
                "knows nothing of the first",
            ),
            (halves(networks_by_hand, networks_back), "Adam has forgotten"),
            (halves(networks_by_hand), "networks alone are no"),
            (halves(all_by_hand, all_back), "began to count again"),
            (halves(second=lambda folder: second(folder)[0]), "two things"),
            (halves(second=later_part), "the history is not"),
            (
                halves(second=lambda folder: (second(folder)[0][0], {"d_loss": [0]})),
                "in this order",
            ),
            (
                halves(second=lambda folder: (new_objects(), second(folder)[1])),
                "no step at all",
            ),
            (halves(second=lambda f: (second(f), None)[1]), "returns nothing"),
        ],
    },
}
