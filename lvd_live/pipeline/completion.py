"""After a recording: fitting the frames that the tracker had no time for, so that a take has the camera's full rate."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lvd_live.errors import Parser, UserError
from lvd_live.person.types import PersonFinder
from lvd_live.pipeline.replay import as_recorded
from lvd_live.session.layout import list_segments
from lvd_live.session.reader import Session, open_session
from lvd_live.session.refill import Found, fill_segment, note_filled
from lvd_live.session.reserve import is_being_recorded
from lvd_live.session.segments import read_segment
from lvd_live.tracking.tracker import Tracker

WARM_UP = 3  # frames before each run of unfitted ones that are tracked again, to start from a mesh
LOOK_S = 0.1  # between two looks whether it is to go on


@dataclass(frozen=True)
class Completion:
    """What became of the frames that waited. filled : fitted now. left : they still wait, because it was stopped."""

    filled: int
    left: int


def complete(
    path: Path,
    finder: PersonFinder,
    tracker: Tracker,
    *,
    progress: Callable[[int, int], object] = lambda done, total: None,
    stop: threading.Event | None = None,
    go: threading.Event | None = None,
) -> Completion:
    """Fit the frames of a finished session that wait for it, from its video, and put them into its motion.

    Fits made during the recording stay as they are, but for those right behind frames that waited: they started from a
    mesh some frames old, and are made anew. Where it is stopped, the rest still waits, and a further call goes on with
    it. A frame without a picture in the video is given up: nobody is tracked in it.

    progress(done, total) : called after each frame that waited. stop : once set, it ends. go : while not set, it waits.
    Raises UserError where the session cannot be read or written, or was tracked with another body.
    """
    if is_being_recorded(path):
        raise UserError(f"{path} is being recorded: stop that first.", exit_code=1)
    session, stop = open_session(path), stop or threading.Event()
    if session.vertices.shape[1] != int(tracker.faces.max()) + 1:
        raise UserError(f"{path} was recorded with another body: name it by --body.", exit_code=1)
    filler, wanted, last = _Filler(session), _rows_to_track(session.fitted), -1
    behind = _rows_behind(session.fitted)
    try:
        for row, frame in session.frames():
            if not wanted[row]:
                continue
            while go is not None and not stop.is_set() and not go.wait(LOOK_S):
                pass
            if stop.is_set():
                return Completion(filler.filled, filler.close())
            if row != last + 1 or last < 0:
                finder.reset()
                tracker.reset()
            person, last = finder.find(frame.picture), row
            if person is None:
                tracker.reset()
            fit = None if person is None else tracker.step(frame, person)
            if not session.fitted[row] or (behind[row] and fit is not None):
                filler.put(row, (None if person is None else person.landmarks, fit))
                progress(filler.filled, filler.waiting)
        filler.give_up_rest()
    finally:
        left = filler.close()
    return Completion(filler.filled, left)


def main(argv: Sequence[str] | None = None) -> int:
    """The tool: 0, or 1 where frames still wait. Raises UserError. Ctrl-C keeps what is done."""
    parser = Parser(
        prog="python -m lvd_live complete",
        description="Fit the frames of a session that there was no time for while it was recorded. "
        "Ctrl-C keeps what is done; a further run goes on.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the session's folder")
    parser.add_argument("--body", type=Path, metavar="FILE", help="the body file, where it was recorded with another")
    options = parser.parse_args(argv)
    session = open_session(options.folder)
    if session.fitted.all():
        sys.stdout.write("Nothing waits: every frame is fitted.\n")
        return 0
    finder, tracker = as_recorded(session, options.body)
    with tqdm(unit="frame", file=sys.stderr, dynamic_ncols=True, disable=not sys.stderr.isatty()) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        done = complete(options.folder, finder, tracker, progress=progress)
    sys.stdout.write(f"{done.filled} frames fitted, {done.left} still wait.\n")
    return 1 if done.left else 0


def _rows_behind(fitted: np.ndarray) -> np.ndarray:
    """(F,) bool: the rows that were fitted, with one before them that waits."""
    behind = np.zeros_like(fitted)
    behind[1:] = fitted[1:] & ~fitted[:-1]
    return behind


def _rows_to_track(fitted: np.ndarray) -> np.ndarray:
    """(F,) bool: the rows that wait, the one behind and WARM_UP rows before each run of them."""
    wanted = ~fitted | _rows_behind(fitted)
    for distance in range(1, WARM_UP + 1):
        wanted[:-distance] |= ~fitted[distance:]
    return wanted


class _Filler:
    """Puts fits into a session's segments, each once all of its rows that are fitted are known.

    waiting : rows that waited at the start. filled : those that were put.
    """

    def __init__(self, session: Session):
        self._path = session.path
        self._parts = [read_segment(file) for file in list_segments(session.path)]
        self._ends = np.cumsum([len(part) for part in self._parts])
        self._left = set(np.flatnonzero(~session.fitted).tolist())
        self._found: dict[int, Found] = {}  # of the segment in hand, by the row's place in it
        self._part = 0  # the segment in hand
        self.waiting, self.filled, self._noted = len(self._left), 0, 0

    def put(self, row: int, found: Found) -> None:
        """What was found in a row, one that waits or one behind; rows come in order. Raises UserError."""
        part = int(np.searchsorted(self._ends, row, side="right"))
        if part != self._part:
            self._write()
            self._part = part
        self._found[row - int(self._ends[part]) + len(self._parts[part])] = found
        self.filled += row in self._left
        self._left.discard(row)

    def give_up_rest(self) -> None:
        """The rows that still wait have no picture: nobody is tracked in them."""
        for row in sorted(self._left):
            self.put(row, (None, None))

    def close(self) -> int:
        """Write what is known, and say so in session.json; how many rows still wait. Raises UserError."""
        self._write()
        if self.filled > self._noted:
            note_filled(self._path, self.filled - self._noted, len(self._left))
            self._noted = self.filled
        return len(self._left)

    def _write(self) -> None:
        found, self._found = self._found, {}
        if found:
            fill_segment(self._parts[self._part], found)
