"""Pictures to learn from: real ones, embedded, and whole sets from TFDS."""

from gencourse.data.loading import attributes, drawings, load
from gencourse.data.preparing import prepare
from gencourse.data.scaling import pad, scale, unscale
from gencourse.data.sets import DataError, classes

__all__ = [
    "DataError",
    "attributes",
    "classes",
    "drawings",
    "load",
    "pad",
    "prepare",
    "scale",
    "unscale",
]
