"""Check what `fit` was given, before anything is compiled."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np

from gencourse.train.identity import ByIdentity, is_constant
from gencourse.validation import check_int


def check_arguments(objects, data, batch_size, key, steps, epochs):
    """Return (rows of data, batch size, steps, steps an epoch), or raise ValueError."""
    if not isinstance(objects, (tuple, list)):
        raise ValueError(
            f"objects is a tuple such as (model, optimizer), in the order that the "
            f"step takes them; given {type(objects).__name__}."
        )
    if not (
        isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    ):
        raise ValueError(f"key is a jax.random.key(seed); given {key!r}.")
    if isinstance(data, list):
        raise ValueError("data is a list; make it one array with np.stack or np.array.")
    sizes = {np.shape(a)[0] if np.ndim(a) else None for a in jax.tree.leaves(data)}
    if len(sizes) != 1 or None in sizes:
        raise ValueError(
            f"data is one array (N, ...) or several of the same N; given "
            f"{jax.tree.map(np.shape, data)}."
        )
    n = sizes.pop()
    batch_size = check_int("batch_size", batch_size, most=n, why="the rows of data")
    if (steps is None) == (epochs is None):
        raise ValueError("Say how long to train: either steps=... or epochs=...")
    per_epoch = n // batch_size
    if epochs is None:
        return n, batch_size, check_int("steps", steps), per_epoch
    steps = check_int("epochs", epochs) * per_epoch
    return n, batch_size, steps, per_epoch


def check_step_signature(step, scalars, reserved):
    """Raise ValueError if the step's parameters clash with fit's own, which never reach
    it, or if fit was passed keywords that the step does not take."""
    try:
        takes = set(inspect.signature(step).parameters)
    except (TypeError, ValueError):  # a callable without a signature
        return
    if taken := takes & reserved:
        raise ValueError(
            f"Name the step's {sorted(taken)} differently: fit has its own."
        )
    kinds = [p.kind for p in inspect.signature(step).parameters.values()]
    if inspect.Parameter.VAR_KEYWORD not in kinds and (unknown := set(scalars) - takes):
        raise ValueError(
            f"The step takes no {sorted(unknown)}; it takes {list(takes)}."
        )


def check_data(check_batch, objects, data, transform, batch_size):
    """Let the check that came with the step look at the data, before it is compiled.

    What passed once is not looked at again: chapters call fit many times in a row.
    That holds for arrays that cannot change, JAX's and NumPy's read-only ones.
    """
    if check_batch is None:
        return  # a step of the user's own
    if transform:
        data = transform(jax.tree.map(lambda a: a[:batch_size], data))
    arrays = jax.tree.leaves(data)
    if _passed.get(check_batch, *arrays, *objects):
        return
    check_batch(data, objects)
    if all(map(is_constant, arrays)):
        _passed.put(True, check_batch, *arrays, *objects)


_passed = ByIdentity()


def check_saving(save_every, keep):
    for name, value in (("save_every", save_every), ("keep", keep)):
        if value is None and name == "save_every":
            continue
        check_int(name, value)
