"""Scans made for tests, and a stand-in for the network: a body that stands in the middle of the points, as tall as they
are."""

import functools

import numpy as np

from lvd_live.body.model import BodyModel
from lvd_live.paths import MODELS
from lvd_live.scan.descent import two_way
from lvd_live.scan.frame import about_y
from lvd_live.scan.skinned import Parameters, SkinnedBody


@functools.cache
def skinned():
    return SkinnedBody(BodyModel.load(MODELS / "body" / "lvd_body.npz"))


def person(seed=0, pose_noise=0.12):
    """Parameters of somebody who stands, and the posed body."""
    rng = np.random.default_rng(seed)
    pose = np.zeros((24, 3))
    pose[16:18, 2] = -0.9, 0.9  # arms down
    pose[18:20, 1] = -0.4, 0.4
    pose[1:] += rng.normal(0, pose_noise, (23, 3))
    p = Parameters(pose, rng.normal(0, 0.7, 20), np.zeros(3))
    return p, skinned().posed(p)


def surface_points(vertices, faces, count, rng):
    """Points (count, 3) on a mesh, and the normals there."""
    a, b, c = (np.asarray(vertices, float)[faces[:, i]] for i in range(3))
    across = np.cross(b - a, c - a)
    area = np.linalg.norm(across, axis=1)
    f = rng.choice(len(area), count, p=area / area.sum())
    mix = rng.dirichlet([1, 1, 1], count)
    points = mix[:, :1] * a[f] + mix[:, 1:2] * b[f] + mix[:, 2:] * c[f]
    return points, across[f] / area[f, None]


class StandIn:
    """A descent that knows no network: a standing body, turned to where it lies nearest."""

    def __init__(self, body=None, pose_noise=0.15, seed=5):
        self.body = skinned() if body is None else body
        rng = np.random.default_rng(seed)
        pose = np.zeros((24, 3))
        pose[16:18, 2] = -0.7, 0.7
        pose[1:] += rng.normal(0, pose_noise, (23, 3)) * 0.5
        self.posed = self.body.posed(Parameters(pose, np.zeros(self.body.n_betas), np.zeros(3)))

    def __call__(self, clouds, *, certain=False):
        meshes = np.stack([self._mesh(cloud) for cloud in clouds])
        std = np.full(meshes.shape[:2], 0.05 * np.ptp(clouds[0], axis=0).max())
        return meshes, std if certain else None

    def _mesh(self, cloud):
        low, high = np.percentile(cloud, (0.5, 99.5), axis=0)
        found = []
        for heading in range(0, 360, 45):
            v = self.posed.vertices.astype(float) @ about_y(heading).T
            v = (v - (v.min(0) + v.max(0)) / 2) / np.ptp(v[:, 1]) * (high - low)[1] + (low + high) / 2
            found.append((two_way(cloud, v), heading, v))
        return min(found)[2]
