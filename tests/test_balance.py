"""The camera's tilt is read from how a person stands, and taken out of exports."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from lvd_live.body.balance import up_direction
from lvd_live.body.skeleton import JOINT
from lvd_live.export import export
from lvd_live.export.mesh_frames import meshes
from lvd_live.export.motion import BodyMotion
from lvd_live.export.options import ExportOptions
from lvd_live.export.take import Take
from lvd_live.export.unity import STANDING, BoneFitter
from lvd_live.session.sequence import SequenceWriter

FPS, FRAMES = 30, 24
CAMERA = np.diag([1.0, -1.0, -1.0])
K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])


def stand(body, bent=0.0, lying=False):
    """A person who stands and waves, FRAMES meshes and joints in a frame whose y axis is up. bent : hips and knees."""
    pose = np.zeros((FRAMES, 24, 3), np.float32)
    t = np.arange(FRAMES) / FPS
    pose[:, JOINT["left_shoulder"], 2] = -1.2
    pose[:, JOINT["right_shoulder"], 2] = 1.2 + 0.3 * np.sin(6 * t)
    pose[:, JOINT["pelvis"], 0] = -np.pi / 2 if lying else 0
    for side in ("left", "right"):
        pose[:, JOINT[f"{side}_hip"], 0], pose[:, JOINT[f"{side}_knee"], 0] = -bent, bent
    with torch.no_grad():
        vertices, joints = body(torch.zeros(FRAMES, 20), torch.from_numpy(pose))
    return vertices.numpy().astype(float), joints.numpy().astype(float)


def seen_by(points, down, turned):
    """In the frame of a camera that looks down and is turned by so many degrees, from 4 m away."""
    tilt = Rotation.from_euler("zx", [turned, down], degrees=True).as_matrix()
    return (points @ tilt.T + [0, 0, -4.0]) @ CAMERA


def write(path, body, vertices, ankles=(0.9, 0.9)):
    writer = SequenceWriter(path, body.faces.numpy(), vertices.shape[1], {}, float(FPS))
    landmarks = np.full((33, 3), 200.0, np.float32)
    landmarks[:, 2], landmarks[27:29, 2] = 0.9, ankles
    for number, mesh in enumerate(vertices):
        writer.append(
            timestamp_ns=round(number * 1e9 / FPS),
            frame_index=number,
            image_size=(640, 480),
            vertices=mesh.astype(np.float32),
            vertex_std=np.zeros(len(mesh), np.float32),
            intrinsics=K,
            landmarks=landmarks,
        )
    writer.close()
    return path


@pytest.mark.parametrize("down, turned", [(30, 0), (-15, 8)])
def test_a_tilted_cameras_motion_is_set_upright(body, tmp_path, down, turned):
    vertices, joints = stand(body)
    path = write(tmp_path / "take.npz", body, seen_by(vertices, down, turned))
    done = export(path, tmp_path / "up.npz", up="y")
    assert any(f"looks {'down' if down > 0 else 'up'}" in note for note in done.notes)
    motion = BodyMotion(Take.open(path), ExportOptions(smooth=0.0))
    found, true = motion.joints - motion.joints[:, :1], joints - joints[:, :1]
    turn = Rotation.align_vectors(true.reshape(-1, 3), found.reshape(-1, 3))[0].as_rotvec(degrees=True)
    assert np.abs(turn[[0, 2]]).max() < 5  # about the vertical axis it may differ: nothing says where north is
    soles = np.array([mesh[0][:, 1].min() for mesh in meshes(motion)])
    assert np.abs(soles).max() < 0.05
    tracked = np.array(
        [mesh[0] for mesh in meshes(BodyMotion(Take.open(path), ExportOptions(smooth=0.0, mesh="fitted")))]
    )
    skinned = np.array([mesh[0] for mesh in meshes(motion)])
    assert np.linalg.norm(tracked - skinned, axis=-1).max() < 0.02


def test_what_tells_no_tilt_leaves_the_cameras_axes(body, tmp_path):
    """Feet that are not seen, a person who sits or lies, the wish for the camera's own frame."""
    standing, sitting, lying = (stand(body, **how)[0] for how in ({}, {"bent": 1.4}, {"lying": True}))
    for number, (mesh, ankles, options) in enumerate(
        [
            (standing, (0.5, 0.1), {}),
            (sitting, (0.9, 0.9), {}),
            (lying, (0.9, 0.9), {}),
            (standing, (0.9, 0.9), {"level": False}),
            (standing, (0.9, 0.9), {"origin": "camera"}),
        ]
    ):
        path = write(tmp_path / f"{number}.npz", body, seen_by(mesh, 20, 0), ankles)
        motion = BodyMotion(Take.open(path), ExportOptions(**options))
        assert motion.up is None and np.array_equal(motion.R_up_camera, CAMERA)
        notes = " ".join(export(path, tmp_path / f"{number}.bvh", **options).notes)
        assert ("taken to be level" in notes) == (not options) and "set upright" not in notes


def test_a_part_is_set_upright_as_the_whole_take_is(body, tmp_path):
    """A part in which the person sits, too; pictures of a folder have no camera in common."""
    standing, sitting = (seen_by(stand(body, bent)[0], 20, 0) for bent in (0.0, 1.4))
    take = Take.open(write(tmp_path / "take.npz", body, np.concatenate([standing, sitting])))
    whole, part = (BodyMotion(one, ExportOptions()) for one in (take, take.between(FRAMES / FPS, None)))
    assert part.up is not None and np.array_equal(part.up, whole.up)
    assert BodyMotion(part.take.between(0.1, 0.2), ExportOptions()).up is not None
    folder = Take(replace(take.sequence, meta={"names": ["a"] * 2 * FRAMES}), "folder")
    assert BodyMotion(folder, ExportOptions()).up is None


def test_half_a_second_of_standing_is_enough_and_outliers_do_not_count(body):
    _, joints = stand(body)
    tilted = joints @ Rotation.from_euler("x", 20, degrees=True).as_matrix().T
    tilted[:5] = joints[:5] @ Rotation.from_euler("x", -40, degrees=True).as_matrix().T
    up = up_direction(tilted, np.ones(FRAMES, bool), 15)
    assert np.degrees(np.arctan2(up[2], up[1])) == pytest.approx(20, abs=4)
    assert up_direction(tilted, np.arange(FRAMES) < 14, 15) is None


def test_the_motion_that_is_sent_is_set_upright_once_the_person_has_stood(body):
    """VMC's hips are turned upright then, and stay above the floor; another person is judged anew."""
    vertices, _ = stand(body)
    meshes_ = seen_by(vertices, 25, 10).astype(np.float32)
    bones = BoneFitter(body)

    def lean(number):
        place, turn = bones.fit(meshes_[number % FRAMES])["Hips"]
        return np.degrees(np.arccos(Rotation.from_quat(turn).apply([0, 1, 0])[1])), place[1]

    before = [lean(n) for n in range(STANDING)]
    after = [lean(n) for n in range(STANDING, STANDING + 5)]
    assert min(angle for angle, _ in before) > 20 and max(angle for angle, _ in after) < 6
    hips = vertices[0, :, 1].max() - vertices[0, :, 1].min()
    assert all(0.45 * hips < height < 0.62 * hips for _, height in after)
    bones.forget()
    assert lean(0)[0] > 20
