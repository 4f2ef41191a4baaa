"""The cameras of this machine, and finding one by what its maker calls it."""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path

from lvd_live.errors import UserError
from lvd_live.sources.address import parse_address

V4L = Path("/sys/class/video4linux")  # where Linux lists its cameras
BY_ID = Path("/dev/v4l/by-id")  # where it gives each a name that stays the same: usb-046d_HD_Pro_Webcam_C920-…
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/|.*[@/\\]|.*:\d+$|[\w-]+(\.[\w-]+)+$")


def list_cameras() -> list[tuple[int, str]]:
    """Number and name of each camera, as far as the system names them."""
    return _linux_cameras() if sys.platform.startswith("linux") else _other_cameras()


def is_name(text: str) -> bool:
    """Whether a text may be a camera's name: it is no number, no device's path and nothing like a stream's address."""
    return bool(text.strip()) and isinstance(parse_address(text), str) and not _ADDRESS.match(text.strip())


def find_camera(text: str) -> int | str:
    """What `text` means: a camera by its number, its device or (a part of) its name, else a stream's address.

    Returns a number or an address. Raises UserError where it is a name that no camera has, or more than one.
    """
    address = parse_address(text)
    if isinstance(address, int) or address.startswith("/dev/") or "://" in address:
        return address
    cameras = list_cameras()
    wanted = _plain(address)
    names = [(number, _plain(name)) for number, name in cameras] + _linked(cameras)
    for fits in (lambda name: name == wanted, lambda name: wanted in name):
        found = sorted({number for number, name in names if wanted and fits(name)})
        if len(found) == 1:
            return found[0]
        if found:
            those = ", ".join(f"{number}: {name}" for number, name in cameras if number in found)
            raise UserError(f"Several cameras are called {text.strip()!r} ({those}): give the number.")
    if not is_name(text):
        return address
    there = ", ".join(f"{number}: {name}" for number, name in cameras)
    has = f"the system names these: {there}" if there else "the system names none"
    raise UserError(f"There is no camera called {text.strip()!r}; {has}. A stream's address begins with its scheme://.")


def _plain(name: str) -> str:
    """A name without the differences between how systems and people write it."""
    return re.sub(r"[\W_]+", " ", name).strip().casefold()


def _linux_cameras() -> list[tuple[int, str]]:
    found = []
    for node in V4L.glob("video*"):
        with contextlib.suppress(OSError, ValueError):
            if int((node / "index").read_text()) == 0:  # a camera's other nodes give no pictures
                found.append((int(node.name.removeprefix("video")), (node / "name").read_text().strip()))
    return sorted(found)


def _linked(cameras: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Number and plain name of the links that Linux keeps to its cameras."""
    known, found = {number for number, _ in cameras}, []
    with contextlib.suppress(OSError):
        for link in BY_ID.iterdir():
            device = re.fullmatch(r"video(\d+)", link.resolve().name)
            if device and int(device[1]) in known:
                found.append((int(device[1]), _plain(link.name)))
    return found


def _other_cameras() -> list[tuple[int, str]]:
    """Cameras by OpenCV's numbers, which name the system's interface, too: 1400 is Media Foundation's first camera."""
    import cv2

    try:
        from cv2_enumerate_cameras import enumerate_cameras

        backend = cv2.CAP_AVFOUNDATION if sys.platform == "darwin" else cv2.CAP_MSMF
        return [(backend + camera.index, camera.name) for camera in enumerate_cameras(backend)]
    except Exception:  # a list of names is a convenience; a system's interface may fail in its own ways
        return []
