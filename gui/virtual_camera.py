"""What is shown, offered to other programs as a camera: OBS, Zoom, a browser."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import QObject, Signal

from lvd_live.errors import UserError
from lvd_live.gui.language import tr
from lvd_live.pipeline.slot import Slot
from lvd_live.render import fit_into

if TYPE_CHECKING:
    from lvd_live.gui.shading import View

FPS = 30.0  # that the device says it gives


class VirtualCamera(QObject):
    """Sends the newest picture, in a thread of its own, while it is on.

    The device gets the size of the first picture; others are fitted into it.

    device : the name that other programs see, "" while there is none. sent : pictures so far.

    failed : a sentence why there is none; it is off then.
    """

    failed = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.device, self.sent = "", 0
        self._slot: Slot[np.ndarray] | None = None

    def switch_on(self) -> None:
        """Make the device with the next picture."""
        self.switch_off()
        self._slot = Slot(newest=True)
        threading.Thread(target=self._run, args=(self._slot,), name="virtual camera", daemon=True).start()

    def switch_off(self) -> None:
        """Take the device away."""
        slot, self._slot = self._slot, None
        if slot is not None:
            slot.close()

    def offer(self, view: View[Any]) -> None:
        """Send this picture, if it is on."""
        if self._slot is not None:
            self._slot.put(view.picture)

    def state(self) -> str:
        """For people, "" while it is off."""
        return "" if self._slot is None else self.device or tr("waiting for a picture")

    def _run(self, slot: Slot[np.ndarray]) -> None:
        camera, size = None, (0, 0)
        try:
            while (picture := slot.take()) is not None and self._slot is slot:
                if camera is None:
                    size = picture.shape[1] // 2 * 2, picture.shape[0] // 2 * 2
                    camera = open_camera(*size)
                    self.device, self.sent = camera.device, 0
                if picture.shape[1::-1] != size:
                    picture = fit_into(picture, size)
                camera.send(np.ascontiguousarray(picture))
                self.sent += 1
        except UserError as error:
            self._fail(slot, str(error))
        except Exception as error:  # the device's driver has errors of its own
            self._fail(slot, tr("The virtual camera failed: {}").format(error))
        finally:
            if camera is not None:
                camera.close()
            if self._slot in (slot, None):
                self.device = ""

    def _fail(self, slot: Slot[np.ndarray], why: str) -> None:
        if self._slot is slot:
            self._slot = None
            self.failed.emit(why)


def open_camera(width: int, height: int) -> Any:
    """A device of pyvirtualcam. Raises UserError where there is none."""
    try:
        import pyvirtualcam
    except ModuleNotFoundError as error:
        said = tr("A virtual camera needs the package pyvirtualcam, which is not installed: {}")
        raise UserError(said.format("pip install -e .[camera]")) from error
    try:
        return pyvirtualcam.Camera(width=width, height=height, fps=FPS, fmt=pyvirtualcam.PixelFormat.RGB)
    except (RuntimeError, ValueError, OSError) as error:
        first = "".join(str(error).strip().splitlines()[:1])
        said = tr("There is no virtual camera; install OBS with its virtual camera, or on Linux v4l2loopback ({}).")
        raise UserError(said.format(first)) from error
