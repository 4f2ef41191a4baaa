"""Recording started from afar: the OSC message /record, from another program or a phone."""

from __future__ import annotations

import contextlib
import socket
import threading

from PySide6.QtCore import QObject, Signal

from lvd_live.gui.language import tr
from lvd_live.storage.files import reason

PORT = 9000  # where many OSC programs send to
ADDRESS = "/record"
LARGEST = 65_536  # bytes of a packet


class OscRemote(QObject):
    """Listens on a UDP port while it is on; off at first.

    port : that it listens on, None: it is off.

    asked : by a message: True: record, False: stop, None: the other one of the two.
    failed : a sentence why it cannot listen.
    """

    asked = Signal(object)
    failed = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.port: int | None = None
        self._socket: socket.socket | None = None

    def switch_on(self, port: int = PORT) -> None:
        """Listen to other computers, too. `/record`, alone or with 1 or 0."""
        self.switch_off()
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            listener.bind(("", port))
        except OSError as error:
            listener.close()
            self.failed.emit(tr("Cannot listen for OSC on port {}: {}.").format(port, reason(error)))
            return
        self._socket, self.port = listener, listener.getsockname()[1]
        threading.Thread(target=self._listen, args=(listener,), name="osc", daemon=True).start()

    def switch_off(self) -> None:
        """Listen no more."""
        listener, self._socket, self.port = self._socket, None, None
        if listener is not None:
            with contextlib.suppress(OSError):  # wakes the thread
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _listen(self, listener: socket.socket) -> None:
        from lvd_live.export import osc  # its room imports torch: not before the window is there

        while self._socket is listener:
            try:
                data = listener.recv(LARGEST)
            except OSError:
                return
            for address, values in osc.read(data):
                if address == ADDRESS and self._socket is listener:
                    wanted = bool(values[0]) if values and not isinstance(values[0], str) else None
                    with contextlib.suppress(RuntimeError):  # the window is gone
                        self.asked.emit(wanted)
