"""Output files: checked before the work, written beside their place, then renamed into it."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path

from lvd_live.errors import UserError

_FULL = {errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}


def is_disk_full(error: OSError) -> bool:
    """True where the error says that the disk, or the user's share of it, is full."""
    return error.errno in _FULL


def reason(error: OSError) -> str:
    """The system's own short reason, such as "Permission denied", in lower case and without the path."""
    return (error.strerror or str(error) or type(error).__name__).lower()


def look_up(path: str | os.PathLike) -> os.stat_result | None:
    """What is at `path`, or None where nothing is.

    Raises UserError for a path that no file can have, or that the system refuses to look at.
    """
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f"Cannot look at {path}: {reason(error)}.") from error
    except ValueError:  # a NUL byte, or characters that no file name can hold
        raise UserError(f"{os.fspath(path)!r} cannot be a file's name: check it for stray characters.") from None


def check_writable(path: str | os.PathLike, suffixes: tuple[str, ...] = ()) -> Path:
    """Find out, by trying, whether a file could be written at `path`; nothing is left behind. Returns `path` as a Path.

    suffixes : the endings that its name may have, lower case; any where none are given.

    Raises UserError (exit code 2) for another ending, a folder, a file that may not be replaced, or when the folder
    around it does not exist or takes no new files.
    """
    path = Path(path)
    if suffixes and path.suffix.lower() not in suffixes:
        raise UserError(f"Cannot write {path}: its name must end in {' or '.join(suffixes)}.")
    parent = path.absolute().parent
    there, around = look_up(path), look_up(parent)
    if there and stat.S_ISDIR(there.st_mode):
        raise UserError(f"Cannot write {path}: it is a folder, not a file name.")
    if not around or not stat.S_ISDIR(around.st_mode):
        raise UserError(f"Cannot write {path}: the folder {parent} does not exist.")
    if there and not (stat.S_ISREG(there.st_mode) and os.access(path, os.W_OK)):
        raise UserError(f"Cannot write {path}: something that may not be replaced is there already.")
    try:
        handle, probe = tempfile.mkstemp(prefix=f".{path.name[:32]}.", suffix=".part", dir=parent)
        os.close(handle)
        os.unlink(probe)
    except OSError as error:
        raise UserError(f"Cannot write {path}: {reason(error)}.") from error
    return path


def fresh_name(path: str | os.PathLike) -> Path:
    """`path` if nothing is there, else the first of name-1.ext, name-2.ext, … that is free.

    Raises UserError as `look_up` does.
    """
    path = Path(path)
    candidate, number = path, 0
    while look_up(candidate):
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def part_name(path: str | os.PathLike) -> Path:
    """A hidden name in the folder of `path`, this process's alone, of the same extension: to write to, then rename."""
    path = Path(path)
    return path.absolute().with_name(f".{path.stem[:32]}.{os.getpid()}.part{path.suffix}")


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut, where the system can do that."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(handle)
    except OSError:  # some network file systems refuse
        return
    finally:
        os.close(handle)


def write_whole(path: str | os.PathLike, data: bytes) -> None:
    """Write `data` to `path` all at once: the old file stays until the new one is complete. Raises UserError."""
    path = Path(path)
    part = part_name(path)
    try:
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(f"Could not write {path}: {reason(error)}.", exit_code=1) from error
    sync_folder(path.absolute().parent)
