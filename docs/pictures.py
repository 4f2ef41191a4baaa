"""Makes docs/pictures: the window in every state, on virtual screens of several sizes. Needs Xvfb.

python docs/pictures.py [1280x720 …]     # all sizes where none is named; 3840x2160@2 is one of scale 2

The camera gives as many pictures as the machine can fit, so that the window is seen at rest on a busy one, too. What it
shows then, fits a second, is printed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "pictures"
SIZES = ("1024x600", "1280x720", "1920x1080", "2560x1440@2")
WIDTH, COLOURS = 800, 96  # of the pictures that are kept
MAIN = "1280x720"  # all states are kept of this size, FEW of the others
FEW = ("first-screen", "live", "recording", "details", "review")
SOON_S, QUIET_S = 180.0, 4.0
FPS, SLOWER = 10.0, 0.85  # pictures a second at most; the factor by which there are fewer where some were dropped


class States:
    """Brings a window into one state after another, and keeps a picture of each."""

    def __init__(self, size: str, folder: Path):
        import numpy as np
        from PySide6.QtCore import QSettings

        from lvd_live.gui.app import application
        from lvd_live.gui.window import MainWindow
        from lvd_live.lift.finder import make_finder
        from lvd_live.paths import DEMO
        from lvd_live.sources import VideoSource
        from lvd_live.tracking.tracker import Tracker
        from tests.mjpeg import Camera

        with VideoSource(DEMO) as source:
            pictures = [np.ascontiguousarray(frame.picture[::2, ::2]) for frame in source]
        self.app, self.size, self.folder = application(), size, folder
        self.camera = Camera(pictures, fps=FPS)
        settings = QSettings(str(folder / "settings.ini"), QSettings.Format.IniFormat)
        find = partial(make_finder, live=True)
        self.window = MainWindow(find, Tracker.load, settings=settings, recordings=folder / "recordings")
        self.window.tracking.budget_ms = float("inf")  # nothing is left out on a machine that is busy
        self.window.move(0, 0)
        self.window.resize(self.app.primaryScreen().availableSize())
        self.window.show()

    def make(self) -> None:
        """All of them."""
        from lvd_live.gui.inputs import Input

        window, page = self.window, self.window.page
        actions, picture = window.actions_by_name, page.picture
        self.pause(1.5)
        self.keep("first-screen")
        page.controls.height_m.setValue(1.7)
        window.open(Input("camera", self.camera.url))
        self.wait(lambda: page.view is not None and page.view.mesh is not None)
        self.keep("live", quiet=True)
        picture.show_advice("Step back: feet not visible")
        self.keep("advice", settle=False)
        page.controls.countdown.setCurrentIndex(1)
        actions["record"].trigger()
        self.pause(0.3)
        self.keep("countdown", settle=False)
        self.wait(lambda: window.tracking.recording.recorder is not None)
        self.pause(4)
        self.keep("recording", settle=False)
        actions["record"].trigger()
        self.wait(picture.card.isVisible)
        self.keep("recorded")
        actions["details"].trigger()
        picture.card.hide()
        self.pause(12)  # for the plots to have something to show
        self.keep("details", quiet=True)
        self.calibrate()
        actions["details"].trigger()
        actions["pause"].trigger()
        self.wait(lambda: window.tracking.completer.path is None)
        self.show_take(picture.card.taken.path)
        actions["pause"].trigger()
        self.camera.mode = "stall"
        self.wait(lambda: picture.stale)
        self.pause(2)
        self.keep("not-live")
        self.register_scan()

    def calibrate(self) -> None:
        """The dialog that asks who is calibrated."""
        from lvd_live.gui.calibrate_dialog import CalibrateDialog

        dialog = CalibrateDialog(["Anna"], self.window)
        dialog.distance_box.setValue(3.2)
        dialog.show()
        self.keep("calibrate", dialog)
        dialog.close()

    def register_scan(self) -> None:
        """A scan made of the bundled body, with a scanner's noise, and the fit to it."""
        import numpy as np
        import trimesh

        from lvd_live.gui.scan_window import ScanWindow
        from tests.scans import person, skinned, surface_points

        rng = np.random.default_rng(3)
        _, posed = person(3, noise=0.2)
        points, _ = surface_points(posed.vertices, skinned().faces, 60_000, rng)
        path = self.folder / "scan.ply"
        trimesh.PointCloud(points + rng.normal(0, 0.001, points.shape)).export(path)
        self.window.show_scan(path)
        scan = self.window.findChild(ScanWindow)
        scan.move(0, 0)
        self.pause(1)
        self.wait(lambda: not scan.running, 4 * SOON_S)
        self.keep("scan", scan)
        scan.close()

    def show_take(self, take: Path) -> None:
        """The review, its export, the list of recordings."""
        from lvd_live.gui.export_dialog import ExportDialog
        from lvd_live.gui.review import Review

        window = self.window
        window.show_take(take)
        review = window.findChild(Review)
        review.move(0, 0)
        screen = self.app.primaryScreen().availableSize()
        review.resize(min(1180, screen.width()), min(760, screen.height()))
        rows = len(review.data)
        review.transport.set_part(rows // 5, 4 * rows // 5)
        review.slider.setValue(rows // 2)
        self.wait(lambda: review.shown is not None and review.shown.of == rows // 2)
        self.keep("review", review)
        review.export()
        self.keep("export", review.findChild(ExportDialog))
        review.findChild(ExportDialog).close()
        review.close()
        window.actions_by_name["recordings"].trigger()
        self.keep("recordings", window.browser)
        window.browser.close()

    def keep(self, name: str, widget=None, settle: bool = True, quiet: bool = False) -> None:
        """quiet : once the pictures come evenly, and no message is in the way."""
        from PySide6.QtCore import Qt
        from PySide6.QtGui import QImage

        if quiet:
            self.wait_until_quiet()
        elif settle:
            self.pause(0.5)
        seen = (widget or self.window).grab().toImage()
        if seen.width() > WIDTH:
            seen = seen.scaledToWidth(WIDTH, Qt.TransformationMode.SmoothTransformation)
        seen.convertToFormat(QImage.Format.Format_RGB888).save(str(self.folder / f"{name}-{self.size}.png"))

    def wait_until_quiet(self) -> None:
        """For QUIET_S in a row the window shows new pictures, none is dropped or late, and nothing is said."""
        page, pipeline, start = self.window.page, self.window.tracking.pipeline, time.monotonic()
        since, displayed, dropped = start, page.displayed, pipeline.dropped
        while time.monotonic() - start < SOON_S:
            self.pause(0.2)
            calm = pipeline.state == "running" and not page.picture.stale and not page.banner.isVisible()
            if pipeline.dropped > dropped and time.monotonic() - since > 1:
                self.camera.fps = SLOWER * min(self.camera.fps, pipeline.statistics.fits_per_second)
                calm = False
            if not calm or self.window.statusBar().currentMessage() or page.picture.advice:
                since, displayed, dropped = time.monotonic(), page.displayed, pipeline.dropped
            elif time.monotonic() - since > QUIET_S and page.displayed - displayed >= 5:
                rate = pipeline.statistics.fits_per_second
                sys.stdout.write(f"{self.size}: {rate:.1f} fits/s, {page.latency_ms:.0f} ms\n")
                return
        raise TimeoutError("the window did not come to rest")

    def wait(self, condition: Callable[[], object], seconds: float = SOON_S) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError("the window did not come into a state")
            self.pause(0.02)

    def pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.app.processEvents()
            time.sleep(0.01)

    def close(self) -> None:
        self.window.close()
        self.camera.close()


def reduce(path: Path) -> None:
    """The picture at `path`, in a few colours: a quarter of the bytes."""
    import cv2
    import numpy as np

    picture = cv2.imread(str(path))
    few = cv2.resize(picture, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA).reshape(-1, 3).astype(np.float32)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 8, 1.0)
    cv2.setRNGSeed(0)
    _, _, centres = cv2.kmeans(few, COLOURS, None, stop, 1, cv2.KMEANS_PP_CENTERS)
    index = np.empty(picture.shape[:2], int)
    for row, line in enumerate(picture.astype(np.float32)):
        index[row] = ((line[:, None] - centres[None]) ** 2).sum(-1).argmin(-1)
    from PySide6.QtGui import QImage, qRgb

    indexed = np.ascontiguousarray(np.pad(index.astype(np.uint8), ((0, 0), (0, -index.shape[1] % 4))))
    image = QImage(indexed.data, index.shape[1], index.shape[0], indexed.shape[1], QImage.Format.Format_Indexed8)
    image.setColorTable([qRgb(*(int(c) for c in centre[::-1])) for centre in centres])
    image.save(str(path))


def make_size(size: str) -> None:
    """In a process of its own, on a screen of its own."""
    from tests.driver import Screen

    geometry, _, scale = size.partition("@")
    width, height = map(int, geometry.split("x"))
    with tempfile.TemporaryDirectory() as scratch, Screen(width, height) as display:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("QT_", "WAYLAND"))}
        environment |= {"DISPLAY": display, "QT_QPA_PLATFORM": "xcb", "PYTHONPATH": str(ROOT)}
        environment |= {"QT_SCALE_FACTOR": scale} if scale else {}
        environment |= {"HOME": scratch}  # so that paths in the pictures are nobody's own
        subprocess.run([sys.executable, __file__, "--here", size, scratch], check=True, env=environment, cwd=ROOT)
        FOLDER.mkdir(exist_ok=True)
        for path in sorted(Path(scratch).glob("*.png")):
            if size != MAIN and path.name.removesuffix(f"-{size}.png") not in FEW:
                continue
            reduce(path)
            (FOLDER / path.name).write_bytes(path.read_bytes())


def main(arguments: list[str]) -> None:
    sys.path.insert(0, str(ROOT))
    if arguments[:1] == ["--here"]:
        states = States(arguments[1], Path(arguments[2]))
        try:
            states.make()
        finally:
            states.close()
        return
    for size in arguments or SIZES:
        make_size(size)


if __name__ == "__main__":
    main(sys.argv[1:])
