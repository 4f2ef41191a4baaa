"""The body as it moves, to other programs on the machine: the Virtual Motion Capture protocol (VMC), Open Sound Control messages over UDP.

VMC speaks Unity's frame: metres, x right, y up, z forward, left-handed. Our body and world frames (x to the person's left, y up, z forward) are its mirror image in x: positions change the sign of
x, quaternions those of y and z. Bones are sent relative to their parents in the T-pose's axes, as VRM avatars want them; fingers and eyes are not tracked and not sent.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
import struct
import threading
import time

import numpy as np
from scipy.spatial.transform import Rotation

from lvd_live.body.fit import BodyFitter
from lvd_live.body.model import BodyModel
from lvd_live.body.skeleton import JOINT_NAMES
from lvd_live.errors import UserError
from lvd_live.storage.files import reason

log = logging.getLogger(__name__)

PORT = 39539  # where VMC's performers send to
DEFAULT = f"127.0.0.1:{PORT}"
PACKET = 1400  # bytes: below what networks cut up
LEARNING = 10  # frames that the person's shape and the floor are learnt from
_LIMBS = {
    "hip": "UpperLeg",
    "knee": "LowerLeg",
    "ankle": "Foot",
    "foot": "Toes",
    "collar": "Shoulder",
    "shoulder": "UpperArm",
    "elbow": "LowerArm",
    "wrist": "Hand",
}
_TRUNK = {
    "pelvis": "Hips",
    "spine1": "Spine",
    "spine2": "Chest",
    "spine3": "UpperChest",
    "neck": "Neck",
    "head": "Head",
}
UNITY = {
    j: _TRUNK[name] if name in _TRUNK else name.split("_")[0].capitalize() + _LIMBS[name.split("_")[1]]
    for j, name in enumerate(JOINT_NAMES)
    if name.split("_")[-1] != "hand"
}  # joint to Unity's HumanBodyBones


def parse_address(text: str) -> tuple[str, int]:
    """(host, port) from "host:port", "host", "port" or "[IPv6]:port"; loopback and PORT where left out. Raises ValueError."""
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9_.-]*?))(?::?(\d{1,5}))?", text.strip())
    if match is None or not text.strip() or (match[1] or "").count(":") == 1:
        raise ValueError(f"{text!r} is no address such as {DEFAULT}")
    host, port = match[1] or match[2] or "127.0.0.1", int(match[3] or PORT)
    if re.fullmatch(r"[\d.]*\.[\d.]*", text.strip()):  # digits and points alone are an address without a port
        host, port = text.strip(), PORT
    if re.fullmatch(r"[\d.]+", host):
        host = str(ipaddress.IPv4Address(host))
    if not 0 < port < 65536:
        raise ValueError(f"{port} is no port")
    return host, port


class VmcSender:
    """Sends one body per mesh: `send` takes the newest mesh and returns at once, a thread of its own fits and sends. A context manager.

    address (host, port); body: the one whose mesh is sent. Raises UserError when the host is not known. sent: packets so far.
    """

    def __init__(self, address: tuple[str, int], body: BodyModel):
        self._fitter, self.sent = BodyFitter(body), 0
        try:
            family, _, _, _, self.address = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(family, socket.SOCK_DGRAM)
        except (OSError, UnicodeError) as error:
            why = reason(error) if isinstance(error, OSError) else "it is no name of a computer"
            raise UserError(f"Cannot send motion to {address[0]}: {why}; check --vmc HOST:PORT.") from error
        self._socket.setblocking(False)
        self._start = time.monotonic()
        self._ready, self._closed = threading.Condition(), False
        self.forget()
        self._thread = threading.Thread(target=self._run, name="vmc", daemon=True)
        self._thread.start()

    def __enter__(self) -> VmcSender:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def send(self, vertices: np.ndarray) -> None:
        """vertices (N, 3) metres, OpenCV camera frame. Older meshes that were not sent yet are passed over."""
        with self._ready:
            self._slot = np.array(vertices, np.float32)
            self._ready.notify()

    def forget(self) -> None:
        """What comes may be another person, or of another size: learn shape and floor anew."""
        with self._ready:
            self._slot, self._betas, self._seen, self._origin = (
                None,
                np.zeros(self._fitter.n_betas, np.float32),
                [],
                None,
            )

    def close(self) -> None:
        """Send what is waiting, and end."""
        with self._ready:
            self._closed = True
            self._ready.notify()
        self._thread.join(5)
        self._socket.close()

    def _run(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._slot is not None or self._closed)
                vertices, self._slot = self._slot, None
            if vertices is None:
                return
            try:
                packets = self._packets(vertices)
            except Exception:  # a mesh that cannot be fitted must not end the stream
                log.warning("a frame could not be turned into VMC motion", exc_info=True)
                continue
            for packet in packets:
                try:
                    self._socket.sendto(packet, self.address)
                    self.sent += 1
                except OSError as error:  # nobody listens, or the network is away: it may come back
                    log.debug("VMC: %s", error)

    def _packets(self, vertices: np.ndarray) -> list[bytes]:
        world = vertices * np.array([1, -1, -1], np.float32)
        if len(self._seen) < LEARNING:
            self._seen.append(world)
            if len(self._seen) == LEARNING:
                self._betas, _ = self._fitter.fit_shape(np.stack(self._seen))
                self._origin = None
        fitted = self._fitter.fit(world[None], betas=self._betas, camera=True)
        joints = self._fitter.rest_joints(self._betas)
        pelvis = joints[0] + fitted.transl[0]
        if self._origin is None:
            self._origin = np.array([pelvis[0], min(np.percentile(v[:, 1], 0.5) for v in self._seen), pelvis[2]])
        return bundles(
            bones(fitted.pose[0], pelvis - self._origin, joints, self._fitter.parents), time.monotonic() - self._start
        )


def follow(tracker, sender: VmcSender):
    """The tracker, which from now on sends each fit that it makes; the sender learns shape and floor anew."""
    sender.forget()
    step = tracker.step

    def step_and_send(*arguments, **options):
        fit = step(*arguments, **options)
        if fit is not None:
            sender.send(fit.vertices)
        return fit

    tracker.step = step_and_send
    return tracker


def bones(
    pose: np.ndarray, pelvis: np.ndarray, joints: np.ndarray, parents: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Unity's bone names, each with its position (3,) metres and quaternion (4,) xyzw relative to its parent, in Unity's frame. pose (24, 3) axis-angle, pelvis (3,), joints (24, 3) at rest: ours, y up."""
    q = Rotation.from_rotvec(pose.astype(float)).as_quat() * [1, -1, -1, 1]
    offsets = np.concatenate([pelvis[None], joints[1:] - joints[parents[1:]]]) * [-1, 1, 1]
    return {name: (offsets[j], q[j]) for j, name in UNITY.items()}


