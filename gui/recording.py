"""A session being recorded from what the window tracks."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from lvd_live import __version__
from lvd_live.errors import UserError
from lvd_live.pipeline.live import Pipeline, Result

if TYPE_CHECKING:
    from lvd_live.body.measure import Measurement
    from lvd_live.session.recorder import Recorder


class Recording(QObject):
    """At most one recording at a time.

    recorder : of the one that runs, or None.
    running : whether one runs now, whenever that changes.
    ended : a sentence about one whose files are finished.
    """

    running = Signal(bool)
    ended = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.recorder: Recorder | None = None

    def start(self, root: Path, pipeline: Pipeline | None, title: str, name: str = "") -> None:
        """Record what `pipeline` tracks into a new folder in `root`, called by `name` or the input's title.

        Raises UserError where there is nothing to record, or no place for it.
        """
        # imported here, as below: what they need takes a second to import, and the window must be there at once
        from lvd_live.session.recorder import Recorder
        from lvd_live.session.sequence import describe_run

        if pipeline is None or pipeline.tracker is None or pipeline.source is None or pipeline.finder is None:
            raise UserError("There is nothing to record yet: choose a camera or a video first.")
        tracker = pipeline.tracker
        meta = describe_run(pipeline.finder, tracker) | {"source": title, "version": __version__}
        called, fps = name or Path(title).stem.replace(" ", "-"), pipeline.source.fps or 0.0
        self.recorder = Recorder(root, called, faces=tracker.faces, meta=meta, fps=fps)
        self.running.emit(True)

    def add(self, result: Result) -> None:
        """Record this, if a recording runs; called in the fit's thread."""
        recorder = self.recorder
        if recorder is not None:
            recorder.add(result.frame, result.person, result.fit)

    def stop(self, found: dict[str, Measurement]) -> None:
        """End the recording, if one runs, and keep the person's measurements with it.

        The files are finished in a thread of their own: a slow disk must not hold the window; the program waits for it.
        """
        recorder, self.recorder = self.recorder, None
        self.running.emit(False)
        if recorder is not None:
            threading.Thread(target=self._finish, args=(recorder, found), name="recorder's end").start()

    def _finish(self, recorder: Recorder, found: dict[str, Measurement]) -> None:
        from lvd_live.session.measured import keep_measurements

        path = recorder.stop()
        with contextlib.suppress(UserError):  # the session is whole without
            keep_measurements(path, found)
        text = "Nothing was recorded."
        if recorder.frames:
            counts = f"{recorder.seconds:.1f} s, {recorder.frames} frames ({recorder.dropped} dropped)"
            text = f"Recorded {counts}, into {path}."
        with contextlib.suppress(RuntimeError):  # the window is gone
            self.ended.emit(recorder.problem or text)
