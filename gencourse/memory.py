"""Keep the memory that a training step gives back, for the next step.

A step on a CPU asks for tens of megabytes of working memory and returns them at its
end. On Linux the C library hands such blocks back to the system at once, and the next
step gets them anew, page by page, each page zeroed. `keep()` asks the C library to
hold on to what it has.

`gencourse.train` calls it when it is imported, and says so. It acts on Linux with
glibc alone. The environment variable GENCOURSE_MALLOC=system switches it off, and so
does any setting of your own for glibc's malloc (GLIBC_TUNABLES, MALLOC_...).
"""

import ctypes
import os
import sys

# Python's thread and two that compute each find in a heap of their own what they have
# freed. Measured on two cores: with a single heap dense steps were slower, with eight
# the convolutional ones (`benchmarks/NOTES.md`).
HEAPS = 3

ARENA_MAX = -8
# All numbers are those of glibc's <malloc.h>, fixed since long; see mallopt(3).
SETTINGS = {
    -4: 0,  # M_MMAP_MAX: take no block from the system directly
    -1: -1,  # M_TRIM_THRESHOLD: give none back from the heap's end
    -2: 64 * 2**20,  # M_TOP_PAD: grow the heap by 64 MB at a time
    ARENA_MAX: HEAPS,  # M_ARENA_MAX
}


def keep():
    """Hold on to freed memory; True where that was set. Later calls change nothing.

    It works best before JAX has started its threads: so import `gencourse.train`
    before the first array is made.
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
    return all([mallopt(name, value) for name, value in SETTINGS.items()])
