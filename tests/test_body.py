"""The baked body: a closed, well-spread mesh in SMPL's layout, its skinning, joints and landmarks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from lvd_live.body.model import BodyModel, axis_angle_to_matrix
from lvd_live.body.skeleton import JOINT, JOINT_NAMES, PARENTS, chain_transforms, rotation_between
from lvd_live.errors import UserError

FILE = Path(__file__).parent.parent / "models" / "body" / "lvd_body.npz"
BASE = FILE.parent.parent / "synth" / "base.npz"


SMPLX_VERTICES = (
    "nose reye leye rear lear rthumb rindex rmiddle rring rpinky lthumb lindex lmiddle lring lpinky "
    "LBigToe LSmallToe LHeel RBigToe RSmallToe RHeel"
).split()


@pytest.fixture(scope="module")
def arrays():
    with np.load(FILE, allow_pickle=False) as file:
        return {k: file[k] for k in file}


def people(count, seed=0):
    """Shapes and poses that training also draws from."""
    from lvd_live.synth.motion import PoseBank

    rng = np.random.default_rng(seed)
    with np.load(BASE, allow_pickle=False) as base:
        betas = base["betas"][rng.integers(len(base["betas"]), size=count)].astype(np.float32)
    motion = PoseBank.load(BASE.with_name("poses.npz"), held_out=True)
    poses = np.stack([motion.sample(rng) for _ in range(count)]).astype(np.float32)
    return torch.from_numpy(betas), torch.from_numpy(poses)


def test_counts_are_smpls(arrays):
    assert arrays["v_template"].shape == (6890, 3) and arrays["f"].shape == (13776, 3)
    assert arrays["weights"].shape == arrays["J_regressor"].T.shape == (6890, 24)
    assert arrays["posedirs"].shape == (6890, 3, 207) and arrays["kintree_table"].shape == (2, 24)
    assert np.array_equal(arrays["kintree_table"][0][1:], PARENTS[1:])
    np.testing.assert_allclose(arrays["weights"].sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(arrays["J_regressor"].sum(1), 1, atol=1e-4)


def test_one_closed_surface(arrays):
    f = arrays["f"]
    edges = np.concatenate([f[:, [0, 1]], f[:, [1, 2]], f[:, [2, 0]]])
    undirected, uses = np.unique(np.sort(edges, 1), axis=0, return_counts=True)
    assert (uses == 2).all() and len(np.unique(edges, axis=0)) == len(edges)  # watertight, consistently oriented
    assert len(arrays["v_template"]) - len(undirected) + len(f) == 2  # Euler characteristic of a sphere


@pytest.mark.parametrize("seed", range(4))
def test_no_flipped_or_degenerate_face(arrays, body, seed):
    """On shapes of the population no face shrinks to nothing or turns over against the template."""
    betas, _ = people(1, seed)
    f = arrays["f"]

    def normals(v):
        return np.cross(v[f[:, 1]] - v[f[:, 0]], v[f[:, 2]] - v[f[:, 0]])

    template, shaped = normals(arrays["v_template"]), normals(body.shaped(betas[0]).numpy())
    assert np.linalg.norm(shaped, axis=1).min() / 2 > 0.05e-6  # square metres
    cosine = (template * shaped).sum(1) / np.linalg.norm(template, axis=1) / np.linalg.norm(shaped, axis=1)
    assert (cosine > 0).mean() > 0.999 and cosine.min() > -0.5
    v = body.shaped(betas[0]).numpy()
    assert np.einsum("fc,fc->", v[f[:, 0]], shaped) / 6 > 0.02  # outward: a positive volume, cubic metres


def test_vertices_are_spread(arrays):
    parts = [JOINT[n] for n in ("head", "left_wrist", "right_wrist", "left_hand", "right_hand")]
    assert np.isin(arrays["part_labels"], parts).mean() <= 0.45


def test_joints_stay_where_bones_meet(arrays, body):
    """Over shapes, each regressed joint keeps within 10 mm of the joint that Anny's skeleton gives.

    As far as 20 components tell.
    """
    with np.load(BASE, allow_pickle=False) as base:
        betas, template, dirs = base["betas"].astype(np.float32), base["J_template"], base["J_shapedirs"]
    true = template + np.einsum("jcb,sb->sjc", dirs, betas)
    found = np.einsum("jn,snc->sjc", arrays["J_regressor"], body.shaped(torch.from_numpy(betas[600:])).numpy())
    assert np.linalg.norm(found - true[600:], axis=-1).max() < 0.010


def test_rest_pose_is_the_template(body):
    vertices, joints = body(torch.zeros(2, 20), torch.zeros(2, 24, 3))
    torch.testing.assert_close(vertices[0], body.v_template, atol=1e-6, rtol=0)
    torch.testing.assert_close(joints[0], body.J_regressor @ body.v_template, atol=1e-6, rtol=0)


def test_posing_by_hand(body):
    """Bending the left elbow by 90 degrees turns the forearm about it and leaves the rest alone."""
    pose = torch.zeros(1, 24, 3)
    pose[0, JOINT["left_elbow"], 1] = -np.pi / 2
    vertices, joints = body(torch.zeros(1, 20), pose)
    rest, rest_joints = body.v_template, body.J_regressor @ body.v_template
    still = body.weights[:, [JOINT["left_elbow"], JOINT["left_wrist"], JOINT["left_hand"]]].sum(1) == 0
    torch.testing.assert_close(vertices[0][still], rest[still], atol=1e-6, rtol=0)
    forearm = rest_joints[JOINT["left_wrist"]] - rest_joints[JOINT["left_elbow"]]
    turned = joints[0, JOINT["left_wrist"]] - joints[0, JOINT["left_elbow"]]
    torch.testing.assert_close(turned, torch.stack([-forearm[2], forearm[1], forearm[0]]), atol=1e-5, rtol=0)


def test_batch_equals_one_by_one_and_gradients_flow(body):
    betas, pose = people(3)
    together, _ = body(betas, pose)
    for i in range(3):
        torch.testing.assert_close(body(betas[i : i + 1], pose[i : i + 1])[0][0], together[i], atol=1e-5, rtol=0)
    b, p = betas.double().requires_grad_(), pose.double().requires_grad_()
    precise = BodyModel.load(FILE).double()
    small = precise(b[:1], p[:1])[0][:, ::1500]
    small.square().sum().backward()
    step = 1e-6
    with torch.no_grad():
        moved = p.detach().clone()
        moved[0, 5, 1] += step
        change = (precise(b[:1], moved[:1])[0][:, ::1500].square().sum() - small.square().sum()) / step
    assert float(change) == pytest.approx(float(p.grad[0, 5, 1]), rel=1e-3)


def test_correctives_are_used_when_there_are_any(arrays):
    bent = dict(arrays)
    bent["posedirs"] = np.zeros_like(arrays["posedirs"])
    bent["posedirs"][7, 1, :] = 0.01
    pose = torch.zeros(1, 24, 3)
    pose[0, 1, 0] = 0.5
    plain, corrected = BodyModel(arrays)(torch.zeros(1, 20), pose)[0], BodyModel(bent)(torch.zeros(1, 20), pose)[0]
    moved = (plain - corrected).norm(dim=-1)[0]
    assert moved[7] > 1e-4 and moved.count_nonzero() == 1


def test_smplx_poses_the_same_file(arrays):
    """The file is SMPL's layout: the `smplx` package poses it to the same vertices."""
    smplx = pytest.importorskip("smplx", reason="the [smpl] extra is not installed")
    from smplx.utils import Struct

    zeros = np.zeros((6890, 3, 280), np.float32)  # smplx takes fewer than 300 components for 10
    data = Struct(**arrays | {"shapedirs": np.concatenate([arrays["shapedirs"], zeros], 2)})
    theirs = smplx.SMPL("", data_struct=data, num_betas=20, batch_size=4, vertex_ids=dict.fromkeys(SMPLX_VERTICES, 0))
    betas, pose = people(4)
    with torch.no_grad():
        expected = theirs(betas=betas, body_pose=pose[:, 1:].flatten(1), global_orient=pose[:, :1].flatten(1)).vertices
    torch.testing.assert_close(BodyModel(arrays)(betas, pose)[0], expected, atol=1e-5, rtol=0)


