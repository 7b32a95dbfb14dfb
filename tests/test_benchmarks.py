"""The benchmarks compare like with like, and their statistics are right."""

import importlib
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from benchmarks import compare, driver, growth, in_flax, profiling, workloads
from gencourse import cgan, dcgan, gan

SMALL = [
    "autoencoder/batch=2",
    "vae_faces/batch=4/width=0.125/side=8",
    "gan_mlp/batch=4",
    "dcgan28/batch=2/dropout=0",
    "cgan_mlp/batch=4/dropout=0",
    "pix2pix/batch=2",
]
PARAMETERS = {"autoencoder": 343_043, "vae": 347_141, "gan_mlp": 1_094_673}


def random_batch(w):
    rng = np.random.default_rng(0)
    x = rng.random((w.batch, *w.shape), np.float32)
    labels = rng.integers(10, size=w.batch, dtype=np.int32)
    given = {"conditional": (x, labels), "unet": (x[..., :1], x)}
    return given.get(w.networks, (x,))


# --- like with like ------------------------------------------------------------


@pytest.mark.parametrize("name", workloads.WORKLOADS)
def test_ours_and_flax_have_the_same_networks(name):
    ours, flax = (shapes(workloads.find(name), i) for i in ("gencourse", "flax"))
    assert ours == flax
    if name in PARAMETERS:
        assert sum(map(np.prod, ours.values())) == PARAMETERS[name]


