"""Where the main job reads and writes: names, and the checks before anything heavy is loaded."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lvd_live.errors import UserError
from lvd_live.paths import DEMO, MODELS, demo_folder
from lvd_live.storage.files import check_writable, fresh_name, look_up

BODY = MODELS / "body" / "lvd_body.npz"
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv")


@dataclass(frozen=True)
class Places:
    """What is read and what is written. Exactly one of camera, video and images is not None."""

    camera: str | None
    video: Path | None
    images: Path | None
    output: Path
    overlay: Path | None
    sheet: Path | None

    @property
    def source_name(self) -> str:
        """The source as a file may remember it: an address may hold a password, so it is left out."""
        if self.camera is not None:
            from lvd_live.sources.address import parse_address

            address = parse_address(self.camera)
            return f"camera {address}" if isinstance(address, int) else "camera stream"
        given = self.video or self.images
        assert given is not None
        return given.name


def choose_places(arguments: argparse.Namespace, body: Path | None) -> Places:
    """Complete and check what a command line names. `body` is read, too, so it is not written over.

    Raises UserError for a place that cannot be written or a file that would be read and written.
    """
    video, output, overlay, sheet = arguments.video, arguments.output, arguments.overlay, arguments.sheet
    if arguments.demo:
        video, folder = DEMO, demo_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise UserError(f"Cannot write the demo's results to {folder}: {reason}.") from error
        output = output or folder / "demo.npz"
        overlay = overlay or folder / "demo.mp4"
        sheet = sheet or folder / "demo.png"
    if output is None:
        output = fresh_name(Path(default_name(arguments.camera, video, arguments.images)))
    places = Places(arguments.camera, video, arguments.images, output, overlay, sheet)
    _check(places, body)
    return places


def default_name(camera: str | None, video: Path | None, images: Path | None) -> str:
    """The sequence's file name after the input's."""
    if camera is not None:
        return "camera.npz"
    given = video or images
    assert given is not None
    look_up(given)  # a name that cannot be is told before it is resolved
    path = given.resolve()
    return f"{path.stem if video else path.name or 'images'}.npz"


def _check(places: Places, body: Path | None) -> None:
    wanted: tuple[tuple[Path | None, tuple[str, ...]], ...] = (
        (places.output, (".npz",)),
        (places.overlay, VIDEO_SUFFIXES),
        (places.sheet, (".png",)),
    )
    for path, suffixes in wanted:
        if path is None:
            continue
        check_writable(path, suffixes)
        there = look_up(path)
        if there is None:
            continue
        for given, what in _inputs(places, body):
            if os.path.samestat(there, given.stat()):
                raise UserError(f"Cannot write {path}: it is {what} to be read.")


def _inputs(places: Places, body: Path | None) -> Iterator[tuple[Path, str]]:
    """The files that exist and will be read, each with what it is."""
    for path, what in ((places.video, "the video"), (body or BODY, "the body file")):
        if path is not None and look_up(path):
            yield path, what
    if places.images is not None and look_up(places.images):
        from lvd_live.sources.images import list_pictures

        yield from ((path, "one of the pictures") for path in list_pictures(places.images))
