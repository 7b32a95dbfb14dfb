"""What faces adds to chapter 2: pairs of pictures that differ in one attribute."""

import numpy as np
import pytest

from gencourse import data, vae_faces

TABLE = {
    "beard": [True, False, False, True, False, True],
    "hat": [False, False, True, False, False, True],
    "dark": [False, False, False, True, True, False],
    "light": [True, True, True, False, False, False],
}
TABLE = {name: np.array(column) for name, column in TABLE.items()}


def test_pairs_differ_in_the_attribute_alone():
    have, lack = vae_faces.pairs(TABLE, "beard")
    assert have.tolist() == [0, 3] and lack.tolist() == [1, 4]  # 5 has no equal


def test_one_attribute_may_stand_in_place_of_another():
    have, lack = vae_faces.pairs(TABLE, "dark", instead="light")
    assert have.tolist() == [3, 4] and lack.tolist() == [0, 1]


@pytest.mark.parametrize("names", [("moustache",), ("dark", "pale")])
def test_an_unknown_attribute_is_named(names):
    wanted = f"No attribute '{names[-1]}'; there are"
    with pytest.raises(ValueError, match=wanted):
        vae_faces.pairs(TABLE, *names)


def test_numbers_for_truths_are_refused():
    with pytest.raises(ValueError, match="True and False"):
        vae_faces.pairs(TABLE | {"hat": TABLE["hat"].astype(int)}, "beard")
    have, lack = vae_faces.pairs(
        {"beard": TABLE["beard"]}, "beard"
    )  # the only attribute
    assert have.tolist() == [0, 3, 5] and lack.tolist() == [1, 1, 1]


def test_where_there_is_no_pair_it_says_so():
    with pytest.raises(ValueError, match="No two pictures differ in 'hat' alone"):
        vae_faces.pairs(TABLE | {"beard": TABLE["hat"]}, "hat")


@pytest.mark.parametrize(
    "name, instead, many",
    [("beard", None, 18), ("blonde hair", None, 15)]
    + [("tone dark", "tone default", 137)],
)
def test_the_emoji_have_pairs_of_one_drawing_style(name, instead, many):
    columns = data.attributes("emoji")
    have, lack = vae_faces.pairs(columns, name, instead)
    assert len(have) == len(lack) == many
    for other, column in columns.items():
        wanted = {name: [True, False], instead: [False, True]}.get(other)
        if wanted:
            assert (column[have] == wanted[0]).all()
            assert (column[lack] == wanted[1]).all()
        else:
            np.testing.assert_array_equal(column[have], column[lack])
