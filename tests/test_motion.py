"""CMU poses on SMPL's joints, and what is sampled from them."""

from dataclasses import astuple, replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from lvd_live.body.model import axis_angle_to_matrix
from lvd_live.body.skeleton import JOINT, JOINT_NAMES, PARENTS
from lvd_live.paths import MODELS
from lvd_live.synth.motion import HELD_OUT, MOSTLY_STANDING, TO_TRAIN, PoseBank
from lvd_live.synth.pose_variation import MIRROR, mirrored, sitting, standing, with_posed_arms, without_heading
from lvd_live.synth.retarget import cmu_name, retarget
from lvd_live.synth.retarget_gltf import Character, clip_poses
from tests.conftest import ROOT

POSES = MODELS / "synth" / "poses.npz"


def global_rotations(pose):
    """(24, 3, 3) from one local axis-angle pose (24, 3)."""
    R = axis_angle_to_matrix(torch.from_numpy(np.asarray(pose, np.float64))).numpy()
    out = R.copy()
    for j, p in enumerate(PARENTS):
        if p >= 0:
            out[j] = out[p] @ R[j]
    return out


def toy_skeleton(body):
    """Those of CMU's 31 joints that are retargeted: names, parents, offsets from the parent, and our body's joints.

    In CMU's order of parents, with our body's own bone directions except for splayed legs.
    """
    legs = [f"{side}{n}" for side in ("Left", "Right") for n in ("UpLeg", "Leg", "Foot", "ToeBase")]
    names = ["Hips", *legs, "LowerBack", "Spine", "Spine1", "Neck", "Head"]
    parents = [-1, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 12]
    for side in ("Left", "Right"):
        base = len(names)
        names += [f"{side}{n}" for n in ("Shoulder", "Arm", "ForeArm", "Hand", "FingerBase")]
        parents += [11, base, base + 1, base + 2, base + 3]
    joints = (body.J_regressor @ body.v_template).numpy()
    offsets = np.zeros((len(names), 3))
    for j, name in enumerate(JOINT_NAMES):
        if PARENTS[j] >= 0:
            offsets[names.index(cmu_name(name))] = joints[j] - joints[PARENTS[j]]
    for side, degrees in (("Left", 20), ("Right", -20)):
        turn = Rotation.from_rotvec([0, 0, np.radians(degrees)])
        for bone in ("Leg", "Foot"):
            offsets[names.index(side + bone)] = turn.apply(offsets[names.index(side + bone)])
    return names, np.array(parents), offsets, joints


BONES = (("left_hip", "left_knee"), ("right_knee", "right_ankle"), ("left_elbow", "left_wrist"), ("spine1", "spine2"))


def test_retargeted_bones_point_where_cmus_do(body):
    names, parents, offsets, joints = toy_skeleton(body)
    rng = np.random.default_rng(0)
    local = rng.normal(0, 0.5, (5, len(names), 3))
    smpl = retarget(local, names, parents, offsets, joints)
    for pose, source in zip(smpl, local, strict=True):
        R = Rotation.from_rotvec(source).as_matrix()
        G = R.copy()
        for j, p in enumerate(parents):
            if p >= 0:
                G[j] = G[p] @ R[j]
        ours = global_rotations(pose)
        for bone, end in BONES:
            mine = ours[JOINT[bone]] @ (joints[JOINT[end]] - joints[JOINT[bone]])
            theirs = G[names.index(cmu_name(bone))] @ offsets[names.index(cmu_name(end))]
            np.testing.assert_allclose(mine / np.linalg.norm(mine), theirs / np.linalg.norm(theirs), atol=1e-5)


def test_whole_takes_are_held_out():
    with np.load(POSES, allow_pickle=False) as file:
        held_out, take, category = file["held_out"], file["clip"], file["category"]
    for t in np.unique(take):
        assert len(np.unique(held_out[take == t])) == 1
    assert 0.05 < held_out.mean() < 0.35 and len(np.unique(category[held_out])) >= 8
    train, test = PoseBank.load(POSES, held_out=False), PoseBank.load(POSES, held_out=True)
    assert not set(np.concatenate(train.groups)) & set(np.concatenate(test.groups))


def test_sampling_is_deterministic_and_sane():
    bank = PoseBank.load(POSES, held_out=False)
    generators = (np.random.default_rng(5) for _ in range(2))
    first, again = ([bank.sample(rng) for _ in range(40)] for rng in generators)
    np.testing.assert_array_equal(first, again)
    poses = np.stack(first)
    assert np.isfinite(poses).all() and np.abs(poses).max() < 2 * np.pi
    facing = np.stack([Rotation.from_rotvec(p[0]).as_matrix()[:, 2] for p in poses])
    assert (facing[:, 2] > 0).mean() > 0.8  # the heading is taken out: the camera chooses the yaw


def test_mirroring_mirrors_the_mesh(body):
    bank = PoseBank.load(POSES, held_out=False)
    pose = bank.sample(np.random.default_rng(2)).astype(np.float32)
    zero = torch.zeros(2, 20)
    _, joints = body(zero, torch.from_numpy(np.stack([pose, mirrored(pose)]).astype(np.float32)))
    back = joints[1].numpy()[MIRROR] * [-1, 1, 1]
    np.testing.assert_allclose(back, joints[0].numpy(), atol=0.01)  # the body is not quite symmetric


