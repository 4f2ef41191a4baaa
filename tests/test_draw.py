"""The projection, the silhouette and the overlay, against arithmetic and against what no camera should see."""

import time

import numpy as np
import pytest

from lvd_live import render
from lvd_live.topology import vertex_normals
from tests.fakes import FACES, SHAPE

K = np.array([[600.0, 0, 320.0], [0, 600.0, 240.0], [0, 0, 1]])


def square(left, top, right, bottom, depth=2.0):
    """Two triangles whose corners project to the given pixels under K."""
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)
    vertices = np.c_[(corners - K[:2, 2]) / 600.0 * depth, np.full(4, depth)].astype(np.float32)
    return vertices, np.array([[0, 1, 2], [0, 2, 3]], np.int32)


def test_a_square_covers_exactly_the_pixel_centres_inside_it():
    mask = render.silhouette(*square(9.5, 19.5, 30.5, 25.5), K, (640, 480))
    expected = np.zeros((480, 640), bool)
    expected[20:26, 10:31] = True
    assert (mask == expected).all()


def test_silhouette_is_the_inside_of_every_projected_triangle():
    size = (320, 240)
    intrinsics = np.array([[280.0, 0, 159.5], [0, 280.0, 119.5], [0, 0, 1]])
    mask = render.silhouette(SHAPE, FACES, intrinsics, size)
    pixels = render.project(SHAPE, intrinsics)
    grid = np.stack(np.meshgrid(np.arange(320), np.arange(240)), -1).astype(float)
    expected, near_edge = np.zeros((240, 320), bool), np.zeros((240, 320), bool)
    for a, b, c in pixels[FACES]:
        sides = [
            (q[0] - p[0]) * (grid[..., 1] - p[1]) - (q[1] - p[1]) * (grid[..., 0] - p[0])
            for p, q in ((a, b), (b, c), (c, a))
        ]
        expected |= np.all([s >= 0 for s in sides], axis=0) | np.all([s <= 0 for s in sides], axis=0)
        near_edge |= np.min(np.abs(sides), axis=0) < 1e-3
    assert expected.sum() > 1000
    assert ((mask == expected) | near_edge).all()


def test_the_nearer_surface_is_the_one_seen():
    far, faces = square(100, 100, 300, 300, depth=3.0)
    near, _ = square(150, 150, 250, 250, depth=2.0)
    colours = np.repeat(np.uint8([[255, 0, 0], [0, 255, 0]]), 4, axis=0)
    black, both = np.zeros((480, 640, 3), np.uint8), np.r_[faces, faces + 4]
    picture = render.overlay(black, np.r_[far, near], both, K, 1.0, colours)
    assert picture[200, 200].argmax() == 1 and picture[110, 110].argmax() == 0
    swapped = render.overlay(black, np.r_[near, far], both, K, 1.0, colours[::-1])
    assert (swapped == picture).all()


def test_overlay_changes_the_silhouette_and_nothing_else():
    before = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    kept = before.copy()
    after = render.overlay(before, SHAPE, FACES, K, 1.0)
    mask = render.silhouette(SHAPE, FACES, K, (640, 480))
    assert (before == kept).all()
    assert (after[~mask] == before[~mask]).all()
    assert (after[mask] != before[mask]).any(axis=1).mean() > 0.99
    half = render.overlay(before, SHAPE, FACES, K, 0.5)
    assert np.abs(half.astype(int) - (before.astype(int) + after.astype(int)) / 2).max() <= 1.5


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "vertices",
    [
        -SHAPE,
        SHAPE + np.float32([100, 0, 0]),
        SHAPE * np.float32(np.nan),
        np.full_like(SHAPE, np.inf),
        SHAPE * np.float32(1e30),
        np.zeros_like(SHAPE),
    ],
    ids=["behind", "off the picture", "nan", "inf", "huge", "in the lens"],
)
def test_nothing_to_see_leaves_the_picture_alone(vertices):
    picture = np.full((48, 64, 3), 7, np.uint8)
    assert (render.overlay(picture, vertices, FACES, K) == picture).all()
    assert not render.silhouette(vertices, FACES, K, (64, 48)).any()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shift", [-3.9, -4.0, -4.3])
