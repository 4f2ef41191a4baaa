"""The offline job, the review of a result and the browser of recordings, with stand-ins for finder and tracker."""

import itertools
import json
import time

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QInputDialog, QMessageBox, QWidget

from lvd_live.errors import UserError
from lvd_live.export import Exported
from lvd_live.gui.app import application
from lvd_live.gui.browser import Browser
from lvd_live.gui.export_dialog import ExportDialog
from lvd_live.gui.job import Job, JobDialog
from lvd_live.gui.loading import Pictures, load
from lvd_live.gui.review import Review
from lvd_live.gui.timeline import gaps
from lvd_live.paths import DEMO
from lvd_live.session import library
from lvd_live.session.sequence import SequenceWriter, load_sequence
from lvd_live.session.video import VideoWriter
from lvd_live.sources import VideoSource
from tests.fakes import FACES, SHAPE, FakeFinder, FakeTracker
from tests.recording import record

COUNT, SIZE = 40, (96, 64)


@pytest.fixture(scope="module")
def app():
    return application()


@pytest.fixture
def video(tmp_path):
    """Pictures whose shade tells their number."""
    path = tmp_path / "walk.mp4"
    writer = VideoWriter(path, 25.0, SIZE)
    for index in range(COUNT):
        writer.write(np.full((SIZE[1], SIZE[0], 3), 20 + 5 * index, np.uint8), index * 40_000_000)
    writer.close()
    return path


