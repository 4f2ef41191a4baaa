"""Panoramas, their light, skins: where a lamp is seen is where its light comes from, and a face is on the face."""

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lvd_live.errors import UserError
from lvd_live.paths import MODELS
from lvd_live.synth import surroundings
from lvd_live.synth.base_mesh import BaseMesh
from lvd_live.synth.skins import Skins, base_uv
from lvd_live.synth.surroundings import HEIGHT, Place, Surroundings, light_of, without_holes

SYNTH = MODELS / "synth"


def lamp_at(row, column, strength=3000.0):
    radiance = np.full((HEIGHT, 2 * HEIGHT, 3), 0.2)
    radiance[row - 1 : row + 2, column - 1 : column + 2] = strength
    return radiance


@pytest.mark.parametrize("heading", [0.0, 1.1, 4.0])
def test_light_comes_from_where_the_lamp_is_seen(heading, monkeypatch):
    monkeypatch.setattr(surroundings, "WIDEST", 1.0)
    radiance = lamp_at(100, 300)
    light = [part[None].astype(np.float32) for part in light_of(radiance)]
    place = Place(Surroundings(radiance.clip(0, 255).astype(np.uint8)[None], *light), 0, heading)
    longitude = 300.5 / HEIGHT * np.pi - heading  # in the body frame; the camera is turned so that it sees it
    R = (
        Rotation.from_euler("z", 0.2) * Rotation.from_euler("x", 0.1) * Rotation.from_euler("y", longitude)
    ).as_matrix()
    toward = place.light(R, np.random.default_rng(0)).directions[0]
    assert toward[2] < -0.8  # in front of the camera
    focal, offset, size = 1.3, np.array([0.1, -0.2]), 200
    seen = place.backdrop(size, R, focal, offset, np.random.default_rng(0)).sum(2)
    row, column = np.unravel_index(cv2.blur(seen.astype(np.float32), (5, 5)).argmax(), seen.shape)
    found = np.array([(2 * column + 1) / size - 1, 1 - (2 * row + 1) / size])
    np.testing.assert_allclose(found, focal * toward[:2] / -toward[2] + offset, atol=0.03)


def test_all_light_is_accounted_for():
    directions, colours, ambient = light_of(lamp_at(60, 100))
    np.testing.assert_allclose(ambient[0].mean() + colours.mean(1).sum() / 4, 1, atol=1e-6)
    assert colours[0].mean() > 1 > colours[1].mean()
    up = np.linspace(2, 0, HEIGHT)[:, None, None] * np.ones((1, 2 * HEIGHT, 3))  # a bright sky, no lamp
    _, colours, ambient = light_of(up)
    assert not colours.any() and ambient[2].min() > 0.5 and np.abs(ambient[[1, 3]]).max() < 1e-6


def test_a_uniform_world_lights_everything_alike():
    light = [part[None].astype(np.float32) for part in light_of(np.ones((HEIGHT, 2 * HEIGHT, 3)))]
    made = Place(Surroundings(np.zeros((1, HEIGHT, 2 * HEIGHT, 3), np.uint8), *light), 0, 0.3)
    lit = made.light(np.eye(3), np.random.default_rng(1))
    assert np.abs(lit.ambient[1:]).max() < 1e-5 and not lit.colours.any() and 0.5 < lit.ambient[0].mean() < 2.5


def test_holes_in_lamps_are_filled_and_other_dark_things_stay():
    radiance = np.full((64, 128, 3), 0.5, np.float32)
    radiance[20:24, 30:34] = 100
    radiance[22, 32] = 0
    radiance[50:60, 90:100] = 0.01
    filled = without_holes(radiance)
    assert filled[22, 32].min() > 50
    np.testing.assert_array_equal(filled[40:], radiance[40:])


def test_the_bundled_panoramas():
    bundled = Surroundings.load(SYNTH / "surroundings.npz")
    assert len(bundled.pictures) == 18 and bundled.pictures.std((1, 2, 3)).min() > 20
    np.testing.assert_allclose(np.linalg.norm(bundled.directions, axis=-1), 1, atol=1e-5)


def test_lips_are_redder_than_the_forehead():
    with np.load(SYNTH / "base.npz", allow_pickle=False) as arrays:
        base = BaseMesh.from_arrays(arrays)
    skins = Skins.load(SYNTH / "skins.npz")
    assert set(skins.sexes) == {"female", "male"} and len(skins.corner_uv) == len(base.skin)
    corner = base.template[base.skin].reshape(-1, 3)
    pixel = (skins.uv[skins.corner_uv].reshape(-1, 2) * (skins.textures.shape[1] - 1)).round().astype(int)
    lips, forehead = ([0, 0.6125, 0.143], [0, 0.72, 0.14])
    light = [picture for picture in skins.textures if picture[..., 1].mean() > 120]
    assert len(light) >= 6  # on the darkest skins lips differ less
    for picture in light:
        colours = picture[pixel[:, 1], pixel[:, 0], :3].astype(float)
        redness = colours[:, 0] / colours.sum(1)
        near = [np.linalg.norm(corner - place, axis=1) < 0.012 for place in (lips, forehead)]
        assert redness[near[0]].mean() > redness[near[1]].mean() + 0.01


def test_seams_split_vertices(tmp_path):
    """Two quads that share an edge with different texture coordinates, triangulated along the other diagonal."""
    obj = tmp_path / "base.obj"
    lines = [f"v {i} 0 0" for i in range(6)] + [f"vt {i / 10} 0.25" for i in range(8)]
    obj.write_text("\n".join([*lines, "f 1/1 2/2 3/3 4/4", "f 2/5 5/6 6/7 3/8"]) + "\n")
    uv, corner_uv = base_uv(obj, np.array([[1, 2, 3], [0, 1, 3], [1, 4, 2], [4, 5, 2]]))
    np.testing.assert_array_equal(corner_uv, [[1, 2, 3], [0, 1, 3], [4, 5, 7], [5, 6, 7]])
    np.testing.assert_allclose(uv[:, 1], 0.75)


@pytest.mark.parametrize("load, name", [(Skins.load, "skins"), (Surroundings.load, "surroundings")])
def test_a_wrong_file_is_said_in_a_sentence(load, name, tmp_path):
    for path in (tmp_path / "none.npz", SYNTH / "poses.npz"):
        with pytest.raises(UserError, match=f"is not a file of {name}"):
            load(path)
