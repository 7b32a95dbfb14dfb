"""Keep the memory that a training step gives back, for the next step.

A step on a CPU asks for tens of megabytes of working memory and returns them at its
end. On Linux the C library hands such blocks back to the system at once, and the next
step gets them again, page by page, each page zeroed. `retain_freed_memory()` asks the C
library to hold on to what it has.

A block of more than 64 MB it can keep in its main heap alone, which only the main
thread uses. So JAX is asked as well to run a step on a CPU in the thread that calls it,
and not to return before the step is done. (One heap for all threads would do, too; but
there they wait for each other.) On several CPU devices JAX takes threads of its own all
the same, and such blocks come again.

What is held grows with all that was ever needed at once, and to compile a step needs
hundreds of megabytes once. So `fit` ends with `release()`: what is free then goes back
to the system. The next training's first step finds its memory again, and no other does.

`fit` calls `retain_freed_memory()`, and so does `notebook.setup`; it holds for the
whole process. JAX listens only before it has met its devices: a script that trains
large networks calls it before the first array is made. It acts on Linux with glibc
alone. The environment variable GENCOURSE_MALLOC=system switches it off, and so does any
setting of your own for glibc's malloc (GLIBC_TUNABLES, MALLOC_...).
"""

import ctypes
import os
import sys
from pathlib import Path

DISPATCH = "jax_cpu_enable_async_dispatch"
# The numbers are those of glibc's <malloc.h>, fixed since long; see mallopt(3).
SETTINGS = {
    -4: 0,  # M_MMAP_MAX: take no block from the system directly
    -1: -1,  # M_TRIM_THRESHOLD: give none back from the heap's end
    -2: 64 * 2**20,  # M_TOP_PAD: grow the heap by 64 MB at a time
}
GROWTH = 50e6  # bytes: less than that is not worth the time that looking for it takes
_held = None  # resident bytes after the last release; None if nothing is retained


def retain_freed_memory():
    """Hold on to freed memory, and let JAX run steps in the thread that calls them.

    Return True if both were set. Later calls change nothing.
    """
    if sys.platform != "linux" or os.environ.get("GENCOURSE_MALLOC") == "system":
        return False
    own = any(name.startswith("MALLOC_") for name in os.environ)
    if own or "malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    try:
        if not os.confstr("CS_GNU_LIBC_VERSION"):
            return False
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, ValueError):  # another C library
        return False
    import jax

    try:
        jax.config.update(DISPATCH, False)
    except AttributeError:  # a version that has no such choice
        return False
    global _held
    kept = all([mallopt(name, value) for name, value in SETTINGS.items()])
    if kept and _held is None:
        _held = _resident()
    return kept


def release():
    """Give freed memory back to the system, if much of it is retained.

    True where it was tried: since the last time the process has grown by GROWTH.
    """
    global _held
    if _held is None or _resident() < _held + GROWTH:
        return False
    ctypes.CDLL(None).malloc_trim(0)
    _held = _resident()
    return True


def _resident():
    """Return this process's memory now, in bytes; 0 if Linux does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
