"""BlazePose's 33 landmarks on the body mesh."""

from __future__ import annotations

import numpy as np

from lvd_live.body.skeleton import JOINT

SIDES = (("left", 1.0), ("right", -1.0))
JOINTS = {
    "shoulder": 11,
    "elbow": 13,
    "wrist": 15,
    "hip": 23,
    "knee": 25,
    "ankle": 27,
}  # BlazePose's left ones; right = left + 1


def landmark_regressor(v_template: np.ndarray, J_regressor: np.ndarray, part_labels: np.ndarray) -> np.ndarray:
    """Landmarks as mixes of vertices, (33, N) float32 with rows summing to 1.

    Limbs are the body's joints; face, hands and feet are the vertices of the T-posed template nearest to where BlazePose's annotators put the point.
    v_template (N, 3) metres, J_regressor (24, N), part_labels (N,).
    """
    joints = J_regressor @ v_template
    rows = np.zeros((33, len(v_template)), np.float32)

    def nearest(index: int, point: np.ndarray, parts: tuple[str, ...]) -> None:
        allowed = np.isin(part_labels, [JOINT[p] for p in parts])
        distance = np.where(allowed, ((v_template - point) ** 2).sum(1), np.inf)
        rows[index, distance.argmin()] = 1

    head = v_template[part_labels == JOINT["head"]]
    front = head[np.abs(head[:, 0]) < 0.012]
    nose = front[front[:, 2].argmax()]
    nearest(0, nose, ("head",))
    for k, (side, x) in enumerate(SIDES):
        for i, dx in enumerate((0.018, 0.032, 0.046)):  # the eye's inner corner, middle, outer corner
            nearest(1 + 3 * k + i, nose + [x * dx, 0.035, -0.025], ("head",))
        ear = head[(np.abs(head[:, 1] - nose[1] - 0.01) < 0.03)]
        nearest(7 + k, ear[(x * ear[:, 0]).argmax()], ("head",))
        nearest(9 + k, nose + [x * 0.025, -0.045, -0.02], ("head",))
        for name, index in JOINTS.items():
            rows[index + k] = J_regressor[JOINT[f"{side}_{name}"]]
        hand, wrist = joints[JOINT[f"{side}_hand"]], joints[JOINT[f"{side}_wrist"]]
        parts = (f"{side}_wrist", f"{side}_hand")
        nearest(17 + k, hand + [0.0, 0.0, -0.035], parts)
        nearest(19 + k, hand + [x * 0.01, 0.0, 0.03], parts)
        nearest(21 + k, wrist + [x * 0.06, -0.02, 0.05], parts)
        foot = v_template[np.isin(part_labels, [JOINT[f"{side}_ankle"], JOINT[f"{side}_foot"]])]
        low = foot[foot[:, 1] < foot[:, 1].min() + 0.03]
        nearest(29 + k, low[low[:, 2].argmin()], (f"{side}_ankle", f"{side}_foot"))
        nearest(31 + k, low[low[:, 2].argmax()], (f"{side}_ankle", f"{side}_foot"))
    return rows


def refine(
    regressor: np.ndarray,
    v_template: np.ndarray,
    control: np.ndarray,
    vertices: np.ndarray,
    seen: np.ndarray,
    *,
    near: int = 24,
    ridge: float = 3e-4,
) -> np.ndarray:
    """The landmarks moved to where BlazePose really puts them, measured on synthetic people: (33, N) float32, rows summing to 1.

    Each landmark p becomes p + Σ w_k (v_k − p) over its `near` nearest control vertices, with w from a robust ridge regression of what was seen in the picture.
    vertices (S, K, 3): control vertices, control (K,) their indices among the N; seen (S, 33, 2): BlazePose's points; both in the crop frame.
    """
    out = regressor.astype(np.float64)
    for k in range(33):
        support = np.argsort(((v_template[control] - regressor[k] @ v_template) ** 2).sum(1))[:near]
        sparse = np.flatnonzero(regressor[k])
        # the landmark itself, seen through the control vertices: what regressor[k] would give, up to what the nearest control vertices of its vertices differ by
        nearest = ((v_template[sparse][:, None] - v_template[control][None]) ** 2).sum(-1).argmin(1)
        p = np.einsum("n,snc->sc", regressor[k, sparse], vertices[:, nearest, :2])
        X = (vertices[:, support, :2] - p[:, None]).transpose(0, 2, 1)  # (S, 2, near)
        y = seen[:, k] - p
        w = np.zeros(near)
        for _ in range(8):  # Cauchy weights
            r = np.linalg.norm(y - X @ w, axis=1)
            omega = 1 / (1 + (r / 0.03) ** 2)
            A = np.einsum("s,sci,scj->ij", omega, X, X) / omega.sum() + ridge * np.eye(near)
            w = np.linalg.solve(A, np.einsum("s,sci,sc->i", omega, X, y) / omega.sum())
        out[k] *= 1 - w.sum()
        np.add.at(out[k], control[support], w)
    return out.astype(np.float32)
