"""fit(): the one training loop of the course.

    data --shuffle, cut--> batch --step--> metrics, and the objects have moved

It calls a chapter's `train_step(*objects, batch, key, **scalars)`, which returns a
dict of scalars, and knows nothing else of the chapter. What it adds to a bare loop
over the step: an epoch's shuffle, progress, metrics that stay on the device until
they are synced, a stop when a loss is not finite, Ctrl-C without loss, and on request
checkpoints, from which the same call goes on after whatever happened.
"""

import contextlib
import functools
import inspect
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from gencourse import checkpoint
from gencourse.layers.initializers import jit_in_haste
from gencourse.system import malloc
from gencourse.train import validate
from gencourse.train.compile_step import (
    compile_step,
    compile_step_cached,
    steps_per_call,
)
from gencourse.train.devices import (
    check_same_on_all_processes,
    fail_together,
    make_mesh,
    process_role,
    replicate,
    to_local,
)
from gencourse.train.fingerprint import fingerprint
from gencourse.train.history import History, all_finite
from gencourse.train.identity import to_device
from gencourse.train.resolve import check_optimizers, resolve

SAVE_SECONDS = 60  # between two checkpoints, unless save_every tells the steps


def fit(
    step: Callable,
    objects: tuple,
    data: Any,
    *,
    batch_size: int,
    key: jax.Array,
    steps: int | None = None,
    epochs: int | None = None,
    transform: Callable | None = None,
    progress: bool = True,
    resume: str | Path | None = None,
    save_every: int | None = None,
    keep: int = 3,
    devices: Sequence[jax.Device] | None = None,
    **scalars: Any,
) -> dict[str, np.ndarray]:
    """Train `objects` in place by calling `step` on shuffled batches of `data`.

    Args:
      step: `step(*objects, batch, key, **scalars) -> dict of scalars`, jitted with
        `nnx.jit` or not, or a functools.partial of one: fit compiles the undecorated
        function its own, faster way, and keeps a jitted one for the next call. If it
        has an attribute `check_batch`, `check_batch(data, objects)` is called first.
      objects: a tuple of models and optimizers, in the order that `step` takes.
      data: an array (N, ...), or a tuple or dict of such arrays with one N. Batches
        have the same structure. The remainder of N / batch_size sits out an epoch.
      batch_size: rows a step.
      key: a `jax.random.key`. The same key gives the same bits on one machine.
      steps, epochs: how long to train; give one of the two.
      transform: a function of the batch, compiled into the step. It lets a large
        set stay uint8 until a batch is cut.
      progress: show a bar with the metrics and the time left. The environment
        variable TQDM_DISABLE=1 silences every bar.
      resume: a folder for checkpoints (`gencourse.checkpoint`), one folder a run. From
        the newest good one in it, of `steps` at most, training goes on, with the same
        bits as if it had never stopped; where there is none it begins with the
        objects as they are. `steps` counts from the run's beginning: the same call
        on a finished run trains nothing, one with more steps goes on.
      save_every: steps between two checkpoints; by default one is written a minute.
        There is one at the end in any case, and after Ctrl-C.
      keep: how many checkpoints stay.
      devices: None, or what shall share the work, such as `jax.devices()`: each takes
        its part of every batch and holds all of the rest (`gencourse.train.devices`).
        The numbers are those of one device, but for rounding, and checkpoints do not
        tell. With several processes (`jax.distributed`) each makes this same call
        with the same data; process 0 shows the bar and writes the checkpoints, all
        read them from one folder, and Ctrl-C is an ordinary KeyboardInterrupt that
        leaves the objects as they were.
      **scalars: passed to `step` by name. A number, or a function of the number of
        steps done, such as an Optax schedule; either is traced, so that a value that
        changes from step to step recompiles nothing.

    Returns:
      The history: a dict from each metric's name to float32 (steps done,), the steps
      before a resumption included. After Ctrl-C it is shorter, and the objects are as
      the last finished step left them.

    Raises:
      ValueError: on data, batch_size, steps or key that cannot be meant; where
        `resume` holds another run: another step function (by its name, its code or
        the arguments of a functools.partial), another architecture, another
        attribute of a model such as a rate or a likelihood, another batch_size, key,
        transform or number passed to the step, other data; on devices that cannot
        be meant, or a batch_size that is no multiple of their number; where the
        processes were not given the same, or do not see the same checkpoints.
        If no optimizer has a parameter to move, or the step moves none.
      TypeError: where the step's metrics are not a dict of scalars, or it is compiled
        by jax.jit, under which models and optimizers are copies.
      NotFinite: at the next reading after a metric, any of them, became NaN or
        infinite. The objects hold what training made of them. What is not finite
        is never saved.
      checkpoint.Damaged: where `resume` holds checkpoints and none can be read.
      OSError: where a checkpoint cannot be written. The earlier ones are unharmed.

    What `resume` cannot see, and so cannot refuse: the optimizer's rate and whatever
    else Optax was given, a schedule's values, the code of the models and of functions
    that the step calls. Whoever changes one of these gives another folder.

    Where a step fails while it runs (no memory left, say, or a second Ctrl-C in its
    midst), the objects are as they were before fit, or as `resume` had them.
    """
    malloc.retain_freed_memory()
    function, cacheable, check_batch = resolve(step)
    n_rows, batch_size, steps, steps_per_epoch = validate.check_arguments(
        objects, data, batch_size, key, steps, epochs
    )
    mesh = make_mesh(devices, batch_size)
    multi_process, is_main = process_role(mesh)
    validate.check_step_signature(function, scalars, RESERVED)
    check_optimizers(objects)
    validate.check_data(check_batch, objects, data, transform, batch_size)
    validate.check_saving(save_every, keep)
    same = dict(steps=steps, batch_size=batch_size, save_every=save_every or 0)
    same |= {"resume": resume is not None, "data": data, "key": key, **scalars}
    # A barrier, too: it waits until process 0 has finished the last call's checkpoint.
    check_same_on_all_processes(mesh, same)
    done, past, run = 0, {}, None
    if resume is not None:
        modules = nnx.iter_modules(tuple(objects))
        run = fingerprint(function, modules, data, transform, batch_size, key, scalars)
        done, past = _resume(resume, objects, steps, run, mesh)

    # Split once and carry the leaves: merging inside the compiled function costs
    # nothing, while nnx.jit walks the objects again at every step. The carry is
    # donated (its memory is used again), so it must be ours: hence the copy.
    graphdef, state = nnx.split(tuple(objects))
    leaves, treedef = jax.tree.flatten(state)
    check_same_on_all_processes(mesh, {"What the objects hold": leaves})
    schedules = tuple((k, f) for k, f in scalars.items() if callable(f))
    numbers = {k: v for k, v in scalars.items() if not callable(v)}
    # A jitted step may stay compiled for a second fit, as nnx.jit itself would keep it;
    # a plain one is recompiled, since what it refers to may have changed meanwhile.
    compile = compile_step_cached if cacheable else compile_step
    train = compile(function, graphdef, treedef, batch_size, transform, schedules, mesh)
    # By the host, which needs no program for each shape, as jnp.copy would.
    carry = jax.device_put((leaves, np.int32(done)), may_alias=False)
    order_key, step_key = _two_keys(key)
    carry, step_key, numbers, data = replicate((carry, step_key, numbers, data), mesh)
    data = jax.tree.map(to_device, data)

    def put_into(objects, carry):
        nnx.update(objects, jax.tree.unflatten(treedef, to_local(carry[0], mesh)))
        return objects

    history = History(
        *(past, done, steps, resume),
        by_clock=not multi_process,
        shown=progress and is_main,
    )
    last_saved = done if past and is_main else None  # the latest good checkpoint
    saved_at = time.monotonic()
    epoch = None
    try:
        with history.bar, _interrupt(multi_process) as interrupted:
            while done < steps:
                batch_index = done % steps_per_epoch
                if epoch != done // steps_per_epoch:
                    epoch = done // steps_per_epoch
                    order = replicate(_shuffle(order_key, epoch, n_rows), mesh)
                left = min(steps - done, steps_per_epoch - batch_index)
                n_steps = _steps_now(batch_index, left)
                carry, metrics = train(
                    carry, data, order, batch_index, step_key, numbers, n_steps=n_steps
                )
                history.add(metrics, n_steps)
                done += n_steps

                stop = bool(interrupted) or done == steps
                sync_due = stop or history.sync_due()
                if save_every:
                    save_due = stop or done % save_every < n_steps
                else:
                    late = time.monotonic() - saved_at > SAVE_SECONDS
                    save_due = stop or (late and (sync_due or not multi_process))
                save_due &= resume is not None
                if sync_due or save_due:
                    history.sync(last_saved)
                if save_due:
                    if is_main and all_finite(leaves, carry[0], done):
                        trained = put_into(nnx.merge(graphdef, state), carry)
                        saved = dict(key=key, history=history.result(), run=run)
                        checkpoint.save(resume, done, trained, keep=keep, **saved)
                        last_saved = done
                    saved_at = time.monotonic()
                if stop:
                    break
    except KeyboardInterrupt:
        if multi_process:  # blocking may hang: another may never reach this step
            carry = None
        raise
    finally:
        if carry and _alive(carry[0]):
            put_into(tuple(objects), carry)
        malloc.release()
    if interrupted:
        print(f"Stopped by hand after step {done} of {steps}.")
    return history.result()


