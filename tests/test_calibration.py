"""Calibrating a person who stands straight: scale and shape, kept with the name."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QDialog

from lvd_live.body.fit import BodyFitter
from lvd_live.body.model import BodyModel
from lvd_live.errors import UserError
from lvd_live.export import ExportOptions
from lvd_live.export.motion import BodyMotion
from lvd_live.export.take import Take
from lvd_live.gui.app import application
from lvd_live.gui.calibrate_dialog import CalibrateDialog
from lvd_live.gui.inputs import Input
from lvd_live.gui.people import NOBODY, Calibrator
from lvd_live.gui.window import MainWindow
from lvd_live.paths import MODELS
from lvd_live.person import guidance
from lvd_live.session.reader import open_session
from lvd_live.session.sequence import SequenceWriter, load_sequence
from lvd_live.sources.frame import Frame
from lvd_live.tracking.calibration import Calibration
from lvd_live.tracking.camera import Camera as Camera_
from lvd_live.tracking.field_of_view import field_of_view
from lvd_live.tracking.options import FOV_RANGE, TrackerOptions
from lvd_live.tracking.standing import ARMS_DOWN, STAND_STILL, STAND_STRAIGHT, Standing, calibrate, posture
from tests.fakes import RUNTIME, FakeFinder, FakeTracker, fake_fit
from tests.mjpeg import Camera
from tests.test_gui_remote import raised, standing

SOON_MS = 20_000
INTRINSICS = Camera_.of_picture(640, 480, 50).intrinsics
PICTURE = np.full((480, 640, 3), 120, np.uint8)
WORLD = np.zeros((33, 3), np.float32)  # upright: metres, y down
for _pair, _y in (([0], -0.75), ([11, 12], -0.5), ([23, 24], 0.0), ([25, 26], 0.4), ([27, 28], 0.8)):
    WORLD[_pair, 1] = _y


def person(landmarks=None, world=WORLD):
    from tests.fakes import fake_person

    return replace(fake_person(standing() if landmarks is None else landmarks), world=world)


def mesh_of(body, betas, size=1.0):
    """A body that stands four metres away, in the camera's frame, as a tracker would place it."""
    rest = BodyFitter(body).rest(np.array(betas, np.float32)) * size
    return (rest * np.array([1, -1, -1]) + np.array([0, 0, 4.0])).astype(np.float32)


def fits(vertices, count=70):
    return [fake_fit(vertices, np.eye(3), index=i, time_ns=round(i * 1e9 / 30)) for i in range(count)]


def stand(frames):
    now = Standing()
    for index, (who, fit) in enumerate(frames):
        now(Frame(PICTURE, index, round(index * 1e9 / 30)), who, fit)
    return now


def test_two_seconds_of_standing_straight_are_wanted(body):
    made = fits(mesh_of(body, np.zeros(10)))
    assert stand([(person(), fit) for fit in made[:55]]).progress < 1
    assert stand([(person(), fit) for fit in made]).progress == 1
    bent = WORLD.copy()
    bent[[25, 26]] += [0, -0.1, -0.3]
    broken = [(person(), fit) for fit in made[:50]] + [(person(world=bent), made[50])]
    assert stand(broken).advice == STAND_STRAIGHT and stand(broken).progress == 0
    walk = [(person(standing(x=250.0 + 4 * i)), fit) for i, fit in enumerate(made)]  # half a metre a second
    progress = [stand(walk[:n]).progress for n in range(1, 71)]
    assert max(progress) < 0.3 and STAND_STILL in {stand(walk[:n]).advice for n in range(1, 71)}
    jitter = [(person(standing(x=320.0 + 12 * (i % 2))), fit) for i, fit in enumerate(made)]  # of the finder
    assert stand(jitter).progress == 1
    assert stand([(person(raised(standing())), made[0])]).advice == ARMS_DOWN
    assert stand([(person(standing(height=700.0)), made[0])]).advice == guidance.NO_FEET
    assert stand([(None, None)]).advice == guidance.NOBODY


def leaning(degrees, rows=slice(None)):
    """WORLD turned about the hips, forward."""
    world, (c, s) = WORLD.copy(), (np.cos(np.radians(degrees)), np.sin(np.radians(degrees)))
    world[rows, 1], world[rows, 2] = c * WORLD[rows, 1], s * WORLD[rows, 1]
    return world


@pytest.mark.parametrize("degrees", [-30, 25, 35])
def test_a_camera_that_looks_down_sees_somebody_straight_who_seems_to_lean(degrees):
    assert posture(person(world=leaning(degrees))) == ""


def test_who_lies_or_bends_or_sits_does_not_stand_straight():
    sitting = WORLD.copy()
    sitting[[25, 26]], sitting[[27, 28]] = [0, 0, -0.4], [0, 0.4, -0.4]
    for world in (leaning(80), leaning(45, slice(0, 23)), sitting):
        assert posture(person(world=world)) == STAND_STRAIGHT


