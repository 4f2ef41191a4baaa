"""What goes to other programs while it is tracked: the motion by VMC, and what is shown by a virtual camera."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject

from lvd_live.gui.controls import Controls
from lvd_live.gui.language import tr
from lvd_live.gui.live_tracking import LiveTracking
from lvd_live.gui.virtual_camera import VirtualCamera


class Sending(QObject):
    """Does what the switches of the controls say; what cannot be done is said, and its switch goes back.

    camera : the virtual camera.
    """

    def __init__(
        self, controls: Controls, tracking: LiveTracking, say: Callable[[str], object], parent: QObject | None = None
    ):
        super().__init__(parent)
        self._controls, self._vmc, self._say, self.camera = controls, tracking.vmc, say, VirtualCamera(self)
        controls.vmc.toggled.connect(self._switch_vmc)
        self._vmc.failed.connect(self._refuse_vmc)
        controls.virtual.toggled.connect(lambda on: self.camera.switch_on() if on else self.camera.switch_off())
        tracking.drawn.connect(self.camera.offer)
        self.camera.failed.connect(self._refuse_camera)

    def send_to(self, host: str, port: int) -> None:
        """Send the motion by VMC, as the switch does."""
        self._controls.vmc_address.setText(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        self._controls.vmc.setChecked(True)

    def refresh(self) -> None:
        """Say what is sent."""
        self._controls.vmc_state.setText(self._vmc.state())
        name = self.camera.state()
        self._controls.virtual.setText(tr("virtual camera") + (f": {name}" if name else ""))

    def close(self) -> None:
        """Take the virtual camera away."""
        self.camera.switch_off()

    def _switch_vmc(self, on: bool) -> None:
        address = self._controls.vmc_address
        address.setEnabled(not on)
        if on:
            self._vmc.switch_on(address.text())
        else:
            self._vmc.switch_off()

    def _refuse_vmc(self, why: str) -> None:
        self._controls.vmc.setChecked(False)
        self._say(why)

    def _refuse_camera(self, why: str) -> None:
        self._controls.virtual.setChecked(False)
        self._say(why)
