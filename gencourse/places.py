"""Where the course keeps what it can make again: decoded sets and compiled code."""

import os
import sys
from pathlib import Path


def cache() -> Path:
    """GENCOURSE_CACHE, or a folder in the user's cache as the platform has it."""
    if chosen := os.environ.get("GENCOURSE_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "~/AppData/Local")
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "gencourse"