def wait(app, condition, seconds=15.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        app.processEvents()
        time.sleep(0.002)


def run_job(app, video, folder, tracker=FakeTracker, missing=()):
    """A finished dialog, and what it gave to look at."""
    results = []
    dialog = JobDialog(Job(video, lambda: FakeFinder(missing), tracker, folder), lambda *given: results.append(given))
    dialog.show()
    return dialog, results


def shade(picture):
    return float(picture[:2, :2].mean())


def test_a_job_writes_a_fresh_sequence_and_shows_progress(app, video, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "walk.npz").write_text("another's")
    dialog, results = run_job(app, video, tmp_path / "out")
    seen = []
    dialog.job.progressed.connect(lambda done, total, fps: seen.append((done, total)))
    wait(app, lambda: not dialog.running)
    assert results == [(tmp_path / "out" / "walk-1.npz", video)] and not dialog.isVisible()
    assert len(load_sequence(results[0][0])) == COUNT and seen[-1] == (COUNT, COUNT)
    assert (tmp_path / "out" / "walk.npz").read_text() == "another's"


def test_a_cancelled_job_keeps_what_is_done(app, video, tmp_path):
    class Slow(FakeTracker):
        def step(self, frame, person, *, later=()):
            time.sleep(0.03)
            return super().step(frame, person)

    dialog, results = run_job(app, video, tmp_path, Slow)
    wait(app, lambda: dialog.bar.value() >= 3)
    dialog.reject()
    wait(app, lambda: not dialog.running)
    sequence = load_sequence(results[0][0])
    assert 3 <= len(sequence) < COUNT and sequence.meta["ending"] == "interrupted" and "Stopped" in dialog.label.text()


def test_a_job_cancelled_before_its_first_frame_writes_nothing(app, video, tmp_path):
    dialog, results = run_job(app, video, tmp_path, lambda: time.sleep(0.3) or FakeTracker())
    dialog.reject()
    wait(app, lambda: not dialog.running)
    assert not results and "before the first frame" in dialog.label.text() and not list(tmp_path.glob("*.npz"))


@pytest.mark.parametrize("closed", [False, True])
def test_a_job_keeps_its_dialog_but_not_the_program_open(app, video, tmp_path, closed):
    class Slow(FakeTracker):
        def step(self, frame, person, *, later=()):
            time.sleep(0.05)
            return super().step(frame, person)

    parent = QWidget()
    parent.show()
    job = Job(video, FakeFinder, Slow, tmp_path)
    dialog = JobDialog(job, lambda *_: None, parent)
    dialog.show()
    wait(app, lambda: dialog.bar.value() >= 3)
    if closed:
        parent.close()  # as the program's end does before it asks the other windows
    assert dialog.close() == closed and job.cancelled
    job.close()
    assert len(load_sequence(tmp_path / f"{video.stem}.npz")) >= 3  # whole, either way
    wait(app, lambda: not dialog.running)


def test_a_job_that_cannot_be_done_says_why(app, tmp_path):
    (tmp_path / "no.mp4").write_text("no video")
    dialog, results = run_job(app, tmp_path / "no.mp4", tmp_path)
    wait(app, lambda: not dialog.running)
    assert not results and "cannot be read as a video" in dialog.label.text() and dialog.isVisible()
    dialog.reject()
    assert not dialog.isVisible()


def test_frames_are_found_again_by_their_time():
    with VideoSource(DEMO) as source:
        frames = [(f.timestamp_ns, f.picture) for f in source]
        for number in (40, 3, 64, 0):
            found = next(source.frames_from(frames[number][0]))
            assert found.timestamp_ns == frames[number][0] and np.array_equal(found.picture, frames[number][1])
        assert next(source.frames_from(frames[-1][0] + 10**9), None) is None


def test_scrubbing_shows_picture_and_mesh_of_the_row(app, video, tmp_path):
    dialog, results = run_job(app, video, tmp_path, missing=range(10, 15))
    wait(app, lambda: not dialog.running)
    review = Review(*load(*results[0]))
    review.show()
    for row in (0, 33, 7, 8, 12):
        review.slider.setValue(row)
        wait(app, lambda row=row: review.shown is not None and review.shown.of == row)
        assert abs(shade(review.shown.picture) - (20 + 5 * row)) < 3
        assert (review.shown.mesh is None) == (row == 12)
        if row != 12:
            moved = review.shown.mesh.vertices - review.data.vertices[row]  # its distance is held steady
            assert np.ptp(moved, axis=0).max() < 1e-5 and np.abs(moved).max() < 0.05
            assert np.abs(review.shown.picture.astype(int) - (20 + 5 * row)).max() > 20  # the mesh
    assert "nobody" in review.transport.label.text()
    np.testing.assert_allclose(gaps(review.data, review.data.seconds), [[0.4, 0.6]])

    wait(app, lambda: review.timeline.curve.yData is not None)
    assert np.isnan(review.timeline.curve.yData[12]) and review.timeline.curve.yData[20] == pytest.approx(10.0)
    review.activateWindow()
    QTest.qWaitForWindowActive(review)
    for key, row in ((Qt.Key.Key_Right, 13), (Qt.Key.Key_Left, 12), (Qt.Key.Key_End, COUNT - 1), (Qt.Key.Key_Home, 0)):
        QTest.keyClick(review, key)
        assert review.slider.value() == row and review.timeline.cursor.value() == pytest.approx(
            review.data.seconds[row]
        )
    review.timeline.moved.emit(0.81)
    assert review.slider.value() == 20
    review.slider.setValue(30)
    review.play.toggle()
    wait(app, lambda: not review.play.isChecked())
    assert review.slider.value() == COUNT - 1
    began = time.monotonic()
    review.close()
    assert time.monotonic() - began < 1.0 and not any(thread.is_alive() for thread in review.reader.threads)


def test_a_sequence_without_its_video_shows_the_mesh_alone(app, video, tmp_path):
    dialog, results = run_job(app, video, tmp_path)
    wait(app, lambda: not dialog.running)
    assert load(results[0][0])[1] == video  # found beside it, by the name in the meta
    with np.load(results[0][0]) as file:
        arrays = dict(file)
    arrays["meta"] = np.array(json.dumps(json.loads(str(arrays["meta"])) | {"overlay": video.name}))
    drawn = results[0][0].with_name("drawn.npz")
    np.savez(drawn, **arrays)
    assert load(drawn)[1] is None  # what lies there under the source's name is the overlay
    video.unlink()
    review = Review(*load(results[0][0]))
    wait(app, lambda: review.shown is not None)
    assert review.shown.picture.shape == (SIZE[1], SIZE[0], 3) and len(np.unique(review.shown.picture)) > 10
    assert "not found" in review.statusBar().currentMessage()
    review.close()


def test_a_session_shows_its_own_pictures_and_the_frames_that_were_lost(app, tmp_path):
    folder = record(tmp_path, absent=(20, 21)).path
    data, video, title = load(folder)
    pictures = Pictures(data, video)
    for row in (30, 5, 55):
        assert abs(shade(pictures.read(row)) - (16 + 2 * data.frame_index[row])) < 4
    pictures.close()
    lost = gaps(data, (data.timestamps_ns - data.timestamps_ns[0]) / 1e9)
    np.testing.assert_allclose(lost, [[20 / 30, 22 / 30]], atol=2e-3)
    video.write_text("#EXTM3U\n/etc/passwd")
    with pytest.raises(UserError, match="no matroska"):
        Pictures(data, video)


def test_the_demos_result_shows_the_demos_pictures(tmp_path):
    """Beside it lies the overlay under the clip's own name; the clip itself lies with the program."""
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / DEMO.name).write_bytes(b"the overlay")
    with VideoSource(DEMO) as source:
        frames = list(itertools.islice(source, 3))
    height, width = frames[0].picture.shape[:2]
    writer = SequenceWriter(folder / "demo.npz", FACES, len(SHAPE), {"source": DEMO.name, "overlay": DEMO.name}, 25.0)
    for frame in frames:
        writer.append(timestamp_ns=frame.timestamp_ns, frame_index=frame.index, image_size=(width, height))
    writer.close()
    data, video, _ = load(folder / "demo.npz")
    assert video == DEMO
    pictures = Pictures(data, video)
    assert np.array_equal(pictures.read(2), frames[2].picture)
    pictures.close()


