"""The house is in order: dependencies, licences, figures in prose, notebooks."""

import ast
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import yaml
from _pictures import blank_outputs
from IPython.core.inputtransformer2 import TransformerManager
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tools import notebooks

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]
REPOSITORY = PROJECT["urls"]["Repository"]
LOCKED_EXTRAS = ("lab", "test", "grade")
COMMITTED = [
    p for d in ("chapters", "solutions") for p in sorted(ROOT.glob(f"{d}/*.ipynb"))
]
ALL = COMMITTED + sorted(ROOT.glob("exercises/*.ipynb"))
PICTURES = ("image/png", "image/gif", "image/jpeg")


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def tracked():
    git = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others"]
    git.append("--exclude-standard")  # new files too, before they are committed
    done = subprocess.run(git, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git clone")
    return [p for n in done.stdout.split("\0") if n and (p := ROOT / n).is_file()]


def name(path):
    return f"{path.parent.name}/{path.stem}"


# --- dependencies --------------------------------------------------------------


def lock():
    """{name: (version, marker, number of hashes)} of requirements.lock."""
    entries = {}
    for line in text("requirements.lock").replace("\\\n", " ").splitlines():
        if not line or line.startswith("#"):
            continue
        spec, *hashes = re.split(r"\s+--hash=", line.strip())
        wanted = Requirement(spec)
        (pin,) = wanted.specifier
        assert pin.operator == "==", line
        key = canonicalize_name(wanted.name)
        assert key not in entries, f"{key} is locked twice"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", h.strip()) for h in hashes), key
        entries[key] = (pin.version, wanted.marker, len(hashes))
    return entries


def test_the_lock_has_every_dependency_at_a_version_that_pyproject_allows():
    locked = lock()
    extras = PROJECT["optional-dependencies"]
    wanted = PROJECT["dependencies"] + [w for e in LOCKED_EXTRAS for w in extras[e]]
    for requirement in map(Requirement, wanted):
        key = canonicalize_name(requirement.name)
        assert key in locked, f"{key} is not in requirements.lock: make lock"
        version = locked[key][0]
        assert requirement.specifier.contains(version, prereleases=True), (
            f"requirements.lock has {key} {version}, pyproject.toml wants "
            f"{requirement.specifier}: make lock"
        )


def test_the_lock_is_all_hashes_and_no_address():
    assert all(hashes for *_, hashes in lock().values())
    assert not re.search(
        r"://|^\s*-[a-z-]|--(index|find|trusted)",
        text("requirements.lock").replace("    --hash", ""),
        re.MULTILINE,
    )


def test_the_build_system_is_in_the_lock():
    build = tomllib.loads(text("pyproject.toml"))["build-system"]["requires"]
    for requirement in map(Requirement, build):
        assert requirement.specifier.contains(lock()[requirement.name][0])


def test_conda_users_get_the_same_pythons_and_extras():
    environment = yaml.safe_load(text("environment.yml"))
    assert environment["name"] == PROJECT["name"]
    *plain, pip = environment["dependencies"]
    python = next(d for d in plain if d.startswith("python"))
    assert SpecifierSet(python.removeprefix("python").strip()) == SpecifierSet(
        PROJECT["requires-python"]
    )
    assert "pip" in plain
    (install,) = pip["pip"]
    extras = re.fullmatch(r"-e \.\[([a-z,]+)\]", install)[1].split(",")
    assert {"lab", "test"} <= set(extras) <= set(PROJECT["optional-dependencies"])


def test_the_makefile_takes_the_pythons_of_pyproject():
    low, high = re.search(
        r"\((3, \d+)\) <= .* <= \((3, \d+)\)", text("Makefile")
    ).groups()
    low, high = (tuple(map(int, v.split(", "))) for v in (low, high))
    allowed = SpecifierSet(PROJECT["requires-python"])
    for minor in range(8, 20):
        assert allowed.contains(f"3.{minor}") == (low <= (3, minor) <= high), minor


# --- licences, citation, addresses ---------------------------------------------


def test_citation_says_what_pyproject_says():
    citation = yaml.safe_load(text("CITATION.cff"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    assert str(citation["version"]) == PROJECT["version"]
    assert citation["repository-code"] == REPOSITORY
    assert " AND ".join(citation["license"]) == PROJECT["license"]
    assert [a["name"] for a in citation["authors"]] == [
        a["name"] for a in PROJECT["authors"]
    ]


def test_licences_are_whole():
    assert "Apache License" in text("LICENSE")
    assert "END OF TERMS AND CONDITIONS" in text("LICENSE")
    assert "Attribution 4.0 International Public License" in text("LICENSE-text")
    assert "Section 8" in text("LICENSE-text")


def test_contributing_fits_on_a_screen():
    assert len(text("CONTRIBUTING.md").splitlines()) <= 40


FOREIGN = re.compile(
    r"pypi[.]org|pythonhosted[.]org|anaconda[.]org|npmjs[.]|"
    r"(?<![\w.])/(?:work|root|home|Users)/\w[\w./-]*"
)


def test_no_file_names_a_registry_or_a_place_on_one_machine():
    for path in tracked():
        try:
            found = FOREIGN.search(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            continue  # pictures and arrays
        assert not found, f"{path.relative_to(ROOT)} names {found[0]}"


def test_addresses_of_the_course_are_those_of_pyproject():
    owner = REPOSITORY.removeprefix("https://github.com/")
    patterns = [
        r"colab\.research\.google\.com/github/([\w.-]+/[\w.-]+)/blob/main/([\w./-]+)",
        r"github\.com/([\w.-]+/gencourse)\b()",
    ]
    for path in [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ALL]:
        if not path.exists():
            continue
        for pattern in patterns:
            for repository, file in re.findall(pattern, path.read_text("utf-8")):
                assert repository.removesuffix(".git") == owner, f"{path}: {repository}"
                assert (ROOT / file).exists(), f"{path.name}: no {file} to open"


# --- figures in prose ----------------------------------------------------------


READING = {
    "an hour": 60,
    "ninety minutes": 90,
    "two hours": 120,
}


def test_the_instructors_plan_is_that_of_the_notebooks():
    row = r"^\| (\d) \|.*?\| (\d+) min \| (\d+) min \| (\d+) \| (\d+): (.*) \|$"
    plan = re.findall(row, text("docs/teaching.md"), re.MULTILINE)
    assert [row[0] for row in plan] == list("12345")
    assert sum(int(row[4]) for row in plan) + 20 == 10 * 60
    for chapter, reading, exercises, points, _, done in plan:
        (path,) = ROOT.glob(f"solutions/0{chapter}_*.ipynb")
        cells = notebooks.read(path).cells
        prose = "\n".join(c.source for c in cells if c.cell_type == "markdown")
        minutes = re.findall(r"^\*Difficulty ★+ · (\d+) minutes", prose, re.MULTILINE)
        assert int(exercises) == sum(map(int, minutes)), path.name
        given = [c.metadata.get("nbgrader", {}).get("points", 0) for c in cells]
        assert int(points) == sum(given), path.name
        for exercise in done.split(", "):
            assert f"\n## {exercise} " in prose, f"no exercise {exercise}"
        first = notebooks.read(ROOT / "chapters" / path.name).cells[0].source
        (told,) = re.findall(r"cores, (.*?) of reading", first)
        assert int(reading) == READING[told], path.name


def test_results_are_whole():
    fields = {"mean", "std", "n", "seeds", "data", "budget", "device", "seconds"}
    for key, entry in notebooks.results().items():
        assert fields | {"published"} <= set(entry), key
        assert isinstance(entry["mean"], (int, float)), key
        assert entry["n"] >= 1 and entry["budget"] in notebooks.BUDGETS, key
        assert len(entry["seeds"]) == entry["n"] or entry["n"] > 100, key
        assert entry["data"] and entry["device"], key
        assert np.isclose(entry["mean"], np.mean(entry["values"])), f"{key}: typed?"
        assert set(entry) <= fields | {"published", "values", "experiment", "how"}, key
        assert key.startswith(entry["experiment"]), f"{key} is no figure of its run"


def test_quoted_figures_are_those_measured():
    notebooks.quotes(check=True)


def test_a_quote_is_filled_in_and_a_wrong_one_is_refused():
    known = {"a.b": {"mean": 0.25193, "seconds": 301, "published": {"value": 1234567}}}
    quote = "<!--= a.b.{} -->?<!--/-->"
    for asked, shown in [
        ("mean .4f", "0.2519"),
        ("seconds/60 .1f", "5.0"),
        ("mean * 100 .1f", "25.2"),
        ("published.value ,.0f", "1,234,567"),
    ]:
        filled = notebooks.fill(quote.format(asked), "here", known)
        assert filled == quote.format(asked).replace("?", shown)
        assert notebooks.fill(filled, "here", known) == filled
    for wrong in ["mode .4f", "mean .4q", "mean"]:
        with pytest.raises(notebooks.Problem, match="here"):
            notebooks.fill(quote.format(wrong), "here", known)
    with pytest.raises(notebooks.Problem, match="here: c.d.mean: no such name"):
        notebooks.fill("<!--= c.d.mean .4f -->1<!--/-->", "here", known)


# --- notebooks -----------------------------------------------------------------


@pytest.mark.parametrize("path", ALL, ids=name)
def test_code_cells_are_short(path):
    for cell in notebooks.read(path).cells:
        lines = len(cell.source.splitlines())
        assert cell.cell_type != "code" or lines <= 30, f"cell {cell.id}: {lines} lines"


@pytest.mark.parametrize("path", COMMITTED, ids=name)
def test_a_committed_notebook_ran_from_top_to_bottom(path):
    nb = notebooks.read(path)
    code = [
        cell for cell in nb.cells if cell.cell_type == "code" and cell.source.strip()
    ]
    assert [c.execution_count for c in code] == list(range(1, len(code) + 1)), (
        f"run `make chapters NB={path.relative_to(ROOT)}`"
    )
    for cell in code:
        if "raises-exception" not in cell.metadata.get("tags", []):
            assert all(out.output_type != "error" for out in cell.outputs), cell.id
    assert path.stat().st_size < 1.1e6, "about 1 MB a notebook at most"
    assert path.read_text("utf-8") == notebooks.as_text(notebooks.normalise(nb)), (
        "not as tools/notebooks.py writes it"
    )


@pytest.mark.parametrize("path", COMMITTED, ids=name)
def test_committed_pictures_show_something_and_can_be_read_aloud(path):
    for cell in notebooks.read(path).cells:
        for out in cell.get("outputs", []):
            for kind in set(PICTURES) & set(out.get("data", {})):
                alt = out.metadata.get(kind, {}).get("alt", "")
                assert alt.strip(), f"cell {cell.id}: {kind} without alt text"
        problems = blank_outputs(cell.get("outputs"))
        assert not problems, f"cell {cell.id}: a picture {problems}"


@pytest.mark.parametrize("path", COMMITTED, ids=name)
def test_shown_source_is_the_source_of_today(path):
    shown = re.compile(
        r"`(gencourse/[\w/.]+), line \d+`\n```python\n(.*)\n```", re.DOTALL
    )
    for cell in notebooks.read(path).cells:
        for out in cell.get("outputs", []):
            if found := shown.fullmatch(out.get("data", {}).get("text/markdown", "")):
                assert found[2] in text(found[1]), f"{found[1]} changed: make chapters"


@pytest.mark.parametrize("path", ALL, ids=name)
def test_notebooks_import_only_what_the_core_install_brings(path):
    """Chapters run after `pip install gencourse`: no test or grading packages."""
    tools = {"nbgrader", "pytest", "nbval", "nbformat", "nbclient", "yaml", "tools"}
    for cell in notebooks.read(path).cells:
        if cell.cell_type != "code":
            continue
        plain = TransformerManager().transform_cell(cell.source)  # %magic, !shell
        for node in ast.walk(ast.parse(plain)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {n.split(".")[0] for n in names} & tools, cell.id


# --- the wheel -----------------------------------------------------------------


@pytest.mark.skipif(not find_spec("hatchling"), reason="the lock brings hatchling")
def test_the_wheel_holds_the_data_and_the_licences(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path]
    command += ["--no-build-isolation", "--disable-pip-version-check", ROOT]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    for path in tracked():
        inner = path.relative_to(ROOT).as_posix()
        if inner.startswith("gencourse/"):
            assert inner in inside, f"{inner} is missing from the wheel"
    info = f"gencourse-{PROJECT['version']}.dist-info/licenses"
    assert {f"{info}/LICENSE", f"{info}/LICENSE-text"} <= inside
    data = list((ROOT / "gencourse/data/embedded").glob("LICENSE-*"))
    assert all(f"{info}/gencourse/data/embedded/{p.name}" in inside for p in data)
    print(json.dumps({"wheel": wheel.stat().st_size}))


@pytest.mark.parametrize("path", COMMITTED, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_the_output_after_a_prediction_is_folded(path):
    cells = notebooks.read(path).cells
    for cell, *after in (cells[i:] for i in range(len(cells))):
        if cell.cell_type == "markdown" and "**Predict" in cell.source:
            for code in [c for c in after if c.cell_type == "code"][:1]:
                hidden = code.metadata.get("jupyter", {}).get("outputs_hidden")
                assert hidden, f"the output of {code.id} gives the answer away"
