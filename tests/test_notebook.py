"""What notebooks use: the budget, and the source of the code that runs."""

import inspect
import json

import pytest

from gencourse import autoencoder, notebook
from tools import notebooks


def test_the_budget_follows_the_environment(monkeypatch):
    for name, value in (("smoke", 1), ("laptop", 2), ("full", 3)):
        monkeypatch.setenv("GENCOURSE_BUDGET", name)
        assert notebook.budget(smoke=1, laptop=2, full=3) == value
    monkeypatch.delenv("GENCOURSE_BUDGET")
    assert notebook.budget(smoke=1, laptop=2, full=3) == 2
    monkeypatch.setenv("GENCOURSE_BUDGET", "huge")
    with pytest.raises(ValueError, match="'huge'.*smoke, laptop, full"):
        notebook.budget(smoke=1, laptop=2, full=3)


def test_source_shows_the_plain_function_behind_the_jit():
    shown = notebook.source(autoencoder.train_step)
    plain = inspect.getsource(inspect.unwrap(autoencoder.train_step)).rstrip()
    markdown = shown._repr_markdown_()
    assert plain in markdown and "```python" in markdown
    assert "gencourse/autoencoder.py, line" in markdown and plain in repr(shown)
    assert "class Encoder" in repr(notebook.source(autoencoder.Encoder))


def test_the_start_of_a_notebook_says_what_it_runs_on(capsys, monkeypatch, tmp_path):
    (tmp_path / "chapters").mkdir()
    (tmp_path / "results").mkdir()
    monkeypatch.chdir(tmp_path / "chapters")
    monkeypatch.setenv("GENCOURSE_BUDGET", "laptop")
    notebook.setup("chapters.01_x")
    assert "not measured" in capsys.readouterr().out
    for minutes, said in (
        (3.7, "about 4 minutes"),
        (1.2, "about a minute"),
        (0.6, "under"),
    ):
        entry = {"mean": minutes, "device": "cpu, 2 cores"}
        (tmp_path / "results" / "results.json").write_text(
            json.dumps({"chapters.01_x.laptop.minutes": entry})
        )
        notebook.setup("chapters.01_x")
        out = capsys.readouterr().out
        assert said in out and "measured on cpu, 2 cores" in out and "jax 0." in out


def test_the_start_of_a_notebook_says_what_memory_it_takes(
    capsys, monkeypatch, tmp_path
):
    (tmp_path / "chapters").mkdir()
    (tmp_path / "results").mkdir()
    monkeypatch.chdir(tmp_path / "chapters")
    monkeypatch.setenv("GENCOURSE_BUDGET", "laptop")
    measured = {"minutes": 3.1, "gb": 1.23}
    entries = {
        f"chapters.01_x.laptop.{what}": {"mean": mean, "device": "cpu, 2 cores"}
        for what, mean in measured.items()
    }
    (tmp_path / "results" / "results.json").write_text(json.dumps(entries))
    notebook.setup("chapters.01_x")
    said = "about 3 minutes, memory 1.2 GB, measured on cpu, 2 cores"
    assert said in capsys.readouterr().out


def test_no_notebook_takes_more_memory_than_is_said():
    said = f"more than {notebook.MEMORY / 1e9:.1f} GB of memory"
    assert said in (notebooks.ROOT / "README.md").read_text(encoding="utf-8")
    for name, entry in notebooks.results().items():
        if name.endswith(".laptop.gb"):
            assert entry["mean"] * 1e9 <= notebook.MEMORY, name
