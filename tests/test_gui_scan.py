"""A scan in the window: told from other files, registered behind it, shown, saved, stopped."""

import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh
from PySide6.QtCore import QSettings, QUrl
from PySide6.QtWidgets import QFileDialog

from lvd_live.errors import UserError
from lvd_live.gui.app import application
from lvd_live.gui.inputs import SCANS, Input
from lvd_live.gui.loading import is_scan
from lvd_live.gui.points import PointsView, seen_alike
from lvd_live.gui.scan_job import FOUND, HAND, KINDS, UNITS, UPS, ScanJob, Told, surface_distance
from lvd_live.gui.scan_window import ScanWindow
from lvd_live.gui.shading import Mesh
from lvd_live.gui.window import MainWindow
from lvd_live.scan import frame, reading
from lvd_live.scan.result import Registration
from tests.conftest import ROOT
from tests.fakes import FakeFinder, FakeTracker
from tests.mjpeg import Camera
from tests.scans import person, skinned, surface_points
from tests.test_gui import drop, drop_file
from tests.test_gui_recording import Tracker

SOON_MS = 20_000


@pytest.fixture(scope="module", autouse=True)
def app():
    return application()


@pytest.fixture(scope="module")
def scan():
    """Points (P, 3), cm, z up, of somebody who stands; and their body's vertices there."""
    _, posed = person()
    points, _ = surface_points(posed.vertices, skinned().faces, 20_000, np.random.default_rng(0))
    where = frame.Frame(frame.up_rotation((0, 0, 1)), np.zeros(3), 0.01)
    return where.out_of(points), where.out_of(posed.vertices.astype(float)), where


@pytest.fixture
def ply(scan, tmp_path):
    path = tmp_path / "somebody.ply"
    trimesh.PointCloud(scan[0]).export(path)
    return path


def registration(scan, **changes):
    points, vertices, where = scan
    p, posed = person()
    values = {
        "vertices": vertices,
        "faces": skinned().faces,
        "pose": p.pose,
        "betas": p.betas,
        "trans": np.zeros(3),
        "scale": 100.0,
        "displacements": np.zeros_like(vertices),
        "joints": where.out_of(posed.joints_placed()),
        "skinned": vertices,
        "std": np.zeros(len(vertices)),
        "to_scan": np.full(len(vertices), 0.004),
        "from_scan": np.full(len(points), 0.001),
        "points": points,
        "notes": ["Unit: cm.", "Up: z."],
        "explained": True,
        "unit": "cm",
        "up": "z",
        "residual": 0.001,
        "partial": False,
        "frame": where,
        "parameters": p,
    }
    return Registration(**values | changes)


class Registrar:
    """Stands for `lvd_live.register`: what it was told, and what it says in turn."""

    def __init__(self, *answers):
        self.answers, self.told = list(answers), []

    def __call__(self, path, *, hand, progress, stop, unit, up):
        self.told.append((hand, unit, up))
        progress(0.5, "fitting the body")
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def run(path, told, register):
    said, ended = [], []
    job = ScanJob(path, told, register)
    job.progressed.connect(lambda share, words: said.append(share))
    job.ended.connect(lambda found, text: ended.append((found, text)))
    job._run()
    return said, ended[0]


def test_a_dropped_scan_is_registered_shown_and_saved(qtbot, scan, ply, tmp_path, monkeypatch):
    register = Registrar(registration(scan), registration(scan, explained=False))
    monkeypatch.setattr("lvd_live.register", register, raising=False)
    settings = QSettings(str(tmp_path / "settings.ini"), QSettings.Format.IniFormat)
    main = MainWindow(FakeFinder, lambda _: FakeTracker(), settings=settings, recordings=tmp_path / "recordings")
    qtbot.addWidget(main)
    drop_file(main, ply)
    window = main.findChild(ScanWindow)
    assert window.isVisible() and not window.save_button.isEnabled() and not window.bar.isVisible()
    qtbot.waitUntil(lambda: window.found is not None, timeout=SOON_MS)
    assert "Unit: cm." in window.said.text() and not window.banner.isVisible() and not window.running
    mesh = window.fit.view.mesh
    low, high = mesh.vertices[:, 1].min(), mesh.vertices[:, 1].max()
    assert 1.4 < high - low < 2.0 and mesh.vertices[:, 1].argmin() == scan[1][:, 2].argmax()  # metres, the head on top
    assert window.bar.shown[0] == "distance" and window.bar.shown[2] <= 10  # the body itself was sampled
    for suffix in (".obj", ".ply", ".glb", ".npz", ".png"):
        target = tmp_path / f"fit{suffix}"
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, target=target: (str(target), ""))
        window.save()
        assert target.stat().st_size > 1000
    assert np.allclose(trimesh.load(tmp_path / "fit.obj", process=False).vertices, scan[1], atol=1e-3)
    with np.load(tmp_path / "fit.npz") as file:
        assert '"scan": "somebody.ply"' in str(file["meta"])
    window.unit.setCurrentIndex(window.unit.findData("cm"))
    window.kind.setCurrentIndex(window.kind.findData("body"))
    window.again.click()
    qtbot.waitUntil(lambda: window.banner.isVisible(), timeout=SOON_MS)
    assert register.told == [(None, None, None), (None, "cm", None)] and "does not explain" in window.banner.text()
    window.close()


