"""The workloads in Keras 3 on TensorFlow: a train_step under `tf.function`, as in
Keras's guide to training loops from scratch, with XLA or without."""

import itertools
import os

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras  # noqa: E402, after the environment that it reads
import tensorflow as tf  # noqa: E402
from keras import layers  # noqa: E402

from benchmarks.workloads import (  # noqa: E402
    EPSILON,
    L1_WEIGHT,
    LAYER_EPSILON,
    MOMENTUM,
    SLOPE,
    cut,
    loop,
)

# --- networks ------------------------------------------------------------------


def lecun(fan_in):
    """As Flax does: a truncated normal of variance 1 / fan_in."""
    return keras.initializers.TruncatedNormal(stddev=fan_in**-0.5 / 0.87962566103423978)


def leaky():
    return layers.LeakyReLU(negative_slope=SLOPE)


def norm():
    return layers.BatchNormalization(momentum=MOMENTUM, epsilon=EPSILON)


def dense(i, o, **options):
    return layers.Dense(o, kernel_initializer=lecun(i), **options)


def instance_norm():
    return layers.GroupNormalization(groups=-1, epsilon=LAYER_EPSILON)


def half(i, o, kernel=3, strides=2, **options):
    init = lecun(kernel * kernel * i)
    return layers.Conv2D(
        o, kernel, strides=strides, padding="same", kernel_initializer=init, **options
    )


def double(i, o, kernel=3, **options):
    init = lecun(kernel * kernel * i)
    return layers.Conv2DTranspose(
        o, kernel, strides=2, padding="same", kernel_initializer=init, **options
    )


def each(sizes, make):
    """The layers make(i, o) of every stage, one after another."""
    return [layer for i, o in itertools.pairwise(sizes) for layer in make(i, o)]


def chapter1(w):
    codes = (2 if w.game == "vae" else 1) * w.latent
    encoder = keras.Sequential(
        [
            keras.Input(w.shape),
            *each((1, 32, 64, 128), lambda i, o: [half(i, o), layers.ReLU()]),
            layers.Flatten(),
            dense(4 * 4 * 128, codes),
        ]
    )
    decoder = keras.Sequential(
        [
            keras.Input((w.latent,)),
            dense(w.latent, 4 * 4 * 128),
            layers.Reshape((4, 4, 128)),
            *each((128, 128, 64, 32), lambda i, o: [double(i, o), layers.ReLU()]),
            half(32, 1, strides=1),
        ]
    )
    return encoder, decoder


def faces(w):
    first = (w.start, w.start, w.up[0])
    encoder = keras.Sequential(
        [
            keras.Input(w.shape),
            *each((3, *w.down), lambda i, o: [half(i, o), norm(), leaky()]),
            layers.Flatten(),
            dense(w.start**2 * w.down[-1], 2 * w.latent),
        ]
    )
    decoder = keras.Sequential(
        [
            keras.Input((w.latent,)),
            dense(w.latent, w.start**2 * w.up[0]),
            norm(),
            leaky(),
            layers.Reshape(first),
            *each((w.up[0], *w.up), lambda i, o: [double(i, o), norm(), leaky()]),
            half(w.up[-1], 3, strides=1),
        ]
    )
    return encoder, decoder


def mlp(w):
    def hidden(i, o):
        return [dense(i, o), leaky(), layers.LayerNormalization(epsilon=LAYER_EPSILON)]

    generator = keras.Sequential(
        [
            keras.Input((w.latent,)),
            *each((w.latent, *w.up), hidden),
            dense(w.up[-1], w.shape[0], activation="tanh"),
        ]
    )
    discriminator = keras.Sequential(
        [
            keras.Input(w.shape),
            *each((w.shape[0], *w.down), lambda i, o: [dense(i, o), leaky()]),
            dense(w.down[-1], 1),
        ]
    )
    return generator, discriminator


