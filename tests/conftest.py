"""What holds for every test: the smallest budget, no bars, no windows, nothing kept."""

import atexit
import os
import shutil
import signal
import tempfile

os.environ["GENCOURSE_BUDGET"] = "smoke"
os.environ["TQDM_DISABLE"] = "1"
os.environ["MPLBACKEND"] = "Agg"
# What one process of a test run has compiled, such as a notebook's kernel, the others
# find; the next test run compiles all of it anew. Nothing is written in a home.
compiled = tempfile.mkdtemp(prefix="gencourse-tests-")
atexit.register(shutil.rmtree, compiled, ignore_errors=True)
os.environ["GENCOURSE_COMPILED"] = "off"
os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
# A shell's background jobs are deaf to Ctrl-C, and the tests of it would be, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import jax  # noqa: E402, after the environment that it reads

# (N,) + (N, M) is a mistake more often than it is meant.
jax.config.update("jax_numpy_rank_promotion", "raise")
