"""Bring animations of glTF characters onto SMPL's 24 joints: what people do before cameras and CMU's bank lacks.

`python -m lvd_live bake --assets DIR` writes models/synth/poses_everyday.npz with it.
"""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from lvd_live.body.skeleton import JOINT, PARENTS, rotation_between
from lvd_live.errors import UserError

CATEGORIES = {  # the clips of each, by words of their names; the first that fits
    "sitting": "Sit_Chair|Sitting|Driving",
    "floor": "Sit_Floor|Lie_|Kneeling|Crouch",
    "exercise": "Push|Sit_Ups|Jump|Jog|Sprint|Running|Roll|Punch|Swim",
    "gesture": "Dance|Cheering|Waving|Spell|Throw|Aim|Sword|Torch",
    "everyday": "Idle|Talking|Walk|PickUp|Interact|Use_Item|Hit",
}
PER_SECOND = 8  # poses taken
HELD_OUT_EVERY = 6  # of a category's clips one is never trained on
_SPINE_M2M = {f"spine{k}": f"DEF-spine.00{k}" for k in (1, 2, 3)} | {
    "pelvis": "DEF-hips",
    "neck": "DEF-neck",
    "head": "DEF-head",
}
_LIMB_M2M = dict(collar="shoulder", shoulder="upper_arm", elbow="forearm", wrist="hand", hand="hand")
_LIMB_M2M |= dict(hip="thigh", knee="shin", ankle="foot", foot="toe")
_SPINE_KAYKIT = dict(pelvis="hips", spine1="spine", spine2="spine", spine3="chest", neck="chest", head="head")
_LIMB_KAYKIT = dict(shoulder="upperarm", elbow="lowerarm", wrist="hand", hand="hand")
_LIMB_KAYKIT |= dict(hip="upperleg", knee="lowerleg", ankle="foot", foot="toes")
_BONES = (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"), ("ankle", "foot"))


@dataclass(frozen=True)
class Character:
    """A .glb file: its JSON and its binary chunk."""

    json: dict[str, Any]
    data: bytes

    @staticmethod
    def read(path: Path) -> Character:
        content = path.read_bytes()
        length = struct.unpack("<I", content[12:16])[0]
        return Character(json.loads(content[20 : 20 + length]), content[28 + length :])

    def array(self, number: int) -> np.ndarray:
        """A float accessor, (n, components)."""
        accessor = self.json["accessors"][number]
        view = self.json["bufferViews"][accessor["bufferView"]]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor["type"]]
        start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        return np.frombuffer(self.data, np.float32, accessor["count"] * width, start).reshape(-1, width)

    def names(self) -> list[str]:
        return [node.get("name", "") for node in self.json["nodes"]]

    def parents(self) -> dict[int, int]:
        return {child: k for k, node in enumerate(self.json["nodes"]) for child in node.get("children", [])}

    def pose(self, animation: dict[str, Any], seconds: float) -> tuple[np.ndarray, np.ndarray]:
        """World rotations (nodes, 3, 3) and positions (nodes, 3) at a time of an animation."""
        nodes = self.json["nodes"]
        turn = [np.array(node.get("rotation", [0, 0, 0, 1])) for node in nodes]
        place = [np.array(node.get("translation", [0, 0, 0])) for node in nodes]
        for channel in animation["channels"]:
            sampler, target = animation["samplers"][channel["sampler"]], channel["target"]
            stored = {"rotation": turn, "translation": place}.get(target["path"])
            if stored is not None:
                times, values = self.array(sampler["input"])[:, 0], self.array(sampler["output"])
                stored[target["node"]] = values[min(int(np.searchsorted(times, seconds)), len(values) - 1)]
        parents = self.parents()
        R, p = np.tile(np.eye(3), (len(nodes), 1, 1)), np.zeros((len(nodes), 3))

        def resolve(k: int) -> None:
            R[k], p[k] = Rotation.from_quat(turn[k]).as_matrix(), place[k]
            if k in parents:
                R[k], p[k] = R[parents[k]] @ R[k], p[parents[k]] + R[parents[k]] @ p[k]
            for child in nodes[k].get("children", []):
                resolve(child)

        for root in set(range(len(nodes))) - set(parents):
            resolve(root)
        return R, p

    def seconds(self, animation: dict[str, Any]) -> float:
        return max(float(self.array(sampler["input"]).max()) for sampler in animation["samplers"])


