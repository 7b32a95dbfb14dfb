"""fit(): the same as a loop by hand, and what it does when something goes wrong."""

import functools
import os
import signal
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from gencourse import autoencoder
from gencourse.train import NotFinite, compile_step, fit, loop
from gencourse.train import history as recorded

IN_HASTE = False  # these are about bits


class Line(nnx.Module):
    """y = a x + b, the smallest thing that can be trained."""

    def __init__(self):
        self.a, self.b = nnx.Param(jnp.zeros(())), nnx.Param(jnp.zeros(()))

    def __call__(self, x):
        return self.a[...] * x + self.b[...]


@nnx.jit
def step(model, optimizer, batch, key, weight=1.0):
    x, y = batch

    def loss_fn(model):
        return weight * ((model(x) - y) ** 2).mean()

    loss, grads = nnx.value_and_grad(loss_fn)(model)
    optimizer.update(model, grads)
    return {"loss": loss, "noise": jax.random.normal(key), "x": x[0]}


def line(rate=0.1):
    model = Line()
    return model, nnx.Optimizer(model, optax.sgd(rate), wrt=nnx.Param)


X = np.linspace(-1, 1, 105, dtype=np.float32)
DATA = X, 3 * X + 1
KEY = jax.random.key(0)


def run(objects, **options):
    options = {"batch_size": 10, "key": KEY, "progress": False, **options}
    return fit(step, objects, options.pop("data", DATA), **options)


def test_it_learns():
    objects = line()
    history = run(objects, epochs=20)
    assert history["loss"].shape == (200,)  # 105 // 10 batches an epoch, 20 epochs
    assert history["loss"][-1] < 1e-3 < history["loss"][0]
    assert abs(objects[0].a[...] - 3) < 0.05 and abs(objects[0].b[...] - 1) < 0.05


