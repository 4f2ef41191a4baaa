"""Which cluster of a scan the person is, which way is up, how large a unit is, and where the fit may start."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from lvd_live.body.skeleton import JOINT_NAMES
from lvd_live.scan.cleaning import Cleaned
from lvd_live.scan.descent import Descent, two_way
from lvd_live.scan.frame import UNITS, UPS, Frame, about_y, unit_of, up_rotation
from lvd_live.scan.sampling import evenly
from lvd_live.scan.skinned import Parameters, SkinnedBody
from lvd_live.scan.watched import Progress, unwatched

POINTS = 12_000  # of a cloud that the network looks at
SURE = 0.022  # of the size: where no mesh lies so near, other directions than the axes may be up
TILTED = [(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if abs(x) + abs(y) + abs(z) > 1]
TILT = 0.75  # times the axes' best: a mesh must lie so near for another direction to be up
TURNS = 4  # copies of it, turned about the vertical
_COUNTERPART = [
    JOINT_NAMES.index(n.replace("left", "*").replace("right", "left").replace("*", "right")) for n in JOINT_NAMES
]


@dataclass(frozen=True)
class Told:
    """What the user says of a scan; None: to be found.

    unit : a name of `frame.UNITS`. up : a name of `frame.UPS`. yaw : degrees about the vertical from the scan's own
    forward axis to where the person faces; see `facing`. partial : the scan shows one side.
    """

    unit: str | None = None
    up: str | None = None
    yaw: float | None = None
    partial: bool | None = None


@dataclass(frozen=True)
class Start:
    """mesh : (N, 3) float64 metres, in `frame`. std : (N,) metres, or None."""

    mesh: np.ndarray
    std: np.ndarray | None


@dataclass(frozen=True)
class Placed:
    """A scan in metres with y up, and meshes that lie in it.

    frame : from the file to metres. keep : (P,) bool, the points that are the person. starts : the likeliest first.
    free_size : no unit fits, so that the size is unknown. notes : a sentence for each decision.
    unit, up : their names, "unknown" and "tilted" where they have none.
    """

    frame: Frame
    keep: np.ndarray
    starts: list[Start]
    free_size: bool
    notes: list[str]
    unit: str
    up: str


def place(
    points: np.ndarray,
    cleaned: Cleaned,
    descent: Descent,
    body: SkinnedBody,
    told: Told,
    rng: np.random.Generator,
    report: Progress = unwatched,
) -> Placed:
    """Find frame and starts of a scan's points (P, 3), file units."""
    report(0.0, "looking for the upright")
    best, R, up, notes = _oriented(points, cleaned, descent, told, rng, report)
    report(0.7, "descending")
    cloud = points[best]
    origin = np.median(cloud, axis=0)
    thin = cloud[evenly(cloud, POINTS, rng)]
    upright = (thin - origin) @ R.T
    turns = [about_y(360 * t / TURNS) for t in range(TURNS)]
    meshes, std = descent([upright @ turn.T for turn in turns], certain=True)
    meshes = np.stack([mesh @ turn for mesh, turn in zip(meshes, turns, strict=True)])
    residuals = [two_way(upright, mesh, partial=bool(told.partial)) for mesh in meshes]
    order = np.argsort(residuals).tolist()
    if told.yaw is not None:
        order = sorted(order, key=lambda i: _off(meshes[i], body, told))
    ratio = float(np.median([bones_ratio(body, meshes[i]) for i in order[:2]]))
    unit, metre = (told.unit, UNITS[told.unit]) if told.unit else unit_of(ratio)
    if told.unit is None:
        tall = f"bones are {ratio * metre:.2f} times the template's"
        notes.append(f"Unit: {unit} ({tall})." if unit else "Unit: none fits, so the size is fitted, too.")
    frame = Frame(R, origin, metre)
    starts = [Start(metre * meshes[i], None if std is None else metre * std[i]) for i in order]
    return Placed(frame, best, starts, unit is None, notes, unit or "unknown", up)


