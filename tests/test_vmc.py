"""VMC over UDP, received on loopback and read by python-osc."""

import socket
import threading

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from lvd_live.cli.parser import make_parser
from lvd_live.errors import UserError
from lvd_live.export import osc
from lvd_live.export.unity import BONE_NAMES, FINGER_BONES, LEARNING, BoneFitter
from lvd_live.export.vmc import VmcSender, frame_packets, parse_address
from tests.fakes import fake_fit

osc_bundle = pytest.importorskip("pythonosc.osc_bundle", reason="python-osc is not installed")
osc_message = pytest.importorskip("pythonosc.osc_message", reason="python-osc is not installed")

CAMERA = np.diag([1.0, -1.0, -1.0])  # our y-up world to the camera frame, and back
MIRROR = np.diag([-1.0, 1.0, 1.0])
BONES = len(BONE_NAMES)


@pytest.fixture
def receiver():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)
        yield sock


def receive(sock, frames, bones=BONES):
    """`frames` frames of so many bones as lists of (address, values)."""
    out = []
    while True:
        data = sock.recv(65536)
        assert len(data) <= osc.PACKET
        messages = [(m.address, list(m.params)) for m in osc_bundle.OscBundle(data)]
        if messages[0][0] == "/VMC/Ext/OK":
            out.append([])
        out[-1] += messages
        if len(out) == frames and sum(a == "/VMC/Ext/Bone/Pos" for a, _ in out[-1]) == bones:
            return out


def unity_joints(messages):
    """Joint positions (24, 3) in Unity's frame, NaN where not sent, as a receiver chains the bones.

    Parents are those of Unity's humanoid.
    """
    sent = {v[0]: (np.array(v[1:4]), Rotation.from_quat(v[4:8])) for a, v in messages if a == "/VMC/Ext/Bone/Pos"}
    parents = {"Spine": "Hips", "Chest": "Spine", "UpperChest": "Chest", "Neck": "UpperChest", "Head": "Neck"}
    for side in ("Left", "Right"):
        for chain in (
            ("Hips", "UpperLeg", "LowerLeg", "Foot", "Toes"),
            ("UpperChest", "Shoulder", "UpperArm", "LowerArm", "Hand"),
        ):
            names = [chain[0]] + [side + bone for bone in chain[1:]]
            parents |= dict(zip(names[1:], names, strict=False))
    place = {"Hips": sent["Hips"]}

    def world(name):
        if name not in place:
            position, rotation = world(parents[name])
            place[name] = position + rotation.apply(sent[name][0]), rotation * sent[name][1]
        return place[name]

    return np.array([world(BONE_NAMES[j])[0] if j in BONE_NAMES else [np.nan] * 3 for j in range(24)])


def posed(body, frames, seed=0):
    """A person who faces a camera: vertices (F, N, 3) in the camera frame, joints (F, 24, 3) in our y-up world."""
    rng = np.random.default_rng(seed)
    pose = rng.normal(0, 0.25, (frames, 24, 3)).astype(np.float32)
    betas = rng.normal(0, 0.5, 20).astype(np.float32)
    with torch.no_grad():
        v, j = body(
            torch.from_numpy(betas)[None].expand(frames, -1),
            torch.from_numpy(pose),
            torch.tensor([[0.3, 0.2, -3.0]]).expand(frames, -1),
        )
    return (v.numpy() @ CAMERA.T).astype(np.float32), j.numpy()


def test_bones_arrive_left_handed(body, receiver):
    vertices, joints = posed(body, LEARNING + 3)
    with VmcSender(receiver.getsockname(), body) as sender:
        for mesh in vertices:
            sender.send(mesh)
            frames = receive(receiver, 1)
        messages = frames[0]
    assert messages[0] == ("/VMC/Ext/OK", [1]) and messages[1][0] == "/VMC/Ext/T"
    assert messages[2] == ("/VMC/Ext/Root/Pos", ["root", 0, 0, 0, 0, 0, 0, 1])
    names = [v[0] for a, v in messages if a == "/VMC/Ext/Bone/Pos"]
    assert len(names) == len(set(names)) == 22
    assert {"Hips", "LeftUpperLeg", "RightToes", "UpperChest", "LeftShoulder", "RightHand"} <= set(names)
    found, expected = unity_joints(messages), joints[-1] @ MIRROR
    keep = ~np.isnan(found[:, 0])
    apart = (found - found[0])[keep] - (expected - expected[0])[keep]
    assert np.linalg.norm(apart, axis=1).max() < 0.005
    assert found[16, 0] < found[17, 0]  # facing +z with x to the right, the left shoulder lies at smaller x
    assert 0.5 < found[0, 1] < 1.3 and abs(found[0, 0]) < 0.5  # the hips above the floor, near the origin


