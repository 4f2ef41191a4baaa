"""Measurements of the shape."""

import numpy as np
import pytest
import torch
import trimesh

from lvd_live.body.fit import BodyFitter, Fitted
from lvd_live.body.measure import NAMES, measure, section, tape
from lvd_live.body.model import BodyModel
from lvd_live.paths import MODELS


@pytest.fixture(scope="module")
def fitter():
    return BodyFitter(BodyModel.load(MODELS / "body" / "lvd_body.npz"))


@pytest.fixture(scope="module")
def population():
    with np.load(MODELS / "synth" / "base.npz", allow_pickle=False) as base:
        return base["betas"].astype(np.float32)[::60]


def of_shape(betas, shapes=()):
    """One frame in the T-pose, of the shape `betas`; `shapes` are those of single frames."""
    return Fitted(
        pose=np.zeros((1, 24, 3), np.float32),
        betas=np.asarray(betas, np.float32),
        transl=np.zeros((1, 3), np.float32),
        residual_mm=np.zeros(1, np.float32),
        scale=np.ones(1, np.float32),
        shapes=np.array(shapes, np.float32).reshape(-1, 20),
    )


def test_a_plane_through_a_cylinder():
    """A tape about a tilted cylinder reads the perimeter of the ellipse; trimesh cuts it in the same points."""
    cylinder = trimesh.creation.cylinder(0.15, 1.0, sections=256)
    cylinder.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))
    points = section(cylinder.vertices, cylinder.faces, axis=1, level=0.1)
    assert np.allclose(points[:, 1], 0.1)
    assert tape(points[:, [0, 2]]) == pytest.approx(2 * np.pi * 0.15, rel=1e-3)
    expected = cylinder.section([0, 1, 0], [0, 0.1, 0])
    assert tape(points[:, [0, 2]]) == pytest.approx(expected.length, rel=1e-3)
    assert tape(section(cylinder.vertices, cylinder.faces, axis=1, level=9.0)[:, [0, 2]]) == 0


def test_a_tape_spans_hollows():
    square_with_a_notch = np.array([[0, 0], [1, 0], [1, 1], [0.5, 0.2], [0, 1]])
    assert tape(square_with_a_notch) == pytest.approx(4)


def test_people_measure_like_people(fitter, population):
    """Over the population: Anny's heights, proportions as people have them, girths that follow each other."""
    table = []
    for betas in population:
        found = measure(fitter, of_shape(betas))
        assert tuple(found) == NAMES and all(m.spread == 0 for m in found.values())
        table.append([m.cm for m in found.values()])
        rest = fitter.body.shaped(torch.from_numpy(betas)).numpy()
        assert found["height"].cm == pytest.approx(100 * np.ptp(rest[:, 1]), abs=0.01)
        assert found["arm_span"].cm == pytest.approx(100 * np.ptp(rest[:, 0]), abs=0.01)
    height, chest, waist, hip, inseam, span = np.array(table).T
    assert ((inseam / height > 0.42) & (inseam / height < 0.52)).all()
    assert ((span / height > 0.9) & (span / height < 1.12)).all()
    assert (waist < chest).all() and (waist < hip).all()
    assert 90 < chest.mean() < 110 and 70 < waist.mean() < 90 and 90 < hip.mean() < 110
    assert np.corrcoef(chest, waist)[0, 1] > 0.5 and np.corrcoef(inseam, height)[0, 1] > 0.5


def test_the_height_sets_the_scale(fitter, population):
    plain, scaled = measure(fitter, of_shape(population[3])), measure(fitter, of_shape(population[3]), height=1.84)
    assert scaled["height"].cm == pytest.approx(184) and scaled["height"].spread == 0
    for name in NAMES:
        assert scaled[name].cm / plain[name].cm == pytest.approx(184 / plain["height"].cm)


def test_the_spread_is_that_of_single_frames(fitter, population):
    rng = np.random.default_rng(0)
    shapes = population[3] + rng.normal(0, 0.3, (25, 20))
    steady = measure(fitter, of_shape(population[3], np.broadcast_to(population[3], shapes.shape)))
    wild = measure(fitter, of_shape(population[3], shapes))
    each = [100 * np.ptp(fitter.rest(s)[:, 1]) for s in shapes]
    assert all(m.spread < 1e-6 for m in steady.values())
    assert wild["height"].spread == pytest.approx(np.std(each), rel=0.6) and all(m.spread > 0.1 for m in wild.values())
