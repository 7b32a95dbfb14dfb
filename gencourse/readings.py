"""What `fit` reads of its metrics, and the checks that metrics and weights are finite.

Metrics stay on the device until they are read. A reading is a dict from a metric's name
to float32 (steps,), on the host; after a resumption the history so far is the first.
"""

import jax.numpy as jnp
import numpy as np


class NotFinite(FloatingPointError):
    """A metric became NaN or infinite. `step` is the first bad one, counted from 1;
    `history` holds all that was read."""

    def __init__(self, message, step, history):
        super().__init__(message)
        self.step, self.history = step, history


def joined(read):
    """The history of several readings: a dict from a name to float32 (steps,)."""
    return {name: np.concatenate([r[name] for r in read]) for name in read[0]}


def check_names(before, now, folder):
    """A ValueError where the step returns other metrics than before it was resumed."""
    if before and before.keys() != now.keys():
        raise ValueError(
            f"The step returns the metrics {list(now)}, and up to the checkpoint in "
            f"{folder} it returned {list(before)}: give another folder to begin anew."
        )


def all_finite(before, leaves, done):
    """Whether the state may be saved: the last update may have spoilt it unnoticed.

    What was infinite `before` training may be so: Optax begins some minima there.
    """
    for old, new in zip(before, leaves, strict=True):
        if jnp.issubdtype(new.dtype, jnp.inexact) and not np.isfinite(new).all():
            if np.isfinite(old).all():
                print(f"Step {done} is not saved: its update made numbers not finite.")
                return False
    return True


def check_finite(read, steps, saved, folder):
    """NotFinite where the newest reading holds NaN or infinite values. `saved` is the
    step of the newest good checkpoint in `folder`, or None."""
    bad = {k: np.flatnonzero(~np.isfinite(v)) for k, v in read[-1].items()}
    bad = {name: rows[0] for name, rows in bad.items() if len(rows)}
    if not bad:
        return
    history = joined(read)
    name = min(bad, key=bad.get)  # the first to go; of several, the first named
    good = f" The last good checkpoint is of step {saved}, in {folder}."
    at = len(history[name]) - len(read[-1][name]) + bad[name] + 1
    raise NotFinite(
        f"{name} became {history[name][at - 1]} at step {at} of {steps}. "
        f"Usual causes: a learning rate that is too high, a logarithm or a division "
        f"of 0, pixels outside the loss's range. The objects hold what training "
        f"made of them: make new ones before you train again. The history up to "
        f"here is in the exception's .history.{good if saved is not None else ''}",
        step=int(at),
        history=history,
    )