def test_landmarks_lie_on_the_body(body):
    points = (body.landmarks @ body.v_template).numpy()
    np.testing.assert_allclose(body.landmarks.sum(1), 1, atol=1e-4)
    left, right = points[11:32:2], points[12:33:2]
    assert (left[:, 0] > 0).all() and (right[:, 0] < 0).all()
    np.testing.assert_allclose(left * [-1, 1, 1], right, atol=0.05)
    assert points[0, 2] > 0.08 and points[31, 2] > points[29, 2] + 0.15  # the nose is in front, toes before heels


def test_control_vertices_carry_the_others(arrays, body):
    betas, pose = people(8, seed=3)
    with torch.no_grad():
        v = body(betas, pose)[0].numpy()
    near = v[:, arrays["control"]][:, arrays["control_columns"].astype(int)]
    mixed = (near * arrays["control_mix"][..., None]).sum(2)
    error = np.linalg.norm(mixed - v, axis=-1) * 1000
    assert error.mean() < 1.0 and np.percentile(error, 99) < 6.0
    np.testing.assert_allclose(arrays["control_mix"].sum(1), 1, atol=1e-4)


def test_rotations():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 50, 3))
    R = rotation_between(a, b)
    a, b = (x / np.linalg.norm(x, axis=1)[:, None] for x in (a, b))
    np.testing.assert_allclose(np.einsum("nij,nj->ni", R, a), b, atol=1e-9)
    np.testing.assert_allclose(R @ R.transpose(0, 2, 1), np.tile(np.eye(3), (50, 1, 1)), atol=1e-9)
    v = rng.normal(size=(20, 3))
    found, expected = axis_angle_to_matrix(torch.from_numpy(v)).numpy(), Rotation.from_rotvec(v).as_matrix()
    np.testing.assert_allclose(found, expected, atol=1e-9)
    joints = rng.normal(size=(24, 3))
    identity = chain_transforms(np.tile(np.eye(3), (24, 1, 1)), joints)
    np.testing.assert_allclose(identity[:, :, 3], 0, atol=1e-12)
    assert len(JOINT_NAMES) == 24


