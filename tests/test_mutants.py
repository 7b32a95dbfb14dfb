"""The faults of tools/mutants.py can be put in, and what is told of them is true."""

import sys

import pytest

from tools import mutants


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda m: m.name)
def test_a_fault_has_its_place_and_its_tests(mutant):
    text = (mutants.ROOT / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1 and mutant.new not in ("", mutant.old)
    for test in mutant.ids():
        file, _, function = test.partition("::")
        there = (mutants.ROOT / file).read_text(encoding="utf-8")
        assert f"def {function.partition('[')[0]}" in there, f"{test} is not there"


def test_faults_are_told_apart():
    assert len({mutant.name for mutant in mutants.MUTANTS}) == len(mutants.MUTANTS)


def test_a_fault_is_caught_or_survives(tmp_path):
    """And a passage or a test that is not there is neither."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    (tmp_path / "sums.py").write_text("def add(a, b):\n    return a + b\n")
    test = "import sums\n\ndef test_add():\n    assert sums.add({}) == 4\n"
    for name, numbers in (("weak", "2, 2"), ("strong", "1, 3")):
        (tmp_path / f"tests/test_{name}.py").write_text(test.format(numbers))
    faults = {
        "caught": mutants.Mutant("f", "sums.py", "a + b", "a * b", "test_strong"),
        "survived": mutants.Mutant("f", "sums.py", "a + b", "a * b", "test_weak"),
        "error": mutants.Mutant("f", "sums.py", "a - b", "a * b", "test_strong"),
    }
    for result, fault in faults.items():
        found, by = mutants.ask(fault, sys.executable, tmp_path)
        assert (found, bool(by)) == (result, result != "survived")
    assert "a + b" in (tmp_path / "sums.py").read_text()
    (tmp_path / "tests/test_weak.py").write_text("def test_no():\n    assert 0\n")
    gone = faults["caught"]._replace(tests="test_weak test_strong::test_gone")
    bad = mutants.unsound(sys.executable, tmp_path, [gone])
    assert bad == {
        "tests/test_strong.py::test_gone": "is not there",
        "tests/test_weak.py": "fails without the fault",
    }
