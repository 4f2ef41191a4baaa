"""Animated glTF 2.0 in one binary file: the skinned body, its joints, and a rotation for each in every frame."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from lvd_live import __version__
from lvd_live.export.motion import BodyMotion
from lvd_live.export.skin import LINEAR_SKIN, strongest_weights
from lvd_live.storage.files import write_whole
from lvd_live.topology import vertex_normals

_TYPES = {"f": 5126, "B": 5121, "I": 5125}  # GL's names of float, unsigned byte, unsigned int
_SHAPES = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
_VERTICES, _INDICES = 34962, 34963  # ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER
_MAGIC, _VERSION, _JSON, _BINARY = 0x46546C67, 2, 0x4E4F534A, 0x004E4942  # "glTF", 2, "JSON", "BIN"


def write(motion: BodyMotion, path: Path) -> None:
    """Raises UserError when the disk is full."""
    buffer = _Buffer()
    primitive = _primitive(motion, buffer)
    animation = _animation(motion, buffer)
    body_node = len(motion.skeleton)  # behind those of the joints
    skin = {"joints": list(range(body_node)), "skeleton": 0, "inverseBindMatrices": _bind_matrices(motion, buffer)}
    surface = {"baseColorFactor": [*LINEAR_SKIN, 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.8}
    document = {
        "asset": {"version": "2.0", "generator": f"LVD Live {__version__}"},
        "scene": 0,
        "scenes": [{"nodes": [0, body_node]}],
        "nodes": [*_joint_nodes(motion), {"name": "body", "mesh": 0, "skin": 0}],
        "meshes": [{"name": "body", "primitives": [primitive]}],
        "skins": [skin],
        "materials": [{"name": "skin", "pbrMetallicRoughness": surface}],
        "animations": [animation],
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.data)}],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = _chunk(_JSON, text) + _chunk(_BINARY, bytes(buffer.data))
    write_whole(path, struct.pack("<3I", _MAGIC, _VERSION, 12 + len(chunks)) + chunks)


class _Buffer:
    """Arrays one behind the other, each with its view and accessor."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, array: np.ndarray, target: int | None = None, *, limits: bool = False) -> int:
        """The index of the new accessor. array : (n, …) float32, uint8 or uint32. limits : state the range of it."""
        raw = np.ascontiguousarray(array).tobytes()
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(raw)}
        self.views.append(view if target is None else view | {"target": target})
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


def _primitive(motion: BodyMotion, buffer: _Buffer) -> dict[str, Any]:
    """The mesh at rest, with its skin weights."""
    rest = motion.skeleton.rest
    joints, weights = strongest_weights(motion.skeleton.weights)
    normals = vertex_normals(rest, motion.faces)
    attributes = {
        "POSITION": buffer.add(rest.astype(np.float32), _VERTICES, limits=True),
        "NORMAL": buffer.add(normals.astype(np.float32), _VERTICES),
        "JOINTS_0": buffer.add(np.where(weights > 0, joints, 0).astype(np.uint8), _VERTICES),
        "WEIGHTS_0": buffer.add(weights, _VERTICES),
    }
    indices = buffer.add(motion.faces.astype(np.uint32).ravel(), _INDICES)
    return {"attributes": attributes, "indices": indices, "material": 0}


def _animation(motion: BodyMotion, buffer: _Buffer) -> dict[str, Any]:
    """The pelvis' way, and the rotation of every joint."""
    times = buffer.add(motion.grid.times.astype(np.float32), limits=True)
    samplers = [{"input": times, "output": buffer.add(motion.pelvis.astype(np.float32))}]
    channels: list[dict[str, Any]] = [{"sampler": 0, "target": {"node": 0, "path": "translation"}}]
    for j in range(len(motion.skeleton)):
        channels.append({"sampler": len(samplers), "target": {"node": j, "path": "rotation"}})
        samplers.append({"input": times, "output": buffer.add(motion.skeleton.quaternions[:, j].astype(np.float32))})
    return {"name": motion.take.name, "samplers": samplers, "channels": channels}


def _bind_matrices(motion: BodyMotion, buffer: _Buffer) -> int:
    """The accessor of the inverse bind matrices (J, 4, 4), stored column by column."""
    bind = np.tile(np.eye(4), (len(motion.skeleton), 1, 1))
    bind[:, :3, 3] = -motion.skeleton.rest_joints
    return buffer.add(bind.swapaxes(1, 2).astype(np.float32))


def _joint_nodes(motion: BodyMotion) -> list[dict[str, Any]]:
    """One node for each joint, with its children and its place relative to its parent."""
    parents, J = motion.skeleton.parents, motion.skeleton.rest_joints
    nodes: list[dict[str, Any]] = []
    for j, name in enumerate(motion.skeleton.names):
        offset = motion.pelvis[0] if j == 0 else J[j] - J[parents[j]]
        nodes.append({"name": name, "translation": offset.tolist()})
        if children := [child for child in range(len(parents)) if parents[child] == j]:
            nodes[-1]["children"] = children
    return nodes


def _chunk(kind: int, data: bytes) -> bytes:
    return struct.pack("<2I", len(data), kind) + data