def test_the_step_called_by_hand_gives_the_same_numbers():
    """The contract: fit compiles the plain function its own way, to no effect.

    Plain gradient descent, since Adam divides by the size of the gradient and so
    blows the rounding of a tiny one up to a whole step.
    """
    x = np.random.default_rng(0).random((8, 32, 32, 1), np.float32)

    def new():
        model = autoencoder.Autoencoder(2, rngs=nnx.Rngs(0))
        return model, nnx.Optimizer(model, optax.sgd(1e-4), wrt=nnx.Param)

    by_hand, by_fit = new(), new()
    losses = [
        autoencoder.train_step(*by_hand, batch=x, key=KEY)["loss"] for _ in range(3)
    ]
    options = dict(batch_size=8, steps=3, key=KEY, progress=False)
    history = fit(autoencoder.train_step, by_fit, x, **options)
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-5)
    for a, b in zip(
        *(jax.tree.leaves(nnx.state(o)) for o in (by_hand, by_fit)), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_the_same_key_gives_the_same_bits_and_another_key_others():
    one, two, other = line(), line(), line()
    first, second = run(one, steps=30), run(two, steps=30)
    third = run(other, steps=30, key=jax.random.key(1))
    for name in first:
        assert np.array_equal(first[name], second[name])
        assert not np.array_equal(first[name], third[name])
    assert np.array_equal(one[0].a[...], two[0].a[...])


def test_every_row_once_an_epoch_in_a_new_order_and_a_new_key_each_step():
    rows = np.arange(100, dtype=np.float32)
    history = run(line(rate=0), data=(rows, rows), batch_size=1, epochs=2)
    first, second = history["x"][:100], history["x"][100:]
    assert np.array_equal(np.sort(first), rows) and np.array_equal(
        np.sort(second), rows
    )
    assert not np.array_equal(first, second) and not np.array_equal(first, rows)
    assert len(np.unique(history["noise"])) == 200


def test_a_schedule_is_annealed_without_recompiling():
    traced = []

    @nnx.jit
    def counting(model, batch, key, weight):
        traced.append(1)
        return {"weight": weight}

    options = dict(batch_size=10, key=KEY, progress=False)
    ramp = optax.linear_schedule(0.0, 1.0, 4)
    history = fit(counting, (Line(),), DATA, steps=6, weight=ramp, **options)
    np.testing.assert_allclose(history["weight"], [0, 0.25, 0.5, 0.75, 1, 1])
    objects, number = (Line(),), len(traced)
    for weight in (1.0, 2.0):
        history = fit(counting, objects, DATA, steps=2, weight=weight, **options)
        assert np.array_equal(history["weight"], [weight, weight])
    assert len(traced) == number + 1


def test_a_schedule_that_waits_is_given_signed_steps():
    """Optax subtracts transition_begin: an unsigned count would wrap around."""

    def look(model, batch, key, weight):
        return {"weight": weight}

    late = optax.linear_schedule(0.0, 1.0, 2, transition_begin=3)
    options = dict(batch_size=10, key=KEY, progress=False)
    history = fit(look, (Line(),), DATA, steps=7, weight=late, **options)
    np.testing.assert_allclose(history["weight"], [0, 0, 0, 0, 0.5, 1, 1])


def test_a_whole_number_stays_one():
    def look(model, batch, key, row):
        return {"x": jnp.arange(5)[row]}

    history = fit(
        look, (Line(),), DATA, batch_size=10, steps=2, row=3, key=KEY, progress=False
    )
    assert history["x"].tolist() == [3, 3]


def test_metrics_keep_their_names_when_a_step_returns_others_later():
    @nnx.jit
    def named(model, batch, key, late=None):
        return {"early" if late is None else "late": 1.0}

    objects, options = (Line(),), dict(batch_size=10, key=KEY, progress=False, steps=2)
    for scalars, name in (({}, "early"), ({"late": 2.0}, "late"), ({}, "early")):
        assert list(fit(named, objects, DATA, **options, **scalars)) == [name]


def test_a_plain_step_sees_what_changed_in_the_notebook():
    number = [1.0]

    def look(model, batch, key):
        return {"number": number[0]}

    objects, options = (Line(),), dict(batch_size=10, key=KEY, progress=False, steps=1)
    assert fit(look, objects, DATA, **options)["number"] == 1
    number[0] = 5.0
    assert fit(look, objects, DATA, **options)["number"] == 5


def test_a_decorator_of_the_step_is_kept():
    @functools.wraps(step)
    def wrapped(*args):
        return {**step(*args), "more": 7.0}

    options = dict(batch_size=10, key=KEY, progress=False, steps=1)
    assert fit(wrapped, line(), DATA, **options)["more"] == 7


@pytest.mark.parametrize(
    "metrics, message",
    [
        (lambda: {}, "returns its metrics"),
        (lambda: jnp.zeros(()), "returns its metrics"),
        (lambda: {"loss": jnp.zeros(2)}, "'loss' is no scalar"),
        (lambda: {"all": {"loss": 0.0}}, "'all' is no scalar"),
    ],
)
def test_metrics_that_are_no_dict_of_scalars_are_refused(metrics, message):
    def bad(model, optimizer, batch, key):
        return metrics()

    with pytest.raises(TypeError, match=message):
        fit(bad, line(), DATA, batch_size=10, steps=1, key=KEY, progress=False)


def test_a_step_that_fails_as_it_runs_leaves_the_objects_as_before():
    """Its buffers were donated: what comes back must not be those."""
    objects, calls = line(), []

    def strike(x):
        calls.append(1)
        if len(calls) == 5:
            raise RuntimeError("the disk is full")
        return x

    def failing(model, optimizer, batch, key):
        metrics = step(model, optimizer, batch, key)
        kind = jax.ShapeDtypeStruct((), jnp.float32)
        return {"loss": jax.pure_callback(strike, kind, metrics["loss"])}

    with pytest.raises(Exception, match="the disk is full"):
        fit(failing, objects, DATA, batch_size=10, steps=50, key=KEY, progress=False)
    assert np.isfinite(float(objects[0].a[...]))
    run(objects, steps=2)  # and they can be trained


def test_names_that_never_arrive_are_refused():
    def takes_steps(model, optimizer, batch, key, steps):
        return {"loss": 0.0}

    options = dict(batch_size=10, key=KEY, progress=False)
    with pytest.raises(ValueError, match=r"Name the step's \['steps'\] differently"):
        fit(takes_steps, line(), DATA, steps=1, **options)
    with pytest.raises(ValueError, match=r"takes no \['wieght'\]"):
        fit(step, line(), DATA, steps=1, wieght=1.0, **options)


def test_uint8_stays_uint8_until_a_batch_is_cut():
    pictures = np.arange(50, dtype=np.uint8)

    def look(model, batch, key):
        return {"largest": batch.max()}

    history = fit(
        look,
        (Line(),),
        pictures,
        batch_size=50,
        steps=1,
        key=KEY,
        progress=False,
        transform=lambda batch: batch.astype(jnp.float32) / 49,
    )
    assert history["largest"] == 1


def test_batches_keep_the_structure_of_the_data():
    def look(model, batch, key):
        return {"agree": (batch["x"] * 2 == batch["y"]).mean()}

    rows = np.arange(40.0, dtype=np.float32)
    data = {"x": rows, "y": 2 * rows}
    history = fit(look, (Line(),), data, batch_size=7, steps=9, key=KEY, progress=False)
    assert (history["agree"] == 1).all()


def test_a_loss_that_is_not_finite_stops_and_names_the_first_bad_step():
    with pytest.raises(NotFinite, match="loss became (nan|inf) at step") as raised:
        run(line(rate=1e6), steps=500)
    error = raised.value
    good = np.isfinite(error.history["loss"])
    assert not good[error.step - 1] and good[: error.step - 1].all()
    assert len(good) < 500


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_each_kind_of_number_that_is_not_finite_stops_it(bad):
    def look(model, batch, key, done):
        return {"good": 1.0, "bad": jnp.where(done == 4, bad, 1.0)}

    options = dict(batch_size=10, steps=9, key=KEY, progress=False)
    with pytest.raises(NotFinite, match=f"bad became {bad} at step 5 of 9"):
        fit(look, (Line(),), DATA, done=lambda i: i, **options)


def test_ctrl_c_gives_back_history_and_model():
    """A real SIGINT, to this process, some steps into the run."""
    objects = line()
    seen = []

    def watched(model, optimizer, batch, key):
        metrics = step(model, optimizer, batch, key)
        jax.debug.callback(lambda: seen.append(1))
        return metrics

    def strike():
        deadline = time.monotonic() + 60
        while len(seen) < 40 and time.monotonic() < deadline:
            time.sleep(0.001)
        if len(seen) >= 40:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=strike, daemon=True)
    thread.start()
    options = dict(batch_size=10, key=KEY, progress=False)
    history = fit(watched, objects, DATA, steps=1_000_000, **options)
    thread.join()
    assert 40 <= len(history["loss"]) < 1_000_000
    assert signal.getsignal(signal.SIGINT) is before
    # The model is where as many steps by themselves would have brought it.
    again = line()
    fit(watched, again, DATA, steps=len(history["loss"]), **options)
    assert np.array_equal(objects[0].a[...], again[0].a[...])


