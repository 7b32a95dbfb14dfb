"""What JAX compiles is kept for the next run, and for nobody whom it would harm."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from gencourse import __main__ as cli
from gencourse.system import compile_cache

# Begins as a notebook does, computes, and says where it kept what it compiled.
RUN = """
from gencourse import notebook
notebook.setup("chapters.01_x")
import jax, jax.numpy as jnp
x = jax.random.normal(jax.random.key(0), (64, 64))
print("numbers", jax.jit(lambda x: jnp.tanh(x @ x).sum())(x).item().hex())
print("kept in", jax.config.jax_compilation_cache_dir)
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("GENCOURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GENCOURSE_COMPILED")  # the other tests have it off
    for name in [n for n in os.environ if n.startswith("JAX_")]:
        monkeypatch.delenv(name)
    return tmp_path / "cache" / "compiled"


def run(code=RUN, **environment):
    """(numbers, kept in, stderr) of a process of its own."""
    command = [sys.executable, "-c", code]
    there = os.environ | environment
    done = subprocess.run(command, capture_output=True, text=True, env=there)
    assert done.returncode == 0, done.stderr
    said = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines()[-2:])
    assert len(done.stdout.splitlines()) == 5, "begin prints three lines, no more"
    return said["numbers"], said["kept in"], done.stderr


def files(folder):
    """{path: (when written, bytes)} of all files in a folder."""
    found = (p for p in folder.rglob("*") if p.is_file())
    return {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in found}


def test_a_second_run_compiles_nothing_and_computes_the_same(home):
    numbers, folder, _ = run()
    first = files(home)
    assert first and all(Path(folder) == p.parent for p in first)
    assert Path(folder).parent == home
    # The second stops at whatever it would compile: all has to come from the files.
    stop = (
        "import jax._src.compiler as c\n"
        "def stop(*args, **kwargs): raise RuntimeError('it compiles')\n"
        "c.backend_compile_and_load = stop\n"
    )
    assert "backend_compile_and_load" in vars(sys.modules["jax._src.compiler"])
    assert run(stop + RUN) == (numbers, folder, "")
    with pytest.raises(AssertionError, match="it compiles"):
        run(stop + RUN, GENCOURSE_CACHE=str(home.parent.parent / "empty"))
    assert files(home) == first
    assert compile_cache.size() == sum(size for _, size in first.values())


def test_a_damaged_file_breaks_no_run_and_clearing_helps(home, capsys):
    numbers, *_ = run()
    for n, path in enumerate(files(home)):
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2] if n % 2 else b"")
    again, _, errors = run()
    assert again == numbers
    assert "Error reading persistent compilation cache entry" in errors
    (home.parent / "mnist.npy").write_bytes(bytes(2_000_000))
    assert cli.main(["cache", "--clear"]) == 0
    assert f"of compiled code in {home}" in capsys.readouterr().out
    assert not files(home) and (home.parent / "mnist.npy").exists()
    again, _, errors = run()
    assert (again, errors) == (numbers, "")


@pytest.mark.parametrize(
    "own, kept",
    [
        ({"GENCOURSE_COMPILED": "off"}, "None"),
        ({"JAX_ENABLE_COMPILATION_CACHE": "false"}, "None"),
        ({"JAX_COMPILATION_CACHE_DIR": "HERE"}, "HERE"),
    ],
)
def test_what_the_user_has_set_is_respected(own, kept, home, tmp_path):
    here = str(tmp_path / "own")
    own = {name: here if value == "HERE" else value for name, value in own.items()}
    _, folder, errors = run(**own)
    assert folder == (here if kept == "HERE" else kept) and errors == ""
    assert not home.exists()


@pytest.fixture
def settings():
    """JAX's settings are this process's own: all tests' folder away, and back."""
    names = (
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
        "jax_persistent_cache_min_entry_size_bytes",
    )
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_a_setting_in_the_code_is_respected_too(home, settings, tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "own"))
    assert compile_cache.enable() is None
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "own")


def test_begun_twice_it_stays_where_it_is(home, settings):
    assert compile_cache.enable() == compile_cache.enable() is not None
    assert jax.config.jax_compilation_cache_dir == str(compile_cache.enable())


def test_a_folder_that_cannot_be_written_is_no_error(home):
    home.parent.parent.joinpath("cache").write_text("a file, so no folder can be here")
    _, folder, errors = run()
    assert (folder, errors) == ("None", "")


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has other rights")
def test_code_that_others_could_have_put_there_is_not_run(home, settings):
    folder = compile_cache.enable()
    assert home.stat().st_mode & 0o077 == folder.stat().st_mode & 0o077 == 0
    for each in (home, folder):
        each.chmod(0o777)
        assert compile_cache.enable() is None
        each.chmod(0o700)
    assert compile_cache.enable() == folder


def at(home, name):
    """Where JAX would write: "a/new" is aaaaaaaaaaaa/new-cache."""
    folder, _, file = name.partition("/")
    return home / (folder * 12) / f"{file}-cache"