RESERVED = set(inspect.signature(fit).parameters) - {"scalars", "key", "data"}


def _steps_now(batch_index, left):
    """Return how many steps the next compiled call makes, of `left` in this epoch.

    Groups begin at fixed places, so that a run that was resumed gives the same bits.
    """
    group = steps_per_call()
    return group if left >= group and batch_index % group == 0 else 1


def _resume(folder, objects, steps, run, mesh):
    """Put the newest good checkpoint into the objects; return (steps done, history)."""
    with fail_together(mesh):
        checkpoint.check(folder, objects, run)
        try:
            saved = checkpoint.restore(folder, objects, at_most=steps)
            done, history = saved.step, saved.history
        except FileNotFoundError as error:
            done, history = 0, {}
            if checkpoint.latest(folder) is not None:
                print(f"{error} Training starts afresh, and harms none of them.")
    if 0 < done < steps:
        print(f"Going on from step {done}, saved in {folder}.")
    elif done:
        print(f"Step {steps} was reached before, and is saved in {folder}.")
    advice = f" Do all processes see the same folder {folder}?"
    check_same_on_all_processes(mesh, {"The step to go on from": done}, advice)
    return done, history


def _alive(leaves):
    """Return False if a step failed while it ran, and its memory is gone."""
    try:
        jax.block_until_ready(leaves)
    except RuntimeError:
        return False
    return True


@jit_in_haste
def _two_keys(key):
    order_key, step_key = jax.random.split(key)
    return order_key, step_key


@functools.partial(jit_in_haste, static_argnums=2)
def _shuffle(key, epoch, n):
    return jax.random.permutation(jax.random.fold_in(key, epoch), n)


@contextlib.contextmanager
def _interrupt(multi_process):
    """Turn the first Ctrl-C into a true value; the second is an ordinary one.

    With several processes already the first is: one that stops alone, after a step of
    its own choice, would leave the others waiting.
    """
    interrupted = []
    if multi_process:
        yield interrupted
        return

    def note(*_):
        interrupted.append(True)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    try:
        before = signal.signal(signal.SIGINT, note)
    except ValueError:  # not in the main thread, where no Ctrl-C arrives
        yield interrupted
        return
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)
