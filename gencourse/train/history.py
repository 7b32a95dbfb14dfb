"""The metrics of a run: on the device until they are synced, then on the host, checked.

`History` collects them while `fit` runs. What it returns in the end is a dict from a
metric's name to float32 (steps,), the steps before a resumption included.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

SYNC_EVERY = 50  # steps between two transfers of the metrics to the host, or one second


class NotFinite(FloatingPointError):
    """A metric became NaN or infinite. `step` is the first bad one, counted from 1;
    `history` holds everything up to it."""

    def __init__(self, message, step, history):
        super().__init__(message)
        self.step, self.history = step, history


class History:
    """Collect metrics, check them, and show the latest in a progress bar.

    Args:
      past: the history up to a resumption, or {}.
      done, steps: how many steps were done before, and how many there will be.
      folder: the checkpoints' folder, for messages.
      by_clock: sync once a second, too. With several processes only the number of
        steps may decide, so that all of them raise NotFinite at the same step.
      shown: whether to show a bar.
    """

    def __init__(self, past, done, steps, folder, *, by_clock, shown):
        self.past, self.steps, self.folder = past, steps, folder
        self.by_clock = by_clock
        self.synced = [past] if past else []  # on the host: a dict per sync
        self.pending = []  # on the device: a dict per compiled call
        self.n_pending = 0  # steps
        self.synced_at = time.monotonic()
        hidden = {} if shown else {"disable": True}  # {}: TQDM_DISABLE decides
        self.bar = tqdm(total=steps, initial=done, unit="step", **hidden)

    def add(self, metrics, n_steps):
        """Add the metrics of one compiled call: () each, or (n_steps,)."""
        self.pending.append(metrics)
        self.n_pending += n_steps

    def sync_due(self):
        late = self.by_clock and time.monotonic() - self.synced_at > 1
        return late or self.n_pending >= SYNC_EVERY

    def sync(self, last_saved=None):
        """Fetch what is pending. Raise NotFinite if any of it is not.

        last_saved: the step of the latest good checkpoint, for the message, or None.
        """
        calls = jax.device_get(self.pending)
        new = {name: np.hstack([call[name] for call in calls]) for name in calls[0]}
        self.synced.append(new)
        check_metric_names(self.past, new, self.folder)
        check_finite(self.synced, self.steps, last_saved, self.folder)
        latest = {name: values[-1] for name, values in new.items()}
        self.bar.set_postfix(latest, refresh=False)
        self.bar.update(self.n_pending)
        self.pending, self.n_pending, self.synced_at = [], 0, time.monotonic()

    def result(self):
        """Return all that was synced: a dict from a name to float32 (steps,)."""
        return concatenate(self.synced)


def concatenate(parts):
    """Join dicts from a metric's name to float32 (steps,), one after the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def check_metric_names(past, new, folder):
    """Raise ValueError if the step's metrics are not those of the checkpoint."""
    if past and past.keys() != new.keys():
        raise ValueError(
            f"The step returns the metrics {list(new)}, and up to the checkpoint in "
            f"{folder} it returned {list(past)}: give another folder to start afresh."
        )


def all_finite(before, leaves, done):
    """Return True if no parameter became NaN or infinite in the last update, which no
    metric has shown yet: then the state may be saved.

    What was infinite `before` training may stay so: Optax starts some minima there.
    """
    for old, new in zip(before, leaves, strict=True):
        if jnp.issubdtype(new.dtype, jnp.inexact) and not np.isfinite(new).all():
            if np.isfinite(old).all():
                print(f"Step {done} is not saved: its update made numbers not finite.")
                return False
    return True


def check_finite(synced, steps, last_saved, folder):
    """Raise NotFinite if the latest of these metrics hold NaN or infinite values.

    last_saved: the step of the latest good checkpoint in `folder`, or None.
    """
    bad = {name: np.flatnonzero(~np.isfinite(v)) for name, v in synced[-1].items()}
    bad = {name: rows[0] for name, rows in bad.items() if len(rows)}
    if not bad:
        return
    history = concatenate(synced)
    name = min(bad, key=bad.get)  # the first to go; of several, the first named
    good = f" The last good checkpoint is of step {last_saved}, in {folder}."
    step = len(history[name]) - len(synced[-1][name]) + bad[name] + 1
    raise NotFinite(
        f"{name} became {history[name][step - 1]} at step {step} of {steps}. "
        f"Usual causes: a learning rate that is too high, a logarithm or a division "
        f"of 0, pixels outside the loss's range. The objects hold what training "
        f"made of them: make new ones before you train again. The history up to "
        f"here is in the exception's .history.{good if last_saved is not None else ''}",
        step=int(step),
        history=history,
    )