def test_a_motion_for_other_programs_says_what_to_open_instead(tmp_path):
    np.savez(tmp_path / "walk.npz", poses=np.zeros((3, 156)), trans=np.zeros((3, 3)), betas=np.zeros(16))
    with pytest.raises(UserError, match=r"^[^\n]*open the recording or the result it was exported from\.$"):
        load(tmp_path / "walk.npz")


@pytest.mark.parametrize("name, proposed", [("obj", "-obj"), ("ply", "-ply"), ("glb", ".glb")])
def test_an_export_is_proposed_outside_the_session(app, tmp_path, name, proposed):
    session = record(tmp_path, count=35).path
    for parent in (Browser(tmp_path), Review(*load(session))):
        getattr(parent, "export_chosen" if isinstance(parent, Browser) else "export")()
        dialog = parent.findChild(ExportDialog)
        dialog.format.setCurrentIndex(dialog.format.findData(name))
        assert str(dialog.target) == f"{session}{proposed}"
        parent.close()


def test_the_list_counts_every_frame_that_a_take_lacks(app, tmp_path):
    record(tmp_path, count=40, absent=(7, 8, 20))
    browser = Browser(tmp_path)
    assert [browser.table.item(0, column).text() for column in (4, 5)] == ["37", "3"]
    assert "not in it" in browser.table.horizontalHeaderItem(5).toolTip()


def test_the_timeline_shades_what_was_lost_where_most_frames_were(app, tmp_path):
    kept = (0, 3, 4, 8, 9, 15, 18, 22)  # of 30 a second: the median gap is of several frames
    absent = [index for index in range(23) if index not in kept]
    data, video, title = load(record(tmp_path, count=23, absent=absent).path)
    review = Review(data, video, title)
    shaded = gaps(data, review.data.seconds)
    expected = [(a + 1, b) for a, b in itertools.pairwise(kept) if b > a + 1]
    np.testing.assert_allclose(shaded, np.array(expected) / 30, atol=2e-3)
    bars = review.timeline.gaps.opts
    assert (bars["x1"] > bars["x0"]).all()
    review.close()


def test_the_review_has_its_keys(app, tmp_path, monkeypatch):
    sheets = []
    monkeypatch.setattr(QMessageBox, "information", lambda parent, title, text: sheets.append(text))
    review = Review(*load(record(tmp_path, count=60).path))
    review.show()
    review.activateWindow()
    QTest.qWaitForWindowActive(review)
    for key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
        QTest.keyClick(review, key)
        assert review.play.isChecked()
        QTest.keyClick(review, key)
        assert not review.play.isChecked()
    QTest.keyClick(review, Qt.Key.Key_F1)
    assert len(sheets) == 1 and "<b>Esc</b>" in sheets[0]
    QTest.keyClick(review, Qt.Key.Key_Escape)
    wait(app, lambda: not any(thread.is_alive() for thread in review.reader.threads))


