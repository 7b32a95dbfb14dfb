"""What test_devices.py runs in processes of its own, which have several devices.

    python tests/_many_devices.py eight FOLDER              has 8 devices
    python tests/_many_devices.py one_of_two I PORT FOLDER  has 1 of 2 devices

The devices are the CPU, several times (XLA_FLAGS, set by the test). The last line that
it prints is JSON.
"""

import contextlib
import json
import os
import re
import signal
import sys
from pathlib import Path

import conftest  # noqa: E402, F401, for the environment
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402
from flax import nnx  # noqa: E402

from gencourse import checkpoint, dcgan, gan  # noqa: E402
from gencourse.checkpoint import core  # noqa: E402
from gencourse.layers.convolution import conv  # noqa: E402
from gencourse.layers.sharding import shard_batch  # noqa: E402
from gencourse.train import (  # noqa: E402
    NotFinite,
    compile_step,
    devices,
    fit,
    history,
    loop,
)
from tools import faults  # noqa: E402

SHAPE = 28, 28, 1


def numbers(history, objects):
    """Everything as lists, by name."""
    found = {name: values.tolist() for name, values in history.items()}
    _, leaves, names = core._state(objects)
    for name, leaf in zip(names, leaves, strict=True):
        assert len(leaf.sharding.device_set) == 1, f"{name} is still on all devices"
        if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            found[name] = np.asarray(leaf).ravel().tolist()
    return found


@contextlib.contextmanager
def work():
    """A list to which each step that fit compiles adds its floating point operations,
    those of one device."""
    flops, compiled = [], {}

    def jit(function, mesh, **options):
        jitted = devices.jit(function, mesh, **options)

        def call(*args, n_steps):
            if jitted not in compiled:
                compiled[jitted] = jitted.lower(*args, n_steps=n_steps).compile()
                flops.append(compiled[jitted].cost_analysis()["flops"])
            return compiled[jitted](*args)

        return call

    compile_step.jit, plain = jit, compile_step.jit
    try:
        yield flops
    finally:
        compile_step.jit = plain


def play(on, width=4, steps=3):
    """Chapter 4's game, with BatchNorm in both networks and dropout in D.

    Momentum, not Adam, which divides by the size of a gradient and so blows the
    rounding of a tiny one up to a whole step.
    """
    rngs = nnx.Rngs(0)
    generator = dcgan.Generator(SHAPE, width, latent=8, rngs=rngs)
    discriminator = dcgan.Discriminator(SHAPE, width, norm=True, rngs=rngs)
    players = generator, discriminator
    sgd = optax.sgd(1e-2, momentum=0.5)
    objects = *players, *(nnx.Optimizer(p, sgd, wrt=nnx.Param) for p in players)
    pictures = np.random.default_rng(0).integers(0, 256, (40, *SHAPE), np.uint8)
    options = dict(batch_size=16, steps=steps, key=jax.random.key(0), devices=on)
    scale = dict(transform=lambda batch: batch / 127.5 - 1)
    history = fit(gan.train_step, objects, pictures, **options, **scale)
    return numbers(history, objects)


@contextlib.contextmanager
def a_norm_for_each_device(parts):
    """BatchNorm as it would be if every device saw its own rows alone."""
    whole = nnx.BatchNorm.__call__

    def call(self, x):
        return jnp.concatenate([whole(self, part) for part in jnp.split(x, parts)])

    nnx.BatchNorm.__call__ = call
    try:
        yield
    finally:
        nnx.BatchNorm.__call__ = whole


def exchanges():
    """What a convolution's gradient by pieces makes the devices send to each other."""
    x, w = jnp.ones((16, 16, 16, 16)), jnp.ones((3, 3, 16, 16))

    def gradient(w, x):
        def loss(w):
            return (conv(shard_batch(x), w, (1, 1), ((1, 1), (1, 1))) ** 2).mean()

        return jax.grad(loss)(w)

    mesh = devices.make_mesh(jax.devices(), 16)
    given = devices.replicate((w, x), mesh)
    text = devices.jit(gradient, mesh).lower(*given).compile().as_text()
    return re.findall(r" (all-[a-z]+|collective-[a-z]+)(?:-start)?\(", text)


class Chance(nnx.Module):
    """It holds a random key of its own, and the data come as a dict."""

    def __init__(self):
        self.dropout = nnx.Dropout(0.5, rngs=nnx.Rngs(0))
        self.a = nnx.Param(jnp.ones(()))


