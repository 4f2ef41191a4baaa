"""The real window, driven: a loopback camera, every control, recording, replay, trouble, dropping, closing."""

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, QSettings, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMessageBox, QToolBar

import lvd_live.gui.app
import lvd_live.gui.inputs
import lvd_live.gui.window
from lvd_live.body.measure import Measurement
from lvd_live.body.model import BodyModel
from lvd_live.body.skeleton import BODY_PARTS
from lvd_live.cli import main_job
from lvd_live.errors import UserError
from lvd_live.gui.app import application
from lvd_live.gui.calibration import Calibration
from lvd_live.gui.height import GUESS, Attendance
from lvd_live.gui.inputs import Input, camera_names
from lvd_live.gui.job import JobDialog
from lvd_live.gui.language import use_language
from lvd_live.gui.loading import load
from lvd_live.gui.review import Review
from lvd_live.gui.shading import COLOURS, PART_COLOURS, Mesh, View, part_index
from lvd_live.gui.smoother import Smoother
from lvd_live.gui.status import measurement_table
from lvd_live.gui.window import MainWindow
from lvd_live.lift.finder import make_finder
from lvd_live.paths import DEMO, MODELS, ROOT
from lvd_live.session.library import list_sessions
from lvd_live.session.reader import open_session
from lvd_live.session.video import VideoWriter
from lvd_live.sources import VideoSource, devices
from lvd_live.tracking.options import TrackerOptions
from lvd_live.tracking.tracker import Tracker
from tests.fakes import FakeFinder, fake_fit
from tests.mjpeg import Camera

FIRST_MESH_MS, SOON_MS = 60_000, 15_000
STEPS = [(np.float32(0.1 * i), i * 33_000_000) for i in range(6)]  # where a mesh is, metres, and when
PIPELINE = {"capture", "find", "encode", "fit", "painter", "measurer", "camera", "recorder", "closer"}


@pytest.fixture(scope="module", autouse=True)
def app():
    return application()


@pytest.fixture(scope="module")
def pictures():
    """Every second picture of the demo clip, at half size."""
    with VideoSource(DEMO) as source:
        return [f.picture[::2, ::2] for f in source][::2]


@pytest.fixture
def camera(pictures):
    camera = Camera(pictures, fps=20)
    yield camera
    camera.close()


@pytest.fixture
def make_window(qtbot, tmp_path):
    settings = QSettings(str(tmp_path / "settings.ini"), QSettings.Format.IniFormat)
    settings.setValue("details", True)

    def make(make_finder=make_finder, make_tracker=Tracker.load):
        window = MainWindow(make_finder, make_tracker, settings=settings, recordings=tmp_path / "recordings")
        qtbot.addWidget(window)
        window.show()
        return window

    return make


@pytest.fixture
def window(make_window):
    return make_window()


def fitted(window):
    return window.page.view is not None and window.page.view.mesh is not None


def more(qtbot, window, count=2):
    """Wait until some more fits were shown."""
    seen = window.page.displayed
    qtbot.waitUntil(lambda: window.page.displayed > seen + count, timeout=SOON_MS)


def pipeline_threads():
    return [t.name for t in threading.enumerate() if t.name in PIPELINE]


def assert_closes(qtbot, window, seconds=2.0):
    began = time.monotonic()
    window.close()
    assert time.monotonic() - began < seconds


