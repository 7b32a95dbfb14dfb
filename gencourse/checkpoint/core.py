"""Save a training run and read it back: all that a run is, and which run it is.

    objects, history, key --save--> folder --restore--> the same objects, to the bit

Orbax writes. How the files come to be whole or not there, and how a changed bit is
found, is told in `checkpoint_files.py`.
"""

import json
import math
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gencourse.checkpoint import files as files
from gencourse.checkpoint.files import Damaged
from gencourse.validation import check_int


class Saved(NamedTuple):
    """What a checkpoint held besides the state of the objects."""

    step: int
    key: jax.Array | None
    history: dict  # name: float32 (steps so far,)
    run: dict | None  # the description of the run, as JSON gives it back


def save(
    folder: str | Path,
    step: int,
    objects: tuple,
    *,
    key: jax.Array | None = None,
    history: dict | None = None,
    run: dict | None = None,
    keep: int = 3,
):
    """Write the whole state of a run after `step` into `folder`.

    Args:
      folder: str or Path. It is made if need be, and belongs to this run alone.
      step: steps done, a whole number, 0 or more.
      objects: a tuple of nnx.Modules and nnx.Optimizers. All their state is kept:
        parameters, BatchNorm's statistics, an optimizer's counts, random keys.
      key: a `jax.random.key`, or None.
      history: a dict from names to arrays.
      run: a dict that says which run this is; what JSON can hold.
      keep: of the good checkpoints up to this one, the newest `keep` stay. Later ones
        stay too, and so does whatever is damaged, which counts for nothing here.

    Raises:
      ValueError: where `folder` holds checkpoints of another run or architecture; on
        a step or keep that cannot be meant.
      FileExistsError: where it holds a good one of this step.
      OSError: where the disk is full, say.
    In each case all checkpoints are as they were.
    """
    check_int("keep", keep)
    step = check_int("step", step, least=0)
    folder = files.absolute(folder)
    check(folder, objects, run)
    table, arrays = _contents(objects, history or {}, key)
    record = {"step": step, "arrays": table, "run": _as_json(run)}
    files.write(folder, step, record, arrays, keep)


def restore(
    folder: str | Path,
    objects: tuple,
    step: int | None = None,
    *,
    at_most: int | None = None,
) -> Saved:
    """Put the newest good checkpoint into `objects`, and return what else it held.

    Args:
      folder: str or Path.
      objects: as they were given to `save`, of the same architecture. They change in
        place, and only after everything was read and found to fit.
      step: read this one instead of the newest.
      at_most: read none after this step.

    Returns:
      Saved(step, key, history, run).

    Where a checkpoint is damaged, a line says so and the one before it is taken.

    Raises:
      FileNotFoundError: where there is no checkpoint (of `step`, if that is given).
      ValueError: where the checkpoint is of another architecture.
      Damaged: where none can be read, or not the one of `step`.
    """
    folder = files.absolute(folder)
    there = files.steps(folder)
    if step is not None and step not in there:
        raise FileNotFoundError(
            f"There is no checkpoint of step {step} in {folder}; there are {there}."
        )
    last = math.inf if at_most is None else at_most
    candidates = [s for s in there if s <= last] if step is None else [step]
    if not candidates:
        raise FileNotFoundError(
            f"There is no checkpoint in {folder}"
            + (f" up to step {at_most}; there are {there}." if there else ".")
        )
    for candidate in reversed(candidates):
        try:
            record, arrays = files.read(folder, candidate)
            break
        except Damaged as error:
            if candidate == candidates[0]:
                raise Damaged(
                    f"{error} There is no good one before it. Move {folder} away, or "
                    "give another folder, to start afresh."
                ) from error
            print(f"{error} The one before it is used.")
    _check_same(record, objects, None, folder / str(candidate))
    return _put_into(objects, record, arrays)


def latest(folder: str | Path) -> int | None:
    """Return the step of the newest checkpoint that looks good, or None.

    It looks at the record alone; `restore` reads and checks everything.
    """
    found = files.newest_record(files.absolute(folder))
    return None if found is None else found["step"]


