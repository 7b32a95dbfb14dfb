"""fit(): the one training loop of the course.

    data --shuffle, cut--> batch --step--> metrics, and the objects have moved

It calls a chapter's `train_step(*objects, batch, key, **scalars)`, which returns a
dict of scalars, and knows nothing else of the chapter. What it adds to a bare loop
over the step: an epoch's shuffle, progress, metrics that stay on the device until
they are read, a stop when a loss is not finite, and Ctrl-C without loss.
"""

import contextlib
import functools
import inspect
import signal
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from tqdm import tqdm

from gencourse import memory

memory.keep()  # what a step frees, the next one needs: see there

READ_EVERY = 50  # steps between two readings of the metrics, or one second


class NotFinite(FloatingPointError):
    """A metric became NaN or infinite. `step` is the first bad one, counted from 1;
    `history` holds all that was read."""

    def __init__(self, message, step, history):
        super().__init__(message)
        self.step, self.history = step, history


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
    **scalars,
):
    """Train `objects` in place by calling `step` on shuffled batches of `data`.

    Args:
      step: `step(*objects, batch, key, **scalars) -> dict of scalars`, jitted with
        `nnx.jit` or not: fit compiles the plain function its own, faster way.
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
      **scalars: passed to `step` by name. A number, or a function of the number of
        steps done, such as an Optax schedule; either is traced, so that a value that
        changes from step to step compiles nothing anew.

    Returns:
      The history: a dict from each metric's name to float32 (steps done,). After
      Ctrl-C it is shorter, and the objects are as the last finished step left them.

    Raises:
      ValueError: on data, batch_size, steps or key that cannot be meant.
      TypeError: where the step's metrics are not a dict of scalars.
      NotFinite: at the next reading after a metric, any of them, became NaN or
        infinite. The objects hold what training made of them.

    Where a step fails while it runs (no memory left, say, or a second Ctrl-C in its
    midst), the objects are as they were before fit.
    """
    jitted = isinstance(step, type(nnx.jit(lambda: None)))
    plain = step.__wrapped__ if jitted else step
    n, steps, per_epoch = _check_arguments(
        objects, data, batch_size, key, steps, epochs
    )
    _check_step(plain, scalars)
    _check_data(plain, data, transform, batch_size)

    # Split once and carry the leaves: merging inside the compiled function costs
    # nothing, while nnx.jit walks the objects again at every step. The carry is
    # donated (its memory is used again), so it must be ours: hence the copy.
    graphdef, state = nnx.split(tuple(objects))
    leaves, treedef = jax.tree.flatten(state)
    functions = tuple((k, f) for k, f in scalars.items() if callable(f))
    numbers = {k: v for k, v in scalars.items() if not callable(v)}
    # A jitted step may be kept compiled for a second fit, as nnx.jit itself would; a
    # plain one is compiled anew, since what it refers to may have changed meanwhile.
    compiled = _compile if jitted else _compile.__wrapped__
    advance = compiled(plain, graphdef, treedef, batch_size, transform, functions)
    many = steps_a_dispatch()
    carry = [jnp.copy(leaf) for leaf in leaves], jnp.int32(0)
    data = jax.tree.map(jnp.asarray, data)
    order_key, step_key = jax.random.split(key)

    read = []  # metrics on the host: dicts of arrays, one a reading
    waiting = []  # metrics still on the device: a dict a dispatch
    seen = time.monotonic()
    hidden = {} if progress else {"disable": True}  # {}: TQDM_DISABLE decides
    bar = tqdm(total=steps, unit="step", **hidden)
    try:
        with bar, _interrupt() as interrupted:
            done = unread = 0
            while done < steps:
                at = done % per_epoch
                if at == 0:
                    order = _shuffle(order_key, done // per_epoch, n)
                whole = min(steps - done, per_epoch - at) >= many
                now = many if whole else 1
                carry, metrics = advance(
                    carry, data, order, at, step_key, numbers, many=now
                )
                waiting.append(metrics)
                done, unread = done + now, unread + now
                stop = interrupted or done == steps
                if stop or unread >= READ_EVERY or time.monotonic() - seen > 1:
                    rows = jax.device_get(waiting)
                    read.append({k: np.hstack([r[k] for r in rows]) for k in rows[0]})
                    _check_finite(read, steps)
                    last = {name: values[-1] for name, values in read[-1].items()}
                    bar.set_postfix(last, refresh=False)
                    bar.update(unread)
                    waiting, unread, seen = [], 0, time.monotonic()
                if stop:
                    break
    finally:
        if _alive(carry[0]):
            nnx.update(tuple(objects), jax.tree.unflatten(treedef, carry[0]))
    history = _history(read)
    if interrupted:
        print(f"Stopped by hand after step {done} of {steps}.")
    return history


@functools.lru_cache(maxsize=8)
def _compile(step, graphdef, treedef, batch_size, transform, functions):
    def advance(carry, data, order, at, key, numbers):
        leaves, count = carry
        objects = nnx.merge(graphdef, jax.tree.unflatten(treedef, leaves))
        rows = jax.lax.dynamic_slice(order, (at * batch_size,), (batch_size,))
        batch = jax.tree.map(lambda a: a[rows], data)
        batch = transform(batch) if transform else batch
        annealed = {name: f(count) for name, f in functions}
        key = jax.random.fold_in(key, count)
        metrics = _float32(step(*objects, batch, key, **numbers, **annealed))
        after, state = nnx.split(objects)
        if after != graphdef:
            raise ValueError(
                "The step changed the structure of its objects, not only their "
                "numbers: it set or removed an attribute. fit cannot carry that."
            )
        return (jax.tree.leaves(state), count + 1), metrics

    def dispatch(carry, data, order, at, key, numbers, many):
        if many == 1:
            return advance(carry, data, order, at, key, numbers)

        def turn(carry, i):
            return advance(carry, data, order, at + i, key, numbers)

        return jax.lax.scan(turn, carry, jnp.arange(many))

    return jax.jit(
        dispatch,
        donate_argnums=0,
        static_argnames="many",
        compiler_options=_compiler_options(),
    )


def steps_a_dispatch():
    """How many steps are handed to the device at once.

    A GPU or TPU does a small step sooner than Python can ask for the next: several
    go in one call, as a scan. On a CPU a convolution inside of a loop loses its quick
    form, and asking costs little: one.
    """
    return 1 if jax.default_backend() == "cpu" else 10


# What XLA's CPU compiler shall hand to its library YNNPACK: sums, and products that
# stand alone. By default it also fuses products with what surrounds them, and that
# keeps two cores less busy.
CPU_OPTIONS = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE,"
    "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"
}


