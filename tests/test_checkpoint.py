"""Saving and going on: every bit comes back, and what is damaged harms nothing."""

import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from gencourse import checkpoint, vae_faces
from gencourse.checkpoint import files
from gencourse.train import NotFinite, fingerprint, fit, loop
from tools import faults

IN_HASTE = False  # these are about bits


class Layers(nnx.Module):
    """Something of every kind that a network may hold."""

    def __init__(self, wide=3, seed=0):
        rngs = nnx.Rngs(seed)
        self.norm = nnx.BatchNorm(wide, rngs=rngs)
        self.lines = nnx.List([nnx.Linear(wide, 3, rngs=rngs)])
        self.dropout = nnx.Dropout(0.5, rngs=rngs)  # holds a typed key and a count
        self.half = nnx.Param(jnp.full((2,), seed + 0.1, jnp.bfloat16))
        self.none = nnx.Variable(jnp.zeros((0, 2)))
        self.number = nnx.Variable(seed)


def layers(wide=3, seed=0):
    model = Layers(wide, seed)
    return model, nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)


def bits(objects):
    leaves = jax.tree.leaves(nnx.state(objects))
    keys = [jnp.issubdtype(jnp.result_type(x), jax.dtypes.prng_key) for x in leaves]
    arrays = [
        np.asarray(jax.random.key_data(x) if key else jnp.asarray(x))
        for x, key in zip(leaves, keys, strict=True)
    ]
    return [(a.dtype, a.shape, a.tobytes()) for a in arrays]


def content(folder):
    """Every file with what is in it, to see that nothing was touched."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def damage(folder, step):
    """Flip one bit in the largest file: the network's numbers."""
    files = [p for p in (folder / str(step)).rglob("*") if p.is_file()]
    path = max(files, key=lambda p: (p.name != "record.json", p.stat().st_size))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


# --- save and restore -----------------------------------------------------------


def test_every_leaf_comes_back(tmp_path):
    saved, new = layers(seed=1), layers(seed=0)
    saved[1].step[...] += 7
    history = {"loss": np.arange(5, dtype=np.float32), "a name": np.zeros(0, "f4")}
    key = jax.random.key(5, impl="rbg")
    run = {"batch_size": 3, "shape": (1, 2)}
    checkpoint.save(tmp_path, 5, saved, key=key, history=history, run=run)
    assert bits(new) != bits(saved)
    found = checkpoint.restore(str(tmp_path), new)
    assert bits(new) == bits(saved)
    assert found.step == 5 and found.run == {"batch_size": 3, "shape": [1, 2]}
    assert jax.random.key_impl(found.key) == jax.random.key_impl(key)
    assert (jax.random.key_data(found.key) == jax.random.key_data(key)).all()
    assert list(found.history) == list(history)
    for name, values in history.items():
        assert found.history[name].dtype == np.float32
        assert np.array_equal(found.history[name], values)
    assert isinstance(new[0].dropout(jnp.ones((2, 3))), jax.Array)  # still usable


def test_a_folder_may_be_relative_or_at_home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    checkpoint.save("runs/a", 1, layers())
    assert checkpoint.latest("~/runs/a") == 1
    assert checkpoint.restore("~/runs/a", layers()).step == 1


