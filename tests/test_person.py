"""Finding and following a person: regions, detector, and BlazePose on real pictures."""

import ctypes
import os
import shutil
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from lvd_live.errors import UserError
from lvd_live.person import BlazePoseFinder, MediaPipeFinder, Roi, affine, mask_box, roi_from_points, roi_of_picture
from lvd_live.person.blazepose import tiles_of_picture
from lvd_live.person.detector import decode, make_anchors
from lvd_live.person.onnx import has_gpu
from lvd_live.sources.images import read_picture

MODELS = Path(__file__).resolve().parents[1] / "models" / "blazepose"


@pytest.fixture(scope="module")
def models() -> Path:
    if not (MODELS / "pose_landmarks_full.onnx").is_file():
        pytest.skip("models/blazepose is not in this checkout")
    return MODELS


@pytest.fixture(scope="module")
def blazepose(models) -> BlazePoseFinder:
    return BlazePoseFinder(models)


@pytest.fixture
def finder(blazepose) -> BlazePoseFinder:
    blazepose.reset()
    return blazepose


def eval_picture(shared: Path, name: str) -> np.ndarray:
    picture = read_picture(shared / "eval" / "images" / name)
    if picture is None:
        pytest.skip(f"{name} is not in the evaluation data")
    return picture


@pytest.fixture(scope="module")
def standing(shared) -> np.ndarray:
    """(479, 157, 3): one standing person on white, cut close."""
    return eval_picture(shared, "SiTH__rgba_007.png")