@pytest.mark.slow
def test_a_session_in_front_of_a_camera(qtbot, window, camera, tmp_path):
    controls, before = window.page.controls, len(pipeline_threads())
    window.open(Input("camera", camera.url))
    qtbot.waitUntil(
        lambda: window.page.picture.picture is not None, timeout=5000
    )  # the bare picture, while models load
    qtbot.waitUntil(lambda: fitted(window), timeout=FIRST_MESH_MS)
    assert window.page.view.of.fit.vertex_std.any()
    window.refresh()
    for fact in (
        "camera stream",
        "running",
        window.tracking.pipeline.tracker.runtime.provider,
        "preset live",
        "tracked",
        "iteration",
        "fits/s",
        "ms",
        "dropped",
        "×",
    ):
        assert fact in window.status.text()

    tracker = window.tracking.pipeline.tracker
    for control, option, value in (
        (controls.iterations, "iterations", 3),
        (controls.conditioning, "conditioning", "maps"),
    ):
        control.setCurrentIndex(control.findData(value))
        assert getattr(tracker.options, option) == value
    controls.warm.setChecked(False)
    controls.uncertainty.setChecked(False)
    controls.outline.setChecked(False)
    controls.height_m.setValue(1.8)
    chosen = tracker.options
    assert (chosen.warm, chosen.uncertainty, chosen.silhouette_fit, chosen.height) == (False, 0, False, 1.8)
    more(qtbot, window)
    assert window.page.view.of.fit.cold and window.page.view.of.fit.iterations == 3
    controls.warm.setChecked(True)

    for number, colour in enumerate(COLOURS):
        controls.colour.setCurrentIndex(number)
        more(qtbot, window, 1)
        assert window.tracking.painter.look.colour == colour
    for level in (1, 2, 0):
        controls.smoothing.setCurrentIndex(level)
        more(qtbot, window, 1)
    plain = window.page.view.picture
    controls.mirror.setChecked(True)
    controls.opacity.setValue(0)
    more(qtbot, window, 1)
    assert window.page.view.picture.shape == plain.shape
    window.activateWindow()  # nobody else does where there is no window manager
    QTest.qWaitForWindowActive(window)
    for key, box, part in (
        (Qt.Key.Key_D, controls.space, window.page.space),
        (Qt.Key.Key_P, controls.plots, window.page.plots),
    ):
        QTest.keyClick(window, key)
        assert not box.isChecked() and not part.isVisible()
        QTest.keyClick(window, key)
        assert part.isVisible()
    QTest.keyClick(window, Qt.Key.Key_C)
    assert controls.look.colour == COLOURS[0]

    window.actions_by_name["record"].trigger()
    assert window.tracking.recording.recorder is not None
    qtbot.waitUntil(lambda: window.tracking.recording.recorder.frames > 8, timeout=SOON_MS)
    window.actions_by_name["record"].trigger()
    assert window.tracking.recording.recorder is None
    sessions = tmp_path / "recordings"
    qtbot.waitUntil(lambda: [s.whole for s in list_sessions(sessions)] == [True], timeout=SOON_MS)
    assert list_sessions(sessions)[0].frames > 8
    qtbot.waitUntil(lambda: list_sessions(sessions)[0].unfitted == 0, timeout=FIRST_MESH_MS)  # in the background
    replay = Review(*load(list_sessions(sessions)[0].path))
    replay.show()
    qtbot.waitUntil(lambda: replay.shown is not None, timeout=SOON_MS)
    assert (
        replay.shown.mesh.vertices.shape == (6890, 3)
        and replay.reader.calibration.known
        and "expected error" in replay.transport.label.text()
    )
    replay.close()

    png = window.snapshot(tmp_path)
    assert png.stat().st_size > 10_000 and png.with_suffix(".obj").read_text().count("\nv ") == 6890

    window.actions_by_name["pause"].trigger()
    qtbot.wait(700)  # what is on its way still comes
    assert window.tracking.pipeline.paused
    seen, drawn = window.page.displayed, window.page.view
    controls.colour.setCurrentIndex(COLOURS.index("plain"))  # seen at once, though nothing new comes
    qtbot.waitUntil(lambda: window.page.view is not drawn, timeout=SOON_MS)
    assert (
        window.page.displayed == seen
        and window.page.view.of is drawn.of
        and not np.array_equal(window.page.view.mesh.colours, drawn.mesh.colours)
    )
    window.actions_by_name["step"].trigger()
    qtbot.waitUntil(lambda: window.page.displayed > seen, timeout=SOON_MS)
    qtbot.wait(300)
    assert window.page.displayed == seen + 1
    window.actions_by_name["reset"].trigger()
    window.actions_by_name["pause"].trigger()

    for trouble in ("stall", "close"):
        camera.mode = trouble
        qtbot.waitUntil(lambda: window.page.banner.isVisible(), timeout=SOON_MS)
        assert "camera" in window.page.banner.text().lower()
        if trouble == "close":
            break
        camera.mode = "run"
        qtbot.waitUntil(lambda: not window.page.banner.isVisible(), timeout=SOON_MS)
        more(qtbot, window)
    camera.mode = "run"  # it answers again
    qtbot.waitUntil(lambda: not window.page.banner.isVisible(), timeout=SOON_MS)
    more(qtbot, window)
    assert window.page.in_order

    assert_closes(qtbot, window)
    qtbot.waitUntil(lambda: len(pipeline_threads()) <= before, timeout=SOON_MS)  # none is left behind


