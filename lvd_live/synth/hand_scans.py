"""Synthetic scans of hands: a posed hand, part of its forearm and what it holds, as scanners would see them.

Right hands in the hand frame (`body.hand_rig`), metres, until a scan is turned and brought into the cube frame
(`lvd.volume`): a scan has no unit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from lvd_live.body.hand import HandModel
from lvd_live.body.hand_pose import sample_poses
from lvd_live.scan.cube import Cube
from lvd_live.synth.hand_objects import held_object
from lvd_live.synth.visible import seen_from

POOL = 512  # poses drawn at once
MESH_POINTS = 7_000  # on the hand before anything is left out
FOREARM = (-0.012, 0.06)  # metres behind the mesh's border at which the scan is cut off
UPRIGHT = 0.8  # share of scans near the hand frame's axes; the others are turned anywhere
LEAN = np.radians(30)  # standard deviation of the angle by which those near are turned


@dataclass(frozen=True)
class HandScan:
    """One synthetic scan of a right hand.

    points : (P, 3) float32, vertices : (N, 3), joints : (16, 3), the truth; all in the cube frame.
    metre : cube units that a metre is. kind : "full", "one-sided" or "two-sided". held : whether an object is in it.
    turn : (3, 3), the rotation from the hand frame.
    """

    points: np.ndarray
    vertices: np.ndarray
    joints: np.ndarray
    metre: float
    kind: str
    held: bool
    turn: np.ndarray


@dataclass(frozen=True)
class Variety:
    """How often what happens. one, two : shares of scans from one and from two depth cameras. held : of those with an
    object. upright : of those near the hand frame's axes. noise : metres, the largest standard deviation."""

    one: float = 0.25
    two: float = 0.15
    held: float = 0.35
    upright: float = UPRIGHT
    noise: float = 0.0015


