"""What `fit` was given: does it make sense?"""

import inspect
import weakref

import jax
import jax.numpy as jnp
import numpy as np

from gencourse.given import as_whole


def check_arguments(objects, data, batch_size, key, steps, epochs):
    """(rows in data, rows a step, steps to do, steps an epoch), or a ValueError."""
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
    batch_size = as_whole("batch_size", batch_size, most=n, why="the rows of data")
    if (steps is None) == (epochs is None):
        raise ValueError("Say how long to train: either steps=... or epochs=...")
    per_epoch = n // batch_size
    if epochs is None:
        return n, batch_size, as_whole("steps", steps), per_epoch
    steps = as_whole("epochs", epochs) * per_epoch
    return n, batch_size, steps, per_epoch


def check_step(step, scalars, own):
    """A parameter of the step that has the name of one of fit's own never arrives."""
    try:
        takes = set(inspect.signature(step).parameters)
    except (TypeError, ValueError):  # a callable without a signature
        return
    if taken := takes & own:
        raise ValueError(f"Name the step's {sorted(taken)} otherwise: fit has its own.")
    spread = inspect.Parameter.VAR_KEYWORD
    kinds = [p.kind for p in inspect.signature(step).parameters.values()]
    if spread not in kinds and (unknown := set(scalars) - takes):
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
    given = [*jax.tree.leaves(data), *objects]
    ids = check_batch, *map(id, given)
    known = _passed.get(ids, [])
    if known and all(ref() is x for ref, x in zip(known, given, strict=True)):
        return
    check_batch(data, objects)
    if all(map(is_constant, jax.tree.leaves(data))):
        _passed[ids] = [weakref.ref(x) for x in given]
        while len(_passed) > 16:
            del _passed[next(iter(_passed))]


_passed = {}  # weak references to what a check has passed, by its ids


def is_constant(array):
    """Return True for an array that nobody can write to."""
    if isinstance(array, jax.Array):
        return not isinstance(array, jax.core.Tracer)
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return False
        array = array.base
    return array is None or isinstance(array, bytes)


def check_saving(save_every, keep):
    for name, value in (("save_every", save_every), ("keep", keep)):
        if value is None and name == "save_every":
            continue
        as_whole(name, value)
