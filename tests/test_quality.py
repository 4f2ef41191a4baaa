"""The finder's qualities: passes in the mirror, their mean, the heavy landmark network."""

from dataclasses import replace

import numpy as np
import pytest

from lvd_live.errors import UserError
from lvd_live.paths import DEMO, MODELS
from lvd_live.person import BlazePoseFinder
from lvd_live.person.passes import Pass, agree, mean, mirrored
from lvd_live.person.quality import QUALITIES, resolve
from lvd_live.person.sides import COUNTERPART
from lvd_live.person.types import describe
from lvd_live.sources import VideoSource

ORDER = [*COUNTERPART, *range(33, 39)]


def standing(noise=0.0, seed=0) -> Pass:
    """Somebody who faces us: left landmarks on the right of the picture."""
    rng, points = np.random.default_rng(seed), np.full((39, 5), 0.9, np.float32)
    points[:, :2] = 128
    for left in range(11, 33, 2):
        points[left, :2], points[left + 1, :2] = (158, 7 * left), (98, 7 * left)
    points[:, :2] += rng.normal(0, 1, (39, 2)) * noise
    mask = np.zeros((128, 128), np.float32)
    mask[20:100, 40:90] = 1
    return Pass(points, 0.9, mask, points[:, :3] / 100 - 1.28)


def test_the_mirror_twice_is_nothing():
    one = standing(noise=3)
    twice = mirrored(mirrored(one))
    for name in ("points", "mask", "world"):
        np.testing.assert_allclose(getattr(twice, name), getattr(one, name), atol=1e-4)
    assert mirrored(one).points[11, 0] == pytest.approx(256 - one.points[12, 0]) and mirrored(one).points[
        33, 0
    ] == pytest.approx(256 - one.points[33, 0])


def test_the_mean_is_of_points_that_mean_the_same():
    one, other = standing(), standing(noise=4, seed=1)
    turned = replace(other, points=other.points[ORDER], world=other.world[ORDER])
    assert agree(one, other) and not agree(one, turned)
    for second in (other, turned):
        found = mean([one, replace(second, mask=np.zeros_like(second.mask))])
        np.testing.assert_allclose(found.points, (one.points + other.points) / 2, atol=1e-4)
        np.testing.assert_allclose(found.world, (one.world + other.world) / 2, atol=1e-4)
        assert found.mask.max() == 0.5 and found.points.dtype == found.mask.dtype == np.float32


def test_the_larger_network_is_believed_where_sides_differ():
    one = standing()
    turned = replace(one, points=one.points[ORDER], world=one.world[ORDER])
    finder = BlazePoseFinder(MODELS / "blazepose", heavy=True, mirror=True)
    np.testing.assert_allclose(finder._mean(turned, [one, one]).points, one.points, atol=1e-4)


@pytest.mark.parametrize("heavy, mirror", [(False, True), (True, True)])
def test_whether_somebody_was_expected_changes_nothing_of_who_is_there(pictures, heavy, mirror):
    finder = BlazePoseFinder(MODELS / "blazepose", heavy=heavy, mirror=mirror)
    assert finder.find(pictures[0]) is not None
    one, other = (finder.observe(pictures[1], finder._roi, expected=expected) for expected in (False, True))
    np.testing.assert_array_equal(one.landmarks, other.landmarks)
    np.testing.assert_array_equal(one.mask, other.mask)
    nobody = np.zeros_like(pictures[0])
    assert all(finder.observe(nobody, finder._roi, expected=e).presence < 0.5 for e in (False, True))


@pytest.fixture(scope="module")
def pictures():
    with VideoSource(DEMO) as source:
        return [frame.picture for frame, _ in zip(source, range(4), strict=False)]


def test_every_quality_says_much_the_same_and_keeps_the_maps(pictures):
    picture, said = pictures[0], {}
    for heavy in (False, True):
        for mirror in (False, True):
            said[heavy, mirror] = BlazePoseFinder(MODELS / "blazepose", heavy=heavy, mirror=mirror).find(picture)
    plain = said[False, False]
    height = np.ptp(plain.landmarks[:, 1])
    for person in said.values():
        assert np.linalg.norm(person.landmarks[11:, :2] - plain.landmarks[11:, :2], axis=1).mean() < 0.03 * height
        assert np.linalg.norm(person.world - plain.world, axis=1).mean() < 0.12 and person.mask.shape == (128, 128)
        assert ((person.mask > 0.5) != (plain.mask > 0.5)).mean() < 0.02
    assert np.abs(said[True, False].landmarks - plain.landmarks).max() > 0.1


def test_what_is_seen_in_the_mirror_is_said_in_the_mirror(pictures):
    """The mean with the mirror image is the same for the mirrored picture, but for the region, which starts from the
    detector.
    """
    finder = BlazePoseFinder(MODELS / "blazepose", mirror=True)
    roi = finder.detect(pictures[0], whole := _whole(pictures[0]))[0].roi
    seen = finder.observe(pictures[0], roi)
    width = pictures[0].shape[1]
    other = finder.observe(
        np.ascontiguousarray(pictures[0][:, ::-1]),
        replace(roi, centre_x=width - 1 - roi.centre_x, rotation=-roi.rotation),
    )
    back = other.landmarks[ORDER]
    back[:, 0] = width - 1 - back[:, 0]
    assert whole.size == max(pictures[0].shape) and np.abs(back[:33, :2] - seen.landmarks[:33, :2]).max() < 1.5
    assert np.abs(other.mask[:, ::-1] - seen.mask).mean() < 0.01


def _whole(picture):
    from lvd_live.person import roi_of_picture

    return roi_of_picture(*picture.shape[:2])


def test_qualities_are_told_and_missing_files_are(tmp_path):
    assert resolve("auto", live=True) == "live" and resolve("auto", live=False) == "best"
    assert resolve("live", live=False) == "live"
    assert "heavy" not in describe(QUALITIES["live"].finder(MODELS / "blazepose"))
    assert describe(QUALITIES["best"].finder(MODELS / "blazepose"))["heavy"]
    for name in ("pose_detector.onnx", "pose_landmarks_full.onnx"):
        (tmp_path / name).write_bytes((MODELS / "blazepose" / name).read_bytes())
    assert QUALITIES["live"].finder(tmp_path).provider
    with pytest.raises(UserError, match="heavy.onnx is missing"):
        QUALITIES["best"].finder(tmp_path)
