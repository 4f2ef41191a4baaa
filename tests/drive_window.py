"""A take from the first screen to a file for other programs, by real keys and mouse clicks; see test_driven.

    DISPLAY=:N python -m tests.drive_window FOLDER

FOLDER gets the recordings, and a picture of every step.
"""

import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QApplication, QInputDialog, QToolBar

from lvd_live.gui.app import application
from lvd_live.gui.browser import Browser
from lvd_live.gui.export_dialog import ExportDialog
from lvd_live.gui.review import Review
from lvd_live.gui.window import MainWindow
from lvd_live.lift.finder import make_finder
from lvd_live.paths import DEMO
from lvd_live.sources import VideoSource
from lvd_live.tracking.tracker import Tracker
from tests.driver import Driver, drive
from tests.mjpeg import Camera

FIRST_MESH_S, COMPLETE_S = 120.0, 150.0
FPS = 10


class Story:
    """What a user does, step by step."""

    def __init__(self, folder: Path, url: str, window: MainWindow):
        self.folder, self.url, self.window, self.driver = folder, url, window, Driver()
        self.number = 0

    def keep_picture(self, name: str) -> None:
        def grab():
            QApplication.primaryScreen().grabWindow(0).save(str(self.folder / f"{self.number:02d}-{name}.png"))

        time.sleep(0.4)
        self.driver.look(grab)
        self.number += 1

    def __call__(self) -> None:
        self.open_stream()
        self.set_height()
        take = self.record()
        self.trim_and_export(take)
        self.reopen(take)

    def open_stream(self) -> None:
        driver, picture = self.driver, self.window.page.picture
        driver.window(MainWindow)
        driver.wait(picture.welcome.isVisible, "the first screen")
        self.keep_picture("first-screen")
        driver.click(picture.welcome.buttons["camera"])
        driver.window(QInputDialog)
        driver.key("ctrl+a")
        driver.type(self.url)
        self.keep_picture("address")
        driver.key("Return")
        driver.window(MainWindow)
        driver.wait(lambda: self.window.page.view and self.window.page.view.mesh, "a mesh", FIRST_MESH_S)
        self.keep_picture("tracked")

    def set_height(self) -> None:
        driver, controls = self.driver, self.window.page.controls
        driver.click(controls.height_m)
        driver.key("ctrl+a")
        driver.type("1.78")
        driver.key("Return")
        driver.wait(lambda: controls.height_field.metres == 1.78 and controls.height_field.confirmed, "the height")
        driver.click(controls.countdown)
        driver.key("Down", "Return")
        driver.wait(lambda: controls.countdown.currentData() == 3, "a countdown of three seconds")
        driver.click(self.window.page.picture)

    def record(self) -> Path:
        driver, picture, tracking = self.driver, self.window.page.picture, self.window.tracking
        driver.key("v")
        driver.wait(lambda: picture.countdown > 0, "the countdown")
        self.keep_picture("countdown")
        driver.wait(lambda: tracking.recording.recorder and tracking.recording.recorder.seconds > 3, "three seconds")
        self.keep_picture("recording")
        driver.key("v")
        driver.wait(picture.card.isVisible, "the card")
        self.keep_picture("recorded")
        path = picture.card.taken.path
        driver.key("space")  # pause: the frames that wait have the machine for themselves
        driver.wait(lambda: tracking.completer.path is None, "the frames that wait", COMPLETE_S)
        driver.click(picture.card.open_button)
        return path

    def trim_and_export(self, take: Path) -> None:
        driver = self.driver
        review = driver.window(Review)
        driver.wait(lambda: review.shown is not None, "a picture of the take")
        driver.key("Home", "shift+Right", "i", "End", "shift+Left", "o")
        driver.wait(lambda: review.transport.is_part, "a part of the take")
        self.keep_picture("part")
        driver.key("x")
        dialog = driver.window(ExportDialog)
        self.keep_picture("export")
        driver.key("Return")
        driver.wait(lambda: dialog.outcome.text().startswith("Exported"), "the export", 60.0)
        self.keep_picture("exported")
        driver.key("Escape")
        driver.focus(review)
        driver.key("Escape")
        driver.wait(lambda: not review_is_open(), "the review to close")

    def reopen(self, take: Path) -> None:
        driver, window = self.driver, self.window
        driver.focus(window)
        bar = driver.look(lambda: window.findChild(QToolBar))
        driver.click(driver.look(lambda: bar.widgetForAction(window.actions_by_name["recordings"])))
        browser = driver.window(Browser)
        driver.wait(lambda: browser.chosen is not None and browser.chosen.path == take, "the take in the list")
        self.keep_picture("recordings")
        driver.key("Return")
        review = driver.window(Review)
        driver.wait(lambda: review.shown is not None and len(review.data) > 0, "the take again")
        self.keep_picture("again")


def review_is_open() -> bool:
    return any(isinstance(w, Review) and w.isVisible() for w in QApplication.topLevelWidgets())


def main(folder: Path) -> None:
    with VideoSource(DEMO) as source:
        pictures = [np.ascontiguousarray(frame.picture[::2, ::2]) for frame in source]
    camera = Camera(pictures, fps=FPS)
    app = application()
    settings = QSettings(str(folder / "settings.ini"), QSettings.Format.IniFormat)
    window = MainWindow(
        partial(make_finder, live=True), Tracker.load, settings=settings, recordings=folder / "recordings"
    )
    window.move(0, 0)
    window.resize(app.primaryScreen().availableSize())
    window.show()
    story = Story(folder, camera.url, window)
    try:
        drive(app, story)
    finally:
        window.close()
        camera.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