def test_the_last_ones_are_kept_and_the_later_ones_too(tmp_path):
    objects = layers()
    for step in (2, 4, 6, 8):
        checkpoint.save(tmp_path, step, objects, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["6", "8"]
    checkpoint.save(tmp_path, 3, objects, keep=1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["3", "6", "8"]
    assert checkpoint.restore(tmp_path, objects).step == 8
    assert checkpoint.restore(tmp_path, objects, step=3).step == 3
    assert checkpoint.restore(tmp_path, objects, at_most=7).step == 6


def test_no_checkpoint_is_an_error_and_latest_is_none(tmp_path):
    objects = layers()
    for folder in (tmp_path, tmp_path / "nowhere"):
        assert checkpoint.latest(folder) is None
        with pytest.raises(FileNotFoundError, match="There is no checkpoint in"):
            checkpoint.restore(folder, objects)
    checkpoint.save(tmp_path, 4, objects)
    with pytest.raises(FileNotFoundError, match=r"of step 3 in .* there are \[4\]"):
        checkpoint.restore(tmp_path, objects, step=3)


def test_another_architecture_is_refused_by_name_and_nothing_changes(tmp_path):
    checkpoint.save(tmp_path, 1, layers())
    before, other = content(tmp_path), layers(wide=4)
    message = r"lines.0.kernel is float32 \(3, 3\) there and float32 \(4, 3\) here"
    untouched = bits(other)
    with pytest.raises(ValueError, match=rf"objects\[0\].{message}"):
        checkpoint.restore(tmp_path, other)
    with pytest.raises(ValueError, match=message):
        checkpoint.save(tmp_path, 2, other)
    model = layers()[0]
    sgd = nnx.Optimizer(model, optax.sgd(1e-3, momentum=0.9), wrt=nnx.Param)
    message = r"it has no objects\[1\].*trace.* and it has objects\[1\]"
    with pytest.raises(ValueError, match=message):
        checkpoint.restore(tmp_path, (model, sgd))
    assert bits(other) == untouched and content(tmp_path) == before


def test_a_good_checkpoint_is_not_overwritten(tmp_path):
    checkpoint.save(tmp_path, 1, layers())
    before = content(tmp_path)
    with pytest.raises(FileExistsError, match="of step 1, which is not overwritten"):
        checkpoint.save(tmp_path, 1, layers(seed=1))
    assert content(tmp_path) == before


def two_checkpoints(folder):
    first, second = layers(seed=1), layers(seed=2)
    checkpoint.save(folder, 1, first)
    checkpoint.save(folder, 2, second)
    return first


def flip_the_record(folder):
    path = folder / "2" / "record.json"
    path.write_text(path.read_text().replace("float32", "float64", 1))


HARM = {
    "a bit flipped": lambda folder: damage(folder, 2),
    "another record": flip_the_record,
    "no record": lambda folder: (folder / "2" / "record.json").unlink(),
    "an empty record": lambda folder: (folder / "2" / "record.json").write_text(""),
    "a record of a number": lambda f: (f / "2" / "record.json").write_text("3"),
    "no arrays": lambda folder: shutil.rmtree(folder / "2" / "arrays"),
    "an empty folder": lambda f: shutil.rmtree(f / "2") or (f / "2").mkdir(),
}


@pytest.mark.parametrize("harm", HARM)
def test_of_two_the_damaged_one_is_named_and_the_other_used(tmp_path, capsys, harm):
    first = two_checkpoints(tmp_path)
    HARM[harm](tmp_path)
    before, new = content(tmp_path), layers()
    assert checkpoint.restore(tmp_path, new).step == 1
    assert bits(new) == bits(first)
    said = capsys.readouterr().out
    assert f"{tmp_path / '2'} is damaged" in said and "before it is used" in said
    untouched = bits(new)
    with pytest.raises(checkpoint.Damaged, match="is damaged"):
        checkpoint.restore(tmp_path, new, step=2)
    damage(tmp_path, 1)
    before = content(tmp_path)
    with pytest.raises(checkpoint.Damaged, match="no good one before it"):
        checkpoint.restore(tmp_path, new)
    assert bits(new) == untouched and content(tmp_path) == before


def test_a_truncated_file_is_noticed(tmp_path, capsys):
    two_checkpoints(tmp_path)
    for path in list((tmp_path / "2").rglob("*")):
        if path.is_file():
            whole = path.read_bytes()
            path.write_bytes(whole[:-1])
            assert checkpoint.restore(tmp_path, layers()).step == 1, path
            path.write_bytes(whole)
    assert checkpoint.restore(tmp_path, layers()).step == 2


def test_what_cannot_be_read_stays(tmp_path, capsys):
    two_checkpoints(tmp_path)
    damage(tmp_path, 2)
    broken = content(tmp_path / "2")
    checkpoint.save(tmp_path, 2, layers(seed=5), keep=1)
    assert content(tmp_path / "2.damaged1") == broken
    assert "now called 2.damaged1" in capsys.readouterr().out
    damage(tmp_path, 2)
    checkpoint.save(tmp_path, 3, layers(), keep=1)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["2", "2.damaged1", "3"]
    assert checkpoint.restore(tmp_path, layers()).step == 3


def test_an_unfinished_write_is_no_checkpoint_and_is_swept_away(tmp_path):
    checkpoint.save(tmp_path, 1, layers())
    (tmp_path / "3.deleted").mkdir()
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()  # its number is nobody's now
    host = files._host()
    for pid in (done.pid, os.getpid(), 10**30):
        shutil.copytree(tmp_path / "1", tmp_path / f"2.{host}-{pid}.writing")
    (tmp_path / "notes").mkdir()
    (tmp_path / "figure.2.writing.txt").write_text("mine")
    assert checkpoint.latest(tmp_path) == 1
    checkpoint.save(tmp_path, 2, layers())
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["1", "2", "figure.2.writing.txt", "notes"]


def test_what_another_process_is_writing_is_left_alone(tmp_path):
    host, parent = files._host(), os.getppid()
    live = [f"3.{host}-{parent}.writing", "3.elsewhere-1.writing"]
    old = [f"2.{host}-{parent}.writing", "2.elsewhere-1.writing", "2.writing"]
    for name in live + old:
        (tmp_path / name).mkdir()
    for name in old:
        os.utime(tmp_path / name, (time.time() - 25 * 3600,) * 2)
    checkpoint.save(tmp_path, 1, layers())
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["1", *live])


@pytest.mark.parametrize("step", [2.5, 150.0, -3, True, "4", None, np.float32(2)])
def test_a_step_that_cannot_be_meant_writes_nothing(tmp_path, step):
    with pytest.raises(ValueError, match="step is a whole number, 0 or more; given"):
        checkpoint.save(tmp_path / "run", step, layers())
    assert list(tmp_path.iterdir()) == []


def test_a_step_may_be_numpys(tmp_path):
    checkpoint.save(tmp_path, 0, layers())
    checkpoint.save(tmp_path, np.int64(7), layers())
    assert checkpoint.latest(tmp_path) == 7


def test_damaged_ones_do_not_count_as_kept(tmp_path):
    two_checkpoints(tmp_path)
    damage(tmp_path, 2)
    for step, names in ((3, ["1", "2", "3"]), (4, ["2", "3", "4"])):
        checkpoint.save(tmp_path, step, layers(), keep=2)
        assert sorted(p.name for p in tmp_path.iterdir()) == names


def unreadable(monkeypatch, error, step="2"):
    """Orbax fails at one checkpoint, though every checksum holds."""
    import orbax.checkpoint as ocp

    whole = ocp.Checkpointer.restore

    def fail(self, place, **more):
        if Path(place).parent.name == step:
            raise error
        return whole(self, place, **more)

    monkeypatch.setattr(ocp.Checkpointer, "restore", fail)


def test_what_orbax_cannot_read_makes_room(tmp_path, monkeypatch, capsys):
    first = two_checkpoints(tmp_path)
    unreadable(monkeypatch, KeyError("a format of tomorrow"))
    new = layers()
    assert checkpoint.restore(tmp_path, new).step == 1 and bits(new) == bits(first)
    checkpoint.save(tmp_path, 2, layers())
    assert "now called 2.damaged1" in capsys.readouterr().out
    monkeypatch.undo()
    assert checkpoint.restore(tmp_path, layers()).step == 2


def test_too_little_memory_is_no_damage(tmp_path, monkeypatch):
    two_checkpoints(tmp_path)
    for error in (MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: out of memory")):
        with monkeypatch.context() as patch:
            unreadable(patch, error)
            with pytest.raises(type(error)):
                checkpoint.restore(tmp_path, layers())
            with pytest.raises(type(error)):
                checkpoint.save(tmp_path, 2, layers())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "2"]


def test_a_write_that_fails_leaves_the_others(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, 1, layers())
    before = content(tmp_path)

    def full(paths):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(files, "_to_disk", full)
        with pytest.raises(OSError, match="no space left"):
            checkpoint.save(tmp_path, 2, layers(), keep=1)
    assert {k: v for k, v in content(tmp_path).items() if "writing" not in k} == before
    checkpoint.save(tmp_path, 2, layers(), keep=1)
    assert checkpoint.latest(tmp_path) == 2


# --- fit ------------------------------------------------------------------------


def whole(steps, **options):
    """The bits of a run that was never interrupted."""
    return faults.as_bytes(*faults.train(None, steps, **options))


def resumed(folder, steps, **options):
    return faults.as_bytes(*faults.train(folder, steps, **options))


def test_resumed_is_uninterrupted_bit_for_bit(tmp_path, capsys):
    """7 steps an epoch: stopped in an epoch's midst, at its end, and extended."""
    assert resumed(tmp_path, 5) == whole(5)
    assert capsys.readouterr().out == ""
    assert resumed(tmp_path, 14) == whole(14)
    assert capsys.readouterr().out == f"Going on from step 5, saved in {tmp_path}.\n"
    assert resumed(tmp_path, 23, save_every=4) == whole(23)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["16", "20", "23"]


def test_the_same_objects_go_on_as_a_notebook_lets_them(tmp_path):
    objects = faults.objects()
    for steps in (4, 9, 15):
        found = faults.train(tmp_path, steps, objects)
    assert faults.as_bytes(*found) == whole(15)


def test_a_finished_run_is_not_trained_again(tmp_path, capsys, monkeypatch):
    resumed(tmp_path, 6)
    before = content(tmp_path)
    capsys.readouterr()
    monkeypatch.setattr(loop, "_shuffle", None)  # a step would need it
    again = resumed(tmp_path, 6)
    assert "Step 6 was reached before" in capsys.readouterr().out
    monkeypatch.undo()
    assert again == whole(6) and content(tmp_path) == before


def test_fewer_steps_than_are_saved_give_the_state_of_then(tmp_path, capsys):
    """A notebook run again from its top, or with a smaller budget by mistake."""
    resumed(tmp_path, 20, save_every=5, keep=2)
    before = content(tmp_path)
    assert resumed(tmp_path, 15, keep=2) == whole(15)
    assert content(tmp_path) == before
    capsys.readouterr()
    assert resumed(tmp_path, 3, keep=2) == whole(3)
    assert "up to step 3; there are [15, 20]" in capsys.readouterr().out
    assert before.items() <= content(tmp_path).items()
    assert resumed(tmp_path, 20, keep=2) == whole(20)


def test_several_steps_a_dispatch_resume_to_the_same_bits(tmp_path, monkeypatch):
    """As on a GPU. 3 go together, from the beginning of an epoch of 7."""
    monkeypatch.setattr(loop, "steps_per_call", lambda: 3)
    for steps in (6, 17):
        found = resumed(tmp_path, steps, save_every=2)
    assert found == whole(17)


def test_saved_once_a_minute_by_default(tmp_path, monkeypatch):
    resumed(tmp_path / "a", 5)
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["5"]
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0)
    resumed(tmp_path / "b", 5, keep=9)
    assert len(list((tmp_path / "b").iterdir())) == 5


