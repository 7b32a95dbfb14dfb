"""What `fit` was given: does it make sense, and which run is it?"""

import enum
import functools
import inspect
import sys
import types
import zlib

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


def check_data(step, objects, data, transform, batch_size):
    """Let the chapter's own check look at the data, before anything is compiled.

    One that has a parameter `objects` is given them too: they may know what fits.
    """
    while isinstance(step, functools.partial):
        step = step.func
    module = getattr(step, "__module__", "__main__")
    check = getattr(sys.modules.get(module), "check", None)
    if module == "__main__" or check is None:
        return  # a step written in a notebook has no check
    if transform:
        data = transform(jax.tree.map(lambda a: a[:batch_size], data))
    more = "objects" in inspect.signature(check).parameters
    check(data, objects) if more else check(data)


def check_saving(save_every, keep):
    for name, value in (("save_every", save_every), ("keep", keep)):
        if value is None and name == "save_every":
            continue
        as_whole(name, value)


def describe(step, modules, data, transform, batch_size, key, scalars):
    """What makes this run another than its neighbour: a dict, kept in checkpoints.

    Of the data it has the shapes and a checksum, so that two sets of one shape are
    told apart. Of a schedule it has only that it is one. Of functions it has the name
    and what a partial gives them, of the step and the transform their code too. Of
    `modules`, pairs (path, module), it has what they hold besides numbers to be
    trained, such as a Dropout's rate. On how many devices it runs is not part of it.
    What fit's docstring says it cannot see, it cannot see.
    """
    checksum = 0
    for array in jax.tree.leaves(data):
        checksum = _crc(array, checksum)
    return {
        "the step function": _text(step),
        "the code of the step function (a checksum)": _code(step),
        "batch_size": batch_size,
        "key": [str(jax.random.key_impl(key)), *jax.random.key_data(key).tolist()],
        "the data": str(
            jax.tree.map(lambda a: f"{jnp.result_type(a)} {np.shape(a)}", data)
        ),
        "the data's checksum": checksum,
        "the transform": _text(transform),
        "the code of the transform (a checksum)": _code(transform),
        **{name: _value(value) for name, value in scalars.items()},
        **_attributes(modules),
    }


def _value(x):
    return "a function of the step" if callable(x) else np.asarray(x).tolist()


def _crc(array, start=0):
    bytes_ = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return zlib.crc32(bytes_, start)


def _attributes(modules):
    """{"objects[0].dropout.rate": "0.5", ...} for every attribute of every module."""
    found = {}
    for (i, *path), module in modules:
        place = ".".join([f"objects[{i}]", *map(str, path)])
        found[place] = type(module).__qualname__
        for name, x in vars(module).items():
            if not name.startswith("_pytree__"):  # Flax's own notes
                trained = isinstance(x, (jax.Array, np.ndarray))
                found[f"{place}.{name}"] = "an array" if trained else _text(x)
    return found


# --- the same text in every process for the same thing: no addresses, no order of sets


def _text(x):
    """A number, text or array with its value, a function with its name, else a type."""
    if isinstance(x, np.generic):
        x = x.item()
    if isinstance(x, (jax.Array, np.ndarray)):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x = jax.random.key_data(x)
        kind = f"{x.dtype} {x.shape}"
        if x.size > 4:
            return f"an array {kind} with checksum {_crc(x)}"
        return f"{np.asarray(x).tolist()} ({kind})" if x.shape else str(x.item())
    if x is None or isinstance(x, (str, bytes, int, float, complex, enum.Enum)):
        return str(x) if isinstance(x, enum.Enum) else repr(x)
    if isinstance(x, dict):
        return f"{{{', '.join(f'{_text(k)}: {_text(v)}' for k, v in x.items())}}}"
    if isinstance(x, (tuple, list)):
        return f"({', '.join(map(_text, x))})"
    if isinstance(x, (set, frozenset)):
        return f"{{{', '.join(sorted(map(_text, x)))}}}"
    if isinstance(x, np.dtype | slice | range | type(...)):
        return str(x)
    if isinstance(x, functools.partial):
        given = [*map(_text, x.args)]
        given += [f"{name}={_text(v)}" for name, v in sorted(x.keywords.items())]
        return f"{_text(x.func)}({', '.join(given)})"
    if callable(x) and isinstance(getattr(x, "__name__", None), str):
        module = getattr(x, "__module__", None)
        return f"{module}.{getattr(x, '__qualname__', x.__name__)}"
    return type(x).__qualname__


def _code(function):
    """A checksum of a function's code, its defaults and what it closes over, or None.

    Python's versions translate code differently, so the version is told as well.
    Comments and docstrings do not count.
    """
    parts = []
    while function is not None:
        plain = function
        if not hasattr(function, "__code__") and not hasattr(function, "__wrapped__"):
            plain = type(function).__call__  # of an object, or of C
        if code := getattr(plain, "__code__", None):
            cells = [_inside(c) for c in plain.__closure__ or ()]
            parts += [_code_text(code), _text(plain.__defaults__), *cells]
            parts.append(_text(sorted((plain.__kwdefaults__ or {}).items())))
        partial = isinstance(function, functools.partial)
        function = getattr(function, "func" if partial else "__wrapped__", None)
    if not parts:
        return None
    version = ".".join(map(str, sys.version_info[:2]))
    return f"{zlib.crc32(repr(parts).encode()):08x}, Python {version}"


def _inside(cell):
    """What a function closes over; a list or dict may be its notebook's to change."""
    try:
        x = cell.cell_contents
    except ValueError:  # it is not set yet
        return ""
    return type(x).__qualname__ if isinstance(x, (list, dict, set)) else _text(x)


def _code_text(x):
    if isinstance(x, types.CodeType):
        constants = list(x.co_consts)
        function = x.co_flags & inspect.CO_OPTIMIZED and not x.co_name.startswith("<")
        if function and constants and isinstance(constants[0], str):
            constants[0] = None  # the docstring
        names = x.co_names, x.co_varnames, x.co_freevars, x.co_cellvars
        inner = [_code_text(constant) for constant in constants]
        return repr((x.co_code, x.co_exceptiontable, names, inner))
    if isinstance(x, tuple):
        return repr([_code_text(y) for y in x])
    return _text(x)
