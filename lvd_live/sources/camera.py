"""A live camera: one thread reads it, one slot holds its newest picture."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from lvd_live.errors import UserError
from lvd_live.sources.address import public
from lvd_live.sources.capture import CameraMode, Capture, open_capture, read_picture, set_mode
from lvd_live.sources.devices import find_camera
from lvd_live.sources.frame import Frame

log = logging.getLogger(__name__)

TIMEOUT_MS = 1500  # for opening, and for one picture; OpenCV would wait 30 s
BACK_OFF_S = (0.25, 0.5, 1.0, 2.0)  # between attempts to reconnect; the last one repeats
FROZEN_S = 2.0  # some unplugged cameras repeat their last picture
_FPS_MAX = 1000.0
_PROBE = 97  # every so many bytes of a picture are compared to notice that

STATES = ("running", "frozen", "stalled", "reconnecting", "closed")


class CameraSource:
    """The newest picture of a camera (its number, name or device), or of a network stream (its address); see `Source`.

    A picture that is not taken before the next one arrives is dropped, so a slow consumer is never behind the camera.
    Frame.timestamp_ns is time.monotonic_ns() when the picture had arrived; Frame.index counts all that arrived, so a
    gap in it is a drop.

    dropped : pictures that nobody took.
    state : one of STATES; "frozen" repeats one picture, "stalled" sends none, "reconnecting" has gone away.
    size : (width, height) of the newest picture, pixels; it may change, as when a phone is turned.
    mode : what the camera is asked for; by default what it likes. A stream sends what it sends.
    fps : frames per second as the camera states them; None where it says nothing sensible.
    on_frame : called in the camera's thread with every picture, those too that nobody takes in time; must be quick.
    Raises UserError when the camera cannot be opened at first; later losses are waited out and shown by `state`.
    """

    live: bool = True
    skipped: int = 0
    damaged: str | None = None
    frame_count: int | None = None

    def __init__(self, index_or_url: int | str, *, timeout_ms: int = TIMEOUT_MS, mode: CameraMode | None = None):
        self._address = find_camera(index_or_url) if isinstance(index_or_url, str) else index_or_url
        self._timeout_ms, self._mode = timeout_ms, mode
        capture = self._open()
        picture = read_picture(capture) if capture is not None else None
        if capture is None or picture is None:
            _release(capture)
            raise UserError(_cannot_open(self._address))
        fps = float(capture.get(cv2.CAP_PROP_FPS))
        self.fps = fps if 0 < fps < _FPS_MAX else None  # some drivers say 0, -1, inf or NaN
        self.size = (picture.shape[1], picture.shape[0])
        if mode is not None and self.size != (mode.width, mode.height):
            log.warning("Camera %s has no %s: it sends %d x %d.", public(self._address), mode, *self.size)
        self.dropped = 0
        self.on_frame: Callable[[Frame], object] = lambda _: None
        self._connection = "running"
        self._count = 0
        self._slot: Frame | None = None
        self._probe = b""
        self._changed_ns = self._arrived_ns = time.monotonic_ns()
        self._news = threading.Condition()
        self._stop = threading.Event()
        self._put(picture)
        self._thread = threading.Thread(target=self._run, args=(capture,), name="camera", daemon=True)
        self._thread.start()

    def __enter__(self) -> CameraSource:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        """Newest pictures until `close`; waits while there are none."""
        while not self._stop.is_set():
            frame = self.read(timeout_s=0.5)
            if frame is not None:
                yield frame

    @property
    def state(self) -> str:
        now = time.monotonic_ns()
        if self._connection == "running" and now - self._arrived_ns > self._timeout_ms * 1_000_000 / 2:
            return "stalled"
        if self._connection == "running" and self._arrived_ns - self._changed_ns > FROZEN_S * 1e9:
            return "frozen"
        return self._connection

    def read(self, timeout_s: float = 0.0) -> Frame | None:
        """The newest picture not taken yet, waiting for one up to timeout_s seconds; None when there is none."""
        with self._news:
            self._news.wait_for(lambda: self._slot is not None or self._stop.is_set(), timeout_s)
            frame, self._slot = self._slot, None
            return frame

    def close(self) -> None:
        """Stop the thread and give the camera back; returns within about the timeout even when the camera hangs."""
        self._stop.set()
        with self._news:
            self._news.notify_all()
        self._thread.join(self._timeout_ms / 1000 + 1)
        self._connection = "closed"

    def _run(self, capture: Capture | None) -> None:
        """The thread: read pictures until `close`, opening the camera again whenever it is lost."""
        attempt = 0
        while not self._stop.is_set():
            picture = read_picture(capture) if capture is not None else None
            if picture is not None:
                if self._connection != "running":
                    log.info("Camera %s is back.", public(self._address))
                attempt, self._connection = 0, "running"
                self._put(picture)
                continue
            if self._connection == "running":
                self._connection = "reconnecting"
                log.warning("Camera %s sends no pictures; reconnecting.", public(self._address))
            _release(capture)
            self._stop.wait(BACK_OFF_S[min(attempt, len(BACK_OFF_S) - 1)])
            attempt += 1
            capture = None if self._stop.is_set() else self._open()
        _release(capture)

    def _open(self) -> Capture | None:
        """The camera, asked for the mode that is wanted; None where it cannot be opened."""
        capture = open_capture(self._address, self._timeout_ms)
        if capture is not None and self._mode is not None:
            set_mode(capture, self._mode)
        return capture

    def _put(self, picture: np.ndarray) -> None:
        """Make a picture the newest one."""
        now = time.monotonic_ns()
        probe = picture.reshape(-1)[::_PROBE].tobytes()
        if probe != self._probe:
            self._probe, self._changed_ns = probe, now
        self._arrived_ns = now
        size = (picture.shape[1], picture.shape[0])
        if size != self.size:
            log.warning("Camera %s now sends pictures of %d x %d.", public(self._address), *size)
        self.size = size
        with self._news:
            self.dropped += self._slot is not None
            self._slot = frame = Frame(picture, self._count, now, str(public(self._address)))
            self._count += 1
            self._news.notify_all()
        self.on_frame(frame)


def _release(capture: Capture | None) -> None:
    if capture is not None:
        capture.release()


def _cannot_open(address: int | str) -> str:
    if isinstance(address, int) or address.startswith("/dev/"):
        remedy = "plug one in, close other programs that use it, or choose another number"
        camera = "camera" if isinstance(address, int) and address < 0 else f"camera {address}"
        return f"No {camera} could be opened: {remedy}."
    return f"The stream {public(address)} sends no pictures: check the address and that its sender is running."
