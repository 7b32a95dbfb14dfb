"""The checks behind the exercises: one module a chapter.

A check prints a tick and what it verified, or raises `Wrong` with what is wrong and
where to look. It knows the mistakes that learners make: it computes what each of
them would give, and where an answer meets one, it says which one.
"""

import numpy as np


class Wrong(AssertionError):
    """An answer that is not right yet; the message says why. In a notebook only the
    message is shown: the lines that found the mistake are not the learner's."""

    def _render_traceback_(self):
        return [f"✗ {self}"]


class Missing(Wrong):
    """An answer that is not there yet; `part` names what of it, if it has several."""

    def __init__(self, part=None):
        part = f"`{part}`" if part and part.isidentifier() else "The answer"
        super().__init__(
            f"{part} is still missing. Write it in the cell above, run that cell, and "
            f"then this one again."
        )


def there(value, part=None):
    """Hold that a value is given; an exercise has three dots in its place."""
    if value is ... or value is None:
        raise Missing(part)


def passed(text):
    """Print the tick. Checks end with it."""
    print(f"✓ {text}")


def call(function, *args, **kwargs):
    """The result of the learner's function, or `Wrong` where it cannot be called."""
    there(function)
    if not callable(function):
        raise Wrong(f"Give the function itself, not {type(function).__name__}.")
    try:
        result = function(*args, **kwargs)
    except NotImplementedError:
        raise Missing(getattr(function, "__name__", None)) from None
    except Wrong:
        raise
    except Exception as error:
        raise Wrong(
            f"It stops with {type(error).__name__}: {str(error).rstrip('.')}. Call it "
            f"yourself on a small example to see where."
        ) from error
    if result is None:
        raise Wrong("It returns nothing. Does its last line say `return`?")
    return result


def split(answers, n):
    """The n parts of an answer; what is missing is None."""
    parts = list(answers) if isinstance(answers, (list, tuple)) else [answers]
    return (parts + [None] * n)[:n]


def letter(answer, right, wrong):
    """Hold that a prediction is the `right` letter; `wrong`: the others' hints."""
    there(answer)
    options = sorted([right, *wrong])
    given = str(answer).strip(" ().").lower()
    if given not in options:
        raise Wrong(
            f"{answer!r} is none of the options. Give the letter alone, in quotes: one "
            f"of {', '.join(options)}."
        )
    if given != right:
        raise Wrong(wrong[given])


def choose(answer, right, why, wrong):
    """A prediction with options: each wrong one has its own answer.

    Args:
      answer: what the learner chose. right: the right option's letter.
      why: printed with the tick. wrong: a dict from each wrong letter to its hint.
    """
    letter(answer, right, wrong)
    passed(why)


def numbers(result):
    """The result as a numpy array of numbers, or `Wrong` where it is none."""
    try:
        array = np.asarray(result)
    except (TypeError, ValueError):
        array = np.array(None)
    if array.dtype.kind not in "fiub":
        raise Wrong(f"Give one array of numbers; this is a {type(result).__name__}.")
    return array


def shape(result, wanted, meaning):
    """Hold that `result` has the shape `wanted` and no NaN; gives it as numpy."""
    result = numbers(result)
    if result.shape != wanted:
        raise Wrong(f"The result has shape {result.shape}; wanted {wanted}: {meaning}.")
    if not np.isfinite(result).all():
        raise Wrong("There are NaN or infinite numbers in the result.")
    return result


def close(a, b, tolerance=1e-4):
    """Are two arrays equal, relative to the size of the second?"""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape or not np.isfinite(b).all():
        return False
    return bool(np.all(np.abs(a - b) <= tolerance * (1e-9 + np.abs(b).max())))


class Mistakes(dict):
    """A table {exercise: [(an answer that is wrong, its hint)]}.

    The check compares what an answer gives with what each mistake would; the tests
    hand the very same functions in as answers.
    """

    def enter(self, exercise, hint):
        """Enter a function into the table: an answer with this hint."""

        def enter(function):
            self.setdefault(exercise, []).append((function, hint))
            return function

        return enter

    def compare(self, exercise, answer, given, right, what):
        """Hold that `answer` gives what `right` does, for every tuple of arguments in
        `given`; where it gives what a mistake would, tell that one's hint."""
        results = [numbers(call(answer, *map(_copied, args))) for args in given]
        wanted = [np.asarray(right(*args), float) for args in given]
        for result, value in zip(results, wanted, strict=True):
            shape(result, value.shape, what)
        if all(map(close, results, wanted)):
            return
        for wrong, hint in self.get(exercise, ()):
            if all(map(close, results, [np.asarray(wrong(*args)) for args in given])):
                raise Wrong(hint)
        for args, result, value in zip(given, results, wanted, strict=True):
            if not close(result, value):
                raise Wrong(_off(args, result, value))


def _copied(value):
    """A list or NumPy array of the learner's own: what is changed there stays there."""
    if isinstance(value, list):
        return [_copied(v) for v in value]
    return value.copy() if isinstance(value, np.ndarray) else value


def _off(args, result, value):
    """Say by how much a result is off."""
    shown = [a for a in map(_short, args) if a]
    given = f"For {', '.join(shown)} it gives" if shown else "It gives"
    if value.ndim == 0:
        return f"{given} {_short(result)}, and {_short(value)} was expected."
    off = np.abs(result - value)
    at = tuple(map(int, np.unravel_index(off.argmax(), off.shape)))
    return (
        f"The shape is right, numbers are not. The farthest off is that at {list(at)}: "
        f"{result[at]:.4g} in place of {value[at]:.4g}."
    )


def _short(value):
    if callable(value) or (not isinstance(value, list) and np.size(value) > 40):
        return ""
    if isinstance(value, list) or np.ndim(value) == 0:
        return f"{value}" if isinstance(value, list) else f"{float(value):.4g}"
    return np.array2string(np.asarray(value, float), precision=4, separator=", ")
