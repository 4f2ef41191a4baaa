"""The motion, sent to another program while it is tracked: on or off at any time."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from lvd_live.errors import UserError
from lvd_live.gui.language import tr
from lvd_live.gui.status import Rate

if TYPE_CHECKING:
    from lvd_live.body.model import BodyModel
    from lvd_live.export.vmc import VmcSender
    from lvd_live.tracking.fit import Fit
    from lvd_live.tracking.tracker import Tracker

COUNT_S = 2.0  # over which packets per second are counted


class VmcLink(QObject):
    """At most one `VmcSender`, made in a thread of its own: a host's name may take long to be found.

    wanted : the address to send to, or None.
    stream : the sender, once there is one.

    failed : a sentence why nothing can be sent; nothing is wanted then.
    """

    failed = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.wanted: str | None = None
        self.stream: VmcSender | None = None
        self._body: BodyModel | None = None  # that the sender, or the one being made, sends
        self._rate, self._per_second, self._counted_at = Rate(), 0.0, 0.0
        self.failed.connect(self.switch_off)

    def switch_on(self, address: str) -> None:
        """Send to an address, such as "127.0.0.1:39539", as soon as `look_after` knows a tracker."""
        self.switch_off()
        self.wanted = address

    def switch_off(self) -> None:
        """Send no more."""
        sender, self.stream, self.wanted, self._body = self.stream, None, None, None
        self._rate.reset()
        if sender is not None:
            threading.Thread(target=sender.close, name="vmc's end", daemon=True).start()

    def look_after(self, tracker: Tracker | None) -> None:
        """Begin to send what `tracker` tracks, if that is wanted; to be called now and then."""
        if self.wanted is None or tracker is None or tracker.shown_body is self._body:
            return
        if self.stream is not None:  # another tracker, another body
            self.switch_on(self.wanted)
        self._body = tracker.shown_body
        threading.Thread(target=self._start, args=(self.wanted, self._body), name="vmc's start", daemon=True).start()

    def offer(self, fit: Fit | None) -> None:
        """Send this, if there is a sender; called in the fit's thread."""
        if (sender := self.stream) is not None:
            sender.on_fit(fit)

    def forget(self) -> None:
        """Another person."""
        if (sender := self.stream) is not None:
            sender.forget()

    def state(self) -> str:
        """What is sent, for people; to be asked for a few times a second."""
        if self.wanted is None:
            return ""
        if self.stream is None:
            return tr("waiting for a person to track" if self._body is None else "starting …")
        if (now := time.monotonic()) - self._counted_at >= COUNT_S:
            self._counted_at, self._per_second = now, self._rate(self.stream.sent)
        return tr("sending {:.0f} packets/s").format(self._per_second)

    def _start(self, address: str, body: BodyModel) -> None:
        from lvd_live.export.vmc import VmcSender, parse_address

        try:
            sender = VmcSender(parse_address(address), body)
        except ValueError as error:
            self.failed.emit(f"Cannot send motion: {error}.")
            return
        except UserError as error:
            self.failed.emit(str(error))
            return
        if self.wanted == address and self._body is body:
            self.stream = sender
        else:  # switched off meanwhile
            sender.close()