def test_a_damaged_checkpoint_costs_time_alone(tmp_path, capsys):
    resumed(tmp_path, 10, save_every=5)
    damage(tmp_path, 10)
    assert resumed(tmp_path, 12, save_every=5) == whole(12)
    assert "Going on from step 5" in capsys.readouterr().out
    assert (tmp_path / "10.damaged1").is_dir()


def other_step(*args, **more):
    return faults.step(*args, **more)


def line_run(folder, **change):
    """A run with everything that may differ, in the smallest form."""

    def look(model, batch, key, weight=1.0):
        return {"loss": weight * jnp.mean(batch)}

    rows = np.arange(20, dtype=np.float32).reshape(10, 2)
    options = dict(data=rows, key=jax.random.key(0), batch_size=5, steps=2, step=look)
    options = dict(progress=False, resume=folder, weight=1.0) | options | change
    model = options.pop("model", nnx.Linear)(1, 1, rngs=nnx.Rngs(0))
    return fit(options.pop("step"), (model,), options.pop("data"), **options)


ROWS = np.arange(20, dtype=np.float32).reshape(10, 2)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"key": jax.random.key(1)}, r"key is \['threefry2x32', 0, 0\] there"),
        ({"batch_size": 4}, "batch_size is 5 there and 4 here"),
        ({"data": ROWS[:9]}, r"the data is 'float32 \(10, 2\)' there"),
        ({"data": ROWS.astype(np.uint8)}, r"and 'uint8 \(10, 2\)' here"),
        ({"data": ROWS[::-1]}, "the data's checksum is"),
        ({"step": other_step}, r"the step function is .*look' there .*other_step'"),
        ({"transform": jnp.sqrt}, "the transform is"),
        ({"weight": 2.0}, "weight is 1.0 there and 2.0 here"),
        ({"weight": lambda i: 1.0 * i}, "and 'a function of the step' here"),
    ],
)
def test_the_folder_of_another_run_is_refused(tmp_path, change, message):
    line_run(tmp_path)
    before = content(tmp_path)
    for steps in (1, 2, 4):
        with pytest.raises(ValueError, match=message):
            line_run(tmp_path, steps=steps, **change)
    assert content(tmp_path) == before