def test_several_steps_a_dispatch_give_the_same_numbers(monkeypatch):
    """As on a GPU; 7 to an epoch of 10 steps, so that single steps are left over."""
    rate = optax.exponential_decay(1.0, 5, 0.9)
    alone = line()
    one = run(alone, steps=33, weight=rate)
    calls = []
    monkeypatch.setattr(loop, "steps_per_call", lambda: calls.append(1) or 7)
    together = line()
    many = run(together, steps=33, weight=rate)
    assert calls  # or this test would compare a run with itself
    for name in one:
        np.testing.assert_allclose(one[name], many[name], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(alone[0].a[...], together[0].a[...], rtol=1e-5)


def test_a_bad_step_among_several_is_named_by_its_own_number(monkeypatch):
    monkeypatch.setattr(loop, "steps_per_call", lambda: 7)
    monkeypatch.setattr(recorded, "SYNC_EVERY", 1)
    with pytest.raises(NotFinite) as caught:
        run(line(), steps=20, weight=lambda i: jnp.where(i == 4, jnp.nan, 1.0))
    assert caught.value.step == 5


def test_an_option_that_xla_does_not_know_does_no_harm(monkeypatch):
    monkeypatch.setattr(compile_step, "CPU_OPTIONS", {"xla_cpu_of_another_year": "1"})
    monkeypatch.setattr(
        compile_step,
        "compiler_options",
        functools.cache(compile_step.compiler_options.__wrapped__),
    )
    assert compile_step.compiler_options() is None
    assert run(line(), steps=2)["loss"].shape == (2,)


def test_arrays_taken_from_the_model_before_stay_alive():
    """fit donates its buffers; what the caller holds must not be among them."""
    objects = line()
    before = objects[0].a[...]
    run(objects, steps=3)
    assert float(before) == 0 and float(objects[0].a[...]) != 0


def test_a_failing_step_leaves_the_objects_usable():
    objects = line()

    def broken(model, optimizer, batch, key):
        raise RuntimeError("a mistake in the step")

    with pytest.raises(RuntimeError, match="a mistake in the step"):
        fit(broken, objects, DATA, batch_size=10, steps=2, key=KEY, progress=False)
    assert float(objects[0].a[...]) == 0


@pytest.mark.parametrize(
    "change, message",
    [
        ({"batch_size": 106}, "between 1 and 105"),
        ({"batch_size": 0}, "between 1 and 105"),
        ({"batch_size": 10.0}, "whole number between"),
        ({"epochs": 0.5}, "epochs is a whole number, 1"),
        ({"steps": 2.5}, "whole number, 1 or more"),
        ({"steps": 2, "data": [1.0, 2.0]}, "data is a list"),
        ({"steps": 0}, "1 or more"),
        ({"steps": 2, "epochs": 2}, "either steps"),
        ({}, "either steps"),
        ({"steps": 2, "key": 0}, "jax.random.key"),
        ({"steps": 2, "data": (X, X[:50])}, "of the same N"),
    ],
)
def test_what_cannot_be_meant_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        run(line(), **change)


def test_numpys_whole_numbers_train_and_resume_as_pythons_do(tmp_path):
    straight = run(line(), batch_size=10, steps=12)
    run(line(), batch_size=10, steps=6, save_every=2, resume=tmp_path)
    numpys = dict(batch_size=10, steps=12, save_every=2, keep=9)
    numpys = {name: np.int64(n) for name, n in numpys.items()}
    resumed = run(line(), resume=tmp_path, **numpys)
    np.testing.assert_array_equal(resumed["loss"], straight["loss"])
    assert len(resumed["loss"]) == 12


def test_one_object_instead_of_a_tuple_is_refused():
    with pytest.raises(ValueError, match="objects is a tuple"):
        run(line()[0], steps=1)


def test_the_chapters_check_sees_the_data_before_anything_is_compiled():
    model = autoencoder.Autoencoder(2, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)
    tanh = np.full((20, 32, 32, 1), -1, np.float32)
    with pytest.raises(ValueError, match=r"needs \[0, 1\]"):
        fit(
            autoencoder.train_step,
            (model, optimizer),
            tanh,
            batch_size=10,
            steps=1,
            key=KEY,
        )
