"""Repairing a session after a crash: what is whole is kept and put in order, what is not is set aside and named."""

import contextlib
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
from lvd_live.session import segments
from lvd_live.session.library import WHOLE, check_order
from lvd_live.storage.files import look_up, part_name, reason, sync_folder

log = logging.getLogger(__name__)

WHOLE_CODE, UNUSABLE_CODE, REPAIRED_CODE = 0, 1, 3
DAMAGED = "damaged"  # the folder that broken files are moved to
_ERRORS_MAX = 1000  # in a video, before the rest of it is given up


@dataclass
class Report:
    """What was found and done: `lost` and `done` in sentences, `kept` one sentence; code: 0 whole, 3 repaired, 1 unusable."""

    code: int = WHOLE_CODE
    kept: str = ""
    lost: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)


def recover(folder: Path) -> Report:
    """Check every file of the session in `folder` and repair it. Raises UserError where it is no session, is being recorded, or cannot be written."""
    folder = Path(folder)
    if not look_up(folder / segments.MOTION) and not look_up(folder / segments.FACTS):
        raise UserError(f"{folder} is no recorded session.", exit_code=UNUSABLE_CODE)
    if segments.is_being_recorded(folder):
        raise UserError(f"{folder} is being recorded: stop that first.", exit_code=UNUSABLE_CODE)
    report = Report()
    try:
        facts = _read_facts(folder, report)
        parts = _check_motion(folder, report)
        _remove_leftovers(folder, report)
        if facts is None:
            facts = next((start for part in parts if (start := _start_of(part)) is not None), None)
        if not parts or facts is None:
            report.code = UNUSABLE_CODE
            report.kept = f"No motion can be read in {folder}." + (
                f" {segments.VIDEO} may still be tracked with main.py --video."
                if look_up(folder / segments.VIDEO)
                else ""
            )
            return report
        _put_in_order(folder, facts, parts, report)
    except OSError as error:
        raise UserError(f"Cannot repair {folder}: {reason(error)}.", exit_code=UNUSABLE_CODE) from error
    return report


def _read_facts(folder: Path, report: Report) -> dict[str, Any] | None:
    try:
        facts = segments.read_facts(folder)
    except UserError:
        report.done.append(f"{segments.FACTS} was damaged or missing and is written anew from the motion's own notes.")
        return None
    if facts.get("state") not in WHOLE:
        report.done.append("The recording was cut off before its end.")
    return facts


def _start_of(part: segments.Segment) -> dict[str, Any] | None:
    """The start of session.json that a segment carries; None where it cannot be used."""
    with contextlib.suppress(ValueError, RecursionError):
        start = json.loads(part.session)
        if segments.facts_are_sane(start) and start.get("lvd_session") == segments.SCHEMA:
            return start
    return None


def _check_motion(folder: Path, report: Report) -> list[segments.Segment]:
    """The whole segments, in order; the others are set aside. The first that carries faces must be whole in them too."""
    parts: list[segments.Segment] = []
    has_faces = False
    for path in segments.list_segments(folder):
        try:
            part = segments.read_segment(path)
            segments.read_meshes(path)
            if part.has_faces:
                segments.read_faces(path)
            check_order(folder, [*parts[-1:], part])
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


def _remove_leftovers(folder: Path, report: Report) -> None:
    """Files that were being written; the lock and its reserve."""
    leftovers = [
        path for place in (folder, folder / segments.MOTION) if place.is_dir() for path in place.glob(".*.part*")
    ]
    for path in (*leftovers, folder / segments.LOCK):
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
    absent = np.flatnonzero((video_ms >= 0) & ~np.isin(video_ms, pictures))
    if len(absent):
        report.lost.append(
            f"{len(absent)} of {frames} frames have no picture in the video, the first at {since[absent[0]]:.2f} s."
        )
    if len(pictures) and pictures[-1] > video_ms[-1] >= 0:
        report.lost.append(
            f"The video goes on {(pictures[-1] - video_ms[-1]) / 1000:.2f} s beyond the motion, which ends at {seconds:.2f} s."
        )
    report.kept = f"{frames} frames of motion and {len(pictures)} pictures over {seconds:.2f} s are whole."
    counts = {"frames": frames, "seconds": seconds, "video_frames": len(pictures)}
    counts |= {
        name: max(int(facts.get(name, 0)), int(sum(part.columns[name].sum() for part in parts)))
        for name in ("dropped", "missed")
    }
    if report.done or any(facts.get(name) != value for name, value in counts.items()):
        report.code = REPAIRED_CODE
        segments.write_facts(folder, facts | counts | {"state": "repaired", "problem": " ".join(report.lost)})