def test_a_recording_goes_on_while_a_scan_is_registered(qtbot, ply, tmp_path, monkeypatch):
    monkeypatch.setattr("lvd_live.register", Registrar(UserError("No person."), UserError("No hand.")), raising=False)
    camera = Camera([np.full((120, 160, 3), 40 + i, np.uint8) for i in range(50)], fps=20)
    settings = QSettings(str(tmp_path / "settings.ini"), QSettings.Format.IniFormat)
    main = MainWindow(FakeFinder, lambda _: Tracker(), settings=settings, recordings=tmp_path / "recordings")
    qtbot.addWidget(main)
    main.show()
    main.open(Input("camera", camera.url))
    qtbot.waitUntil(lambda: main.page.view is not None, timeout=SOON_MS)
    main.actions_by_name["record"].trigger()
    drop(main, *(QUrl.fromLocalFile(str(ply)) for _ in range(2)))
    assert main.statusBar().currentMessage() == "One at a time: the first of 2 files was opened."
    window, recorder = main.findChild(ScanWindow), main.tracking.recording.recorder
    assert len(main.findChildren(ScanWindow)) == 1 and not main.tracking.pipeline.paused
    qtbot.waitUntil(lambda: not window.running and recorder.frames > 5, timeout=SOON_MS)
    main.actions_by_name["record"].trigger()
    main.show_scan(ply)
    assert main.tracking.pipeline.paused  # nothing is lost now, and the fit has the machine for itself
    for window in main.findChildren(ScanWindow):
        window.close()
    main.close()
    camera.close()


def test_the_two_views_are_turned_together(qtbot, scan, ply):
    window = ScanWindow(ply, register=Registrar(registration(scan)))
    qtbot.addWidget(window)
    window.show()
    qtbot.waitUntil(lambda: window.found is not None, timeout=SOON_MS)
    window.scan.azimuth += 40
    window.scan.moved.emit()
    assert window.fit.azimuth == window.scan.azimuth
    window.fit.look_from_front()
    assert window.scan.azimuth == window.fit.azimuth == -27.0
    left, right = (view.render_view(200, 300) for view in (window.scan, window.fit))
    background = left[0, 0]
    a, b = ((p != background).any(-1) & (np.ptp(p.astype(int), -1) < 200) for p in (left, right))
    rows = [np.flatnonzero(x[:, 100].astype(int)) for x in (a, b)]
    assert abs(rows[0].min() - rows[1].min()) <= 4  # the same person at the same place


def test_what_is_no_body_is_looked_at_as_a_hand(scan, ply):
    hand = SimpleNamespace(**vars(registration(scan)), side="left")
    register = Registrar(registration(scan, explained=False), hand)
    said, (found, text) = run(ply, Told(), register)
    assert found.hand == "left" and found.fit is hand and text == "" and said == [0.25, 0.75]
    assert [told[0] for told in register.told] == [None, "found"]
    assert np.ptp(found.vertices, axis=0).max() == pytest.approx(1.7, abs=1e-3)  # as large as a body is shown


def test_what_is_neither_is_shown_as_a_body_that_does_not_explain_it(scan, ply):
    body = registration(scan, explained=False)
    _, (found, _) = run(ply, Told(), Registrar(body, UserError("No hand.")))
    assert found.fit is body
    _, (found, text) = run(ply, Told(), Registrar(UserError("No person."), UserError("No hand.")))
    assert found is None and text == "No person."


@pytest.mark.parametrize(("kind", "hand"), [(HAND, "found"), ("left hand", "left"), ("right hand", "right")])
def test_what_is_told_is_passed_on(scan, ply, kind, hand):
    register = Registrar(registration(scan))
    run(ply, Told(kind, "mm", "z"), register)
    assert register.told == [(hand, "mm", None)]  # a hand has no upright


def test_it_can_be_stopped_and_nothing_is_left_running(qtbot, scan, ply):
    begun = threading.Event()

    def register(path, *, stop, progress, **_):
        begun.set()
        assert stop.wait(20)
        raise UserError("Stopped.")

    window = ScanWindow(ply, register=register)
    window.show()
    assert begun.wait(20) and window.running
    window.stop_button.click()
    qtbot.waitUntil(lambda: not window.running, timeout=SOON_MS)
    assert window.banner.text() == "Stopped." and window.found is None and not window.save_button.isEnabled()
    window.again.click()
    job = window.job
    window.close()
    job._thread.join(20)
    assert not job._thread.is_alive()


