"""Which run is it? What tells one training run from another, as plain values.

Checkpoints keep it, so that `fit` refuses to go on from another run's.
"""

import enum
import functools
import inspect
import sys
import types
import zlib

import jax
import jax.numpy as jnp
import numpy as np


def fingerprint(step, modules, data, transform, batch_size, key, scalars):
    """Return everything that must match before a checkpoint may be resumed: a dict.

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
    """Return every module's attributes: {"objects[0].dropout.rate": "0.5", ...}."""
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
    """Describe numbers, texts and arrays by value, functions by name, else the type."""
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
    """Return a checksum of a function's code, defaults and closure, or None.

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
    """Describe what a function closes over; a notebook may change a list or dict."""
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
