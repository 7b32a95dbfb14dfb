"""A cell that ignores the budget is named."""

import _work
import nbformat
import pytest

from tools import notebooks

IDLE = """\
import jax.numpy as jnp
from gencourse.inference import map_batches
from gencourse.train import fit
"""
BUSY = """\
x = jnp.zeros((15000, 1))
map_batches(lambda network, x: x + network, 1.0, x)
map_batches(lambda network, x: x + network, 1.0, x)
"""


def test_a_cell_that_does_too_much_is_named(tmp_path, monkeypatch):
    cells = [nbformat.v4.new_code_cell(source) for source in (IDLE, BUSY)]
    nb = nbformat.v4.new_notebook(cells=cells)
    with pytest.raises(AssertionError, match="no cell was counted"):
        _work.excesses(tmp_path, nb)
    for name, value in _work.watching(tmp_path).items():
        monkeypatch.setenv(name, value)
    notebooks.execute(nb, tmp_path, "smoke")
    (line,) = _work.excesses(tmp_path, nb)
    assert line.startswith("cell 1, 'x = jnp.zeros((15000, 1))': 30,000 rows")
    assert [done["rows"] for _, done in _work.done(tmp_path)[-2:]] == [0, 30000]
