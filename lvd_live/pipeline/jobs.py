"""One clip of many: what is to be done with it, doing it, and what became of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from lvd_live import __version__
from lvd_live.errors import UserError
from lvd_live.lift.finder import make_finder
from lvd_live.person.quality import resolve
from lvd_live.person.types import PersonFinder
from lvd_live.pipeline.offline import Summary, process
from lvd_live.session.sequence import load_sequence
from lvd_live.sources.kinds import VIDEO_SUFFIXES, is_video
from lvd_live.sources.video import VideoSource
from lvd_live.tracking.options import TrackerOptions
from lvd_live.tracking.tracker import Tracker

SUFFIXES = set(VIDEO_SUFFIXES)


@dataclass(frozen=True)
class Job:
    """A clip, where its sequence goes, the tracker's options, and the finder's quality (see `person.quality`)."""

    clip: Path
    output: Path
    options: TrackerOptions = field(default_factory=TrackerOptions)
    quality: str = "auto"

    @property
    def made_of(self) -> dict[str, Any]:
        """What the sequence depends on: JSON values."""
        there = self.clip.stat()
        chosen = self.options.to_json() | {"quality": resolve(self.quality, live=False)}
        return {"bytes": there.st_size, "modified_ns": there.st_mtime_ns, "options": chosen}


@dataclass(frozen=True)
class Outcome:
    """What became of a clip.

    seconds : wall time. problem : "", or the sentence why the sequence is not there, not of a whole clip, or empty.
    before : it was finished by an earlier run.
    """

    clip: Path
    frames: int = 0
    tracked: int = 0
    seconds: float = 0.0
    problem: str = ""
    before: bool = False


def find_jobs(folder: Path, out: Path, options: TrackerOptions, quality: str = "auto") -> list[Job]:
    """A job for every clip in a folder and the folders in it, except those in `out`.

    The sequence keeps the clip's place and whole name: walk.mp4 and walk.mov do not meet.
    """
    clips = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file() and out not in path.parents and is_video(path)
    )
    outputs = [out / clip.relative_to(folder).with_name(clip.name + ".npz") for clip in clips]
    return [Job(clip, output, options, quality) for clip, output in zip(clips, outputs, strict=True)]


def find_others(folder: Path, out: Path) -> list[Path]:
    """The files in a folder and the folders in it, but for `out`, that are no clips; hidden ones are left out."""
    found = (path for path in folder.rglob("*") if out not in path.parents and not is_video(path) and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


@cache
def load_engine(options: TrackerOptions, quality: str) -> tuple[PersonFinder, Tracker]:
    """The finder and the tracker of this process."""
    return make_finder(quality=quality, hands=options.hands), Tracker.load(options)


def track(job: Job) -> Outcome:
    """Track one clip into its sequence. Whatever goes wrong is in the outcome; only Ctrl-C passes through."""
    return track_with(job, lambda: load_engine(job.options, job.quality))


def track_with(
    job: Job, engine: Callable[[], tuple[PersonFinder, Tracker]], stop: threading.Event | None = None
) -> Outcome:
    """`track` with the finder and the tracker that `engine` gives. stop : see `offline.process`."""
    try:
        job.output.parent.mkdir(parents=True, exist_ok=True)
        finder, tracker = engine()
        finder.reset()
        tracker.reset()
        meta = {"source": job.clip.name, "version": __version__, "made_of": job.made_of}
        with VideoSource(job.clip) as source:
            summary = process(source, finder, tracker, output=job.output, progress=False, stop=stop, meta=meta)
    except UserError as error:
        return Outcome(job.clip, problem=str(error))
    except Exception as error:
        return Outcome(job.clip, problem=f"The program failed on it ({type(error).__name__}: {error}).")
    if summary.interrupted:
        raise KeyboardInterrupt
    problem = _problem(summary, source.damaged)
    return Outcome(job.clip, summary.frames, summary.tracked, summary.seconds, problem)


def finished(job: Job) -> Outcome | None:
    """What an earlier run made of the clip with the same options, or None where it did not finish it."""
    try:
        sequence = load_sequence(job.output)
    except UserError:
        return None
    meta = sequence.meta
    if meta.get("ending") != "complete" or meta.get("made_of") != job.made_of:
        return None
    tracked, seconds = int(sequence.tracked.sum()), meta.get("seconds")
    problem = str(meta.get("damaged") or "") if tracked else "Nobody was found."
    taken = seconds if isinstance(seconds, float) else 0.0
    return Outcome(job.clip, len(sequence.tracked), tracked, taken, problem, before=True)


def _problem(summary: Summary, damaged: str | None) -> str:
    if summary.tracked:
        return damaged or ""
    return "Somebody was seen, but the mesh did not settle." if summary.rejected else "Nobody was found."
