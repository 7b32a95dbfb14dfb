"""Keep the memory that a training step gives back, for the next step.

A step on a CPU asks for tens of megabytes of working memory and returns them at its
end. On Linux the C library hands such blocks back to the system at once, and the next
step gets them anew, page by page, each page zeroed. `keep()` asks the C library to
hold on to what it has.

It can do so in its main heap alone, which Python's own thread uses; in the heaps of
other threads a block of more than 64 MB always goes back. So JAX is asked as well to
run a step in the thread that calls it, and not to return before the step is done.
(One heap for all threads would do, too; but there they wait for each other.)

`gencourse.train` calls it when it is imported, and says so. It acts on Linux with
glibc alone. The environment variable GENCOURSE_MALLOC=system switches it off, and so
does any setting of your own for glibc's malloc (GLIBC_TUNABLES, MALLOC_...).
"""

import ctypes
import os
import sys

# The numbers are those of glibc's <malloc.h>, fixed since long; see mallopt(3).
SETTINGS = {
    -4: 0,  # M_MMAP_MAX: take no block from the system directly
    -1: -1,  # M_TRIM_THRESHOLD: give none back from the heap's end
    -2: 64 * 2**20,  # M_TOP_PAD: grow the heap by 64 MB at a time
}


def keep():
    """Hold on to freed memory; True where that was set. Later calls change nothing.

    It works only before JAX has met its devices: so import `gencourse.train` before
    the first array is made.
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
    kept = all([mallopt(name, value) for name, value in SETTINGS.items()])
    return kept and _in_the_calling_thread()


def _in_the_calling_thread():
    """Ask JAX to run on a CPU what it is called for there; whether it knows how."""
    import jax

    try:
        jax.config.update("jax_cpu_enable_async_dispatch", False)
    except AttributeError:  # a version that has no such choice
        return False
    return True
