"""Figures of what is there: the embedded judges, each notebook's minutes, fit's speed.

Nothing else may run on the machine while minutes and speed are measured.
"""

from pathlib import Path

from benchmarks import loop
from experiments.registry import (
    ALL_DIGITS,
    EMBEDDED_CLOTHES,
    EMBEDDED_DIGITS,
    FACES,
    PADDED_CLOTHES,
    PHOTOGRAPHS,
    experiment,
)
from gencourse import data
from gencourse.metrics.judges import load_judge, probabilities
from tools import notebooks, timing

ROOT = Path(__file__).resolve().parent.parent
FIRST_RUN = {"GENCOURSE_COMPILED": "off"}  # everything is compiled
JUDGES = {
    "fashion_mnist": PADDED_CLOTHES,
    "cifar10": PHOTOGRAPHS,
    "mnist": ALL_DIGITS,
}
NOTEBOOKS = {
    "chapters.01_autoencoder": EMBEDDED_CLOTHES,
    "solutions.01_autoencoder": EMBEDDED_CLOTHES,
    "chapters.02_vae": EMBEDDED_CLOTHES,
    "chapters.02_project_faces": FACES,
    "solutions.02_vae": EMBEDDED_CLOTHES,
    "chapters.03_gan": EMBEDDED_DIGITS,
    "solutions.03_gan": EMBEDDED_DIGITS,
    "chapters.04_dcgan": EMBEDDED_DIGITS,
    "chapters.04_project_colour": FACES,
    "chapters.05_cgan": EMBEDDED_DIGITS,
    "chapters.05_project_paper": f"{EMBEDDED_DIGITS}; {FACES}",
    "solutions.05_cgan": EMBEDDED_DIGITS,
    "solutions.04_dcgan": EMBEDDED_DIGITS,
    "chapters.06_pix2pix": FACES,
    "solutions.06_pix2pix": FACES,
    "chapters.07_cyclegan": FACES,
    "solutions.07_cyclegan": FACES,
}


def judge(name):
    def run(seed, args):
        """The embedded judge on the full official test set. Its weights are fixed, so
        there is one figure whatever the seed."""
        images, labels = data.load(name, "test", True, args.data_dir)
        p = probabilities(load_judge(name), data.scale(images, "unit"))
        return {
            f"judge.{name}.accuracy": float((p.argmax(1) == labels).mean()),
            f"judge.{name}.confidence": float(p.max(1).mean()),
        }

    return run


for name, used in JUDGES.items():
    options = dict(data=used, how="embedded weights", seeds=[0])
    experiment(f"judge.{name}", **options)(judge(name))


def notebook(name):
    def run(seed, args):
        """A notebook from top to bottom, kernel start and compilation included: its
        minutes, and the most memory that its kernel ever held, in GB of 1e9 bytes."""
        path = ROOT / (name.replace(".", "/") + ".ipynb")
        figures = {}
        for budget in ("smoke", "laptop"):
            nb = notebooks.read(path)
            taken = timing.timed(nb, path.parent, budget, **FIRST_RUN)
            figures[f"{name}.{budget}.minutes"] = taken.seconds / 60
            figures[f"{name}.{budget}.gb"] = taken.peak / 1e9
        return figures

    return run


for name, used in NOTEBOOKS.items():
    experiment(
        name,
        data=used,
        how="from top to bottom, start of the kernel and compilation included",
        seeds=[0],
        budget="",
    )(notebook(name))


@experiment(
    "speed",
    data="random pictures, 32x32x1",
    how="batch 100, Adam, medians",
    seeds=[0],
    budget="laptop",
)
def loop_speed(seed, args):
    """Chapter 1's step in fit, in a bare loop, and as plain Flax, in one sitting."""
    return loop.measure()
