"""Pictures to learn from: real ones, embedded, and whole sets from TFDS."""

from gencourse.data.loading import attributes, drawings, load
from gencourse.data.registry import DataError, classes
from gencourse.data.scaling import pad, scale, to_unit, unscale
from gencourse.data.tfds_build import prepare

__all__ = [
    "DataError",
    "attributes",
    "classes",
    "drawings",
    "load",
    "pad",
    "prepare",
    "scale",
    "to_unit",
    "unscale",
]