def draw(model, optimizer, batch, key, weight):
    def loss_fn(model):
        return weight * (model.dropout(model.a * batch["x"]) - batch["y"]).mean()

    loss, grads = nnx.value_and_grad(loss_fn)(model)
    optimizer.update(model, grads)
    return {"loss": loss}


def chance(on, weight=1.5):
    model = Chance()
    objects = model, nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)
    data = {"x": np.arange(20.0), "y": np.arange(20)}  # 64 bits: JAX makes them 32
    options = dict(
        batch_size=8, steps=5, key=jax.random.key(0), devices=on, weight=weight
    )
    found = numbers(fit(draw, objects, data, **options), objects)
    model.dropout(jnp.ones(3))  # its key is still one
    return found


def small(folder, steps, on, **options):
    """A network of the fault tests: BatchNorm, Adam, noise and a schedule."""
    objects = faults.objects()
    options = dict(batch_size=8, devices=on, **options)
    history, _ = faults.train(folder, steps, objects, **options)
    return numbers(history, objects)


def refusal(*args, **options):
    try:
        small(*args, **options)
    except ValueError as error:
        return str(error)
    return "it was not refused"


def eight(folder):
    every = jax.devices()
    found = {"devices": len(every), "exchanges": exchanges()}
    with work() as flops:
        found["alone"], found["together"] = play(None), play(every)
    found["flops"] = flops
    with a_norm_for_each_device(2):
        found["apart"] = play(None)
    found["chance alone"], found["chance together"] = chance(None), chance(every)
    found["straight"] = small(None, 12, None)
    for name, first, then in (("8 to 1", every, None), ("1 to 8", None, every)):
        small(folder / name, 5, first)
        found[name] = small(folder / name, 12, then)
    loop.steps_per_call = lambda: 3  # as on a GPU
    found["scanned"] = small(None, 12, every)
    found["no multiple"] = refusal(folder / "none", 3, every[:3])
    found["twice"] = refusal(folder / "none", 3, [*every[:7], every[0]])
    found["made"] = (folder / "none").exists()
    return found


def one_of_two(me, port, folder):
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, me)
    every = jax.devices()
    found = {"devices": len(every), "ours": len(jax.local_devices())}
    # The clocks disagree: process 0 saves at every reading, process 1 never would.
    history.SYNC_EVERY, loop.SAVE_SECONDS = 2, (0, 10**9)[me]
    wrote, save = [], checkpoint.save
    checkpoint.save = lambda folder, step, *a, **k: (
        wrote.append(step) or save(folder, step, *a, **k)
    )
    shared, own = folder / "shared", folder / f"own{me}"
    small(shared, 6, every)
    found["resumed"] = small(shared, 12, every)  # at once: process 0 may still write
    found["wrote"], found["there"] = wrote, sorted(p.name for p in shared.iterdir())

    # A folder of the same name on two machines, which only process 0's has filled.
    small(own, 4, every)
    found["another folder"] = refusal(own, 8, every)
    other = dict(key=jax.random.key(me))
    found["another key"] = refusal(None, 3, every, **other)
    found["local"] = refusal(None, 3, jax.local_devices())
    try:
        chance(every, -1 - me)
    except ValueError as error:
        found["another weight"] = str(error)

    if me == 1:  # its folder cannot be read
        checkpoint.check = lambda *_: (_ for _ in ()).throw(ValueError("no disk"))
    try:
        found["failed"] = refusal(shared, 14, every)
    except RuntimeError as error:
        found["failed"] = str(error)

    try:
        chance(every, lambda i: jnp.where(i == 3, jnp.nan, 1.0))
    except NotFinite as error:
        found["not finite"] = error.step

    shuffle = loop._shuffle

    def strike(key, epoch, n):
        if epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return shuffle(key, epoch, n)

    loop._shuffle = strike
    objects = faults.objects()
    before = numbers({}, objects)
    try:
        faults.train(None, 100, objects, batch_size=8, devices=every)
    except KeyboardInterrupt:
        found["interrupted"] = numbers({}, objects) == before
    return found


if __name__ == "__main__":
    what, *args = sys.argv[1:]
    *args, folder = args
    with contextlib.redirect_stdout(sys.stderr):
        found = globals()[what](*map(int, args), Path(folder))
    print("\n" + json.dumps(found))  # a line of its own: Gloo prints too
