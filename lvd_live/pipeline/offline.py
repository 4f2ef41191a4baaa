"""The main job: a source of frames in, a mesh sequence out, with an overlay video and a contact sheet if asked for."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from lvd_live.errors import UserError
from lvd_live.person.types import Person, PersonFinder
from lvd_live.pipeline.encoding import encode
from lvd_live.pipeline.observer import Observer
from lvd_live.pipeline.pictures import Overlay
from lvd_live.session.sequence import SequenceWriter, describe_run, is_finite
from lvd_live.sources.frame import Frame, Source
from lvd_live.storage.files import check_writable
from lvd_live.tracking.encoder import Encoded
from lvd_live.tracking.fit import Fit
from lvd_live.tracking.tracker import Tracker

log = logging.getLogger(__name__)

DEFAULT_FPS = 30.0  # the pace of an overlay video whose source has none
STILLS_FPS = 1.0  # the pace of an overlay video of pictures that have nothing to do with each other
BAR_S, LOG_S = 0.2, 5.0  # between updates of a progress bar, on a terminal and in a log file


@dataclass(frozen=True)
class Summary:
    """What a run came to.

    frames, tracked : how many. rejected : frames with a person whose fit did not settle or was not finite.
    seconds : wall time. output, overlay, sheet : what was written, or None. interrupted : by Ctrl-C or a stop token.
    trouble : a sentence each, for the user.
    """

    frames: int
    tracked: int
    rejected: int
    seconds: float
    output: Path | None
    overlay: Path | None
    sheet: Path | None
    interrupted: bool
    trouble: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """130 where it was interrupted, 1 where nobody was found, else 0."""
        return 130 if self.interrupted else 0 if self.tracked else 1


def process(
    source: Source,
    finder: PersonFinder,
    tracker: Tracker,
    *,
    output: str | Path,
    overlay: str | Path | None = None,
    sheet: str | Path | None = None,
    progress: bool | Callable[[int, int | None], object] = True,
    stop: threading.Event | None = None,
    independent: bool = False,
    opacity: float = 0.6,
    meta: Mapping[str, Any] | None = None,
    on_fit: Sequence[Observer] = (),
) -> Summary:
    """Track one person through `source`; write the sequence to `output`, and what else is asked for.

    progress : a bar on stderr or none; or a function called after each frame with the frames done and those expected
    (None: not known). stop : once set, the run ends as by Ctrl-C: what is done is kept. independent : the frames have
    nothing to do with each other (pictures of a folder): cold starts, names in the meta, no fps. meta : stored beside
    the tracker's own description. on_fit : see `Observer`.

    Raises UserError for a place that cannot be written (exit code 2, before any frame is touched) and for a disk that
    fills up (exit code 1; what is done is kept, and the sentence says where).
    """
    for path in (output, overlay, sheet):
        if path is not None:
            check_writable(path)
    fps = 0.0 if independent else float(source.fps or 0.0)
    pace = STILLS_FPS if independent else fps or DEFAULT_FPS
    pictures = Overlay(tracker.faces, overlay, sheet, fps=pace, timed=not independent, opacity=opacity)
    run = _Run(source, finder, tracker, output, fps, meta or {}, pictures, independent, on_fit)
    interrupted, failure = False, None
    try:
        with _reporting(progress, source.frame_count) as report:
            interrupted = run.track_all(report, stop or threading.Event())
    except KeyboardInterrupt:
        interrupted = True
    except UserError as error:
        failure = error
    except BaseException:
        with _no_interrupt():
            run.finish(interrupted=False, failure="stopped by an error in the program")
        raise
    with _no_interrupt():
        summary = run.finish(interrupted=interrupted, failure=str(failure) if failure else None)
    if failure:
        raise _with_what_is_kept(failure, summary) from failure
    return summary


def _with_what_is_kept(failure: UserError, summary: Summary) -> UserError:
    kept = "Nothing was written."
    if summary.output:
        kept = f"The {summary.frames} frames before it are in {summary.output}."
    return UserError(f"{failure} {kept}", exit_code=failure.exit_code)


class _Run:
    """The state of one run: the writers and the counts."""

    def __init__(
        self,
        source: Source,
        finder: PersonFinder,
        tracker: Tracker,
        output: str | Path,
        fps: float,
        meta: Mapping[str, Any],
        pictures: Overlay,
        independent: bool,
        observers: Sequence[Observer],
    ):
        self.source, self.finder, self.tracker, self.pictures = source, finder, tracker, pictures
        self.independent, self.observers = independent, observers
        self.names: list[str] = []
        self.corrupt: list[int] = []  # indices of frames that the decoder calls damaged
        self.cuts: list[int] = []  # and of those before which a cut lies, of the picture or of the person alone
        self.tracked = self.rejected = 0
        self.started = time.monotonic()
        described = describe_run(finder, tracker) | dict(meta)
        n_vertices = int(tracker.faces.max()) + 1  # a closed mesh uses every vertex
        self.writer = SequenceWriter(output, tracker.faces, n_vertices, described, fps)

    def track_all(self, report: Callable[[int], object], stop: threading.Event) -> bool:
        """Work through the source; whether `stop` ended it early."""
        frames = encode(self.source, self.finder, self.tracker, independent=self.independent)
        with contextlib.closing(frames) as ready:
            for frame, person, encoded in ready:
                self._take(frame, person, encoded)
                report(self.writer.frames)
                if stop.is_set():
                    return True
        return False

    def _take(self, frame: Frame, person: Person | None, encoded: Encoded | None) -> None:
        """Fit, write and draw one frame."""
        if self.independent:
            self.names.append(frame.name)
        self.corrupt += [frame.index] * frame.corrupt
        fit = None if encoded is None else self.tracker.fit(encoded)
        self.cuts += [frame.index] * (frame.new_shot or (fit is not None and fit.jumped))
        if fit is not None and not is_finite(fit):
            log.warning("frame %d: the fit was not finite and was dropped", frame.index)
            fit = None
            self.tracker.forget_mesh()
        self.rejected += person is not None and fit is None
        with _no_interrupt("") as interrupts:  # a frame is written everywhere or nowhere
            self.tracked += fit is not None
            self._write(frame, person, fit)
            for observe in self.observers:
                observe(frame, person, fit)
            self.pictures.draw(frame, fit)
        if interrupts:
            raise KeyboardInterrupt

    def _write(self, frame: Frame, person: Person | None, fit: Fit | None) -> None:
        height, width = frame.picture.shape[:2]
        landmarks = None if person is None or not np.isfinite(person.landmarks).all() else person.landmarks
        mesh: dict[str, Any] = {}
        if fit is not None:
            names = "vertices", "vertex_std", "intrinsics", "iterations", "doubtful", "hand_pose", "hand_states"
            mesh = {name: getattr(fit, name) for name in names}
        self.writer.append(
            timestamp_ns=frame.timestamp_ns,
            frame_index=frame.index,
            image_size=(width, height),
            landmarks=landmarks,
            **mesh,
        )

    def _marks(self) -> dict[str, Any]:
        """What the file remembers of what went wrong: JSON values, of what there is."""
        marks = {name: getattr(self.source, name) for name in ("damaged", "skipped", "dropped")}
        notes = list(getattr(self.source, "notes", ()))  # sources without any may leave it out
        marks |= {"notes": notes, "corrupt_frames": self.corrupt, "cuts": self.cuts}
        return {name: value for name, value in marks.items() if value}

    def finish(self, *, interrupted: bool, failure: str | None) -> Summary:
        """Close every writer, keeping what is whole; the first failure in doing so is raised once all are closed."""
        seconds, frames = time.monotonic() - self.started, self.writer.frames
        facts = self._marks()
        ending = failure or ("interrupted" if interrupted else "complete")
        facts |= {"seconds": round(seconds, 3), "ending": ending, "rejected_frames": self.rejected}
        if self.independent:
            facts["names"] = self.names[:frames]

        def close_sequence() -> Path | None:
            self.writer.close(**facts)
            return self.writer.path if frames else None

        failures: list[UserError] = []

        def attempt(close: Callable[[], Path | None]) -> Path | None:
            try:
                return close()
            except UserError as error:
                failures.append(error)
                return None

        output, video, sheet = map(attempt, (close_sequence, self.pictures.close_video, self.pictures.write_sheet))
        if failures and not failure:
            raise UserError(" ".join(map(str, failures)), exit_code=failures[0].exit_code) from failures[0]
        trouble = tuple(map(str, failures))
        return Summary(
            frames, self.tracked, self.rejected, seconds, output, video, sheet, interrupted=interrupted, trouble=trouble
        )


@contextlib.contextmanager
def _reporting(
    progress: bool | Callable[[int, int | None], object], total: int | None
) -> Iterator[Callable[[int], object]]:
    """What is called with the frames done: a bar on stderr, the caller's own function, or nothing."""
    pace = BAR_S if sys.stderr.isatty() else LOG_S
    with (
        logging_redirect_tqdm(),
        tqdm(
            total=total,
            unit="frame",
            file=sys.stderr,
            disable=progress is not True,
            dynamic_ncols=True,
            mininterval=pace,
        ) as bar,
    ):
        yield (lambda done: progress(done, total)) if callable(progress) else (lambda done: bar.update())


@contextlib.contextmanager
def _no_interrupt(sentence: str = "finishing the files first") -> Iterator[list[int]]:
    """Put Ctrl-C, and a polite kill, off; yields a list of those that came. sentence : said to them, "" for nothing."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def note(number: int, _: object) -> None:
        came.append(number)
        if sentence:
            log.warning("%s", sentence)

    kinds = (signal.SIGINT, signal.SIGTERM)
    old = {kind: signal.signal(kind, note) for kind in kinds}
    try:
        yield came
    finally:
        for kind, handler in old.items():
            signal.signal(kind, signal.SIG_DFL if handler is None else handler)  # None: not set by Python
