"""What `fit` was given: does it make sense, and which run is it?"""

import functools
import inspect
import sys
import zlib

import jax
import jax.numpy as jnp
import numpy as np


def check_arguments(objects, data, batch_size, key, steps, epochs):
    """(rows in data, steps to do, steps an epoch), or a ValueError."""
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
    if not isinstance(batch_size, int) or not 1 <= batch_size <= n:
        raise ValueError(
            f"batch_size is {batch_size!r} and there are {n} rows of data: "
            f"it must be a whole number between 1 and {n}."
        )
    if (steps is None) == (epochs is None):
        raise ValueError("Say how long to train: either steps=... or epochs=...")
    per_epoch = n // batch_size
    steps = steps if epochs is None else epochs * per_epoch
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(
            f"There is no training for {steps!r} steps: give a whole number, 1 or more."
        )
    return n, steps, per_epoch


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


def check_data(step, data, transform, batch_size):
    """Let the chapter's own check look at the data, before anything is compiled."""
    while isinstance(step, functools.partial):
        step = step.func
    module = getattr(step, "__module__", "__main__")
    check = getattr(sys.modules.get(module), "check", None)
    if module == "__main__" or check is None:
        return  # a step written in a notebook has no check
    if transform:
        data = transform(jax.tree.map(lambda a: a[:batch_size], data))
    check(data)


def check_saving(save_every, keep):
    for name, value in (("save_every", save_every), ("keep", keep)):
        if value is None and name == "save_every":
            continue
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} is a whole number, 1 or more; given {value!r}.")


def describe(step, data, transform, batch_size, key, scalars):
    """What makes this run another than its neighbour: a dict, kept in checkpoints.

    Of the data it has the shapes and a checksum, so that two sets of one shape are
    told apart. Of a schedule it has only that it is one.
    """
    checksum = 0
    for array in jax.tree.leaves(data):
        bytes_ = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        checksum = zlib.crc32(bytes_, checksum)
    return {
        "the step function": _name(step),
        "batch_size": batch_size,
        "key": [str(jax.random.key_impl(key)), *jax.random.key_data(key).tolist()],
        "the data": str(
            jax.tree.map(lambda a: f"{jnp.result_type(a)} {np.shape(a)}", data)
        ),
        "the data's checksum": checksum,
        "the transform": _name(transform),
    } | {name: _value(value) for name, value in scalars.items()}


def _name(function):
    while isinstance(function, functools.partial):
        function = function.func
    module = getattr(function, "__module__", "")
    return f"{module}.{getattr(function, '__qualname__', type(function).__qualname__)}"


def _value(x):
    return "a function of the step" if callable(x) else np.asarray(x).tolist()
