"""A session's folder: its name and the files in it.

`session.json`       what was recorded, with a checksum; replaced as a whole (`facts`).
`motion/000000.npz`  the meshes, about half a second each; a file is whole or not there (`segments`).
`video.mkv`          the pictures, H.264, one for each row whose `video_ms` is not -1 (`live_video`).
`thumbnail.jpg`      a small picture of the first frame with a mesh.
`.recording`         there during the recording: disk space for its end, and a lock (`reserve`).
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from lvd_live.errors import UserError
from lvd_live.storage.files import look_up, reason, sync_folder

FACTS, MOTION, VIDEO, THUMBNAIL, LOCK = "session.json", "motion", "video.mkv", "thumbnail.jpg", ".recording"
_SEGMENT = re.compile(r"(\d{6})\.npz")
_SLUG_BYTES = 120  # of a session's name in the name of its folder


def is_session(folder: Path) -> bool:
    """Whether `folder` holds a session, whole or damaged. Raises UserError."""
    return bool(look_up(folder / FACTS) or look_up(folder / MOTION))


def segment_path(folder: Path, number: int) -> Path:
    """Where segment `number` of the session in `folder` is."""
    return folder / MOTION / f"{number:06d}.npz"


def list_segments(folder: Path) -> list[Path]:
    """The session's segment files in order, whole or not. Raises UserError."""
    try:
        return sorted(path for path in (folder / MOTION).iterdir() if _SEGMENT.fullmatch(path.name) and path.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(f"Cannot look into {folder / MOTION}: {reason(error)}.") from error


def folder_name(started: str, name: str) -> str:
    """The name of a session's folder: its start, and of its name what a file's name can hold."""
    slug = re.sub(r"[^\w-]+", "-", name).strip("-")
    return f"{started}-{slug.encode()[:_SLUG_BYTES].decode(errors='ignore')}".rstrip("-")


def make_folder(root: Path, started: str, name: str) -> Path:
    """Make a folder in `root` that was not there before. Raises UserError."""
    stem, number = folder_name(started, name), 1
    try:
        root.mkdir(parents=True, exist_ok=True)
        while True:
            folder = root / (stem if number == 1 else f"{stem}-{number}")
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                sync_folder(root)
                return folder
            number += 1
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else error
        raise UserError(f"Cannot record to {root}: {why}.") from error
