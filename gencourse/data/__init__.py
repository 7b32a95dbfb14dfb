"""Pictures to learn from: real ones, embedded, and whole sets from TFDS."""

from gencourse.data.load import load
from gencourse.data.prepare import prepare
from gencourse.data.scale import pad, scale, unscale
from gencourse.data.sets import DataError, classes

__all__ = ["DataError", "classes", "load", "pad", "prepare", "scale", "unscale"]