def test_the_command_line_opens_the_window_and_a_mesh_is_seen(qtbot, camera, tmp_path, monkeypatch, capsys):
    """main.py --camera URL, all the way."""
    monkeypatch.setattr(lvd_live.gui.app, "has_display", lambda: True)
    monkeypatch.setattr(lvd_live.gui.window, "RECORDINGS", tmp_path / "recordings")
    monkeypatch.setattr(
        lvd_live.gui.window,
        "QSettings",
        lambda *names: QSettings(str(tmp_path / "settings.ini"), QSettings.Format.IniFormat),
    )
    monkeypatch.setattr(lvd_live.gui.app.signal, "signal", lambda *given: None)
    seen = {}
    close = MainWindow.closeEvent

    def look_before_closing(window, event):
        if fitted(window):
            seen["bare"], seen["drawn"] = window.page.view.of.frame.picture, window.page.view.picture
            seen["grabbed"] = window.page.picture.grab().toImage()
            seen["space"] = window.page.space.render_view(300, 300)
            seen["height"], seen["fit"] = window.tracking.pipeline.tracker.options.height, window.page.view.of.fit
        close(window, event)

    monkeypatch.setattr(MainWindow, "closeEvent", look_before_closing)
    assert (
        main_job.main(
            ["--camera", camera.url, "--benchmark", "1.5", "--height", "1.75", "--iterations", "2", "--record", "walk"]
        )
        == 0
    )
    changed = np.abs(seen["bare"].astype(int) - seen["drawn"]).max(-1) > 20
    assert 0.01 < changed.mean() < 0.5  # the mesh lies on a part of the picture
    assert len(np.unique(seen["space"].reshape(-1, 3), axis=0)) > 100
    colours = {
        seen["grabbed"].pixel(x, y)
        for x in range(0, seen["grabbed"].width(), 5)
        for y in range(0, seen["grabbed"].height(), 5)
    }
    assert len(colours) > 100
    assert seen["height"] == 1.75 and seen["fit"].iterations == 2
    assert [s.name for s in list_sessions(tmp_path / "recordings")] == ["walk"]
    printed = capsys.readouterr().out
    assert "displayed fits a second" in printed and "OUT OF ORDER" not in printed
    assert "threads left             none" in printed


def test_options_of_the_command_line_are_what_the_controls_show(window):
    before = TrackerOptions(fov_degrees=50)
    given = {"height": 1.75, "iterations": 2, "conditioning": "maps", "silhouette_fit": False}
    window.page.controls.choose(given)
    assert window.page.controls.applied_to(before) == replace(before, **given)
    window.page.controls.choose({})  # not given: as it is
    assert window.page.controls.applied_to(before).height == 1.75
    window.page.controls.choose({"fov_degrees": 72.0})
    assert window.page.controls.applied_to(before).fov_degrees == 72.0
    window.page.controls.fov.setValue(80.5)
    assert window.page.controls.applied_to(before).fov_degrees == 80.5
    window.page.controls.choose({"iterations": None, "conditioning": "all"})
    chosen = window.page.controls.applied_to(before)
    assert chosen.iterations is None and chosen.conditioning == "all"


def test_another_network_comes_without_another_source(qtbot, window, camera):
    window.open(Input("camera", camera.url))
    qtbot.waitUntil(lambda: fitted(window), timeout=FIRST_MESH_MS)
    pipeline, tracker = window.tracking.pipeline, window.tracking.pipeline.tracker
    began = time.monotonic()
    window.page.controls.preset_changed.emit()
    assert time.monotonic() - began < 0.1
    qtbot.waitUntil(lambda: pipeline.tracker is not tracker, timeout=SOON_MS)
    more(qtbot, window)
    assert window.tracking.pipeline is pipeline


def test_what_is_chosen_while_the_network_loads_counts(qtbot, make_window, camera):
    asked, loaded = threading.Event(), threading.Event()

    def load(options):
        tracker = Tracker.load(options)
        asked.set()
        loaded.wait(10)
        return tracker

    window = make_window(make_tracker=load)
    window.open(Input("camera", camera.url))
    qtbot.waitUntil(asked.is_set, timeout=FIRST_MESH_MS)
    window.page.controls.height_m.setValue(1.93)
    window.page.controls.warm.setChecked(False)
    loaded.set()
    qtbot.waitUntil(lambda: fitted(window), timeout=SOON_MS)
    qtbot.waitUntil(
        lambda: (
            (window.tracking.pipeline.tracker.options.height, window.tracking.pipeline.tracker.options.warm)
            == (1.93, False)
        ),
        timeout=SOON_MS,
    )


