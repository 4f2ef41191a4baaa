"""Limbs that are sought elsewhere, and what a scan from one side says of the rest."""

from dataclasses import fields, replace

import numpy as np
import pytest

from lvd_live.body.skeleton import JOINT
from lvd_live.scan.evidence import Cloud, thinned
from lvd_live.scan.limbs import CHAINS, Limbs
from lvd_live.scan.prior import PosePrior
from lvd_live.scan.result import Registration
from lvd_live.scan.solver import Held, ScanSolver, Schedule
from lvd_live.scan.view import View
from lvd_live.synth.scans.scanner import visible
from tests.scans import person, skinned, surface_points

FRONT = np.array([0.0, 0.0, 1.0])


@pytest.fixture(scope="module")
def seen():
    """A standing person as a camera before them sees them, the true parameters and the body."""
    p, posed = person()
    points, normals = surface_points(posed.vertices, skinned().faces, 20_000, np.random.default_rng(0))
    shown = visible(points, FRONT)
    return Cloud.of(points[shown], normals[shown]), p, posed.vertices.astype(float)


def test_a_leg_beside_the_scan_is_found():
    p, posed = person()
    points, normals = surface_points(posed.vertices, skinned().faces, 3000, np.random.default_rng(0))
    cloud, limbs = Cloud.of(points, normals), Limbs(skinned(), PosePrior.of(24))
    knee = JOINT["left_knee"]
    pose = p.pose.copy()
    pose[JOINT["left_hip"]] += [-1.4, 0, 0]  # kicks
    for limb in limbs.limbs:
        now, other, found = limbs.other_poses(cloud, replace(p, pose=pose), limb, np.random.default_rng(0))
        if knee in limb.chain:
            at = skinned().posed(found).joints_placed()[knee] - posed.joints_placed()[knee]
            assert other < now / 2 and np.linalg.norm(at) < 0.1
        changed = np.flatnonzero((found.pose != pose).any(1))
        assert set(changed) <= set(limb.chain)
    assert sorted(limb.chain for limb in limbs.limbs) == sorted(CHAINS)


def test_where_a_limb_lies_nothing_is_better(seen):
    cloud, p, _ = seen
    limbs, rng = Limbs(skinned(), PosePrior.of(24)), np.random.default_rng(0)
    cloud = thinned(cloud, rng)
    view = View.of(cloud)
    for limb in limbs.limbs:
        now, other, _ = limbs.other_poses(cloud, p, limb, rng, view)
        assert other > now - 0.001


def test_free_space_is_before_and_beside_the_scan(seen):
    cloud, _, vertices = seen
    view = View.of(cloud)
    assert view is not None and view.eye @ FRONT > 0.95
    way = np.linalg.norm(view.wrong(vertices), axis=1)
    assert np.percentile(way, 90) < 0.02  # the body itself is not in it, its far side neither
    nearer = view.wrong(vertices + 0.2 * view.eye)
    moved = np.linalg.norm(nearer, axis=1) > 0.1
    assert moved.mean() > 0.3 and (nearer[moved] @ view.eye < 0).mean() > 0.9
    beside = view.wrong(vertices + [2.5, 0, 0])
    assert (np.linalg.norm(beside, axis=1) > 0.5).mean() > 0.9
    pair = view.pairs(vertices + [2.5, 0, 0], skinned().area)
    assert pair.agree.mean() > 0.9 and (pair.along[pair.agree] < 0).all()


def test_a_scan_from_all_sides_has_no_free_space(seen):
    _, _, vertices = seen
    points, normals = surface_points(vertices, skinned().faces, 8000, np.random.default_rng(0))
    assert View.of(Cloud.of(points, normals)) is None


def test_what_is_not_seen_stays_with_the_mesh(seen):
    """An arm that the scan lost stays where the descent put it, and not where the prior has it."""
    cloud, p, vertices = seen
    chain = CHAINS[0]
    arm = np.isin(skinned().weights.argmax(1), chain)
    near = Cloud.of(vertices[arm]).tree.query(cloud.points)[0] < 0.03
    rest = Cloud.of(cloud.points[~near], cloud.normals[~near])
    pose = p.pose.copy()
    pose[chain[0]] = 0.0  # stretched out
    start = replace(p, pose=pose)
    held = Held.by(vertices, np.full(len(vertices), 0.03), skinned().area)
    solver, errors = ScanSolver(skinned()), []
    for mesh in (None, held):
        q = solver.fit(rest, start, Schedule((0.05,) * 8, partial=True, held=mesh))
        errors.append(np.linalg.norm(skinned().posed(q).vertices - vertices, axis=1)[arm].mean())
    assert errors[1] < min(0.08, errors[0] / 2)


def test_a_fit_to_one_side_does_not_claim_the_other():
    """Also where the user said that there is one side, and nothing was found out."""
    empty = {field.name: None for field in fields(Registration)}
    for explained, partial, verdict in (
        (True, False, "explained"),
        (True, True, "explained, one side seen"),
        (False, True, "not explained"),
    ):
        assert Registration(**empty | {"explained": explained, "partial": partial}).verdict == verdict
