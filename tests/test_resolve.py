"""What fit makes of a step: compiled once, checked by its own check, and it trains."""

import functools
import gc

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from gencourse import gan, vae
from gencourse.metrics import likelihood
from gencourse.train import fit, identity, resolve

KEY = jax.random.key(0)
X = np.linspace(-1, 1, 20, dtype=np.float32)
X.flags.writeable = False


class Slope(nnx.Module):
    def __init__(self):
        self.a = nnx.Param(jnp.zeros(()))


def game():
    model = Slope()
    return model, nnx.Optimizer(model, RULE, wrt=nnx.Param)


RULE = optax.sgd(0.1)
traced = []


def plain(model, optimizer, batch, key, aim=1.0, power=2):
    traced.append(power)

    def loss_fn(model):
        return jnp.mean((model.a[...] - aim) ** power * batch**2)

    loss, grads = nnx.value_and_grad(loss_fn)(model)
    optimizer.update(model, grads)
    return {"loss": loss}


jitted = nnx.jit(plain, static_argnames="power")


def run(step, objects=None, x=X, **options):
    options = {"batch_size": 5, "steps": 3, "key": KEY, "progress": False, **options}
    return fit(step, objects or game(), x, **options)


def wrapped():
    @functools.wraps(jitted)
    def step(*args, **kwargs):
        return jitted(*args, **kwargs)

    return step


def squared(a, b):
    return (a - b) ** 2


WAYS = {
    "jitted": lambda step: step,
    "partial": lambda step: functools.partial(step, power=4),
    "of positions": lambda step: functools.partial(step),
    "twice": lambda step: functools.partial(functools.partial(step, power=4), aim=2.0),
    "jitted again": lambda step: nnx.jit(functools.partial(step, power=4)),
}


# --- compiled once -----------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_one_step_is_traced_and_compiled_once_over_many_fits(way):
    """A partial is made again at every turn, as a loop in a notebook makes it."""
    step = WAYS[way](jitted) if way == "jitted again" else None
    compiled = []
    for i in range(3):
        del traced[:]
        run(step or WAYS[way](jitted), steps=2 + i)
        compiled.append(len(traced))
    assert compiled[1:] == [0, 0], compiled


def test_a_wrapper_of_a_jitted_step_is_compiled_once():
    step, counts = wrapped(), []
    for _ in range(3):
        del traced[:]
        run(step)
        counts.append(len(traced))
    assert counts[1:] == [0, 0]


def test_no_program_is_handed_to_xla_by_a_second_fit_of_a_partial():
    seen = []
    run(functools.partial(jitted, power=4))
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, _, **__: seen.append(name)
    )
    try:
        run(functools.partial(jitted, power=4))
    finally:
        jax.monitoring.clear_event_listeners()
    assert not [name for name in seen if "backend_compile" in name]


def test_partials_of_other_arguments_are_other_programs():
    first = run(functools.partial(jitted, power=2, aim=3.0))
    for other in (dict(power=4, aim=3.0), dict(power=2, aim=1.0)):
        assert run(functools.partial(jitted, **other))["loss"][0] != first["loss"][0]


def test_what_a_partial_holds_may_change_between_two_fits():
    """A model or an array among its arguments is not kept as it was."""

    @nnx.jit
    def towards(aim, model, optimizer, batch, key):
        return plain(model, optimizer, batch, key, aim=aim["aim"])

    aim = {"aim": 1.0}
    first = run(functools.partial(towards, aim))
    aim["aim"] = 5.0
    assert run(functools.partial(towards, aim))["loss"][0] > 5 * first["loss"][0]
    teacher = Slope()

    @nnx.jit
    def taught(teacher, *args):
        return plain(*args, aim=teacher.a[...] + 1)

    first = run(functools.partial(taught, teacher))
    teacher.a[...] = jnp.float32(4)
    assert run(functools.partial(taught, teacher))["loss"][0] > 5 * first["loss"][0]


@pytest.mark.parametrize("way", WAYS)
def test_the_numbers_are_those_of_the_step_called_by_hand(way):
    step = WAYS[way](jitted)
    by_hand, by_fit = game(), game()
    options = dict(batch_size=20, steps=1)
    loss = run(step, by_fit, **options)["loss"][0]
    assert np.allclose(loss, step(*by_hand, jnp.asarray(X), KEY)["loss"], rtol=1e-6)
    assert np.allclose(by_hand[0].a[...], by_fit[0].a[...], rtol=1e-6)


# --- it trains, or it says that it does not ----------------------------------------


@pytest.mark.parametrize(
    "wrap",
    [
        jax.jit,
        lambda f: functools.partial(jax.jit(f), aim=2.0),
        lambda f: nnx.jit(jax.jit(f)),
    ],
    ids=["bare", "partial", "nnx"],
)
def test_a_step_under_jax_jit_is_refused(wrap):
    with pytest.raises(TypeError, match="compiled by jax.jit.*@nnx.jit, or not at all"):
        run(wrap(plain))


def test_a_step_that_calls_a_function_under_jax_jit_is_refused():
    inner = jax.jit(plain)
    model, optimizer = game()
    with pytest.raises(ValueError, match="moved no nnx.Param.*use nnx.jit"):
        run(lambda *args: inner(*args), (model, optimizer))
    assert model.a[...] == 0 and optimizer.step[...] == 0


