"""What poses and shapes are likely: Gaussians that decide where a scan cannot."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lvd_live.body.skeleton import JOINT_NAMES
from lvd_live.errors import UserError
from lvd_live.paths import MODELS

FILE = MODELS / "body" / "pose_prior.npz"
LOOSE = 1.0  # radians: the standard deviation of a joint about which nothing is known


@dataclass(frozen=True)
class PosePrior:
    """A Gaussian of the pose without its root: mean (3 (K − 1),) radians, precision (3 (K − 1),) square."""

    mean: np.ndarray
    precision: np.ndarray

    @classmethod
    def of(cls, n_joints: int, path: Path = FILE) -> PosePrior:
        """The prior of SMPL's 24 joints from its file, of other skeletons a loose one about rest.

        Raises UserError where the file is missing or damaged.
        """
        if n_joints != len(JOINT_NAMES):
            free = 3 * (n_joints - 1)
            return cls(np.zeros(free), np.eye(free) / LOOSE**2)
        try:
            with np.load(path, allow_pickle=False) as file:
                mean, precision = file["mean"].astype(float), file["precision"].astype(float)
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise UserError(f"{path} is missing or damaged: restore models/ from the repository.") from error
        return cls(mean, precision)

    @functools.cached_property
    def covariance(self) -> np.ndarray:
        """(3 (K − 1),) square: the inverse of the precision."""
        return np.linalg.inv(self.precision)

    def gradient(self, pose: np.ndarray) -> np.ndarray:
        """Of −log p, (3 (K − 1),), at a pose (K, 3)."""
        return self.precision @ (pose[1:].ravel() - self.mean)

    def distance(self, pose: np.ndarray) -> float:
        """Mahalanobis's distance of a pose (K, 3) from the mean, squared: 3 (K − 1) for the usual pose."""
        off = pose[1:].ravel() - self.mean
        return float(off @ self.precision @ off)


def pose_prior(poses: np.ndarray, noise: float) -> dict[str, np.ndarray]:
    """The arrays of the prior's file from poses (P, 24, 3) axis-angle.

    noise : radians, a standard deviation added to each coordinate: what the poses do not show is not impossible.
    """
    flat = poses[:, 1:].reshape(len(poses), -1).astype(float)
    covariance = np.cov(flat.T) + noise**2 * np.eye(flat.shape[1])
    return {"mean": flat.mean(0).astype(np.float32), "precision": np.linalg.inv(covariance).astype(np.float32)}