def shapes(w, implementation):
    """{where: shape} of all that is trained."""

    def state():
        _, objects = in_flax.step_and_objects(implementation, w)
        return nnx.state(objects[: len(objects) // 2], nnx.Param)

    found = jax.tree.leaves_with_path(jax.eval_shape(state))
    return {jax.tree_util.keystr(path): leaf.shape for path, leaf in found}


@pytest.mark.parametrize("name", SMALL)
def test_ours_and_flax_learn_the_same(name):
    w = workloads.find(name)
    batch = workloads.taken(random_batch(w), w)
    ours, flax = (two_steps(i, w, batch) for i in ("gencourse", "flax"))
    for name, numbers in flax.items():
        assert not np.array_equal(numbers[1], numbers[0])
        # Adam turns the rounding of a gradient near 0 into a step of full length.
        near = {"rtol": 1e-4} if name.endswith("loss") else {"atol": 1e-3}
        np.testing.assert_allclose(ours[name], numbers, **near)


def two_steps(implementation, w, batch):
    """The losses of the first two steps, and what BatchNorms have learned after each,
    all in one program, compiled in haste."""

    def losses(batch):
        step, objects = in_flax.step_and_objects(implementation, w)
        keys = jax.random.split(jax.random.key(0))
        rows = []
        for key in keys:
            found = step.__wrapped__(*objects, batch, key)
            leaves = jax.tree.leaves(nnx.state(objects[:-1], nnx.BatchStat))
            found |= {f"statistic {i}": leaf for i, leaf in enumerate(leaves)}
            rows.append(found)
        told = [k for k in rows[0] if k.endswith("loss") or k.startswith("statistic")]
        return {k: jnp.stack([row[k] for row in rows]) for k in told}

    haste = {"xla_backend_optimization_level": 0}
    return jax.device_get(jax.jit(losses, compiler_options=haste)(batch))


@pytest.mark.parametrize("name", ["gan_mlp", "dcgan28", "cgan_mlp"])
def test_the_chapters_networks_are_what_the_peers_build(name):
    """What no count of parameters tells: the slope, and the norms' constants."""
    _, objects = in_flax.step_and_objects("gencourse", workloads.find(name))
    assert gan.LEAKY(-1.0) == pytest.approx(-workloads.SLOPE)
    assert all(module.LEAKY is gan.LEAKY for module in (dcgan, cgan))
    norms = 0
    for _, module in nnx.iter_modules(objects[:2]):
        if isinstance(module, nnx.BatchNorm):
            norms += 1
            assert module.momentum == workloads.MOMENTUM
            assert module.epsilon == workloads.EPSILON
        elif isinstance(module, nnx.LayerNorm):
            norms += 1
            assert module.epsilon == workloads.LAYER_EPSILON
    assert norms == {"gan_mlp": 2, "dcgan28": 2, "cgan_mlp": 3}[name]


@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_peers_have_as_many_parameters(framework):
    pytest.importorskip(framework)
    module = importlib.import_module(f"benchmarks.in_{framework}")
    for name in workloads.WORKLOADS:
        w = workloads.find(f"{name}/batch=2")
        _, facts = module.build(framework, w, random_batch(w))
        ours = sum(map(np.prod, shapes(w, "gencourse").values()))
        assert facts["parameters"] == ours, name


# --- data and protocol ---------------------------------------------------------


def test_changes_of_a_workload():
    w = workloads.find("vae_faces/batch=32/width=0.5/side=16")
    assert (w.batch, w.shape, w.down, w.up) == (32, (16, 16, 3), (32,) * 3, (32,) * 3)
    assert workloads.find("cgan_mlp/dropout=0").dropout == 0
    with pytest.raises(ValueError, match="dropout"):
        workloads.find("gan_mlp/dropout=0.5")
    with pytest.raises(ValueError, match="width"):
        workloads.find("dcgan28/width=2")
    with pytest.raises(KeyError):
        workloads.find("dcgan")


def test_a_u_net_is_given_grey_pictures_and_the_same_in_colour(tmp_path):
    w = workloads.find("pix2pix/batch=2")
    driver.write_pictures(w, tmp_path / "pictures.npz")
    x, y = workloads.read(tmp_path / "pictures.npz", w)
    assert x.shape == (*y.shape[:3], 1) and y.shape[1:] == w.shape
    np.testing.assert_allclose(x[..., 0], y.mean(axis=-1), atol=1e-5)
    assert (y.min(), y.max()) == (-1, 1)


@pytest.mark.parametrize("name", ["dcgan28", "cgan_mlp", "vae", "dcgan32", "vae_faces"])
def test_pictures_fit_their_workload(name, tmp_path):
    w = workloads.find(f"{name}/batch=2")
    driver.write_pictures(w, tmp_path / "pictures.npz")
    x, *labels = workloads.read(tmp_path / "pictures.npz", w)
    assert x.shape == (2 * workloads.BATCHES, *w.shape) and x.dtype == np.float32
    assert (x.min(), x.max()) == ((-1, 1) if w.game == "gan" else (0, 1))
    assert [a.dtype for a in labels] == ([np.int32] if name == "cgan_mlp" else [])
    batches = workloads.cut((x, *labels), w)
    assert len(batches) == workloads.BATCHES
    np.testing.assert_array_equal(batches[1][0], x[2:4])


def test_a_loop_goes_round_and_keeps_the_last_losses():
    run = workloads.loop(lambda x: {"loss": x}, [(1,), (2,), (3,)])
    assert run(4) == {"loss": [1, 2, 3, 1]}
    assert run(30)["loss"][-3:] == [2, 3, 1]  # it went on where it was
    assert len(run(30)["loss"]) == workloads.LAST


def test_a_worker_answers(tmp_path):
    w = workloads.find("gan_mlp/batch=4")
    driver.write_pictures(w, tmp_path / "p.npz")
    args = sys.executable, "gencourse", w.name, tmp_path / "p.npz", tmp_path
    with driver.Worker(*args) as worker:
        facts = worker.ask("start", spawned=worker.spawned)
        assert facts["first_step_seconds"] > facts["import_seconds"] > 0
        assert facts["first_step_cpu_seconds"] > 0
        assert facts["parameters"] == PARAMETERS["gan_mlp"]
        assert "jax" in facts["versions"]
        run = worker.ask("run", steps=3)
        assert run["seconds"] > 0 and run["cpu_seconds"] > 0
        lengths = {k: len(v) for k, v in run["losses"].items()}
        assert lengths["d_loss"] == lengths["g_loss"] == 3
        assert worker.ask("memory")["peak_memory_mb"] > 50
        with pytest.raises(driver.WorkerError, match="gencourse failed"):
            worker.ask("run", steps="many")
    assert worker.process.returncode == 0


# --- statistics ----------------------------------------------------------------


def facts(*speeds, loss=100.0):
    return {
        "device": "cpu",
        "device_name": "cpu",
        "losses": {"loss": loss},
        "rounds": [
            {"images_per_second": s, "cpu_seconds_per_1000_images": 1.0} for s in speeds
        ],
        "peak_memory_mb": 1.0,
        "import_seconds": 1.0,
        "first_step_seconds": 2.0,
        "parameters": 3,
        "versions": {},
    }


ABOUT = {"machine": "a machine", "date": "2025-01-01", "command": "compare.py"}
FOUND = {
    "gencourse": facts(100, 90, 50),
    "flax": facts(10, 10, 10),
    "keras": facts(50, 100, 100),
    "keras_xla": facts(1, 2, 1000),
    "torch": facts(80, 80, 80),
}


def rows(name="vae", found=None):
    return compare.rows_of(workloads.find(name), found or FOUND, ABOUT)


def test_a_ratio_is_the_median_of_the_rounds_ratios_to_the_fastest_peer():
    ours = rows()[0]
    assert ours["fastest_peer"] == "keras"  # by the median, 100; not by one round
    assert ours["ratio_to_fastest_peer"] == 0.9  # of 2, 0.9, 0.5
    assert ours["ratio_to_flax"] == 9
    assert (ours["images_per_second"], ours["low"], ours["high"]) == (90, 50, 100)
    assert all("ratio_to_flax" not in row for row in rows()[1:])


def test_ours_alone_has_no_ratio():
    (ours,) = rows(found={"gencourse": facts(1, 2, 3)})
    assert ours["ratio_to_fastest_peer"] is ours["ratio_to_flax"] is None
    assert compare.picture([ours]) is None


def test_all_rows_of_what_was_measured_anew_are_replaced_and_others_kept():
    """A ratio holds within its sitting: no row of an older one may stand beside it."""
    old = rows("vae") + rows("autoencoder")
    new = rows("vae", {"torch": facts(7, 7, 7)})
    on_gpu = rows("vae", {"torch": {**facts(70, 70, 70), "device": "gpu"}})
    merged = compare.merged(compare.merged(old, new), on_gpu)
    assert len(merged) == len(rows("autoencoder")) + 2
    speeds = {
        (r["workload"], r["device"]): r["images_per_second"]
        for r in merged
        if r["implementation"] == "torch"
    }
    assert speeds == {
        ("autoencoder", "cpu"): 80,
        ("vae", "cpu"): 7,
        ("vae", "gpu"): 70,
    }


def test_rows_of_another_machine_stay_and_are_told_apart():
    there = [{**row, "machine": "Other 9, 2 cores, Linux"} for row in rows("vae")]
    merged = compare.merged(there, rows("vae"))
    assert len(merged) == 2 * len(rows("vae"))
    assert len(compare.by_workload(merged)) == 2
    lines = compare.table(merged).splitlines()[2:4]
    assert {line.split(" | ")[-1] for line in lines} == {"Other 9 |", "a machine |"}


def test_first_steps_are_medians_and_beside_the_sooner_peer():
    def starts(*seconds):
        more = {"first_step_cpu_seconds": 3.0}
        return [{**facts(1), **more, "first_step_seconds": s} for s in seconds]

    found = {"gencourse": starts(6, 9, 5), "keras": starts(4), "torch": starts(5)}
    w = workloads.find("vae")
    lines = compare.first_step_table(
        compare.first_step_rows(w, found, ABOUT)
    ).splitlines()
    assert lines[2].startswith("| vae, cpu, gencourse | 6.0 (5.0 to 9.0) | 1.50 |")
    assert lines[3].startswith("| vae, cpu, keras | 4.0 (4.0 to 4.0) | 1.00 |")


def test_the_table_begins_with_the_worst_ratio():
    slow = {**FOUND, "gencourse": facts(1, 1, 1)}
    text = compare.table(rows("autoencoder") + rows("vae", slow))
    lines = text.splitlines()
    assert lines[2].startswith("| vae, cpu | 0.01 | keras |")
    assert lines[3].startswith("| autoencoder, cpu | 0.90 | keras |")
    assert "| 100 (50 to 100) | 80 (80 to 80) |" in lines[2]  # Keras, PyTorch


def test_a_loss_off_the_others_is_noticed():
    found = {name: facts(1, loss=100 + i) for i, name in enumerate("abc")}
    assert compare.strays(found) == []
    assert compare.strays({**found, "slow": {**facts(1), "losses": {}}}) == []
    (words,) = compare.strays({**found, "d": facts(1, loss=110)})
    assert words.startswith("d has loss 110")
    (words,) = compare.strays({**found, "d": facts(1, loss=float("nan"))})
    assert words.startswith("d has loss nan")


@pytest.mark.parametrize("seconds, asked", [(0.1, [1, 98]), (4, [1, 1])])
def test_who_is_too_slow_does_without_a_loss(seconds, asked):
    class Slow:
        def ask(self, do, steps):
            orders.append(steps)
            return {"seconds": seconds * steps, "losses": {"loss": [1.0]}}

    orders = []
    losses, pace = driver._learn(Slow(), 100)
    assert orders == asked and pace == pytest.approx(seconds)
    assert losses == ({"loss": [1.0]} if asked[-1] > 1 else {})


def test_different_networks_are_refused():
    with pytest.raises(ValueError, match="Not the same network"):
        driver._check_same({"a": facts(1), "b": {**facts(1), "parameters": 4}})


def test_who_does_not_see_the_gpu_is_left_out():
    gpu = {**facts(1), "device": "gpu"}
    assert driver._off_device({"a": gpu, "b": facts(1)}) == ["b"]
    assert driver._off_device({"a": facts(1), "b": facts(1)}) == []


def test_the_order_is_another_one_every_round():
    assert [driver.rotated(["a", "b", "c"], i)[0] for i in range(4)] == list("abca")


def test_rows_survive_the_file(tmp_path):
    driver.write(tmp_path / "rows.json", rows())
    assert driver.read(tmp_path / "rows.json") == rows()
    assert driver.read(tmp_path / "none.json") == []


def test_growth_changes_one_thing_at_a_time():
    points = growth.points()
    assert len(points) == 7
    for point in points:
        assert sum(point[k] != growth.BASE[k] for k in point) <= 1
        assert json.dumps(point)


HLO = """
HloModule step

%body (a: f32[2]) -> f32[2] {
  ROOT %mul.1 = f32[2]{0} multiply(%a, %a)
}

%summing (a: f32[2]) -> f32[] {
  ROOT %reduce.2 = f32[] reduce(%a, %zero), dimensions={0}
}

ENTRY %main {
  %conv.3 = f32[1,2,2,1]{3,2,1,0} convolution(%x, %w), window={size=3x3}
  %fused.4 = f32[2]{0} fusion(%a), kind=kLoop, calls=%body
  %ynn.5 = f32[] fusion(%a), kind=kCustom, calls=%summing
  %pair.6 = (f32[2]{0}, s32[]) while(%t), condition=%c, body=%body
  %transpose_copy_fusion.7 = f32[2]{0} fusion(%a), kind=kLoop, calls=%body
  %bits.8 = u32[4]{0} fusion(%k), kind=kLoop, calls=%body
  ROOT %dot.9 = f32[2,2]{1,0} dot(%a, %b), lhs_contracting_dims={1}
}
"""


def test_a_profile_tells_the_kinds_of_operation_apart():
    found = profiling.kinds(HLO)
    assert {name: found[name] for name in found if name[-1] in "3456789"} == {
        "conv.3": "convolutions",
        "fused.4": "elementwise",
        "ynn.5": "sums",
        "pair.6": None,
        "transpose_copy_fusion.7": "moving",
        "bits.8": "chance",
        "dot.9": "products",
    }
