"""An offline job in the window: a video in, a mesh sequence out, with progress and a way to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QLabel, QProgressBar, QVBoxLayout, QWidget

from lvd_live import __version__
from lvd_live.errors import UserError
from lvd_live.gui.background import BackgroundTask, is_left_alone
from lvd_live.gui.language import tr
from lvd_live.gui.review import review
from lvd_live.gui.status import time_text
from lvd_live.pipeline import offline
from lvd_live.sources import VideoSource
from lvd_live.storage.files import fresh_name, reason

if TYPE_CHECKING:
    from lvd_live.person.types import PersonFinder
    from lvd_live.tracking.tracker import Tracker


class Job(BackgroundTask):
    """`offline.process` of `video`, into a fresh `<stem>.npz` in `folder`; what is done where it is cancelled is kept.

    make_finder, make_tracker : called in that thread.

    progressed : frames done; frames expected, or None; frames a second since the first.
    ended : the `offline.Summary`, or None; a sentence of what became of it.
    """

    progressed = Signal(int, object, float)
    failure = "The job failed"

    def __init__(
        self,
        video: Path,
        make_finder: Callable[[], PersonFinder],
        make_tracker: Callable[[], Tracker],
        folder: Path,
    ):
        super().__init__("job")
        self.video, self.folder = Path(video), Path(folder)
        self._make_finder, self._make_tracker = make_finder, make_tracker
        self._began: float | None = None  # when the first frame was done, seconds

    def _work(self) -> tuple[offline.Summary, str]:
        summary = self._process()
        kept = tr("Nothing was written.")
        if summary.output:
            kept = tr("{} of {} frames tracked, in {}.").format(summary.tracked, summary.frames, summary.output)
        return summary, (tr("Stopped: ") if summary.interrupted else "") + " ".join((kept, *summary.trouble))

    def _process(self) -> offline.Summary:
        from lvd_live.person.types import look_for_hands

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"Cannot write to {self.folder}: {reason(error)}.") from error
        with VideoSource(self.video) as source:
            finder, tracker = self._make_finder(), self._make_tracker()
            look_for_hands(finder, tracker.options.hands)
            if self.cancelled:
                raise UserError(tr("Stopped before the first frame: nothing was written."))
            return offline.process(
                source,
                finder,
                tracker,
                output=fresh_name(self.folder / f"{self.video.stem}.npz"),
                progress=self._progress,
                stop=self._stop,
                meta={"source": self.video.name, "version": __version__},
            )

    def _progress(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        self._began = self._began or now
        self.progressed.emit(done, total, (done - 1) / (now - self._began) if now > self._began else 0.0)


class JobDialog(QDialog):
    """The progress of a job; closing it cancels the job.

    on_result : called with the output and the video where there is something to look at.
    """

    def __init__(self, job: Job, on_result: Callable[[Path, Path], object], parent: QWidget | None = None):
        super().__init__(parent)
        self.setWindowTitle(tr("Process {}").format(job.video.name))
        self.setMinimumWidth(460)
        self.job, self._on_result = job, on_result
        self.bar, self.label = QProgressBar(), QLabel(tr("Loading the models …"))
        self.bar.setMaximum(0)
        self.label.setWordWrap(True)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        for widget in (self.label, self.bar, self.buttons):
            layout.addWidget(widget)
        self.running = True
        job.progressed.connect(self._show)
        job.ended.connect(self._end)
        job.start()

    def reject(self) -> None:
        if self.running:
            self.label.setText(tr("Stopping; what is done is kept …"))
            self.job.cancel()
        if not self.running or is_left_alone(self):
            super().reject()

    def _show(self, done: int, total: int | None, fps: float) -> None:
        self.bar.setMaximum(max(total or 0, 0))
        self.bar.setValue(min(done, total or 0))
        remaining = ""
        if total and fps and total >= done:
            remaining = tr(", {} min remaining").format(time_text((total - done) / fps))
        if not self.job.cancelled:
            place = tr("Frame {} of {}").format(done, total) if total else tr("Frame {}").format(done)
            self.label.setText(place + tr(", {:.1f} frames/s").format(fps) + remaining)

    def _end(self, summary: offline.Summary | None, text: str) -> None:
        self.running = False
        self.bar.setMaximum(1)
        self.bar.setValue(1)
        self.label.setText(text)
        self.buttons.setStandardButtons(QDialogButtonBox.StandardButton.Close)
        if summary is not None and summary.output is not None:
            self._on_result(summary.output, self.job.video)
            if not summary.trouble:
                self.accept()


def process_video(
    parent: QWidget,
    video: Path,
    make_finder: Callable[[], PersonFinder],
    make_tracker: Callable[[], Tracker],
    folder: Path,
) -> JobDialog:
    """Track all of a video, into `folder`, and show the result."""
    job = Job(video, make_finder, make_tracker, folder)
    dialog = JobDialog(job, lambda output, source: review(parent, output, source), parent)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.show()
    return dialog
