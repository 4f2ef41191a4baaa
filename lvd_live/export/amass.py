"""AMASS's .npz, as SMPL add-ons and viewers read it, with our own arrays under `lvd_`; no pickled objects.

With the bundled body `betas` are zeros, because its shapes are not SMPL's: readers show SMPL's mean person in the right pose. `lvd_betas` and `lvd_pose` hold what the bundled body needs.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from lvd_live.export.motion import BodyMotion
from lvd_live.session.measured import as_json
from lvd_live.storage.npz_stream import NpzStream

SCHEMA = 1


def write(motion: BodyMotion, path: Path) -> None:
    """Raises UserError when the disk is full."""
    frames, pose = len(motion), motion.pose
    poses = np.zeros((frames, 156))  # SMPL-H: root, 21 body joints, 30 finger joints
    poses[:, :66] = pose[:, :22].reshape(frames, 66)
    trans = motion.pelvis - motion.rest_joints[0]
    own_betas = motion.fitted.betas
    betas = np.zeros(16)
    if motion.options.body is not None:
        betas[: min(16, len(own_betas))] = own_betas[:16]
    whole = {
        "poses": poses,
        "trans": trans,
        "betas": betas,
        "gender": np.array("neutral"),
        "mocap_framerate": np.float64(motion.fps),
        "mocap_frame_rate": np.float64(motion.fps),
        "fps": np.float64(motion.fps),
        "surface_model_type": np.array("smplh"),
        "mocap_time_length": np.float64(frames / motion.fps),
        "num_betas": np.int64(16),
        "root_orient": poses[:, :3],
        "pose_body": poses[:, 3:66],
        "pose_hand": poses[:, 66:],
        "dmpls": np.zeros((frames, 8)),
        "up_axis": np.array(motion.options.up),
        "lvd_schema": np.int32(SCHEMA),
        "lvd_pose": pose.astype(np.float32),
        "lvd_betas": own_betas,
        "lvd_joints": motion.joints.astype(np.float32),
        "lvd_faces": motion.faces.astype(np.int32),
        "lvd_tracked": motion.seen,
        "lvd_residual_mm": motion.residual_mm.astype(np.float32),
        "lvd_times": motion.times,
        "lvd_scale": np.float64(motion.scale),
        "lvd_source_timestamps_ns": np.asarray(motion.source.take.timestamps_ns),
        "lvd_source_tracked": np.asarray(motion.source.take.tracked),
        "lvd_source_dropped": np.asarray(
            getattr(motion.source.take, "dropped", np.zeros(len(motion.source.take), np.int32))
        ),
        "lvd_measurements": np.array(json.dumps(as_json(motion.measurements))),
    }
    vertices = len(motion.rest)
    stream = NpzStream(path, {"lvd_vertices": ((vertices, 3), np.float32), "lvd_vertex_std": ((vertices,), np.float32)})
    try:
        for mesh in motion.meshes():
            v, std = mesh or (np.zeros((vertices, 3), np.float32), np.zeros(vertices, np.float32))
            stream.append(lvd_vertices=v, lvd_vertex_std=std)
        stream.close(whole)
    except BaseException:
        stream.abort()
        raise
