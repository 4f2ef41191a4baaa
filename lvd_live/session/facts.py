"""`session.json`: what was recorded, when, and how it ended. Read as if it came from a stranger."""

from __future__ import annotations

import json
import stat
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lvd_live.errors import UserError
from lvd_live.session.layout import FACTS
from lvd_live.storage.files import look_up, reason, write_whole

SCHEMA = 1
FINISHED = ("complete", "stopped", "repaired")  # the states of a session whose files are whole
_MAX_BYTES = 1 << 20
_REQUIRED: dict[str, type | tuple[type, ...]] = {"name": str, "started": str, "fps": (int, float), "meta": dict}
_COUNTS = ("frames", "dropped", "missed", "seconds", "video_frames", "unfitted", "fitted_after")


def write_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Replace `session.json` by `facts`, JSON values, with a checksum. Raises UserError."""
    facts = {name: value for name, value in facts.items() if name != "crc32"}
    text = json.dumps(facts | {"crc32": checksum(facts)}, indent=1, allow_nan=False)
    write_whole(folder / FACTS, text.encode("ascii"))


def read_facts(folder: Path) -> dict[str, Any]:
    """The values of `session.json`, of the types that `write_facts` is given. Raises UserError where it is damaged."""
    path = folder / FACTS
    there = look_up(path)
    if there is None or not stat.S_ISREG(there.st_mode):
        raise UserError(f"{folder} is no recorded session: it holds no {FACTS}.")
    try:
        if there.st_size > _MAX_BYTES:
            raise ValueError("too long")
        facts = json.loads(path.read_bytes())
        if facts.pop("crc32") != checksum(facts):
            raise ValueError("checksum")
    except OSError as error:
        raise UserError(f"Cannot read {path}: {reason(error)}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(path) from error
    if facts.get("lvd_session") != SCHEMA:
        raise UserError(f"Cannot use {folder}: it is a session of another version of this program.")
    if not facts_are_sane(facts):
        raise _damaged(path)
    return facts


def facts_are_sane(facts: Any) -> bool:
    """Whether the values of session.json, or of its start in a segment, have the right types and sizes.

    The checksum finds damage, not malice: anyone can compute one.
    """
    return (
        isinstance(facts, dict)
        and all(isinstance(facts.get(name), kind) for name, kind in _REQUIRED.items())
        and all(_is_count(facts.get(name, 0), 1e12) for name in _COUNTS)
        and _is_count(facts["fps"], 1e6)
        and all(isinstance(facts.get(name, ""), str) for name in ("state", "problem"))
        and _measurements_are_sane(facts.get("measurements", {}))
    )


def checksum(facts: Mapping[str, Any]) -> int:
    """The CRC-32 that session.json carries, of all its other values."""
    return zlib.crc32(json.dumps(facts, sort_keys=True).encode())


def _measurements_are_sane(measurements: Any) -> bool:
    return isinstance(measurements, dict) and all(
        isinstance(found, dict)
        and all(_is_count(found.get(key), 1e6) for key in ("cm", "spread_cm"))
        and _is_count(found.get("error_cm", 0), 1e6)
        for found in measurements.values()
    )


def _is_count(value: Any, limit: float) -> bool:
    return isinstance(value, (int, float)) and 0 <= value < limit


def _damaged(path: Path) -> UserError:
    return UserError(f"{path} is damaged: run python -m lvd_live recover on its folder.")
