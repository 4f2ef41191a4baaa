"""Limbs are shifted and swollen onto the mask's outline, and only as far as it shows."""

import numpy as np
import torch

from lvd_live.body.skeleton import JOINT
from lvd_live.evaluate.metrics import silhouette_iou
from lvd_live.topology import vertex_normals
from lvd_live.tracking.silhouette_fit import FARTHEST, SilhouetteFit, distance_inside, drawn_in_crop, read

SIZE = 128


def posed(body, **joints):
    """A standing body that fills the crop, arms lowered, (N, 3); joints: angles about z."""
    pose = torch.zeros(1, 24, 3)
    for name, angle in {"left_shoulder": -0.9, "right_shoulder": 0.9, **joints}.items():
        pose[0, JOINT[name], 2] = angle
    with torch.no_grad():
        vertices, _ = body(torch.zeros(1, body.shapedirs.shape[-1]), pose)
    return ((vertices[0].numpy() - body.J_regressor.numpy()[0] @ body.v_template.numpy()) * 0.9).astype(np.float32)


def mask_of(body, vertices):
    return drawn_in_crop(vertices, body.faces.numpy().astype(np.int32), SIZE).astype(np.uint8) * 255


def overlap(body, vertices, mask):
    return silhouette_iou(mask_of(body, vertices) > 0, mask > 0)


def test_distances_are_of_the_mask_and_read_where_asked():
    mask = np.zeros((64, 64), bool)
    mask[:, 32:] = True  # x > 0
    points = np.array([[0.5, 0.3], [-0.15, -0.9], [-0.6, 0.0]])
    depth, twice = read(np.stack([distance_inside(mask), 2 * distance_inside(mask)], -1), points).T
    np.testing.assert_allclose(twice, 2 * depth)
    np.testing.assert_allclose(depth, [0.5, -0.15, -FARTHEST], atol=0.5 * 2 / 64 + 1e-3)
    assert (distance_inside(np.zeros((64, 64), bool)) < 0).all()


def test_a_mesh_beside_its_mask_is_brought_onto_it(body):
    there = posed(body)
    aside = there + np.float32([0.05, -0.03, 0.2])
    mask = mask_of(body, there)
    found = SilhouetteFit(body)(aside, mask)
    assert overlap(body, aside, mask) < 0.5 and overlap(body, found, mask) > 0.8
    assert np.abs((found - there)[:, :2]).mean() < 0.4 * np.abs((aside - there)[:, :2]).mean()
    assert (
        np.abs(found - aside)[:, 2].mean() < 0.2 * np.abs(found - aside)[:, :2].mean()
    )  # it shifts in the picture's plane


def test_one_arm_moves_alone(body):
    there, other = posed(body), posed(body, left_shoulder=-0.8)
    mask = mask_of(body, there)
    found = SilhouetteFit(body)(other, mask)
    moved = np.abs(found - other)[:, :2].max(1)
    legs = np.isin(
        body.part_labels.numpy(), [JOINT["left_knee"], JOINT["right_knee"], JOINT["left_ankle"], JOINT["right_ankle"]]
    )
    assert overlap(body, found, mask) > overlap(body, other, mask) + 0.02
    assert moved[legs].max() < 0.2 * moved.max()


def test_wide_clothes_shift_nothing(body):
    import cv2

    there = posed(body)
    wide = cv2.dilate(mask_of(body, there), np.ones((7, 7)))
    assert (
        np.abs(SilhouetteFit(body)(there, wide) - there)[:, :2].mean() < 0.25 * 0.047
    )  # half crops: the mask is 0.047 wider on either side


def test_a_thin_mesh_fills_its_mask_in_part(body):
    there = posed(body)
    mask = mask_of(
        body, there + 0.02 * np.float32([1, 1, 0]) * vertex_normals(there, body.faces.numpy().astype(np.int32))
    )
    found = SilhouetteFit(body)(there, mask)
    torso = body.part_labels.numpy() == JOINT["spine2"]
    before, after, full = ((m > 0).sum() for m in (mask_of(body, there), mask_of(body, found), mask))
    assert 0.2 < (after - before) / (full - before) < 0.9
    assert overlap(body, found, mask) > overlap(body, there, mask) + 0.03
    assert np.ptp(found[torso, 2]) > np.ptp(there[torso, 2]) + 0.005  # and is deeper for it


def test_what_lies_beyond_the_picture_is_not_pulled_in(body):
    there = posed(body)
    mask = mask_of(body, there)
    cut = mask.copy()
    cut[SIZE // 2 + 10 :] = 0  # the picture ends below the hips
    bottom = -20 / SIZE
    known, unknown = SilhouetteFit(body)(there, cut, (-1, bottom, 1, 1)), SilhouetteFit(body)(there, cut)
    feet = there[:, 1] < -0.7
    assert np.abs(known - there)[feet].mean() < 0.01
    assert np.abs(known - there).mean() <= np.abs(unknown - there).mean()


def test_shifts_go_on_from_the_last_frame_until_forgotten(body):
    there = posed(body)
    aside, mask, outline = there + np.float32([0.04, 0, 0]), mask_of(body, there), SilhouetteFit(body)
    first = outline(aside, mask)
    for _ in range(4):
        again = outline(aside, mask)
    assert overlap(body, again, mask) >= overlap(body, first, mask) - 0.01
    outline.reset()
    np.testing.assert_allclose(outline(aside, mask), first, atol=1e-6)


def test_an_empty_mask_shifts_nothing(body):
    there = posed(body)
    np.testing.assert_array_equal(SilhouetteFit(body)(there, np.zeros((SIZE, SIZE), np.uint8)), there)


def test_a_mesh_without_an_outline_in_the_picture_stays(body):
    mask = np.full((SIZE, SIZE), 255, np.uint8)
    for mesh in (0 * posed(body), posed(body) + np.float32([9, 0, 0]), 9 * posed(body)):  # a point, beside, too near
        np.testing.assert_array_equal(SilhouetteFit(body)(mesh, mask), mesh)