class HandScans:
    """An endless source of scans of a hand file's hands.

    model : a right hand. seed : the same seed gives the same scans.
    """

    def __init__(self, model: HandModel, seed: int, variety: Variety | None = None):
        self.rng, self.variety = np.random.default_rng(seed), variety or Variety()
        self.model, self.faces = model, model.faces.numpy()
        self.rest_joints = (model.J_regressor @ model.v_template).numpy()
        self.border = border_loop(self.faces)
        self._bodies: list[tuple[np.ndarray, np.ndarray]] = []

    def draw(self) -> HandScan:
        """The next scan."""
        return self.draw_turned(1)[0]

    def draw_turned(self, copies: int) -> list[HandScan]:
        """The next scan, turned and framed in `copies` ways, which costs less than as many scans."""
        rng, v = self.rng, self.variety
        vertices, joints = self._body()
        points, normals = surface_points(rng, vertices, self.faces, MESH_POINTS)
        arm, arm_normals, behind = self._forearm(vertices, joints)
        cut = rng.uniform(*FOREARM) if rng.random() < 0.8 else 0.0
        tilt = self._cut_direction(vertices, joints)
        parts = [(points, normals), (arm[behind < cut], arm_normals[behind < cut])]
        held = bool(rng.random() < v.held)
        if held:
            parts.append(held_object(rng, vertices, joints))
        points, normals = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
        along = (points - vertices[self.border].mean(0)) @ tilt
        on_hand = np.arange(len(points)) < MESH_POINTS + len(parts[1][0])
        kept = (along < cut) | ~on_hand
        points, normals = points[kept], normals[kept]
        kind = rng.choice(["one-sided", "two-sided", "full"], p=[v.one, v.two, 1 - v.one - v.two])
        points = self._scanned(points, normals, kind)
        return [self._in_cube(points, vertices, joints, str(kind), held) for _ in range(copies)]

    def _body(self) -> tuple[np.ndarray, np.ndarray]:
        """The next posed hand: vertices (N, 3) and joints (16, 3), float64 metres."""
        if not self._bodies:
            poses = sample_poses(self.rng, self.rest_joints, POOL)
            spread = np.where(self.rng.random((POOL, 1)) < 0.15, 1.6, 1.0)
            betas = self.rng.standard_normal((POOL, self.model.shapedirs.shape[2])) * spread
            pose = torch.from_numpy(np.pad(poses, ((0, 0), (1, 0), (0, 0))).astype(np.float32))
            with torch.no_grad():
                vertices, joints = self.model(torch.from_numpy(betas.astype(np.float32)), pose)
            self._bodies = list(zip(vertices.double().numpy(), joints.double().numpy(), strict=True))
        return self._bodies.pop()

    def _forearm(self, vertices: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Points and normals (P, 3) of a forearm that begins at the mesh's border, and how far behind it, (P,)."""
        rng, ring = self.rng, vertices[self.border]
        centre = ring.mean(0)
        back = _unit(centre - joints[[1, 4, 7, 10]].mean(0))
        bend = Rotation.from_rotvec(np.array([0, rng.normal(0, 0.2), rng.normal(0, 0.5)])).as_matrix()
        far = FOREARM[1] + 0.02
        count = int(MESH_POINTS * far * 0.17 / 0.045)  # as dense as the hand: 17 cm around, of 450 cm²
        place = rng.uniform(0, len(ring), count)
        low, share = place.astype(int), (place % 1)[:, None]
        around = ring[low] * (1 - share) + ring[(low + 1) % len(ring)] * share - centre
        behind = rng.uniform(0, far, count)
        turned = np.clip(behind / 0.03, 0, 1)[:, None] * 0.5
        direction = back * (1 - turned) + (bend @ back) * turned
        points = centre + around * (1 + rng.uniform(0, 3) * behind[:, None]) + direction * behind[:, None]
        normals = _unit(around - direction * (around * direction).sum(1, keepdims=True))
        return points, normals, behind

    def _cut_direction(self, vertices: np.ndarray, joints: np.ndarray) -> np.ndarray:
        """Unit (3,): the normal of the plane that cuts the forearm off, away from the hand."""
        back = _unit(vertices[self.border].mean(0) - joints[[1, 4, 7, 10]].mean(0))
        return Rotation.from_rotvec(self.rng.normal(0, 0.2, 3)).as_matrix() @ back

    def _scanned(self, points: np.ndarray, normals: np.ndarray, kind: str) -> np.ndarray:
        """What a scanner keeps of a surface's points (P, 3): what it sees, with noise, holes and strays."""
        rng = self.rng
        cameras = {"one-sided": 1, "two-sided": 2}.get(kind, int(rng.integers(6, 16)))
        if kind != "full" or rng.random() < 0.7:
            points = points[seen_from(points, normals, _unit(rng.standard_normal((cameras, 3))))]
        for _ in range(int(rng.integers(0, 4)) if rng.random() < 0.4 else 0):
            hole = points[rng.integers(len(points))]
            points = points[np.linalg.norm(points - hole, axis=1) > rng.uniform(0.004, 0.015)]
        few = min(len(points), int(np.exp(rng.uniform(np.log(1_200), np.log(7_000)))))
        points = rng.permutation(points)[:few]
        points = points + rng.normal(0, rng.uniform(0, self.variety.noise), points.shape)
        if rng.random() < 0.1:
            low, high = points.min(0) - 0.02, points.max(0) + 0.02
            points = np.concatenate([points, rng.uniform(low, high, (int(rng.integers(1, 30)), 3))])
        return points

    def _in_cube(self, points: np.ndarray, vertices: np.ndarray, joints: np.ndarray, kind: str, held: bool) -> HandScan:
        """The scan, turned, in a cube around its points that is off by a few per cent."""
        rng = self.rng
        if rng.random() < self.variety.upright:
            turn = Rotation.from_rotvec(_unit(rng.standard_normal(3)) * rng.normal(0, LEAN)).as_matrix()
        else:
            turn = Rotation.random(rng=rng).as_matrix()
        points, vertices, joints = points @ turn.T, vertices @ turn.T, joints @ turn.T
        cube = Cube.around(points)
        centre = cube.centre + rng.normal(0, 0.04, 3) * cube.half
        cube = replace(cube, centre=centre, half=cube.half * float(np.exp(rng.normal(0, 0.06))))
        clouds = (cube.into(points), cube.into(vertices), cube.into(joints))
        return HandScan(*clouds, 1 / cube.half, kind, held, turn)


def surface_points(
    rng: np.random.Generator, vertices: np.ndarray, faces: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Points (count, 3) spread over a mesh by area, and its normals there (count, 3), unit length."""
    corners = vertices[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(cross, axis=1)
    edges = np.cumsum(area)
    face = np.searchsorted(edges, np.sort(rng.random(count)) * edges[-1]).clip(max=len(faces) - 1)
    u, v = rng.random((2, count, 1))
    fold = u + v > 1
    u, v = np.where(fold, 1 - u, u), np.where(fold, 1 - v, v)
    a, b, c = (corners[face, i] for i in range(3))
    return a + u * (b - a) + v * (c - a), cross[face] / np.maximum(area[face, None], 1e-12)


def border_loop(faces: np.ndarray) -> np.ndarray:
    """The vertices along a mesh's one open border, in order. Raises ValueError where it has none."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    reverse = {(int(b), int(a)) for a, b in edges}
    after = {int(a): int(b) for a, b in edges if (int(a), int(b)) not in reverse}
    if not after:
        raise ValueError("the hand's mesh is closed: it has no wrist to continue")
    loop = [min(after)]
    while after[loop[-1]] != loop[0]:
        loop.append(after[loop[-1]])
    return np.array(loop)


def _unit(v: np.ndarray) -> np.ndarray:
    """v (..., 3) at length 1."""
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)
