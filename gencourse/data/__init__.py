"""Pictures to learn from: real ones, embedded, and whole sets from TFDS."""

from gencourse.data.faces import FACTORS as factors
from gencourse.data.faces import PARTS as parts
from gencourse.data.faces import compose, part_map, sketch
from gencourse.data.folders import load_folder, load_pairs
from gencourse.data.loading import attributes, load
from gencourse.data.registry import DataError, classes
from gencourse.data.scaling import pad, scale, to_unit, unscale
from gencourse.data.tfds_build import prepare

__all__ = [
    "DataError",
    "attributes",
    "classes",
    "compose",
    "factors",
    "load",
    "load_folder",
    "load_pairs",
    "pad",
    "part_map",
    "parts",
    "prepare",
    "scale",
    "sketch",
    "to_unit",
    "unscale",
]