@pytest.mark.parametrize("height", [1.55, 1.80])
def test_the_person_is_as_tall_as_they_are_afterwards(body, height):
    betas = np.array([1.0, -0.8, 0.5] + [0.0] * (BodyFitter(body).n_betas - 3))
    tall = float(np.ptp(BodyFitter(body).rest(betas.astype(np.float32))[:, 1]))
    vertices = mesh_of(body, betas, 1.06 * height / tall)  # 6 % too large, as the tracker makes this person
    found = calibrate(fits(vertices), body, height, TrackerOptions(height=height))
    assert found.height == height and abs(found.scale - 1 / 1.06) < 0.01
    again = calibrate(fits(mesh_of(body, betas, height / tall)), body, height, TrackerOptions(height=height))
    assert abs(again.scale - 1) < 0.01  # nothing is left to be changed
    stature = float(np.ptp(BodyFitter(body).rest(np.array(found.betas, np.float32))[:, 1]))
    assert abs(stature - height) < 0.01


def test_a_mesh_of_somebody_elses_height_is_refused(body):
    with pytest.raises(UserError, match="nobody who is 2.40 m tall"):
        calibrate(fits(mesh_of(body, np.zeros(10))), body, 2.4, TrackerOptions(height=2.4))


def test_the_tracker_makes_the_mesh_larger(body):
    from lvd_live.lift.finder import make_finder
    from lvd_live.paths import DEMO
    from lvd_live.sources import VideoSource
    from lvd_live.tracking.tracker import Tracker

    with VideoSource(DEMO) as source:
        frame = next(iter(source))
    who, tracker = make_finder().find(frame.picture), Tracker.load(TrackerOptions(height=1.7))
    before = tracker.start(frame, who)
    tracker.change(scale=1.1)
    after = tracker.start(frame, who)
    assert np.ptp(after.vertices[:, 1]) / np.ptp(before.vertices[:, 1]) == pytest.approx(1.1, abs=1e-3)
    assert TrackerOptions.from_json(TrackerOptions(scale=1.1).to_json()).scale == 1.1
    with pytest.raises(ValueError, match="scale"):
        TrackerOptions(scale=3.0)


@pytest.mark.parametrize("values", [None, 3, {}, {"height": 1.8, "scale": 9, "betas": []}, {"height": 1.8, "scale": 1}])
def test_what_is_no_calibration_is_passed_over(values):
    assert Calibration.from_json(values) is None
    known = Calibration(1.8, 1.02, (0.5, -1.0))
    assert Calibration.from_json(json.loads(json.dumps(known.to_json()))) == known
    assert Calibration.from_json(known.to_json() | {"betas": [float("nan")]}) is None


def test_a_calibrated_take_is_exported_with_that_shape(body, tmp_path):
    fitter = BodyFitter(body)
    betas = np.array([0.7] + [0.0] * (fitter.n_betas - 1))
    known = Calibration(1.7, 1.0, tuple(betas)).to_json()
    path = tmp_path / "walk.npz"
    writer = SequenceWriter(path, body.faces.numpy(), len(mesh_of(body, betas)), {"calibration": known}, 30.0)
    for index in range(3):
        vertices = mesh_of(body, np.zeros(fitter.n_betas))
        size = {"image_size": (64, 48), "intrinsics": np.eye(3)}
        writer.append(timestamp_ns=index * 10**7, frame_index=index, vertices=vertices, **size)
    writer.close()
    motion = BodyMotion(Take(load_sequence(path), "walk"), ExportOptions())
    np.testing.assert_allclose(motion.fitted.betas, betas, atol=1e-6)


class Finder(FakeFinder):
    def find(self, picture):
        return person()


class Tracker(FakeTracker):
    """Fits somebody 5 % too large who stands still."""

    runtime, shown_body = RUNTIME, BodyModel.load(MODELS / "body" / "lvd_body.npz")
    faces, joint_regressor = shown_body.faces.numpy().astype(np.int32), shown_body.J_regressor.numpy()
    vertices = mesh_of(shown_body, np.zeros(10), 1.05 * 1.7 / float(np.ptp(shown_body.v_template.numpy()[:, 1])))

    def describe(self):
        return self.options.to_json()

    def step(self, frame, who):
        fit = fake_fit(self.vertices, INTRINSICS, index=frame.index, time_ns=frame.timestamp_ns)
        return replace(fit, landmarks_3d=np.tile(np.float32([0.2, 0.0, 4.0]), (33, 1)))


