"""A review that finishes the job: the part from in to out, speed and loop, colours, export with its options."""

import time

import numpy as np
import pytest
from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QWidget

from lvd_live.body.model import BodyModel
from lvd_live.errors import UserError
from lvd_live.export import Exported, export
from lvd_live.export.take import Take
from lvd_live.gui.app import application
from lvd_live.gui.export_dialog import ExportDialog
from lvd_live.gui.loading import load
from lvd_live.gui.review import Review, partial_text
from lvd_live.gui.shading import COLOURS
from lvd_live.paths import MODELS
from lvd_live.session.reader import open_session
from lvd_live.session.sequence import SequenceWriter, load_sequence
from tests.recording import FPS, record
from tests.test_completion import record_every_frame
from tests.test_gui_review import wait

SOON_MS = 15_000


@pytest.fixture(scope="module", autouse=True)
def app():
    return application()


@pytest.fixture(scope="module")
def body_take(tmp_path_factory):
    """A sequence of the bundled body that walks sideways, 30 frames a second."""
    body = BodyModel.load(MODELS / "body" / "lvd_body.npz")
    mesh = body.v_template.numpy() * np.array([1, -1, -1]) + np.array([0, 0, 4])
    path = tmp_path_factory.mktemp("take") / "walk.npz"
    writer = SequenceWriter(path, body.faces.numpy(), len(mesh), {}, 30.0)
    for index in range(60):
        writer.append(
            timestamp_ns=index * 33_333_333,
            frame_index=index,
            image_size=(64, 48),
            vertices=(mesh + [0.01 * index, 0, 0]).astype(np.float32),
            intrinsics=np.eye(3) * 50,
        )
    writer.close(ending="complete")
    return path


def test_a_part_is_chosen_played_in_a_loop_and_left_again(app, tmp_path):
    review = Review(*load(record(tmp_path, count=60).path))
    review.show()
    review.activateWindow()
    QTest.qWaitForWindowActive(review)
    transport, rows = review.transport, []
    review.slider.setValue(10)
    QTest.keyClick(review, Qt.Key.Key_I)
    review.slider.setValue(16)
    QTest.keyClick(review, Qt.Key.Key_O)
    assert (transport.first, transport.last) == (10, 16) and "part 0.33 to 0.53 s" in transport.label.text()
    transport.moved.connect(rows.append)
    QTest.keyClick(review, Qt.Key.Key_Space)
    wait(app, lambda: not review.play.isChecked())
    assert rows[0] == 10 and rows[-1] == 16 and min(rows) == 10 and max(rows) == 16
    rows.clear()
    QTest.keyClick(review, Qt.Key.Key_L)
    QTest.keyClick(review, Qt.Key.Key_Space)
    wait(app, lambda: rows.count(10) >= 3)
    assert review.play.isChecked() and max(rows) <= 16
    QTest.keyClick(review, Qt.Key.Key_Home)
    assert not review.play.isChecked() and transport.row == 10
    QTest.mouseClick(transport.all_button, Qt.MouseButton.LeftButton)
    assert not transport.is_part and "part" not in transport.label.text()
    QTest.keyClick(review, Qt.Key.Key_End)
    assert transport.row == 59
    review.close()


@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_it_plays_at_another_speed(app, tmp_path, speed):
    review = Review(*load(record(tmp_path, count=31).path))  # a second
    review.transport.speed.setCurrentIndex(review.transport.speed.findData(speed))
    began = time.monotonic()
    review.play.toggle()
    wait(app, lambda: not review.play.isChecked())
    assert abs(time.monotonic() - began - 1 / speed) < 0.4
    review.close()


def test_the_colours_can_be_chosen(app, body_take):
    review = Review(*load(body_take), path=body_take)
    review.show()
    review.activateWindow()
    QTest.qWaitForWindowActive(review)
    wait(app, lambda: review.shown is not None)
    seen = [review.shown.mesh.colours]
    for _ in COLOURS[1:]:
        before = review.shown
        QTest.keyClick(review, Qt.Key.Key_C)
        wait(app, lambda before=before: review.shown is not before)
        seen.append(review.shown.mesh.colours)
    assert all(not np.array_equal(a, b) for i, a in enumerate(seen) for b in seen[:i])
    assert review.bar.shown[0] == "plain"
    review.close()


def test_a_part_of_a_take_is_what_is_exported(body_take, tmp_path):
    done = export(body_take, tmp_path / "part.csv", start=0.5, end=1.0)
    assert done.frames == 16 and len(export(body_take, tmp_path / "all.csv").path.read_text()) > 0
    part = load_sequence(body_take).between(0.5, 1.0)
    assert part.frame_index.tolist() == list(range(15, 31)) and len(part.intrinsics) == len(part) == 16
    with pytest.raises(UserError, match="no frame from 5 s"):
        export(body_take, tmp_path / "none.csv", start=5.0, end=6.0)


