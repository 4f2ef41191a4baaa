"""Real people with 3D truth: the metrics on cases whose answer is known, and the tables of a small folder of views made
here.
"""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lvd_live.errors import UserError
from lvd_live.evaluate import alignment, cli, views
from lvd_live.paths import DEMO, MODELS
from lvd_live.person import BlazePoseFinder
from lvd_live.person.sides import COUNTERPART, counterparts
from lvd_live.session.video import VideoWriter
from lvd_live.sources import VideoSource

LANDMARKS = np.array([23, 24, 25, 26, 27, 28, 11, 12, 13, 14, 15, 16])
FRAMES = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two views: the first frames of the demo clip, whose truth is what the finder says of them, turned, scaled and in
    front of the camera; in the second with left and right exchanged.
    """
    out, said = tmp_path_factory.mktemp("views"), []
    with VideoSource(DEMO) as source:
        pictures = [frame.picture for frame, _ in zip(source, range(FRAMES + 2), strict=False)]
    for v in (1, 2):
        with_writer = VideoWriter(out / f"view{v}.mp4", 25.0, pictures[0].shape[1::-1])
        for picture in pictures:
            with_writer.write(picture, None)
        with_writer.close()
    finder = BlazePoseFinder(MODELS / "blazepose")
    with VideoSource(out / "view1.mp4") as source:
        said = np.stack([finder.find(frame.picture).world[LANDMARKS] for frame in source])[:FRAMES]
    joints = 1100 * said.astype(np.float64) @ Rotation.from_euler("y", 10, degrees=True).as_matrix() + (100, -50, 3000)
    joints = np.stack([joints, joints[:, counterparts(LANDMARKS)]]).astype(np.float32)
    joints[0, 1, 5] = joints[0, 2] = np.nan
    write(out, joints)
    return out


def write(folder, joints, **changed):
    intrinsics = np.tile(np.array([[900.0, 0, 320], [0, 900, 240], [0, 0, 1]]), (len(joints), 1, 1))
    arrays = {
        "joints_camera_mm": joints,
        "blazepose_index": LANDMARKS,
        "names": np.array([f"joint_{i}" for i in LANDMARKS]),
        "intrinsics": intrinsics,
    }
    np.savez(folder / "truth.npz", **(arrays | changed))


def test_counterparts():
    assert [COUNTERPART[i] for i in (0, 1, 4, 7, 9, 11, 12, 31)] == [0, 4, 1, 8, 10, 12, 11, 32]
    assert sorted(COUNTERPART) == list(range(33)) and all(COUNTERPART[COUNTERPART[i]] == i for i in range(33))
    with pytest.raises(ValueError, match="counterpart of landmark 11"):
        counterparts(np.array([11]))


def test_a_similarity_is_no_error_and_a_reflection_is_one():
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 300, (5, 12, 3))
    moved = 0.7 * truth @ Rotation.random(rng=rng).as_matrix() + (30, 2000, -7)
    unknown = truth.copy()
    unknown[0, 3], unknown[1, 2:] = np.nan, np.nan
    errors = alignment.similarity_error(moved, unknown)
    assert (
        np.nanmax(errors) < 1e-6
        and np.isnan(errors[0, 3])
        and np.isnan(errors[1]).all()
        and np.isfinite(errors).sum() == 4 * 12 - 1
    )
    assert alignment.similarity_error(truth * (1, 1, -1), truth).mean() > 100
    off = truth.copy()
    off[:, 4, 0] += 50
    assert 20 < alignment.similarity_error(off, truth)[:, 4].mean() < 50


def test_a_lean_shows_in_the_root_aligned_error_alone():
    rng = np.random.default_rng(1)
    truth = rng.normal(0, 300, (3, 12, 3))
    leaning = 2 * truth @ Rotation.from_euler("x", 20, degrees=True).as_matrix() + 9
    assert alignment.similarity_error(leaning, truth).max() < 1e-6
    assert alignment.root_error(leaning, truth, [0, 1]).mean() > 20
    assert alignment.root_error(3 * truth + 9, truth, [0, 1]).max() < 1e-6


def test_the_frame_toward_the_person():
    points = np.random.default_rng(2).normal(0, 200, (4, 12, 3)) + (900, -400, 2500)
    turned = alignment.toward(points, [0, 1])
    middle = turned[:, :2].mean(1)
    assert np.abs(middle[:, :2]).max() < 1e-6 and (middle[:, 2] > 0).all()
    np.testing.assert_allclose(
        np.linalg.norm(turned[:, 3] - turned[:, 7], axis=1), np.linalg.norm(points[:, 3] - points[:, 7], axis=1)
    )
    np.testing.assert_allclose(
        alignment.toward(np.array([[0.0, 0, 1], [0, 0, 3], [1, 2, 3]]), [0, 1]), [[0, 0, 1], [0, 0, 3], [1, 2, 3]]
    )


def test_jitter_skips_what_was_not_tracked():
    t = np.arange(8.0)[:, None, None]
    points = np.tile(np.array([0.0, 0, 0]), (8, 12, 1)) + t**2 * np.concatenate([np.zeros((2, 3)), np.ones((10, 3))])
    points[4] = np.nan
    assert alignment.jitter(points, [0, 1]) == pytest.approx(2 * np.sqrt(3) * 10 / 12)
    assert np.isnan(alignment.jitter(points[:2], [0, 1]))


def test_the_tables_of_a_folder_of_views(folder, tmp_path, capsys):
    assert cli.main(["--views", str(folder), "--evidence", "all", "--json", str(tmp_path / "views.json")]) == 0
    text, figures = capsys.readouterr().out, json.loads((tmp_path / "views.json").read_text())
    finder, lifted, mesh, known = figures["views"]
    assert lifted["told"] == views.LIFTER and lifted["view 1"] < 100 and lifted["tracked"] == finder["tracked"]
    assert finder["told"] in text and (mesh["told"], known["told"]) == ("all", "all, camera known")
    assert (
        finder["view 1"] < 1 < finder["view 2"]
        and finder["root-aligned, mm"] > 10
        and finder["left and right exchanged"] == f"{FRAMES}/{2 * FRAMES - 1}"
    )
    assert 5 < mesh["view 1"] < 80 and mesh["tracked"] == f"{2 * FRAMES}/{2 * FRAMES}" and mesh["jitter, mm/frame²"] > 0
    assert set(figures["views_joints"][0]) == {"told; PA, mm", *(f"joint {i}" for i in LANDMARKS)}


def test_what_is_no_folder_of_views_takes_a_sentence(folder, tmp_path):
    def refused(match):
        with pytest.raises(UserError, match=match):
            cli.main(["--views", str(tmp_path)])

    refused("holds no truth.npz")
    (tmp_path / "truth.npz").write_bytes(b"nothing")
    refused("cannot be read")
    np.savez(tmp_path / "truth.npz", names=np.array(["a"]))
    refused("cannot be read")
    joints = np.zeros((1, FRAMES, 12, 3), np.float32)
    write(tmp_path, joints, names=np.array(["a"]))
    refused("contradicts itself")
    write(tmp_path, joints, blazepose_index=np.arange(12))
    refused("both hips")
    write(tmp_path, joints, blazepose_index=np.array([23, 24, *range(10)]))
    refused("both sides")
    write(tmp_path, joints)
    refused("There is no .*view1.mp4")
    (tmp_path / "view1.mp4").write_bytes((folder / "view1.mp4").read_bytes())
    write(tmp_path, np.zeros((1, 50, 12, 3), np.float32))
    refused("has 6 frames, and truth.npz has 50")
    with pytest.raises(UserError, match="--json"):
        cli.main(["--curve", "a.csv", "b.png", "--json", str(tmp_path / "views.json")])


def test_exchanged_in_space_and_in_the_picture():
    truth = np.random.default_rng(3).normal(0, 300, (5, 12, 3)) + (0, 0, 4000)
    K = np.array([[900.0, 0, 320], [0, 900, 240], [0, 0, 1]])
    points = np.full((5, 33, 5), np.nan)
    points[:, LANDMARKS] = np.concatenate([truth, truth[..., :2] / truth[..., 2:] * 900 + (320, 240)], -1)
    points[3:, LANDMARKS] = points[3:, LANDMARKS][:, counterparts(LANDMARKS)]
    points[4, LANDMARKS, 3:] = points[4, LANDMARKS, 3:][counterparts(LANDMARKS)]
    found = views.score(points, truth, LANDMARKS, K)
    assert (found.exchanged, found.crossed, found.judged, found.tracked) == (2, 1, 5, 5)
