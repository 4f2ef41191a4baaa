"""Repairing a session after a crash: what is whole is kept and put in order, what is not is set aside and named."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np

from lvd_live.errors import Parser, UserError
from lvd_live.session import layout, segments, video_repair
from lvd_live.session.facts import FINISHED, SCHEMA, facts_are_sane, read_facts, write_facts
from lvd_live.session.reserve import is_being_recorded
from lvd_live.storage.files import look_up, reason, sync_folder

log = logging.getLogger(__name__)

WHOLE, UNUSABLE, REPAIRED = 0, 1, 3  # exit codes
DAMAGED = "damaged"  # the folder that broken files are moved to


@dataclass
class Report:
    """What was found and done.

    code : `WHOLE`, `REPAIRED` or `UNUSABLE`. kept : one sentence. lost, done : sentences.
    """

    code: int = WHOLE
    kept: str = ""
    lost: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)


def recover(folder: Path) -> Report:
    """Check every file of the session in `folder` and repair it.

    Raises UserError where it is no session, is being recorded, or cannot be written.
    """
    folder = Path(folder)
    if not layout.is_session(folder):
        raise UserError(f"{folder} is no recorded session.", exit_code=UNUSABLE)
    if is_being_recorded(folder):
        raise UserError(f"{folder} is being recorded: stop that first.", exit_code=UNUSABLE)
    report = Report()
    try:
        facts = _read_facts(folder, report)
        parts = _check_motion(folder, report)
        _remove_leftovers(folder)
        if facts is None:
            facts = next((start for part in parts if (start := _start_of(part)) is not None), None)
        if parts and facts is not None:
            _put_in_order(folder, facts, parts, report)
        else:
            report.code, report.kept = UNUSABLE, f"No motion can be read in {folder}."
            if look_up(folder / layout.VIDEO):
                report.kept += f" {layout.VIDEO} may still be tracked with main.py --video."
    except OSError as error:
        raise UserError(f"Cannot repair {folder}: {reason(error)}.", exit_code=UNUSABLE) from error
    return report


def _read_facts(folder: Path, report: Report) -> dict[str, Any] | None:
    try:
        facts = read_facts(folder)
    except UserError:
        report.done.append(f"{layout.FACTS} was damaged or missing and is written anew from the motion's own notes.")
        return None
    if facts.get("state") not in FINISHED:
        report.done.append("The recording was cut off before its end.")
    return facts


def _start_of(part: segments.Segment) -> dict[str, Any] | None:
    """The start of session.json that a segment carries; None where it cannot be used."""
    with contextlib.suppress(ValueError, RecursionError):
        start = json.loads(part.session)
        if facts_are_sane(start) and start.get("lvd_session") == SCHEMA:
            return start
    return None


def _check_motion(folder: Path, report: Report) -> list[segments.Segment]:
    """The whole segments, in order; the others are set aside. Empty where none of them carries the faces."""
    parts: list[segments.Segment] = []
    has_faces = False
    for path in layout.list_segments(folder):
        try:
            part = segments.read_segment(path)
            segments.read_meshes(path)
            if part.has_faces:
                segments.read_faces(path)
            segments.check_order(folder, [*parts[-1:], part])
        except UserError as error:
            _set_aside(path, folder, report)
            log.info("%s", error)
            continue
        has_faces |= part.has_faces
        parts.append(part)
    return parts if has_faces else []


def _set_aside(path: Path, folder: Path, report: Report) -> None:
    (folder / DAMAGED).mkdir(exist_ok=True)
    target, number = folder / DAMAGED / path.name, 1
    while look_up(target):
        target, number = folder / DAMAGED / f"{path.stem}-{number}{path.suffix}", number + 1
    os.replace(path, target)
    sync_folder(path.parent)
    report.done.append(f"{path.name} is damaged and was moved to {DAMAGED}.")


def _remove_leftovers(folder: Path) -> None:
    """Remove files that were being written, and the lock with its reserve."""
    places = (place for place in (folder, folder / layout.MOTION) if place.is_dir())
    leftovers = [path for place in places for path in place.glob(".*.part*")]
    for path in (*leftovers, folder / layout.LOCK):
        if look_up(path):
            path.unlink()


def _put_in_order(folder: Path, facts: dict[str, Any], parts: list[segments.Segment], report: Report) -> None:
    """Compare video and motion with each other and with session.json; write that anew where it says otherwise."""
    times = np.concatenate([part.columns["timestamps_ns"] for part in parts])
    video_ms = np.concatenate([part.columns["video_ms"] for part in parts])
    since = (times - times[0]) / 1e9
    frames, seconds = len(times), float(since[-1])
    report.lost += _gaps(facts, parts, since)
    pictures = _check_video(folder, facts, report)
    report.lost += _differences(pictures, video_ms, since)
    report.kept = f"{frames} frames of motion and {len(pictures)} pictures over {seconds:.2f} s are whole."
    counts = {"frames": frames, "seconds": seconds, "video_frames": len(pictures)}
    counts["unfitted"] = int(sum((~part.columns["fitted"]).sum() for part in parts))
    for name in ("dropped", "missed"):
        in_motion = int(sum(part.columns[name].sum() for part in parts))
        counts[name] = max(int(facts.get(name, 0)), in_motion)
    if report.done or any(facts.get(name, 0) != value for name, value in counts.items()):
        report.code = REPAIRED
        write_facts(folder, facts | counts | {"state": "repaired", "problem": " ".join(report.lost)})


def _gaps(facts: dict[str, Any], parts: list[segments.Segment], since: np.ndarray) -> list[str]:
    """One sentence for each run of rows that should be there and is not. since : (F,) seconds, of the rows there."""
    found, place = [], 0
    if parts[0].row:
        found.append(f"The first {parts[0].row} frames are lost.")
    for before, part in itertools.pairwise(parts):
        place += len(before)
        rows = part.row - before.row - len(before)
        if rows:
            found.append(f"{rows} frames between {since[place - 1]:.2f} and {since[place]:.2f} s are lost.")
    missing = int(facts.get("frames", 0)) - parts[-1].row - len(parts[-1])
    if facts.get("state") == "complete" and missing > 0:
        found.append(f"{missing} frames after {since[-1]:.2f} s are lost.")
    return found


def _differences(pictures: np.ndarray, video_ms: np.ndarray, since: np.ndarray) -> list[str]:
    """Sentences that say where video and motion differ.

    pictures : (P,) int64 ms, times of the video's pictures. video_ms : (F,) those of the rows. since : (F,) seconds.
    """
    found = []
    absent = np.flatnonzero((video_ms >= 0) & ~np.isin(video_ms, pictures))
    if len(absent):
        first = f"the first at {since[absent[0]]:.2f} s"
        found.append(f"{len(absent)} of {len(since)} frames have no picture in the video, {first}.")
    if len(pictures) and pictures[-1] > video_ms[-1] >= 0:
        beyond = f"{(pictures[-1] - video_ms[-1]) / 1000:.2f} s beyond the motion"
        found.append(f"The video goes on {beyond}, which ends at {since[-1]:.2f} s.")
    return found


def _check_video(folder: Path, facts: dict[str, Any], report: Report) -> np.ndarray:
    """The times of the pictures that can be decoded, (P,) int64 ms, rising.

    The file is written anew where it has no end or is damaged, and set aside where nothing can be read.
    """
    path = folder / layout.VIDEO
    if not look_up(path):
        if facts.get("video_frames"):
            report.lost.append("The video is not there.")
        return np.zeros(0, np.int64)
    times, whole = video_repair.decode_times(path)
    if not len(times):
        report.lost.append("No picture of the video can be read.")
        _set_aside(path, folder, report)
    elif not whole or facts.get("state") not in FINISHED or facts.get("video_frames") != len(times):
        try:
            times = video_repair.write_index(path, len(times))
            report.done.append("The video was given a new index.")
        except (av.FFmpegError, OSError, ValueError) as error:
            report.lost.append(f"The video could not be given a new index ({error}); most players read it without one.")
    return times


def main(argv: Sequence[str] | None = None) -> int:
    """The tool: exit status 0 whole, 3 repaired, 1 unusable."""
    parser = Parser(
        prog="python -m lvd_live recover",
        description="Repair a recorded session after a crash, and say what was lost. "
        "Exit status: 0 whole, 3 repaired, 1 unusable.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the session's folder")
    report = recover(parser.parse_args(argv).folder)
    state = {WHOLE: "whole", REPAIRED: "repaired", UNUSABLE: "unusable"}[report.code]
    for sentence in (*report.done, *report.lost, report.kept, f"The session is {state}."):
        sys.stdout.write(f"{sentence}\n")
    return report.code