def test_in_the_window_a_person_is_calibrated_once_and_known_by_name(qtbot, tmp_path, monkeypatch):
    application()
    torch.set_num_threads(1)
    camera, settings = Camera([PICTURE], fps=15), QSettings(str(tmp_path / "s.ini"), QSettings.Format.IniFormat)

    def agree(dialog):
        dialog.box.setEditText(" Anna ")
        dialog.distance_box.setValue(4.4)
        return QDialog.DialogCode.Accepted

    monkeypatch.setattr(CalibrateDialog, "exec", agree)

    def open_window():
        window = MainWindow(Finder, lambda _: Tracker(), settings=settings, recordings=tmp_path / "recordings")
        qtbot.addWidget(window)
        window.page.controls.measure.setChecked(False)
        window.show()
        window.open(Input("camera", camera.url))
        qtbot.waitUntil(lambda: window.page.view is not None, timeout=SOON_MS)
        return window

    window = open_window()
    controls = window.page.controls
    controls.person.button.click()
    assert "Type the person's height first" in window.statusBar().currentMessage()
    controls.height_m.setValue(1.7)
    controls.person.button.click()
    qtbot.waitUntil(lambda: window.page.picture.advice.startswith("Stand still"), timeout=SOON_MS)
    qtbot.waitUntil(lambda: controls.person.name == "Anna", timeout=SOON_MS)
    scale = controls.person.chosen.scale
    assert abs(scale - 1 / 1.05) < 0.01
    qtbot.waitUntil(lambda: window.tracking.tracker.options.scale == scale, timeout=SOON_MS)
    fov = window.tracking.tracker.options.fov_degrees  # 4.4 m away is farther than it was taken for: a longer lens
    assert fov == controls.fov.value() and fov == pytest.approx(44.0, abs=0.1)
    window.actions_by_name["record"].trigger()
    qtbot.waitUntil(lambda: window.tracking.recording.recorder.frames > 5, timeout=SOON_MS)
    assert not controls.person.isEnabled()
    window.actions_by_name["record"].trigger()
    qtbot.waitUntil(lambda: window.page.picture.card.isVisible(), timeout=SOON_MS)
    assert open_session(window.page.picture.card.taken.path).meta["calibration"]["name"] == "Anna"
    controls.height_m.setValue(1.9)
    assert controls.person.name == "" and window.tracking.tracker.options.scale == 1.0
    window.close()

    window = open_window()
    box = window.page.controls.person.box
    assert [box.itemText(i) for i in range(box.count())] == [NOBODY, "Anna"] and box.currentIndex() == 0
    box.setCurrentIndex(1)
    box.activated.emit(1)
    assert window.page.controls.height_field.metres == 1.7 and window.page.controls.height_field.confirmed
    assert window.tracking.tracker.options.scale == scale
    window.actions_by_name["reset"].trigger()  # somebody else
    assert window.page.controls.person.name == "" and window.tracking.tracker.options.scale == 1.0
    window.close()
    camera.close()


def test_a_calibration_ends_where_something_else_is_opened(qtbot):
    tracking = SimpleNamespace(watchers=[], tracker=Tracker(), input=Input("camera", "0"), pipeline=None)
    calibrator = Calibrator(tracking)
    calibrator.start("Anna", 1.7)
    tracking.input = Input("video", "somebody.mp4")
    with qtbot.waitSignal(calibrator.advised, timeout=SOON_MS):
        tracking.watchers[0](None)
    assert not calibrator.running


@pytest.mark.parametrize("true", [25, 50, 80])
@pytest.mark.parametrize("assumed", [35, 50])
@pytest.mark.parametrize("place", [(0, 0, 3.0), (0.7, 0.4, 2.2)])
def test_a_measured_distance_gives_the_field_of_view(true, assumed, place):
    """Somebody is seen by one camera and taken to be seen by another: as far away as their size says."""
    seen, taken = (Camera_.of_picture(640, 360, fov) for fov in (true, assumed))
    x, y, z = np.array(place)
    k = taken.focal / seen.focal
    size = 1.1  # as of a mesh that the calibration finds a tenth too large
    landmarks = np.tile(np.float32([x * size, y * size, z * k * size]), (33, 1))
    fits = [replace(fake_fit(np.zeros((1, 3), np.float32), taken.intrinsics), landmarks_3d=landmarks)] * 3
    options, known = TrackerOptions(fov_degrees=assumed, scale=1.05), Calibration(1.7, 1.05 / size, ())
    assert field_of_view(fits, known, float(np.linalg.norm(place)), options) == pytest.approx(true, abs=0.01)


def test_a_distance_that_nobody_can_be_at_is_refused():
    landmarks = np.tile(np.float32([1.0, 0.0, 2.0]), (33, 1))
    fits = [replace(fake_fit(np.zeros((1, 3), np.float32), INTRINSICS), landmarks_3d=landmarks)]
    with pytest.raises(UserError, match="check distance and height"):
        field_of_view(fits, Calibration(1.7, 1.0, ()), 0.9, TrackerOptions())


def test_the_field_of_view_is_remembered_for_its_camera(tmp_path):
    application()
    settings = QSettings(str(tmp_path / "s.ini"), QSettings.Format.IniFormat)

    def open_window(**given):
        window = MainWindow(FakeFinder, lambda _: FakeTracker(), settings=settings, recordings=tmp_path)
        window.page.controls.choose(given)
        return window

    window = open_window()
    window.page.controls.fov.keep(61.5, "0: Front")
    window.close()
    fov = open_window().page.controls.fov
    fov.use_of("1: Back")
    assert fov.value() < FOV_RANGE[0]  # as started
    fov.use_of("0: Front")
    assert fov.value() == 61.5
    given = open_window(fov_degrees=70.0).page.controls.fov
    given.use_of("0: Front")
    assert given.value() == 70.0
    settings.setValue("fields of view", '{"0: Front": "wide"}')
    assert open_window().page.controls.fov.by_camera == {}