def check(folder: str | Path, objects: tuple, run: dict | None = None) -> None:
    """Raise ValueError if `folder` holds another run, or another architecture's."""
    folder = files.absolute(folder)
    record = files.newest_record(folder)
    if record is not None:
        _check_same(record, objects, run, folder / str(record["step"]))


# --- what a checkpoint holds ----------------------------------------------------


def _state(objects):
    """Return (structure, leaves, names), such as `objects[0].encoder.kernel`."""
    _, state = nnx.split(tuple(objects))
    paths, structure = jax.tree_util.tree_flatten_with_path(state)
    names = []
    for path, _ in paths:
        place, _, inner = jax.tree_util.keystr(
            path, simple=True, separator="."
        ).partition(".")
        names.append(f"objects[{place}].{inner.removesuffix('.value')}")
    return structure, [leaf for _, leaf in paths], names


def _is_key(x):
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _line(part, name, x):
    """Return (a line of the record's table, the array to write).

    The line: [part, name, dtype, shape, None or which kind of random key it is].
    """
    kind = str(jax.random.key_impl(x)) if _is_key(x) else None
    x = jax.random.key_data(x) if kind else jnp.asarray(x)
    return [part, name, str(x.dtype), list(x.shape), kind], x


def _lines(objects):
    _, leaves, names = _state(objects)
    return [
        _line("objects", name, leaf) for name, leaf in zip(names, leaves, strict=True)
    ]


def _contents(objects, history, key):
    """Return (table, arrays on the host): what is written, and a line about each."""
    lines = _lines(objects)
    lines += [
        _line("history", name, np.asarray(values, np.float32))
        for name, values in history.items()
    ]
    lines += [_line("key", "key", key)] if key is not None else []
    # Copies, since the next training step uses the memory of its arrays again.
    return [line for line, _ in lines], [np.array(x) for _, x in lines]


def _as_json(run):
    return json.loads(json.dumps(run))


def _put_into(objects, record, arrays):
    structure, leaves, _ = _state(objects)
    new, history, key = [], {}, None
    for (part, name, _, _, kind), array in zip(record["arrays"], arrays, strict=True):
        x = jax.random.wrap_key_data(array, impl=kind) if kind else array
        if part == "objects":
            x, old = x if kind else jnp.array(x), leaves[len(new)]
            new.append(
                jax.device_put(x, old.sharding) if hasattr(old, "sharding") else x
            )
        elif part == "history":
            history[name] = x
        else:
            key = x
    nnx.update(tuple(objects), jax.tree.unflatten(structure, new))
    return Saved(record["step"], key, history, record["run"])


# --- is it ours? ----------------------------------------------------------------


def _check_same(record, objects, run, place):
    there = {name: rest for part, name, *rest in record["arrays"] if part == "objects"}
    here = {name: rest for (_, name, *rest), _ in _lines(objects)}
    problem = None
    for name in [name for name in there if name in here]:
        if there[name] != here[name]:
            a, b = (f"{d} {tuple(shape)}" for d, shape, _ in (there[name], here[name]))
            problem = f"{name} is {a} there and {b} here"
            break
    if not problem and there.keys() != here.keys():
        missing = next((n for n in here if n not in there), None)
        extra = next((n for n in there if n not in here), None)
        lacks, has = f"it has no {missing}", f"it has {extra}, which is not here"
        problem = " and ".join([lacks] * bool(missing) + [has] * bool(extra))
    if problem:
        raise ValueError(
            f"The checkpoint {place} is of another architecture: {problem}. Make the "
            "objects as they were then, or give another folder. Nothing was changed."
        )
    theirs, ours = record["run"], _as_json(run)
    if theirs is None or ours is None or theirs == ours:
        return
    for name in [*ours, *theirs]:
        a, b = (run.get(name, "not given") for run in (theirs, ours))
        if a != b:
            break
    raise ValueError(
        f"The checkpoint {place} is of another run: {name} is {a!r} there and {b!r} "
        "here. Give each run a folder of its own. Nothing was changed."
    )