def conv(w):
    generator = keras.Sequential(
        [
            keras.Input((w.latent,)),
            dense(w.latent, w.start**2 * w.up[0], use_bias=False),
            norm(),
            leaky(),
            layers.Reshape((w.start, w.start, w.up[0])),
            *each(
                w.up, lambda i, o: [double(i, o, 4, use_bias=False), norm(), leaky()]
            ),
            double(w.up[-1], w.shape[-1], 4, activation="tanh"),
        ]
    )
    side = w.shape[0] // 2 ** len(w.down)
    discriminator = keras.Sequential(
        [
            keras.Input(w.shape),
            *each(
                (w.shape[-1], *w.down),
                lambda i, o: [half(i, o, 4), leaky(), layers.Dropout(w.dropout)],
            ),
            layers.Flatten(),
            dense(side**2 * w.down[-1], 1),
        ]
    )
    return generator, discriminator


def conditional(w):
    def small(o, **options):
        init = keras.initializers.RandomNormal(stddev=0.02)
        return layers.Dense(o, kernel_initializer=init, **options)

    def told(size, body):
        """`body` on (B, size) and a class's embedding, side by side."""
        x, labels = keras.Input((size,)), keras.Input((), dtype="int32")
        init = keras.initializers.RandomNormal(stddev=0.02)
        classes = layers.Embedding(10, 10, embeddings_initializer=init)(labels)
        y = layers.Concatenate()([x, classes])
        for layer in body:
            y = layer(y)
        return keras.Model([x, labels], y)

    generator = [small(w.up[0]), leaky()]
    generator += each(w.up, lambda i, o: [small(o), norm(), leaky()])
    generator += [small(w.shape[0], activation="tanh")]
    discriminator = [small(w.down[0]), leaky()]
    discriminator += each(
        w.down, lambda i, o: [small(o), leaky(), layers.Dropout(w.dropout)]
    )
    discriminator += [small(1)]
    return told(w.latent, generator), told(w.shape[0], discriminator)


