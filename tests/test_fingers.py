"""Fingers of the body: SMPL-H's joints on the shipped vertices, and takes with fingers in every format, read back."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from lvd_live.body.fingers import (
    BODY_JOINTS,
    SMPLH_NAMES,
    SMPLH_PARENTS,
    FingerRig,
    blend,
    chained,
    finger_transforms,
)
from lvd_live.body.hand_anatomy import Angles, HandAnatomy
from lvd_live.body.model import BodyModel
from lvd_live.body.skeleton import JOINT
from lvd_live.body.smplh import write_smplh
from lvd_live.errors import UserError
from lvd_live.export import export
from lvd_live.export.take import Take
from lvd_live.export.unity import BONE_NAMES, FINGER_BONES, BoneFitter
from lvd_live.session.reader import open_session
from lvd_live.session.recorder import Recorder
from lvd_live.session.sequence import SequenceWriter, load_sequence
from lvd_live.sources import Frame
from tests.bodies import other_arrays
from tests.fakes import fake_fit, fake_person

FRAMES, FPS = 6, 30
CAMERA = np.diag([1.0, -1.0, -1.0])
K = np.array([[500, 0, 320], [0, 500, 240], [0, 0, 1.0]])
ONE_DEGREE = np.radians(1)


@pytest.fixture(scope="module")
def moving(body, rig):
    """Somebody whose fingers bend: vertices (F, N, 3), camera frame, and finger rotations (F, 30, 3)."""
    rng = np.random.default_rng(0)
    rest = body.v_template.numpy().astype(float)
    flat = rig.flattened(rest)
    hands = [HandAnatomy.of(flat, side) for side in (0, 1)]
    vertices, poses = [], []
    wrists = np.array([[1.2, 0.5, -0.4], [-1.0, 0.2, 0.6]])  # a palm that turns far
    for frame in range(FRAMES):
        share = frame / FRAMES
        local = np.tile(np.eye(3), (52, 1, 1))
        local[0] = Rotation.from_rotvec([0.1, 0.5 + share, 0]).as_matrix()
        local[18:20] = Rotation.from_rotvec([[0, -1.0, 0.2], [0, 0.8, 0]]).as_matrix()
        local[20:22] = Rotation.from_rotvec(wrists * share).as_matrix()
        for side, hand in enumerate(hands):
            flex = share * rng.uniform([1.0, 1.4, 0.8], [1.3, 1.7, 1.1], (4, 3))
            angles = Angles(
                flex, np.array([0.2, 0.1, -0.2, 0]) * (1 - share), share * np.array([0.3, 0.2, 0]), flex[0, :2] / 2
            )
            local[BODY_JOINTS + 15 * side : BODY_JOINTS + 15 * side + 15] = hand.rotations(angles.limited())
        T = finger_transforms(chained(local), flat.joints)
        world = blend(rig.weights, T, flat.vertices) + [0, 0, -3]
        vertices.append(world @ CAMERA)
        poses.append(Rotation.from_matrix(local[BODY_JOINTS:]).as_rotvec())
    return np.array(vertices, np.float32), np.array(poses, np.float32)


def write(path, body, vertices, poses, states=(2, 2)):
    writer = SequenceWriter(path, body.faces.numpy(), len(body.v_template), {}, FPS)
    for i, (mesh, pose) in enumerate(zip(vertices, poses, strict=True)):
        std = np.full(len(mesh), 0.02, np.float32)
        common = {"timestamp_ns": round(i * 1e9 / FPS), "frame_index": i, "image_size": (640, 480), "intrinsics": K}
        writer.append(vertices=mesh, vertex_std=std, hand_pose=pose, hand_states=states, **common)
    writer.close()
    return path


@pytest.fixture(scope="module")
def take(tmp_path_factory, body, moving):
    return Take.open(write(tmp_path_factory.mktemp("take") / "hands.npz", body, *moving))


def angle_between(a, b):
    """The largest angle between rotation vectors (..., 3), radians."""
    turn = Rotation.from_rotvec(np.reshape(a, (-1, 3))).inv() * Rotation.from_rotvec(np.reshape(b, (-1, 3)))
    return turn.magnitude().max()


def test_fingers_divide_what_the_shipped_body_gives_to_wrists_and_hands(body, rig):
    """The body file is what it was: SMPL's wrist and hand have the weights of SMPL-H's wrist and fingers together."""
    weights = body.weights.numpy()
    np.testing.assert_allclose(rig.weights[:, :20], weights[:, :20], atol=2e-3)
    for wrist, hand, first in ((20, 22, 22), (21, 23, 37)):
        own = rig.weights[:, wrist] + rig.weights[:, first : first + 15].sum(1)
        np.testing.assert_allclose(own, weights[:, wrist] + weights[:, hand], atol=2e-3)
    assert (rig.weights >= 0).all() and np.allclose(rig.weights.sum(1), 1)
    moved = rig.weights[:, BODY_JOINTS:].argmax(1)[rig.weights[:, BODY_JOINTS:].max(1) > 0.5]
    assert np.bincount(moved, minlength=30).min() >= 10  # every finger bone moves some skin


def test_joints_and_hands_are_symmetric_and_flat(body, rig):
    flat = rig.flattened(body.v_template.numpy().astype(float))
    left, right = flat.joints[22:37], flat.joints[37:]
    np.testing.assert_allclose(left * [-1, 1, 1], right, atol=0.003)
    assert len(SMPLH_NAMES) == 52 and SMPLH_NAMES[22] == "left_index1" and SMPLH_NAMES[51] == "right_thumb3"
    assert (SMPLH_PARENTS[1:] < np.arange(1, 52)).all() and SMPLH_PARENTS[22] == JOINT["left_wrist"]
    for finger in range(4):  # straight: the three bones in one line
        chain = np.concatenate([left[3 * finger : 3 * finger + 3], flat.tips[finger : finger + 1]])
        bones = np.diff(chain, axis=0)
        bones /= np.linalg.norm(bones, axis=1, keepdims=True)
        assert (bones @ bones.T).min() > np.cos(0.12)


def test_a_body_of_another_topology_has_no_fingers(tmp_path):
    other = BodyModel({k: np.asarray(v) for k, v in other_arrays()[0].items()})
    assert FingerRig.of(other) is None
    with pytest.raises(UserError, match="another body"):
        FingerRig(other)


def test_smplx_loads_it_as_smplh_and_poses_it_alike(body, rig, tmp_path):
    smplx = pytest.importorskip("smplx", reason="the [smpl] extra is not installed")
    write_smplh(tmp_path / "SMPLH_NEUTRAL.npz")
    model = smplx.create(
        str(tmp_path / "SMPLH_NEUTRAL.npz"),
        model_type="smplh",
        ext="npz",
        use_pca=False,
        flat_hand_mean=True,
        num_betas=16,
    )
    rng = np.random.default_rng(1)
    betas, pose = rng.normal(size=16), 0.2 * rng.normal(size=(52, 3))
    flat = rig.flattened(body.shaped(torch.from_numpy(betas.astype(np.float32))).numpy().astype(float))
    T = finger_transforms(chained(Rotation.from_rotvec(pose).as_matrix()), flat.joints)
    p = torch.from_numpy(pose.astype(np.float32))[None].flatten(1)
    found = model(
        betas=torch.from_numpy(betas.astype(np.float32))[None],
        global_orient=p[:, :3],
        body_pose=p[:, 3:66],
        left_hand_pose=p[:, 66:111],
        right_hand_pose=p[:, 111:],
    )
    expected = blend(rig.weights, T, flat.vertices)
    assert np.abs(found.vertices[0].detach().numpy() - expected).max() < 0.0005
    from lvd_live.body.smpl_file import read_arrays  # and our own reader brings it back to SMPL's 24 joints

    merged = read_arrays(tmp_path / "SMPLH_NEUTRAL.npz", ("weights", "J_regressor", "kintree_table"))
    assert merged["weights"].shape == (6890, 24)


def test_npz_holds_the_fingers(take, moving, tmp_path):
    done = export(take, tmp_path / "hands.npz", origin="camera", smooth=0.0)
    with np.load(done.path, allow_pickle=False) as file:
        poses, hands = file["poses"], file["lvd_hands"]
    assert angle_between(poses[:, 66:], moving[1]) < ONE_DEGREE and (hands == 2).all()


def test_glb_bones_and_skin(take, moving, tmp_path):
    pygltflib = pytest.importorskip("pygltflib", reason="pygltflib is not installed")
    done = export(take, tmp_path / "hands.glb", origin="camera", smooth=0.0)
    gltf = pygltflib.GLTF2().load(str(done.path))
    names = [gltf.nodes[n].name for n in gltf.skins[0].joints]
    assert names == list(SMPLH_NAMES)
    blob, animation = gltf.binary_blob(), gltf.animations[0]
    for channel in animation.channels:
        name = gltf.nodes[channel.target.node].name
        if channel.target.path == "rotation" and name in SMPLH_NAMES[BODY_JOINTS:]:
            accessor = gltf.accessors[animation.samplers[channel.sampler].output]
            start = gltf.bufferViews[accessor.bufferView].byteOffset
            q = np.frombuffer(blob, "<f4", accessor.count * 4, start).reshape(-1, 4)
            expected = moving[1][:, SMPLH_NAMES.index(name) - BODY_JOINTS]
            assert angle_between(Rotation.from_quat(q).as_rotvec(), expected) < ONE_DEGREE


def test_bvh_fingers(take, moving, tmp_path):
    text = export(take, tmp_path / "hands.bvh", origin="camera", smooth=0.0).path.read_text().split("MOTION")
    words = text[0].split()
    names = [words[i + 1] for i, word in enumerate(words) if word in ("ROOT", "JOINT")]
    rows = np.array([line.split() for line in text[1].splitlines()[3:] if line], float)
    turns = rows[:, 3:].reshape(FRAMES, len(names), 3)
    order = [names.index(name) for name in SMPLH_NAMES[BODY_JOINTS:]]
    found = Rotation.from_euler("ZXY", turns[:, order].reshape(-1, 3), degrees=True).as_rotvec()
    assert angle_between(found, moving[1]) < ONE_DEGREE


def test_the_skinned_mesh_has_the_tracked_fingers(take, moving, tmp_path):
    """The regularised mesh lies on the tracked one, hands too; a body without fingers would be centimetres away."""
    done = export(take, tmp_path / "hands.npz", origin="camera", smooth=0.0, mesh="regularised", up="y")
    with np.load(done.path, allow_pickle=False) as file:
        found = file["lvd_vertices"]
    error = np.linalg.norm(found - moving[0] @ CAMERA.astype(np.float32), axis=-1)
    assert error.mean() < 0.004 and error.max() < 0.02


def test_wrists_turn_as_the_palms_do(take, moving, rig, tmp_path):
    """A palm is too small a share of the body for the whole's fit to turn the wrist; without its own it lags far."""
    done = export(take, tmp_path / "hands.npz", origin="camera", smooth=0.0, mesh="regularised", up="y")
    with np.load(done.path, allow_pickle=False) as file:
        found = file["lvd_vertices"]
    for wrist in (20, 21):
        palm = rig.weights[:, wrist] > 0.9
        for skinned, mesh in zip(found, moving[0] @ CAMERA.astype(np.float32), strict=True):
            a, b = (v[palm] - v[palm].mean(0) for v in (skinned, mesh))
            assert Rotation.align_vectors(b, a)[0].magnitude() < 2 * ONE_DEGREE


