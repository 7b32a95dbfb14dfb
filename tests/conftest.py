"""What holds for every test: the smallest budget, no bars, no windows, no kept code."""

import os

os.environ["GENCOURSE_BUDGET"] = "smoke"
os.environ["TQDM_DISABLE"] = "1"
os.environ["MPLBACKEND"] = "Agg"
# Every test compiles what it tests, notebooks too, and writes nowhere in a home.
os.environ["GENCOURSE_COMPILED"] = "off"

import jax  # noqa: E402, after the environment that it reads

# (N,) + (N, M) is a mistake more often than it is meant.
jax.config.update("jax_numpy_rank_promotion", "raise")
