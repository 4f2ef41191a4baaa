"""A session being recorded from the window's pipeline."""

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
    from lvd_live.pipeline.measuring import Measurer
    from lvd_live.session.recorder import Recorder


class Recording(QObject):
    """At most one recording at a time. recorder: it, or None; ended: a sentence about one that is whole on the disk."""

    ended = Signal(str)

    def __init__(self):
        super().__init__()
        self.recorder: Recorder | None = None

    def start(self, root: Path, pipeline: Pipeline | None, title: str, name: str = "") -> None:
        """Record what `pipeline` tracks into a new folder in `root`, called by `name` or the input's title. UserError where there is nothing to record, or no place for it."""
        # here, as below: what they need takes a second to import, and the window is to be there at once
        from lvd_live.session.recorder import Recorder
        from lvd_live.session.sequence import describe_run

        tracker = pipeline and pipeline.tracker
        if not tracker or pipeline.source is None or pipeline.finder is None:
            raise UserError("There is nothing to record yet: choose a camera or a video first.")
        meta = describe_run(pipeline.finder, tracker) | {"source": title, "version": __version__}
        self.recorder = Recorder(
            root,
            name or Path(title).stem.replace(" ", "-"),
            faces=tracker.faces,
            meta=meta,
            fps=pipeline.source.fps or 0.0,
        )

    def add(self, result: Result) -> None:
        """In the fit's thread."""
        recorder = self.recorder
        if recorder is not None:
            recorder.add(result.frame, result.person, result.fit)

    def stop(self, measurer: Measurer | None) -> None:
        """End it, with the person's measurements. The files are finished in a thread of their own: a slow disk must not hold the window; the program waits for it."""
        recorder, self.recorder = self.recorder, None
        if recorder is None:
            return
        from lvd_live.session.measured import keep_measurements

        found = measurer.latest if measurer is not None else {}

        def finish() -> None:
            path = recorder.stop()
            with contextlib.suppress(UserError):  # the session is whole without
                keep_measurements(path, found)
            with contextlib.suppress(RuntimeError):  # the window is gone
                self.ended.emit(
                    recorder.problem
                    or (
                        f"Recorded {recorder.seconds:.1f} s, {recorder.frames} frames ({recorder.dropped} dropped), into {path}."
                        if recorder.frames
                        else "Nothing was recorded."
                    )
                )

        threading.Thread(target=finish, name="recorder's end").start()