def unet(w):
    side, _, channels = w.shape
    x, y = keras.Input((side, side, 1)), keras.Input(w.shape)
    h, maps, inside = x, [x], 1
    for width in w.up:
        h = half(inside, width, 4, use_bias=width == w.up[0])(h)
        h = leaky()(h if width == w.up[0] else instance_norm()(h))
        maps, inside = [*maps, h], width
    maps.pop()
    for width in (*w.up[-2::-1], w.up[0] // 2):
        last = width < w.up[0]
        h = double(inside, width, 4, use_bias=last)(h)
        h = layers.ReLU()(h if last else instance_norm()(h))
        h = layers.Concatenate()([h, maps.pop()])
        inside = 2 * width
    init = lecun(3 * 3 * (w.up[0] // 2 + 1))
    options = dict(padding="same", activation="tanh", kernel_initializer=init)
    generator = keras.Model(x, layers.Conv2D(channels, 3, **options)(h))

    h, inside = layers.Concatenate()([x, y]), 1 + channels
    for width in w.down:
        strides = 1 if width == w.down[-1] else 2
        h = half(inside, width, 4, strides, use_bias=width == w.down[0])(h)
        h = leaky()(h if width == w.down[0] else instance_norm()(h))
        inside = width
    return generator, keras.Model([x, y], half(inside, 1, 4, strides=1)(h))


NETWORKS = {f.__name__: f for f in (chapter1, faces, mlp, conv, conditional, unet)}


# --- steps ---------------------------------------------------------------------


def autoencoder_step(networks, optimizers, w):
    encoder, decoder = networks
    (optimizer,) = optimizers
    weights = encoder.trainable_weights + decoder.trainable_weights

    def loss_fn(x):
        if w.game == "autoencoder":
            logits = decoder(encoder(x, training=True), training=True)
            return tf.reduce_mean(summed_cross_entropy(logits, x))
        mean, log_var = tf.split(encoder(x, training=True), 2, axis=1)  # (B, latent)
        z = mean + tf.exp(0.5 * log_var) * tf.random.normal(mean.shape)
        error = squared_error if w.networks == "faces" else summed_cross_entropy
        kl = 0.5 * tf.reduce_sum(mean**2 + tf.exp(log_var) - 1 - log_var, axis=1)
        return tf.reduce_mean(error(decoder(z, training=True), x) + kl)

    def step(x):
        with tf.GradientTape() as tape:
            loss = loss_fn(x)
        optimizer.apply(tape.gradient(loss, weights), weights)
        return {"loss": loss}

    return step


def summed_cross_entropy(logits, x):
    """(B,): nats an image."""
    pixels = tf.nn.sigmoid_cross_entropy_with_logits(x, logits)
    return tf.reduce_sum(pixels, axis=(1, 2, 3))


def squared_error(logits, x):
    """(B,): 2000 times the mean over a picture's pixels."""
    return 2000 * tf.reduce_mean((tf.sigmoid(logits) - x) ** 2, axis=(1, 2, 3))


def cross_entropy(logits, target):
    targets = tf.fill(logits.shape, target)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits))


def gan_step(networks, optimizers, w):
    """One z for both updates: the fakes are made once, of the labels in the batch, and
    G's gradient goes back through the same ones."""
    generator, discriminator = networks
    g_optimizer, d_optimizer = optimizers

    def call(network, x, labels):
        return network([x, *labels] if labels else x, training=True)

    def step(real, *labels):
        with tf.GradientTape() as g_tape:
            fake = call(generator, tf.random.normal((w.batch, w.latent)), labels)
        with tf.GradientTape() as d_tape:
            on_real = call(discriminator, real, labels)
            on_fake = call(discriminator, fake, labels)
            d_loss = cross_entropy(on_real, 1.0) + cross_entropy(on_fake, 0.0)
        weights = discriminator.trainable_weights
        d_optimizer.apply(d_tape.gradient(d_loss, weights), weights)

        with g_tape:  # it goes on where it was
            g_loss = cross_entropy(call(discriminator, fake, labels), 1.0)
        weights = generator.trainable_weights
        g_optimizer.apply(g_tape.gradient(g_loss, weights), weights)
        return {"d_loss": d_loss, "g_loss": g_loss}

    return step


def pix2pix_step(networks, optimizers, w):
    """The fakes are made once, as in `gan_step`."""
    generator, discriminator = networks
    g_optimizer, d_optimizer = optimizers

    def step(x, y):
        with tf.GradientTape() as g_tape:
            fake = generator(x, training=True)
        with tf.GradientTape() as d_tape:
            on_real = discriminator([x, y], training=True)
            on_fake = discriminator([x, fake], training=True)
            d_loss = (cross_entropy(on_real, 1.0) + cross_entropy(on_fake, 0.0)) / 2
        weights = discriminator.trainable_weights
        d_optimizer.apply(d_tape.gradient(d_loss, weights), weights)

        with g_tape:
            g_loss = cross_entropy(discriminator([x, fake], training=True), 1.0)
            l1 = tf.reduce_mean(tf.abs(y - fake))
            loss = g_loss + L1_WEIGHT * l1
        weights = generator.trainable_weights
        g_optimizer.apply(g_tape.gradient(loss, weights), weights)
        return {"d_loss": d_loss, "g_loss": g_loss, "l1": l1}

    return step


# --- all together --------------------------------------------------------------


def build(implementation, w, data):
    """run(steps) -> the last losses by name, and the facts about it, a dict."""
    keras.utils.set_random_seed(0)
    networks = NETWORKS[w.networks](w)
    trained = [network.trainable_weights for network in networks]
    owned = trained if w.game == "gan" else [sum(trained, [])]
    optimizers = []
    for weights in owned:
        adam = keras.optimizers.Adam(w.learning_rate, beta_1=w.beta1, epsilon=1e-8)
        adam.build(weights)
        optimizers.append(adam)
    make = gan_step if w.game == "gan" else autoencoder_step
    make = pix2pix_step if w.networks == "unet" else make
    step = make(networks, optimizers, w)
    step = tf.function(step, jit_compile=implementation == "keras_xla")
    batches = [[tf.constant(a) for a in batch] for batch in cut(data, w)]
    gpus = tf.config.list_physical_devices("GPU")
    name = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
    facts = {
        "parameters": sum(keras.ops.size(v).numpy().item() for v in sum(trained, [])),
        "device": "gpu" if gpus else "cpu",
        "device_name": name.get("device_name", "cpu"),
        "versions": {"keras": keras.__version__, "tensorflow": tf.__version__},
    }
    return loop(step, batches), facts