def joint_nodes(names: list[str]) -> dict[str, int]:
    """For each of SMPL's joints the node that turns the same bone. Raises UserError for an unknown skeleton."""
    kaykit = "upperarm.l" in names
    spine, limb = (_SPINE_KAYKIT, _LIMB_KAYKIT) if kaykit else (_SPINE_M2M, _LIMB_M2M)
    found = {}
    for joint in JOINT:
        side, _, part = joint.partition("_")
        if joint in spine:
            name = spine[joint]
        elif kaykit:
            name = f"{limb[part]}.{side[0]}" if part in limb else "chest"
        else:
            name = f"DEF-{limb[part]}.{side[0].upper()}"
        if name not in names:
            raise UserError(f"The character has no bone {name}.")
        found[joint] = names.index(name)
    return found


def clip_poses(
    scene: Character, animation: dict[str, Any], rest: tuple[np.ndarray, np.ndarray], body: np.ndarray
) -> np.ndarray:
    """Poses (P, 24, 3) axis-angle, radians, of one animation.

    rest : the character's T-pose, as of `Character.pose`. body : (24, 3) metres, our joints in ours. Both T-poses face
    +z, y up: a bone's turn from rest in world axes carries over, behind the smallest rotation from our bone to theirs.
    """
    node = joint_nodes(scene.names())
    R_rest, p_rest = rest
    aligned = {joint: np.eye(3) for joint in JOINT}
    for side in ("left_", "right_"):
        for bone, end in _BONES:
            theirs = p_rest[node[side + end]] - p_rest[node[side + bone]]
            aligned[side + bone] = rotation_between(body[JOINT[side + end]] - body[JOINT[side + bone]], theirs)
    out = []
    for seconds in np.arange(0, scene.seconds(animation) + 1e-6, 1 / PER_SECOND):
        R, _ = scene.pose(animation, seconds)
        G = {joint: R[k] @ R_rest[k].T @ aligned[joint] for joint, k in node.items()}
        names = list(JOINT)
        local = [G[j] if PARENTS[JOINT[j]] < 0 else G[names[PARENTS[JOINT[j]]]].T @ G[j] for j in names]
        out.append(Rotation.from_matrix(np.stack(local)).as_rotvec())
    return np.stack(out)


def bake_everyday_poses(folder: Path, body: np.ndarray, out: Path) -> None:
    """Write the poses of a folder's characters, *.glb with a clip T-Pose, in the layout of `retarget.bake_poses`.

    body : (24, 3), see `clip_poses`. Raises UserError if there is no character.
    """
    poses, category, clip, held_out = [], [], [], []
    counted = dict.fromkeys(CATEGORIES, 0)
    for path in sorted(folder.glob("*.glb")):
        scene = Character.read(path)
        animations = {a["name"].split("|")[-1]: a for a in scene.json["animations"]}
        rest = scene.pose(animations["T-Pose"], 0)
        for name, animation in animations.items():
            kind = next((k for k, words in CATEGORIES.items() if re.search(words, name)), None)
            if kind is None:
                continue
            counted[kind] += 1
            made = clip_poses(scene, animation, rest, body)
            poses.append(made)
            category += [list(CATEGORIES).index(kind)] * len(made)
            held_out += [counted[kind] % HELD_OUT_EVERY == 0] * len(made)
            clip += [sum(counted.values())] * len(made)
    if not poses:
        raise UserError(f"{folder} holds no characters (*.glb).")
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        out,
        pose=np.concatenate(poses).astype(np.float16),
        category=np.array(category, np.uint8),
        clip=np.array(clip, np.uint16),
        held_out=np.array(held_out),
        category_names=np.array(list(CATEGORIES)),
    )