def test_heading_is_removed_and_tilt_kept():
    tilt = Rotation.from_rotvec([0.3, 0, 0.1])
    for turn in (-2.5, 0.4, 3.0):
        root = (Rotation.from_rotvec([0, turn, 0]) * tilt).as_rotvec()
        np.testing.assert_allclose(without_heading(root), without_heading(tilt.as_rotvec()), atol=1e-5)


def test_sitting_and_webcam_poses(body):
    rng = np.random.default_rng(0)
    rest = np.zeros((24, 3), np.float32)
    sat = np.stack([sitting(rest, rng) for _ in range(20)]).astype(np.float32)
    arms = np.stack([with_posed_arms(rest, rng, calm=True) for _ in range(60)]).astype(np.float32)
    _, joints = body(torch.zeros(20, 20), torch.from_numpy(sat))
    knees, hips = joints[:, [4, 5]].numpy(), joints[:, [1, 2]].numpy()
    assert (knees[..., 2] - hips[..., 2] > 0.2).mean() > 0.9
    assert (np.abs(knees[..., 1] - hips[..., 1]) < 0.3).mean() > 0.8
    _, joints = body(torch.zeros(60, 20), torch.from_numpy(arms))
    height = joints[:, 20, 1] - joints[:, 16, 1]
    assert (height > 0.2).any() and (height < -0.2).any()  # overhead, and hanging
    assert (joints[:, 20, 2] > 0.2).any()  # in front


def test_people_stand_on_straight_legs(body):
    rng = np.random.default_rng(0)
    stood = np.stack([standing(np.zeros((24, 3), np.float32), rng) for _ in range(60)]).astype(np.float32)
    _, joints = body(torch.zeros(60, 20), torch.from_numpy(stood))
    joints = joints.numpy()
    for hip, knee, ankle, foot in ((1, 4, 7, 10), (2, 5, 8, 11)):
        thigh, shin = joints[:, knee] - joints[:, hip], joints[:, ankle] - joints[:, knee]
        cosine = (thigh * shin).sum(1) / np.linalg.norm(thigh, axis=1) / np.linalg.norm(shin, axis=1)
        angle = np.degrees(np.arccos(cosine))
        assert np.median(angle) < 6 and angle.max() < 45
        assert np.abs(joints[:, foot, 1] - joints[:, ankle, 1] + 0.05).mean() < 0.03  # soles are level
    assert (joints[:, 0, 1] - joints[:, [7, 8], 1].mean(1) > 0.7).all()


def test_only_poses_to_train_on_are_made_to_stand():
    train, test = PoseBank.load(POSES, held_out=False), PoseBank.load(POSES, held_out=True)
    assert train.kinds.standing > 0 and test.kinds.standing == 0


def test_the_shares_of_what_is_made_of_poses_leave_some_as_they_are():
    for kinds in (HELD_OUT, TO_TRAIN, MOSTLY_STANDING):
        assert 0.25 < 1 - sum(astuple(kinds)) < 0.6


def test_the_lifters_people_stand_straighter():
    def knees(kinds):
        bank, rng = replace(PoseBank.load(POSES, held_out=False), kinds=kinds), np.random.default_rng(0)
        return np.median([np.linalg.norm(bank.sample(rng)[[4, 5]], axis=-1).mean() for _ in range(600)])

    assert knees(MOSTLY_STANDING) < 0.85 * knees(TO_TRAIN)


EVERYDAY = MODELS / "synth" / "poses_everyday.npz"


def test_everyday_poses_are_a_fixed_share_and_the_old_held_out_ones_stay():
    rng = np.random.default_rng(0)
    both = PoseBank.load(POSES, held_out=False, everyday=EVERYDAY)
    assert both.probability.sum() == pytest.approx(1) and both.probability[-5:].sum() == pytest.approx(0.4)
    assert np.isfinite(np.stack([both.sample(rng) for _ in range(50)])).all()
    with np.load(EVERYDAY, allow_pickle=False) as file:
        held_out = set(np.unique(file["clip"][file["held_out"]]))
        assert held_out and not held_out & set(np.unique(file["clip"][~file["held_out"]]))


def test_who_sits_has_bent_hips_and_knees_and_who_does_push_ups_looks_down():
    with np.load(EVERYDAY, allow_pickle=False) as file:
        pose, names = file["pose"].astype(float), file["category_names"].tolist()
        sitting_down = pose[file["category"] == names.index("sitting")]
    bend = np.degrees(np.linalg.norm(sitting_down[:, [JOINT["left_knee"], JOINT["right_knee"]]], axis=-1))
    assert (bend > 45).mean() > 0.7
    forward = np.array([global_rotations(p)[JOINT["left_hip"]][:, 1] for p in sitting_down])
    assert np.median(forward[:, 2]) < -0.5  # the thigh, which hangs along -y, points to +z


def test_a_t_pose_is_our_t_pose(body):
    """The character's own T-pose, brought onto our joints, is the identity but for bones that point elsewhere."""
    folder = ROOT.parent / "shared" / "assets" / "motion" / "cc0"
    if not folder.is_dir():
        pytest.skip("the characters are not here")
    joints = (body.J_regressor @ body.v_template).numpy()
    for path in sorted(folder.glob("*.glb")):
        character = Character.read(path)
        animation = next(a for a in character.json["animations"] if "T-Pose" in a["name"])
        pose = clip_poses(character, animation, character.pose(animation, 0), joints)[0]
        upright = [JOINT[name] for name in ("pelvis", "spine1", "spine2", "spine3", "neck", "head")]
        assert np.abs(pose[upright]).max() < 1e-5
        assert np.degrees(np.abs(pose).max()) < 35  # feet
