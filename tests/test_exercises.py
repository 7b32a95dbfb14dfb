"""Blank answers fail, right ones pass, and every known mistake gets its own hint.

tests/answers/<chapter>.py holds EXERCISES: a dict from an exercise's name
to `right` (an answer, or a list of them), `wrong` (a list of (answer, what its hint
must match)) and, if the check takes something else for it, `blank`.
"""

import importlib
import re
from pathlib import Path

import _haste
import jax
import nbformat
import pytest
from test_notebooks import IDLE

from tools import notebooks

ROOT = Path(__file__).resolve().parent.parent
SOLUTIONS = sorted(ROOT.glob("solutions/*.ipynb"))
CHECKS = sorted(
    path for path in ROOT.glob("gencourse/checks/*.py") if path.stem != "__init__"
)
ABOUT_THE_LAST_BIT = {"dcgan.adjoint"}  # hints that hang on rounding, as users have it
MISSING = r"(?i)missing|write your answer"  # what a blank answer is told
REGION = re.compile(r"^.*BEGIN SOLUTION.*$\n([\s\S]*?)^.*END SOLUTION.*$", re.MULTILINE)


def answers(chapter):
    """EXERCISES of a chapter, from the module that is named after it."""
    return importlib.import_module(f"answers.{chapter}").EXERCISES


def of(name):
    """(check, its entry in EXERCISES) of "chapter.exercise"."""
    chapter, exercise = name.split(".")
    module = importlib.import_module(f"gencourse.checks.{chapter}")
    return getattr(module, exercise), answers(chapter)[exercise]


def hint(check, answer):
    from gencourse.checks import Wrong

    with pytest.raises(Wrong) as raised:
        check(answer)
    return str(raised.value)


def kind(cell):
    return cell.metadata.get("nbgrader", {})


def is_check(cell):
    return kind(cell).get("grade", False) and not kind(cell).get("solution", False)


def is_solution(cell):
    return cell.cell_type == "code" and kind(cell).get("solution", False)


def solution_lines(cell):
    """The lines that are an answer: of the regions, or of the whole cell."""
    regions = REGION.findall(cell.source) or [cell.source]
    lines = [line.strip() for region in regions for line in region.splitlines()]
    return [line for line in lines if len(line) > 3 and not line.startswith("#")]


EXERCISES = [f"{path.stem}.{name}" for path in CHECKS for name in answers(path.stem)]


@pytest.mark.parametrize("name", EXERCISES)
def test_the_right_answer_passes(name, capsys):
    check, entry = of(name)
    right = entry["right"] if isinstance(entry["right"], list) else [entry["right"]]
    assert right
    for answer in right:
        check(answer)
        assert re.search("[✓✔✅]", capsys.readouterr().out), "prints no tick"


@pytest.mark.parametrize("name", EXERCISES)
def test_every_wrong_answer_gets_its_own_hint(name, monkeypatch):
    if name in ABOUT_THE_LAST_BIT:
        monkeypatch.setattr(_haste, "on", False)
        jax.clear_caches()  # of what was compiled in haste
    check, entry = of(name)
    assert len(entry["wrong"]) >= 3, "three mistakes that learners make, or more"
    hints = []
    for answer, expected in entry["wrong"]:
        hints.append(hint(check, answer))
        assert re.search(expected, hints[-1]), f"{answer!r} is told: {hints[-1]}"
    assert len(set(hints)) == len(hints), f"two mistakes share a hint: {hints}"


@pytest.mark.parametrize("name", EXERCISES)
def test_a_blank_answer_is_said_to_be_missing(name):
    check, entry = of(name)
    assert re.search(MISSING, hint(check, entry.get("blank")))


PARTS = re.compile(r"checks\.(\w+)\(\[(.+)\]\)")  # of a cell: its check, the parts


def parts():
    """(exercise, which part of its answer, that part's name in the notebook) of all."""
    for path in SOLUTIONS:
        chapter = path.stem.split("_", 1)[1]
        sources = [cell.source for cell in notebooks.read(path).cells if is_check(cell)]
        for name, given in PARTS.findall("\n".join(sources)):
            for i, part in enumerate(given.split(", ")):
                if part != "one_go":  # the notebook's own, no learner's
                    yield f"{chapter}.{name}", i, part


def test_there_are_answers_of_several_parts():
    assert len({name for name, _, _ in parts()}) > 10


@pytest.mark.parametrize("name, i, part", list(parts()))
def test_the_part_that_is_missing_is_named(name, i, part):
    check, entry = of(name)
    answer = list(entry["right"][0])
    # as the exercise has them: three dots, and a function that has no lines yet
    answer[i] = blank_of(part) if hasattr(answer[i], "__name__") else ...
    said = hint(check, answer)
    assert said.startswith(f"`{part}` is still missing"), said


def blank_of(name):
    def blank(*args, **options):
        raise NotImplementedError("write your answer in this place")

    blank.__name__ = name
    return blank


def test_exercises_are_fresh():
    notebooks.exercises(check=True)


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda p: p.stem)
def test_an_exercise_says_how_hard_and_how_long_and_gives_nothing_away(path):
    nb = notebooks.read(path)
    left = "\n".join(
        cell.source for cell in notebooks.exercise(notebooks.read(path)).cells
    )
    public = {
        line.strip()
        for cell in nb.cells
        for line in REGION.sub("", cell.source).splitlines()
        if not is_solution(cell) or REGION.search(cell.source)
    }
    prose = ""
    for cell in nb.cells:
        if cell.cell_type == "markdown" and not kind(cell).get("solution"):
            new = cell.source.startswith("#")  # all that stands below one heading
            prose = cell.source if new else f"{prose}\n{cell.source}"
        elif is_solution(cell):
            where = f"{path.stem}, {kind(cell)['grade_id']}"
            assert re.search(r"(?i)difficulty", prose), f"{where}: how hard is it?"
            assert re.search(r"\d+ ?min", prose), f"{where}: how many minutes?"
            for line in set(solution_lines(cell)) - public:
                assert line not in left, f"{where} gives away {line!r}"


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda p: p.stem)
def test_every_exercise_is_checked_and_its_blank_fails(path, monkeypatch):
    target = ROOT / "exercises" / path.name
    nb = notebooks.read(target)
    checks = [cell for cell in nb.cells if is_check(cell)]
    chapter = path.stem.split("_", 1)[1]
    named = {n for n in answers(chapter) for c in checks if f".{n}(" in c.source}
    assert named == set(answers(chapter)), "exercises without a check cell, or known"
    assert len(checks) == len(named), "check cells that check no known exercise"
    assert 4 <= len(checks) <= 7
    last = max(i for i, cell in enumerate(nb.cells) if cell in checks)
    nb.cells = [nbformat.v4.new_code_cell(IDLE), *nb.cells[: last + 1]]
    monkeypatch.setenv("XLA_FLAGS", _haste.FLAGS)  # as the solutions' own runs have it
    notebooks.execute(nb, target.parent, "smoke", allow_errors=True, timeout=600)
    for cell in checks:
        errors = [out for out in cell.outputs if out.output_type == "error"]
        assert errors, f"the blank passes: {cell.source}"
        said = f"{errors[0].ename}: {errors[0].evalue}"
        assert re.search(MISSING, said), f"{cell.source}\nsays {said}"
