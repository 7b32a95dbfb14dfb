"""The experiments by name: how each is run, and what its figures say of themselves."""

from collections.abc import Callable
from typing import NamedTuple

THREE = (0, 1, 2)

# The data, in the words of results.json.
CLOTHES = "Fashion-MNIST, 60,000 train and 10,000 test"
PADDED_CLOTHES = f"{CLOTHES}, padded to 32x32"
EMBEDDED_CLOTHES = "Fashion-MNIST, the embedded 10,000"
ALL_DIGITS = "MNIST, 60,000 train and 10,000 test"
DIGITS = "MNIST, 50,000 train, 10,000 held back, 10,000 test"
FEW_DIGITS = "MNIST, 9,000 of the embedded 10,000; the official 10,000 test ones"
EMBEDDED_DIGITS = "MNIST, the embedded 10,000"
PHOTOGRAPHS = "CIFAR-10, 50,000 train and 10,000 test"
FACES = "faces, composed: 10,000 train, 2,000 test"


class Experiment(NamedTuple):
    run: Callable
    """`run(seed, args)` returns its figures: a dict from result names to numbers."""
    data: str
    how: str
    seeds: tuple
    budget: str
    """"" if each figure's name tells its own: `<name>.<budget>.<figure>`."""


EXPERIMENTS = {}


def experiment(name, *, data, how, seeds=THREE, budget="full"):
    """Register the decorated function as the experiment `name`."""

    def register(run):
        EXPERIMENTS[name] = Experiment(run, data, how, tuple(seeds), budget)
        return run

    return register
