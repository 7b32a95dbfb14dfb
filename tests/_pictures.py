"""Is a picture blank? For the tests, and a pytest plugin: nbval compares no pictures.

`-p _pictures` beside nbval fails each cell whose picture is blank.
"""

import base64
import io

import numpy as np
import pytest
from PIL import Image


def blank(text):
    """Why a base64 PNG or GIF tells the eye nothing, or None.

    White, a frame and the greys of text are not yet a picture: neither are they
    beside panels of one colour. Two colours more are, or much that is grey.
    """
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        found = image.convert("RGB").getcolors(image.width * image.height)
    counts, colours = map(np.array, zip(*found, strict=True))
    shades = (np.ptp(colours, axis=1) > 30).sum()
    rest = 1 - np.sort(counts)[-2:].sum() / counts.sum()
    if shades < 2 and rest < 0.05:
        return f"shows {shades} colours that are not grey, and {rest:.0%} other greys"
    return None


def blank_outputs(outputs):
    """What is wrong with the pictures among a cell's outputs, a list of words."""
    kinds = ("image/png", "image/gif")
    data = [out.get("data", {}) for out in outputs or []]
    found = [f"{k} {blank(d[k])}" for d in data for k in kinds if k in d]
    return [words for words in found if not words.endswith(" None")]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    result = yield
    problems = blank_outputs(getattr(item, "test_outputs", None))
    assert not problems, f"{item.name}: a picture {problems}"
    return result
