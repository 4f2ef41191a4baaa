"""The main job: a source of frames in, a mesh sequence out, with an overlay video and a contact sheet if asked for."""

import contextlib
import logging
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

import cv2
import numpy as np
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from lvd_live import draw
from lvd_live.errors import UserError
from lvd_live.person.types import describe
from lvd_live.session.files import check_writable, write_whole
from lvd_live.session.recorder import Recorder
from lvd_live.session.sequence import SequenceWriter
from lvd_live.session.video import VideoWriter
from lvd_live.threads import beside_the_finder, keep_to

log = logging.getLogger(__name__)

OVERLAY_SIDE = 1920  # pixels: overlay videos are made no larger
SHEET_PICTURES = 12
AHEAD = 2  # frames decoded and looked at while one is fitted
DEFAULT_FPS = 30.0  # the pace of an overlay video whose source has none
STILLS_FPS = 1.0  # the pace of an overlay video of pictures that have nothing to do with each other


@dataclass(frozen=True)
class Summary:
    """What a run came to. Paths are None where nothing was written; `seconds` is wall time; `trouble` is one sentence
    each, for the user. `rejected` counts frames with a person whose fit did not settle or was not finite, and was dropped."""

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
        """130 after Ctrl-C, 1 when nobody was found, else 0."""
        return 130 if self.interrupted else 0 if self.tracked else 1


def process(
    source,
    finder,
    tracker,
    *,
    output: str | Path,
    overlay: str | Path | None = None,
    sheet: str | Path | None = None,
    progress: bool | Callable[[int, int | None], bool] = True,
    independent: bool = False,
    opacity: float = 0.6,
    meta: Mapping[str, Any] | None = None,
    recorder: Recorder | None = None,
) -> Summary:
    """Track one person through `source` (an iterator of Frame) with `finder` and `tracker`; write what is asked for.

    `independent`: the frames have nothing to do with each other (a folder of pictures): each one is a cold start.
    Their names then stand in the sequence's meta and it has no fps. `meta` is stored beside the tracker's own
    description. Ctrl-C ends the run and keeps what is done. `recorder` gets every frame, person and fit; the caller stops it.
    `progress`: a bar on stderr or none; or, instead of one, a function called after each frame with the frames done and those expected (None: not known), whose False ends the run as Ctrl-C does.
    Raises UserError for a place that cannot be written (exit code 2, before any frame is touched) and for a disk that
    fills up (exit code 1; what is done is kept, and the sentence says where).
    """
    for path in (output, overlay, sheet):
        if path is not None:
            check_writable(path)
    run = _Run(source, finder, tracker, output, overlay, sheet, opacity, meta or {}, independent, recorder)
    interrupted, failure = False, None
    total = getattr(source, "frame_count", None)
    pace = 0.2 if sys.stderr.isatty() else 5.0  # seconds between updates: a log file gets few
    with logging_redirect_tqdm(), tqdm(total=total, unit="frame", file=sys.stderr, disable=progress is not True, dynamic_ncols=True, mininterval=pace) as bar:
        try:
            with contextlib.closing(ahead(source, run.find)) as found:
                for frame, person in found:
                    run.take(frame, person)
                    bar.update()
                    if callable(progress) and not progress(run.writer.frames, total):
                        raise KeyboardInterrupt
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
        kept = f" The {summary.frames} frames before it are in {summary.output}." if summary.output else " Nothing was written."
        raise UserError(str(failure) + kept, exit_code=failure.exit_code)
    return summary


