"""fit(): the one training loop of the course.

    data --shuffle, cut--> batch --step--> metrics, and the objects have moved

It calls a chapter's `train_step(*objects, batch, key, **scalars)`, which returns a
dict of scalars, and knows nothing else of the chapter. What it adds to a bare loop
over the step: an epoch's shuffle, progress, metrics that stay on the device until
they are read, a stop when a loss is not finite, Ctrl-C without loss, and on request
checkpoints, from which the same call goes on after whatever happened.
"""

import contextlib
import functools
import inspect
import signal
import time
import weakref

import jax
import numpy as np
from flax import nnx
from tqdm import tqdm

from gencourse import (
    arguments,
    checkpoint,
    description,
    dispatch,
    memory,
    readings,
    resolve,
)
from gencourse.devices import (
    all_or_none,
    check_same,
    everywhere,
    here,
    make_mesh,
    processes,
)
from gencourse.initializers import jit_in_haste
from gencourse.readings import NotFinite  # noqa: F401, what fit raises

memory.keep()  # what a step frees, the next one finds: see there

READ_EVERY = 50  # steps between two readings of the metrics, or one second
SAVE_SECONDS = 60  # between two checkpoints, unless save_every tells the steps


def fit(
    step,
    objects,
    data,
    *,
    batch_size,
    key,
    steps=None,
    epochs=None,
    transform=None,
    progress=True,
    resume=None,
    save_every=None,
    keep=3,
    devices=None,
    **scalars,
):
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
        its part of every batch and holds all of the rest (`gencourse.devices`). The
        numbers are those of one device, but for rounding, and checkpoints do not
        tell. With several processes (`jax.distributed`) each makes this same call
        with the same data; process 0 shows the bar and writes the checkpoints, all
        read them from one folder, and Ctrl-C is an ordinary KeyboardInterrupt that
        leaves the objects as they were.
      **scalars: passed to `step` by name. A number, or a function of the number of
        steps done, such as an Optax schedule; either is traced, so that a value that
        changes from step to step compiles nothing anew.

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
    plain, kept, check_batch = resolve.resolve(step)
    n, batch_size, steps, per_epoch = arguments.check_arguments(
        objects, data, batch_size, key, steps, epochs
    )
    mesh = make_mesh(devices, batch_size)
    several, first = processes(mesh)
    own = set(inspect.signature(fit).parameters) - {"scalars", "key", "data"}
    arguments.check_step(plain, scalars, own)
    resolve.check_optimizers(objects)
    arguments.check_data(check_batch, objects, data, transform, batch_size)
    arguments.check_saving(save_every, keep)
    same = dict(steps=steps, batch_size=batch_size, save_every=save_every or 0)
    same |= {"resume": resume is not None, "data": data, "key": key, **scalars}
    check_same(mesh, same)  # all wait here, and so for the last call's checkpoint
    done, history = 0, {}
    if resume is not None:
        modules = nnx.iter_modules(tuple(objects))
        run = description.describe(
            plain, modules, data, transform, batch_size, key, scalars
        )
        with all_or_none(mesh):
            done, history = _go_on(resume, objects, steps, run)
        see = f" Do all processes see the same folder {resume}?"
        check_same(mesh, {"The step to go on from": done}, see)

    # Split once and carry the leaves: merging inside the compiled function costs
    # nothing, while nnx.jit walks the objects again at every step. The carry is
    # donated (its memory is used again), so it must be ours: hence the copy.
    graphdef, state = nnx.split(tuple(objects))
    leaves, treedef = jax.tree.flatten(state)
    check_same(mesh, {"What the objects hold": leaves})
    functions = tuple((k, f) for k, f in scalars.items() if callable(f))
    numbers = {k: v for k, v in scalars.items() if not callable(v)}
    # A jitted step may be kept compiled for a second fit, as nnx.jit itself would; a
    # plain one is compiled anew, since what it refers to may have changed meanwhile.
    compile_step = dispatch.compiled_step if kept else dispatch.compile_step
    what = plain, graphdef, treedef, batch_size, transform, functions, mesh
    advance = compile_step(*what)
    many = dispatch.steps_a_dispatch()
    # By the host, which needs no program for each shape, as jnp.copy would.
    carry = jax.device_put((leaves, np.int32(done)), may_alias=False)
    order_key, step_key = _two_keys(key)
    carry, data = everywhere(carry, mesh), everywhere(data, mesh)
    step_key, numbers = everywhere((step_key, numbers), mesh)
    data = jax.tree.map(_to_device, data)

    read = [history] if history else []  # metrics on the host, a dict a reading
    waiting = []  # metrics still on the device: a dict a dispatch
    unread, epoch = 0, None
    saved = done if history and first else None  # the newest good one that we know of
    seen = saved_at = time.monotonic()
    shown = progress and first
    hidden = {} if shown else {"disable": True}  # {}: TQDM_DISABLE decides
    bar = tqdm(total=steps, initial=done, unit="step", **hidden)
    try:
        with bar, _interrupt(several) as interrupted:
            while done < steps:
                at = done % per_epoch
                if epoch != done // per_epoch:
                    epoch = done // per_epoch
                    order = everywhere(_shuffle(order_key, epoch, n), mesh)
                # Groups begin at the same steps wherever training was resumed.
                whole = min(steps - done, per_epoch - at) >= many and at % many == 0
                now = many if whole else 1
                carry, metrics = advance(
                    carry, data, order, at, step_key, numbers, many=now
                )
                waiting.append(metrics)
                done, unread = done + now, unread + now
                stop = interrupted or done == steps
                clock = time.monotonic()
                late = unread >= READ_EVERY or (not several and clock - seen > 1)
                # Several processes read at the same steps, so as to raise at the same:
                # there, the clock decides nothing but what is done after a reading.
                a_minute = clock - saved_at > SAVE_SECONDS and (late or not several)
                due = resume is not None and (
                    stop or (done % save_every < now if save_every else a_minute)
                )
                if stop or due or late:
                    rows = jax.device_get(waiting)
                    read.append({k: np.hstack([r[k] for r in rows]) for k in rows[0]})
                    readings.check_names(history, read[-1], resume)
                    readings.check_finite(read, steps, saved, resume)
                    last = {name: values[-1] for name, values in read[-1].items()}
                    bar.set_postfix(last, refresh=False)
                    bar.update(unread)
                    waiting, unread, seen = [], 0, time.monotonic()
                if due and first and readings.all_finite(leaves, carry[0], done):
                    state = jax.tree.unflatten(treedef, here(carry[0], mesh))
                    there = resume, done, nnx.merge(graphdef, state)
                    more = dict(history=readings.joined(read), run=run, keep=keep)
                    checkpoint.save(*there, key=key, **more)
                    saved = done
                saved_at = time.monotonic() if due else saved_at
                if stop:
                    break
    except KeyboardInterrupt:
        if several:  # to wait for the last step could be to wait for others for ever
            carry = None
        raise
    finally:
        if carry and _alive(carry[0]):
            state = jax.tree.unflatten(treedef, here(carry[0], mesh))
            nnx.update(tuple(objects), state)
        memory.release()
    history = readings.joined(read)
    if interrupted:
        print(f"Stopped by hand after step {done} of {steps}.")
    return history