def test_a_recording_ends_where_the_options_change(qtbot, window, camera, tmp_path):
    window.open(Input("camera", camera.url))
    qtbot.waitUntil(lambda: fitted(window), timeout=FIRST_MESH_MS)
    window.actions_by_name["record"].trigger()
    qtbot.waitUntil(lambda: window.tracking.recording.recorder.frames > 4, timeout=SOON_MS)
    window.page.controls.opacity.setValue(20)  # how it looks is no option of the fit
    assert window.tracking.recording.recorder is not None
    window.page.controls.height_m.setValue(1.9)
    assert window.tracking.recording.recorder is None and not window.actions_by_name["record"].isChecked()
    qtbot.waitUntil(lambda: [s.whole for s in list_sessions(tmp_path / "recordings")] == [True], timeout=SOON_MS)
    assert open_session(list_sessions(tmp_path / "recordings")[0].path).meta["tracker"]["height"] is None


@pytest.mark.parametrize("warm", [True, False])
def test_smoothing_without_warm_starts(warm):
    """Then every fit is cold, and none begins the filter anew; with them, a cold fit does."""
    smooth, rng = Smoother(), np.random.default_rng(0)
    meshes = rng.normal(0, 0.01, (40, 50, 3)).astype(np.float32) + [0, 0, 3]
    fits = [fake_fit(mesh, np.eye(3), cold=True, time_ns=i * 33_000_000) for i, mesh in enumerate(meshes)]
    shown = np.stack([smooth(fit, "high", is_new=False, warm=warm) for fit in fits])
    ratio = np.diff(shown, axis=0).std() / np.diff(meshes, axis=0).std()
    assert ratio == pytest.approx(1) if warm else ratio < 0.5


def test_smoothing_begins_anew_with_another_person_or_level():
    smooth, fits = Smoother(), [fake_fit(np.full((5, 3), x), np.eye(3), cold=False, time_ns=t) for x, t in STEPS]
    smooth(fits[0], "high", is_new=True, warm=True)
    assert not np.array_equal(smooth(fits[1], "high", is_new=False, warm=True), fits[1].vertices)
    assert np.array_equal(smooth(fits[2], "high", is_new=True, warm=True), fits[2].vertices)
    assert np.array_equal(smooth(fits[3], "low", is_new=False, warm=True), fits[3].vertices)
    smooth.reset()
    assert np.array_equal(smooth(fits[4], "low", is_new=False, warm=True), fits[4].vertices)
    assert smooth(fits[5], "off", is_new=False, warm=True) is fits[5].vertices


def test_no_camera_says_so_and_the_demo_still_plays(qtbot, window):
    assert Input("camera", "rtsp://me:secret@there/1").title == "camera stream"
    window.open(Input("camera", "97"))
    qtbot.waitUntil(lambda: window.page.banner.isVisible(), timeout=SOON_MS)
    assert "No camera 97" in window.page.banner.text()
    qtbot.waitUntil(lambda: "retrying" in window.status.text(), timeout=SOON_MS)  # it is not given up
    qtbot.waitUntil(lambda: window.tracking.pipeline.tracker is not None, timeout=FIRST_MESH_MS)
    window.actions_by_name["record"].trigger()
    assert window.tracking.recording.recorder is None and not window.actions_by_name["record"].isChecked()
    window.actions_by_name["demo"].trigger()
    qtbot.waitUntil(lambda: fitted(window), timeout=FIRST_MESH_MS)
    window.refresh()
    assert not window.page.banner.isVisible()


def drop(window, *urls):
    data = QMimeData()
    data.setUrls(urls)
    at, buttons = QPointF(QPoint(50, 50)), Qt.MouseButton.LeftButton
    window.dropEvent(QDropEvent(at, Qt.DropAction.CopyAction, data, buttons, Qt.KeyboardModifier.NoModifier))


def drop_file(window, path):
    drop(window, QUrl.fromLocalFile(str(path)))


def test_a_dropped_video_is_processed_and_its_result_shown(qtbot, window, pictures, tmp_path):
    video = tmp_path / "walk.mp4"
    writer = VideoWriter(video, 25.0, pictures[0].shape[1::-1])
    for index, picture in enumerate(pictures[:8]):
        writer.write(np.ascontiguousarray(picture), index * 40_000_000)
    writer.close()
    asked: list[str] = []
    window.make_file_finder = lambda: asked.append("for a file") or make_finder()
    drop_file(window, video)
    dialog = window.findChild(JobDialog)
    qtbot.waitUntil(lambda: dialog.bar.value() > 0, timeout=FIRST_MESH_MS)
    qtbot.waitUntil(
        lambda: window.findChild(Review) is not None and window.findChild(Review).shown is not None,
        timeout=FIRST_MESH_MS,
    )
    review = window.findChild(Review)
    review.slider.setValue(5)
    qtbot.waitUntil(lambda: review.shown.of == 5, timeout=SOON_MS)
    assert (
        review.shown.mesh is not None
        and review.space.view is review.shown
        and (tmp_path / "recordings" / "walk.npz").exists()
        and asked == ["for a file"]
    )
    review.close()