def test_rest_pose_is_identity(body, receiver):
    """Unity's bones are at rest in the T-pose."""
    with VmcSender(receiver.getsockname(), body) as sender:
        sender.send((body.v_template.numpy() @ CAMERA.T).astype(np.float32))
        (messages,) = receive(receiver, 1)
    for address, values in messages:
        if address == "/VMC/Ext/Bone/Pos":
            np.testing.assert_allclose(np.abs(values[4:]), [0, 0, 0, 1], atol=0.01)


def test_one_turn_by_hand(body, receiver):
    """The left forearm bent forward by 90 degrees: in Unity a turn about +y by +90 degrees (left-handed: -x to +z)."""
    pose = torch.zeros(1, 24, 3)
    pose[0, 18, 1] = -np.pi / 2  # x to the left, z forward: the hand comes forward
    with torch.no_grad():
        v, j = body(torch.zeros(1, 20), pose)
    assert j[0, 20, 2] > j[0, 18, 2] + 0.2
    with VmcSender(receiver.getsockname(), body) as sender:
        sender.send((v[0].numpy() @ CAMERA.T).astype(np.float32))
        (messages,) = receive(receiver, 1)
    q = next(v[4:] for a, v in messages if a == "/VMC/Ext/Bone/Pos" and v[0] == "LeftLowerArm")
    np.testing.assert_allclose(np.array(q) * np.sign(q[3]), [0, np.sqrt(0.5), 0, np.sqrt(0.5)], atol=0.02)
    found = unity_joints(messages)
    assert found[20, 2] > found[18, 2] + 0.2


def test_old_meshes_are_passed_over_and_nobody_waits(body, receiver):
    vertices, _ = posed(body, 1)
    with VmcSender(receiver.getsockname(), body) as sender:
        for _ in range(200):
            sender.send(vertices[0])
    assert 2 <= sender.sent < 200


def test_nobody_listens(body):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        address = sock.getsockname()
    with VmcSender(address, body) as sender:
        for mesh in posed(body, 3)[0]:
            sender.send(mesh)
            sender.send(np.full_like(mesh, np.nan))  # and a broken mesh ends nothing
    assert "vmc" not in {thread.name for thread in threading.enumerate()}


def test_fits_are_sent_and_frames_without_a_fit_are_not(body, receiver):
    vertices, _ = posed(body, 1)
    with VmcSender(receiver.getsockname(), body) as sender:
        sender.on_fit(None)
        sender.on_fit(fake_fit(vertices[0], np.eye(3)))
        assert len(receive(receiver, 1)) == 1
    assert sender.sent == len(frame_packets(sender.bones.fit(vertices[0]), 0.0))


def test_the_hips_do_not_shake_along_the_line_of_sight(body):
    """In a time series the hips keep their distance; the pose, and meshes without a time, stay as they are."""
    (mesh,), _ = posed(body, 1)
    shaken = [mesh * (1 + 0.01 * (-1) ** n) + 0.02 * (-1) ** n * mesh.mean(0) for n in range(LEARNING + 30)]

    def hips(times):
        bones = BoneFitter(body)
        return np.array([bones.fit(m, None, t)["Hips"][0] for m, t in zip(shaken, times, strict=True)])[LEARNING + 5 :]

    loose, steady = hips([None] * len(shaken)), hips([n * 40_000_000 for n in range(len(shaken))])
    jitter = [np.abs(np.diff(places[:, 2], n=2)).mean() for places in (loose, steady)]
    assert jitter[0] > 0.1 and jitter[1] < 0.25 * jitter[0]