def test_the_browser_has_its_keys(app, tmp_path, monkeypatch):
    folder, opened, sheets = record(tmp_path, count=35).path, [], []
    monkeypatch.setattr(QMessageBox, "information", lambda parent, title, text: sheets.append(text))
    browser = Browser(tmp_path, show_take=lambda parent, path: opened.append(path))
    browser.show()
    browser.activateWindow()
    QTest.qWaitForWindowActive(browser)
    browser.table.setFocus()
    for key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
        QTest.keyClick(browser.table, key)
    assert opened == [folder, folder]
    QTest.keyClick(browser.table, Qt.Key.Key_F1)
    assert len(sheets) == 1 and "<b>Enter</b>" in sheets[0]
    QTest.keyClick(browser.table, Qt.Key.Key_Escape)
    assert not browser.isVisible()


def test_the_browser_opens_renames_and_deletes(app, tmp_path, monkeypatch):
    folder = record(tmp_path, count=35).path
    opened = []
    browser = Browser(tmp_path, show_take=lambda parent, path: opened.append(path))
    assert (
        browser.table.item(0, 1).text() == "walk"
        and browser.table.item(0, 4).text() == "35"
        and not browser.table.item(0, 0).icon().isNull()
    )
    browser.buttons["open"].click()
    assert opened == [folder]
    monkeypatch.setattr(QInputDialog, "getText", lambda *a, **k: ("run", True))
    browser.buttons["rename"].click()
    assert browser.table.item(0, 1).text() == "run" and browser.sessions[0].path.name.endswith("run")
    trashed = []
    monkeypatch.setattr(library, "move_to_trash", trashed.append)
    monkeypatch.setattr(QMessageBox, "question", lambda *a: QMessageBox.StandardButton.No)
    browser.buttons["trash"].click()
    assert not trashed
    monkeypatch.setattr(QMessageBox, "question", lambda *a: QMessageBox.StandardButton.Yes)
    browser.buttons["trash"].click()
    assert [path.name for path in trashed] == [browser.sessions[0].path.name]


def test_a_session_renamed_while_it_is_open_keeps_its_pictures(app, tmp_path, monkeypatch):
    folder = record(tmp_path, count=60).path
    review, browser = Review(*load(folder)), Browser(tmp_path)
    wait(app, lambda: review.shown is not None)
    review.slider.setValue(7)
    monkeypatch.setattr(QInputDialog, "getText", lambda *a, **k: ("run", True))
    browser.buttons["rename"].click()
    assert not folder.exists() and review.windowTitle().startswith("run") and review.slider.value() == 7
    for row in (50, 3):  # meshes and pictures that were not read before
        review.slider.setValue(row)
        wait(app, lambda row=row: review.shown.of == row)
        assert review.shown.mesh is not None and abs(shade(review.shown.picture) - 16 - 2 * row) < 6
    review.close()


def test_an_empty_folder_of_recordings_says_so(app, tmp_path):
    browser = Browser(tmp_path / "none")
    assert "no recordings" in browser.hint.text() and not browser.buttons["open"].isEnabled()


def test_the_browser_exports_as_the_review_does(app, tmp_path, monkeypatch):
    taken = record(tmp_path, count=35).path
    browser = Browser(tmp_path)

    def export(source, target, *, format, progress, **options):
        progress(0, 35)
        return Exported(target, 35, (f"{format} of {source.name}",))

    monkeypatch.setattr("lvd_live.gui.exporting.export", export)
    browser.buttons["export"].click()
    dialog = browser.findChild(ExportDialog)
    dialog.export_button.click()
    wait(app, lambda: not dialog.running)
    assert dialog.outcome.text() == f"Exported 35 frames to {tmp_path / taken.name}.glb. glb of {taken.name}"
    dialog.close()