class Judge(nnx.Linear):
    """A model that holds its likelihood, as a VAE does, and more of that kind."""

    def __init__(self, *args, variance=0.5, rate=0.1, name="grey", rngs):
        super().__init__(*args, rngs=rngs)
        self.likelihood = functools.partial(vae_faces.squared_error, variance=variance)
        self.dropouts = nnx.List([nnx.Dropout(rate, rngs=rngs)])
        self.names = (name, nnx.relu)


# A notebook's cell: run again, it makes everything again under the same names.
CELL = """
import jax.numpy as jnp
from flax import nnx

def make(beta):
    def step(model, batch, key, weight=1.0, *, gamma=2.0):
        "What it does."
        if key is None or "a" in {"a", "b", "c", "d"}:  # a set has no order
            weight = (lambda x: x + 0.5)(weight)
        return {"loss": beta * weight * jnp.mean(batch)}
    return nnx.jit(step)
step = make(1.5)
"""


def cell(*change):
    names = {"__name__": "__main__"}
    exec(CELL.replace(*change) if change else CELL, names)
    return names["step"]


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"variance": 0.7},
            r"\]\.likelihood is .*error\(variance=0.5\)' there and .*0.7",
        ),
        ({"rate": 0.2}, r"objects\[0\].dropouts.0.rate is '0.1' there and '0.2' here"),
        ({"name": "pale"}, r"names is \"\('grey', .*relu\)\" there and .*pale"),
        ({"beta": 16.0}, r"step function is '.*step\(beta=0.1\)' there and .*=16.0\)"),
        ({"edit": ("0.5", "0.75")}, "the code of the step function .* there and "),
        ({"edit": ("jnp.mean", "jnp.sum")}, "the code of the step function"),
        ({"edit": ("gamma=2.0", "gamma=3.0")}, "the code of the step function"),
        ({"edit": ("make(1.5)", "make(2.5)")}, "the code of the step function"),
        ({"to": "tanh"}, r"the transform is .*\(to='unit'\)\" there and .*'tanh'"),
    ],
)
def test_a_small_change_is_another_run(tmp_path, change, message):
    def scale(batch, to):
        return batch

    def run(edit=(), beta=0.1, to="unit", **attributes):
        step = cell(*edit)
        if "beta" in change:
            step = functools.partial(nnx.jit(beta_step), beta=beta)
        model = functools.partial(Judge, **attributes)
        transform = functools.partial(scale, to=to)
        return line_run(tmp_path, step=step, model=model, transform=transform, steps=3)

    first, before = run(), content(tmp_path)
    with pytest.raises(ValueError, match=message):
        run(**change)
    assert content(tmp_path) == before
    assert np.array_equal(run()["loss"], first["loss"])  # made again, it is the same


