"""Save and restore models, optimizers and histories; `fit(..., resume=folder)` does.

`core` says what is saved and what must match; `files` how it gets to the disk so that
neither a kill nor a damaged file harms a run.
"""

from gencourse.checkpoint.core import Saved, check, latest, restore, save
from gencourse.checkpoint.files import Damaged

__all__ = ["Damaged", "Saved", "check", "latest", "restore", "save"]