def test_finger_bones_arrive(body, receiver):
    """A fit with hands sends the 30 finger bones, each turned as its joint is, in Unity's left-handed axes."""
    vertices, _ = posed(body, 1)
    pose = 0.3 * np.random.default_rng(2).normal(size=(30, 3)).astype(np.float32)
    fit = fake_fit(vertices[0], np.eye(3))
    object.__setattr__(fit, "hand_pose", pose)
    with VmcSender(receiver.getsockname(), body) as sender:
        sender.on_fit(fit)
        (messages,) = receive(receiver, 1, BONES + len(FINGER_BONES))
    sent = {v[0]: Rotation.from_quat(v[4:8]) for a, v in messages if a == "/VMC/Ext/Bone/Pos"}
    assert {"LeftIndexProximal", "RightThumbIntermediate", "LeftLittleDistal"} <= set(sent)
    for joint, name in zip(pose, FINGER_BONES, strict=True):
        expected = MIRROR @ Rotation.from_rotvec(joint).as_matrix() @ MIRROR
        assert (sent[name].inv() * Rotation.from_matrix(expected)).magnitude() < np.radians(1)


def test_another_person_is_learnt_anew(body, receiver):
    vertices, _ = posed(body, LEARNING)
    with VmcSender(receiver.getsockname(), body) as sender:

        def send(meshes):
            for mesh in meshes:
                sender.send(mesh)
                receive(receiver, 1)

        send(vertices)
        tall, floor = sender.bones.betas.copy(), sender.bones.origin.copy()
        sender.forget()
        send(0.75 * vertices)
    assert np.abs(sender.bones.betas - tall).max() > 0.1 and np.abs(sender.bones.origin - floor).max() > 0.1


def test_messages_as_python_osc_reads_them():
    data = osc.message("/VMC/Ext/Bone/Pos", "LeftHand", 0.5, -1.25, 3)
    message = osc_message.OscMessage(data)
    assert message.address == "/VMC/Ext/Bone/Pos" and list(message.params) == ["LeftHand", 0.5, -1.25, 3]
    assert len(data) % 4 == 0
    packets = frame_packets({f"Bone{i}": (np.zeros(3), np.array([0, 0, 0, 1.0])) for i in range(60)}, 1.5)
    assert len(packets) > 1 and all(len(p) <= osc.PACKET for p in packets)
    assert sum(len(list(osc_bundle.OscBundle(p))) for p in packets) == 63


@pytest.mark.parametrize(
    "text, expected",
    [
        ("127.0.0.1:39539", ("127.0.0.1", 39539)),
        ("39540", ("127.0.0.1", 39540)),
        (":39540", ("127.0.0.1", 39540)),
        ("192.168.1.7", ("192.168.1.7", 39539)),
        ("192.168.1.7:5000", ("192.168.1.7", 5000)),
        ("studio-pc", ("studio-pc", 39539)),
        ("studio.local:4000", ("studio.local", 4000)),
        ("[::1]:4000", ("::1", 4000)),
    ],
)
def test_addresses(text, expected):
    assert parse_address(text) == expected


@pytest.mark.parametrize("text", ["", "host:", "host:99999", "host:0", "300.1.1.1", "1.2.3.4:x", "a b:1", "::1:5"])
def test_wrong_addresses(text):
    with pytest.raises(ValueError):
        parse_address(text)


def test_the_option(capsys):
    parse = make_parser().parse_args
    assert parse(["--demo"]).vmc is None
    assert parse(["--demo", "--vmc"]).vmc == ("127.0.0.1", 39539)  # loopback, unless another address is named
    assert parse(["--demo", "--vmc", "10.0.0.2:5000"]).vmc == ("10.0.0.2", 5000)
    with pytest.raises(UserError, match="no address"):
        parse(["--demo", "--vmc", "what is this"])


def test_an_unknown_host_is_said_in_one_sentence(body):
    with pytest.raises(UserError, match="--vmc"):
        VmcSender(("no-such-host.invalid", 39539), body)


def test_a_broken_mesh_does_not_spoil_shape_and_floor(body):
    """Learning goes on as if it had not come."""
    vertices, _ = posed(body, LEARNING)
    clean, disturbed = BoneFitter(body), BoneFitter(body)
    with pytest.raises(ValueError, match="not finite"):
        disturbed.fit(np.full_like(vertices[0], np.nan))
    for mesh in vertices:
        expected, found = clean.fit(mesh), disturbed.fit(mesh)
    np.testing.assert_array_equal(clean.betas, disturbed.betas)
    for name, (position, rotation) in expected.items():
        np.testing.assert_array_equal(found[name][0], position)
        np.testing.assert_array_equal(found[name][1], rotation)