@pytest.mark.parametrize("content", [b"", b"ply\nformat ascii 1.0\nend_header\n", b"\x00\x01" * 50])
def test_a_file_that_is_no_scan_is_said_in_a_sentence(tmp_path, content):
    path = tmp_path / "broken.ply"
    path.write_bytes(content)
    found, text = run(path, Told(), None)[1]
    assert found is None and "broken.ply" in text and "Error" not in text


def test_a_mistake_in_the_thread_is_seen(ply):
    assert run(ply, Told("body"), Registrar(RuntimeError("of ours")))[1][1].endswith("RuntimeError: of ours")


def test_a_fit_that_cannot_be_written_says_so(qtbot, scan, ply, tmp_path, monkeypatch):
    window = ScanWindow(ply, register=Registrar(registration(scan)))
    qtbot.addWidget(window)
    window.show()
    qtbot.waitUntil(lambda: window.found is not None, timeout=SOON_MS)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "none" / "fit.obj"), ""))
    window.save()
    assert window.banner.isVisible() and "none" in window.banner.text()


def test_scans_are_told_from_results_by_what_is_in_them(tmp_path):
    for suffix in SCANS:
        assert is_scan(tmp_path / f"a{suffix}") and is_scan(tmp_path / f"A{suffix.upper()}")
    assert not is_scan(tmp_path / "a.mp4") and not is_scan(tmp_path / "none.npz")
    points = np.zeros((200, 3))
    for name, arrays, holds in (
        ("cloud", {"points": points}, True),
        ("mesh", {"vertices": points, "faces": np.zeros((3, 3), int)}, True),
        ("result", {"vertices": points[None], "faces": np.zeros((3, 3), int), "vertex_std": points}, False),
        ("motion", {"poses": points, "trans": points}, False),
    ):
        np.savez(tmp_path / f"{name}.npz", **arrays)
        assert is_scan(tmp_path / f"{name}.npz") is holds, name
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 no archive")
    assert not is_scan(tmp_path / "broken.npz")


def test_the_window_knows_the_formats_units_and_axes_of_the_engine():
    assert {*SCANS, ".npz"} == set(reading.SUFFIXES)
    assert tuple(frame.UNITS) == UNITS and tuple(frame.UPS) == UPS and KINDS[0] == FOUND


def test_the_engine_for_scans_is_imported_once_it_is_needed():
    code = (
        "import sys, lvd_live.gui.window; from lvd_live.gui import scan_window; "
        "sys.exit(any(m in sys.modules for m in ('lvd_live.scan.registration', 'trimesh', 'torch', 'scipy.spatial')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_distance_is_that_from_the_surface_and_not_from_its_samples():
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.uniform(0, 1, (4000, 2)), np.zeros(4000)])
    normals = np.tile([0.0, 0.0, 1.0], (4000, 1))
    above = np.column_stack([rng.uniform(0.1, 0.9, (50, 2)), np.full(50, 0.003)])
    assert np.allclose(surface_distance(above, points, normals), 0.003)
    beside = surface_distance(np.array([[1.5, 0.5, 0.0]]), points, normals)
    assert beside[0] == pytest.approx(0.5, abs=0.02)  # a hole is no surface


def test_what_the_scan_does_not_show_is_grey(qtbot, scan, ply):
    points = scan[0][scan[0][:, 2] > 20]  # cm: the upper body
    window = ScanWindow(ply, register=Registrar(registration(scan, points=points, partial=True)))
    qtbot.addWidget(window)
    window.show()
    qtbot.waitUntil(lambda: window.found is not None, timeout=SOON_MS)
    colours, heights = window.fit.view.mesh.colours, scan[1][:, 2]
    assert (np.ptp(colours[heights < 0].astype(int), axis=1) == 0).all() and window.bar.shown[1]
    assert (np.ptp(colours[heights > 25].astype(int), axis=1) > 0).all()


def test_points_hide_what_lies_behind_them(qtbot):
    view = PointsView()
    qtbot.addWidget(view)
    view.has_floor = False
    grid = np.stack(np.meshgrid(np.linspace(-0.5, 0.5, 60), np.linspace(-0.5, 0.5, 60)), -1).reshape(-1, 2)
    wall = np.column_stack([grid, np.zeros(len(grid))]).astype(np.float32)
    behind = wall + np.float32([0, 0, 0.5])
    normals = np.concatenate(
        [np.tile(np.float32([1, 0, 0]), (len(wall), 1)), np.tile(np.float32([0, 0, 1]), (len(wall), 1))]
    )
    points = np.concatenate([wall, behind])
    mesh = Mesh(points, np.zeros((1, 3), np.int32), np.zeros_like(points, np.uint8), None)
    view.azimuth = view.elevation = 0.0
    view.show_points(points, normals, seen_alike(mesh))
    view.azimuth = view.elevation = 0.0
    middle = view.render_view(200, 200)[100, 100]
    assert middle[0] < 160  # the wall in front is lit from the side: dark
