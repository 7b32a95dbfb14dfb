"""Save a training run and read it back. Orbax writes; a checksum has the last word.

    folder/400/arrays/        Orbax: networks, optimizers, history and key
    folder/400/record.json    names and shapes, which run it is, a checksum a file

A checkpoint is written as `400.HOST-PID.writing`, named after the machine and the
process that write it, and renamed once it is whole and on the disk: whoever is stopped
in the midst leaves an unfinished folder. The next save sweeps it away, unless its
process lives and may still be writing. The others are not touched. What changes on the
disk afterwards, be it one bit, the checksums tell. What cannot be read is never deleted
and never overwritten.
"""

import hashlib
import json
import math
import os
import platform
import re
import shutil
import time
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gencourse.given import as_whole

ABANDONED = 24 * 3600  # seconds after which no write is still going on


class Damaged(OSError):
    """A checkpoint is there and cannot be read, or holds other bits than were saved."""


class Saved(NamedTuple):
    """What a checkpoint held besides the state of the objects."""

    step: int
    key: jax.Array | None
    history: dict  # name: float32 (steps so far,)
    run: dict | None  # the description of the run, as JSON gives it back


def save(folder, step, objects, *, key=None, history=None, run=None, keep=3):
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
    import orbax.checkpoint as ocp

    as_whole("keep", keep)
    step = as_whole("step", step, least=0)
    folder = _absolute(folder)
    check(folder, objects, run)
    table, arrays = _contents(objects, history or {}, key)
    record = {"step": step, "arrays": table, "run": _as_json(run)}
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    place = folder / str(step)
    if place.exists():
        _put_aside(folder, step)
    writing = folder / f"{step}.{_host()}-{os.getpid()}.writing"
    writing.mkdir()
    # Orbax stores no empty arrays; the record tells their shapes.
    stored = {str(i): a for i, a in enumerate(arrays) if a.size}
    with _orbax() as orbax:
        orbax.save(writing / "arrays", args=ocp.args.StandardSave(stored))
    files = sorted(p for p in writing.rglob("*") if p.is_file())
    record["files"] = {p.relative_to(writing).as_posix(): _file_sum(p) for p in files}
    text = json.dumps({"sum": _record_sum(record), **record}, indent=1)
    (writing / "record.json").write_text(text, encoding="utf-8")
    _to_disk([*writing.rglob("*"), writing])
    writing.rename(place)
    _to_disk([folder])
    _drop_old(folder, step, keep)


def restore(folder, objects, step=None, *, at_most=None):
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
    folder = _absolute(folder)
    there = _steps(folder)
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
            record, arrays = _read(folder, candidate)
            break
        except Damaged as error:
            if candidate == candidates[0]:
                raise Damaged(
                    f"{error} There is no good one before it. Move {folder} away, or "
                    "give another folder, to begin anew."
                ) from error
            print(f"{error} The one before it is used.")
    _check_same(record, objects, None, folder / str(candidate))
    return _put_into(objects, record, arrays)


def latest(folder):
    """The step of the newest checkpoint that looks good, or None.

    It looks at the record alone; `restore` reads and checks everything.
    """
    found = _newest_record(_absolute(folder))
    return None if found is None else found["step"]


def check(folder, objects, run=None):
    """ValueError where `folder` holds another run, or one of another architecture."""
    folder = _absolute(folder)
    record = _newest_record(folder)
    if record is not None:
        _check_same(record, objects, run, folder / str(record["step"]))


# --- what a checkpoint holds ----------------------------------------------------


