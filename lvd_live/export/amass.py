"""AMASS's .npz, as SMPL add-ons and viewers read it, with our own arrays under `lvd_`; no pickled objects.

With the bundled body `betas` are zeros, because its shapes are not SMPL's: readers show SMPL's mean person in the right
pose. `lvd_betas` and `lvd_pose` hold what the bundled body needs.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation

from lvd_live.export.mesh_frames import meshes
from lvd_live.export.motion import BodyMotion
from lvd_live.session.measured import as_json
from lvd_live.session.reader import Session
from lvd_live.storage.npz_stream import NpzStream

SCHEMA = 1
_BETAS = 16
_POSE = 156  # SMPL-H: root, 21 body joints, 30 finger joints


def write(motion: BodyMotion, path: Path) -> None:
    """Raises UserError when the disk is full."""
    arrays = _amass_arrays(motion) | _own_arrays(motion)
    n = len(motion.rest)
    nothing = np.zeros((n, 3), np.float32), np.zeros(n, np.float32)
    stream = NpzStream(path, {"lvd_vertices": ((n, 3), np.float32), "lvd_vertex_std": ((n,), np.float32)})
    try:
        for mesh in meshes(motion):
            vertices, std = mesh or nothing
            stream.append(lvd_vertices=vertices, lvd_vertex_std=std)
        stream.close(arrays)
    except BaseException:
        stream.abort()
        raise


def _amass_arrays(motion: BodyMotion) -> dict[str, ArrayLike]:
    frames, fps = len(motion), motion.grid.fps
    poses = np.zeros((frames, _POSE))
    poses[:, :66] = motion.pose[:, :22].reshape(frames, 66)
    if motion.fingers is not None:
        poses[:, 66:] = Rotation.from_quat(motion.fingers.reshape(-1, 4)).as_rotvec().reshape(frames, 90)
    betas = np.zeros(_BETAS)
    if motion.options.body is not None:
        own = motion.fitted.betas[:_BETAS]
        betas[: len(own)] = own
    return {
        "poses": poses,
        "trans": motion.pelvis - motion.rest_joints[0],
        "betas": betas,
        "gender": np.array("neutral"),
        "mocap_framerate": np.float64(fps),
        "mocap_frame_rate": np.float64(fps),
        "fps": np.float64(fps),
        "surface_model_type": np.array("smplh"),
        "mocap_time_length": np.float64(frames / fps),
        "num_betas": np.int64(_BETAS),
        "root_orient": poses[:, :3],
        "pose_body": poses[:, 3:66],
        "pose_hand": poses[:, 66:],
        "dmpls": np.zeros((frames, 8)),
        "up_axis": np.array(motion.options.up),
    }


def _own_arrays(motion: BodyMotion) -> dict[str, ArrayLike]:
    sequence = motion.take.sequence
    dropped = sequence.dropped if isinstance(sequence, Session) else np.zeros(len(sequence), np.int32)
    return {
        "lvd_schema": np.int32(SCHEMA),
        "lvd_pose": motion.pose.astype(np.float32),
        "lvd_betas": motion.fitted.betas,
        "lvd_joints": motion.joints.astype(np.float32),
        "lvd_faces": motion.faces.astype(np.int32),
        "lvd_tracked": motion.grid.tracked,
        "lvd_hands": sequence.hand_states[np.flatnonzero(sequence.tracked)][motion.grid.before],
        "lvd_residual_mm": motion.residual_mm.astype(np.float32),
        "lvd_times": motion.grid.times,
        "lvd_scale": np.float64(motion.scale),
        "lvd_source_timestamps_ns": sequence.timestamps_ns,
        "lvd_source_tracked": sequence.tracked,
        "lvd_source_dropped": dropped,
        "lvd_measurements": np.array(json.dumps(as_json(motion.measurements))),
    }
