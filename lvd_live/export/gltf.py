"""Animated glTF 2.0 in one binary file: the skinned body, its 24 joints, and a rotation for each in every frame."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np

from lvd_live import __version__
from lvd_live.body.skeleton import JOINT_NAMES
from lvd_live.export.motion import BodyMotion
from lvd_live.render import SKIN, vertex_normals
from lvd_live.storage.files import write_whole

_TYPES = {"f": 5126, "B": 5121, "I": 5125}  # GL's names of float, unsigned byte, unsigned int
_SHAPES = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
_VERTICES, _INDICES = 34962, 34963  # ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER


def write(motion: BodyMotion, path: Path) -> None:
    """Raises UserError when the disk is full."""
    buffer, parents, J = _Buffer(), motion.fitter.parents, motion.rest_joints
    weights = motion.fitter.weights
    joints = np.argsort(-weights, 1, kind="stable")[:, :4]
    four = np.take_along_axis(weights, joints, 1)
    four = (four / four.sum(1, keepdims=True)).astype(np.float32)
    bind = np.tile(np.eye(4), (24, 1, 1))
    bind[:, :3, 3] = -J
    primitive = {
        "attributes": {
            "POSITION": buffer.add(motion.rest.astype(np.float32), _VERTICES, limits=True),
            "NORMAL": buffer.add(vertex_normals(motion.rest, motion.faces).astype(np.float32), _VERTICES),
            "JOINTS_0": buffer.add(np.where(four > 0, joints, 0).astype(np.uint8), _VERTICES),
            "WEIGHTS_0": buffer.add(four, _VERTICES),
        },
        "indices": buffer.add(motion.faces.astype(np.uint32).ravel(), _INDICES),
        "material": 0,
    }
    times = buffer.add(motion.times.astype(np.float32), limits=True)
    samplers = [{"input": times, "output": buffer.add(motion.pelvis.astype(np.float32))}]
    channels = [{"sampler": 0, "target": {"node": 0, "path": "translation"}}]
    for j in range(24):
        channels.append({"sampler": len(samplers), "target": {"node": j, "path": "rotation"}})
        samplers.append({"input": times, "output": buffer.add(motion.quaternions[:, j].astype(np.float32))})
    nodes = []
    for j in range(24):
        children = [c for c in range(24) if parents[c] == j]
        nodes.append(
            {"name": JOINT_NAMES[j], "translation": (motion.pelvis[0] if j == 0 else J[j] - J[parents[j]]).tolist()}
            | ({"children": children} if children else {})
        )
    linear = [(value / 255) ** 2.2 for value in SKIN]
    document = {
        "asset": {"version": "2.0", "generator": f"LVD Live {__version__}"},
        "scene": 0,
        "scenes": [{"nodes": [0, 24]}],
        "nodes": [*nodes, {"name": "body", "mesh": 0, "skin": 0}],
        "meshes": [{"name": "body", "primitives": [primitive]}],
        "skins": [
            {
                "joints": list(range(24)),
                "skeleton": 0,
                "inverseBindMatrices": buffer.add(bind.swapaxes(1, 2).astype(np.float32)),
            }
        ],  # column by column
        "materials": [
            {
                "name": "skin",
                "pbrMetallicRoughness": {
                    "baseColorFactor": [*linear, 1.0],
                    "metallicFactor": 0.0,
                    "roughnessFactor": 0.8,
                },
            }
        ],
        "animations": [{"name": motion.source.name, "samplers": samplers, "channels": channels}],
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.data)}],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = (
        struct.pack("<2I", len(text), 0x4E4F534A)
        + text
        + struct.pack("<2I", len(buffer.data), 0x004E4942)
        + bytes(buffer.data)
    )
    write_whole(path, struct.pack("<3I", 0x46546C67, 2, 12 + len(chunks)) + chunks)


class _Buffer:
    """Arrays one behind the other, each with its view and accessor."""

    def __init__(self):
        self.data, self.views, self.accessors = bytearray(), [], []

    def add(self, array: np.ndarray, target: int | None = None, *, limits: bool = False) -> int:
        """The index of the new accessor. array (n, …) float32, uint8 or uint32."""
        raw = np.ascontiguousarray(array).tobytes()
        self.views.append(
            {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(raw)} | ({"target": target} if target else {})
        )
        accessor = {
            "bufferView": len(self.views) - 1,
            "componentType": _TYPES[array.dtype.char],
            "count": len(array),
            "type": _SHAPES[array.shape[1:]],
        }
        if limits:
            flat = array.reshape(len(array), -1)
            accessor |= {"min": flat.min(0).tolist(), "max": flat.max(0).tolist()}
        self.accessors.append(accessor)
        self.data += raw + bytes(-len(raw) % 4)
        return len(self.accessors) - 1
