"""experiments/measure.py: which figures it keeps, and which it measures again."""

import json
import sys

import pytest

from experiments import measure
from experiments.registry import Experiment
from tools import notebooks


def test_each_figure_has_a_command_that_measures_it():
    """Recipes change and get other names; no figure may outlive its own."""
    for key, entry in notebooks.results().items():
        name = entry["experiment"]
        assert name in measure.EXPERIMENTS, f"{key}: nobody measures it"
        assert not measure.other_recipe(name, entry), f"{key}: by another recipe"
        assert set(entry["seeds"]) <= set(measure.EXPERIMENTS[name].seeds), key
    entry = notebooks.results()["gan.mnist.frechet"]
    for field in ("how", "data", "budget", "experiment"):
        other = entry | {field: "another"}
        assert measure.other_recipe("gan.mnist", other), field


def test_a_figure_of_another_recipe_is_measured_anew(tmp_path, monkeypatch, capsys):
    """Its seeds are not counted, and nothing of it stays among the new figures."""
    pytest.importorskip("fcntl")
    file = tmp_path / "results.json"
    monkeypatch.setattr(measure, "RESULTS", file)

    def experiment(name, how, **figures):
        def run(seed, args):
            return {f"small.{key}": value + seed for key, value in figures.items()}

        recipe = Experiment(run, "some data", how, (0, 1), "full")
        monkeypatch.setitem(measure.EXPERIMENTS, name, recipe)

    def main(*arguments):
        monkeypatch.setattr(sys, "argv", ["measure.py", *arguments])
        measure.main()
        return json.loads(file.read_text()), capsys.readouterr().out

    experiment("small", "one way", a=0.5, b=7.0)
    found, _ = main("small")
    assert found["small.a"]["values"] == [0.5, 1.5] and found["small.a"]["n"] == 2
    assert main("small")[1].count("already measured") == 2

    found["small.a"]["seconds"] = 1000.0
    file.write_text(json.dumps(found))
    experiment("small", "another way", a=10.5)
    found, said = main("small", "--seeds", "1")
    assert list(found) == ["small.a"] and "another recipe" in said
    assert found["small.a"]["values"] == [11.5]
    assert found["small.a"]["seconds"] < 1000, "those of the first recipe"
    found, said = main("small")
    assert found["small.a"]["values"] == [10.5, 11.5] and said.count("already") == 1
    assert main("small")[1].count("already measured") == 2

    experiment("renamed", "another way", a=20.5)  # the same figure, by another name
    monkeypatch.delitem(measure.EXPERIMENTS, "small")
    found, _ = main("renamed", "--seeds", "0")
    assert found["small.a"]["values"] == [20.5]
    assert found["small.a"]["experiment"] == "renamed"
