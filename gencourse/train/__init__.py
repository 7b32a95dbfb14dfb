"""Train anything: `fit(step, objects, data, ...)` runs a chapter's step on batches.

`loop` is the loop itself. What it asks first stands in `validate` and `resolve`, what
it compiles in `compile_step`, what it records in `history`; `fingerprint` says which
checkpoints belong to a run, and `devices` how several devices share one.
"""

from gencourse.train.history import NotFinite
from gencourse.train.loop import fit

__all__ = ["NotFinite", "fit"]
