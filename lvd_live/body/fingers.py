"""The fingers of a body of the bundled topology: SMPL-H's 52 joints, SMPL's 22 and 15 of each hand.

The body file stays SMPL's: its two hand joints are left out here, and what they and the wrists move is divided among
wrists and fingers. Joints 0..21 are SMPL's, 22..36 the left hand's, 37..51 the right hand's, in the order of
`hand_rig`. The rest pose is SMPL-H's: the T-pose with flat hands; the body file's hands are slightly curled, and are
made flat by turning their finger bones.
"""

from __future__ import annotations

import functools
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lvd_live.body.hand_rig import HAND_JOINT_NAMES, HAND_PARENTS, SIDES, flat_rotations, palm_frame
from lvd_live.body.model import BodyModel
from lvd_live.body.skeleton import JOINT, JOINT_NAMES, PARENTS
from lvd_live.errors import UserError
from lvd_live.paths import MODELS
from lvd_live.storage.safe_npz import SafeNpz, Spec

FILE = MODELS / "body" / "fingers.npz"
BODY_JOINTS, FINGER_JOINTS = 22, 30
LANDMARK_STARTS = (5, 9, 17, 13, 1)  # of MediaPipe's 21 hand landmarks: where each of `hand_rig.FINGERS` begins
WRISTS = (JOINT["left_wrist"], JOINT["right_wrist"])
SMPLH_NAMES = (*JOINT_NAMES[:BODY_JOINTS], *(f"{side}_{name}" for side in SIDES for name in HAND_JOINT_NAMES[1:]))
SMPLH_PARENTS = np.concatenate(
    [PARENTS[:BODY_JOINTS]]
    + [
        np.where(HAND_PARENTS[1:] == 0, wrist, HAND_PARENTS[1:] - 1 + BODY_JOINTS + 15 * hand)
        for hand, wrist in enumerate(WRISTS)
    ]
)
"""(52,) int, -1 for the root."""
_SPECS = {
    "weights": Spec("f4", (("N", FINGER_JOINTS),)),
    "J_regressor": Spec("f4", ((FINGER_JOINTS, "N"),)),
    "tips": Spec("f4", ((10, "N"),)),
    "faces_crc": Spec("u4", ((),)),
}


@dataclass(frozen=True)
class FlatBody:
    """A body at rest with flat hands; metres, body frame.

    vertices : (N, 3). joints : (52, 3). tips : (10, 3), the fingertips in the order of FINGERS, left hand first.
    """

    vertices: np.ndarray
    joints: np.ndarray
    tips: np.ndarray