def ahead(source: Iterable, find: Callable) -> Iterator[tuple]:
    """(frame, find(frame)) in order. While the caller works on one of a file, the next are decoded and looked at in another thread, AHEAD at most; a camera is asked when the caller is ready.

    What `source` or `find` raises is raised here, after the frames before it.
    """
    if not hasattr(source, "frame_count"):
        yield from ((frame, find(frame)) for frame in source)
        return
    keep_to(beside_the_finder())
    ready: queue.Queue = queue.Queue(AHEAD)
    stopped = threading.Event()

    def put(item) -> bool:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return True
        return False

    def work() -> None:
        try:
            for frame in source:
                if not put((frame, find(frame))):
                    return
            put(None)
        except BaseException as error:  # also Ctrl-C's: the caller handles them all
            put(error)

    thread = threading.Thread(target=work, name="ahead", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()


class _Run:
    """The state of one run: the writers, the counts, the thumbnails."""

    def __init__(self, source, finder, tracker, output, overlay, sheet, opacity, meta, independent, recorder):
        self.source, self.finder, self.tracker, self.opacity = source, finder, tracker, opacity
        self.faces = np.asarray(tracker.faces, np.int32)
        self.independent, self.recorder = independent, recorder
        self.fps = 0.0 if independent else float(getattr(source, "fps", None) or 0.0)
        self.pace = STILLS_FPS if independent else self.fps or DEFAULT_FPS
        self.names: list[str] = []
        self.overlay, self.sheet = overlay, sheet
        self.thumbnails = _Thumbnails(2 * SHEET_PICTURES)
        self.video: VideoWriter | None = None
        self.tracked = self.rejected = 0
        self.started = time.monotonic()
        described = {"person": describe(finder), "tracker": tracker.describe(), **meta}
        if overlay is not None:
            described["overlay"] = Path(overlay).name
        n_vertices = int(self.faces.max()) + 1  # a closed mesh uses every vertex
        self.writer = SequenceWriter(output, self.faces, n_vertices, described, self.fps)

    def find(self, frame):
        """The person in a frame, or None. Runs ahead of `take`, in a thread of its own."""
        if self.independent:
            self.finder.reset()
        return self.finder.find(frame.picture)

    def take(self, frame, person) -> None:
        """Fit, write and draw one frame."""
        picture = frame.picture
        if self.independent:
            self.tracker.reset()
            self.names.append(frame.name)
        fit = None if person is None else self.tracker.step(frame, person)
        if fit is not None and not _is_finite(fit):
            log.warning("frame %d: the fit was not finite and was dropped", frame.index)
            fit = None
        self.rejected += person is not None and fit is None
        if fit is None:
            self.tracker.reset()
        common = {"timestamp_ns": frame.timestamp_ns, "frame_index": frame.index, "image_size": (picture.shape[1], picture.shape[0])}
        landmarks = None if person is None or not np.isfinite(person.landmarks).all() else person.landmarks
        if fit is None:
            self.writer.append(landmarks=landmarks, **common)
        else:
            self.writer.append(
                vertices=fit.vertices, vertex_std=fit.vertex_std, intrinsics=fit.intrinsics, iterations=fit.iterations, landmarks=landmarks, doubtful=fit.doubtful, **common
            )
            self.tracked += 1
        if self.recorder is not None:
            self.recorder.add(frame, person, fit)
        if self.overlay is not None or self.sheet is not None:
            self._draw(frame, fit)

    def finish(self, *, interrupted: bool, failure: str | None) -> Summary:
        """Close every writer, keeping what is whole; the first failure in doing so is raised once all are closed."""
        seconds = time.monotonic() - self.started
        facts = {name: getattr(self.source, name) for name in ("damaged", "skipped", "dropped") if getattr(self.source, name, None)}
        written, trouble = {}, []
        frames, failed = self.writer.frames, None
        ending = failure or ("interrupted" if interrupted else "complete")
        facts |= {"seconds": round(seconds, 3), "ending": ending, "rejected_frames": self.rejected}
        if self.independent:
            facts["names"] = self.names[:frames]
        steps = [("output", lambda: self.writer.close(**facts), self.writer.path if frames else None)]
        if self.video is not None:
            steps.append(("overlay", self.video.close, self.video.path if self.video.frames else None))
        if self.sheet is not None and self.thumbnails.kept:
            steps.append(("sheet", self._write_sheet, Path(self.sheet)))
        for name, close, path in steps:
            try:
                close()
                written[name] = path
            except UserError as error:
                trouble.append(str(error))
                failed = failed or error
        if failed and not failure:
            raise UserError(" ".join(trouble), exit_code=failed.exit_code) from failed
        return Summary(
            frames=frames,
            tracked=self.tracked,
            rejected=self.rejected,
            seconds=seconds,
            output=written.get("output"),
            overlay=written.get("overlay"),
            sheet=written.get("sheet"),
            interrupted=interrupted,
            trouble=tuple(trouble),
        )

    def _draw(self, frame, fit) -> None:
        small, scale = _shrink(frame.picture)
        if fit is not None:
            intrinsics = fit.intrinsics.copy()
            intrinsics[:2] *= scale
            intrinsics[:2, 2] += (scale - 1) / 2  # pixel centres stay on whole numbers
            small = draw.overlay(small, fit.vertices, self.faces, intrinsics, self.opacity)
        if self.sheet is not None:
            self.thumbnails.offer(small)
        if self.overlay is not None:
            if self.video is None:
                self.video = VideoWriter(self.overlay, self.pace, (small.shape[1], small.shape[0]))
            self.video.write(small, None if self.independent else frame.timestamp_ns)

    def _write_sheet(self) -> None:
        drawn = draw.contact_sheet(self.thumbnails.chosen(SHEET_PICTURES), columns=4)
        ok, data = cv2.imencode(".png", drawn[..., ::-1])
        if not ok:
            raise UserError(f"Could not write {self.sheet}: the picture could not be encoded.", exit_code=1)
        write_whole(self.sheet, data.tobytes())


class _Thumbnails:
    """Small pictures spread evenly over a run of unknown length, in bounded memory."""

    def __init__(self, limit: int):
        self.limit, self.every, self.seen = limit, 1, 0
        self.kept: list[np.ndarray] = []

    def offer(self, picture: np.ndarray) -> None:
        if self.seen % self.every == 0:
            self.kept.append(draw.fit_into(picture, (320, 320), 24))
            if len(self.kept) >= self.limit:
                self.kept, self.every = self.kept[::2], self.every * 2
        self.seen += 1

    def chosen(self, count: int) -> list[np.ndarray]:
        indices = np.unique(np.linspace(0, len(self.kept) - 1, min(count, len(self.kept))).round().astype(int))
        return [self.kept[index] for index in indices]


def _shrink(picture: np.ndarray) -> tuple[np.ndarray, float]:
    """`picture` with its longer side at most OVERLAY_SIDE, and the scale."""
    scale = min(OVERLAY_SIDE / max(picture.shape[:2]), 1.0)
    if scale == 1.0:
        return picture, 1.0
    size = tuple(max(round(side * scale), 1) for side in picture.shape[1::-1])
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA), scale


def _is_finite(fit) -> bool:
    return all(np.isfinite(array).all() for array in (fit.vertices, fit.vertex_std, fit.intrinsics))


@contextlib.contextmanager
def _no_interrupt():
    """Put Ctrl-C, and a polite kill, off while files are being finished."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kinds = (signal.SIGINT, signal.SIGTERM)
    old = {kind: signal.signal(kind, lambda *_: log.warning("finishing the files first")) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in old.items():
            signal.signal(kind, signal.SIG_DFL if handler is None else handler)  # None: not set by Python
