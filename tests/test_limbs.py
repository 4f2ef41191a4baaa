"""Limbs are moved toward the lifter's landmarks, and nothing else is."""

import numpy as np
import pytest

from lvd_live.tracking.limbs import APART, SHARE, LimbFit

WRIST, LEFT_LEG = 15, [25, 27, 29, 31]


@pytest.fixture(scope="module")
def scene(body):
    """A mesh in a crop frame, its own landmarks as the lifter might say them, and the fit."""
    mesh = (body.v_template.numpy() - body.v_template.numpy().mean(0)).astype(np.float32)
    own = np.column_stack([body.landmarks.numpy() @ mesh, np.ones(33)]).astype(np.float32)
    own[:, 2] += 0.3  # the lifter counts depth from the hips
    return LimbFit(body), mesh, own


def test_a_mesh_that_agrees_stays(scene):
    fit, mesh, own = scene
    np.testing.assert_allclose(fit(mesh, own), mesh, atol=1e-5)


@pytest.mark.parametrize("way", [(0.0, 0.0, 0.1), (0.01, 0.01, 0.0)])
def test_a_hand_goes_half_the_way_and_the_rest_stays(scene, body, way):
    fit, mesh, own = scene
    told = own.copy()
    arm = [13, WRIST, 17, 19, 21]
    told[arm, :3] += np.float32(way)
    moved = fit(mesh, told) - mesh
    part = body.weights.numpy().argmax(1)
    assert np.linalg.norm(moved[part == 20].mean(0) - SHARE * np.array(way)) < 0.1 * np.linalg.norm(way)
    others = np.isin(part, [1, 2, 4, 5, 7, 8, 0, 15, 17, 19, 21])
    assert np.linalg.norm(moved[others], axis=1).max() < 0.1 * np.linalg.norm(way)


def test_a_landmark_far_away_in_the_picture_is_hardly_believed(scene, body):
    fit, mesh, own = scene
    part = body.weights.numpy().argmax(1)

    def hand(way):
        told = own.copy()
        told[[13, WRIST, 17, 19, 21], :2] += np.float32(way)
        return np.linalg.norm((fit(mesh, told) - mesh)[part == 20].mean(0))

    assert hand((APART, 0)) == pytest.approx(SHARE * APART / 2, rel=0.15)
    assert hand((10 * APART, 0)) < hand((APART, 0)) / 2


def test_what_was_not_found_says_nothing(scene):
    fit, mesh, own = scene
    told = own.copy()
    told[LEFT_LEG, :3] += 0.04
    told[LEFT_LEG, 3] = 0
    np.testing.assert_allclose(fit(mesh, told), mesh, atol=1e-5)
    assert np.isfinite(fit(mesh, np.zeros((33, 4), np.float32))).all()
