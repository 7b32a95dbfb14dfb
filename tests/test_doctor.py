"""The doctor's advice, and the commands of python -m gencourse."""

import subprocess
import sys
from pathlib import Path

import _data_fake
import pytest

from gencourse import __main__ as cli
from gencourse.cli import doctor
from gencourse.data import registry

WELL = {
    "python": (3, 11, 7),
    "versions": {"gencourse": "0.1.0", "jax": "0.10.2", "tensorflow-datasets": "4.9"},
    "devices": "cpu:0 (cpu)",
    "jax_error": "",
    "platform": "cpu",
    "gpu": False,
    "threads": 2,
    "memory": 8e9,
    "home": Path("/data/ada/tensorflow_datasets"),
    "disk": 50e9,
    "cache_error": "",
    "compiled": 640_000,
    "tfds_error": "",
    "sets": {"mnist": "embedded part ready; whole set not prepared"},
    "data_error": "",
    "speed": 700.0,
    "learns": True,
    "probe_error": "",
}


def test_nothing_off_no_advice():
    assert doctor.advice(WELL) == []
    assert doctor.advice(WELL | {"gpu": True, "platform": "gpu"}) == []


@pytest.mark.parametrize(
    "off, stops, words",
    [
        ({"gpu": True}, False, "pip install -e '.[cuda]'"),
        ({"threads": 1}, False, "one CPU thread"),
        ({"memory": 1e9}, False, "little memory (1.0 GB free, a notebook takes"),
        ({"disk": 0.5e9}, False, "set TFDS_DATA_DIR and GENCOURSE_CACHE"),
        ({"cache_error": "read-only"}, False, "set GENCOURSE_CACHE to a folder"),
        ({"tfds_error": "no module"}, False, "pip install tensorflow-datasets"),
        ({"python": (3, 14, 0)}, False, "Python is newer"),
        ({"python": (3, 10, 2)}, True, "Python is too old"),
        ({"versions": {"jax": "0.6.1"}}, True, 'pip install --upgrade "jax>=0.10"'),
        ({"versions": {"jax": "0.10.0", "flax": None}}, True, "not installed: flax"),
        ({"jax_error": "no plugin"}, True, "jax does not start: no plugin"),
        ({"data_error": "mnist.npz is damaged"}, True, "mnist.npz is damaged"),
        ({"probe_error": "Error: x"}, True, "does not train: Error: x"),
        ({"learns": False}, True, "loss did not fall"),
        ({"speed": 20.0}, False, "GENCOURSE_BUDGET=smoke"),
    ],
)
def test_one_line_for_each_thing_that_is_off(off, stops, words):
    ((stopped, line),) = doctor.advice(WELL | off)
    assert stopped == stops and words in line and "\n" not in line


def test_the_exit_code_tells_whether_the_course_can_start(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "gather", lambda: dict(WELL))
    monkeypatch.setattr(doctor, "probe", lambda: {})
    assert cli.main(["doctor"]) == 0
    assert "All is well" in capsys.readouterr().out
    monkeypatch.setattr(
        doctor, "probe", lambda: {"probe_error": "Error: x", "speed": 0}
    )
    assert cli.main(["doctor"]) == 1
    assert "STOP: chapter 1's network does not train" in capsys.readouterr().out


def test_the_facts_are_gathered_here(monkeypatch, tmp_path):
    monkeypatch.setenv("GENCOURSE_CACHE", str(tmp_path))
    facts = doctor.gather() | doctor.probe(seconds=0)
    assert facts.keys() == WELL.keys()
    assert facts["probe_error"] == "" and facts["learns"] and facts["speed"] > 0
    assert facts["sets"]["mnist"].startswith("embedded part ready; whole set ")
    assert not any(stops for stops, _ in doctor.advice(facts))


def test_threads_know_the_share_of_a_container(tmp_path):
    free = doctor.cpu_threads(tmp_path)  # no such file: all that the process may use
    for text, threads in {
        "max 100000": free,
        "100000 100000": 1,
        "50000 100000": 1,
        "6400000 100000": free,
    }.items():
        (tmp_path / "cpu.max").write_text(text)
        assert doctor.cpu_threads(tmp_path) == threads


def test_a_cache_that_cannot_be_written_is_seen(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("GENCOURSE_CACHE", str(tmp_path / "file" / "cache"))
    assert doctor._cache_error()


@pytest.fixture
def small(monkeypatch, tmp_path):
    _data_fake.shrink(change=monkeypatch.setitem)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setenv("GENCOURSE_CACHE", str(tmp_path / "cache"))


def test_prepare_then_list(small, tmp_path, capsys):
    whole = [name for name, entry in registry.SETS.items() if entry.version]
    assert cli.main(["data"]) == 0
    assert capsys.readouterr().out.count("not prepared") == len(whole)
    originals = str(_data_fake.write("mnist", tmp_path / "originals"))
    assert cli.main(["data", "prepare", "mnist", "--from", originals]) == 0
    assert 'data.load("mnist", full=True)' in capsys.readouterr().out
    assert cli.main(["data", "list"]) == 0
    out = capsys.readouterr().out
    assert out.count("not prepared") == len(whole) - 1
    assert "30 + 20, prepared as array_record (0 MB), cached (0 MB)" in out


def test_a_user_sees_one_message_and_no_traceback(tmp_path):
    def run(*words):
        command = [sys.executable, "-m", "gencourse", *words]
        done = subprocess.run(command, capture_output=True, text=True)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout + done.stderr

    code, text = run("data", "prepare", "mnist", "--from", "no", "--data-dir", "none")
    assert code == 1 and "error: there is no folder no" in text
    code, text = run("data", "prepare", "cats")
    assert code == 2 and "invalid choice: 'cats'" in text
    code, text = run()
    assert code == 0 and "doctor" in text