def bundles(pose: dict[str, tuple[np.ndarray, np.ndarray]], seconds: float) -> list[bytes]:
    """One frame as OSC bundles, each of at most PACKET bytes."""
    messages = [
        osc("/VMC/Ext/OK", 1),
        osc("/VMC/Ext/T", float(seconds)),
        osc("/VMC/Ext/Root/Pos", "root", 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
    ]
    messages += [
        osc("/VMC/Ext/Bone/Pos", name, *position.tolist(), *rotation.tolist())
        for name, (position, rotation) in pose.items()
    ]
    head = b"#bundle\0" + struct.pack(">Q", 1)  # 1: at once
    packets = [head]
    for message in messages:
        part = struct.pack(">i", len(message)) + message
        if len(packets[-1]) + len(part) > PACKET:
            packets.append(head)
        packets[-1] += part
    return packets


def osc(address: str, *values: int | float | str) -> bytes:
    """An OSC 1.0 message of 32-bit integers, 32-bit floats and texts."""
    tags, data = ",", b""
    for value in values:
        kind = {int: "i", float: "f", str: "s"}[type(value)]
        tags += kind
        data += _text(value) if kind == "s" else struct.pack(f">{kind}", value)
    return _text(address) + _text(tags) + data


def _text(text: str) -> bytes:
    raw = text.encode() + b"\0"
    return raw + bytes(-len(raw) % 4)
