"""Freed memory is kept for the next step, unless somebody else decides about it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gencourse.system import malloc


def glibc():
    try:
        return sys.platform == "linux" and bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (OSError, ValueError):
        return False


pytestmark = pytest.mark.skipif(not glibc(), reason="acts on Linux with glibc alone")

KEEP = "from gencourse.system import malloc; print(malloc.retain_freed_memory())"

# Computations of some 110 MB, which end as a training step's working memory does; one
# block is so large that only the main heap keeps it. A step now and then takes a part
# of the heap that none has touched before: so the median.
PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
FAULTS = """
from gencourse.system import malloc
kept = malloc.retain_freed_memory()
import resource, statistics, jax, jax.numpy as jnp
x, large = jnp.ones((1200, 1200)), jnp.ones(20_000_000)
f = jax.jit(lambda x, y: (jnp.tanh(x) @ x, x @ x.T, jnp.exp(x), x + 1, y + 1))
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    jax.block_until_ready(f(x, large))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(kept, statistics.median_low([faults() for _ in range(25)][5:]))
"""


def run(code, **environment):
    """What a process prints in which nobody has set anything but `environment`."""
    ours = ("MALLOC_", "GLIBC_TUNABLES", "GENCOURSE_MALLOC")
    there = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, env=there | environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    "environment, kept",
    [
        ({}, "True"),
        ({"GLIBC_TUNABLES": "glibc.pthread.rseq=0"}, "True"),
        ({"GENCOURSE_MALLOC": "system"}, "False"),
        ({"MALLOC_ARENA_MAX": "2"}, "False"),
        ({"GLIBC_TUNABLES": "glibc.malloc.mmap_max=100"}, "False"),
    ],
)
def test_it_acts_where_nobody_else_has_decided(environment, kept):
    assert run(KEEP, **environment) == [kept]


@pytest.mark.parametrize("platform", ["darwin", "win32", "freebsd14"])
def test_it_does_nothing_on_other_systems(platform, monkeypatch):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(malloc.ctypes, "CDLL", None)  # it must not get so far
    assert malloc.retain_freed_memory() is False


def test_it_does_nothing_with_another_c_library(monkeypatch):
    def confstr(name):
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "confstr", confstr)
    monkeypatch.setattr(malloc.ctypes, "CDLL", None)
    for name in [
        n for n in os.environ if n.startswith(("MALLOC_", "GLIBC_", "GENCOURSE_M"))
    ]:
        monkeypatch.delenv(name)
    assert malloc.retain_freed_memory() is False


TRAIN = """
from gencourse.system import malloc
malloc.retain_freed_memory = lambda: print("retained")
from tools import faults
print("imported")
faults.train(None, 1, progress=False)
"""


def test_training_calls_for_it_and_an_import_does_not():
    assert run(TRAIN) == ["imported", "retained"]


@pytest.mark.skipif(
    PAGES.exists() and "[always]" in PAGES.read_text(), reason="pages of 2 MB"
)
def test_the_next_step_finds_the_memory_of_the_last():
    kept, few = run(FAULTS)
    # Left to itself the library learns, in some runs and not in others.
    again, many = run(FAULTS, MALLOC_MMAP_THRESHOLD_=str(2**17))
    assert (kept, again) == ("True", "False")
    assert int(many) > 20_000, (
        "this work asks the system for nothing again: take another"
    )
    assert 5 * int(few) <= int(many)
    print(f"page faults a step: {few} with it, {many} without")


RELEASE = """
from gencourse.system import malloc
malloc.retain_freed_memory()
import numpy as np
some, last = [np.ones(1_000_000) for _ in range(50)], np.ones(1000)
grown = malloc._resident()
del some
kept = malloc._resident() > grown - 10e6
print(kept, malloc.release(), malloc._resident() < grown - 350e6, malloc.release())
"""


def test_much_that_is_held_goes_back_and_little_is_not_looked_for():
    assert run(RELEASE) == ["True", "True", "True", "False"]
    assert run(RELEASE, GENCOURSE_MALLOC="system")[1] == "False"
