"""BlazePose's 33 landmarks on the body mesh."""

from __future__ import annotations

import numpy as np

from lvd_live.body.skeleton import JOINT

SIDES = (("left", 1.0), ("right", -1.0))
JOINTS = {"shoulder": 11, "elbow": 13, "wrist": 15, "hip": 23, "knee": 25, "ankle": 27}
"""BlazePose's landmarks of the left side that are joints of the body; the right side's follow each, at index + 1."""
NEAR = 24  # control vertices that a refined landmark is a mix of
RIDGE = 3e-4
OUTLIER = 0.03  # crop units: residuals beyond this lose weight


def landmark_regressor(v_template: np.ndarray, J_regressor: np.ndarray, part_labels: np.ndarray) -> np.ndarray:
    """Landmarks as mixes of vertices, (33, N) float32 with rows summing to 1.

    Limbs are the body's joints; face, hands and feet are the vertices of the T-posed template nearest to where
    BlazePose's annotators put the point.

    v_template : (N, 3) metres. J_regressor : (24, N). part_labels : (N,) the joint that moves a vertex most.
    """
    rows = np.zeros((33, len(v_template)), np.float32)

    def place(points: dict[int, np.ndarray], parts: tuple[str, ...]) -> None:
        """Set each landmark to the vertex of the named parts that is nearest to its point (3,)."""
        allowed = np.isin(part_labels, [JOINT[p] for p in parts])
        for index, point in points.items():
            distance = np.where(allowed, ((v_template - point) ** 2).sum(1), np.inf)
            rows[index, distance.argmin()] = 1

    head = v_template[part_labels == JOINT["head"]]
    place(_face_points(head), ("head",))
    joints = J_regressor @ v_template
    for k, (side, x) in enumerate(SIDES):
        for name, index in JOINTS.items():
            rows[index + k] = J_regressor[JOINT[f"{side}_{name}"]]
        hand, wrist = joints[JOINT[f"{side}_hand"]], joints[JOINT[f"{side}_wrist"]]
        little, index_finger = hand + [0.0, 0.0, -0.035], hand + [x * 0.01, 0.0, 0.03]
        thumb = wrist + [x * 0.06, -0.02, 0.05]
        place({17 + k: little, 19 + k: index_finger, 21 + k: thumb}, (f"{side}_wrist", f"{side}_hand"))
        foot = v_template[np.isin(part_labels, [JOINT[f"{side}_ankle"], JOINT[f"{side}_foot"]])]
        sole = foot[foot[:, 1] < foot[:, 1].min() + 0.03]
        heel, toe = sole[sole[:, 2].argmin()], sole[sole[:, 2].argmax()]
        place({29 + k: heel, 31 + k: toe}, (f"{side}_ankle", f"{side}_foot"))
    return rows


def _face_points(head: np.ndarray) -> dict[int, np.ndarray]:
    """BlazePose's landmarks 0..10 in the body frame, by index, from the head's vertices (n, 3)."""
    front = head[np.abs(head[:, 0]) < 0.012]
    nose = front[front[:, 2].argmax()]
    points = {0: nose}
    for k, (_, x) in enumerate(SIDES):
        for i, dx in enumerate((0.018, 0.032, 0.046)):  # the eye's inner corner, middle, outer corner
            points[1 + 3 * k + i] = nose + [x * dx, 0.035, -0.025]
        ear = head[np.abs(head[:, 1] - nose[1] - 0.01) < 0.03]
        points[7 + k] = ear[(x * ear[:, 0]).argmax()]
        points[9 + k] = nose + [x * 0.025, -0.045, -0.02]  # the mouth's corner
    return points


def refine(
    regressor: np.ndarray, v_template: np.ndarray, control: np.ndarray, vertices: np.ndarray, detected: np.ndarray
) -> np.ndarray:
    """The landmarks moved to where BlazePose puts them on pictures of synthetic people: (33, N) float32, rows sum to 1.

    Each landmark p becomes p + Σ w_k (v_k − p) over its NEAR nearest control vertices v_k, with w from a robust ridge
    regression of the detected points.

    regressor : (33, N). v_template : (N, 3) metres.
    control : (K,) the control vertices' indices among the N.
    vertices : (S, K, 3) control vertices, crop frame. detected : (S, 33, 2) BlazePose's points, crop frame.
    """
    out = regressor.astype(np.float64)
    for k in range(33):
        near = np.argsort(((v_template[control] - regressor[k] @ v_template) ** 2).sum(1))[:NEAR]
        used = np.flatnonzero(regressor[k])
        # p itself is approximated: each of its vertices stands for the control vertex nearest to it
        nearest = ((v_template[used][:, None] - v_template[control][None]) ** 2).sum(-1).argmin(1)
        p = np.einsum("n,snc->sc", regressor[k, used], vertices[:, nearest, :2])
        X = (vertices[:, near, :2] - p[:, None]).transpose(0, 2, 1)  # (S, 2, NEAR)
        w = _robust_ridge(X, detected[:, k] - p)
        out[k] *= 1 - w.sum()
        np.add.at(out[k], control[near], w)
    return out.astype(np.float32)


def _robust_ridge(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """w (K,) that minimises the sum over s of ω_s |y_s − X_s w|², plus RIDGE |w|², with Cauchy weights ω.

    X : (S, 2, K). y : (S, 2).
    """
    w = np.zeros(X.shape[2])
    for _ in range(8):
        residual = np.linalg.norm(y - X @ w, axis=1)
        omega = 1 / (1 + (residual / OUTLIER) ** 2)
        A = np.einsum("s,sci,scj->ij", omega, X, X) / omega.sum() + RIDGE * np.eye(len(w))
        w = np.linalg.solve(A, np.einsum("s,sci,sc->i", omega, X, y) / omega.sum())
    return w
