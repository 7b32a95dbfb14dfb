"""Remember what was found out about objects, for as long as those very objects live.

Chapters call `fit` many times in a row on the same data. What cannot change between
two calls is checked once, and sent to the device once.
"""

import weakref

import jax
import numpy as np


class ByIdentity:
    """A dict whose key is one or more objects, compared by `is` and held weakly.

    An entry disappears with the first of its objects, and the oldest one when there
    are more than `capacity`.
    """

    def __init__(self, capacity=16):
        self.entries = {}  # ids of the objects: (weak references to them, value)
        self.capacity = capacity

    def get(self, *objects):
        """Return the value that was stored for these objects, or None."""
        references, value = self.entries.get(tuple(map(id, objects)), ((), None))
        same = all(ref() is x for ref, x in zip(references, objects, strict=False))
        return value if same else None

    def put(self, value, *objects):
        """Store a value for these objects and return it."""
        ids = tuple(map(id, objects))

        def forget(_):
            self.entries.pop(ids, None)

        self.entries[ids] = [weakref.ref(x, forget) for x in objects], value
        while len(self.entries) > self.capacity:
            del self.entries[next(iter(self.entries))]
        return value


def is_constant(array):
    """Return True for an array that nobody can write to."""
    if isinstance(array, jax.Array):
        return not isinstance(array, jax.core.Tracer)
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return False
        array = array.base
    return array is None or isinstance(array, bytes)


_on_device = ByIdentity()


def to_device(array):
    """Return a JAX array of the same numbers.

    A read-only NumPy array is sent only once, and its copy stays on the device for as
    long as it lives on the host.
    """
    if isinstance(array, jax.Array):
        return array
    if not isinstance(array, np.ndarray) or not is_constant(array):
        return jax.device_put(array)
    known = _on_device.get(array)
    if known is not None:
        return known
    # An alias would keep the host's array alive, and JAX 0.10 makes one of memory that
    # lies at a multiple of 64 bytes, even where it is told not to (may_alias=False).
    return _on_device.put(jax.device_put(array.copy()), array)
