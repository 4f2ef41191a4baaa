"""Scans made for tests, and a stand-in for the network: it knows the true mesh and leaves a poor copy of it."""

import functools

import numpy as np
from scipy.spatial.transform import Rotation

from lvd_live.body.model import BodyModel
from lvd_live.paths import MODELS
from lvd_live.scan.skinned import Parameters, SkinnedBody


@functools.cache
def skinned():
    return SkinnedBody(BodyModel.load(MODELS / "body" / "lvd_body.npz"))


@functools.cache
def person(seed=0, noise=0.12):
    """Parameters of somebody who stands, and the posed body."""
    rng = np.random.default_rng(seed)
    pose = np.zeros((24, 3))
    pose[16:18, 2] = -0.9, 0.9  # arms down
    pose[18:20, 1] = -0.4, 0.4
    pose[1:] += rng.normal(0, noise, (23, 3))
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


def poor_mesh(p, noise=0.1, seed=5):
    """A mesh some centimetres off the body under p, as a descent leaves it."""
    rng = np.random.default_rng(seed)
    pose = p.pose + rng.normal(0, noise, p.pose.shape)
    pose[0] = p.pose[0]
    moved = skinned().posed(Parameters(pose, 0.3 * p.betas, p.place + rng.normal(0, 0.02, 3)))
    return moved.vertices + rng.normal(0, 0.01, moved.vertices.shape)


def room(points, rng, box=True):
    """Points (P, 3), metres, y up, with a floor, a box beside and specks; and which of them are the person's."""
    low = points[:, 1].min()
    floor = np.column_stack([rng.uniform(-1.5, 1.5, (2, 3000))[0], np.full(3000, low), rng.uniform(-1.5, 1.5, 3000)])
    floor[:, 1] += rng.normal(0, 0.002, 3000)
    side = rng.uniform(-0.25, 0.25, (1200, 3))
    axis = rng.integers(0, 3, 1200)
    side[np.arange(1200), axis] = 0.25 * np.sign(side[np.arange(1200), axis])
    specks = rng.uniform(-1.4, 1.4, (20, 3))
    extra = [floor, specks] + ([side + [1.2, low + 0.3, 0]] if box else [])
    everything = np.concatenate([points, *extra])
    return everything, np.arange(len(everything)) < len(points)


class StandIn:
    """A descent that knows the mesh: it finds how the points are turned by their moments, and where they are not
    upright, leaves something upright all the same.

    p : of the person, whose points, metres and y up, the clouds are turned and scaled copies of.
    """

    def __init__(self, p, noise=0.1):
        points, _ = surface_points(skinned().posed(p).vertices, skinned().faces, 20_000, np.random.default_rng(0))
        self._origin, self._size, self._axes = _moments(points)
        self._mesh, self.calls = poor_mesh(p, noise), 0

    def __call__(self, clouds, *, certain=False):
        self.calls += len(clouds)
        meshes = []
        for cloud in clouds:
            origin, size, axes = _moments(cloud)
            R = axes @ self._axes.T
            if np.linalg.det(R) < 0 or R[1, 1] < 0.7:  # the network knows people upright
                R, size = Rotation.from_rotvec([0, 1, 0]).as_matrix(), 0.6 * size
            meshes.append((self._mesh - self._origin) @ R.T * (size / self._size) + origin)
        return np.stack(meshes), np.full((len(clouds), len(self._mesh)), 0.03) if certain else None


def _moments(points):
    """Centre, size and axes (3, 3) of a cloud, the axes' signs by its skewness."""
    origin = points.mean(0)
    off = points - origin
    _, axes = np.linalg.eigh(off.T @ off)
    return origin, np.sqrt((off**2).sum(1).mean()), axes * np.sign(((off @ axes) ** 3).mean(0))