def test_blender_moves_the_finger_bones(take, moving, tmp_path):
    """In a process of its own: Blender brings libraries that others do not bear."""
    code = (
        "import bpy, json, sys\n"
        "bpy.ops.wm.read_factory_settings(use_empty=True)\n"
        "bpy.ops.import_scene.gltf(filepath=sys.argv[1])\n"
        "rig = next(o for o in bpy.data.objects if o.type == 'ARMATURE')\n"
        "out = []\n"
        "for frame in (1, 5):\n"
        "    bpy.context.scene.frame_set(frame)\n"
        "    children = [b for b in rig.pose.bones if b.parent]\n"
        "    out.append({b.name: [list(r) for r in (b.parent.matrix.inverted() @ b.matrix)] for b in children})\n"
        "print('RESULT' + json.dumps(out))\n"
    )
    if subprocess.run([sys.executable, "-c", "import bpy"], capture_output=True).returncode:
        pytest.skip("Blender's bpy is not installed")
    path = export(take, tmp_path / "hands.glb", origin="camera", rate=24).path
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    first, last = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))[6:])
    assert set(SMPLH_NAMES[1:]) <= set(first)
    turns = [
        Rotation.from_matrix(np.array(first[n])[:3, :3].T @ np.array(last[n])[:3, :3]).magnitude()
        for n in ("left_index2", "right_middle2", "left_ring1")
    ]
    assert min(turns) > 0.5


