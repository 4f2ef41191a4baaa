"""The tracker's bookkeeping, with a network that always knows (or never learns) where the body is; and the shipped
weights on synthetic and real people."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lvd_live.errors import UserError
from lvd_live.lvd.descent import Descent
from lvd_live.lvd.presets import PRESETS
from lvd_live.paths import MODELS
from lvd_live.person.types import Person
from lvd_live.render import project
from lvd_live.sources import Frame
from lvd_live.tracking.camera import between_crops
from lvd_live.tracking.options import TrackerOptions
from lvd_live.tracking.solver import COLD_ITERATIONS, WARM_ITERATIONS
from lvd_live.tracking.tracker import Tracker

WEIGHTS = MODELS / "weights" / "live.safetensors"


class KnowingRuntime:
    """Descends halfway to a standing body in the middle of the crop, each iteration. `blind`: runs away instead."""

    size, device, provider = 64, torch.device("cpu"), "none"

    class network:
        preset, control = PRESETS["live"], torch.arange(6890)

    def __init__(self, body):
        v = body.v_template - body.v_template.mean(0)
        self.goal = (0.9 * v / v[:, 1].max())[None]
        self.starts, self.blind = [], False

    def encode(self, picture, mask, landmarks, maps):
        assert (
            picture.shape == (1, 64, 64, 3)
            and mask.shape == (1, 64, 64)
            and (landmarks is None or landmarks.shape == (1, 33, 4))
        )
        return object()

    def descend(self, prepared, start, *, iterations, tolerance=0.0, coarse=None):
        self.starts.append(start)
        v, steps = torch.zeros_like(self.goal) if start is None else start, []
        for _ in range(iterations):
            delta = (self.goal - v) / 2 if not (self.blind and start is not None) else torch.full_like(v, 0.3)
            v = v + delta
            steps.append(float(delta.norm(dim=-1).mean()))
            if steps[-1] < tolerance:
                break
        return Descent(v, tuple(steps))

    def dense(self, vertices):
        return vertices.numpy()


def person_at(centre, half, is_new=False):
    """A person who fills a box around `centre`, picture pixels."""
    mask = np.zeros((48, 64), np.float32)
    T = np.array([[0.1, 0, -0.45], [0, 0.1, -0.45]], np.float32)  # 640x480 -> 64x48
    x, y = np.array(centre) * 0.1 - 0.45
    mask[
        max(0, round(y - half * 0.08)) : round(y + half * 0.08), max(0, round(x - half * 0.03)) : round(x + half * 0.03)
    ] = 1
    rng = np.random.default_rng(0)
    landmarks = np.column_stack([centre + half * rng.uniform(-0.25, 0.25, (33, 2)), np.ones(33)]).astype(np.float32)
    return Person(mask, T, landmarks, rng.normal(0, 0.3, (33, 3)).astype(np.float32), 1.0, is_new)


def frame(index=0, size=(480, 640)):
    return Frame(np.full((*size, 3), 120, np.uint8), index, index * 33_000_000, "")


def knowing(body, **options):
    """A tracker that finds the person at once, without a silhouette fit."""
    return Tracker(KnowingRuntime(body), body, TrackerOptions(uncertainty=0, silhouette_fit=False, **options))


@pytest.fixture
def tracker(body):
    return knowing(body)


def test_first_frame_is_cold_the_next_warm(tracker):
    first = tracker.step(frame(0), person_at((320, 240), 180, is_new=True))
    second = tracker.step(frame(1), person_at((322, 240), 180))
    assert first.cold and first.iterations <= COLD_ITERATIONS and tracker.runtime.starts[0] is None
    assert not second.cold and second.iterations <= WARM_ITERATIONS and second.iterations < first.iterations
    assert (
        first.vertices.shape == (6890, 3) and first.vertices.dtype == np.float32 and first.vertex_std.shape == (6890,)
    )


def test_a_person_who_jumps_is_started_anew(tracker):
    tracker.step(frame(0), person_at((200, 240), 120, is_new=True))
    assert not tracker.step(frame(1), person_at((205, 240), 120)).jumped
    there = tracker.step(frame(2), person_at((420, 240), 120))
    assert there.jumped and there.cold and tracker.runtime.starts[-1] is None
    after = tracker.step(frame(3), person_at((422, 240), 120))
    assert not after.jumped and not after.cold
    later = tracker.step(frame(100), person_at((200, 240), 120))
    assert not later.jumped and not later.cold


def test_the_last_mesh_is_carried_into_the_new_crop(tracker):
    tracker.change(conditioning="maps")  # no landmarks
    first = tracker.step(frame(0), person_at((200, 240), 120, is_new=True))
    second = tracker.step(frame(30), person_at((420, 250), 170))
    assert second.crop != first.crop
    np.testing.assert_allclose(
        tracker.runtime.starts[1][0].numpy(), between_crops(first.crop_vertices, first.crop, second.crop), atol=1e-4
    )


def test_the_last_mesh_goes_along_with_the_landmarks(tracker):
    first = tracker.step(frame(0), person_at((280, 240), 120, is_new=True))
    second = tracker.step(frame(30), person_at((320, 250), 120))
    left_behind = between_crops(first.crop_vertices, first.crop, second.crop)
    moved = (tracker.runtime.starts[1][0].numpy() - left_behind) * second.crop.half
    np.testing.assert_allclose(moved, np.broadcast_to([40, -10, 0], moved.shape), atol=0.5)  # pixels, y up


def test_mesh_lies_on_the_person_in_the_picture(tracker):
    fit = tracker.step(frame(), person_at((260, 250), 150, is_new=True))
    pixels = project(fit.vertices, fit.intrinsics)
    np.testing.assert_allclose(pixels, fit.crop.to_picture(fit.crop_vertices[:, :2]), atol=0.05)
    assert abs(pixels[:, 0].mean() - 260) < 20 and fit.vertices[:, 2].min() > 0.5


def test_reset_new_person_and_start_are_cold(tracker):
    person, new = person_at((320, 240), 180), person_at((320, 240), 180, is_new=True)
    tracker.step(frame(0), new)
    assert not tracker.step(frame(1), person).cold
    assert tracker.step(frame(2), new).cold
    tracker.reset()
    assert tracker.step(frame(3), person).cold
    assert tracker.start(frame(4), person).cold


def test_a_fit_that_runs_away_starts_anew(tracker):
    tracker.step(frame(0), person_at((320, 240), 180, is_new=True))
    tracker.runtime.blind = True
    fit = tracker.step(frame(1), person_at((320, 240), 180))
    assert fit.cold and tracker.runtime.starts[-1] is None


def test_fixed_iterations_and_cold_starts(body):
    for iterations in (1, 3):
        t = knowing(body, iterations=iterations, warm=False)
        fits = [t.step(frame(i), person_at((320, 240), 180, is_new=i == 0)) for i in range(3)]
        assert [f.iterations for f in fits] == [iterations] * 3 and all(f.cold for f in fits)


def test_height_sets_the_scale(body):
    person = person_at((320, 240), 180, is_new=True)
    short, tall = (knowing(body, height=h, iterations=8).step(frame(), person) for h in (1.5, 1.95))
    np.testing.assert_allclose(tall.vertices / short.vertices, 1.95 / 1.5, rtol=1e-4)
    stature = np.ptp(tall.vertices[:, 1])
    assert stature == pytest.approx(
        1.95, abs=0.06
    )  # a standing body, to what perspective and the skeleton's length leave


def test_field_of_view_sets_the_distance(body):
    person = person_at((320, 240), 180, is_new=True)
    near, far = (knowing(body, fov_degrees=f).step(frame(), person).vertices[:, 2].mean() for f in (80, 30))
    assert far > 2 * near


def test_a_field_of_view_that_the_file_states_holds_unless_another_is_chosen(body):
    stated = replace(frame(), fov_degrees=69.4)
    width = stated.picture.shape[1]
    for options, degrees in (({}, 69.4), ({"fov_degrees": 30}, 30)):
        focal = knowing(body, **options).step(stated, person_at((320, 240), 180, is_new=True)).intrinsics[0, 0]
        assert np.degrees(2 * np.arctan(width / 2 / focal)) == pytest.approx(degrees)


def test_describe_is_json_and_complete(tracker):
    import json

    told = json.loads(json.dumps(tracker.describe(), allow_nan=False))
    assert {
        "preset",
        "weights",
        "provider",
        "fov_degrees",
        "height",
        "conditioning",
        "iterations",
        "warm",
    } <= told.keys()


def test_paper_preset_says_that_its_weights_are_missing():
    if (MODELS / "weights" / "paper.safetensors").exists():
        pytest.skip("weights of the paper preset are there")
    with pytest.raises(UserError, match="no weights"):
        Tracker.load(preset="paper")


def test_shipped_weights_track_the_demo_clip():
    """On the bundled clip of a real person: every frame tracked, the mesh on the person, warm fits cheap."""
    from lvd_live.evaluate.real import score
    from lvd_live.person import BlazePoseFinder

    result = score(
        MODELS.parent / "recordings" / "demo.mp4",
        BlazePoseFinder(MODELS / "blazepose"),
        Tracker.load(uncertainty=0),
        None,
        [],
    )
    assert result.tracked == result.frames > 30
    assert result.iou > 0.78 and result.joints < 0.04 and result.iterations < 2.8


def test_what_is_not_finite_is_no_fit(tracker):
    """NaN never leaves the tracker, and the next frame starts anew."""
    goal = tracker.runtime.goal
    tracker.runtime.goal = torch.full_like(goal, float("nan"))
    assert tracker.step(frame(0), person_at((320, 240), 180, is_new=True)) is None
    tracker.runtime.goal = goal
    assert tracker.step(frame(1), person_at((320, 240), 180)).cold


def test_a_mesh_that_never_settles_is_no_fit(tracker):
    tracker.runtime.goal = tracker.runtime.goal * 1000
    assert tracker.step(frame(0), person_at((320, 240), 180, is_new=True)) is None


def test_every_frame_says_the_uncertainty_of_all_vertices_from_that_of_a_few(body, monkeypatch):
    monkeypatch.setattr("lvd_live.tracking.doubt.CONTRADICTS", 0.0)  # the mask is a square

    class Spreading(KnowingRuntime):
        """Claims 0.01 half crops, then as much more per call."""

        asked = []

        def uncertainty(self, prepared, vertices, offsets, targets):
            assert offsets.shape == (4, vertices.shape[1], 3)
            self.asked.append(targets)
            return torch.full((1, len(targets)), 0.01 * len(self.asked))

    tracker = Tracker(Spreading(body), body, TrackerOptions(uncertainty=4, silhouette_fit=False))
    fits = [tracker.step(frame(i), person_at((320, 240), 180, is_new=i == 0)) for i in range(3)]
    few = tracker.coarse.targets
    assert 6890 / 20 < len(few) < 6890 / 12 and all(torch.equal(asked, few) for asked in Spreading.asked)
    half_crop = fits[0].vertices[:, 2].mean() * fits[0].crop.half / fits[0].intrinsics[0, 0]
    for i, fit in enumerate(fits, 1):
        assert fit.vertex_std == pytest.approx(0.01 * i * half_crop, rel=0.05)
    tracker.change(uncertainty=0)
    assert not tracker.step(frame(9), person_at((320, 240), 180)).vertex_std.any()


def test_what_is_left_out_comes_back(body, monkeypatch):
    """As under load, with the options as they are."""
    monkeypatch.setattr("lvd_live.tracking.doubt.CONTRADICTS", 0.0)
    asked, outlined = [], []

    class Spreading(KnowingRuntime):
        def uncertainty(self, prepared, vertices, offsets, targets):
            asked.append(len(targets))
            return torch.full((1, len(targets)), 0.01)

    def outline(self, vertices, mask, bounds):
        outlined.append(self._shifts is None)
        self._shifts = np.zeros((24, 3))
        return vertices

    monkeypatch.setattr("lvd_live.tracking.silhouette_fit.SilhouetteFit.__call__", outline)
    tracker = Tracker(Spreading(body), body, TrackerOptions(uncertainty=4))
    said = []
    for i, left_out in enumerate([(), ("uncertainty",), ("uncertainty", "outline"), ("uncertainty",), ()]):
        tracker.left_out = left_out
        said.append(bool(tracker.step(frame(i), person_at((320, 240), 180, is_new=i == 0)).vertex_std.any()))
    assert said == [True, False, False, False, True] and len(asked) == 2
    assert outlined == [True, False, True, False]  # without what it remembered
    assert tracker.options == TrackerOptions(uncertainty=4)


def test_where_the_outline_is_left_out_one_frame_in_four_is_compared_with_its_mask(body, monkeypatch):
    looked = []
    monkeypatch.setattr(
        "lvd_live.tracking.tracker.agreement", lambda *_: looked.append(1) or (0.1 if len(looked) == 2 else 1.0)
    )
    tracker = Tracker(KnowingRuntime(body), body, TrackerOptions(uncertainty=0, silhouette_fit=False))
    doubtful = [tracker.step(frame(i), person_at((320, 240), 180, is_new=i == 0)).doubtful for i in range(3)]
    assert doubtful == [False, True, False] and len(looked) == 3  # not left out: each one
    tracker.left_out, looked[:] = ("uncertainty", "outline"), []
    fits = [tracker.step(frame(i), person_at((320, 240), 180, is_new=i == 3)) for i in range(3, 15)]
    assert len(looked) == 3
    assert [fit.doubtful for fit in fits] == [False] * 4 + [True] * 4 + [False] * 4


def test_expected_error_follows_the_calibration(body):
    tracker = Tracker(KnowingRuntime(body), body, calibration={"std": [0.01, 0.03], "error": [0.02, 0.1]})
    np.testing.assert_allclose(
        tracker.expected_error(np.float32([0, 0.01, 0.02, 0.5])), [0.02, 0.02, 0.06, 0.1], rtol=1e-6
    )
    assert Tracker(KnowingRuntime(body), body).expected_error(np.zeros(3)) is None
