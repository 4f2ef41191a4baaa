"""BVH: the skeleton and its rotations.

The root's offset is zero and its position absolute; the axes of every joint are those of the body frame at rest.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from lvd_live.export.motion import BodyMotion
from lvd_live.export.skeleton import Skeleton
from lvd_live.storage.files import write_whole


def write(motion: BodyMotion, path: Path) -> None:
    """Raises UserError when the disk is full."""
    skeleton, frames, fps = motion.skeleton, len(motion), motion.grid.fps
    order = _depth_first(skeleton.parents)
    rotations = Rotation.from_quat(skeleton.quaternions[:, order].reshape(-1, 4))
    degrees = rotations.as_euler("ZXY", degrees=True).reshape(frames, -1)
    rows = np.concatenate([motion.pelvis, degrees], 1)
    lines = ["HIERARCHY", *_joint_lines(skeleton, 0, 0)]
    lines += ["MOTION", f"Frames: {frames}", f"Frame Time: {1 / fps:.8f}", *(_numbers(row) for row in rows)]
    write_whole(path, ("\n".join(lines) + "\n").encode())


def _children(parents: np.ndarray, joint: int) -> list[int]:
    return [child for child in range(len(parents)) if parents[child] == joint]


def _depth_first(parents: np.ndarray, joint: int = 0) -> list[int]:
    """The joints below and with `joint`, in the order of the file."""
    below = (_depth_first(parents, child) for child in _children(parents, joint))
    return [joint, *(j for branch in below for j in branch)]


def _joint_lines(skeleton: Skeleton, joint: int, depth: int) -> list[str]:
    """The hierarchy from `joint` on."""
    parents, J = skeleton.parents, skeleton.rest_joints
    offset = J[joint] - J[parents[joint]] if joint else np.zeros(3)
    channels = "3" if joint else "6 Xposition Yposition Zposition"
    lines = [
        f"{'JOINT' if joint else 'ROOT'} {skeleton.names[joint]}",
        "{",
        f"  OFFSET {_numbers(offset)}",
        f"  CHANNELS {channels} Zrotation Xrotation Yrotation",
    ]
    lines = ["  " * depth + line for line in lines]
    children = _children(parents, joint)
    for child in children:
        lines += _joint_lines(skeleton, child, depth + 1)
    if not children:
        end = ["  End Site", "  {", f"    OFFSET {_numbers(_tip(skeleton, joint, offset))}", "  }"]
        lines += ["  " * depth + line for line in end]
    return [*lines, "  " * depth + "}"]


def _tip(skeleton: Skeleton, joint: int, offset: np.ndarray) -> np.ndarray:
    """From a joint without children to the vertex it moves that is farthest from the parent, (3,); `offset` : to it."""
    J, labels = skeleton.rest_joints, skeleton.weights.argmax(1)
    part = skeleton.rest[labels == joint]
    if not len(part):
        return 0.5 * offset
    parent = J[skeleton.parents[joint]]
    return part[np.linalg.norm(part - parent, axis=1).argmax()] - J[joint]


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.6f}" for value in values)