def put(home, ages):
    """A file of 1,000 bytes for each name, last used so many hours ago."""
    for name, hours in ages.items():
        path = at(home, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(1000))
        os.utime(path, (path.stat().st_mtime - 3600 * hours,) * 2)


def names(home):
    found = (p.relative_to(home).as_posix() for p in files(home))
    return sorted(name[11:].removesuffix("-cache") for name in found)


def test_what_was_unused_longest_goes_first_whatever_its_key(home, monkeypatch):
    put(home, {"a/new": 1, "a/old": 9, "b/newer": 0, "b/older": 10, "b/deep/mid": 5})
    compile_cache.prune(limit=5000)
    assert len(names(home)) == 5
    compile_cache.prune(limit=3999)
    assert names(home) == ["a/new", "b/deep/mid", "b/newer"]
    # Read lately, though written long ago.
    written = (at(home, "a/new")).stat().st_mtime
    os.utime(at(home, "b/deep/mid"), (written + 7200, written - 36000))
    compile_cache.prune(limit=2000)
    assert names(home) == ["b/deep/mid", "b/newer"]


def test_a_notebook_that_begins_holds_the_limit(home, settings, monkeypatch):
    put(home, {"a/new": 1, "a/old": 9})
    home.chmod(0o700)
    monkeypatch.setattr(compile_cache, "LIMIT", 1500)
    assert compile_cache.enable()
    assert names(home) == ["a/new"]


def test_what_jax_did_not_write_is_neither_counted_nor_deleted(home, tmp_path):
    """A folder named compiled may be anybody's; so may what a link leads to."""
    put(home, {"a/x": 1})
    thesis = tmp_path / "elsewhere" / ("c" * 12) / "thesis-cache"
    thesis.parent.mkdir(parents=True)
    thesis.write_bytes(b"dear")
    (home / ("c" * 12)).symlink_to(thesis.parent)
    others = [
        home / "results-cache",
        home / "mine" / "y-cache",
        home / ("d" * 12) / "table.csv",
        at(home, "a/x").with_name("notes.txt"),
    ]
    for path in others:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"dear")
    assert compile_cache.size() == 1000
    compile_cache.prune(limit=0)
    compile_cache.clear()
    assert not at(home, "a/x").exists()
    assert all(path.read_bytes() == b"dear" for path in [thesis, *others])


def test_a_link_in_the_folders_place_is_left_alone(home, settings, tmp_path):
    put(tmp_path / "elsewhere", {"a/x": 1})
    home.parent.mkdir(parents=True, exist_ok=True)
    home.symlink_to(tmp_path / "elsewhere")
    assert compile_cache.enable() is None
    assert compile_cache.size() == compile_cache.clear() == 0
    assert at(tmp_path / "elsewhere", "a/x").exists()


def test_another_process_may_delete_meanwhile(home, monkeypatch):
    put(home, {"a/x": 1, "a/y": 2})
    found = compile_cache._files()
    (at(home, "a/x")).unlink()
    monkeypatch.setattr(compile_cache, "_files", lambda: found)
    compile_cache.prune(limit=0)
    assert names(home) == []
    assert compile_cache.clear() == 0
    monkeypatch.undo()
    monkeypatch.setattr(compile_cache, "home", lambda: home / "gone")
    assert compile_cache._files() == [] and compile_cache.clear() == 0


def test_the_command_says_where_and_how_large(home, capsys):
    put(home, {"a/x": 1})
    (at(home, "a/y")).write_bytes(bytes(1_499_000))
    (home.parent / "mnist.npy").write_bytes(bytes(2_000_000))
    assert cli.main(["cache"]) == 0
    out = capsys.readouterr().out
    assert f"1.5 MB in {home}\n" in out and f"2.0 MB in {home.parent}\n" in out
    assert cli.main(["cache", "--clear"]) == 0
    assert "deleted 1.5 MB of compiled code" in capsys.readouterr().out


X86 = """\
processor\t: 0
model name\t: Ada 3000
cpu MHz\t\t: {clock}
flags\t\t: fpu sse2 {more}
"""


def test_the_key_tells_processors_apart_and_not_their_clock():
    def key(text, jaxlib="0.10.2", threads=2):
        return compile_cache.key(compile_cache.processor(text), jaxlib, threads)

    ada = X86.format(clock=1200.5, more="avx2")
    same = X86.format(clock=3100.0, more="avx2")
    assert key(ada) == key(same) == key(ada + same)
    arm = "processor\t: 0\nFeatures\t: fp asimd\nCPU part\t: 0xd0c\n"
    others = [
        key(X86.format(clock=1200.5, more="avx2 avx512f")),
        key(ada.replace("Ada", "Grace")),
        key(arm),
        key(arm.replace("0xd0c", "0xd40")),
        key(""),
        key(ada, jaxlib="0.10.3"),
        key(ada, threads=4),
    ]
    assert len({key(ada), *others}) == 1 + len(others)
    assert compile_cache.processor() == compile_cache.processor() != ""
