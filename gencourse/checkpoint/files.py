"""The files of checkpoints: whole or not there, and a checksum has the last word.

    folder/400/arrays/        Orbax: arrays, by their number
    folder/400/record.json    what they are, and a checksum a file

A checkpoint is written as `400.HOST-PID.writing`, named after the machine and the
process that write it, and renamed once it is whole and on the disk: whoever is stopped
half-way leaves an unfinished folder. The next save sweeps it away, unless its
process lives and may still be writing. The others are not touched. What changes on the
disk afterwards, be it one bit, the checksums tell. What cannot be read is never deleted
and never overwritten.

What the arrays mean `checkpoint.py` knows. Here a record is a dict with "step" and
"arrays", a line of five for each array: the third is its dtype, the fourth its shape.
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

import jax
import jax.numpy as jnp
import numpy as np

ABANDONED = 24 * 3600  # seconds after which no write is still going on


class Damaged(OSError):
    """A checkpoint is there and cannot be read, or holds other bits than were saved."""


def write(folder, step, record, arrays, keep):
    """Add the checkpoint of `step`: arrays, and a record as JSON may hold it.

    Of the good checkpoints up to this one the newest `keep` stay. Raises OSError;
    FileExistsError where there is a good one of this step.
    """
    import orbax.checkpoint as ocp

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
    sums = {p.relative_to(writing).as_posix(): _file_sum(p) for p in files}
    record = {**record, "files": sums}
    text = json.dumps({"sum": _record_sum(record), **record}, indent=1)
    (writing / "record.json").write_text(text, encoding="utf-8")
    _to_disk([*writing.rglob("*"), writing])
    writing.rename(place)
    _to_disk([folder])
    _drop_old(folder, step, keep)


def read(folder, step):
    """Read (record, arrays on the host) of a checkpoint, checked, or raise Damaged."""
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


def steps(folder):
    """Return the steps of finished checkpoints, good or not, in rising order."""
    if not folder.is_dir():
        return []
    names = [p.name for p in folder.iterdir() if p.is_dir()]
    return sorted(int(name) for name in names if re.fullmatch(r"0|[1-9]\d*", name))


def newest_record(folder):
    """Return the record of the newest checkpoint that looks good by it, or None."""
    for step in reversed(steps(folder)):
        try:
            return _record(folder, step)
        except Damaged:
            continue
    return None


def absolute(folder):
    """Return a folder's absolute path; a ~ at its beginning is the home folder."""
    return Path(folder).expanduser().absolute()


# --- is it whole? ---------------------------------------------------------------


def _record(folder, step):
    """Return the record of one checkpoint, or raise Damaged."""
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
    """Return the record if the checksum of every file is right, or raise Damaged."""
    place, record = folder / str(step), _record(folder, step)
    for name, wanted in record["files"].items():
        try:
            problem = None if _file_sum(place / name) == wanted else "changed"
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
        if problem:
            raise Damaged(f"The checkpoint {place} is damaged: {name} {problem}.")
    return record


def _is_intact(folder, step):
    try:
        _intact(folder, step)
    except Damaged:
        return False
    return True


def _record_sum(record):
    text = json.dumps({k: v for k, v in record.items() if k != "sum"})
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _file_sum(path):
    with path.open("rb") as file:
        blake = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
    return blake.hexdigest()


# --- what stays, and what goes --------------------------------------------------


def _put_aside(folder, step):
    """Make room for a checkpoint of `step` where there is one that `restore` skips."""
    try:
        read(folder, step)
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
    older = [s for s in steps(folder) if s < step]
    if len(older) < keep:
        return
    good = [s for s in older if _is_intact(folder, s)]
    for old in good[: max(0, len(good) - (keep - 1))]:
        # Renamed first: stopped in the middle of it, no half of one looks like one.
        aside = (folder / str(old)).rename(folder / f"{old}.deleted")
        shutil.rmtree(aside, ignore_errors=True)  # another process may do the same


def _sweep(folder):
    """Remove what an earlier save left when it was stopped half-way."""
    for path in folder.iterdir():
        if re.fullmatch(r"\d+\.deleted", path.name) or _abandoned(path):
            shutil.rmtree(path, ignore_errors=True)  # another process may do the same


def _abandoned(path):
    """Return True for an unfinished checkpoint that nobody is writing any more."""
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
    """Return True if another process of this machine has this number."""
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
    """Return the machine's name, made fit for the name of a folder."""
    return re.sub(r"[^\w-]", "_", platform.node())


# --- the disk -------------------------------------------------------------------


def _orbax():
    """Return Orbax's checkpointer for this process alone: it waits for no other."""
    import orbax.checkpoint as ocp

    me = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"process{me}"
    )
    handler = ocp.StandardCheckpointHandler(multiprocessing_options=alone)
    return ocp.Checkpointer(handler, multiprocessing_options=alone)


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