def test_a_part_of_a_session_stays_on_disk(tmp_path):
    session = open_session(record(tmp_path, count=60, untracked=range(10)).path)
    part = session.between(0.5, None)
    assert part.frame_index[0] == 15 and np.array_equal(part.vertices[3], session.vertices[18])
    with pytest.raises(UserError, match="Nobody is tracked in that part"):
        Take(session, "walk").between(0.0, 0.2)


def test_the_dialog_exports_with_what_is_chosen(qtbot, body_take, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(QDesktopServices, "openUrl", opened.append)
    review = Review(*load(body_take), path=body_take)
    qtbot.addWidget(review)
    review.transport.set_part(15, 30)
    review.export()
    dialog = review.findChild(ExportDialog)
    assert dialog.format.currentData() == "glb" and not dialog.unit.isEnabled() and dialog.target.name == "walk.glb"
    dialog.format.setCurrentIndex(dialog.format.findData("bvh"))
    dialog.unit.setCurrentIndex(dialog.unit.findData("cm"))
    dialog.rate.setValue(60)
    dialog.smooth.setCurrentIndex(2)
    dialog.foot_lock.setChecked(True)
    dialog.place.setText(str(tmp_path / "moved.glb"))
    assert dialog.target == tmp_path / "moved.bvh"
    QTest.mouseClick(dialog.export_button, Qt.MouseButton.LeftButton)
    assert dialog.cancel_button.text() == "Cancel" and not dialog.export_button.isEnabled()
    qtbot.waitUntil(lambda: not dialog.running, timeout=4 * SOON_MS)
    text = (tmp_path / "moved.bvh").read_text()
    assert "Frames: 31" in text and "Frame Time: 0.01666667" in text and dialog.outcome.text().startswith("Exported 31")
    height = [float(line.split()[2]) for line in text.splitlines() if line.strip().startswith("OFFSET")]
    assert max(map(abs, height)) > 5  # centimetres
    QTest.mouseClick(dialog.folder_button, Qt.MouseButton.LeftButton)
    assert opened == [QUrl.fromLocalFile(str(tmp_path))]


def test_an_export_can_be_cancelled_and_leaves_nothing(qtbot, body_take, tmp_path, monkeypatch):
    def slow(source, target, *, progress, **options):
        for frame in range(1000):
            progress(frame, 1000)
            time.sleep(0.01)
        return Exported(target, 1000, ())

    monkeypatch.setattr("lvd_live.gui.exporting.export", slow)
    dialog = ExportDialog(body_take, tmp_path, None)
    qtbot.addWidget(dialog)
    dialog.show()
    dialog.start()
    qtbot.waitUntil(lambda: dialog.bar.value() > 3, timeout=SOON_MS)
    QTest.keyClick(dialog, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: not dialog.running, timeout=SOON_MS)
    assert dialog.outcome.text() == "Cancelled: nothing was written." and dialog.folder_button.isHidden()
    QTest.keyClick(dialog, Qt.Key.Key_Escape)
    assert not dialog.isVisible()
    parent = QWidget()
    qtbot.addWidget(parent)
    parent.show()
    dialog = ExportDialog(body_take, tmp_path, None, parent)
    dialog.show()
    dialog.start()
    qtbot.waitUntil(lambda: dialog.bar.value() > 3, timeout=SOON_MS)
    assert not dialog.close()  # it stops first
    qtbot.waitUntil(lambda: not dialog.running, timeout=SOON_MS)
    dialog.start()
    qtbot.waitUntil(lambda: dialog.bar.value() > 3, timeout=SOON_MS)
    parent.close()
    assert dialog.close()  # the program ends
    qtbot.waitUntil(lambda: not dialog.running, timeout=SOON_MS)


def test_cancelling_reaches_the_fit_of_the_body(body_take, tmp_path):
    def stop(done, total):
        raise UserError("Cancelled.")

    with pytest.raises(UserError, match="Cancelled"):
        export(body_take, tmp_path / "walk.glb", progress=stop)
    assert not list(tmp_path.iterdir())


def test_what_is_partial_says_so(app, tmp_path, body_take):
    session = record_every_frame(tmp_path).path
    review = Review(*load(session))
    assert review.partial.text().startswith("Partial: 40 of 60 frames are not fitted yet") and FPS == 30
    review.slider.setValue(1)
    assert "not fitted yet" in review.transport.label.text()
    review.close()
    assert partial_text(load_sequence(body_take)) == ""
    data = load_sequence(body_take)
    object.__setattr__(data, "meta", {"ending": "interrupted"})
    assert partial_text(data) == "Partial: the video goes on after these 60 frames (it was stopped)."