def test_a_dropped_address_or_picture_is_opened(window, monkeypatch, tmp_path):
    opened = []
    monkeypatch.setattr(window, "open", opened.append)
    drop(window, QUrl("rtsp://there/1"))
    drop_file(window, tmp_path / "me.jpg")
    assert opened == [Input("camera", "rtsp://there/1"), Input("images", str(tmp_path / "me.jpg"))]


def test_a_drop_of_nothing_is_passed_over(window):
    drop(window)
    assert window.tracking.input is None


def test_a_dropped_folder_shows_its_pictures(qtbot, window, pictures, tmp_path):
    import cv2

    for number in (0, 20):
        cv2.imwrite(str(tmp_path / f"{number}.png"), pictures[number][..., ::-1])
    drop_file(window, tmp_path)
    assert window.tracking.input == Input("images", str(tmp_path))
    qtbot.waitUntil(lambda: window.page.displayed == 2, timeout=FIRST_MESH_MS)
    assert window.page.view.of.fit.cold and window.page.view.of.frame.name == "20.png"


class SlowTracker:
    """Stands for a model that takes its time to load."""

    def __init__(self, options):
        time.sleep(4)
        raise UserError("too late")


class SlowInput(Input):
    """Stands for a camera whose driver takes its time."""

    def open(self):
        time.sleep(4)
        raise UserError("too late")


def test_closing_is_quick_while_opening_or_loading(qtbot, make_window, camera):
    for chosen, make_tracker in ((SlowInput("camera", "0"), Tracker.load), (Input("camera", camera.url), SlowTracker)):
        window = make_window(FakeFinder, make_tracker)
        window.open(chosen)
        qtbot.wait(400)
        assert_closes(qtbot, window)


def test_closing_is_quick_while_recording_and_stalled(qtbot, window, camera, tmp_path):
    window.open(Input("camera", camera.url))
    qtbot.waitUntil(lambda: fitted(window), timeout=FIRST_MESH_MS)
    window.actions_by_name["record"].trigger()
    qtbot.waitUntil(lambda: window.tracking.recording.recorder.frames > 3, timeout=SOON_MS)
    camera.mode = "stall"
    qtbot.wait(300)
    assert_closes(qtbot, window)
    qtbot.waitUntil(lambda: [s.whole for s in list_sessions(tmp_path / "recordings")] == [True], timeout=SOON_MS)


def test_another_source_does_not_wait_for_the_last_one(qtbot, window):
    window.open(SlowInput("camera", "0"))
    qtbot.wait(100)
    began = time.monotonic()
    window.open(Input("video", str(DEMO)))
    assert time.monotonic() - began < 0.5  # `Pipeline.close` waits for 0.7 s where it waits


@pytest.mark.skipif(
    not lvd_live.gui.app.has_display() or sys.platform == "win32",
    reason="a process of its own needs a display for its window, and a polite signal",
)
@pytest.mark.parametrize("seconds", [1.5, 4.0])
def test_a_signal_closes_the_window_while_models_load_or_later(camera, tmp_path, seconds):
    environment = os.environ | {"XDG_CONFIG_HOME": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "main.py", "--camera", camera.url],
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(seconds)
    process.terminate()
    _, said = process.communicate(timeout=10)
    assert process.returncode in (0, 130) and not said  # 130: there was no window yet


def test_choices_are_remembered(make_window, tmp_path):
    first = make_window()
    first.page.controls.colour.setCurrentIndex(2)
    first.page.controls.mirror.setChecked(True)
    first.page.controls.height_m.setValue(1.71)
    first.page.controls.space.setChecked(False)
    first.close()
    again = make_window()
    assert (
        again.page.controls.colour.currentIndex(),
        again.page.controls.mirror.isChecked(),
        again.page.controls.height_m.value(),
        again.page.controls.space.isChecked(),
    ) == (2, True, 1.71, False)
    again.settings.setValue("opacity", "rubbish")
    assert make_window().page.controls.opacity.value() == 65
    again.close()