def test_vmc_gets_finger_bones(body, moving):
    bones = BoneFitter(body).fit(moving[0][3], moving[1][3])
    assert set(bones) == {*BONE_NAMES.values(), *FINGER_BONES} and "LeftIndexProximal" in bones
    assert "RightLittleDistal" in bones and "LeftThumbIntermediate" in bones
    for j, name in enumerate(FINGER_BONES):
        mirrored = bones[name][1] * [1, -1, -1, 1]
        assert angle_between(Rotation.from_quat(mirrored).as_rotvec(), moving[1][3, j]) < ONE_DEGREE
        assert 0.01 < np.linalg.norm(bones[name][0]) < 0.12  # metres to the parent
    assert set(BoneFitter(body).fit(moving[0][3])) == set(BONE_NAMES.values())  # without: as before


def test_sequences_and_sessions_of_before_open_as_before(body, moving, tmp_path):
    new = write(tmp_path / "new.npz", body, *moving)
    assert (load_sequence(new).hand_states == 2).all()
    np.testing.assert_array_equal(load_sequence(new).hand_pose, moving[1])
    with np.load(new, allow_pickle=False) as file:
        np.savez(tmp_path / "old.npz", **{name: file[name] for name in file if not name.startswith("hand_")})
    old = load_sequence(tmp_path / "old.npz")
    assert not old.hand_states.any() and not old.hand_pose.any()
    with np.load(export(tmp_path / "old.npz", tmp_path / "out.npz").path, allow_pickle=False) as file:
        assert not file["poses"][:, 66:].any()
    root = export(tmp_path / "old.npz", tmp_path / "out.bvh").path.read_text()
    assert "left_hand" in root and "left_index1" not in root


def test_a_session_keeps_the_fingers(body, moving, tmp_path):
    recorder = Recorder(tmp_path, "hands", faces=body.faces.numpy(), meta={}, fps=FPS)
    for i, (mesh, pose) in enumerate(zip(*moving, strict=True)):
        fit = fake_fit(mesh, K)
        object.__setattr__(fit, "hand_pose", pose)
        object.__setattr__(fit, "hand_states", (2, 1))
        recorder.add(Frame(np.zeros((480, 640, 3), np.uint8), i, i * 33_000_000), fake_person(), fit)
    session = open_session(recorder.stop())
    np.testing.assert_array_equal(session.hand_pose, moving[1])
    assert (session.hand_states == [2, 1]).all()