def _state(objects):
    """(structure, leaves, names), a name being such as `objects[0].encoder.kernel`."""
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
    """(a line of the record's table, the array to write).

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
    """(table, arrays on the host): what is written, and a line about each."""
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


def _record_sum(record):
    text = json.dumps({k: v for k, v in record.items() if k != "sum"})
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _file_sum(path):
    with path.open("rb") as file:
        blake = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
    return blake.hexdigest()


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


# --- the folder -----------------------------------------------------------------


def _absolute(folder):
    return Path(folder).expanduser().absolute()


def _steps(folder):
    """The steps of finished checkpoints, good or not, in rising order."""
    if not folder.is_dir():
        return []
    names = [p.name for p in folder.iterdir() if p.is_dir()]
    return sorted(int(name) for name in names if re.fullmatch(r"0|[1-9]\d*", name))


def _record(folder, step):
    """The record of one checkpoint, or Damaged."""
    place = folder / str(step)
    try:
        record = json.loads((place / "record.json").read_text(encoding="utf-8"))
        whole = record["sum"] == _record_sum(record) and record["step"] == step
    except FileNotFoundError:
        raise Damaged(f"The checkpoint {place} is damaged: no record.json.") from None
    except OSError as error:
        raise Damaged(f"The checkpoint {place} cannot be read: {error}.") from error
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise Damaged(f"The checkpoint {place} is damaged: record.json changed.")
    return record


def _intact(folder, step):
    """The record, after a look at the checksum of every file; or Damaged."""
    place, record = folder / str(step), _record(folder, step)
    for name, wanted in record["files"].items():
        try:
            problem = None if _file_sum(place / name) == wanted else "changed"
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
        if problem:
            raise Damaged(f"The checkpoint {place} is damaged: {name} {problem}.")
    return record


def _read(folder, step):
    """(record, arrays) of one checkpoint, or Damaged."""
    import orbax.checkpoint as ocp

    place, record = folder / str(step), _intact(folder, step)
    try:
        with _orbax() as orbax:
            stored = orbax.restore(place / "arrays", args=ocp.args.StandardRestore())
        arrays = [
            np.asarray(stored[str(i)])
            if math.prod(shape)
            else np.zeros(shape, jnp.dtype(dtype))
            for i, (_, _, dtype, shape, _) in enumerate(record["arrays"])
        ]
    except Exception as error:  # of many kinds; a version that writes otherwise, say
        if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
            raise  # the checkpoint is not to blame
        raise Damaged(f"Orbax cannot read the checkpoint {place}: {error}") from error
    return record, arrays


def _orbax():
    """Orbax, writing or reading in this process alone: it waits for no other."""
    import orbax.checkpoint as ocp

    me = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"process{me}"
    )
    handler = ocp.StandardCheckpointHandler(multiprocessing_options=alone)
    return ocp.Checkpointer(handler, multiprocessing_options=alone)


def _newest_record(folder):
    for step in reversed(_steps(folder)):
        try:
            return _record(folder, step)
        except Damaged:
            continue
    return None


def _sweep(folder):
    """Remove what an earlier save left when it was stopped in the midst."""
    for path in folder.iterdir():
        if re.fullmatch(r"\d+\.deleted", path.name) or _abandoned(path):
            shutil.rmtree(path, ignore_errors=True)  # another process may do the same


def _abandoned(path):
    """Whether this is an unfinished checkpoint that nobody writes any more."""
    if not re.fullmatch(r"\d+\.(.*\.)?writing", path.name):
        return False
    owner = re.fullmatch(rf"\d+\.{re.escape(_host())}-(\d+)\.writing", path.name)
    if owner and not _writes_elsewhere(int(owner[1])):
        return True
    try:
        return time.time() - path.stat().st_mtime > ABANDONED
    except FileNotFoundError:  # just renamed: it is finished
        return False


def _writes_elsewhere(pid):
    """Whether another process of this machine has this number."""
    if pid == os.getpid():
        return False  # ours, and it failed
    if os.name != "posix":
        return True  # who can tell? Its age decides.
    try:
        os.kill(pid, 0)  # sends nothing
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        pass
    return True


def _host():
    """The machine's name, as it may be in the name of a folder."""
    return re.sub(r"[^\w-]", "_", platform.node())


def _put_aside(folder, step):
    """Make room for a checkpoint of `step` where there is one that `restore` skips."""
    try:
        _read(folder, step)
    except Damaged as error:
        names = (f"{step}.damaged{i}" for i in range(1, 1000))
        aside = next(folder / name for name in names if not (folder / name).exists())
        (folder / str(step)).rename(aside)
        print(f"{error} It is now called {aside.name}.")
        return
    raise FileExistsError(
        f"{folder} holds a good checkpoint of step {step}, which is not overwritten. "
        "Give another folder."
    )


def _drop_old(folder, step, keep):
    """Delete good checkpoints, but for the one of `step` and the keep - 1 before it."""
    older = [s for s in _steps(folder) if s < step]
    if len(older) < keep:
        return
    good = [s for s in older if _is_intact(folder, s)]
    for old in good[: max(0, len(good) - (keep - 1))]:
        # Renamed first: stopped in the midst of it, no half of one looks like one.
        aside = (folder / str(old)).rename(folder / f"{old}.deleted")
        shutil.rmtree(aside, ignore_errors=True)  # another process may do the same


def _is_intact(folder, step):
    try:
        _intact(folder, step)
    except Damaged:
        return False
    return True


def _to_disk(paths):
    """Wait until the disk has them, not the system's memory alone."""
    if os.name != "posix":
        return  # elsewhere a folder cannot be opened
    for path in paths:
        file = os.open(path, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
