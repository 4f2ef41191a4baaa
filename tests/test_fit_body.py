"""Body parameters from vertices, and bodies of another topology."""

import collections
import copyreg
import pickle
import sys
import types

import numpy as np
import pytest
import scipy.sparse
import torch
from scipy.spatial.transform import Rotation

from lvd_live.body import correspondence
from lvd_live.body.correspondence import Correspondence
from lvd_live.body.fit import BodyFitter
from lvd_live.body.model import BodyModel
from lvd_live.body.skeleton import JOINT
from lvd_live.body.surface import closest_on_triangles
from lvd_live.errors import UserError
from lvd_live.paths import MODELS
from lvd_live.synth.people import People
from lvd_live.tracking.tracker import Tracker
from tests.bodies import match, other_arrays, other_body


@pytest.fixture(scope="module")
def people():
    return People(MODELS, held_out=True)


@pytest.fixture(scope="module")
def fitter(people):
    return BodyFitter(people.body)


def sample(people, count, seed):
    """One person in `count` poses before a camera.

    Returns betas (20,), pose (count, 24, 3), transl (count, 3), vertices (count, N, 3).
    """
    rng = np.random.default_rng(seed)
    betas = people.shape(rng)
    pose = np.stack([people.motion.sample(rng) for _ in range(count)]).astype(np.float32)
    pose[:, 0] = Rotation.random(count, random_state=seed).as_rotvec()
    transl = (rng.normal(0, 1, (count, 3)) + [0, 0, 4]).astype(np.float32)
    return betas, pose, transl, skinned(people.body, betas, pose, transl)


def posed(body, betas, pose, transl):
    """Vertices (count, N, 3) and joints (count, 24, 3) of one shape in `count` poses."""
    shapes = torch.as_tensor(betas)[None].expand(len(pose), -1)
    with torch.no_grad():
        vertices, joints = body(shapes, torch.as_tensor(pose), torch.as_tensor(transl))
    return vertices.numpy(), joints.numpy()


def skinned(body, betas, pose, transl):
    return posed(body, betas, pose, transl)[0]


def degrees_between(a, b):
    """Angles (F, 24) between the local rotations of two poses."""
    a, b = (Rotation.from_rotvec(x.reshape(-1, 3).astype(float)) for x in (a, b))
    return np.degrees((a.inv() * b).magnitude()).reshape(-1, 24)


def tear(vertices, share):
    """The meshes with a share of their vertices thrown off by some 0.3 m."""
    rng = np.random.default_rng(0)
    wrong = rng.random(vertices.shape[:2]) < share
    return vertices + wrong[..., None] * rng.normal(0.3, 0.2, vertices.shape).astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_round_trip(people, fitter, seed):
    betas, pose, transl, vertices = sample(people, 16, seed)
    fitted = fitter.fit(vertices)
    again = skinned(people.body, fitted.betas, fitted.pose, fitted.transl)
    assert np.linalg.norm(again - vertices, axis=-1).max() < 0.002
    assert degrees_between(fitted.pose, pose).max() < 2
    assert fitted.residual_mm.max() < 2 and fitted.betas.shape == (20,) and fitted.pose.dtype == np.float32
    np.testing.assert_allclose(fitted.betas, betas, atol=0.1)


def test_round_trip_with_noise(people, fitter):
    """5 mm on every coordinate: single joints stay near, and the body is better than its mesh."""
    for seed in (10, 11):
        _, pose, _, vertices = sample(people, 16, seed)
        noisy = vertices + np.random.default_rng(seed).normal(0, 0.005, vertices.shape).astype(np.float32)
        fitted = fitter.fit(noisy)
        error = degrees_between(fitted.pose, pose)
        assert error.mean() < 1.5 and np.percentile(error, 99) < 4
        again = skinned(people.body, fitted.betas, fitted.pose, fitted.transl)
        assert np.linalg.norm(again - vertices, axis=-1).mean() < 0.002
        assert 6 < fitted.residual_mm.mean() < 10


