"""The parts of registration: normals, cleaning, units, derivatives, pairs, crossings, displacements."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lvd_live.body.surface import closest_on_triangles
from lvd_live.scan.cleaning import clean
from lvd_live.scan.descent import two_way
from lvd_live.scan.displacement import Displacer
from lvd_live.scan.evidence import Cloud, Pairs, gathered, robust
from lvd_live.scan.frame import UPS, Frame, unit_of, up_rotation
from lvd_live.scan.intersections import added, self_intersections
from lvd_live.scan.nearest import MeshSearch, closest
from lvd_live.scan.prior import PosePrior
from lvd_live.scan.reading import make_scan
from lvd_live.scan.sampling import estimated_normals, evenly, sample
from lvd_live.scan.skinned import Parameters
from lvd_live.scan.solver import FINE, ROUGH, ScanSolver, Schedule
from lvd_live.scan.starts import facing, turned_about
from tests.scans import person, poor_mesh, room, skinned, surface_points


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_normals_of_bare_points_point_outward(rng):
    _, posed = person()
    points, normals = surface_points(posed.vertices, skinned().faces, 8000, rng)
    along = (estimated_normals(points) * normals).sum(1)
    assert (along > 0).mean() > 0.9 and np.median(np.abs(along)) > 0.97


def test_a_mesh_is_sampled_by_area(rng):
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 5], [3, 0, 5], [0, 3, 5]], float)
    scan = make_scan(np.tile(points, (20, 1)), np.array([[0, 1, 2], [3, 4, 5]]))
    found, normals = sample(scan, 4000, rng)
    assert (found[:, 2] > 4).mean() == pytest.approx(0.9, abs=0.02)
    np.testing.assert_allclose(np.abs(normals[:, 2]), 1)


def test_evenly_thins_the_dense_part(rng):
    points = np.concatenate([rng.normal(0, 0.01, (9000, 3)), rng.uniform(-1, 1, (1000, 3))])
    kept = evenly(points, 1000, rng)
    assert len(np.unique(kept)) == 1000
    assert (kept >= 9000).mean() > 0.8


def test_floor_box_and_specks_are_cut_away(rng):
    for seed in range(3):
        points, _ = surface_points(person(seed)[1].vertices, skinned().faces, 6000, rng)
        everything, true = room(points, rng)
        found = clean(everything, None, rng)
        kept = found.candidates[0]
        assert kept[true].mean() > 0.95 and kept[~true].mean() < 0.01
        assert any("floor" in note for note in found.notes) and any("stray" in note for note in found.notes)
        assert found.floors[0][1] > 0.99


def test_nothing_is_cut_from_a_person_alone(rng):
    for seed in range(4):
        points, normals = surface_points(person(seed)[1].vertices, skinned().faces, 6000, rng)
        found = clean(points, normals if seed % 2 else None, rng)
        assert found.candidates[0].all() and not found.notes


@pytest.mark.parametrize(("ratio", "unit"), [(1.0, "m"), (0.8, "m"), (95, "cm"), (1100, "mm"), (38, "inch"), (7, None)])
def test_units(ratio, unit):
    name, metre = unit_of(ratio)
    assert name == unit
    assert 0.5 < ratio * metre < 1.4


def test_frames(rng):
    for up in UPS.values():
        R = up_rotation(up)
        np.testing.assert_allclose(R @ up, [0, 1, 0], atol=1e-9)
        assert np.linalg.det(R) == pytest.approx(1)
        frame, points = Frame(R, rng.normal(size=3), 0.01), rng.normal(size=(5, 3))
        np.testing.assert_allclose(frame.out_of(frame.into(points)), points, atol=1e-9)


def test_derivatives(rng):
    body = skinned()
    p = Parameters(rng.normal(0, 0.4, (24, 3)), rng.normal(size=20), rng.normal(size=3), 0.1)
    posed = body.posed(p)
    J = body.jacobian(posed).reshape(-1, body.n_unknowns) @ body.pose_frame(posed)
    for i in (0, 2, 5, 40, 71, 72, 91, 93, 95):
        step = np.zeros(body.n_unknowns)
        step[i] = 1e-3
        plus, minus = (body.posed(body.moved(p, s)).vertices.astype(float) for s in (step, -step))
        np.testing.assert_allclose(J[:, i], ((plus - minus) / 2e-3).ravel(), atol=2e-3)
    rows = np.array([3, 700, 6000])
    np.testing.assert_allclose(body.jacobian(posed, rows), body.jacobian(posed)[rows], atol=1e-6)


def test_offsets_of_posed_vertices_are_offsets_at_rest(rng):
    body = skinned()
    p, posed = person()
    d = rng.normal(0, 0.01, posed.vertices.shape)
    at_rest = body.unposed(posed, d)
    blend = (body.weights @ posed.turns.reshape(24, 9)).reshape(-1, 3, 3)
    np.testing.assert_allclose(np.einsum("nab,nb->na", blend, at_rest), d, atol=1e-6)


def test_what_pairs_ask_for_is_gathered_by_vertex(rng):
    normal = rng.normal(size=(5, 3))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    offset = rng.normal(size=(5, 3))
    pair = Pairs(np.array([0, 2, 2, 1, 2]), offset, (offset * normal).sum(1), normal, np.ones(5, bool), np.ones(5) / 5)
    omega = rng.random(5)
    M, g = gathered(pair, omega, 0.7, 4)
    each = [w * (0.7 * np.outer(n, n) + 0.3 * np.eye(3)) for w, n in zip(omega, normal, strict=True)]
    np.testing.assert_allclose(M[2], each[1] + each[2] + each[4], rtol=1e-5)
    np.testing.assert_allclose(g[2], sum(each[k] @ offset[k] for k in (1, 2, 4)), rtol=1e-4)
    assert not M[3].any()


def test_points_outside_count_less():
    offset = np.array([[0, 0, 0.01], [0, 0, -0.01]])
    pair = Pairs(
        np.zeros(2, int), offset, offset[:, 2], np.tile([0.0, 0, 1], (2, 1)), np.ones(2, bool), np.full(2, 0.5)
    )
    outside, inside = robust(pair, 0.05, np.array([0.25]))
    assert outside == pytest.approx(inside / 4)


def test_nearest_points_are_exact(rng):
    triangles, points = rng.normal(size=(2000, 3, 3)), 1.5 * rng.normal(size=(2000, 3))
    mix, squared = closest(points, *triangles.swapaxes(0, 1))
    expected, distance = closest_on_triangles(points, triangles)
    np.testing.assert_allclose(np.sqrt(squared), distance, atol=1e-9)
    np.testing.assert_allclose(mix, expected, atol=1e-6)
    _, posed = person()
    on_it, _ = surface_points(posed.vertices, skinned().faces, 500, rng)
    distance = MeshSearch(posed.vertices, skinned().faces).nearest(on_it).distance
    assert distance.mean() < 3e-4 and np.median(distance) < 1e-6


def test_self_intersections():
    flat = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], float)
    upright = np.array([[0.2, 0.2, -1], [0.2, 0.2, 1], [0.3, 0.9, 0.5]])
    faces = np.array([[0, 1, 2], [3, 4, 5]])
    assert self_intersections(np.concatenate([flat, upright]), faces).tolist() == [[0, 1]]
    assert not len(self_intersections(np.concatenate([flat, upright + [2, 0, 0]]), faces))
    assert added(np.array([[0, 1]]), np.array([[0, 1], [1, 4]]), 9).tolist() == [[1, 4]]


def test_the_prior_knows_which_way_knees_bend():
    prior = PosePrior.of(24)
    bent = np.zeros((24, 3))
    bent[4, 0] = 0.8
    assert prior.distance(bent) < prior.distance(-bent)
    assert PosePrior.of(16).mean.shape == (45,)


def test_a_poor_mesh_becomes_the_body(rng):
    p, posed = person(1)
    solver = ScanSolver(skinned())
    mesh = poor_mesh(p)
    cloud = Cloud.of(*surface_points(posed.vertices, skinned().faces, 5000, rng))
    fitted = solver.fit(cloud, solver.from_mesh(mesh), Schedule(ROUGH + FINE))
    error = np.linalg.norm(skinned().posed(fitted).vertices - posed.vertices, axis=1).mean()
    assert error < 0.01 < 0.05 < np.linalg.norm(mesh - posed.vertices, axis=1).mean()


def test_the_body_lies_inside_its_clothes(rng):
    p, posed = person(2)
    points, normals = surface_points(posed.vertices, skinned().faces, 6000, rng)
    dressed = points + normals * rng.uniform(0, 0.03, (len(points), 1))  # 15 mm on average
    solver = ScanSolver(skinned())
    fitted = solver.fit(Cloud.of(dressed, normals), p, Schedule(FINE), betas=None)
    search = MeshSearch(skinned().posed(fitted).vertices, skinned().faces)
    found = search.nearest(points)
    outward = np.einsum("pk,pkc->pc", found.mix, search.normals[found.corners])
    inside = np.einsum("pk,pkc->pc", found.mix, skinned().posed(fitted).vertices[found.corners])
    assert ((inside - points) * outward).sum(1).mean() < 0.010


def test_unknown_size_is_found(rng):
    p, posed = person(3)
    points, normals = surface_points(1.12 * posed.vertices, skinned().faces, 4000, rng)
    solver = ScanSolver(skinned())
    fitted = solver.fit(Cloud.of(points, normals), p, Schedule(ROUGH + FINE), free_size=True)
    error = np.linalg.norm(skinned().posed(fitted).vertices - 1.12 * posed.vertices, axis=1).mean()
    assert error < 0.012 and fitted.size > 0.03


def test_displacements_reach_the_scan_and_cross_nothing_new(rng):
    body = skinned()
    _, posed = person(1)
    start = posed.vertices.astype(float)
    wave = 0.012 * np.sin(20 * start[:, :1]) * np.cos(15 * start[:, 1:2])
    search = MeshSearch(start, body.faces)
    goal = start + (wave + 0.01) * search.normals
    points, normals = surface_points(goal, body.faces, 10_000, rng)
    d = Displacer(body).displacements(start, Cloud.of(points, normals), partial=False)
    before, after = (MeshSearch(v, body.faces).nearest(points).distance.mean() for v in (start, start + d))
    assert after < 0.002 < before / 3
    crossings = [self_intersections(v, body.faces) for v in (start, start + d)]
    assert not len(added(*crossings, len(body.faces)))


def test_turning_about_keeps_the_silhouette():
    p, posed = person(0)
    turned = skinned().posed(turned_about(p))
    mirrored = posed.vertices * [1, 1, -1]  # seen from behind
    assert two_way(turned.vertices, mirrored) < 0.04
    assert abs(abs(facing(skinned(), turned.vertices) - facing(skinned(), posed.vertices)) - 180) < 15
    R = Rotation.from_rotvec([0, 0.5, 0]).as_matrix()
    assert facing(skinned(), posed.vertices @ R.T) - facing(skinned(), posed.vertices) == pytest.approx(28.6, abs=0.1)
