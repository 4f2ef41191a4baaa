"""The moving body, sent to other programs by the Virtual Motion Capture protocol (VMC): OSC messages over UDP."""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
import threading
import time

import numpy as np

from lvd_live.body.model import BodyModel
from lvd_live.errors import UserError
from lvd_live.export import osc
from lvd_live.export.unity import BoneFitter, Bones
from lvd_live.storage.files import reason
from lvd_live.tracking.fit import Fit

log = logging.getLogger(__name__)

PORT = 39539  # the protocol's port for performers
DEFAULT = f"127.0.0.1:{PORT}"
_CLOSE_S = 5.0  # how long `close` waits for the last mesh


def parse_address(text: str) -> tuple[str, int]:
    """(host, port) from "host:port", "host", "port" or "[IPv6]:port"; loopback and `PORT` where left out.

    Raises ValueError.
    """
    address = text.strip()
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9_.-]*?))(?::?(\d{1,5}))?", address)
    if match is None or not address or (match[1] or "").count(":") == 1:
        raise ValueError(f"{text!r} is no address such as {DEFAULT}")
    host, port = match[1] or match[2] or "127.0.0.1", int(match[3] or PORT)
    if re.fullmatch(r"[\d.]*\.[\d.]*", address):  # digits and points alone: an IPv4 address without a port
        host, port = address, PORT
    if re.fullmatch(r"[\d.]+", host):
        host = str(ipaddress.IPv4Address(host))
    if not 0 < port < 65536:
        raise ValueError(f"{port} is no port")
    return host, port


class VmcSender:
    """Sends the newest mesh as a VMC frame: `send` returns at once, a thread fits and sends. A context manager.

    address : (host, port), such as `parse_address` gives. body : the body whose mesh is sent.
    sent : packets so far. bones : what fits the body; used by the thread.

    Raises UserError where the host is not known.
    """

    def __init__(self, address: tuple[str, int], body: BodyModel):
        self.bones, self.sent = BoneFitter(body), 0
        self.address: tuple[str | int | bytes, ...]
        try:
            family, _, _, _, self.address = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(family, socket.SOCK_DGRAM)
        except (OSError, UnicodeError) as error:
            why = reason(error) if isinstance(error, OSError) else "it is no name of a computer"
            raise UserError(f"Cannot send motion to {address[0]}: {why}; check --vmc HOST:PORT.") from error
        self._socket.setblocking(False)
        self._start = time.monotonic()
        self._changed = threading.Condition()  # guards the three below
        self._newest: tuple[np.ndarray, np.ndarray | None, int | None] | None = None
        self._renew = self._closed = False
        self._thread = threading.Thread(target=self._run, name="vmc", daemon=True)
        self._thread.start()

    def __enter__(self) -> VmcSender:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def on_fit(self, fit: Fit | None) -> None:
        """Send the mesh of a fit; None sends nothing."""
        if fit is not None:
            self.send(fit.vertices, fit.hand_pose, fit.timestamp_ns)

    def send(self, vertices: np.ndarray, hand_pose: np.ndarray | None = None, time_ns: int | None = None) -> None:
        """Send vertices (N, 3) metres, OpenCV camera frame. A mesh that still waits is replaced.

        hand_pose, time_ns : see `BoneFitter.fit`.
        """
        with self._changed:
            self._newest = np.array(vertices, np.float32), hand_pose, time_ns
            self._changed.notify()

    def forget(self) -> None:
        """Drop what waits, and estimate shape and floor anew from the next meshes, as for another person."""
        with self._changed:
            self._newest, self._renew = None, True

    def close(self) -> None:
        """Send what waits, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(_CLOSE_S)
        self._socket.close()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest is not None or self._closed)
                newest, self._newest = self._newest, None
                renew, self._renew = self._renew, False
            if newest is None:
                return
            if renew:
                self.bones.forget()
            try:
                packets = frame_packets(self.bones.fit(*newest), time.monotonic() - self._start)
            except Exception:  # a mesh that cannot be fitted must not end the stream
                log.warning("a frame could not be turned into VMC motion", exc_info=True)
                continue
            for packet in packets:
                try:
                    self._socket.sendto(packet, self.address)
                    self.sent += 1
                except OSError as error:  # nobody listens, or the network is away: it may come back
                    log.debug("VMC: %s", error)


def frame_packets(bones: Bones, seconds: float) -> list[bytes]:
    """One frame of VMC as UDP packets. seconds : since the stream's start."""
    messages = [
        osc.message("/VMC/Ext/OK", 1),
        osc.message("/VMC/Ext/T", float(seconds)),
        osc.message("/VMC/Ext/Root/Pos", "root", 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
    ]
    for name, (position, rotation) in bones.items():
        messages.append(osc.message("/VMC/Ext/Bone/Pos", name, *position.tolist(), *rotation.tolist()))
    return osc.bundle(messages)