def test_size_and_distance_are_one_to_a_camera(people, fitter):
    """Meshes too near and too small, or too far and too large, come back to their size and distance.

    The person's shape is known; torn vertices change little.
    """
    betas, pose, transl, vertices = sample(people, 12, 12)
    wrong = np.linspace(0.88, 1.15, 12, dtype=np.float32)
    torn = tear(vertices, 0.05)
    for meshes, near in ((vertices, 0.002), (torn, 0.03)):
        fitted = fitter.fit(meshes * wrong[:, None, None], None, betas, camera=True)
        np.testing.assert_allclose(fitted.scale * wrong, 1, atol=near)
        assert np.linalg.norm(fitted.transl - transl, axis=-1).max() < 5 * near
        assert degrees_between(fitted.pose, pose).mean() < 1
    plain, placed = fitter.fit(vertices, None, betas), fitter.fit(vertices, None, betas, camera=True)
    assert (plain.scale == 1).all()
    assert np.linalg.norm(placed.transl - plain.transl, axis=-1).max() < 0.001


def test_outliers_do_not_pull(people, fitter):
    _, pose, _, vertices = sample(people, 8, 20)
    assert degrees_between(fitter.fit(tear(vertices, 0.10)).pose, pose).mean() < 2


def test_uncertain_vertices_count_less(people, fitter):
    betas, _, _, vertices = sample(people, 6, 21)
    rng = np.random.default_rng(1)
    std = np.where(rng.random(vertices.shape[:2]) < 0.5, 0.002, 0.04).astype(np.float32)
    noisy = vertices + (std[..., None] * rng.normal(size=vertices.shape)).astype(np.float32)

    def error(fitted):
        return np.linalg.norm(skinned(people.body, fitted.betas, fitted.pose, fitted.transl) - vertices, axis=-1).mean()

    assert error(fitter.fit(noisy, std, betas)) < 0.65 * error(fitter.fit(noisy, None, betas))
    unknown, none = fitter.fit(noisy, np.zeros_like(std), betas), fitter.fit(noisy, None, betas)
    assert np.array_equal(unknown.pose, none.pose)


def test_a_poor_mesh_gives_a_sane_body(people, fitter):
    """Errors that whole limbs share, as a network makes them, give the shape and the joint angles of a person."""
    betas, _, _, vertices = sample(people, 12, 22)
    rng = np.random.default_rng(2)
    directions = rng.normal(size=(3, 3)).astype(np.float32)
    wave = np.sin(12 * vertices @ directions + rng.uniform(0, 6, (12, 1, 3)).astype(np.float32))
    fitted = fitter.fit(vertices + 0.03 * wave.astype(np.float32))
    assert np.abs(fitted.betas - betas).max() < 2.5 and np.linalg.norm(fitted.betas) < 1.5 * np.linalg.norm(betas) + 2
    angles = np.linalg.norm(fitted.pose[:, [JOINT["left_foot"], JOINT["right_foot"], JOINT["spine3"]]], axis=-1)
    assert np.degrees(angles).max() < 90


def test_few_frames_and_none(people, fitter):
    _, pose, _, vertices = sample(people, 1, 23)
    assert degrees_between(fitter.fit(vertices).pose, pose).max() < 2
    empty = fitter.fit(vertices[:0])
    assert empty.pose.shape == (0, 24, 3) and empty.residual_mm.shape == (0,)
    assert empty.betas.shape == (20,) and not empty.betas.any()


def test_pose_correctives_are_taken_into_account(people):
    """A body with SMPL's posedirs: they are in the meshes, and the parameters are found all the same."""
    rng = np.random.default_rng(3)
    with np.load(MODELS / "body" / "lvd_body.npz", allow_pickle=False) as file:
        arrays = {k: file[k] for k in file}
    smooth = np.sin(arrays["v_template"] @ rng.normal(0, 6, (3, 207)) + rng.uniform(0, 6, 207))
    arrays["posedirs"] = (0.004 * smooth[:, None] * rng.normal(size=(1, 3, 207))).astype(np.float32)
    body = BodyModel(arrays)
    betas, pose, transl, _ = sample(people, 8, 24)
    vertices = skinned(body, betas, pose, transl)
    assert np.linalg.norm(vertices - skinned(people.body, betas, pose, transl), axis=-1).max() > 0.01
    fitted = BodyFitter(body).fit(vertices)
    assert np.linalg.norm(skinned(body, fitted.betas, fitted.pose, fitted.transl) - vertices, axis=-1).max() < 0.002
    assert degrees_between(fitted.pose, pose).max() < 2


def test_three_hundred_shape_components(people):
    body, _ = other_body(components=300)
    rng = np.random.default_rng(4)
    betas = rng.normal(0, 0.7, 300).astype(np.float32)
    _, pose, transl, _ = sample(people, 4, 25)
    vertices = skinned(body, betas, pose, transl)
    fitted = BodyFitter(body).fit(vertices)
    assert fitted.betas.shape == (300,)
    assert np.linalg.norm(skinned(body, fitted.betas, fitted.pose, fitted.transl) - vertices, axis=-1).max() < 0.002


