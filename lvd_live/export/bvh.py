"""BVH: the skeleton and its rotations. The root's offset is zero and its position absolute; every joint's axes are the body frame's in the rest pose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from lvd_live.body.skeleton import JOINT_NAMES
from lvd_live.export.motion import BodyMotion
from lvd_live.storage.files import write_whole


def write(motion: BodyMotion, path: Path) -> None:
    """Raises UserError when the disk is full."""
    parents, J = motion.fitter.parents, motion.rest_joints
    labels = motion.fitter.body.part_labels.numpy()
    children = [[c for c in range(24) if parents[c] == j] for j in range(24)]
    lines: list[str] = ["HIERARCHY"]
    order: list[int] = []

    def joint(j: int, depth: int) -> None:
        order.append(j)
        pad = "  " * depth
        offset = J[j] - J[parents[j]] if j else np.zeros(3)
        channels = "6 Xposition Yposition Zposition" if j == 0 else "3"
        lines.extend(
            [
                f"{pad}{'JOINT' if j else 'ROOT'} {JOINT_NAMES[j]}",
                f"{pad}{{",
                f"{pad}  OFFSET {_numbers(offset)}",
                f"{pad}  CHANNELS {channels} Zrotation Xrotation Yrotation",
            ]
        )
        for child in children[j]:
            joint(child, depth + 1)
        if not children[j]:
            part = motion.rest[labels == j]
            tip = part[np.linalg.norm(part - J[parents[j]], axis=1).argmax()] - J[j] if len(part) else 0.5 * offset
            lines.extend([f"{pad}  End Site", f"{pad}  {{", f"{pad}    OFFSET {_numbers(tip)}", f"{pad}  }}"])
        lines.append(f"{pad}}}")

    joint(0, 0)
    degrees = (
        Rotation.from_quat(motion.quaternions[:, order].reshape(-1, 4))
        .as_euler("ZXY", degrees=True)
        .reshape(len(motion), 24, 3)
    )
    rows = np.concatenate([motion.pelvis, degrees.reshape(len(motion), 72)], 1)
    lines += ["MOTION", f"Frames: {len(motion)}", f"Frame Time: {1 / motion.fps:.8f}", *(_numbers(row) for row in rows)]
    write_whole(path, ("\n".join(lines) + "\n").encode())


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.6f}" for value in values)