@pytest.mark.parametrize(
    "change, word",
    [
        ({"weights": np.zeros((6890, 23), np.float32)}, "disagree"),
        ({"f": np.full((4, 3), 9999)}, "disagree"),
        ({"v_template": None}, "v_template"),
        ({"J_regressor": np.zeros(5)}, "J_regressor"),
    ],
)
def test_other_files_are_refused(tmp_path, arrays, change, word):
    changed = {k: v for k, v in {**arrays, **change}.items() if v is not None}
    np.savez(tmp_path / "body.npz", **changed)
    with pytest.raises(UserError, match=word):
        BodyModel.load(tmp_path / "body.npz")


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(UserError, match="no body file"):
        BodyModel.load(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("not a body")
    with pytest.raises(UserError, match="can be read"):
        BodyModel.load(tmp_path / "text.npz")
    np.savez(tmp_path / "pickled.npz", v_template=np.array([{}], object))
    with pytest.raises(UserError):
        BodyModel.load(tmp_path / "pickled.npz")


@pytest.mark.parametrize("scale", [0.0, 1000.0])
def test_a_body_that_is_not_in_metres_is_refused(tmp_path, scale):
    with np.load(FILE) as file:
        arrays = dict(file)
    np.savez(tmp_path / "body.npz", **arrays | {"v_template": arrays["v_template"] * np.float32(scale)})
    with pytest.raises(UserError, match="in metres"):
        BodyModel.load(tmp_path / "body.npz")