def _oriented(
    points: np.ndarray,
    cleaned: Cleaned,
    descent: Descent,
    told: Told,
    rng: np.random.Generator,
    report: Progress,
) -> tuple[np.ndarray, np.ndarray, str, list[str]]:
    """The person's points (P,) bool, the rotation (3, 3) to y up, the up axis's name, and the notes of this."""
    notes = list(cleaned.notes)
    if told.up is not None:
        names, ways = [told.up], [up_rotation(UPS[told.up])]
    else:
        names, ways = list(UPS), [up_rotation(UPS[name]) for name in UPS]
        if cleaned.floors:
            names, ways = [*names, "the floor's normal"], [*ways, up_rotation(cleaned.floors[0])]
    clouds = [points[mask] for mask in cleaned.candidates]
    if len(ways) == 1 and len(clouds) == 1:
        return cleaned.candidates[0], ways[0], names[0], notes
    clouds = [cloud[evenly(cloud, POINTS, rng)] for cloud in clouds]
    clouds = [cloud - np.median(cloud, axis=0) for cloud in clouds]
    trials: list[tuple[float, int, int]] = []

    def attempt(number: int, some: range, bar: float = 1.0) -> None:
        turned = [clouds[number] @ ways[way].T for way in some]
        meshes, _ = descent(turned)
        scores = [two_way(c, m, partial=bool(told.partial)) for c, m in zip(turned, meshes, strict=True)]
        trials.extend((score / bar, number, way) for score, way in zip(scores, some, strict=True))

    for number in range(len(clouds)):
        report(0.5 * number / len(clouds), "looking for the upright")
        attempt(number, range(len(ways)))
    if told.up is None and min(trials)[0] > SURE:
        names, ways = [*names, *["tilted"] * len(TILTED)], [*ways, *(up_rotation(np.array(up)) for up in TILTED)]
        attempt(min(trials)[1], range(len(ways) - len(TILTED), len(ways)), TILT)
    score, number, way = min(trials)
    if len(cleaned.candidates) > 1:
        notes.append(f"The person: the likeliest of {len(cleaned.candidates)} large objects.")
    if told.up is None:
        second = min((s for s, n, w in trials if n == number and w != way), default=np.inf)
        notes.append(f"Up: {names[way]} (a mesh lies {score:.1%} of the size from the scan; next best {second:.1%}).")
    return cleaned.candidates[number], ways[way], names[way], notes


def bones_ratio(body: SkinnedBody, mesh: np.ndarray) -> float:
    """How much longer the bones of a mesh (N, 3) are in all than the template's."""

    def total(vertices: np.ndarray) -> float:
        joints = body.regressor @ vertices
        return float(np.linalg.norm(joints[1:] - joints[body.parents[1:]], axis=1).sum())

    return total(mesh) / total(body.template)


def facing(body: SkinnedBody, mesh: np.ndarray) -> float:
    """Degrees about y from +z toward +x to where a mesh (N, 3), y up, faces: its hips' line turned by a quarter."""
    joints = body.regressor @ mesh
    across = joints[1] - joints[2]  # from the right hip to the left one
    return float(np.degrees(np.arctan2(-across[2], across[0])))


def _off(mesh: np.ndarray, body: SkinnedBody, told: Told) -> float:
    """How far, degrees, a mesh faces from where the user says."""
    assert told.yaw is not None
    return abs((facing(body, mesh) - told.yaw + 180) % 360 - 180)


def turned_about(p: Parameters) -> Parameters:
    """The same silhouettes seen from behind: left and right exchanged, and turned by half a turn about the spine.

    For SMPL's 24 joints only.
    """
    pose = p.pose[_COUNTERPART] * [1, -1, -1]
    half = Rotation.from_rotvec([0, np.pi, 0])
    pose[0] = (Rotation.from_rotvec(p.pose[0]) * half).as_rotvec()
    return replace(p, pose=pose)
