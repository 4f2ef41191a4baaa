"""Tracking a session's video again, and how far the new meshes are from the stored ones.

The stored fit of a live session was made from the camera's own pictures, the new one is made from the compressed video
and starts cold: they differ a little. Two replays on the same provider and machine see the same pictures and differ by
nothing: `--write` keeps one, as an exact float32 sequence, for the next to be compared with.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lvd_live.errors import Parser, UserError
from lvd_live.lift.finder import make_blazepose, make_finder
from lvd_live.paths import MODELS
from lvd_live.person import HandFinder, WithHands
from lvd_live.person.quality import Quality
from lvd_live.person.types import PersonFinder
from lvd_live.pipeline.offline import process
from lvd_live.session.reader import Session, open_session
from lvd_live.session.sequence import Sequence as StoredSequence
from lvd_live.session.sequence import load_sequence
from lvd_live.sources.frame import Frame
from lvd_live.tracking.options import AUTO, TrackerOptions
from lvd_live.tracking.tracker import Tracker

log = logging.getLogger(__name__)

KEPT = "replay.npz"


@dataclass(frozen=True)
class Deviation:
    """How far two fits of the same frames are apart.

    both, one : frames that both tracked, or one alone. mean, p95, largest : mm, over all vertices of the `both` frames.
    aligned : the mean, mm, with the meshes' centres laid upon each other: the part that is not depth or place.
    """

    both: int
    one: int
    mean: float
    p95: float
    largest: float
    aligned: float

    def __str__(self) -> str:
        if not self.both:
            return "no frame in common"
        only = f", {self.one} tracked in one alone" if self.one else ""
        spread = f"95 % below {self.p95:.3f}, largest {self.largest:.3f}"
        return f"mean {self.mean:.3f} mm (centred {self.aligned:.3f}), {spread}, over {self.both} frames{only}"


class SessionSource:
    """A session's recorded pictures as a `Source`."""

    live, dropped, skipped, state = False, 0, 0, "running"
    damaged: str | None = None

    def __init__(self, session: Session):
        self.session, self.fps = session, session.fps
        self.frame_count = int((session.video_ms >= 0).sum())

    def __enter__(self) -> SessionSource:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is held open."""

    def __iter__(self) -> Iterator[Frame]:
        return (frame for _, frame in self.session.frames())


def compare(old: StoredSequence, new: StoredSequence) -> Deviation:
    """Compare two fits, frames matched by their index. Raises UserError where the meshes are not alike."""
    if old.vertices.shape[1:] != new.vertices.shape[1:]:
        have, made = old.vertices.shape[1], new.vertices.shape[1]
        raise UserError(f"The stored mesh has {have} vertices, the tracker's {made}.", exit_code=1)
    _, a, b = np.intersect1d(old.frame_index, new.frame_index, return_indices=True)
    both = np.flatnonzero(old.tracked[a] & new.tracked[b])
    one = int((old.tracked[a] != new.tracked[b]).sum())
    if not len(both):
        return Deviation(0, one, 0.0, 0.0, 0.0, 0.0)
    distances, aligned = [], 0.0
    for row in both:
        difference = np.asarray(old.vertices[int(a[row])], np.float64) - new.vertices[int(b[row])]
        distances.append(1000 * np.linalg.norm(difference, axis=1).astype(np.float32))
        aligned += 1000 * float(np.linalg.norm(difference - difference.mean(0), axis=1).mean())
    flat = np.concatenate(distances)
    return Deviation(
        len(both), one, float(flat.mean()), float(np.percentile(flat, 95)), float(flat.max()), aligned / len(both)
    )


def replay(session: Session, finder, tracker, output: Path) -> None:
    """Track the session's video with `finder` and `tracker` into a sequence at `output`. Raises UserError."""
    process(SessionSource(session), finder, tracker, output=output, meta={"source": session.path.name, "replay": True})


def main(argv: Sequence[str] | None = None) -> int:
    """The tool. Raises UserError."""
    parser = Parser(
        prog="python -m lvd_live replay",
        description="Track a session's video again and say how far the new meshes are from the stored ones.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the session's folder")
    parser.add_argument(
        "--write",
        action="store_true",
        help=f"keep the new meshes as {KEPT} in the session's folder; later replays are compared with them too",
    )
    parser.add_argument(
        "--body",
        type=Path,
        metavar="FILE",
        help="the body file, where the session was recorded with another than the bundled one",
    )
    options = parser.parse_args(argv)
    session = open_session(options.folder)
    finder, tracker = as_recorded(session, options.body)
    kept = session.path / KEPT
    earlier = load_sequence(kept) if kept.exists() else None
    with tempfile.TemporaryDirectory(prefix=".replay-", dir=session.path if options.write else None) as scratch:
        fresh = Path(scratch) / KEPT
        replay(session, finder, tracker, fresh)
        new = load_sequence(fresh)
        recorded = "the recording (made from the camera's own pictures; the video is compressed)"
        lines = [f"against {recorded}: {compare(session, new)}"]
        if earlier is not None:
            providers = f"an earlier replay, on {_provider(earlier.meta)}; now on {_provider(new.meta)}"
            lines.append(f"against {KEPT} ({providers}): {compare(earlier, new)}")
        if options.write:
            del earlier
            fresh.replace(kept)
            lines.append(f"kept as {kept}")
        sys.stdout.write("\n".join(lines) + "\n")
        del new
    return 0


def _provider(meta) -> str:
    tracker = meta.get("tracker")
    return str(tracker.get("provider", "an unknown provider")) if isinstance(tracker, dict) else "an unknown provider"


REMEMBERED = ("preset", "conditioning", "fov_degrees", "height", "iterations", "warm", "uncertainty")


def as_recorded(session: Session, body: Path | None) -> tuple[PersonFinder, Tracker]:
    """Finder and tracker with the options that the session remembers, and the body file `body` or the bundled one.

    Raises UserError where the session does not say how it was tracked.
    """
    recorded, person = (_part(session.meta, name) for name in ("tracker", "person"))
    tracker = Tracker.load(recorded_options(session), body=body)
    if tracker.describe()["weights"] != recorded.get("weights"):
        log.warning("The session was tracked with other weights than the ones that are here.")
    finder: PersonFinder
    if person.get("finder") == "MediaPipeFinder":
        finder = make_finder("mediapipe")
    else:
        finder = make_blazepose(Quality(heavy=bool(person.get("heavy")), mirror=bool(person.get("mirror"))))
    if person.get("hands"):
        finder = WithHands(finder, HandFinder(MODELS / "hands", both=bool(person.get("both_hands"))))
    return finder, tracker


def recorded_options(session: Session) -> TrackerOptions:
    """The tracker's options that the session remembers, but for weights, body, device and engine.

    Raises UserError where it does not say how it was tracked.
    """
    former = {"silhouette_fit": False, "hands": False}  # sessions from before there were any do not name them
    here = {"weights": None, "body": None, "device": AUTO, "engine": AUTO}
    try:
        return TrackerOptions.from_json({**former, **_part(session.meta, "tracker"), **here}, required=REMEMBERED)
    except ValueError as error:
        raise UserError(
            f"{session.path} does not say how it was tracked ({error}), so it cannot be tracked again in the same way."
        ) from error


def _part(meta: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = meta.get(name)
    return value if isinstance(value, dict) else {}
