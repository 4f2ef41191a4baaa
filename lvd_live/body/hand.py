"""Hands in MANO's file layout: the open one that ships, or the user's own MANO file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from lvd_live.body.hand_pose import sample_poses
from lvd_live.body.hand_rig import HAND_JOINT, Side
from lvd_live.body.model import KEYS, BodyModel, check_arrays
from lvd_live.body.smpl_file import read_arrays
from lvd_live.errors import UserError
from lvd_live.paths import MODELS

HANDS = MODELS / "hand"
N_JOINTS = 16
EXTENT = (0.03, 1.0)  # metres: what a hand in its file may measure
MIRROR = np.array([-1.0, 1.0, 1.0], np.float32)


class HandModel(BodyModel):
    """MANO's function (Romero et al. 2017): a body model of 16 joints (`hand_rig`), here without landmarks.

    Buffers as `BodyModel` has them, with K = 16 and posedirs (135, N·3). Metres; axes of the hand frame.

    side : which hand it is.
    """

    side: Side

    def __init__(self, arrays: dict[str, np.ndarray]):
        nn.Module.__init__(self)
        self._set_arrays(arrays)
        self.weights = self.weights / self.weights.sum(1, keepdim=True)  # half precision rounds them
        joints = self.J_regressor @ self.v_template
        self.side = "left" if joints[HAND_JOINT["middle1"], 0] > joints[0, 0] else "right"

    @classmethod
    def load(cls, path: str | Path) -> HandModel:
        """Read a hand's file, `.npz` or MANO's own `.pkl`; no code in it is run.

        Raises UserError when it is missing, unreadable, or not in MANO's layout.
        """
        arrays = read_arrays(path, (*KEYS, "posedirs"))
        check_hand_layout(arrays, path)
        return cls(arrays)

    @classmethod
    def default(cls, side: Side = "right") -> HandModel:
        """The hand that ships. Raises UserError where its file is missing."""
        return cls.load(HANDS / f"{side}.npz")

    def arrays(self) -> dict[str, np.ndarray]:
        """The file's arrays, float32."""
        found: dict[str, np.ndarray] = {
            name: getattr(self, name).numpy() for name in ("v_template", "shapedirs", "J_regressor", "weights")
        }
        found["f"] = self.faces.numpy()
        found["kintree_table"] = np.stack([np.array(self.parents), np.arange(N_JOINTS)])
        if self.posedirs is not None:
            found["posedirs"] = self.posedirs.T.reshape(len(self.v_template), 3, -1).numpy()
        return found

    def mirrored(self) -> HandModel:
        """The other hand, with the same vertices, shapes and triangles the other way round."""
        flip = torch.from_numpy(MIRROR)
        found = self.arrays()
        found["v_template"] = found["v_template"] * MIRROR
        found["shapedirs"] = found["shapedirs"] * MIRROR[:, None]
        found["f"] = self.faces.flip(1).numpy()
        if self.posedirs is not None:  # of a rotation's matrix R, mirrored, the element ab is m_a m_b R_ab
            signs = torch.outer(flip, flip).flatten().repeat(N_JOINTS - 1).numpy()
            found["posedirs"] = found["posedirs"] * signs * MIRROR[:, None]
        return HandModel(found)

    def sampled_poses(self, count: int = 1_500, seed: int = 0) -> np.ndarray:
        """Poses (count, 16, 3) axis-angle that a hand takes (`hand_pose`), the wrist's zero, always the same ones."""
        joints = (self.J_regressor @ self.v_template).numpy()
        return np.pad(sample_poses(np.random.default_rng(seed), joints, count), ((0, 0), (1, 0), (0, 0)))


def mirrored_pose(pose: np.ndarray) -> np.ndarray:
    """Axis-angle (..., 3) of one hand's joints as the other hand's, in its own frame."""
    return pose * np.array([1.0, -1.0, -1.0])


def check_hand_layout(arrays: dict[str, np.ndarray], path: str | Path) -> None:
    """Raise UserError, naming the file `path`, where its arrays are not a hand in MANO's layout."""
    refusal = f"{path} is not a hand in MANO's layout: "
    if "weights" in arrays and arrays["weights"].shape[1:] in ((24,), (52,), (55,)):
        raise UserError(f"{refusal}it has {arrays['weights'].shape[1]} joints, a whole body's.")
    check_arrays(arrays, N_JOINTS, refusal)
    extent = float(np.ptp(arrays["v_template"].astype(float), axis=0).max())
    if not EXTENT[0] < extent < EXTENT[1]:
        raise UserError(f"{path} is {extent:g} m long: a hand's file is in metres.")
