"""What holds for every test: the smallest budget, no bars, no windows, one thread.

Two workers (pytest-xdist, see `make test`) share what they compile, and leave it to
the next run in build/compiled. Nothing is written in a home.
"""

import contextlib
import gc
import hashlib
import os
import shutil
import signal
from pathlib import Path

import _haste

from gencourse.system import (
    compile_cache,  # needs no JAX, which reads the environment below
)

ROOT = Path(__file__).resolve().parent.parent
COMPILED = ROOT / "build" / "compiled"
LIMIT = 500e6  # bytes of compiled code that stay for the next run


def compiled_here():
    """Return the folder of what was compiled with these packages on this machine.

    JAX finds a program again by its text, its options and its own version: a program
    that has changed is recompiled. Not in that key are the processor and what else
    the lock pins, so each of those has a folder of its own.
    """
    lock = (ROOT / "requirements.lock").read_bytes()
    key = compile_cache.key(
        compile_cache.processor(), hashlib.sha256(lock).hexdigest(), 1
    )
    return COMPILED / key


os.environ["GENCOURSE_BUDGET"] = "smoke"
os.environ["TQDM_DISABLE"] = "1"
os.environ["MPLBACKEND"] = "Agg"
# Most of a test is Python and the compiler, which have one thread; with two workers,
# XLA's second one would only be in the other's way.
os.environ["NPROC"] = "1"
os.environ["GENCOURSE_COMPILED"] = "off"
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(compiled_here())
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
# A shell's background jobs are deaf to Ctrl-C, and the tests of it would be, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import jax  # noqa: E402, after the environment that it reads
import pytest  # noqa: E402
from jax._src import compiler  # noqa: E402, its options are asked for here alone

# (N,) + (N, M) is a mistake more often than it is meant.
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_configure(config):
    if not hasattr(config, "workerinput"):  # once, however many workers there are
        prune()


def prune():
    """Delete what older packages compiled, and what was unused longest."""
    here, total = compiled_here(), 0
    with contextlib.suppress(OSError):
        for folder in COMPILED.iterdir():
            if folder != here:
                shutil.rmtree(folder, ignore_errors=True)
        facts = [(file.stat(), file) for file in here.iterdir()]
        facts.sort(key=lambda f: max(f[0].st_atime, f[0].st_mtime), reverse=True)
        for fact, file in facts:
            total += fact.st_size
            if total > LIMIT:
                file.unlink()


@pytest.fixture(autouse=True, scope="module")
def compilation(request):
    """Compile in haste, unless the module says IN_HASTE = False, and then forget it.

    Haste is for what runs a few times; what runs for long, or is about bits, is
    compiled as users have it. Processes that a module starts do as the module does.
    """
    options = compiler.get_compile_options

    def in_haste(*args, env_options_overrides=None, **kwargs):
        more = (_haste.OPTIONS if _haste.on else {}) | (env_options_overrides or {})
        return options(*args, env_options_overrides=more, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        if getattr(request.module, "IN_HASTE", True):
            patch.setenv("XLA_FLAGS", _haste.FLAGS)
            patch.setattr(compiler, "get_compile_options", in_haste)
        yield
    jax.clear_caches()
    gc.collect()


# --- two workers -----------------------------------------------------------------


def unit(nodeid):
    """Return the name of what one worker does in one go: a notebook, or a file.

    The exercises of a chapter go together, since they compile the same networks.
    """
    file, _, test = nodeid.partition("::")
    if "notebooks.py" in file or "blank_fails" in test:
        return nodeid
    if "exercises.py" in file and "." in test:
        return f"{file} {test.partition('[')[2].partition('.')[0]}"
    return file


def pytest_collection_modifyitems(config, items):
    """Whole notebooks first, small files last: so no worker waits long at the end."""

    def rank(item):
        whole = unit(item.nodeid) == item.nodeid
        return not whole, "notebooks" not in item.nodeid, -item.path.stat().st_size

    if hasattr(config, "workerinput"):
        items.sort(key=rank)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling

    class ByUnit(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return unit(nodeid)

    config.option.loadscopereorder = False  # the order is that of the items
    return ByUnit(config, log)


# --- memory ----------------------------------------------------------------------


def peaks():
    """Return (this process, the largest of its children) at their peaks, in bytes."""
    try:
        import resource
    except ImportError:  # Windows
        return 0, 0
    whom = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return [1024 * resource.getrusage(each).ru_maxrss for each in whom]


PEAKS = []


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["peaks"] = peaks()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    PEAKS.append(getattr(node, "workeroutput", {}).get("peaks", (0, 0)))


def pytest_terminal_summary(terminalreporter):
    own, children = map(max, zip(*(PEAKS or [peaks()]), strict=True))
    terminalreporter.write_line(
        f"peak memory: a pytest process {own / 1e9:.1f} GB, "
        f"a process that it started {children / 1e9:.1f} GB"
    )
