"""The figures: vertex-to-vertex distance, silhouette overlap, landmark distance."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree

LIMBS = (11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)  # BlazePose: shoulders, elbows, wrists, hips, knees, ankles


def to_millimetres(crop: torch.Tensor, focal: torch.Tensor, offset: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
    """Crop frame (B, N, 3) -> camera frame, y up, in mm; the inverse of `people.to_crop_frame`.

    focal : (B,) crop units per unit of X/-Z. offset : (B, 2), where the optical axis meets the crop, crop frame.
    depth : (B,) metres, the pelvis's distance along the optical axis.
    """
    distance = depth[:, None, None] * (1 - crop[..., 2:] / focal[:, None, None])
    return 1000 * torch.cat([(crop[..., :2] - offset[:, None]) * distance / focal[:, None, None], -distance], -1)


def aligned_error(predicted: torch.Tensor, true: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
    """Distance of each vertex (B, N) once the predicted mesh is moved so that its origin falls on the true one.

    predicted, true : (B, N, 3) in one unit.
    origin : (N,), the pelvis or another point as a mix of vertices; sums to 1.
    """
    return (aligned(predicted, true, origin) - true).norm(dim=-1)


def aligned(predicted: torch.Tensor, true: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
    """The predicted meshes (B, N, 3) moved so that their origins fall on the true ones; see `aligned_error`."""
    return predicted + torch.einsum("n,bnc->bc", origin, true - predicted)[:, None]


def nearest_distance(points: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Distance (P,) of points (P, 3) from the nearest of vertices (N, 3), whichever that is.

    What the paper's Table 1 calls V2V: there, no vertex has a namesake to measure against.
    """
    return cKDTree(vertices).query(points)[0]


def silhouette_iou(silhouette: np.ndarray, mask: np.ndarray) -> float:
    """Intersection over union of two boolean pictures; 0 where both are empty."""
    union = np.count_nonzero(silhouette | mask)
    return np.count_nonzero(silhouette & mask) / union if union else 0.0


def mean_distance(points: np.ndarray, others: np.ndarray, size: float) -> float:
    """Mean distance of two sets of points (P, 2 or more), picture pixels, as a share of `size` pixels."""
    return float(np.linalg.norm(points[:, :2] - others[:, :2], axis=1).mean() / size)
