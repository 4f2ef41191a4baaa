"""The bundled body in SMPL-H's layout, flat hands at rest: `smplx.create(..., model_type="smplh")` reads it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from lvd_live.body.fingers import SMPLH_PARENTS, FingerRig
from lvd_live.body.model import BodyModel
from lvd_live.paths import MODELS
from lvd_live.storage.files import check_writable, write_whole

N_SHAPE = 300  # components; readers take a file with fewer for an old one and cut it to 10
HAND_COMPONENTS = 45  # of the hands' pose space: the identity, three angles a joint


def smplh_arrays(body: BodyModel, rig: FingerRig) -> dict[str, np.ndarray]:
    """The arrays of a file in SMPL-H's layout; poses (52·3,) are relative to its rest, the T-pose with flat hands.

    The fingers' joints are mixes of the body file's own vertices, whose hands are curled: the regressor is fitted anew
    to the flat template and its shapes.
    """
    template, dirs = body.v_template.numpy().astype(float), body.shapedirs.numpy().astype(float)
    flat = rig.flattened(template)
    shapes = [rig.flattened(template + dirs[..., b]) for b in range(dirs.shape[2])]
    shapedirs = np.zeros((*template.shape, N_SHAPE))
    shapedirs[..., : len(shapes)] = np.stack([s.vertices - flat.vertices for s in shapes], -1)
    joints = np.stack([flat.joints] + [s.joints for s in shapes])
    vertices = np.stack([flat.vertices] + [s.vertices for s in shapes])
    hands: dict[str, np.ndarray] = {f"hands_components{s}": np.eye(HAND_COMPONENTS, dtype=np.float32) for s in "lr"}
    hands |= {f"hands_mean{s}": np.zeros(HAND_COMPONENTS, np.float32) for s in "lr"}
    count = len(SMPLH_PARENTS)
    return hands | {
        "v_template": flat.vertices.astype(np.float32),
        "shapedirs": shapedirs.astype(np.float32),
        "posedirs": np.zeros((len(template), 3, 9 * (count - 1)), np.int8),  # none; floats would be 40 MB of zeros
        "J_regressor": _regressor(vertices, joints).astype(np.float32),
        "weights": rig.weights.astype(np.float32),
        "kintree_table": np.stack([np.where(SMPLH_PARENTS < 0, 2**32 - 1, SMPLH_PARENTS), np.arange(count)]),
        "f": body.faces.numpy().astype(np.int32),
    }


def _regressor(vertices: np.ndarray, joints: np.ndarray, support: int = 100) -> np.ndarray:
    """Joints (S, J, 3) as mixes of their nearest vertices (S, N, 3), the first a template: (J, N), rows sum to 1."""
    out = np.zeros((joints.shape[1], vertices.shape[1]))
    for j in range(len(out)):
        centre = joints[0, j]
        near = np.argsort(np.linalg.norm(vertices[0] - centre, axis=1))[:support]
        X = (vertices[:, near] - centre).transpose(0, 2, 1).reshape(-1, support)
        y = (joints[:, j] - centre).reshape(-1)
        weight = np.concatenate([np.full(3, 10.0), np.ones(len(y) - 3)])[:, None]
        X = np.concatenate([weight * X, np.ones((1, support))])  # the last row: weights sum to 1, in metres
        y = np.concatenate([weight[:, 0] * y, [1.0]])
        out[j, near] = X.T @ np.linalg.solve(X @ X.T + 1e-9 * np.eye(len(X)), y)
        out[j] /= out[j].sum()
    return out


def write_smplh(path: Path) -> None:
    """Write the bundled body with its fingers to `path`, an .npz. Raises UserError where it cannot be written."""
    body = BodyModel.load(MODELS / "body" / "lvd_body.npz")
    buffer = io.BytesIO()
    arrays: dict[str, Any] = dict(smplh_arrays(body, FingerRig(body)))
    np.savez_compressed(buffer, **arrays)
    write_whole(check_writable(path), buffer.getvalue())
