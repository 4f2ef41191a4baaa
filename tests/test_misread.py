"""How often, and by how much, a finder errs on synthetic people, on shards whose answers are known."""

import numpy as np
import pytest
import torch

from lvd_live.errors import UserError
from lvd_live.paths import MODELS
from lvd_live.synth.dataset import shard_path, write_shard
from lvd_live.synth.misread import landmark_errors, report
from lvd_live.synth.people import People, to_camera_frame
from lvd_live.train.lift_noise import facing_of, nearness_of

COUNT = 40


@pytest.fixture(scope="module")
def views():
    people, rng = People(MODELS, webcams=0.0), np.random.default_rng(4)
    return people.views(people.shape(rng), rng, COUNT)


def write(folder, views, error):
    """A shard of people who fill a bright picture, and whose landmarks a finder has `error` (n, 33, 3) off."""
    truth = np.stack([v.landmarks for v in views])
    z = [
        v.focal * nearness_of(torch.from_numpy(to_camera_frame(v.landmarks, v.focal, v.offset, -v.t[2]))[None])[0]
        for v in views
    ]
    said = np.concatenate([truth[..., :2], np.stack(z)[..., None]], -1) + error
    n = len(views)
    arrays = {
        "picture": np.full((n, 32, 32, 3), 99, np.uint8),
        "alpha": np.full((n, 32, 32), 255, np.uint8),
        "landmarks": np.concatenate([said, np.full((n, 33, 1), 0.9)], -1).astype(np.float32),
        "truth": truth.astype(np.float32),
        "observed": np.arange(n) > 0,
    }
    arrays |= {key: np.stack([getattr(v, key) for v in views]).astype(np.float32) for key in ("pose", "R", "t")}
    write_shard(shard_path(folder, 0), arrays | {"focal": np.array([v.focal for v in views], np.float32)})


def test_errors_are_what_was_added_and_people_face_where_the_lifter_says(views, tmp_path):
    off = np.zeros((COUNT, 33, 3))
    off[:, 15, 0], off[:, 16, 2] = 0.2, 0.3
    write(tmp_path, views, off)
    made = landmark_errors(tmp_path, 1000)
    half = np.array([np.ptp(v.landmarks[:, :2], axis=0).max() / 2 for v in views])[1:]  # the first was not found
    np.testing.assert_allclose(made["error"][:, 15, 0], 0.2 / half, rtol=5e-3, atol=2e-3)
    np.testing.assert_allclose(made["error"][:, 16, 2], 0.3 / half, rtol=5e-3, atol=2e-3)
    assert np.abs(np.delete(made["error"], [15, 16], 1)).max() < 5e-3
    points = np.stack([to_camera_frame(v.landmarks, v.focal, v.offset, -v.t[2]) for v in views])[1:]
    same = facing_of(torch.from_numpy(points)).numpy() == made["facing"]
    assert same.mean() > 0.9  # perspective moves a few across a border


def test_the_share_of_people_misread(views, tmp_path):
    off = np.zeros((COUNT, 33, 3))
    off[:10, :, 0] = 0.11
    write(tmp_path, views, off)
    lines = report(tmp_path)
    assert "| all | 100 | 25.0 |" in lines and lines[-1].startswith("40 people; well read (under 0.03): 75 %")


def test_no_shards_is_said_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match="There are no shards"):
        report(tmp_path)