def test_plots_and_controls_fit_into_800_pixels(qtbot, window):
    window.resize(1280, 800)
    QApplication.processEvents()
    assert (
        window.height() == 800
        and window.page.plots.geometry().bottom() < 800
        and window.page.plots.visibleRegion().boundingRect().height() == window.page.plots.height()
    )
    assert window.page.controls.verticalScrollBar().maximum() == 0


def test_the_window_does_not_wait_for_torch():
    code = "import sys, lvd_live.gui.app, lvd_live.gui.window; "
    code += "assert not {'torch', 'scipy', 'onnxruntime', 'onnx', 'safetensors'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_every_vertex_belongs_to_a_part():
    labels = BodyModel.load(MODELS / "body" / "lvd_body.npz").part_labels.numpy()
    assert len(PART_COLOURS) == len(BODY_PARTS) and set(part_index(labels)) == set(range(len(BODY_PARTS)))


def test_the_recordings_have_one_browser(window):
    for _ in range(2):
        window.actions_by_name["recordings"].trigger()
    assert window.browser.isVisible() and len(window.findChildren(type(window.browser))) == 1


def test_nothing_to_keep(window, tmp_path):
    assert window.snapshot(tmp_path) is None
    window.actions_by_name["record"].trigger()
    assert window.tracking.recording.recorder is None and not window.actions_by_name["record"].isChecked()


@pytest.fixture
def active(window):
    """The window, with the keyboard's focus."""
    window.activateWindow()  # nobody else does where there is no window manager
    QTest.qWaitForWindowActive(window)
    return window


def test_keys_work_again_after_a_height_was_typed(active):
    controls = active.page.controls
    active.page.clear("")  # the 3D view is there from then on
    for leave in (
        lambda: QTest.keyClick(controls.height_m, Qt.Key.Key_Return),
        lambda: QTest.mouseClick(active.page.picture, Qt.MouseButton.LeftButton),
        lambda: QTest.mouseClick(active.page.space, Qt.MouseButton.LeftButton),
    ):
        controls.height_m.setFocus()
        controls.height_m.selectAll()
        QTest.keyClicks(controls.height_m, "1.83")
        assert controls.height_m.hasFocus()
        leave()
        assert not controls.height_m.hasFocus() and controls.height_m.value() == 1.83
        before = controls.mirror.isChecked()
        QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_M)
        assert controls.mirror.isChecked() != before


