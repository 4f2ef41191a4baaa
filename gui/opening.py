"""What is opened, and how: by a dialog, or dropped on the window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from PySide6.QtCore import QUrl
from PySide6.QtWidgets import QWidget

from lvd_live.gui.inputs import VIDEOS, Input, ask_for_file, ask_for_result, ask_for_video
from lvd_live.gui.language import tr
from lvd_live.gui.loading import is_scan
from lvd_live.sources.images import SUFFIXES as PICTURES


class Opener(Protocol):
    """What can open things."""

    def open(self, chosen: Input) -> None:
        """Track from an input."""

    def process(self, video: Path) -> None:
        """Track every frame of a video."""

    def show_take(self, path: Path) -> None:
        """Show a session or a sequence."""

    def show_scan(self, path: Path) -> None:
        """Register a scan."""


class Opening:
    """Asks what to open, and has it opened.

    parent : of the dialogs.
    """

    def __init__(self, parent: QWidget, opener: Opener):
        self._parent, self._opener = parent, opener

    def choose_input(self, ask: Callable[[QWidget], Input | None]) -> None:
        """Track what a dialog of `inputs` gives."""
        if (chosen := ask(self._parent)) is not None:
            self._opener.open(chosen)

    def choose_video_to_process(self) -> None:
        """Ask for a video, and track every frame of it."""
        if (chosen := ask_for_video(self._parent, "Process a video, every frame of it")) is not None:
            self._opener.process(Path(chosen.place))

    def choose_result(self) -> None:
        """Ask for a mesh sequence, and show it."""
        if (path := ask_for_result(self._parent)) is not None:
            self._opener.show_take(path)

    def choose_file(self) -> None:
        """Ask for a file of any kind; a video is played and tracked at its own pace."""
        if (path := ask_for_file(self._parent)) is not None and path.suffix.lower() in VIDEOS:
            self._opener.open(Input("video", str(path)))
        elif path is not None:
            self.open_file(path)

    def open_file(self, path: Path) -> None:
        """Process a video, open a picture or a folder of them, show a result or a session, register a scan."""
        if not path.is_dir() and is_scan(path):
            self._opener.show_scan(path)
        elif path.suffix.lower() == ".npz" or (path / "session.json").exists():
            self._opener.show_take(path)
        elif path.is_dir() or path.suffix.lower() in PICTURES:
            self._opener.open(Input("images", str(path)))
        else:
            self._opener.process(path)

    def open_dropped(self, urls: list[QUrl], say: Callable[[str], object]) -> None:
        """Open the first of some files, or addresses of streams; say : shows a sentence for a while."""
        if not urls:
            return
        if len(urls) > 1:
            say(tr("One at a time: the first of {} files was opened.").format(len(urls)))
        url = urls[0]
        if url.isLocalFile():
            self.open_file(Path(url.toLocalFile()))
        else:
            self._opener.open(Input("camera", url.toString()))
