"""The library in five lines: pictures in, meshes out. `lvd_live.load` and `lvd_live.track` are made here."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lvd_live.lift.finder import make_finder
from lvd_live.memory import without_collector
from lvd_live.person.types import Person, PersonFinder
from lvd_live.sources.frame import Frame
from lvd_live.sources.video import VideoSource
from lvd_live.threads import both, same_threads_after
from lvd_live.tracking.fit import Fit
from lvd_live.tracking.options import TrackerOptions

if TYPE_CHECKING:  # `load` imports torch while another thread opens the finder's networks
    from lvd_live.tracking.tracker import Tracker


class PictureTracker:
    """A person finder and a tracker: call it with picture after picture.

    faces : (M, 3) int32, the triangles of `Fit.vertices`. finder, tracker : the two.
    """

    def __init__(self, finder: PersonFinder, tracker: Tracker):
        self.finder, self.tracker = finder, tracker
        self.faces: np.ndarray = tracker.faces
        self._count = 0

    def __call__(self, picture: np.ndarray, *, timestamp_ns: int | None = None) -> Fit | None:
        """Fit the body to the person in a picture (H, W, 3) uint8 RGB; None where nobody is.

        The mesh of the picture before is where the fit starts: `reset` between pictures that have nothing to do with
        each other. timestamp_ns : of the picture; now, if it is left out. Raises ValueError for another kind of array.
        """
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            raise ValueError(f"picture must be (H, W, 3) uint8 RGB, not {picture.shape} {picture.dtype}")
        taken = time.monotonic_ns() if timestamp_ns is None else timestamp_ns
        return self.step(Frame(picture, self._count, taken))

    def step(self, frame: Frame) -> Fit | None:
        """`__call__` with a frame of a source."""
        return self.fit(frame, self.find(frame))

    def find(self, frame: Frame) -> Person | None:
        """The person in a frame of a source."""
        self._count += 1
        if frame.new_shot:
            self.finder.reset()
        return self.finder.find(frame.picture)

    def fit(self, frame: Frame, person: Person | None) -> Fit | None:
        """Fit the body to the person found in a frame."""
        if frame.new_shot or person is None:
            self.tracker.reset()
        return None if person is None else self.tracker.step(frame, person)

    def reset(self) -> None:
        """Forget person and mesh."""
        self.finder.reset()
        self.tracker.reset()


def load(*, person: str = "blazepose", quality: str = "live", **options: Any) -> PictureTracker:
    """Weights, body and person finder.

    person : "blazepose" or "mediapipe". quality : "live", or "best", which looks five times as long.
    options : of `TrackerOptions` by name, such as height=1.78, fov_degrees=70,
    body="SMPL_NEUTRAL.npz", device="cuda". Raises UserError where a file is missing or does not fit, ValueError for an
    option that cannot be.
    """
    paths = {name: Path(options[name]) for name in ("body", "weights") if options.get(name) is not None}
    chosen = TrackerOptions(**(options | paths))
    finder = partial(make_finder, person, quality, hands=chosen.hands)
    with without_collector():
        return PictureTracker(*both(finder, partial(_make_tracker, chosen)))


def _make_tracker(options: TrackerOptions) -> Tracker:
    from lvd_live.tracking.tracker import Tracker

    return Tracker.load(options)


def track(video: str | Path, *, person: str = "blazepose", quality: str = "best", **options: Any) -> Iterator[Fit]:
    """Fits of a video file, frame by frame; `Fit.frame_index` and `timestamp_ns` say of which.

    Frames without a person, or whose mesh does not settle, are left out. person, quality, options, errors : see `load`.
    """
    loaded = load(person=person, quality=quality, **options)
    from lvd_live.pipeline.encoding import encode

    tracker = loaded.tracker
    with same_threads_after(), VideoSource(video) as source, closing(encode(source, loaded.finder, tracker)) as frames:
        for _, _, encoded in frames:
            if encoded is not None and (fit := tracker.fit(encoded)) is not None:
                yield fit
