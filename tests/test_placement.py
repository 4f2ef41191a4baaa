"""Crop frame to metres and back, crops to crops, and the scale from a height."""

import numpy as np
import pytest

from lvd_live.body.model import BodyModel
from lvd_live.paths import MODELS
from lvd_live.person.crop import Crop
from lvd_live.render import project
from lvd_live.tracking.camera import Camera, between_crops, carried_along, skeleton_length, to_metres

CROP = Crop(np.array([420.0, 210.5]), 155.0)
CAMERA = Camera.of_picture(640, 480, 60)


def mesh(seed=0):
    return np.random.default_rng(seed).uniform(-0.9, 0.9, (500, 3))


def to_crop(points: np.ndarray, crop: Crop, camera: Camera, distance: float) -> np.ndarray:
    """The inverse of `to_metres`."""
    d = points[..., 2:]
    pixels = points[..., :2] / d * camera.focal + camera.centre
    return np.concatenate([crop.to_unit(pixels), camera.focal / crop.half * (1 - d / distance)], -1)


def test_field_of_view_spans_the_longer_side():
    edge = np.array([[np.tan(np.radians(30)), 0, 1.0]])
    assert project(edge, CAMERA.intrinsics)[0, 0] == pytest.approx(639.5)
    tall = Camera.of_picture(480, 640, 60)
    assert project(edge[:, [1, 0, 2]], tall.intrinsics)[0, 1] == pytest.approx(639.5)


def test_metres_project_to_where_the_crop_showed_them():
    v = mesh()
    pixels = project(to_metres(v, CROP, CAMERA, 3.2), CAMERA.intrinsics)
    np.testing.assert_allclose(pixels, CROP.to_picture(v[:, :2]), atol=1e-6)


def test_round_trip():
    v = mesh()
    np.testing.assert_allclose(to_crop(to_metres(v, CROP, CAMERA, 2.5), CROP, CAMERA, 2.5), v, atol=1e-9)


def test_everything_scales_with_the_distance():
    v = mesh()
    np.testing.assert_allclose(to_metres(v, CROP, CAMERA, 4.0), 4 * to_metres(v, CROP, CAMERA), atol=1e-9)


def test_nearer_is_toward_the_camera():
    v = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.5]])
    z = to_metres(v, CROP, CAMERA, 3.0)[:, 2]
    assert z[0] == pytest.approx(3.0) and z[1] == pytest.approx(3.0 - 3.0 * 0.5 * CROP.half / CAMERA.focal)


def test_changing_the_crop_changes_nothing_in_the_world():
    other = Crop(np.array([380.0, 260.0]), 201.0)
    v = mesh()
    np.testing.assert_allclose(
        to_metres(between_crops(v, CROP, other), other, CAMERA, 2.0), to_metres(v, CROP, CAMERA, 2.0), atol=1e-9
    )
    np.testing.assert_allclose(between_crops(between_crops(v, CROP, other), other, CROP), v, atol=1e-12)


def test_a_mesh_goes_where_its_landmarks_go():
    mesh = np.array([[[-0.5, 0.0, 0.1], [0.5, 0.2, -0.1]]], np.float32)  # a vertex at either of two landmarks
    before = np.array([[-0.5, 0.0, 0.1, 0.9], [0.5, 0.2, -0.1, 0.8]], np.float32)
    shift = np.array([0.1, -0.2, 0.3, 0.0], np.float32)
    together, one = (
        carried_along(mesh, before, before + shift),
        carried_along(mesh, before, before + shift * [[1], [0]]),
    )
    np.testing.assert_allclose(together, mesh + [0.1, -0.2, 0.15], atol=1e-6)  # half of the motion in depth
    np.testing.assert_allclose(one, mesh + np.array([[[0.1, -0.2, 0.15], [0, 0, 0]]]), atol=1e-4)
    unseen = before * [1, 1, 1, 0]
    np.testing.assert_array_equal(carried_along(mesh, unseen, unseen + shift), mesh)
    assert together.dtype == np.float32


def test_training_and_tracking_speak_of_the_same_frame():
    """The crop frame that synthetic people are written in is the one that the tracker places in metres."""
    from lvd_live.synth.people import to_camera_frame, to_crop_frame

    rng = np.random.default_rng(3)
    points = rng.normal(0, 0.4, (50, 3)) + [0.2, -0.1, 3.0]  # OpenCV camera frame
    focal, offset = (
        CAMERA.focal / CROP.half,
        np.array([CAMERA.centre[0] - CROP.centre[0], CROP.centre[1] - CAMERA.centre[1]]) / CROP.half,
    )
    gl = points * [1, -1, -1]
    crop = to_crop_frame(gl, focal, offset, 3.0)
    np.testing.assert_allclose(crop, to_crop(points, CROP, CAMERA, 3.0), atol=1e-5)
    np.testing.assert_allclose(to_camera_frame(crop, focal, offset, 3.0), gl, atol=1e-5)


def test_skeleton_length_does_not_depend_on_the_pose():
    import torch

    body = BodyModel.load(MODELS / "body" / "lvd_body.npz")
    pose = torch.zeros(2, 24, 3)
    pose[1, 4, 0], pose[1, 1, 0], pose[1, 3, 0] = 1.2, -1.0, 0.6
    _, joints = body(torch.zeros(2, 20), pose)
    straight, bent = (skeleton_length(j.numpy()) for j in joints)
    assert straight == pytest.approx(bent, rel=1e-5) and 1.4 < straight < 1.9
