"""Watching the person before a camera: what they should change, and the gesture that starts a recording."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from lvd_live.person.guidance import advise, hands_are_up
from lvd_live.person.roi import roi_of_picture

if TYPE_CHECKING:
    from lvd_live.person.types import Person
    from lvd_live.pipeline.live import Result
    from lvd_live.sources.frame import Frame

LOOK_S = 1.0  # between two looks for what is wrong
HOLD_S, DROPOUT_S = 2.0, 0.3  # that both hands must be up, and that they may be lost of sight meanwhile


class Guide(QObject):
    """Looks at the newest result once a second, in a thread of its own, from `offer` on.

    detect : finds all bodies in a picture, None where the finder cannot.

    advised : a sentence for the person, whenever it changes; "" where all is well.
    """

    advised = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.finder: object | None = None
        self.text = ""
        self._newest: tuple[Frame, Person | None] | None = None
        self._news = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def offer(self, result: Result) -> None:
        """Quick; called in the fit's thread."""
        self._newest = result.frame, result.person
        self._news.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="guide", daemon=True)
            self._thread.start()

    def forget(self) -> None:
        """Say nothing, until there is another result."""
        self._newest = None
        self._say("")

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._news.set()
        if self._thread is not None:
            self._thread.join(0.5)

    def _run(self) -> None:
        while self._news.wait() and not self._stop.is_set():
            self._news.clear()
            if (newest := self._newest) is not None:
                frame, person = newest
                self._say(advise(frame.picture, person, self._count(frame, person)))
            self._stop.wait(LOOK_S)

    def _count(self, frame: Frame, person: Person | None) -> int:
        """How many people are seen; 1 where the finder does not tell."""
        detect = getattr(self.finder, "detect", None)
        if detect is None or person is None:
            return 1
        return len(detect(frame.picture, roi_of_picture(*frame.picture.shape[:2])))

    def _say(self, text: str) -> None:
        if text != self.text and not self._stop.is_set():
            self.text = text
            self.advised.emit(text)


class Gesture:
    """Calls `act` once both hands were above the head for HOLD_S, and again only after they were down.

    progress : 0..1, how long they are up.
    """

    def __init__(self, act: Callable[[], object]):
        self._act = act
        self.progress = 0.0
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._since_ns: int | None = None
        self._seen_ns = 0  # when they were up last
        self._done = False
        self.progress = 0.0

    def __call__(self, person: Person | None, timestamp_ns: int) -> None:
        """Take note of one frame."""
        if not hands_are_up(person):
            if timestamp_ns - self._seen_ns > DROPOUT_S * 1e9:
                self.forget()
            return
        self._seen_ns = timestamp_ns
        if self._since_ns is None:
            self._since_ns = timestamp_ns
        self.progress = 0.0 if self._done else min((timestamp_ns - self._since_ns) / (HOLD_S * 1e9), 1.0)
        if self.progress >= 1.0:
            self._done, self.progress = True, 0.0
            self._act()