def place(person: np.ndarray, height: int, x: int, y: int, canvas: np.ndarray) -> np.ndarray:
    """The canvas with the person, `height` pixels tall, at x, y; what reaches past the canvas is cut off."""
    scale = height / person.shape[0]
    small = cv2.resize(person, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    padded = np.full((canvas.shape[0] + 2000, canvas.shape[1] + 2000, 3), 255, np.uint8)
    padded[1000:-1000, 1000:-1000] = canvas
    padded[1000 + y : 1000 + y + small.shape[0], 1000 + x : 1000 + x + small.shape[1]] = small
    return np.ascontiguousarray(padded[1000:-1000, 1000:-1000])


def white(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 255, np.uint8)


def mask_in_picture(person, shape) -> np.ndarray:
    T_picture_from_mask = affine.invert(person.T_mask_from_picture)
    return cv2.warpAffine(person.mask, T_picture_from_mask, (shape[1], shape[0])) > 0.5


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / max((a | b).sum(), 1)


def middle_x(person) -> float:
    return float(person.landmarks[[11, 12, 23, 24], 0].mean())


def test_affine_maps_compose_and_invert():
    rng = np.random.default_rng(0)
    A, B = rng.normal(size=(2, 2, 3)).astype(np.float32)
    points = rng.uniform(-100, 100, (50, 2))
    assert np.abs(affine.apply(affine.compose(A, B), points) - affine.apply(A, affine.apply(B, points))).max() < 1e-3
    turn = Roi(50, 60, 130, 0.7).T_grid_from_picture(256)
    assert np.abs(affine.apply(affine.invert(turn), affine.apply(turn, points)) - points).max() < 1e-4


@pytest.mark.parametrize("rotation", [0.0, 0.4, -2.0, 3.1])
def test_region_transforms(rotation):
    roi = Roi(120.5, 80.25, 200.0, rotation)
    points = np.random.default_rng(1).uniform(0, 256, (50, 2))
    picture = affine.apply(roi.T_picture_from_grid(256), points)
    assert np.abs(affine.apply(roi.T_grid_from_picture(256), picture) - points).max() < 1e-4
    centre = affine.apply(roi.T_picture_from_grid(256), [[127.5, 127.5]])[0]
    assert np.abs(centre - (120.5, 80.25)).max() < 1e-4


@pytest.mark.parametrize("top", [(0.0, -30.0), (30.0, 0.0), (-20.0, 10.0), (0.1, 30.0)])
def test_a_region_turns_the_body_upright(top):
    roi = roi_from_points(np.array([100.0, 90.0]), np.array([100.0, 90.0]) + top)
    grid = affine.apply(roi.T_grid_from_picture(256), [(100 + top[0], 90 + top[1])])[0]
    assert abs(grid[0] - 127.5) < 1e-3 and grid[1] == pytest.approx(127.5 - 256 / 2.5, abs=1e-3)
    assert roi.size == pytest.approx(2.5 * np.hypot(*top))


def test_the_whole_picture_is_covered():
    roi = roi_of_picture(100, 200)
    corners = affine.apply(roi.T_grid_from_picture(224), [[-0.5, 49.5], [199.5, 49.5]])
    assert np.abs(corners[:, 0] - (-0.5, 223.5)).max() < 1e-3
    for height, width in ((720, 1280), (1280, 720), (480, 480)):
        seen = np.zeros((height, width), bool)
        for tile in (t for t in tiles_of_picture(height, width) if t.size < max(height, width) / 3):
            x, y, half = tile.centre_x + 0.5, tile.centre_y + 0.5, tile.size / 2
            seen[max(0, round(y - half)) : round(y + half), max(0, round(x - half)) : round(x + half)] = True
        assert seen.all()


def test_overlapping_detections_are_averaged_by_their_scores():
    anchors = make_anchors()
    assert anchors.shape == (2254, 2) and anchors[0].tolist() == pytest.approx([4 / 224] * 2) and anchors.max() < 1
    boxes, scores = np.zeros((2254, 12), np.float32), np.full(2254, -1000, np.float32)
    for i, (x, logit) in {0: (50, 2.0), 1: (54, 2.0), 2: (180, 0.5)}.items():
        boxes[i] = (x, 40, 30, 30, x, 60, x, 20, 0, 0, 0, 0)
        boxes[i, [0, 4, 6]] -= anchors[i, 0] * 224
        scores[i] = logit
    first, second = decode(boxes, scores, anchors, roi_of_picture(224, 224))
    assert first.box[[0, 2]] == pytest.approx([52 - 15 - 0.5, 52 + 15 - 0.5], abs=1e-3) and first.points[
        0, 0
    ] == pytest.approx(51.5, abs=1e-3)
    assert second.box[0] == pytest.approx(164.5, abs=1e-3) and first.score > second.score


@pytest.mark.parametrize("name", ["LVD__images_img2.jpeg", "LVD__images_img3.jpeg", "LVD__images_img5.jpeg"])
def test_the_mask_fits_a_known_one(finder, shared, name):
    picture = eval_picture(shared, f"{name}_img.png")
    known = eval_picture(shared, f"{name}_mask.png")[:, :, 0] > 127
    person = finder.find(picture)
    assert person.is_new and person.score > 0.9 and person.mask.shape == (128, 128) and person.mask.dtype == np.float32
    assert iou(mask_in_picture(person, picture.shape), known) > 0.94


def test_landmarks_and_world_axes(finder, shared):
    front = finder.find(eval_picture(shared, "octopus__frames_0000.png"))
    finder.reset()
    back = finder.find(eval_picture(shared, "octopus__frames_0004.png"))
    for person in (front, back):
        assert person.landmarks.shape == person.world.shape == (33, 3)
        assert person.world[0, 1] < -0.4 and person.world[27, 1] > 0.5  # y down
        assert person.landmarks[0, 1] < person.landmarks[23, 1] < person.landmarks[27, 1]
        hips = person.world[[23, 24]].mean(0)
        assert np.abs(hips).max() < 0.05
    assert front.world[0, 2] < -0.1 < 0.1 < back.world[0, 2]  # z away from the camera: the nose points at it, or away
    assert front.world[11, 0] > 0 > back.world[11, 0]  # x right in the picture: the left shoulder


def test_a_turned_picture_gives_the_turned_person(finder, shared):
    picture = eval_picture(shared, "SiTH__images_005.png")
    roi = finder.detect(picture, roi_of_picture(*picture.shape[:2]))[0].roi
    upright = finder.observe(picture, roi)
    turned = np.ascontiguousarray(np.rot90(picture, -1))  # a quarter turn clockwise: (x, y) -> (H - 1 - y, x)
    last = picture.shape[0] - 1
    seen = finder.observe(turned, Roi(last - roi.centre_y, roi.centre_x, roi.size, roi.rotation + np.pi / 2))
    expected = np.stack([last - upright.landmarks[:33, 1], upright.landmarks[:33, 0]], -1)
    assert np.abs(seen.landmarks[:33, :2] - expected).max() < 2
    assert np.abs(seen.world[:33, :2] - np.stack([-upright.world[:33, 1], upright.world[:33, 0]], -1)).max() < 0.02
    assert np.abs(seen.mask - upright.mask).mean() < 0.01


def test_the_mask_ends_at_the_pictures_edge(finder, shared):
    picture = eval_picture(shared, "PIXIE__body_photo-of-woman-holding-mobile-phone-3762372.jpg")
    person = finder.find(picture)
    x0, y0, x1, y1 = mask_box(person.mask, person.T_mask_from_picture)
    step = 1 / np.sqrt(np.linalg.det(person.T_mask_from_picture[:, :2]))
    assert y1 <= picture.shape[0] + step and y1 > picture.shape[0] - 3 * step
    assert person.landmarks[27, 1] > picture.shape[0] > person.landmarks[11, 1]


def test_following_needs_no_detector(finder, standing, monkeypatch):
    searches = []
    detect = finder.detect
    monkeypatch.setattr(finder, "detect", lambda *arguments: searches.append(1) or detect(*arguments))
    for step in range(8):
        person = finder.find(place(standing, 300, 100 + 15 * step, 60, white(420, 640)))
        assert person.is_new == (step == 0)
        assert middle_x(person) == pytest.approx(149 + 15 * step, abs=12)
    assert len(searches) == 1


def test_a_jump_is_told_as_a_new_person(finder, standing):
    assert finder.find(place(standing, 300, 200, 60, white(420, 900))).is_new
    assert not finder.find(place(standing, 300, 220, 60, white(420, 900))).is_new
    assert finder.find(place(standing, 300, 400, 60, white(420, 900))).is_new
    assert not finder.find(place(standing, 300, 410, 60, white(420, 900))).is_new


@pytest.mark.parametrize(("height", "width"), [(720, 1280), (1280, 720)])
def test_a_small_person_is_found_by_zooming(finder, standing, height, width):
    tall = round(0.2 * 720)
    person = finder.find(place(standing, tall, width - 200, height - tall - 40, white(height, width)))
    assert person is not None and person.is_new
    assert middle_x(person) == pytest.approx(width - 200 + tall * 157 / 479 / 2, abs=0.1 * tall)


def test_a_person_who_leaves_and_comes_back(finder, standing):
    there, empty = place(standing, 300, 200, 60, white(420, 640)), white(420, 640)
    assert finder.find(there).is_new and not finder.find(there).is_new
    assert finder.find(empty) is None and finder.find(empty) is None
    assert finder.find(there).is_new and not finder.find(there).is_new
    finder.reset()
    assert finder.find(there).is_new


def test_an_empty_room_stays_empty(finder, shared):
    """Zoomed edges of a real room resemble giants: the detector says yes, the search must not."""
    room = eval_picture(shared, "PIXIE__body_IMG_1331_frame18120.jpg")[:, 700:]
    for picture in (room, room[:, ::-1], cv2.resize(room, (1280, 720))):
        finder.reset()
        assert finder.find(np.ascontiguousarray(picture)) is None


def test_of_two_people_the_one_followed_is_kept(finder, standing):
    alone = place(standing, 300, 60, 60, white(420, 640))
    finder.find(alone)
    for step in range(6):
        both = place(standing, 360, 400 - 10 * step, 40, place(standing, 300, 60 + 5 * step, 60, white(420, 640)))
        person = finder.find(both)
        assert not person.is_new and middle_x(person) == pytest.approx(109 + 5 * step, abs=15)


def test_large_pictures_are_neither_slow_nor_wrong(finder, standing):
    picture = cv2.resize(place(standing, 300, 200, 30, white(360, 640)), (7680, 4320), interpolation=cv2.INTER_LINEAR)
    person = finder.find(picture)
    assert middle_x(person) == pytest.approx((200 + 49) * 12, abs=150)
    start = time.perf_counter()
    finder.find(picture)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (3, 2), (63, 64)])
