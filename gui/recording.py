"""A session being recorded from what the window tracks."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from lvd_live import __version__
from lvd_live.errors import UserError
from lvd_live.gui.language import tr
from lvd_live.pipeline.live import Pipeline, Result
from lvd_live.sources import CameraSource, Frame

if TYPE_CHECKING:
    from lvd_live.body.measure import Measurement
    from lvd_live.session.recorder import Recorder

PATIENCE_S = 0.5  # for the fits of a recording's last pictures


@dataclass(frozen=True)
class Recorded:
    """What became of a recording.

    path : the session's folder, None where there was not a single frame.
    seconds, frames, lost : of the session, see `Recorder`. unfitted : of the frames, those that are still to be fitted.
    why : a sentence why it ended, "" where it was stopped by the user.
    """

    path: Path | None
    seconds: float
    frames: int
    lost: int
    why: str
    unfitted: int = 0

    def __str__(self) -> str:
        if self.path is None:
            return tr("Nothing was recorded.")
        dropped = tr(", {} dropped").format(self.lost) if self.lost else ""
        return tr("Recorded: {:.1f} s, {} frames").format(self.seconds, self.frames) + dropped


class Recording(QObject):
    """At most one recording at a time.

    recorder : of the one that runs, or None.
    running : whether one runs now, whenever that changes.
    ended : a `Recorded` whose files are finished.
    """

    running = Signal(bool)
    ended = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.recorder: Recorder | None = None
        self._ending: Recorder | None = None  # takes no more pictures, but fits of those that it has

    def start(
        self, root: Path, pipeline: Pipeline | None, title: str, name: str = "", about: Mapping[str, Any] | None = None
    ) -> None:
        """Record what `pipeline` tracks into a new folder in `root`, called by `name` or the input's title.

        about : what the session is to remember beside finder and tracker, JSON values.

        Raises UserError where there is nothing to record, or no place for it.
        """
        # imported here, as below: what they need takes a second to import, and the window must be there at once
        from lvd_live.session.recorder import Recorder
        from lvd_live.session.sequence import describe_run

        if pipeline is None or pipeline.tracker is None or pipeline.source is None or pipeline.finder is None:
            raise UserError(tr("There is nothing to record yet: choose a camera or a video first."))
        tracker = pipeline.tracker
        meta = describe_run(pipeline.finder, tracker) | {"source": title, "version": __version__} | dict(about or {})
        called, fps = name or Path(title).stem.replace(" ", "-"), pipeline.source.fps or 0.0
        self.recorder = Recorder(
            root, called, faces=tracker.faces, meta=meta, fps=fps, every_frame=isinstance(pipeline.source, CameraSource)
        )
        self.running.emit(True)

    def see(self, frame: Frame) -> None:
        """Record this picture of a camera, if a recording runs; called in the camera's thread."""
        if (recorder := self.recorder) is not None and recorder.every_frame:
            recorder.see(frame)

    def add(self, result: Result) -> None:
        """Record this, if a recording runs; called in the fit's thread."""
        for recorder in (self._ending, self.recorder):
            if recorder is not None:
                recorder.add(result.frame, result.person, result.fit)

    def stop(self, found: dict[str, Measurement], why: str = "") -> None:
        """End the recording, if one runs, and keep the person's measurements with it.

        The files are finished in a thread of their own: a slow disk must not hold the window; the program waits for it.

        why : a sentence why it ends, "" where the user wants it.
        """
        recorder, self.recorder = self.recorder, None
        self._ending = recorder if recorder is not None and recorder.every_frame else None
        self.running.emit(False)
        if recorder is not None:
            threading.Thread(target=self._finish, args=(recorder, found, why), name="recorder's end").start()

    def _finish(self, recorder: Recorder, found: dict[str, Measurement], why: str) -> None:
        from lvd_live.session.measured import keep_measurements

        path = recorder.stop(PATIENCE_S if recorder is self._ending else 0.0)
        with contextlib.suppress(UserError):  # the session is whole without
            keep_measurements(path, found)
        if self._ending is recorder:
            self._ending = None
        kept = path if recorder.frames else None
        recorded = Recorded(
            kept, recorder.seconds, recorder.frames, recorder.lost, recorder.problem or why, recorder.unfitted
        )
        with contextlib.suppress(RuntimeError):  # the window is gone
            self.ended.emit(recorded)