@pytest.fixture
def matched():
    return match()


def test_the_mesh_is_carried_to_another_topology(people, matched):
    """Each vertex of the other mesh lands where it belongs on ours, and the other body is fitted to what arrives.

    But for some slipping along limbs, which nothing on a smooth thigh tells.
    """
    other, truth, carry = matched
    slip = np.linalg.norm(carry(people.body.v_template.numpy()) - truth, axis=1)
    assert slip.mean() < 0.004 and slip.max() < 0.03
    np.testing.assert_allclose(carry.mix.sum(1), 1, atol=1e-5)
    betas, pose, transl, vertices = sample(people, 8, 30)
    fitted = BodyFitter(other).fit(carry(vertices))
    assert fitted.residual_mm.mean() < 6
    _, ours = posed(people.body, betas, pose, transl)
    _, theirs = posed(other, fitted.betas, fitted.pose, fitted.transl)
    assert np.linalg.norm(ours - theirs, axis=-1).mean() < 0.015


def test_a_match_is_kept_and_a_damaged_one_made_anew(people, matched, tmp_path, monkeypatch):
    other, _, carry = matched
    calls = []
    monkeypatch.setattr(correspondence.platformdirs, "user_cache_path", lambda name: tmp_path / "cache")
    monkeypatch.setattr(Correspondence, "compute", classmethod(lambda cls, a, b: calls.append(1) or carry))
    for _ in range(2):
        found = Correspondence.between(people.body, other)
        assert np.array_equal(found.corners, carry.corners) and np.array_equal(found.mix, carry.mix)
        assert len(calls) == 1
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_bytes(kept.read_bytes()[:1000])
    assert np.array_equal(Correspondence.between(people.body, other).mix, carry.mix) and len(calls) == 2


def test_tracker_carries_its_mesh(people, matched, tmp_path, monkeypatch):
    other, _, carry = matched
    np.savez(tmp_path / "smpl.npz", **other_arrays()[0])
    monkeypatch.setattr(Correspondence, "between", classmethod(lambda cls, a, b: carry))
    tracker = Tracker.load(body=tmp_path / "smpl.npz")
    assert np.array_equal(tracker.faces, other.faces.numpy()) and tracker.carry[0] is carry


def test_closest_points_on_triangles():
    trimesh = pytest.importorskip("trimesh")
    rng = np.random.default_rng(5)
    triangles, points = rng.normal(size=(500, 3, 3)), rng.normal(0, 2, (500, 3))
    mix, distance = closest_on_triangles(points, triangles)
    expected = trimesh.triangles.closest_point(triangles, points)
    np.testing.assert_allclose(np.einsum("nk,nkc->nc", mix, triangles), expected, atol=1e-9)
    np.testing.assert_allclose(distance, np.linalg.norm(points - expected, axis=1), atol=1e-9)


# SMPL's published pickles, imitated: chumpy arrays, a sparse regressor, Python 2's protocol


class Ch:
    def __init__(self, x):
        self.x = x


@pytest.fixture
def chumpy(monkeypatch):
    module = types.ModuleType("chumpy.ch")
    module.Ch = Ch
    monkeypatch.setattr(Ch, "__module__", "chumpy.ch")
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    monkeypatch.setitem(sys.modules, "chumpy.ch", module)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_smpl_pickles_are_read_without_running_them(tmp_path, chumpy, monkeypatch, protocol):
    arrays, _ = other_arrays()
    small = {k: v for k, v in arrays.items() if k != "posedirs"}  # protocol 0 would take a minute for it
    data = {
        **small,
        "shapedirs": Ch(arrays["shapedirs"]),
        "J_regressor": scipy.sparse.csc_matrix(arrays["J_regressor"]),
        "bs_style": "lbs",
        "J": np.zeros((24, 3)),
    }
    (tmp_path / "SMPL.pkl").write_bytes(pickle.dumps(data, protocol))
    monkeypatch.delitem(sys.modules, "chumpy.ch")
    body = BodyModel.load(tmp_path / "SMPL.pkl")
    np.testing.assert_allclose(body.J_regressor.numpy(), arrays["J_regressor"], atol=1e-6)
    np.testing.assert_allclose(body.shapedirs.numpy(), arrays["shapedirs"], atol=1e-6)
    assert body.parents[0] == -1 and body.parents[23] == 21


