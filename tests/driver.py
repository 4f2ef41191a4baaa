"""A window driven as a person drives it: real key and mouse events on a virtual screen, sent by xdotool.

The driver works in a thread beside Qt's; it looks at widgets, and touches nothing but mouse and keyboard.
"""

import os
import shutil
import subprocess
import threading
import time
from ctypes.util import find_library

from PySide6.QtCore import QObject, QPoint, Qt, Signal
from PySide6.QtWidgets import QApplication, QWidget

MISSING = [name for name in ("Xvfb", "xdotool") if shutil.which(name) is None]
MISSING += [name for name in ("xcb-cursor", "xkbcommon-x11", "xcb-icccm") if find_library(name) is None]
KEY_S = 0.15  # between two keys


class Screen:
    """A virtual screen; a context manager whose value is its DISPLAY."""

    def __init__(self, width=1280, height=720):
        self.size = f"{width}x{height}x24"

    def __enter__(self):
        read, write = os.pipe()
        command = ["Xvfb", "-displayfd", str(write), "-screen", "0", self.size, "-nolisten", "tcp"]
        self.process = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as pipe:
            number = pipe.readline().strip()
        if not number:
            raise RuntimeError("Xvfb did not start")
        return f":{number}"

    def __exit__(self, *exception):
        self.process.terminate()
        self.process.wait(10)


class _Asker(QObject):
    """Runs a function in Qt's thread, for another thread that waits for what it returns."""

    asked = Signal(object)

    def __init__(self):
        super().__init__()
        self.asked.connect(lambda ask: ask(), Qt.ConnectionType.QueuedConnection)

    def __call__(self, what):
        done, answer = threading.Event(), []

        def ask():
            try:
                answer.append((what(), None))
            except Exception as error:
                answer.append((None, error))
            done.set()

        self.asked.emit(ask)
        if not done.wait(20):
            raise TimeoutError("the window does not answer")
        value, error = answer[0]
        if error is not None:
            raise error
        return value


class Driver:
    """Mouse and keyboard. Made in Qt's thread, used in another one."""

    def __init__(self):
        self.look = _Asker()

    def wait(self, condition, what, seconds=30.0):
        """Until the condition, which is asked in Qt's thread, holds; returns its value."""
        end = time.monotonic() + seconds
        while not (value := self.look(condition)):
            if time.monotonic() > end:
                raise TimeoutError(f"it did not come: {what}")
            time.sleep(0.05)
        return value

    def window(self, kind):
        """The visible window of a class, once there is one; it gets the keyboard, as a window manager would do."""

        def find():
            return next((w for w in QApplication.topLevelWidgets() if isinstance(w, kind) and w.isVisible()), None)

        found = self.wait(find, kind.__name__)
        self.focus(found)
        return found

    def focus(self, window):
        time.sleep(0.3)
        _xdotool("windowfocus", "--sync", str(int(self.look(window.winId))))
        time.sleep(0.2)

    def click(self, widget, where=None):
        """On the middle of a widget, or on a point in it."""
        self.wait(widget.isVisible, f"{widget} to be seen")
        at = self.look(lambda: _on_screen(widget, where))
        _xdotool("mousemove", "--sync", str(at.x()), str(at.y()))
        time.sleep(0.1)
        _xdotool("click", "1")
        time.sleep(0.3)

    def key(self, *names):
        for name in names:
            _xdotool("key", "--clearmodifiers", name)
            time.sleep(KEY_S)

    def type(self, text):
        _xdotool("type", "--delay", "40", text)
        time.sleep(KEY_S)


def _on_screen(widget: QWidget, where: QPoint | None) -> QPoint:
    """A point of a widget in the screen's own pixels."""
    point = widget.mapToGlobal(widget.rect().center() if where is None else where)
    return point * widget.devicePixelRatio()


def _xdotool(*arguments):
    subprocess.run(["xdotool", *arguments], check=True, timeout=20)


def drive(app, story):
    """Run `story()` in a thread while Qt runs; raises what it raises."""
    failure = []

    def run():
        try:
            story()
        except BaseException as error:
            failure.append(error)
        asker.asked.emit(app.quit)

    asker = _Asker()
    thread = threading.Thread(target=run, name="driver", daemon=True)
    thread.start()
    app.exec()
    thread.join(5)
    if failure:
        raise failure[0]
