"""Keep what JAX has compiled, so that a notebook's second run starts at once.

`keep()` turns on JAX's own persistent compilation cache; `gencourse.notebook.begin`
calls it. The environment variable GENCOURSE_COMPILED=off switches it off, and a cache
that you have given JAX yourself (JAX_COMPILATION_CACHE_DIR) is left alone.

A file that was cut short, because a disk was full or a run was killed, breaks no run:
JAX warns "Error reading persistent compilation cache entry" and compiles. It does not
write such a file again, so the warning comes back until the file is gone:
`python -m gencourse cache --clear`.
"""

import contextlib
import hashlib
import os
import platform
import re
import stat
import tempfile
from importlib import metadata
from pathlib import Path

from gencourse.system import paths

LIMIT = 300e6  # bytes of all compiled code together, held whenever a notebook begins

# What tells processors apart in Linux's /proc/cpuinfo, on x86-64 and on ARM; the rest,
# such as the clock of the moment, must not.
TELLING = {"model name", "flags", "CPU implementer", "CPU part", "Features"}


def home() -> Path:
    """Return the folder of all compiled code; each key() has a folder within it."""
    return paths.cache_dir() / "compiled"


def enable() -> Path | None:
    """Turn on JAX's compilation cache; return its folder, or None if it stays off."""
    import jax  # here, so that looking at the cache costs nothing

    if os.environ.get("GENCOURSE_COMPILED") == "off":
        return None
    if not jax.config.jax_enable_compilation_cache:
        return None
    try:
        folder = home() / key(processor(), metadata.version("jaxlib"), _threads())
    except RuntimeError:  # a user without a home
        return None
    if jax.config.jax_compilation_cache_dir not in (None, str(folder)):
        return None
    if not _ours(folder):
        return None
    prune(LIMIT)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # The start of a notebook is many small programs, each soon compiled.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return folder


def key(processor: str, jaxlib: str, threads: int) -> str:
    """Return a short name for where compiled code may run.

    A home directory may serve many machines, and code for one processor may not run
    on another. XLA cuts loops into parts by the number of threads, at compile time.
    """
    text = "\n".join((processor, jaxlib, str(threads)))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def processor(cpuinfo: str | None = None) -> str:
    """Return what distinguishes this machine's processor, or that of the text given."""
    if cpuinfo is None:
        try:
            cpuinfo = Path("/proc/cpuinfo").read_text()
        except OSError:  # not Linux
            cpuinfo = ""
    lines = (line.partition(":") for line in cpuinfo.splitlines())
    found = {
        f"{name.strip()}:{' '.join(value.split())}"
        for name, _, value in lines
        if name.strip() in TELLING
    }
    return "\n".join([platform.machine(), *(sorted(found) or [platform.processor()])])


def size() -> int:
    """Return how many bytes of compiled code are kept."""
    return sum(size for _, size, _ in _files())


def prune(limit: float) -> None:
    """Delete what was unused longest, until no more than `limit` bytes are kept."""
    total = 0
    for _, size, file in sorted(_files(), reverse=True):
        total += size
        if total > limit:
            with contextlib.suppress(OSError):  # another process was quicker
                file.unlink()


def clear() -> int:
    """Delete all compiled code; how many bytes that was.

    The folders stay, so that a notebook that is running can go on writing.
    """
    deleted = 0
    for _, size, file in _files():
        with contextlib.suppress(OSError):
            file.unlink()
            deleted += size
    return deleted


def _files():
    """[(when last used, bytes, path)] of what JAX wrote, and of nothing else that may
    lie in a folder of this name; what others delete meanwhile is left out."""
    found = []
    with contextlib.suppress(OSError, RuntimeError):
        if home().is_symlink():
            return []
        for folder in home().iterdir():
            if folder.is_symlink() or not re.fullmatch("[0-9a-f]{12}", folder.name):
                continue
            for file in folder.rglob("*"):
                with contextlib.suppress(OSError):
                    is_ = file.lstat()
                    ours = file.name.endswith(("-cache", "-atime"))
                    if ours and stat.S_ISREG(is_.st_mode):
                        used = max(is_.st_atime, is_.st_mtime)  # some keep no atime
                        found.append((used, is_.st_size, file))
    return found


def _ours(folder):
    """Can we write there, and nobody else? Compiled code is run as it is found."""
    try:
        paths.cache_dir().mkdir(parents=True, exist_ok=True)
        for each in (folder.parent, folder):
            each.mkdir(mode=0o700, exist_ok=True)
            is_ = each.lstat()
            if not stat.S_ISDIR(is_.st_mode):  # a link, perhaps to something dear
                return False
            if hasattr(os, "getuid") and (
                is_.st_uid != os.getuid() or is_.st_mode & 0o22
            ):
                return False
        tempfile.TemporaryFile(dir=folder).close()
        return True
    except OSError:
        return False


def _threads():
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
