"""What is measured: eight training steps, the same numbers for every framework.

Nothing here knows a framework. `in_flax.py`, `in_keras.py` and `in_torch.py` build
the networks from these numbers, and `worker.py` runs them.
"""

import collections
import dataclasses
import itertools

import numpy as np

BATCHES = 20  # in memory; training goes round and round
LAST = 20  # losses that a run gives back
SLOPE = 0.2  # of every LeakyReLU
EPSILON = 1e-5  # of every BatchNorm
LAYER_EPSILON = 1e-6  # of every LayerNorm: Flax's default
MOMENTUM = 0.9  # of every BatchNorm: what stays of the old statistics; torch says 0.1


@dataclasses.dataclass(frozen=True)
class Workload:
    """One training step. `up` are the generator's or decoder's widths, from the code
    to the picture; `down` the discriminator's or encoder's, the other way."""

    name: str
    game: str  # "autoencoder", "vae" or "gan"
    networks: str  # "chapter1", "faces", "mlp", "conv", "conditional" or "unet"
    batch: int
    shape: tuple[int, ...]  # of one picture
    latent: int
    learning_rate: float
    pictures: str = "fashion_mnist"
    beta1: float = 0.9
    up: tuple[int, ...] = ()
    down: tuple[int, ...] = ()
    start: int = 0  # side of the first feature map of a generator or decoder
    # Of a discriminator's layers; the conditional one has none after its first.
    dropout: float = 0.0
    loss_steps: int = 150  # the losses compared are those of the last of these


# What all generators and discriminators share.
GAME = {"latent": 100, "learning_rate": 2e-4, "beta1": 0.5}

WORKLOADS = {
    w.name: w
    for w in [
        Workload("autoencoder", "autoencoder", "chapter1", 100, (32, 32, 1), 2, 1e-3),
        Workload("vae", "vae", "chapter1", 100, (32, 32, 1), 2, 5e-4),
        Workload(
            "gan_mlp",
            "gan",
            "mlp",
            batch=64,
            shape=(784,),
            **GAME,
            pictures="mnist",
            up=(256, 512),
            down=(512, 256),
        ),
        Workload(
            "dcgan28",
            "gan",
            "conv",
            batch=128,
            shape=(28, 28, 1),
            **GAME,
            up=(128, 64),
            down=(64, 128),
            start=7,
            dropout=0.3,
            loss_steps=60,
        ),
        Workload(
            "dcgan32",
            "gan",
            "conv",
            batch=128,
            shape=(32, 32, 3),
            **GAME,
            up=(256, 128, 64),
            down=(64, 128, 256),
            start=4,
            dropout=0.3,
            loss_steps=60,
        ),
        Workload(
            "cgan_mlp",
            "gan",
            "conditional",
            batch=64,
            shape=(784,),
            **GAME,
            pictures="mnist",
            up=(128, 256, 512, 1024),
            down=(512, 512, 512),
            dropout=0.4,
        ),
        Workload(
            "vae_faces",
            "vae",
            "faces",
            batch=128,
            shape=(64, 64, 3),
            latent=200,
            learning_rate=5e-4,
            up=(64,) * 5,
            down=(64,) * 5,
            start=2,
            loss_steps=40,
        ),
        Workload(
            "pix2pix",
            "gan",
            "unet",
            batch=4,
            shape=(64, 64, 3),
            latent=0,
            learning_rate=1e-3,
            beta1=0.5,
            up=(16, 32, 64, 128),  # of the U-Net, on the way down
            down=(8, 16, 32),
            start=4,
        ),
    ]
}
L1_WEIGHT = 100.0  # of pix2pix


def find(name):
    """A workload by name, perhaps with changes: "vae_faces/batch=32/width=2/side=64",
    "dcgan28/dropout=0".

    dropout is for those that have some. width multiplies the channels, and side is the
    picture's; both for vae_faces alone, whose stages (one halves or doubles the side)
    are as many as lead to 2x2.
    """
    base, *changes = name.split("/")
    w = dataclasses.replace(WORKLOADS[base], name=name)
    for change in changes:
        key, value = change.split("=")
        if key == "batch":
            w = dataclasses.replace(w, batch=int(value))
        elif WORKLOADS[base].dropout and key == "dropout":
            w = dataclasses.replace(w, dropout=float(value))
        elif w.networks == "faces" and key == "width":
            up, down = ([round(float(value) * c) for c in cs] for cs in (w.up, w.down))
            w = dataclasses.replace(w, up=tuple(up), down=tuple(down))
        elif w.networks == "faces" and key == "side":
            stages = int(value).bit_length() - 2
            w = dataclasses.replace(
                w,
                shape=(int(value), int(value), 3),
                up=w.up[:1] * stages,
                down=w.down[:1] * stages,
            )
        else:
            raise ValueError(f"{base} has no {key!r} to change.")
    return w


def read(path, w):
    """What the driver wrote for w, as the step takes it.

    Returns:
      A tuple: pictures (N, *w.shape), float32, in [-1, 1] for a GAN and in [0, 1]
      else; and for a conditional one labels (N,), int32, too. For a U-Net grey ones
      (N, side, side, 1) come first.
    """
    with np.load(path) as stored:
        x = stored["pictures"].reshape(-1, *w.shape) / np.float32(255)
        labels = stored["labels"].astype(np.int32)
    x = 2 * x - 1 if w.game == "gan" else x
    if w.networks == "unet":
        return x.mean(axis=-1, keepdims=True), x
    return (x, labels) if w.networks == "conditional" else (x,)


def taken(batch, w):
    """A batch, a tuple of arrays, as the steps in Flax take it: pictures alone, or with
    what is given with them."""
    return batch if len(batch) > 1 else batch[0]


def cut(data, w):
    """The batches of `data`, a list of tuples of arrays of w.batch rows."""
    n = len(data[0]) // w.batch
    return list(zip(*(np.split(a[: n * w.batch], n) for a in data), strict=True))


def loop(step, batches):
    """run(steps), which calls step(*batch) over and over and gives the last losses.

    The step returns a dict of scalars that are still on the device; the last of them
    are read when all is done, which also waits for it.
    """
    batches = itertools.cycle(batches)

    def run(steps):
        last = collections.deque(maxlen=LAST)
        for _ in range(steps):
            last.append(step(*next(batches)))
        return {name: [float(row[name]) for row in last] for name in last[0]}

    return run