def beta_step(model, batch, key, weight, beta):
    return {"loss": beta * weight * jnp.mean(batch)}


def test_made_again_it_is_the_same_run(tmp_path, capsys):
    line_run(tmp_path, step=cell(), model=Judge, steps=2)
    edits = [("What it does.", "What it really does."), ("  # a set has no order", "")]
    for steps, edit in enumerate([*edits, ("\n\n", "\n\n\n")], start=3):
        line_run(tmp_path, step=cell(*edit), model=Judge, steps=steps)
        assert f"Going on from step {steps - 1}" in capsys.readouterr().out


def test_another_process_describes_a_run_in_the_same_words():
    def described():
        objects = faults.objects()
        rest = np.ones((2, 3)), None, 2, jax.random.key(0), {"weight": 1.0}
        modules = list(nnx.iter_modules(objects))
        return fingerprint.fingerprint(cell(), modules, *rest)

    code = (
        "import test_checkpoint as t, jax, numpy as np; from flax import nnx\n"
        "o = t.faults.objects(); k = jax.random.key(0); one = np.ones((2, 3))\n"
        "m = nnx.iter_modules(o); w = {'weight': 1.0}\n"
        "print(t.fingerprint.fingerprint(t.cell(), m, one, None, 2, k, w))"
    )
    here = Path(__file__).parent
    for seed in ("1", "2"):  # of the order of sets
        path = os.pathsep.join([str(here), str(here.parent)])
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": path}
        command = [sys.executable, "-c", code]
        found = subprocess.check_output(command, env=environment, text=True)
        assert found.strip() == str(described())
    assert "0x" not in found


