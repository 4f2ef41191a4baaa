"""The sessions in a folder: listed, renamed, put into the trash."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lvd_live.errors import UserError
from lvd_live.session.facts import FINISHED, read_facts, write_facts
from lvd_live.session.layout import LOCK, THUMBNAIL, folder_name, is_session, list_segments
from lvd_live.session.reserve import is_being_recorded
from lvd_live.session.segments import read_segment
from lvd_live.storage.files import look_up, reason


@dataclass(frozen=True)
class SessionInfo:
    """What a list shows of a session.

    unfitted : frames that wait to be fitted (`refill`). dropped : frames that the recorder could not take. missed :
    frames that never came to it. whole : finished; otherwise it is being recorded, or `recover` should repair it.
    measurements : of the person, name to (cm, error to expect in cm, of older sessions the spread of single frames);
    empty where they were not taken.
    """

    path: Path
    name: str
    started: datetime.datetime
    seconds: float
    frames: int
    unfitted: int
    dropped: int
    missed: int
    thumbnail: Path | None
    whole: bool
    measurements: Mapping[str, tuple[float, float]]

    @property
    def lost(self) -> int:
        """Frames of the source that are not in the session, see `Recorder.lost`."""
        return self.dropped + self.missed


def list_sessions(root: Path) -> list[SessionInfo]:
    """The sessions in `root`, the newest first; damaged ones too. Raises UserError where `root` cannot be read."""
    try:
        folders = [path for path in Path(root).iterdir() if not path.name.startswith(".") and path.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"Cannot look into {root}: {reason(error)}.") from error
    found = [_info(folder) for folder in folders if is_session(folder)]
    return sorted(found, key=lambda info: (info.started, info.path.name), reverse=True)


def rename(path: Path, name: str) -> Path:
    """Give a session another name, and its folder one that goes with it; returns the folder. Raises UserError."""
    path = Path(path)
    facts = read_facts(path)
    if is_being_recorded(path):
        raise UserError(f"{path} is being recorded and cannot be renamed.", exit_code=1)
    write_facts(path, facts | {"name": name})
    stem, number = folder_name(f"{_moment(facts['started'], path):%Y-%m-%d_%H-%M-%S}", name), 1
    target = path.with_name(stem)
    while target != path and look_up(target):
        number += 1
        target = path.with_name(f"{stem}-{number}")
    try:
        return path.rename(target)
    except OSError as error:
        raise UserError(f"Cannot rename {path}: {reason(error)}.", exit_code=1) from error


def move_to_trash(path: Path) -> None:
    """Put a session into the system's trash. Raises UserError."""
    import send2trash

    path = Path(path)
    if not is_session(path):
        raise UserError(f"{path} is no recorded session.")
    if is_being_recorded(path):
        raise UserError(f"{path} is being recorded and cannot be deleted.", exit_code=1)
    try:
        send2trash.send2trash(os.fspath(path))
    except (OSError, send2trash.TrashPermissionError) as error:
        raise UserError(f"Cannot put {path} into the trash ({error}): delete it by hand.", exit_code=1) from error


def _info(folder: Path) -> SessionInfo:
    try:
        facts = read_facts(folder)
    except UserError:
        facts = {"name": folder.name, "started": "", "state": "damaged"}
    thumbnail = folder / THUMBNAIL
    whole = facts.get("state") in FINISHED and not look_up(folder / LOCK)
    if not whole:
        facts |= _extent(folder)
    return SessionInfo(
        path=folder,
        name=facts["name"],
        started=_moment(facts["started"], folder),
        seconds=float(facts.get("seconds", 0)),
        frames=int(facts.get("frames", 0)),
        unfitted=int(facts.get("unfitted", 0)),
        dropped=int(facts.get("dropped", 0)),
        missed=int(facts.get("missed", 0)),
        thumbnail=thumbnail if look_up(thumbnail) else None,
        whole=whole,
        measurements={
            name: (m["cm"], m.get("error_cm", m["spread_cm"])) for name, m in facts.get("measurements", {}).items()
        },
    )


def _extent(folder: Path) -> dict[str, Any]:
    """Frames and seconds of a session without a finished session.json, from its first and last segment."""
    try:
        files = list_segments(folder)
        first, last = read_segment(files[0]), read_segment(files[-1])
    except (UserError, IndexError):
        return {}
    nanoseconds = last.columns["timestamps_ns"][-1] - first.columns["timestamps_ns"][0]
    return {"frames": last.row + len(last), "seconds": nanoseconds / 1e9}


def _moment(text: str, folder: Path) -> datetime.datetime:
    """The stated start of a session, or when its folder was changed last."""
    try:
        moment = datetime.datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.astimezone()
    except (ValueError, OverflowError):
        return datetime.datetime.fromtimestamp(folder.stat().st_mtime).astimezone()