def test_the_space_bar_presses_a_button_with_the_focus_and_else_pauses(active):
    controls, pause = active.page.controls, active.actions_by_name["pause"]
    assert active.page.picture.hasFocus()  # from the start
    controls.plots.setFocus(Qt.FocusReason.TabFocusReason)
    QTest.keyClick(controls.plots, Qt.Key.Key_Space)
    assert not controls.plots.isChecked() and not pause.isChecked()
    active.actions_by_name["reset"].triggered.connect(lambda *_: pressed.append("reset"))
    pressed = []
    button = active.findChild(QToolBar).widgetForAction(active.actions_by_name["reset"])
    button.setFocus(Qt.FocusReason.TabFocusReason)
    QTest.keyClick(button, Qt.Key.Key_Space)
    assert pressed == ["reset"] and not pause.isChecked()
    button.clearFocus()
    QTest.keyClick(active, Qt.Key.Key_Space)
    assert pause.isChecked()
    QTest.mouseClick(controls.warm, Qt.MouseButton.LeftButton, pos=QPoint(8, controls.warm.height() // 2))
    assert not controls.warm.isChecked() and not controls.warm.hasFocus()  # Space still pauses


@pytest.mark.parametrize("key", [Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Enter])
def test_the_first_screen_needs_no_mouse(active, key):
    opened, pause = [], active.actions_by_name["pause"]
    active.page.picture.welcome.asked.disconnect()
    active.page.picture.welcome.asked.connect(opened.append)
    for _ in range(3):
        QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
    QTest.keyClick(QApplication.focusWidget(), key)
    assert opened == ["demo"] and not pause.isChecked()
    active.page.clear("")
    assert active.page.picture.hasFocus()  # not the box of a number, which the button's focus would come to


def test_the_picture_alone_goes_back_to_what_was_before(window):
    clean, full = (window.actions_by_name[name].trigger for name in ("clean", "fullscreen"))
    for before in (Qt.WindowState.WindowNoState, Qt.WindowState.WindowMaximized, Qt.WindowState.WindowFullScreen):
        window.setWindowState(before)
        clean()
        assert window.isFullScreen() and window.page.picture.cursor().shape() == Qt.CursorShape.BlankCursor
        window.actions_by_name["dismiss"].trigger()
        assert window.windowState() == before and not window.page.clean
        assert window.page.picture.cursor().shape() == Qt.CursorShape.ArrowCursor
    window.setWindowState(Qt.WindowState.WindowMaximized)
    full()
    assert window.isFullScreen()
    full()
    assert window.windowState() == Qt.WindowState.WindowMaximized


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_window_of_640_pixels_has_room_for_the_details(qtbot, tmp_path, language):
    settings = QSettings(str(tmp_path / "s.ini"), QSettings.Format.IniFormat)
    settings.setValue("language", language)
    window = MainWindow(FakeFinder, lambda _: None, settings=settings, recordings=tmp_path)
    qtbot.addWidget(window)
    use_language("en")
    page = window.page
    window.resize(800, 700)
    window.show()
    page.clear("")
    window.actions_by_name["details"].trigger()
    qtbot.waitUntil(page.plots.isVisible)
    assert page.space.isVisible()
    window.resize(640, 480)
    qtbot.waitUntil(lambda: window.width() == 640)
    assert window.height() == 480 and page.controls.isVisible() and page.picture.width() >= 220
    assert not page.space.isVisible() and not page.plots.isVisible()
    window.actions_by_name["details"].trigger()
    assert page.space.isVisible()


def test_the_3d_view_fits_its_room_when_it_is_back(qtbot, make_window):
    window = make_window(FakeFinder, lambda _: None)
    space = window.page.space
    window.page.show_details(False)
    window.page.clear("")
    vertices = np.float32([[-0.3, -0.9, 3], [0.3, -0.9, 3], [0, 0.9, 3.2]])
    mesh = Mesh(vertices, np.int32([[0, 1, 2]]), np.zeros((3, 3), np.uint8), None)
    view = View(0, np.zeros((48, 64, 3), np.uint8), mesh, (64, 48), 0)
    qtbot.waitUntil(lambda: space.width() > 160, timeout=SOON_MS)
    space.show_view(view)
    before = space._distance
    space.resize(1, space.height())  # as the splitter leaves it where it goes
    for _ in range(30):
        space.show_view(view)
    assert space._distance > 3 * before
    window.page.show_clean(True)
    window.page.show_clean(False)
    qtbot.waitUntil(lambda: space.width() > 160, timeout=SOON_MS)
    space.show_view(view)
    assert space._distance == pytest.approx(before, rel=0.2)  # not a hundred times as far


def test_the_toolbar_is_in_the_order_of_tab_before_the_controls(active):
    bar = active.findChild(QToolBar)
    buttons = [bar.widgetForAction(action) for action in bar.actions()]
    buttons[0].setFocus(Qt.FocusReason.TabFocusReason)
    for button in buttons:
        assert button.hasFocus()
        QTest.keyClick(button, Qt.Key.Key_Tab)
    passed = []
    while (widget := QApplication.focusWidget()) is not buttons[0]:
        passed.append(widget)
        QTest.keyClick(widget, Qt.Key.Key_Tab)
    controls = active.page.controls
    welcome = list(active.page.picture.welcome.buttons.values())
    essentials = [controls.height_m, controls.smoothing, controls.countdown, controls.vmc, controls.vmc_address]
    details = [
        controls.person.box,
        controls.colour,
        controls.opacity,
        controls.presets,
        controls.theme,
        controls.mirror,
    ]
    wanted = [*welcome, *essentials, *details, controls.measure, controls.osc]
    assert [widget for widget in passed if widget in wanted] == wanted and passed[-1] is controls.osc


def test_every_key_is_on_the_sheet(window, monkeypatch):
    shown = []
    monkeypatch.setattr(QMessageBox, "information", lambda parent, title, text: shown.append(text))
    window.actions_by_name["help"].trigger()
    keys = [action.shortcut().toString() for action in window.actions_by_name.values()]
    assert (
        len(shown) == 1
        and len([key for key in keys if key]) == 19
        and all(f"<b>{key}</b>" in shown[0] for key in keys if key)
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sysfs is Linux's")
def test_cameras_are_known_by_name(tmp_path, monkeypatch):
    for number, name, index in ((0, "Front", 0), (1, "Front", 1), (2, "Back", 0)):
        node = tmp_path / f"video{number}"
        node.mkdir()
        (node / "name").write_text(f"{name}\n")
        (node / "index").write_text(f"{index}\n")
    monkeypatch.setattr(devices, "V4L", tmp_path)
    assert camera_names() == ["0: Front", "2: Back"]
    assert [Input("camera", place).title for place in ("0", "2", "5", "rtsp://me:secret@there", "Back")] == [
        "Front",
        "Back",
        "camera 5",
        "camera stream",
        "Back",
    ]
    monkeypatch.undo()
    camera_names()  # the next test sees this machine's


def test_what_is_chosen_in_a_dialog_is_opened(window, monkeypatch):
    opened = []
    monkeypatch.setattr(window, "open", opened.append)
    monkeypatch.setattr(lvd_live.gui.inputs, "camera_names", lambda: ["0: Front", "2: Back"])
    for answer, chosen in (
        (("2: Back", True), Input("camera", "2")),
        ((" rtsp://there ", True), Input("camera", "rtsp://there")),
        (("0: Front", False), None),
        (("  ", True), None),
    ):
        monkeypatch.setattr(lvd_live.gui.inputs.QInputDialog, "getItem", lambda *_, answer=answer: answer)
        window.actions_by_name["camera"].trigger()
        assert opened == ([] if chosen is None else [chosen])
        opened.clear()
    for action, dialog, answer, chosen in (
        ("video", "getOpenFileName", ("a.mp4", ""), Input("video", "a.mp4")),
        ("images", "getExistingDirectory", "folder", Input("images", "folder")),
    ):
        monkeypatch.setattr(lvd_live.gui.inputs.QFileDialog, dialog, lambda *_, answer=answer: answer)
        window.actions_by_name[action].trigger()
        monkeypatch.setattr(
            lvd_live.gui.inputs.QFileDialog,
            dialog,
            lambda *_, answer=answer: ("", "") if isinstance(answer, tuple) else "",
        )
        window.actions_by_name[action].trigger()  # and nothing is
        assert opened == [chosen]
        opened.clear()
    processed = []
    monkeypatch.setattr(window, "process", processed.append)
    monkeypatch.setattr(lvd_live.gui.inputs.QFileDialog, "getOpenFileName", lambda *_: ("b.mp4", ""))
    window.actions_by_name["process"].trigger()
    assert processed == [Path("b.mp4")] and not opened


@pytest.mark.parametrize(
    "stated",
    [
        None,
        3,
        {},
        {"std": [0, 1]},
        {"std": [0, 1], "error": [0]},
        {"std": ["a"], "error": [1]},
        {"std": [1, 0], "error": [0, 1]},
        {"std": [0, float("nan")], "error": [0, 1]},
        {"std": [], "error": []},
    ],
)
def test_a_file_may_state_any_calibration(stated):
    calibration = Calibration({"tracker": {"calibration": stated}})
    assert not calibration.known and calibration.error_mm(np.float32([0.02])) == pytest.approx(20)


def test_a_calibrated_file_tells_the_error_to_expect():
    calibration = Calibration({"tracker": {"calibration": {"std": [0.0, 0.01, 0.02], "error": [0.03, 0.05, 0.1]}}})
    np.testing.assert_allclose(calibration.error_mm(np.float32([[0.005, 0.5]])), [[40, 100]], rtol=1e-5)


def test_a_height_is_marked_where_it_may_be_anothers(make_window):
    """At the next start, with another input, after a reset, and where somebody comes after nobody was there."""
    first = make_window()
    assert first.page.controls.height_field.note.text() == GUESS and not first.page.controls.height_field.confirmed
    first.page.controls.height_m.setValue(1.95)
    assert first.page.controls.height_field.confirmed and not first.page.controls.height_field.note.text()
    first.close()
    again = make_window()
    height = again.page.controls.height_field
    assert height.metres == 1.95 and not height.confirmed
    assert "from last time" in height.note.text() and GUESS in height.note.text()
    QTest.keyClick(height.box, Qt.Key.Key_Return)
    assert height.confirmed and not height.note.text()
    again.actions_by_name["reset"].trigger()
    assert "the last person" in height.note.text()
    again.page.controls.choose({"height": 1.95})  # by the command line
    assert height.confirmed


def test_somebody_after_nobody_may_be_another():
    attendance, second = Attendance(), 1_000_000_000
    seen = [(0, True), (1, True), (2, False), (5, True), (6, False), (11, True), (12, True)]
    assert [at for at, present in seen if attendance(present, at * second)] == [11]


def test_the_table_says_that_a_doubted_height_is_a_guess():
    found = {"height": Measurement(195.0, 0.0)}
    assert GUESS in measurement_table(found, False) and GUESS not in measurement_table(found, True)
