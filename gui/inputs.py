"""What can be tracked: cameras by name, streams, videos, folders of pictures."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtWidgets import QFileDialog, QInputDialog, QWidget

from lvd_live.gui.language import tr
from lvd_live.sources import CameraSource, ImageSource, Source, VideoSource
from lvd_live.sources.address import parse_address
from lvd_live.sources.capture import CameraMode
from lvd_live.sources.devices import is_name, list_cameras
from lvd_live.sources.images import SUFFIXES
from lvd_live.sources.kinds import VIDEO_SUFFIXES

VIDEOS = VIDEO_SUFFIXES
SCANS = (".ply", ".obj", ".stl", ".glb", ".gltf", ".off", ".xyz", ".txt", ".csv", ".pcd")  # and some .npz
STILLS_FPS = 1.0  # how fast a folder of pictures is shown


@dataclass(frozen=True)
class Input:
    """What to track.

    kind : "camera", "video" or "images".
    place : a camera's number, name or device, a stream's address, or a path.
    mode : what a camera is asked for, None: what it likes.
    """

    kind: str
    place: str
    mode: CameraMode | None = None

    @property
    def title(self) -> str:
        """For people; without a stream's address, which may hold a password."""
        if self.kind != "camera":
            return Path(self.place).name
        address = parse_address(self.place)
        if not isinstance(address, int):
            return self.place if is_name(self.place) else tr("camera stream")
        start = f"{address}: "
        names = (text.removeprefix(start) for text in known_cameras() if text.startswith(start))
        return next(names, tr("camera {}").format(address))

    @property
    def listed(self) -> str:
        """A plugged-in camera as `camera_names` lists it; "" for anything else."""
        number = parse_address(self.place) if self.kind == "camera" else None
        names = known_cameras() if isinstance(number, int) else ()
        return next((name for name in names if name.startswith(f"{number}: ")), "")

    def open(self) -> Source:
        """The source. Raises UserError where there is none."""
        if self.kind == "camera":
            return CameraSource(self.place, mode=self.mode)
        return VideoSource(self.place) if self.kind == "video" else ImageSource(self.place, STILLS_FPS)


def ask_for_camera(parent: QWidget) -> Input | None:
    """Ask with a dialog; None where nothing is chosen, as with the others."""
    names = camera_names()
    question = tr("A camera, its name, or the address of a stream:")
    text, chosen = QInputDialog.getItem(parent, tr("Camera"), question, names or ["0"], 0, True)
    if not chosen or not text.strip():
        return None
    return Input("camera", text.split(":")[0].strip() if text in names else text.strip())


def ask_for_video(parent: QWidget, title: str = "Video") -> Input | None:
    """Ask for a video file."""
    kinds = f"{tr('Videos')} ({' '.join('*' + suffix for suffix in VIDEOS)});;{tr('All files')} (*)"
    path, _ = QFileDialog.getOpenFileName(parent, tr(title), "", kinds)
    return Input("video", path) if path else None


def ask_for_file(parent: QWidget) -> Path | None:
    """Ask for anything that can be opened: a video, a picture, a mesh sequence, a scan."""
    endings = " ".join("*" + suffix for suffix in (*VIDEOS, *SUFFIXES, ".npz", *SCANS))
    kinds = f"{tr('Videos, pictures, results, scans')} ({endings})"
    path, _ = QFileDialog.getOpenFileName(parent, tr("Open"), "", f"{kinds};;{tr('All files')} (*)")
    return Path(path) if path else None


def ask_for_result(parent: QWidget) -> Path | None:
    """Ask for the file of a mesh sequence."""
    path, _ = QFileDialog.getOpenFileName(parent, tr("A result"), "", f"{tr('Mesh sequences')} (*.npz)")
    return Path(path) if path else None


def ask_for_images(parent: QWidget) -> Input | None:
    """Ask for a folder of pictures."""
    path = QFileDialog.getExistingDirectory(parent, tr("A folder of pictures"))
    return Input("images", path) if path else None


@functools.cache
def known_cameras() -> tuple[str, ...]:
    """The last `camera_names`: a title is shown many times a second, and the system is slow to answer."""
    return tuple(camera_names())


def camera_names() -> list[str]:
    """A text "number: name" for each camera, as far as the system names them."""
    known_cameras.cache_clear()
    return [f"{number}: {name}" for number, name in list_cameras()]
