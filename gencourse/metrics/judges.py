"""The judge: a small classifier of real pictures that looks at generated ones.

    x (B, H, W, C) --4 convolutions, mean--> features (B, 64) --> logits (B, 10)

There is one of digits and one of clothes, 28x28x1, and one of CIFAR-10, 32x32x3.

Each was trained once, on its full real training set, by `recipes/train_judge.py`; the
weights come with the package. Three rules keep it worth something. Nothing that it
scores was trained, chosen or stopped by it. Its own accuracy on real test pictures
(`accuracy_on_test`) stands beside whatever it says. And it has only ever seen real
pictures: asked about nonsense it still names a class, often with confidence, so its
confidence is to be read beside its confidence on real ones.
"""

from importlib import resources

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from gencourse.inference import map_batches
from gencourse.layers import Conv, Linear, batch_norm
from gencourse.validation import check_labels

WEIGHTS = (nnx.Param, nnx.BatchStat)
MOMENTS = ("feature_mean", "feature_covariance")


class Judge(nnx.Module):
    """Pictures (B, *shape), float in [0, 1] -> logits (B, classes).

    With `training=True` its BatchNorms use the batch's statistics and update their
    running ones; otherwise they use the running ones and nothing moves.
    """

    def __init__(
        self, classes=10, training=False, *, shape=(28, 28, 1), rngs: nnx.Rngs
    ):
        def norm(width):
            return batch_norm(width, rngs, use_running_average=not training)

        self.shape = tuple(shape)
        self.conv1 = Conv(shape[-1], 32, (3, 3), use_bias=False, rngs=rngs)
        self.norm1 = norm(32)
        self.conv2 = Conv(32, 64, (3, 3), strides=2, use_bias=False, rngs=rngs)
        self.norm2 = norm(64)
        self.conv3 = Conv(64, 64, (3, 3), use_bias=False, rngs=rngs)
        self.norm3 = norm(64)
        self.conv4 = Conv(64, 128, (3, 3), strides=2, use_bias=False, rngs=rngs)
        self.norm4 = norm(128)
        self.projection = Linear(128, 64, rngs=rngs)
        self.classes = Linear(64, classes, rngs=rngs)
        self.feature_mean = self.feature_covariance = None  # load_judge gives them

    def features(self, x):
        x = nnx.relu(self.norm1(self.conv1(x)))  # (B, H, W, 32)
        x = nnx.relu(self.norm2(self.conv2(x)))  # (B, H / 2, W / 2, 64)
        x = nnx.relu(self.norm3(self.conv3(x)))  # (B, H / 2, W / 2, 64)
        x = nnx.relu(self.norm4(self.conv4(x)))  # (B, H / 4, W / 4, 128)
        x = x.mean(axis=(1, 2))  # (B, 128)
        return nnx.relu(self.projection(x))  # (B, 64)

    def __call__(self, x):
        return self.classes(self.features(x))  # (B, 10)


def load_judge(name: str) -> Judge:
    """Load the judge of the set `name`; its weights come with the package.

    Its attribute `accuracy_on_test` is the share of the full official test set, all
    10,000 real pictures, that it gets right. `feature_mean` (64,) and
    `feature_covariance` (64, 64), float32, are those of its features of the same
    pictures: the reference of `samples.frechet_distance`.

    Raises:
      ValueError: where there is no judge of that name.
    """
    folder = resources.files("gencourse.metrics") / "weights"
    known = {p.name.removesuffix(".npz") for p in folder.iterdir()} - {"faces"}
    if name == "faces":
        raise ValueError("The judge of faces is face_judge.load_face_judge().")
    if name not in known:
        raise ValueError(f"There is no judge of {name!r}; there are: {sorted(known)}.")
    with (folder / f"{name}.npz").open("rb") as file:
        return read_judge(file)


def read_judge(file) -> Judge:
    """Read what `save_judge` has written: a path, or a file that is open."""
    with np.load(file) as saved:
        shape = saved["shape"].tolist() if "shape" in saved else (28, 28, 1)
        # Shapes alone: to draw weights that are thrown away takes seconds of compiling.
        judge = nnx.eval_shape(lambda: Judge(shape=shape, rngs=nnx.Rngs(0)))
        judge.accuracy_on_test = float(saved["accuracy_on_test"])
        put_weights(judge, saved)
    return judge