@functools.cache
def _compiler_options():
    """CPU_OPTIONS where they apply; None elsewhere, or where XLA knows them no more."""
    if jax.default_backend() != "cpu":
        return None
    try:
        jax.jit(lambda x: x + 1, compiler_options=CPU_OPTIONS)(0.0)
    except Exception:  # which kind it is depends on the version
        return None
    return CPU_OPTIONS


def _float32(metrics):
    if not isinstance(metrics, dict) or not metrics:
        raise TypeError(
            f"A step returns its metrics, a dict of scalars such as "
            f'{{"loss": loss}}; this one returned {metrics!r}.'
        )
    for name, value in metrics.items():
        if isinstance(value, dict) or jnp.shape(value) != ():
            raise TypeError(f"The metric {name!r} is no scalar: {value!r}.")
    return {name: jnp.asarray(value, jnp.float32) for name, value in metrics.items()}


def _alive(leaves):
    """False where a step failed as it ran, and its memory is gone or holds errors."""
    try:
        jax.block_until_ready(leaves)
    except RuntimeError:
        return False
    return True


@functools.partial(jax.jit, static_argnums=2)
def _shuffle(key, epoch, n):
    return jax.random.permutation(jax.random.fold_in(key, epoch), n)


@contextlib.contextmanager
def _interrupt():
    """Turn the first Ctrl-C into a true value; the second is an ordinary one."""
    interrupted = []

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


def _history(read):
    return {name: np.concatenate([r[name] for r in read]) for name in read[0]}


def _check_finite(read, steps):
    bad = {k: np.flatnonzero(~np.isfinite(v)) for k, v in read[-1].items()}
    bad = {name: rows[0] for name, rows in bad.items() if len(rows)}
    if not bad:
        return
    history = _history(read)
    name = min(bad, key=bad.get)  # the first to go; of several, the first named
    at = len(history[name]) - len(read[-1][name]) + bad[name] + 1
    raise NotFinite(
        f"{name} became {history[name][at - 1]} at step {at} of {steps}. "
        f"Usual causes: a learning rate that is too high, a logarithm or a division "
        f"of 0, pixels outside the loss's range. The objects hold what training "
        f"made of them: make new ones before you train again. The history up to "
        f"here is in the exception's .history.",
        step=int(at),
        history=history,
    )


def _check_arguments(objects, data, batch_size, key, steps, epochs):
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


def _check_step(step, scalars):
    """A parameter of the step that has the name of one of fit's never arrives."""
    try:
        takes = set(inspect.signature(step).parameters)
    except (TypeError, ValueError):  # a callable without a signature
        return
    own = set(inspect.signature(fit).parameters) - {"scalars", "key", "data"}
    if taken := takes & own:
        raise ValueError(f"Name the step's {sorted(taken)} otherwise: fit has its own.")
    spread = inspect.Parameter.VAR_KEYWORD
    kinds = [p.kind for p in inspect.signature(step).parameters.values()]
    if spread not in kinds and (unknown := set(scalars) - takes):
        raise ValueError(
            f"The step takes no {sorted(unknown)}; it takes {list(takes)}."
        )


def _check_data(step, data, transform, batch_size):
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
