"""What can be tracked: cameras by name, streams, videos, folders of pictures."""

from __future__ import annotations

import contextlib
import functools
import sys
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtWidgets import QFileDialog, QInputDialog, QWidget

from lvd_live.sources import CameraSource, ImageSource, VideoSource

VIDEOS = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v")
STILLS_FPS = 1.0  # how fast a folder of pictures is shown
_V4L = Path("/sys/class/video4linux")


@dataclass(frozen=True)
class Input:
    """What to track. kind: "camera", "video" or "images"; place: a number, an address or a path."""

    kind: str
    place: str

    @property
    def title(self) -> str:
        if self.kind != "camera":
            return Path(self.place).name
        if not self.place.isdigit():
            return "camera stream"  # an address may hold a password
        return next(
            (text.partition(": ")[2] for text in known_cameras() if text.startswith(f"{self.place}: ")),
            f"camera {self.place}",
        )

    def open(self):
        """The source; UserError where there is none."""
        if self.kind == "camera":
            return CameraSource(self.place)
        return VideoSource(self.place) if self.kind == "video" else ImageSource(self.place, STILLS_FPS)


def ask_for_camera(parent: QWidget) -> Input | None:
    """A dialog; None where nothing is chosen, as with the others."""
    names = camera_names()
    text, chosen = QInputDialog.getItem(
        parent, "Camera", "A camera, or the address of a stream:", names or ["0"], 0, True
    )
    return (
        Input("camera", text.split(":")[0].strip() if text in names else text.strip())
        if chosen and text.strip()
        else None
    )


def ask_for_video(parent: QWidget, title: str = "Video") -> Input | None:
    path, _ = QFileDialog.getOpenFileName(
        parent, title, "", f"Videos ({' '.join('*' + v for v in VIDEOS)});;All files (*)"
    )
    return Input("video", path) if path else None


def ask_for_images(parent: QWidget) -> Input | None:
    path = QFileDialog.getExistingDirectory(parent, "A folder of pictures")
    return Input("images", path) if path else None


@functools.cache
def known_cameras() -> tuple[str, ...]:
    """`camera_names`, asked for anew only when somebody looks for cameras: a title is shown many times a second."""
    return tuple(camera_names())


def camera_names() -> list[str]:
    """ "number: name" of each camera, where the system tells."""
    known_cameras.cache_clear()
    return [
        f"{number}: {name}"
        for number, name in (_linux_cameras() if sys.platform.startswith("linux") else _other_cameras())
    ]


def _linux_cameras() -> list[tuple[int, str]]:
    found = []
    for node in _V4L.glob("video*"):
        with contextlib.suppress(OSError, ValueError):
            if int((node / "index").read_text()) == 0:  # a camera's other nodes give no pictures
                found.append((int(node.name.removeprefix("video")), (node / "name").read_text().strip()))
    return sorted(found)


def _other_cameras() -> list[tuple[int, str]]:
    """OpenCV's numbers name the system's interface, too: 1400 is Media Foundation's first camera."""
    import cv2

    try:
        from cv2_enumerate_cameras import enumerate_cameras

        backend = cv2.CAP_AVFOUNDATION if sys.platform == "darwin" else cv2.CAP_MSMF
        return [(backend + camera.index, camera.name) for camera in enumerate_cameras(backend)]
    except Exception:  # a list of names is a convenience; a system's interface may fail in its own ways
        return []
