"""How good is it: measures that take arrays and functions, and know no chapter."""

from gencourse.metrics.diagnosis import diagnose

__all__ = ["diagnose"]
