"""One training a folder: two would take turns at writing one checkpoint."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from lvd_live.errors import UserError
from lvd_live.storage.files import reason

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

NAME = "lock"  # of the file, which stays: were it removed, two could hold a lock of that name


@contextlib.contextmanager
def only_training(out: Path) -> Iterator[None]:
    """While it lasts no other process trains in the folder `out`, which is made if it is not there.

    The lock is the system's, and ends with the process, however that ends; some network file systems have none. Raises
    UserError where another one trains, or where the folder cannot be written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        handle = os.open(out / NAME, os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        raise UserError(f"Cannot write to {out}: {reason(error)}.") from error
    try:
        if not _lock(handle):
            raise UserError(
                f"Another process is training in {out}: wait until it has ended, or choose another --out.", exit_code=1
            )
        yield
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    """Lock an open file until it is closed; False where another process has locked it."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks
        pass
    return True