def test_an_optimizer_with_nothing_to_move_is_refused():
    model = Slope()
    with pytest.raises(ValueError, match=r"objects\[1\].*wrt=nnx.BatchStat.*nnx.Param"):
        run(jitted, (model, nnx.Optimizer(model, RULE, wrt=nnx.BatchStat)))


def test_a_step_that_forgets_the_update_is_refused():
    def forgetful(model, optimizer, batch, key):
        return {"loss": jnp.mean((model.a[...] - batch) ** 2)}

    with pytest.raises(ValueError, match="moved no nnx.Param"):
        run(forgetful)
    assert run(lambda model, batch, key: {"a": model.a[...]}, (Slope(),))["a"][0] == 0


def test_a_rate_of_zero_is_no_mistake():
    model = Slope()
    run(jitted, (model, nnx.Optimizer(model, optax.sgd(0.0), wrt=nnx.Param)))
    assert model.a[...] == 0


def test_what_is_no_function_is_refused():
    with pytest.raises(TypeError, match="step is a function; given str"):
        run("step")


# --- checked by its own check, once ------------------------------------------------


def check(model):
    """Not fit's business, though it has the name that chapters use."""
    raise AssertionError("fit called a function that nobody gave it")


def checked(seen):
    step = nnx.jit(functools.partial(plain))
    step.check_batch = lambda data, objects: seen.append((data, objects))
    return step


def test_a_function_named_check_beside_the_step_is_not_called():
    run(jitted)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda step: step,
        lambda step: functools.partial(step, power=4),
        lambda step: functools.wraps(step)(lambda *args: step(*args)),
    ],
    ids=["itself", "partial", "wraps"],
)
def test_the_check_travels_with_the_step(wrap):
    seen, objects = [], game()
    run(wrap(checked(seen)), objects)
    assert len(seen) == 1 and seen[0][0] is X
    assert seen[0][1][0] is objects[0] and seen[0][1][1] is objects[1]


def test_the_chapters_check_travels_through_a_partial():
    g = gan.Generator(2, (4,), (3, 3, 1), rngs=nnx.Rngs(0))
    d = gan.Discriminator((4,), (3, 3, 1), rngs=nnx.Rngs(1))
    objects = g, d, *(nnx.Optimizer(a, RULE, wrt=nnx.Param) for a in (g, d))
    step = functools.partial(gan.train_step, g_loss=gan.g_loss_saturating)
    with pytest.raises(ValueError, match=r"Pixels lie in \[0, 1\]"):
        run(step, objects, np.linspace(0, 1, 180, dtype="f4").reshape(20, 3, 3, 1))


def test_what_cannot_change_is_looked_at_once_and_what_can_every_time():
    seen, objects = [], game()
    step = checked(seen)
    for _ in range(3):
        run(step, objects)
        run(step, objects, jnp.asarray(X))  # another array each time
    assert len(seen) == 4
    mine = X.copy()
    for _ in range(3):
        run(step, objects, mine)
    assert len(seen) == 7
    view = mine[:]
    view.flags.writeable = False  # its base is not
    for _ in range(2):
        run(step, objects, view)
    assert len(seen) == 9
    run(step, game())  # other objects: they may not fit
    assert len(seen) == 10


def test_data_refused_once_are_refused_again():
    def check_batch(data, objects):
        raise ValueError("never")

    step = nnx.jit(functools.partial(plain))
    step.check_batch = check_batch
    for _ in range(2):
        with pytest.raises(ValueError, match="never"):
            run(step)


def test_an_array_changed_between_two_fits_is_seen():
    mine = np.ones(20, np.float32)
    options = dict(batch_size=20, steps=1)
    first = run(jitted, x=mine, **options)["loss"][0]
    mine *= 2
    assert run(jitted, x=mine, **options)["loss"][0] == 4 * first


@pytest.mark.parametrize("offset", [0, 16])  # JAX makes an alias of the aligned one
def test_a_read_only_set_is_sent_to_the_device_once(offset):
    sent = identity._on_device.entries
    sent.clear()
    run(jitted)
    (entry,) = sent.values()
    run(jitted)
    assert [*sent.values()] == [entry]
    copies = [X.copy() for _ in range(500)]
    ours = next(c for c in copies if c.ctypes.data % 64 == offset)
    del copies
    ours.flags.writeable = False
    run(jitted, x=ours)
    assert len(sent) == 2
    del ours
    gc.collect()
    assert len(sent) == 1, "it outlives the array that it was made of"


def test_the_likelihood_asks_through_a_partial_too():
    x = np.full((2, 32, 32, 1), 255, np.float32)
    weight = functools.partial(vae.log_importance_weight)
    with pytest.raises(ValueError, match=r"Pixels lie in \[255, 255\]"):
        likelihood.importance_weighted_bound(
            weight, vae.VAE(rngs=nnx.Rngs(0)), x, KEY, samples=1
        )


def test_resolve_says_what_is_kept():
    assert resolve.resolve(jitted).cacheable and not resolve.resolve(plain).cacheable
    assert resolve.resolve(functools.partial(jitted, g=squared)).cacheable
    assert not resolve.resolve(functools.partial(jitted, g=Slope())).cacheable
    assert not resolve.resolve(functools.partial(jitted, g=jnp.ones(2))).cacheable