class Runs:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "evil",
    [
        Runs(pytest.fail, ("a pickle was run",)),
        Runs(eval, ("1/0",)),
        Runs(copyreg._reconstructor, (collections.Counter, object, None)),
        Runs(np.load, ("x",)),
        Runs(getattr, ("x", "upper")),
        [1, 2],
        {"v_template": Runs(exec, ("1/0",))},
        {"v_template": "text"},
        {"v_template": np.array([{}], object)},
        {"v_template": np.full((4, 3), np.nan)},
    ],
)
def test_hostile_pickles_are_refused(tmp_path, evil):
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(evil, 2))
    with pytest.raises(UserError) as caught:
        BodyModel.load(tmp_path / "evil.pkl")
    assert "\n" not in str(caught.value)


def test_damaged_pickles_are_refused(tmp_path):
    whole = pickle.dumps({"v_template": np.zeros((50, 3))}, 2)
    rng = np.random.default_rng(6)
    for cut in (0, 5, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.pkl").write_bytes(whole[:cut])
        with pytest.raises(UserError):
            BodyModel.load(tmp_path / "cut.pkl")
    for _ in range(100):
        broken = bytearray(whole)
        broken[rng.integers(len(whole))] = rng.integers(256)
        (tmp_path / "broken.pkl").write_bytes(broken)
        with pytest.raises(UserError):
            BodyModel.load(tmp_path / "broken.pkl")


@pytest.mark.parametrize(
    "wrong", [{"f": -1}, {"f": None}, {"kintree_table": 77}, {"kintree_table": -1}, {"weights": 0}, {"weights": -1}]
)
def test_bodies_that_contradict_themselves_are_refused(tmp_path, wrong):
    """An array of the right shape, all of whose values are `value`; or an empty one where that is None."""
    with np.load(MODELS / "body" / "lvd_body.npz", allow_pickle=False) as file:
        arrays = {k: file[k] for k in file}
    ((name, value),) = wrong.items()
    dtype = np.float32 if name == "weights" else np.int64
    arrays[name] = arrays[name][:0] if value is None else np.full(arrays[name].shape, value, dtype)
    np.savez(tmp_path / "wrong.npz", **arrays)
    with pytest.raises(UserError, match="SMPL's layout"):
        BodyModel.load(tmp_path / "wrong.npz")


@pytest.mark.parametrize("joints, fingers", [(52, (22, 37)), (55, (25, 40))])
def test_smpl_h_and_x_become_smpl(tmp_path, joints, fingers):
    """A file with fingers: as long as they do not move, it poses as SMPL's 24 joints do."""
    with np.load(MODELS / "body" / "lvd_body.npz", allow_pickle=False) as file:
        arrays = {k: file[k] for k in file if k not in ("part_labels", "landmarks")}
    weights, regressor = np.zeros((6890, joints)), np.zeros((joints, 6890))
    weights[:, :22], regressor[:22] = arrays["weights"][:, :22], arrays["J_regressor"][:22]
    parents = np.zeros(joints, np.int64)
    parents[:22] = arrays["kintree_table"][0][:22]
    for hand, first in zip((22, 23), fingers, strict=True):
        for finger in range(4):
            weights[:, first + 3 * finger + 1] = arrays["weights"][:, hand] / 4
        weights[:, first + 13] = 0.5 * arrays["weights"][:, hand - 2]
        weights[:, hand - 2] *= 0.5
        regressor[first + 3] = arrays["J_regressor"][hand]
    big = {
        **arrays,
        "weights": weights,
        "J_regressor": regressor,
        "kintree_table": np.stack([parents, np.arange(joints)]),
        "posedirs": np.zeros((6890, 3, 9 * (joints - 1)), np.float32),
    }
    big["shapedirs"] = np.concatenate([arrays["shapedirs"], np.zeros((6890, 3, 380), np.float32)], 2)
    np.savez(tmp_path / "big.npz", **big)
    body = BodyModel.load(tmp_path / "big.npz")
    assert body.shapedirs.shape[2] == 300
    np.testing.assert_allclose(body.weights.numpy(), arrays["weights"], atol=1e-6)
    np.testing.assert_allclose(body.J_regressor.numpy(), arrays["J_regressor"], atol=1e-6)
    assert body.parents == BodyModel.load(MODELS / "body" / "lvd_body.npz").parents