def test_a_mesh_in_and_behind_the_lens_is_drawn_without_a_crash(shift):
    picture = render.overlay(np.zeros((480, 640, 3), np.uint8), SHAPE + np.float32([0, 0, shift]), FACES, K)
    assert picture.shape == (480, 640, 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 2), (641, 479)])
def test_odd_sizes(size):
    intrinsics = np.array([[size[1] * 1.2, 0, (size[0] - 1) / 2], [0, size[1] * 1.2, (size[1] - 1) / 2], [0, 0, 1]])
    assert render.silhouette(SHAPE, FACES, intrinsics, size)[size[1] // 2, size[0] // 2]


def test_an_8k_picture_in_strips_agrees_with_a_small_one():
    small = render.silhouette(SHAPE, FACES, K, (640, 480))
    large_k = K.copy()
    large_k[:2] *= 12
    large_k[:2, 2] += 5.5
    large = render.silhouette(SHAPE, FACES, large_k, (7680, 5760))
    assert abs(large.sum() / 144 / small.sum() - 1) < 0.01
    assert (large[6::12, 6::12] == small).mean() > 0.999


@pytest.mark.parametrize("faces", [FACES, FACES[:, ::-1].copy(), FACES[:-1]], ids=["closed", "inward", "with a hole"])
def test_what_a_closed_mesh_hides_need_not_be_drawn(faces, monkeypatch):
    picture, hides = np.full((480, 640, 3), 40, np.uint8), []
    told = render._hides_backs
    monkeypatch.setattr(render, "_hides_backs", lambda *mesh: hides.append(told(*mesh)) or hides[-1])
    colours = np.random.default_rng(0).integers(0, 255, SHAPE.shape).astype(np.uint8)
    drawn = render.overlay(picture, SHAPE, faces, K, 1.0, colours)
    monkeypatch.setattr(render, "_hides_backs", lambda *mesh: False)
    whole = render.overlay(picture, SHAPE, faces, K, 1.0, colours)
    assert hides == [faces is FACES]  # a mesh with a hole shows its inside
    assert (np.abs(drawn.astype(int) - whole).max(2) > 8).mean() < 1e-4 and (drawn != picture).any()


def test_thousands_of_huge_triangles_take_bounded_time():
    vertices = np.random.default_rng(1).normal(size=(6000, 3)).astype(np.float32) * 30 + np.float32([0, 0, 60])
    faces = np.arange(6000, dtype=np.int32).reshape(-1, 3)
    began = time.perf_counter()
    render.silhouette(vertices, faces, K * [[40], [40], [1]], (640, 480))
    assert time.perf_counter() - began < 2.0


def test_normals_point_outward_and_have_length_one():
    normals = vertex_normals(SHAPE, FACES)
    assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    assert (np.einsum("ij,ij->i", normals, SHAPE - SHAPE.mean(0)) > 0).all()


def test_contact_sheet_holds_every_picture_whatever_its_shape():
    shades, sizes = (60, 120, 180, 240, 90), ((10, 10), (1, 1), (500, 20), (33, 900), (7680, 3))
    pictures = [np.full((*size, 3), shade, np.uint8) for shade, size in zip(shades, sizes, strict=True)]
    sheet = render.contact_sheet(pictures, columns=2, cell=(100, 80))
    assert sheet.shape == (3 * 84 + 4, 2 * 104 + 4, 3)
    assert set(shades) <= set(np.unique(sheet))


def test_wrong_pictures_are_refused():
    with pytest.raises(ValueError, match="uint8"):
        render.overlay(np.zeros((4, 4)), SHAPE, FACES, K)
    with pytest.raises(ValueError, match="needs pictures"):
        render.contact_sheet([])