def test_pictures_without_room_for_a_person(finder, shape):
    assert finder.find(np.zeros((*shape, 3), np.uint8)) is None


def test_a_picture_of_another_kind_is_refused(finder):
    for wrong in (np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3), np.float32), np.zeros((0, 9, 3), np.uint8)):
        with pytest.raises(ValueError, match="picture must be"):
            finder.find(wrong)


def test_missing_and_damaged_networks_are_told_in_a_sentence(models, tmp_path, capfd):
    with pytest.raises(UserError, match="is missing"):
        BlazePoseFinder(tmp_path)
    shutil.copy(models / "pose_detector.onnx", tmp_path)
    whole = (models / "pose_landmarks_full.onnx").read_bytes()
    for damaged in (b"", b"version https://git-lfs.github.com/spec/v1\n", whole[: len(whole) // 2]):
        (tmp_path / "pose_landmarks_full.onnx").write_bytes(damaged)
        with pytest.raises(UserError, match="is damaged"):
            BlazePoseFinder(tmp_path)
    assert capfd.readouterr().err == ""


def test_the_provider_is_told_and_nothing_is_printed(models, capfd):
    finder = BlazePoseFinder(models)
    assert finder.provider in ("cpu", "cuda")
    if finder.provider == "cpu":
        with pytest.raises(UserError, match="CUDA"):
            BlazePoseFinder(models, providers="cuda")
    assert capfd.readouterr().err == ""


class Driver:
    """NVIDIA's, for so many GPUs; failed : what its functions return."""

    def __init__(self, gpus: int, failed: int = 0):
        self.gpus, self.failed = gpus, failed

    def cuInit(self, flags):
        return self.failed

    def cuDeviceGetCount(self, count):
        count._obj.value = self.gpus
        return 0


@pytest.mark.parametrize(
    ("driver", "there"),
    [
        (Driver(1), True),
        (Driver(0), False),
        (Driver(1, failed=100), False),
        (object(), False),
        (OSError("none"), False),
    ],
)
def test_a_gpu_is_what_the_driver_counts(driver, there, monkeypatch):
    def load(name):
        if isinstance(driver, OSError):
            raise driver
        return driver

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert has_gpu() is there


def test_mediapipe_that_is_not_there(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="download"):
        MediaPipeFinder(tmp_path / "absent.task")
    (tmp_path / "some.task").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(UserError, match="pip install mediapipe"):
        MediaPipeFinder(tmp_path / "some.task")


def test_parity_with_mediapipe(finder, shared):
    """Opt-in, because mediapipe looks up a Google host: set LVD_LIVE_POSE_TASK to a pose_landmarker_full.task."""
    pytest.importorskip("mediapipe")
    task = os.environ.get("LVD_LIVE_POSE_TASK")
    if not task:
        pytest.skip("LVD_LIVE_POSE_TASK does not name a pose_landmarker_full.task")
    names = [
        "ECON__cloth_26d2e846349647ff04c536816e0e8ca1.jpg",
        "SiTH__images_005.png",
        "octopus__frames_0000.png",
        "SiTH__rgba_007.png",
    ]
    oracle = MediaPipeFinder(task)
    for name in names:
        picture = eval_picture(shared, name)
        finder.reset()
        oracle.reset()
        ours, theirs = finder.find(picture), oracle.find(picture)
        assert iou(mask_in_picture(ours, picture.shape), mask_in_picture(theirs, picture.shape)) > 0.93
        distances = np.linalg.norm(ours.landmarks[:, :2] - theirs.landmarks[:, :2], axis=1)
        assert np.median(distances) < 0.01 * max(picture.shape)
    oracle.close()
