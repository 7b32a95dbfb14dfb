"""How the judges were made: `python -m recipes.train_judge fashion_mnist`.

Trains `metrics.judges.Judge` on the full real training set and writes its weights to
gencourse/metrics/weights/. The test set is looked at once, after training, for what is
stored beside the weights: the accuracy, and the mean and covariance of the judge's
features, the reference of `samples.frechet_distance`. `--statistics` measures those
again for a judge that is there already, without training it. Needs the prepared set:
`python -m gencourse data prepare fashion_mnist`.
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
from gencourse.metrics import judges
from gencourse.metrics.samples import moments
from gencourse.train import fit

# By how many pixels at most a picture is shifted; whether it may be mirrored, which a
# digit may not.
AUGMENT = {
    "fashion_mnist": {"shift": 2, "flip": 1.0},
    "mnist": {"shift": 2, "flip": 0.0},
    "cifar10": {"shift": 4, "flip": 1.0},
}
FARTHEST = 4
JUDGES = Path(judges.__file__).parent / "weights"


def augment(x, key, flip, shift):
    """Shift each picture by up to `shift` pixels each way; mirror every second one."""
    key_shift, key_flip = jax.random.split(key)
    near, far = FARTHEST - shift, FARTHEST + shift + 1
    corners = jax.random.randint(key_shift, (len(x), 2), near, far)
    margin = (FARTHEST, FARTHEST)
    padded = jnp.pad(x, ((0, 0), margin, margin, (0, 0)))

    def cut(picture, corner):
        return jax.lax.dynamic_slice(picture, (corner[0], corner[1], 0), x.shape[1:])

    x = jax.vmap(cut)(padded, corners)
    mirrored = jax.random.bernoulli(key_flip, 0.5, (len(x), 1, 1, 1)) & flip
    return jnp.where(mirrored, x[:, :, ::-1], x)


def train_step(judge, optimizer, batch, key, flip, shift):
    x, labels = batch
    x = augment(x.astype(jnp.float32) / 255, key, flip > 0, shift)

    def loss_fn(judge):
        logits = judge(x)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean(), (logits.argmax(-1) == labels).mean()

    (loss, right), grads = nnx.value_and_grad(loss_fn, has_aux=True)(judge)
    optimizer.update(judge, grads)
    return {"loss": loss, "accuracy": right}


def train(name, epochs, data_dir):
    images = data.load(name, "train", full=True, data_dir=data_dir)
    steps = epochs * (len(images[0]) // 128)
    rate = optax.cosine_onecycle_schedule(steps, 4e-3)
    shape = images[0].shape[1:]
    judge = judges.Judge(training=True, shape=shape, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(
        judge, optax.adamw(rate, weight_decay=1e-2), wrt=nnx.Param
    )
    start = time.time()
    history = fit(
        train_step,
        (judge, optimizer),
        images,
        batch_size=128,
        steps=steps,
        key=jax.random.key(1),
        **AUGMENT[name],
    )
    print(f"training accuracy at the end: {history['accuracy'][-400:].mean():.4f}")
    print(f"trained in {time.time() - start:.0f} s")
    with tempfile.TemporaryDirectory() as folder:  # half precision, as it will be used
        judges.save_judge(f"{folder}/judge.npz", judge, accuracy_on_test=0)
        return judges.read_judge(f"{folder}/judge.npz")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=sorted(AUGMENT))
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument(
        "--statistics", action="store_true", help="measure anew, without training"
    )
    parser.add_argument("--data-dir")
    args = parser.parse_args()

    if args.statistics:
        judge = judges.load_judge(args.name)
    else:
        judge = train(args.name, args.epochs, args.data_dir)
    images, labels = data.load(args.name, "test", full=True, data_dir=args.data_dir)
    x = data.scale(images, "unit")
    p = judges.probabilities(judge, x)
    accuracy = float((p.argmax(-1) == labels).mean())
    JUDGES.mkdir(exist_ok=True)
    path = JUDGES / f"{args.name}.npz"
    found = moments(judges.features(judge, x))
    judges.save_judge(path, judge, found, accuracy_on_test=accuracy)
    losses = -np.log(p[np.arange(len(p)), labels])
    print(
        f"{args.name}: {accuracy:.4f} of the {len(p):,} test pictures, cross-entropy "
        f"{losses.mean():.4f}, mean confidence {p.max(-1).mean():.4f}; "
        f"{path.stat().st_size:,} bytes"
    )


if __name__ == "__main__":
    main()
