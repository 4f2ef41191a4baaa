"""Synthetic samples: deterministic, complete, and the mesh on the person in the picture."""

import numpy as np
import pytest

from lvd_live.errors import UserError
from lvd_live.synth.cli import contact_sheet
from lvd_live.synth.dataset import POSES, ShardMaker, make_shards
from lvd_live.synth.people import cut_by_picture
from lvd_live.paths import MODELS

SIZE = 96


@pytest.fixture(scope="module")
def maker():
    try:
        return ShardMaker(MODELS, SIZE, seed=7)
    except UserError as error:
        if "OpenGL" in str(error):
            pytest.skip(str(error))
        raise


@pytest.fixture(scope="module")
def shard(maker):
    return maker.make(3, identities=2)


def test_a_shard_is_complete(shard):
    n = 2 * POSES
    assert shard["picture"].shape == (n, SIZE, SIZE, 3) and shard["picture"].dtype == np.uint8
    assert shard["mask"].shape == shard["alpha"].shape == (n, SIZE, SIZE) and shard["vertices"].shape == (n, 1723, 3)
    assert shard["landmarks"].shape == (n, 33, 4) and shard["betas"].shape == (n, 20)
    assert all(np.isfinite(v.astype(float)).all() for v in shard.values())
    assert shard["observed"].mean() > 0.5


def test_the_same_seed_makes_the_same_people(maker, shard):
    again = maker.make(3, identities=1)
    for key in ("betas", "pose", "R", "t", "vertices", "truth"):
        np.testing.assert_array_equal(again[key], shard[key][:POSES])
    difference = np.abs(again["picture"].astype(int) - shard["picture"][:POSES])
    assert difference.mean() < 0.5
    assert not np.array_equal(maker.make(4, identities=1)["betas"][0], shard["betas"][0])


def test_the_mesh_lies_on_the_person(shard):
    """Visible vertices that fall inside the picture fall on the person's pixels or next to them."""
    on = []
    for alpha, vertices in zip(shard["alpha"], shard["vertices"].astype(float), strict=True):
        x, y = ((vertices[:, 0] + 1) * SIZE / 2 - 0.5).round().astype(int), ((1 - vertices[:, 1]) * SIZE / 2 - 0.5).round().astype(int)
        near = np.zeros((SIZE + 4, SIZE + 4), bool)
        for dy in range(5):
            for dx in range(5):
                near[dy : dy + SIZE, dx : dx + SIZE] |= alpha > 20
        inside = (x >= 0) & (x < SIZE) & (y >= 0) & (y < SIZE)
        on.append(near[y[inside] + 2, x[inside] + 2].mean())
    assert np.median(on) > 0.97  # the others are cut or hidden on purpose


def test_masks_look_like_the_person(shard):
    iou = [(a & m).sum() / max((a | m).sum(), 1) for a, m in zip(shard["alpha"] > 127, shard["mask"] > 127, strict=True)]
    assert 0.85 < np.median(iou) < 0.999


def test_held_out_people_are_others(maker):
    from lvd_live.synth.people import People

    others = People(MODELS, held_out=True)
    assert not {tuple(b) for b in others.population} & {tuple(b) for b in maker.people.population}


def test_edges_cut_what_they_say():
    rng = np.random.default_rng(0)
    uv = rng.uniform(-1, 1, (500, 2)) * [0.4, 1]
    landmarks = np.zeros((33, 2))
    landmarks[[11, 12], 1], landmarks[[23, 24], 1], landmarks[[25, 26], 1] = 0.6, 0.0, -0.5
    kept = np.array([((uv > c[:2]) & (uv < c[2:])).all(1).mean() for c in (cut_by_picture(uv, landmarks, rng) for _ in range(400))])
    assert 0.6 < (kept == 1).mean() < 0.9 and kept.min() > 0.1


def test_shards_already_there_are_kept(tmp_path):
    (tmp_path / "00000.npy").touch()
    make_shards(tmp_path, MODELS / "nowhere", SIZE, range(1))  # would fail if it made anything


def test_contact_sheet(shard):
    sheet = contact_sheet({k: v[:5] for k, v in shard.items()}, columns=4)
    assert sheet.shape == (2 * SIZE, 4 * SIZE, 3) and sheet.any()
