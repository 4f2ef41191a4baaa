"""The lock of a recording, in a file that also keeps disk space for the recording's end."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lvd_live.session.layout import LOCK

if sys.platform != "win32":
    import fcntl

HAS_LOCKS = sys.platform != "win32"  # Windows refuses to replace files that are open, which is lock enough
RESERVE = 8 << 20  # bytes: for the last segment, the end of the video and session.json


class Reserve:
    """Disk space for the end of a recording, in a file that is locked while the recording goes on.

    used : whether the space was given back because the disk was full.

    Raises OSError where there is no space for it; no file is left then.
    """

    def __init__(self, path: Path):
        self.path, self.used = path, False
        self._handle: int | None = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            self._fill(self._handle)
        except OSError:
            self.close()  # what the disk gave of it would stay taken, by a file that nobody sees
            raise

    @staticmethod
    def _fill(handle: int) -> None:
        if sys.platform != "win32":
            fcntl.flock(handle, fcntl.LOCK_EX)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(handle, 0, RESERVE)
        else:
            os.write(handle, bytes(RESERVE))

    def release(self, full: bool = True) -> bool:
        """Give the space back; False where that was done before. full : because the disk is."""
        if self._handle is None or not os.fstat(self._handle).st_size:
            return False
        os.ftruncate(self._handle, 0)
        self.used |= full
        return True

    def close(self) -> None:
        """Remove the file, and the lock with it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
            self.path.unlink(missing_ok=True)


def is_being_recorded(folder: Path) -> bool:
    """Whether a program that is running holds the lock of the session in `folder`."""
    if sys.platform == "win32":
        return False
    try:
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except OSError:
        return True
    finally:
        os.close(handle)
