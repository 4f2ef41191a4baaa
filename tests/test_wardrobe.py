"""The garment parser, the binding to the base mesh, the wardrobe file and dressing."""

import numpy as np
import pytest

from lvd_live.errors import UserError
from lvd_live.synth.bake_wardrobe import bake_wardrobe
from lvd_live.synth.garment import dress
from lvd_live.synth.mhclo import read_clothes, read_obj
from lvd_live.synth.outfit_sampling import sample_outfit
from lvd_live.synth.wardrobe import Wardrobe

# A base "body" of six vertices, decimetres in MakeHuman's frame; the garment is one quad.
BASE = np.array([[0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 0, 2], [2, 2, 2], [1, 1, 1]], np.float32)
OBJ = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nf 1/1 2/2 3/3 4/4\n"
MHCLO = """# a comment
basemesh hm08
tag Female
name shirt
obj_file shirt.obj
x_scale 0 1 1.0
z_scale 0 3 4.0
y_scale 0 2 2.0
verts 0
material shirt.mhmat
vertexboneweights_file shirt.mhw
0 1 2 0.5 0.25 0.25 0.1 0.2 0.4
5
1 2 4 1.0 0.0 0.0 0.0 0.0 0.0
0 1 2 0.0 0.0 1.0 0.0 0.0 -1.0
delete_verts
0 - 2 4
"""


@pytest.fixture
def shirt(tmp_path):
    folder = tmp_path / "clothes" / "shirt"
    folder.mkdir(parents=True)
    (folder / "shirt.obj").write_text(OBJ)
    (folder / "shirt.mhmat").write_text("name shirt\ndiffuseTexture shirt.png\naomapTexture shirt_ao.png\n")
    (folder / "shirt.mhclo").write_text(MHCLO)
    return folder / "shirt.mhclo"


@pytest.fixture
def wardrobe_path(pytestconfig):
    path = pytestconfig.rootpath / "models" / "synth" / "wardrobe.npz"
    if not path.exists():
        pytest.skip("models/synth/wardrobe.npz is not baked")
    return path


def base_and_rest():
    weights = np.zeros((6, 4), np.float32)
    weights[:, 0] = 1
    index = np.zeros((6, 4), np.uint8)
    index[:, 0] = [0, 1, 2, 3, 4, 5]
    index[:, 1:] = [[6, 7, 8]]
    metres = BASE / 10
    base = {
        "v_template": metres,
        "weights_index": index,
        "weights_value": weights,
        "faces": np.array([[0, 2, 1], [0, 1, 3]]),
    }
    return base, {"a_pose": metres, "rest_to_tpose": np.tile(np.eye(3, dtype=np.float32), (6, 1, 1))}


def baked(folder, base, rest):
    return Wardrobe.load(bake_wardrobe(folder, base, rest, folder / "wardrobe.npz"))


def test_parser_reads_lines_after_verts_single_indices_and_ranges(shirt):
    clothes = read_clothes(shirt)
    assert clothes.name == "shirt" and clothes.tags == ("female",)
    assert clothes.base_index.tolist() == [[0, 1, 2], [5, 5, 5], [1, 2, 4], [0, 1, 2]]
    np.testing.assert_allclose(clothes.barycentric[0], [0.5, 0.25, 0.25])
    np.testing.assert_allclose(clothes.barycentric[1], [1, 0, 0])
    assert clothes.hidden.tolist() == [0, 1, 2, 4]
    assert clothes.textures == {"diffuse": shirt.parent / "shirt.png", "aomap": shirt.parent / "shirt_ao.png"}
    assert clothes.corner_vertex.tolist() == [[0, 1, 2], [0, 2, 3]]


def test_fit_scales_offsets_along_each_axis(shirt):
    clothes = read_clothes(shirt)
    np.testing.assert_allclose(clothes.scale(BASE), [2.0, 1.0, 0.5])
    np.testing.assert_allclose(clothes.fit(BASE)[0], [0.5 + 0.2, 0.5 + 0.2, 0.2], atol=1e-6)
    np.testing.assert_allclose(clothes.fit(BASE)[1], BASE[5])


def test_baked_garment_dresses_the_template_as_makehuman_would(shirt, tmp_path):
    base, rest = base_and_rest()
    wardrobe = baked(tmp_path, base, rest)
    (garment,) = wardrobe.garments
    assert (garment.kind, garment.sex, garment.texture) == ("outfit", "female", -1)
    np.testing.assert_allclose(dress(garment, BASE / 10), read_clothes(shirt).fit(BASE) / 10, atol=1e-4)
    taller = BASE / 10 * np.float32([1, 2, 1])
    np.testing.assert_allclose(dress(garment, taller)[0], [0.07, 0.14, 0.02], atol=1e-4)
    np.testing.assert_allclose(garment.weight.sum(axis=1), 1.0, atol=1e-3)


def test_offsets_turn_with_the_pose(shirt, tmp_path):
    base, rest = base_and_rest()
    quarter = np.float32([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    wardrobe = baked(tmp_path, base, rest | {"rest_to_tpose": np.tile(quarter, (6, 1, 1))})
    np.testing.assert_allclose(wardrobe.garments[0].offset[0], [-0.02, 0.02, 0.02], atol=1e-4)


def test_looseness_lifts_the_cloth_along_its_normals(shirt, tmp_path):
    base, rest = base_and_rest()
    wardrobe = baked(tmp_path, base, rest)
    tight, loose = (dress(wardrobe.garments[0], BASE / 10, looseness) for looseness in (1.0, 2.0))
    np.testing.assert_allclose(np.linalg.norm(loose - tight, axis=1), 0.035, atol=1e-4)


def test_user_mistakes_are_explained_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match="no MakeHuman garments"):
        bake_wardrobe(tmp_path, *base_and_rest(), tmp_path / "wardrobe.npz")
    with pytest.raises(UserError, match="is not a wardrobe"):
        Wardrobe.load(tmp_path / "nothing.npz")
    np.savez(tmp_path / "whole.npz", names=np.array(["shirt"] * 500))
    whole = (tmp_path / "whole.npz").read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 10, len(whole)):
        (tmp_path / "cut.npz").write_bytes(whole[:length])
        with pytest.raises(UserError, match="is not a wardrobe"):
            Wardrobe.load(tmp_path / "cut.npz")
    with pytest.raises(UserError, match="cannot be read"):
        read_clothes(tmp_path / "nothing.mhclo")
    (tmp_path / "broken.mhclo").write_text("verts 0\n1 2 3\n")
    with pytest.raises(UserError, match="line 2"):
        read_clothes(tmp_path / "broken.mhclo")
    (tmp_path / "empty.obj").write_text("v 0 0 0\n")
    with pytest.raises(UserError, match="no face"):
        read_obj(tmp_path / "empty.obj")


def test_outfits_are_random_but_repeatable(wardrobe_path):
    wardrobe = Wardrobe.load(wardrobe_path)
    assert {g.kind for g in wardrobe.garments} == {"outfit", "shoes", "hat", "hair", "brows"}
    first, again = (sample_outfit(wardrobe, np.random.default_rng(4)) for _ in range(2))
    assert [w.garment.name for w in first.worn] == [w.garment.name for w in again.worn] and first.skin == again.skin
    rng = np.random.default_rng(0)
    outfits = [sample_outfit(wardrobe, rng) for _ in range(100)]
    dressed = sum(any(w.garment.kind == "outfit" for w in outfit.worn) for outfit in outfits)
    assert 50 < dressed < 95
    assert all(0 < c < 1 for outfit in outfits for w in outfit.worn for c in w.colour)
