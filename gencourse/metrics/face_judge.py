"""The judge of the faces in parts: it names every attribute, one head a factor.

    x (B, 64, 64, 3) --4 convolutions--> (B, 4, 4, 64) --> features (B, 96) --> logits

It was trained on composed faces, some of them blurred or noisy, so that it can read
generated ones, by `recipes/train_face_judge.py`; the rules of `judges` hold for it,
too. Its accuracies on test faces, sharp and blurred, stand beside whatever it says.
"""

from importlib import resources

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from gencourse.layers import Conv, Linear, batch_norm
from gencourse.metrics import judges
from gencourse.validation import check_labels


class FaceJudge(nnx.Module):
    """Pictures (B, 64, 64, 3), float in [0, 1] -> logits (B, values of all factors).

    factors: {factor: how many values it has}; the logits stand in this order.
    """

    def __init__(self, factors: dict, training=False, *, rngs: nnx.Rngs):
        def norm(width):
            return batch_norm(width, rngs, use_running_average=not training)

        self.shape, self.factors = (64, 64, 3), nnx.static(tuple(factors.items()))
        self.conv1 = Conv(3, 32, (4, 4), strides=2, use_bias=False, rngs=rngs)
        self.norm1 = norm(32)
        self.conv2 = Conv(32, 64, (4, 4), strides=2, use_bias=False, rngs=rngs)
        self.norm2 = norm(64)
        self.conv3 = Conv(64, 96, (3, 3), strides=2, use_bias=False, rngs=rngs)
        self.norm3 = norm(96)
        self.conv4 = Conv(96, 64, (3, 3), strides=2, use_bias=False, rngs=rngs)
        self.norm4 = norm(64)
        self.projection = Linear(4 * 4 * 64, 96, rngs=rngs)
        self.heads = Linear(96, sum(factors.values()), rngs=rngs)
        self.feature_mean = self.feature_covariance = None  # load_face_judge gives them

    def features(self, x):
        x = nnx.relu(self.norm1(self.conv1(x)))  # (B, 32, 32, 32)
        x = nnx.relu(self.norm2(self.conv2(x)))  # (B, 16, 16, 64)
        x = nnx.relu(self.norm3(self.conv3(x)))  # (B, 8, 8, 96)
        x = nnx.relu(self.norm4(self.conv4(x)))  # (B, 4, 4, 64)
        return nnx.relu(self.projection(x.reshape(len(x), -1)))  # (B, 96)

    def __call__(self, x):
        return self.heads(self.features(x))  # (B, values)


def load_face_judge() -> FaceJudge:
    """Load the judge; its weights come with the package.

    Its attributes `accuracy_on_test` and `accuracy_on_blurred` are {factor: share} of
    the 2,000 test faces, as they are and blurred. `feature_mean` (96,) and
    `feature_covariance` (96, 96), float32, are those of its features of the test faces,
    the reference of `samples.frechet_distance`.
    """
    with (resources.files("gencourse.metrics") / "weights" / "faces.npz").open(
        "rb"
    ) as f:
        return read(f)


def read(file) -> FaceJudge:
    """Read what `recipes/train_face_judge.py` has written."""
    with np.load(file) as saved:
        names = [str(name) for name in saved["factors"]]
        factors = dict(zip(names, saved["values"].tolist(), strict=True))
        judge = nnx.eval_shape(lambda: FaceJudge(factors, rngs=nnx.Rngs(0)))
        for measure in ("accuracy_on_test", "accuracy_on_blurred"):
            shares = dict(zip(names, saved[measure].tolist(), strict=True))
            setattr(judge, measure, nnx.static(shares))
        judges.put_weights(judge, saved)
    return judge


def split(judge: FaceJudge, logits: ArrayLike) -> dict[str, ArrayLike]:
    """Cut logits (B, values) into {factor: (B, its values)}."""
    names, numbers = zip(*judge.factors, strict=True)
    ends = np.cumsum(numbers)[:-1]
    return dict(zip(names, jnp.split(logits, ends, axis=-1), strict=True))


def probabilities(judge: FaceJudge, images: ArrayLike) -> dict[str, np.ndarray]:
    """Return {factor: (N, its values), float32}, each row a distribution.

    images: (N, 64, 64, 3), float in [0, 1].
    """
    logits = judges.look(_logits, judge, images)
    found = split(judge, logits)
    return {name: np.asarray(nnx.softmax(part)) for name, part in found.items()}


def features(judge: FaceJudge, images: ArrayLike) -> np.ndarray:
    """Return the judge's last hidden layer, (N, 96), float32. `images` as above."""
    return judges.look(_features, judge, images)


def agreement(judge: FaceJudge, images: ArrayLike, asked: dict) -> dict[str, float]:
    """Return, for each factor asked for, the share of images that have it by the judge.

    asked: {factor: int (N,)}, some or all of the factors, as `data.attributes` has.

    Raises:
      ValueError: for a factor that the judge does not know, and on numbers out of
        range or not one an image.
    """
    known = dict(judge.factors)
    if unknown := set(asked) - set(known):
        raise ValueError(f"no factor {sorted(unknown)}; there are: {list(known)}")
    asked = {f: check_labels(n, known[f], len(images)) for f, n in asked.items()}
    found = probabilities(judge, images)
    return {f: float((found[f].argmax(-1) == n).mean()) for f, n in asked.items()}


def sure(judge: FaceJudge, images: ArrayLike, threshold: float = 0.9) -> np.ndarray:
    """Return whether the judge is sure of every factor of an image: bool (N,).

    Sure is a probability of at least `threshold`. Real faces are the yardstick.
    """
    found = probabilities(judge, images).values()
    return np.stack([part.max(-1) >= threshold for part in found]).all(0)


@nnx.jit
def _logits(judge, x):
    return judge(x)


@nnx.jit
def _features(judge, x):
    return judge.features(x)
