"""Where a fit may start when the scan shows only an upper body, as a camera on a desk does.

The network knows whole people and squeezes one into a bust. Here the mean body stands upright with the top of its head
at the top of the cloud, in each unit, up axis and heading that can be, and the cloud's own distances choose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from lvd_live.scan.frame import UNITS, UPS, Frame, about_y, up_rotation
from lvd_live.scan.prior import PosePrior
from lvd_live.scan.skinned import Parameters, SkinnedBody
from lvd_live.scan.starts import Told

HEADINGS = 12
HEIGHTS = (0.3, 1.6)  # metres: of an upper body
HEAD = 0.2  # metres below the top: what is the head
LOOKED_AT = 1500  # points


@dataclass(frozen=True)
class PartStart:
    """Parameters in a frame. unit, up : the frame's. distance : metres, the cloud's mean from the body as it starts."""

    frame: Frame
    p: Parameters
    unit: str
    up: str
    distance: float


def part_starts(cloud: np.ndarray, body: SkinnedBody, prior: PosePrior, told: Told, count: int) -> list[PartStart]:
    """The `count` likeliest starts of a cloud (P, 3), file units, the likeliest first."""
    pose = np.concatenate([np.zeros((1, 3)), 0.5 * prior.mean.reshape(-1, 3)])
    standing = body.posed(Parameters(pose, np.zeros(body.n_betas), np.zeros(3)))
    vertices = standing.vertices.astype(float)
    top = vertices[vertices[:, 1] > vertices[:, 1].max() - HEAD]
    crown = np.array([*np.median(top, axis=0)[[0]], vertices[:, 1].max(), *np.median(top, axis=0)[[2]]])
    tree, some = cKDTree(vertices), cloud[:: max(1, len(cloud) // LOOKED_AT)]
    found = []
    for up in [told.up] if told.up else list(UPS):
        R, origin = up_rotation(UPS[up]), np.median(some, axis=0)
        for unit in [told.unit] if told.unit else list(UNITS):
            frame = Frame(R, origin, UNITS[unit])
            points = frame.into(some)
            height = float(np.ptp(np.percentile(points[:, 1], (1, 99))))
            if not HEIGHTS[0] < height < HEIGHTS[1]:
                continue
            highest = np.percentile(points[:, 1], 99.5)
            head = np.median(points[points[:, 1] > highest - HEAD], axis=0)
            at = np.array([head[0], highest, head[2]])
            for heading in range(HEADINGS):
                turn = about_y(360 * heading / HEADINGS)
                distance = np.minimum(tree.query((points - at) @ turn + crown)[0], 0.3).mean()
                p = _placed(pose, body, turn, at, crown, standing.rest_joints[0])
                found.append(PartStart(frame, p, unit, up, float(distance)))
    found.sort(key=lambda start: start.distance)
    return found[:count]


def _placed(
    pose: np.ndarray, body: SkinnedBody, turn: np.ndarray, at: np.ndarray, crown: np.ndarray, pelvis: np.ndarray
) -> Parameters:
    """The body under `pose`, turned, with its crown (3,) at `at`; it turns about its pelvis (3,)."""
    turned = pose.copy()
    turned[0] = Rotation.from_matrix(turn).as_rotvec()
    return Parameters(turned, np.zeros(body.n_betas), at - turn @ (crown - pelvis) - pelvis)
