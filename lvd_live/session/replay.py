"""Tracking a session's video again, and how far the new meshes are from the stored ones.

The stored fit of a live session was made from the camera's own pictures, the new one is made from the compressed video and starts cold: they differ a little. Two replays on the same
provider and machine see the same pictures and differ by nothing: `--write` keeps one, as an exact float32 sequence, for the next to be compared with.
"""

import logging
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lvd_live.errors import Parser, UserError
from lvd_live.paths import MODELS
from lvd_live.session.library import Session, open_session
from lvd_live.session.sequence import load_sequence
from lvd_live.sources import Frame

log = logging.getLogger(__name__)

KEPT = "replay.npz"


@dataclass(frozen=True)
class Deviation:
    """How far two fits of the same frames are apart, in mm over all vertices of the frames that both tracked; `both` of them, `one` tracked in one alone."""

    both: int
    one: int
    mean: float
    p95: float
    largest: float
    aligned: float  # mean, the meshes' centres laid upon each other: the part that is not depth or place

    def __str__(self) -> str:
        if not self.both:
            return "no frame in common"
        only = f", {self.one} tracked in one alone" if self.one else ""
        return f"mean {self.mean:.3f} mm (centred {self.aligned:.3f}), 95 % below {self.p95:.3f}, largest {self.largest:.3f}, over {self.both} frames{only}"


class SessionSource:
    """A session's recorded pictures as a source."""

    def __init__(self, session: Session):
        self.session, self.fps, self.frame_count = session, session.fps, int((session.video_ms >= 0).sum())

    def __iter__(self) -> Iterator[Frame]:
        return (frame for _, frame in self.session.frames())


def compare(vertices_a, tracked_a: np.ndarray, index_a: np.ndarray, vertices_b, tracked_b: np.ndarray, index_b: np.ndarray) -> Deviation:
    """Compare two fits frame by frame: vertices (F, N, 3) metres, tracked (F,) bool, and frame_index (F,), by which frames are matched."""
    _, a, b = np.intersect1d(index_a, index_b, return_indices=True)
    both = np.flatnonzero(tracked_a[a] & tracked_b[b])
    one = int((tracked_a[a] != tracked_b[b]).sum())
    if not len(both):
        return Deviation(0, one, 0.0, 0.0, 0.0, 0.0)
    distances, aligned = [], 0.0
    for row in both:
        difference = np.asarray(vertices_a[int(a[row])], np.float64) - vertices_b[int(b[row])]
        distances.append(1000 * np.linalg.norm(difference, axis=1).astype(np.float32))
        aligned += 1000 * float(np.linalg.norm(difference - difference.mean(0), axis=1).mean())
    flat = np.concatenate(distances)
    return Deviation(len(both), one, float(flat.mean()), float(np.percentile(flat, 95)), float(flat.max()), aligned / len(both))


def replay(session: Session, finder, tracker, output: Path) -> None:
    """Track the session's video with `finder` and `tracker` into a sequence at `output`. Raises UserError."""
    from lvd_live.offline import process

    process(SessionSource(session), finder, tracker, output=output, meta={"source": session.path.name, "replay": True})


def main(argv: Sequence[str] | None = None) -> int:
    """The tool. Raises UserError."""
    parser = Parser(prog="python -m lvd_live replay", description="Track a session's video again and say how far the new meshes are from the stored ones.")
    parser.add_argument("folder", type=Path, metavar="DIR", help="the session's folder")
    parser.add_argument("--write", action="store_true", help=f"keep the new meshes as {KEPT} in the session's folder; later replays are compared with them too")
    parser.add_argument("--body", type=Path, metavar="FILE", help="the body file, where the session was recorded with another than the bundled one")
    options = parser.parse_args(argv)
    session = open_session(options.folder)
    finder, tracker = _as_recorded(session, options.body)
    kept = session.path / KEPT
    earlier = load_sequence(kept) if kept.exists() else None
    with tempfile.TemporaryDirectory(prefix=".replay-", dir=session.path if options.write else None) as scratch:
        fresh = Path(scratch) / KEPT
        replay(session, finder, tracker, fresh)
        new = load_sequence(fresh)
        lines = [f"against the recording (made from the camera's own pictures; the video is compressed): {_against(session, new)}"]
        if earlier is not None:
            lines.append(f"against {KEPT} (an earlier replay, on {_provider(earlier.meta)}; now on {_provider(new.meta)}): {_against(earlier, new)}")
        if options.write:
            del earlier
            fresh.replace(kept)
            lines.append(f"kept as {kept}")
        sys.stdout.write("\n".join(lines) + "\n")
        del new
    return 0


def _against(old, new) -> Deviation:
    if old.vertices.shape[1:] != new.vertices.shape[1:]:
        raise UserError(f"The stored mesh has {old.vertices.shape[1]} vertices, the tracker's {new.vertices.shape[1]}.", exit_code=1)
    return compare(old.vertices, old.tracked, old.frame_index, new.vertices, new.tracked, new.frame_index)


def _provider(meta) -> str:
    tracker = meta.get("tracker")
    return str(tracker.get("provider", "an unknown provider")) if isinstance(tracker, dict) else "an unknown provider"


def _as_recorded(session: Session, body: Path | None):
    """Finder and tracker with the options that the session remembers. Raises UserError where it does not say."""
    from lvd_live.lvd.network import EVIDENCE, PRESETS
    from lvd_live.person import BlazePoseFinder, MediaPipeFinder
    from lvd_live.tracker import Tracker

    told, person = (value if isinstance(value := session.meta.get(key), dict) else {} for key in ("tracker", "person"))
    allowed = {
        "preset": lambda value: value in tuple(PRESETS),
        "evidence": lambda value: value in EVIDENCE,
        "fov_degrees": lambda value: isinstance(value, (int, float)) and 5 <= value <= 150,
        "height": lambda value: value is None or (isinstance(value, (int, float)) and 0.5 <= value <= 2.6),
        "iterations": lambda value: value is None or (isinstance(value, int) and 1 <= value <= 8),
        "warm": lambda value: isinstance(value, bool),
        "uncertainty": lambda value: isinstance(value, int) and 0 <= value <= 64,
        "outline": lambda value: isinstance(value, bool),
    }
    options = {name: told.get({"warm": "warm_start"}.get(name, name)) for name in allowed}
    options["outline"] = told.get("outline", False)  # sessions from before there was one
    options["iterations"] = None if options["iterations"] == "auto" else options["iterations"]
    for name, fits in allowed.items():
        if not fits(options[name]):
            raise UserError(f"{session.path} does not say how it was tracked ({name}), so it cannot be tracked again in the same way.")
    tracker = Tracker.load(body=body, **options)
    if tracker.describe()["weights"] != told.get("weights"):
        log.warning("The session was tracked with other weights than the ones that are here.")
    finder = MediaPipeFinder(MODELS / "mediapipe" / "pose_landmarker_full.task") if person.get("finder") == "MediaPipeFinder" else BlazePoseFinder(MODELS / "blazepose", heavy=bool(person.get("heavy")), mirror=bool(person.get("mirror")))
    return finder, tracker