def _go_on(folder, objects, steps, run):
    """(steps done, history) of the newest good checkpoint, now in `objects`."""
    checkpoint.check(folder, objects, run)
    try:
        saved = checkpoint.restore(folder, objects, at_most=steps)
    except FileNotFoundError as error:
        if checkpoint.latest(folder) is not None:
            print(f"{error} Training begins anew, and harms none of them.")
        return 0, {}
    if saved.step < steps:
        print(f"Going on from step {saved.step}, saved in {folder}.")
    else:
        print(f"Step {steps} was reached before, and is saved in {folder}.")
    return saved.step, saved.history


_sent = {}  # by the id of a read-only NumPy array: it, weakly, and what JAX has of it


def _to_device(array):
    """Return a JAX array of the same numbers; a read-only one is sent only once, and
    stays on the device as long as it lives on the host."""
    if isinstance(array, jax.Array):
        return array
    if not isinstance(array, np.ndarray) or not arguments.is_constant(array):
        return jax.device_put(array)
    at = id(array)
    known, there = _sent.get(at, (None, None))
    if known is None or known() is not array:
        there = jax.device_put(array, may_alias=False)  # it would keep the host's
        _sent[at] = weakref.ref(array, lambda _: _sent.pop(at, None)), there
    return there


def _alive(leaves):
    """False where a step failed as it ran, and its memory is gone or holds errors."""
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
def _interrupt(several):
    """Turn the first Ctrl-C into a true value; the second is an ordinary one.

    With several processes already the first is: one that stops alone, after a step of
    its own choice, would leave the others waiting.
    """
    interrupted = []
    if several:
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
