"""Bake the fingers of the default body: skin weights and joints of SMPL-H's 30 finger joints on its own vertices."""

from __future__ import annotations

import logging
import zlib

import numpy as np

from lvd_live.body.anny_bodies import sample_bodies
from lvd_live.body.bake import RIDGE
from lvd_live.body.decimate import barycentric_map
from lvd_live.body.hand_rig import TIP_SHARE, extend_to_knuckles
from lvd_live.body.skeleton import JOINT

log = logging.getLogger(__name__)

SUPPORT = 60  # vertices that place one joint, at most: a finger is small
LEAST = 5e-3  # smaller skin weights are dropped


def bake_fingers(body: dict[str, np.ndarray], base: dict[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    """The arrays of the fingers' file, see `fingers.FingerRig`.

    body : the body file's arrays, which stay as they are. base : those of the base mesh that it was made from.
    count : people to sample from Anny.
    """
    bodies = sample_bodies(count)
    skin = base["faces"].astype(np.int64)
    body_from_base = barycentric_map(body["v_template"].astype(float), base["v_template"].astype(float), skin)
    sampled = np.stack([body_from_base @ r for r in bodies.rest.astype(np.float64)])
    weights = _within(np.asarray(body_from_base @ bodies.finger_weights), body["weights"].astype(float))
    weights, tips = _hand_by_hand(weights, body, sampled.mean(0), bodies.fingers.mean(0))
    half = count // 2
    regressor = _regressor(sampled[:half], bodies.fingers[:half], weights)
    error = np.linalg.norm(np.einsum("jn,snc->sjc", regressor, sampled[half:]) - bodies.fingers[half:], axis=-1)
    miss = 1000 * error
    log.info("finger joints on people not used for them: mean %.2f mm, worst %.2f", miss.mean(), miss.max())
    return {
        "weights": weights.astype(np.float32),
        "J_regressor": regressor.astype(np.float32),
        "tips": tips.astype(np.float32),
        "faces_crc": np.array(zlib.crc32(body["f"].astype(np.int32).tobytes()), np.uint32),
    }


def _within(fingers: np.ndarray, body_weights: np.ndarray) -> np.ndarray:
    """Finger weights (N, 30) of a hand, no more than the body file (N, 24) gives to wrist and hand."""
    out = fingers.copy()
    for first, side in ((0, "left"), (15, "right")):
        most = body_weights[:, [JOINT[f"{side}_wrist"], JOINT[f"{side}_hand"]]].sum(1)
        own = out[:, first : first + 15]
        own *= np.minimum(1, most / np.maximum(own.sum(1), 1e-9))[:, None]
    return out


def _hand_by_hand(
    fingers: np.ndarray, body: dict[str, np.ndarray], rest: np.ndarray, joints: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Finger weights (N, 30) that reach to the knuckles, and the fingertips as mixes of vertices, (10, N).

    rest : (N, 3) and joints : (30, 3) of the mean person.
    """
    out, tips = np.zeros_like(fingers), np.zeros((10, len(fingers)))
    wrists = body["J_regressor"].astype(float) @ rest
    for hand, side in enumerate(("left", "right")):
        own = slice(15 * hand, 15 * hand + 15)
        whole = body["weights"][:, [JOINT[f"{side}_wrist"], JOINT[f"{side}_hand"]]].sum(1)
        sixteen = np.column_stack([whole - fingers[:, own].sum(1), fingers[:, own]])
        places = np.concatenate([wrists[[JOINT[f"{side}_wrist"]]], joints[own]])
        sixteen = extend_to_knuckles(rest, sixteen, places)
        out[:, own] = np.where(sixteen[:, 1:] < LEAST, 0, sixteen[:, 1:])
        for finger in range(5):
            last = 3 * finger + 3
            moved = np.flatnonzero(sixteen[:, last] > 0.9)
            far = moved[np.argsort(-np.linalg.norm(rest[moved] - places[last], axis=1))]
            chosen = far[: max(int(len(far) * TIP_SHARE), 1)]
            tips[5 * hand + finger, chosen] = 1 / len(chosen)
    return out, tips


def _regressor(vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Joints (S, 30, 3) as mixes of the nearest vertices (S, N, 3) of the same hand, (30, N); rows sum to 1."""
    regressor = np.zeros((30, vertices.shape[1]))
    for j in range(30):
        centre = joints[:, j].mean(0)
        side = np.sign(centre[0])
        distance = np.linalg.norm(vertices.mean(0) - centre, axis=1)
        support = np.argsort(np.where(vertices.mean(0)[:, 0] * side > 0, distance, np.inf))[:SUPPORT]
        X = (vertices[:, support] - centre).transpose(0, 2, 1).reshape(-1, SUPPORT)
        y = (joints[:, j] - centre).reshape(-1)
        gram = X.T @ X + RIDGE * len(X) * np.eye(SUPPORT)
        w, u = np.linalg.solve(gram, np.stack([X.T @ y, np.ones(SUPPORT)], 1)).T
        regressor[j, support] = w + u * (1 - w.sum()) / u.sum()
    return regressor