def put_weights(judge: nnx.Module, saved) -> None:
    """Put stored weights, and the moments of features if there are any, in a judge."""
    state = nnx.to_flat_state(nnx.state(judge, WEIGHTS))
    for path, variable in state:
        value = saved["/".join(path)].astype(np.float32)
        if value.shape != variable.shape:
            raise ValueError(f"{path} is {value.shape}, not {variable.shape}.")
        variable.set_value(jnp.asarray(value))
    nnx.update(judge, nnx.from_flat_state(state))
    for name in MOMENTS:
        if name in saved:
            setattr(judge, name, nnx.data(jnp.asarray(saved[name])))


def save_judge(path, judge: nnx.Module, moments=(), **measured) -> None:
    """Write the weights, in half precision, and what was measured of them.

    Args:
      path: of the file. judge: a `Judge`, or another module with a `shape`.
      moments: the mean (D,) and covariance (D, D) of its features of the test set,
        measured with the weights as they are read, rounded to half precision; or
        nothing.
      **measured: numbers and arrays to be stored beside, such as accuracy_on_test.
    """
    state = nnx.to_flat_state(nnx.state(judge, WEIGHTS))
    arrays = {"/".join(p): np.asarray(v[...], np.float16) for p, v in state}
    for name, value in zip(MOMENTS, moments, strict=False):
        arrays[name] = np.asarray(value, np.float32)
    np.savez(path, shape=np.array(judge.shape), **arrays, **measured)


def probabilities(judge: Judge, images: ArrayLike) -> np.ndarray:
    """Return the judge's class probabilities (N, 10), float32; each row sums to 1.

    Args:
      images: (N, *judge.shape), float in [0, 1]. For a judge of 28x28x1 also
        (N, 32, 32, 1), whose margin of 2 is cut off: it is padding.
    """
    return look(_probabilities, judge, images)


def features(judge: Judge, images: ArrayLike) -> np.ndarray:
    """Return the judge's last hidden layer, (N, 64), float32. `images` as above."""
    return look(_features, judge, images)


def agreement(judge: Judge, images: ArrayLike, labels: ArrayLike) -> float:
    """Return the share of images that the judge names as they were asked for.

    Of samples made for a label: does the model draw what it was asked to? The judge
    errs too, on real test pictures in 1 - `accuracy_on_test` of them; and it looks at
    nothing but the class: one picture a class, over and over, agrees wholly.

    Args:
      images: as for `probabilities`. labels: (N,), int in 0..9, one an image.

    Raises:
      ValueError: on labels out of range, of another dtype, or of another number.
    """
    labels = check_labels(labels, judge.classes.out_features)
    if len(labels) != len(images):
        raise ValueError(f"{len(labels)} labels for {len(images)} images: one each.")
    return float((probabilities(judge, images).argmax(-1) == labels).mean())


@nnx.jit
def _probabilities(judge, x):
    return nnx.softmax(judge(x))


@nnx.jit
def _features(judge, x):
    return judge.features(x)


def look(f, judge: nnx.Module, images: ArrayLike) -> np.ndarray:
    """Return f(judge, images) of checked images, a few at a time."""
    shape = np.shape(images)
    side, padded = judge.shape[0], (32, 32, 1)
    known = [judge.shape, padded] if judge.shape == (28, 28, 1) else [judge.shape]
    if len(shape) != 4 or shape[1:] not in known:
        names = " or ".join(f"(N, {str(one)[1:]}" for one in known)
        raise ValueError(f"The judge looks at pictures {names}; given {shape}.")
    if not shape[0]:
        raise ValueError("There is no picture for the judge to look at.")
    low, high = float(images.min()), float(images.max())
    if not (jnp.issubdtype(images.dtype, jnp.floating) and 0 <= low and high <= 1):
        raise ValueError(
            f"The judge looks at floats in [0, 1]; given {images.dtype} in "
            f'[{low:g}, {high:g}]. Scale bytes with data.scale(images, "unit").'
        )
    margin = (shape[1] - side) // 2
    images = images[:, margin : margin + side, margin : margin + side]
    return np.asarray(map_batches(f, judge, images, size=64))
