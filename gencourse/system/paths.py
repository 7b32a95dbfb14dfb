"""Where the course keeps what it can make again: decoded sets and compiled code."""

import os
import sys
from pathlib import Path


def cache_dir() -> Path:
    """Return the cache directory: $GENCOURSE_CACHE if set, else the platform's."""
    if chosen := os.environ.get("GENCOURSE_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "~/AppData/Local")
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "gencourse"