def _gaps(facts: dict[str, Any], parts: list[segments.Segment], since: np.ndarray) -> list[str]:
    """One sentence for each run of rows that should be there and is not."""
    found, place = [], 0
    if parts[0].row:
        found.append(f"The first {parts[0].row} frames are lost.")
    for before, part in zip(parts, parts[1:]):
        place += len(before)
        rows = part.row - before.row - len(before)
        if rows:
            found.append(f"{rows} frames between {since[place - 1]:.2f} and {since[place]:.2f} s are lost.")
    missing = int(facts.get("frames", 0)) - parts[-1].row - len(parts[-1])
    if facts.get("state") == "complete" and missing > 0:
        found.append(f"{missing} frames after {since[-1]:.2f} s are lost.")
    return found


def _check_video(folder: Path, facts: dict[str, Any], report: Report) -> np.ndarray:
    """The times of the pictures that can be decoded, ms, rising; the file is written anew where it has no end or is damaged, set aside where nothing can be read."""
    path = folder / segments.VIDEO
    if not look_up(path):
        if facts.get("video_frames"):
            report.lost.append("The video is not there.")
        return np.zeros(0, np.int64)
    times, sound = _decode(path)
    if not len(times):
        report.lost.append("No picture of the video can be read.")
        _set_aside(path, folder, report)
    elif not sound or facts.get("state") not in WHOLE or facts.get("video_frames") != len(times):
        part = part_name(path)
        try:
            _rewrap(path, part)
            again, _ = _decode(part)
            if len(again) < len(times):
                raise ValueError("pictures would be lost")
            os.replace(part, path)
            sync_folder(path.parent)
            times = again
            report.done.append("The video was given a new index.")
        except (av.FFmpegError, OSError, ValueError) as error:
            report.lost.append(f"The video could not be given a new index ({error}); most players read it without one.")
        finally:
            part.unlink(missing_ok=True)
    return times


def _decode(path: Path) -> tuple[np.ndarray, bool]:
    """Times of the pictures, ms; whether the file has an end and all its packets could be read."""
    times: list[int] = []
    try:
        with av.open(str(path), format="matroska") as file:
            stream = file.streams.video[0]
            stream.codec_context.thread_type = "AUTO"
            sound = bool(file.duration)
            for packet in _packets(file, stream):
                sound &= packet is not None
                with contextlib.suppress(
                    av.FFmpegError
                ):  # a picture that cannot be decoded is lost, whatever is written anew
                    times += (
                        [
                            round(frame.pts * frame.time_base * 1000)
                            for frame in packet.decode()
                            if frame.pts is not None
                        ]
                        if packet
                        else []
                    )
    except (av.FFmpegError, OSError, ValueError, IndexError, AttributeError) as error:
        log.info("%s: %s", path, error)
        return np.unique(np.array(times, np.int64)), False
    return np.unique(np.array(times, np.int64)), sound


def _packets(file, stream):
    """The packets of a file that may be damaged; None for each place that cannot be read."""
    for _ in range(_ERRORS_MAX):
        try:
            yield from file.demux(stream)
            return
        except av.error.EOFError:
            return
        except av.FFmpegError:
            yield None


def _rewrap(path: Path, part: Path) -> None:
    """Write the packets into a new file, `part`. Raises av.FFmpegError, OSError, ValueError."""
    with av.open(str(path), format="matroska") as old, av.open(str(part), "w", format="matroska") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        last = -1
        for packet in _packets(old, stream):
            if packet is not None and packet.size and packet.dts is not None and packet.dts > last:
                last, packet.stream = packet.dts, copy
                new.mux(packet)
    with open(part, "rb+") as file:
        os.fsync(file.fileno())


def main(argv: Sequence[str] | None = None) -> int:
    """The tool: exit status 0 whole, 3 repaired, 1 unusable."""
    parser = Parser(
        prog="python -m lvd_live recover",
        description="Repair a recorded session after a crash, and say what was lost. Exit status: 0 whole, 3 repaired, 1 unusable.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the session's folder")
    report = recover(parser.parse_args(argv).folder)
    for sentence in (*report.done, *report.lost, report.kept):
        sys.stdout.write(f"{sentence}\n")
    sys.stdout.write(
        {
            WHOLE_CODE: "The session is whole.\n",
            REPAIRED_CODE: "The session is repaired.\n",
            UNUSABLE_CODE: "The session is unusable.\n",
        }[report.code]
    )
    return report.code
