"""Several devices and several processes give the numbers of one."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import _haste
import jax
import numpy as np
import pytest

from gencourse.layers.sharding import shard_batch
from gencourse.train import loop
from tools import faults

IN_HASTE = False  # these are about rounding

SCRIPT = Path(__file__).with_name("_many_devices.py")


def start(count, *args):
    """A process with `count` devices: the CPU, as often as that."""
    flags = f"--xla_force_host_platform_device_count={count} {_haste.FLAGS}"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    environment["PYTHONPATH"] = str(SCRIPT.parent.parent)  # for tools
    if count == 1:  # what several processes compile together, none keeps for later
        environment["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    command = [sys.executable, str(SCRIPT), *map(str, args)]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return subprocess.Popen(command, env=environment, **pipes)


def results(*started):
    """The last line that each of them printed, once all are through."""
    try:
        said = [process.communicate(timeout=300) for process in started]
    finally:
        for process in started:
            process.kill()
    codes = [process.returncode for process in started]
    assert not any(codes), "\n".join(error for _, error in said)
    return [json.loads(out.splitlines()[-1]) for out, _ in said]


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    (found,) = results(start(8, "eight", tmp_path_factory.mktemp("eight")))
    assert found["devices"] == 8
    return found


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("two")
    # One device each: with two, JAX 0.10.2 itself comes to a standstill on a CPU after
    # some hundred exchanges between processes.
    found = results(*(start(1, "one_of_two", i, port, folder) for i in (0, 1)))
    assert all(f["devices"] == 2 and f["ours"] == 1 for f in found)
    return found


def farthest(a, b):
    """The largest difference of two runs, in units of what rounding may do to it."""
    assert a.keys() == b.keys()
    return max(
        (np.abs(np.subtract(a[name], b[name])) / (1e-5 + 1e-4 * np.abs(b[name]))).max()
        for name in a
        if np.size(a[name])
    )


# --- one process, eight devices --------------------------------------------------


def test_chapter_4s_game_on_eight_devices_is_that_on_one(eight):
    """Losses, weights, momenta, and the statistics of every BatchNorm."""
    names = eight["alone"].keys()
    assert any(name.startswith("objects[0].norms.0.mean") for name in names)
    assert any(name.startswith("objects[1].norms.0.var") for name in names)
    assert farthest(eight["together"], eight["alone"]) < 1
    # Did each device take the mean of its own rows, this is how far off it would be.
    apart = {name: eight["apart"][name] for name in names}
    assert farthest(apart, eight["alone"]) > 100


def test_each_device_does_its_share(eight):
    """An eighth, and little more: without `spread` in gan.noise, each of them would
    do all of the generator's work, and most of the discriminator's."""
    alone, together = eight["flops"]
    assert together < 1.3 * alone / 8


def test_a_convolutions_gradient_sends_no_pictures_about(eight):
    """One sum of the kernel's gradient over the devices. By pieces of the batch, as on
    one device, they would gather what each of them holds, piece after piece."""
    assert eight["exchanges"] == ["all-reduce"]


def test_a_model_with_a_key_of_its_own_and_data_of_many_kinds(eight):
    assert farthest(eight["chance together"], eight["chance alone"]) < 1


@pytest.mark.parametrize("way", ["8 to 1", "1 to 8"])
def test_saved_on_some_and_resumed_on_others(eight, way):
    assert farthest(eight[way], eight["straight"]) < 1


def test_several_steps_a_dispatch(eight):
    assert farthest(eight["scanned"], eight["straight"]) < 1


def test_devices_that_cannot_share_are_refused_before_anything_is_done(eight):
    assert "batch_size is 8 and there are 3 devices" in eight["no multiple"]
    assert "one of them twice" in eight["twice"]
    assert not eight["made"], "a folder was made for a run that never was"


# --- two processes, a device each ------------------------------------------------


def test_two_processes_go_on_to_the_numbers_of_one(two):
    """Through a checkpoint that one of them has just written."""
    history, _ = faults.train(None, 12, objects := faults.objects(), batch_size=8)
    for found in (f["resumed"] for f in two):
        assert farthest({k: found[k] for k in history}, history) < 1
        kernel = np.asarray(objects[0].linear.kernel).ravel()
        np.testing.assert_allclose(
            found["objects[0].linear.kernel"], kernel, rtol=1e-4, atol=1e-5
        )
    assert two[0]["resumed"] == two[1]["resumed"], "they no longer hold the same"


def test_process_0_alone_writes_and_by_its_own_clock(two):
    assert two[1]["wrote"] == []
    assert set(two[0]["wrote"]) >= {2, 4, 6, 8, 10, 12}
    assert two[0]["there"] == ["10", "12", "8"]


def test_a_process_that_sees_another_folder_stops_all_of_them(two):
    for found in two:
        message = found["another folder"]
        assert "process 0 (4) and in process 1 (0)" in message
        assert "Do all processes see the same folder" in message


def test_a_process_that_fails_at_the_start_lets_no_other_wait(two):
    assert two[1]["failed"] == "no disk"
    assert two[0]["failed"] == "Process 1 failed; its own message says why."


def test_processes_that_were_not_given_the_same_are_refused(two):
    for found in two:
        assert found["another key"].startswith("key is not the same in process 0")
        assert found["another weight"].startswith("weight is not the same in process 0")


def test_devices_of_one_process_alone_are_refused(two):
    for i, found in enumerate(two):
        assert f"devices has none of process {1 - i}" in found["local"]


def test_a_bad_loss_stops_both_at_the_same_step(two):
    assert [found["not finite"] for found in two] == [4, 4]


def test_ctrl_c_stops_a_process_among_several_and_leaves_its_objects(two):
    assert all(found["interrupted"] for found in two)
    before = signal.getsignal(signal.SIGINT)
    with loop._interrupt(multi_process=True) as interrupted:
        assert signal.getsignal(signal.SIGINT) is before and interrupted == []


# --- here, on one device ---------------------------------------------------------


def test_one_device_in_a_list_gives_the_bits_of_none():
    runs = [
        faults.as_bytes(*faults.train(None, 5, devices=on))
        for on in (None, jax.devices()[:1])
    ]
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    "given, message",
    [
        ([], "devices is empty"),
        ("cpu", "devices is None or a sequence of JAX's devices"),
        (4, "such as jax.devices.*given 4"),
        ([0, 1], r"given \[0, 1\]"),
        (jax.devices()[0], "such as jax.devices.*given .*Device"),
        (jax.devices()[:1] * 2, "has one of them twice"),
    ],
)
def test_what_cannot_be_meant_is_refused(given, message, monkeypatch):
    for name in ("compile_step", "compile_step_cached"):
        monkeypatch.setattr(loop, name, None)  # a step would need it
    with pytest.raises(ValueError, match=message):
        faults.train(None, 3, devices=given)


def test_outside_of_a_step_on_several_devices_nothing_is_spread():
    x = np.ones((3, 2))
    assert shard_batch({"x": x})["x"] is x
