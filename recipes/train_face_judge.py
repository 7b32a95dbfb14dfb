"""How the judge of faces was made: `python -m recipes.train_face_judge`.

Trains `metrics.face_judge.FaceJudge` on 30,000 composed faces, none of them a test
face, and writes its weights to gencourse/metrics/weights/faces.npz. Half of them are
blurred, once or twice, and all have noise of a deviation of up to 0.1, so that the
judge can read generated faces, which are soft. The 2,000 test faces are looked at once,
for what is stored beside the weights. Eight minutes on two cores.
"""

import argparse
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from gencourse import data
from gencourse.metrics import face_judge, judges
from gencourse.metrics.samples import moments
from gencourse.train import fit

TARGET = Path(judges.__file__).parent / "weights" / "faces.npz"
FACES, BATCH = 30_000, 128


def blur(x):
    """Take a mean of each pixel and its eight neighbours, weighted 1-2-1 both ways."""
    for axis in (1, 2):
        width = [(0, 0)] * 4
        width[axis] = (1, 1)
        padded = jnp.pad(x, width, mode="edge")
        n = x.shape[axis]
        parts = [jax.lax.slice_in_dim(padded, i, i + n, axis=axis) for i in range(3)]
        x = (parts[0] + 2 * parts[1] + parts[2]) / 4
    return x


def augment(x, key):
    keys = jax.random.split(key, 3)
    one = (len(x), 1, 1, 1)
    often = jax.random.uniform(keys[0], one)
    soft = blur(x)
    x = jnp.where(often < 0.25, blur(soft), jnp.where(often < 0.5, soft, x))
    deviation = 0.1 * jax.random.uniform(keys[1], one)
    return (x + deviation * jax.random.normal(keys[2], x.shape)).clip(0, 1)


def train_step(judge, optimizer, batch, key):
    images, labels = batch
    x = augment(images.astype(jnp.float32) / 255, key)

    def loss_fn(judge):
        parts = face_judge.split(judge, judge(x))
        losses = [
            optax.softmax_cross_entropy_with_integer_labels(part, labels[name]).mean()
            for name, part in parts.items()
        ]
        right = [
            (part.argmax(-1) == labels[name]).mean() for name, part in parts.items()
        ]
        return sum(losses), jnp.stack(right).min()

    (loss, worst), grads = nnx.value_and_grad(loss_fn, has_aux=True)(judge)
    optimizer.update(judge, grads)
    return {"loss": loss, "worst factor": worst}


def train(epochs):
    images, _ = data.load("faces", full=True)
    labels = {f: n[:FACES] for f, n in data.attributes("faces", full=True).items()}
    factors = {name: len(values) for name, values in data.factors.items()}
    judge = face_judge.FaceJudge(factors, training=True, rngs=nnx.Rngs(0))
    steps = epochs * (FACES // BATCH)
    rule = optax.adamw(optax.cosine_onecycle_schedule(steps, 4e-3), weight_decay=1e-2)
    optimizer = nnx.Optimizer(judge, rule, wrt=nnx.Param)
    start = time.time()
    options = dict(batch_size=BATCH, steps=steps, key=jax.random.key(1))
    fit(train_step, (judge, optimizer), (np.asarray(images[:FACES]), labels), **options)
    print(f"trained in {time.time() - start:.0f} s")
    return judge


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    args = parser.parse_args()
    judge = train(args.epochs)
    names = list(data.factors)
    meta = {"factors": names, "values": [len(v) for v in data.factors.values()]}
    with tempfile.TemporaryDirectory() as folder:  # half precision, as it will be used
        path = Path(folder) / "judge.npz"
        nothing = dict.fromkeys(("accuracy_on_test", "accuracy_on_blurred"), [0] * 10)
        judges.save_judge(path, judge, **meta, **nothing)
        judge = face_judge.read(path)
    images, _ = data.load("faces", "test")
    asked = data.attributes("faces", "test")
    x = data.scale(np.asarray(images), "unit")
    measured = {}
    for name, look in (("test", x), ("blurred", np.asarray(blur(jnp.asarray(x))))):
        found = face_judge.agreement(judge, look, asked)
        print(f"{name}: " + ", ".join(f"{f} {s:.2%}" for f, s in found.items()))
        print(f"  sure of all: {face_judge.sure(judge, look).mean():.2%}")
        measured[f"accuracy_on_{name}"] = list(found.values())
    found = moments(face_judge.features(judge, x))
    judges.save_judge(TARGET, judge, found, **meta, **measured)
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
