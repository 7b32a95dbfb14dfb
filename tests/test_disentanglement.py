"""Codes of which we know what they tell: all, nothing, and the same thing twice."""

import numpy as np
import pytest

from gencourse.metrics.disentanglement import (
    mutual_information,
    mutual_information_gap,
)

RNG = np.random.default_rng(0)
N = 4000
LABELS = RNG.integers(0, 4, N)


def codes(*columns):
    return np.stack(columns, axis=1).astype(np.float32)


def test_a_latent_that_tells_all_has_the_entropy_and_one_of_chance_nothing():
    z = codes(LABELS + 0.01 * RNG.normal(size=N), RNG.normal(size=N))
    told, chance = mutual_information(z, LABELS)
    entropy = -sum(p * np.log(p) for p in np.bincount(LABELS) / N)
    assert told == pytest.approx(entropy, rel=0.06)  # a bin may hold two labels
    assert 0 < chance < 3 * (20 - 1) * (4 - 1) / (2 * N)


def test_it_does_not_ask_for_a_straight_line():
    hat = np.abs(LABELS - 1.5) + 0.01 * RNG.normal(size=N)  # tells pairs of labels
    (told,) = mutual_information(codes(hat), LABELS)
    assert told == pytest.approx(np.log(2), rel=0.03)


def test_the_gap_is_one_for_one_latent_and_nought_for_two():
    z, noise = LABELS + 0.01 * RNG.normal(size=N), RNG.normal(size=N)
    factors = {"hair": LABELS}
    assert mutual_information_gap(codes(z, noise), factors)["hair"] > 0.95
    assert mutual_information_gap(codes(z, -z, noise), factors)["hair"] < 0.02
    half = np.where(RNG.random(N) < 0.5, z, noise)  # the second tells some of it
    assert 0.4 < mutual_information_gap(codes(z, half), factors)["hair"] < 0.9


@pytest.mark.parametrize(
    "z, labels, message",
    [
        (np.zeros((5, 2)), np.zeros(4, int), "4 labels for 5"),
        (np.full((5, 2), np.nan), np.zeros(5, int), "codes"),
        (np.zeros((5, 2)), np.full(5, 0.5), "whole|int"),
        (np.zeros((5, 2)), np.zeros(5, int), "'hair' never changes"),
    ],
)
def test_what_tells_nothing_is_refused(z, labels, message):
    with pytest.raises((ValueError, TypeError), match=message):
        mutual_information(z, labels)
        mutual_information_gap(z, {"hair": labels})
