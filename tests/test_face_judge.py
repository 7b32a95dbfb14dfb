"""The judge of faces: it reads every factor, of soft faces too, and says how well."""

import numpy as np
import pytest
from flax import nnx

from gencourse import data
from gencourse.metrics import face_judge, judges
from gencourse.metrics.samples import frechet_distance

IN_HASTE = False  # it looks at hundreds of pictures


@pytest.fixture(scope="module")
def judge():
    return face_judge.load_face_judge()


@pytest.fixture(scope="module")
def faces():
    """(faces in [0, 1], their factors): the first 320 of the test."""
    asked = {name: n[:320] for name, n in data.attributes("faces", "test").items()}
    return data.scale(data.compose(**asked), "unit"), asked


def test_it_reads_test_faces_as_well_as_it_says(judge, faces):
    x, asked = faces
    found = face_judge.agreement(judge, x, asked)
    assert found.keys() == judge.accuracy_on_test.keys() == data.factors.keys()
    for factor, share in found.items():
        assert abs(share - judge.accuracy_on_test[factor]) < 0.03, factor
    assert min(judge.accuracy_on_test.values()) >= 0.99
    assert min(judge.accuracy_on_blurred.values()) >= 0.99


def test_it_sees_a_counterfactual_and_nothing_else(judge, faces):
    _, asked = faces
    some = {name: n[:100] for name, n in asked.items()} | {"beard": np.full(100, 2)}
    found = face_judge.agreement(judge, data.scale(data.compose(**some), "unit"), some)
    assert min(found.values()) > 0.95
    other = some | {"beard": np.zeros(100, int)}
    x = data.scale(data.compose(**other), "unit")
    assert face_judge.agreement(judge, x, {"beard": some["beard"]})["beard"] < 0.05


def test_it_is_sure_of_faces_and_not_of_noise(judge, faces):
    x, _ = faces
    assert face_judge.sure(judge, x).mean() > 0.9
    noise = np.random.default_rng(0).random((64, 64, 64, 3), np.float32)
    assert face_judge.sure(judge, noise).mean() < 0.1
    smears = (x[:64] + x[64:128] + x[128:192] + x[192:256]) / 4
    assert face_judge.sure(judge, smears).mean() < 0.1


def test_probabilities_are_distributions_one_a_factor(judge, faces):
    found = face_judge.probabilities(judge, faces[0][:5])
    assert {f: p.shape for f, p in found.items()} == {
        f: (5, len(values)) for f, values in data.factors.items()
    }
    for p in found.values():
        np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)


def test_the_distance_is_small_for_real_faces_and_large_for_others(judge, faces):
    x, _ = faces
    reference = judge.feature_mean, judge.feature_covariance
    real = frechet_distance(face_judge.features(judge, x), reference)
    bald = data.scale(data.compose(hair=np.zeros(320, int)), "unit")
    same = frechet_distance(face_judge.features(judge, bald), reference)
    assert same > 5 * real


def test_weights_are_stored_and_read(judge, tmp_path):
    names = [name for name, _ in judge.factors]
    meta = {"factors": names, "values": [n for _, n in judge.factors]}
    measured = dict.fromkeys(("accuracy_on_test", "accuracy_on_blurred"), [0.5] * 10)
    judges.save_judge(tmp_path / "j.npz", judge, **meta, **measured)
    again = face_judge.read(tmp_path / "j.npz")
    assert again.accuracy_on_test == dict.fromkeys(names, 0.5)
    for a, b in zip(*map(weights, (judge, again)), strict=True):
        np.testing.assert_array_equal(a, b)


def weights(judge):
    state = nnx.to_flat_state(nnx.state(judge, judges.WEIGHTS))
    return [np.asarray(variable[...]) for _, variable in state]


def test_what_it_cannot_look_at_is_refused(judge, faces):
    x, asked = faces
    with pytest.raises(ValueError, match=r"\(N, 64, 64, 3\); given \(320, 64, 64, 1\)"):
        face_judge.probabilities(judge, x[..., :1])
    with pytest.raises(ValueError, match=r"floats in \[0, 1\]"):
        face_judge.features(judge, 2 * x - 1)
    with pytest.raises(ValueError, match=r"no factor \['glasses'\]; there are: \['sk"):
        face_judge.agreement(judge, x, {"glasses": asked["hair"]})
    with pytest.raises(ValueError, match="3 labels for 320"):
        face_judge.agreement(judge, x, {"hair": asked["hair"][:3]})
    with pytest.raises(ValueError, match=r"0\.\.3"):
        face_judge.agreement(judge, x, {"hair": asked["hair"] + 1})
    with pytest.raises(ValueError, match=r"load_face_judge\(\)"):
        judges.load_judge("faces")
