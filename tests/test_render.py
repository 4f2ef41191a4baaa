"""The renderer: where a vertex lands, coverage, light, repeatability. Skipped where there is no EGL."""

import numpy as np
import pytest

from lvd_live.errors import UserError
from lvd_live.synth.base_mesh import BaseMesh
from lvd_live.synth.dressed import VERTEX, DressedPerson, dress_person
from lvd_live.synth.lighting import Light, sample_light
from lvd_live.synth.outfit_sampling import sample_outfit
from lvd_live.synth.render import Renderer
from lvd_live.synth.shaders import MATERIAL_COUNT
from lvd_live.synth.shot import Shot
from lvd_live.synth.wardrobe import Wardrobe

SIZE = 128
PLAIN = Light(
    np.float32([[0, 0, 1], [0, 1, 0]]),
    np.zeros((2, 3), np.float32),
    np.float32([[1, 1, 1], [0, 0, 0], [0, 0, 0], [0, 0, 0]]),
)


@pytest.fixture(scope="module")
def renderer():
    try:
        made = Renderer(SIZE, batch=4)
    except UserError as error:
        pytest.skip(str(error))
    with made:
        yield made


def quad(corners, joint=0):
    """A white square of cloth: corners (4, 3) counter-clockwise as seen from +z, all moved by one joint."""
    vertices = np.zeros(4, VERTEX)
    vertices["position"] = corners
    vertices["normal"] = [0, 0, 1]
    vertices["joint"][:, 0] = joint
    vertices["weight"][:, 0] = 255
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.uint32)
    materials = np.zeros((MATERIAL_COUNT, 5, 4), np.float32)
    materials[0] = [[1, 1, 1, -1], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0], [9, -9, 9, 0]]
    paint, joints = np.zeros((8, 4), np.float32), np.zeros((24, 3), np.float32)
    return DressedPerson(vertices, faces, 2, faces, materials, paint, joints)


def square(x, y, half):
    return np.array([[x, y, 0]]) + half * np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])


def placed(translation):
    bones = np.tile(np.eye(3, 4, dtype=np.float32), (24, 1, 1))
    bones[:, :, 3] = translation
    return bones


def pixel(x_crop, y_crop):
    return (x_crop + 1) / 2 * SIZE - 0.5, (1 - y_crop) / 2 * SIZE - 0.5


def centroid(picture):
    rows, columns = np.mgrid[:SIZE, :SIZE]
    alpha = picture[..., 3] / 255.0
    return (columns * alpha).sum() / alpha.sum(), (rows * alpha).sum() / alpha.sum()


@pytest.mark.parametrize("point", [(0.0, 0.0), (0.31, 0.42), (-0.5, 0.2), (0.1, -0.6)])
def test_a_point_lands_where_the_formula_says(renderer, point):
    translation, focal, offset = np.array([0.1, -0.05, -3.0]), 3.2, (0.11, -0.07)
    with renderer.upload(quad(square(*point, 0.03), joint=5)) as identity:
        (picture,) = renderer.render([Shot(identity, placed(translation), focal, offset, PLAIN)])
    X, Y, Z = np.array([*point, 0.0]) + translation
    expected = pixel(focal * X / -Z + offset[0], focal * Y / -Z + offset[1])
    np.testing.assert_allclose(centroid(picture), expected, atol=0.35)


def test_alpha_is_coverage_and_colour_is_premultiplied(renderer):
    with renderer.upload(quad(square(0, 0, 0.504))) as identity:
        (picture,) = renderer.render([Shot(identity, placed([0, 0, -2.0]), 2.0, (0.0, 0.0), PLAIN)])
    assert abs(picture[..., 3].sum() / 255.0 - (SIZE * 0.504) ** 2) < 0.03 * SIZE * SIZE
    assert (picture[0] == 0).all() and (picture[SIZE // 2, SIZE // 2] == 255).all()
    assert (picture[..., :3].max(axis=-1) <= picture[..., 3]).all()
    assert 0 < np.count_nonzero((picture[..., 3] > 0) & (picture[..., 3] < 255))


def test_backs_of_one_sided_faces_are_not_drawn(renderer):
    turned = placed([0, 0, -2.0])
    turned[:, 0, 0] = turned[:, 2, 2] = -1
    with renderer.upload(quad(square(0, 0, 0.5))) as identity:
        (picture,) = renderer.render([Shot(identity, turned, 2.0, (0.0, 0.0), PLAIN)])
    assert not picture.any()


def test_light_comes_from_its_direction(renderer):
    colours = np.float32([[0.8, 0.4, 0.2], [0, 0, 0]])
    front = Light(np.float32([[0, 0, 1], [0, 1, 0]]), colours, np.zeros((4, 3), np.float32))
    behind = Light(np.float32([[0, 0, -1], [0, 1, 0]]), colours, np.zeros((4, 3), np.float32))
    with renderer.upload(quad(square(0, 0, 0.5))) as identity:
        shots = [Shot(identity, placed([0, 0, -2.0]), 2.0, (0.0, 0.0), light) for light in (front, behind)]
        lit, dark = renderer.render(shots)[:, SIZE // 2, SIZE // 2, :3]
    np.testing.assert_allclose(lit, 255 * np.sqrt(colours[0]), atol=2)
    assert (dark == 0).all()


def test_a_batch_keeps_its_order_and_splits(renderer):
    spots = [(-0.5, 0.5), (0.5, 0.5), (0.5, -0.5), (-0.5, -0.5), (0.0, 0.0)]
    with renderer.upload(quad(square(0, 0, 0.1))) as identity:
        pictures = renderer.render([Shot(identity, placed([0, 0, -2.0]), 2.0, spot, PLAIN) for spot in spots])
    assert pictures.shape == (5, SIZE, SIZE, 4) and pictures.dtype == np.uint8
    for picture, spot in zip(pictures, spots, strict=True):
        np.testing.assert_allclose(centroid(picture), pixel(*spot), atol=0.35)
    assert renderer.render([]).shape == (0, SIZE, SIZE, 4)


def test_a_dressed_person_is_drawn_and_repeatable(pytestconfig):
    folder = pytestconfig.rootpath / "models" / "synth"
    if not (folder / "wardrobe.npz").exists() or not (folder / "base.npz").exists():
        pytest.skip("models/synth is not baked")
    wardrobe = Wardrobe.load(folder / "wardrobe.npz")
    with np.load(folder / "base.npz") as arrays:
        base = BaseMesh.from_arrays(arrays)
    try:
        renderer = Renderer(SIZE, batch=4, textures=wardrobe.textures)
    except UserError as error:
        pytest.skip(str(error))
    rng = np.random.default_rng(1)
    person = dress_person(base, rng.normal(0, 1, 20), sample_outfit(wardrobe, rng))
    assert (person.vertices["weight"].sum(axis=1, dtype=int) == 255).all()
    light = sample_light(np.random.default_rng(2), shadow_share=1.0)
    with renderer, renderer.upload(person) as identity:
        shots = [Shot(identity, placed([0, 0, -4.0]), 3.6, (0.0, 0.0), light)] * 2
        first, second = renderer.render(shots)
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(renderer.render(shots)[0], first)
    assert 0.08 < (first[..., 3] > 127).mean() < 0.5
    assert first[first[..., 3] == 255][:, :3].std() > 5