def test_a_step_that_now_returns_other_metrics_is_refused(tmp_path):
    names = ["loss"]

    def look(model, batch, key, weight):
        return {names[0]: 0.0}

    line_run(tmp_path, step=look)
    before = content(tmp_path)
    names[0] = "error"  # what no description of the step can tell
    with pytest.raises(ValueError, match=r"metrics \['error'\].*returned \['loss'\]"):
        line_run(tmp_path, step=look, steps=4)
    assert content(tmp_path) == before


@pytest.mark.parametrize("change", [{"save_every": 0}, {"keep": 0}, {"keep": None}])
def test_numbers_that_cannot_be_meant_are_refused(tmp_path, change):
    with pytest.raises(ValueError, match="is a whole number, 1 or more; given"):
        line_run(tmp_path, **change)


def test_what_is_not_finite_is_never_saved_and_the_last_good_one_named(tmp_path):
    def ramp(i):
        return jnp.where(i == 7, jnp.nan, 1.0)

    message = rf"at step 8 of 20.*last good checkpoint is of step 6, in {tmp_path}"
    with pytest.raises(NotFinite, match=message):
        line_run(tmp_path, steps=20, weight=ramp, save_every=2)
    assert checkpoint.latest(tmp_path) == 6
    with pytest.raises(NotFinite, match="step 8 of 20.*is of step 6"):
        line_run(tmp_path, steps=20, weight=ramp, save_every=5)


def test_a_state_spoilt_by_its_last_update_is_not_saved(tmp_path, capsys):
    """The metrics were still finite; the next step's would not be."""

    def spoil(model, batch, key, weight):
        model.bias[...] = model.bias[...] / (weight - 4)  # 0 / 0
        return {"loss": weight}

    line_run(tmp_path, step=spoil, steps=5, weight=lambda i: 1.0 * i, save_every=2)
    assert "Step 5 is not saved" in capsys.readouterr().out
    assert checkpoint.latest(tmp_path) == 4


def test_ctrl_c_saves_and_the_next_call_goes_on(tmp_path):
    def strike(i):
        if i == 5 and not struck:
            struck.append(True)
            os.kill(os.getpid(), signal.SIGINT)
        return np.float32(1)

    def ramp(i):
        return jax.pure_callback(strike, jax.ShapeDtypeStruct((), jnp.float32), i)

    struck = []
    first = line_run(tmp_path, weight=ramp, steps=500)
    stopped = len(first["loss"])
    assert 6 <= stopped < 500 and checkpoint.latest(tmp_path) == stopped
    again = line_run(tmp_path, weight=ramp, steps=500)
    straight = line_run(None, weight=ramp, steps=500)
    assert np.array_equal(again["loss"], straight["loss"])


def test_nothing_is_saved_where_nothing_is_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("save", "restore", "check"):
        monkeypatch.setattr(checkpoint, name, None)
    line_run(None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_killed_at_random_moments_and_resumed_gives_the_same_bits():
    rows = faults.kills(3, steps=90)  # raises where they differ
    assert len(rows) > 1, "it was never killed"
