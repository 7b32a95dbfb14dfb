"""See through what a training step is wrapped in, and watch that it trains.

    partial(nnx.jit(step), ...) --resolve--> Step(function, kept, check_batch)

`fit` compiles the undecorated function itself. Everything else in the course that is
given a function by the user, and has to know which one it is, asks here too.
"""

import functools
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from flax import nnx

from gencourse.validation import check_of, unwrap

NNX_JIT = tuple({type(nnx.jit(len)), type(nnx.jit(len, graph=False))})
JAX_JIT = type(jax.jit(len))
SIMPLE = (bool, int, float, str, bytes, type(None))


class Step(NamedTuple):
    """A step as `fit` uses it: what to trace, and what came with it."""

    function: Callable
    """Undecorated; a partial of a jitted function is a partial of the plain one."""
    cacheable: bool
    """Whether the compiled program may serve a second fit, as `nnx.jit`'s would."""
    check_batch: Callable[[Any, tuple], None] | None
    """`check_batch(data, objects)` raises a ValueError on data that do not fit."""


def resolve(step) -> Step:
    """Return what `fit` needs to know of a step, jitted, partial, wrapped or plain.

    A step carries its check of the data as an attribute, `train_step.check_batch`; a
    `functools.partial` of it, `nnx.jit` and `functools.wraps` pass it on.

    Raises:
      TypeError: if the step is compiled by `jax.jit`, under which models and optimizers
        are copies, and nothing is trained; if it is no function at all.
    """
    if not callable(step):
        raise TypeError(f"step is a function; given {type(step).__name__}.")
    function = _undecorated(step)
    is_jitted = any(isinstance(f, NNX_JIT) for f in unwrap(step))
    return Step(function, is_jitted and _is_constant(function), check_of(step))


class Partial(functools.partial):
    """A partial that equals any other of the same function and the same arguments.

    `functools.partial` itself compares by identity, so that a partial written inside a
    loop would be compiled at every turn.
    """

    def _parts(self):
        arguments = (*enumerate(self.args), *sorted(self.keywords.items()))
        return self.func, *((name, type(x), x) for name, x in arguments)

    def __eq__(self, other):
        return isinstance(other, Partial) and self._parts() == other._parts()

    def __hash__(self):
        return hash(self._parts())


def _undecorated(step):
    if isinstance(step, functools.partial):
        return Partial(_undecorated(step.func), *step.args, **step.keywords)
    if isinstance(step, NNX_JIT):
        return _undecorated(step.__wrapped__)
    if isinstance(step, JAX_JIT):
        raise TypeError(
            "The step is compiled by jax.jit, under which the models and optimizers "
            "are copies: nothing would be trained. Decorate it with @nnx.jit, or not "
            "at all: fit compiles it."
        )
    return step


def _is_constant(x):
    """Return False for what may change, such as a model, or a partial that holds one:
    it would stay in the compiled program as it was."""
    if isinstance(x, Partial):
        return all(map(_is_constant, (*x.args, *x.keywords.values())))
    if isinstance(x, tuple):
        return all(map(_is_constant, x))
    functions = types.FunctionType, types.BuiltinFunctionType, type, JAX_JIT, *NNX_JIT
    return isinstance(x, (*SIMPLE, *functions))


# --- does it train? ------------------------------------------------------------


def check_optimizers(objects):
    """Raise a ValueError if an optimizer among the objects has nothing to move."""
    models = [o for o in objects if not isinstance(o, nnx.Optimizer)]
    for i, o in enumerate(objects):
        if isinstance(o, nnx.Optimizer) and not _variables(models, o.wrt):
            raise ValueError(
                f"objects[{i}] is an optimizer with wrt={_name(o.wrt)}, and no model "
                f"among the objects has such a variable: it would train nothing. Make "
                f"it with nnx.Optimizer(model, ..., wrt=nnx.Param)."
            )


def moved(objects, before):
    """Return whether a step, while it was traced, moved a parameter of the objects.

    before: `parameters(objects)` from before the step. Objects without an optimizer
    need not move.
    """
    after = parameters(objects)
    return not before or any(a is not b for a, b in zip(before, after, strict=True))


def parameters(objects):
    """Return the arrays of all `nnx.Param`s of the models; [] with no optimizer."""
    if not any(isinstance(o, nnx.Optimizer) for o in objects):
        return []
    models = [o for o in objects if not isinstance(o, nnx.Optimizer)]
    return _variables(models, nnx.Param)


def _variables(models, kind):
    return [x for model in models for x in jax.tree.leaves(nnx.state(model, kind))]


def _name(wrt):
    return f"nnx.{wrt.__name__}" if isinstance(wrt, type) else repr(wrt)