class FingerRig:
    """What a body of N vertices needs to move its fingers.

    weights : (N, 52) float64, skin weights; with the fingers' given back to wrists and hands they are the body file's.
    """

    def __init__(self, body: BodyModel, path: Path = FILE):
        """The fingers of the body in torch. Raises UserError where the file is missing or not of this topology."""
        with SafeNpz(path, _SPECS) as file:
            fingers, self._regressor, self._tips = (
                file.read(name).astype(np.float64) for name in ("weights", "J_regressor", "tips")
            )
            if file.sizes["N"] != len(body.v_template) or int(file.read("faces_crc")) != _crc(body):
                raise UserError(f"{path} holds the fingers of another body.")
        self._fingers = fingers
        self._body_regressor = body.J_regressor.numpy().astype(np.float64)
        self.weights = self._smplh_weights(body.weights.numpy().astype(np.float64))
        self._flat = self._flattening(body.v_template.numpy().astype(np.float64))

    @classmethod
    def of(cls, body: BodyModel) -> FingerRig | None:
        """The bundled fingers, or None where the body is of another topology, such as SMPL's."""
        return cls(body) if has_bundled_topology(body) else None

    def flattened(self, rest: np.ndarray) -> FlatBody:
        """A body's rest vertices (N, 3), metres, T-pose as the body file has it, with flat hands. Linear in `rest`."""
        T, joints = self.flattening(rest)
        vertices = blend(self.weights, T, rest)
        return FlatBody(vertices, joints, self._tips @ vertices)

    def flattening(self, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """T_flat_from_rest (52, 3, 4) of a body's rest vertices (N, 3), and its joints (52, 3) with flat hands."""
        joints = np.concatenate([self._body_regressor[:BODY_JOINTS] @ rest, self._regressor @ rest])
        T = finger_transforms(self._flat, joints)
        return T, np.einsum("jab,jb->ja", T[:, :, :3], joints) + T[:, :, 3]

    def points(self) -> np.ndarray:
        """The hands' 42 points as mixes of vertices in any pose, (42, N): 21 of each hand in MediaPipe's order.

        A joint is the middle of the ring of skin that it shares with its parent.
        """
        rows = np.zeros((42, len(self.weights)))
        for hand, wrist in enumerate(WRISTS):
            rows[21 * hand] = self.weights[:, wrist] * self.weights[:, SMPLH_PARENTS[wrist]]
            for finger, start in enumerate(LANDMARK_STARTS):
                for k in range(3):
                    joint = BODY_JOINTS + 15 * hand + 3 * finger + k
                    rows[21 * hand + start + k] = self.weights[:, joint] * self.weights[:, SMPLH_PARENTS[joint]]
                rows[21 * hand + start + 3] = self._tips[5 * hand + finger]
        return rows / rows.sum(1, keepdims=True)

    def _smplh_weights(self, weights: np.ndarray) -> np.ndarray:
        """(N, 52) of the body file's (N, 24)."""
        out = np.concatenate([weights[:, :BODY_JOINTS], self._fingers], 1)
        for hand, (wrist, side) in enumerate(zip(WRISTS, SIDES, strict=True)):
            own = self._fingers[:, 15 * hand : 15 * hand + 15].sum(1)
            out[:, wrist] = np.maximum(weights[:, wrist] + weights[:, JOINT[f"{side}_hand"]] - own, 0)
        return out / out.sum(1, keepdims=True)

    def _flattening(self, template: np.ndarray) -> np.ndarray:
        """Global rotations (52, 3, 3) that make the template's hands flat, body frame."""
        out = np.tile(np.eye(3), (52, 1, 1))
        joints, tips = self._regressor @ template, self._tips @ template
        for hand, (wrist, side) in enumerate(zip(WRISTS, SIDES, strict=True)):
            at_wrist = self._body_regressor[wrist] @ template
            own = np.concatenate([at_wrist[None], joints[15 * hand : 15 * hand + 15]])
            P = palm_frame(own, side)
            turned = flat_rotations((own - at_wrist) @ P.T, (tips[5 * hand : 5 * hand + 5] - at_wrist) @ P.T)
            first = BODY_JOINTS + 15 * hand
            out[first : first + 15] = P.T @ turned[1:] @ P
        return out


@functools.cache
def _bundled_crc() -> int:
    with SafeNpz(FILE, _SPECS) as file:
        return int(file.read("faces_crc"))


def has_bundled_topology(body: BodyModel) -> bool:
    """Whether a body's triangles are the bundled body's. Raises UserError where the fingers' file is missing."""
    return _crc(body) == _bundled_crc()


def _crc(body: BodyModel) -> int:
    return zlib.crc32(body.faces.numpy().astype(np.int32).tobytes())


def finger_transforms(rotations: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """T_posed_from_rest (52, 3, 4) from **global** rotations (52, 3, 3) and rest joints (52, 3); the pelvis stays."""
    posed = joints.copy()
    for j in range(1, len(SMPLH_PARENTS)):
        p = SMPLH_PARENTS[j]
        posed[j] = posed[p] + rotations[p] @ (joints[j] - joints[p])
    return np.concatenate([rotations, (posed - np.einsum("jab,jb->ja", rotations, joints))[..., None]], -1)


def chained(local: np.ndarray) -> np.ndarray:
    """Global rotations (..., 52, 3, 3) of rotations relative to the parents."""
    out = local.copy()
    for j in range(1, len(SMPLH_PARENTS)):
        out[..., j, :, :] = out[..., SMPLH_PARENTS[j], :, :] @ local[..., j, :, :]
    return out


def blend(weights: np.ndarray, T: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Linear blend skinning: weights (N, K), T (K, 3, 4), points (N, 3) -> (N, 3)."""
    mixed = (weights @ T.reshape(len(T), 12)).reshape(-1, 3, 4)
    return np.einsum("nab,nb->na", mixed[..., :3], points) + mixed[..., 3]
