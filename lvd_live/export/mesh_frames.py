"""The meshes of a motion, one frame after another: as tracked, or skinned."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from lvd_live.export.motion import BodyMotion

BODY_ALONE = 24  # joints of a skeleton without fingers
_SKINNED = 32  # frames skinned at once
Mesh = tuple[np.ndarray, np.ndarray]
"""Vertices (N, 3) float32 and their uncertainty (N,) float32, in the frame and unit of the motion."""


def meshes(motion: BodyMotion) -> Iterator[Mesh | None]:
    """The mesh of each frame, of the kind that the options name; None for a mesh as tracked in a gap."""
    make = _tracked if motion.options.mesh == "fitted" else _skinned
    for number, mesh in enumerate(make(motion)):
        if motion.progress is not None:
            motion.progress(number, len(motion))
        yield mesh


def _skinned(motion: BodyMotion) -> Iterator[Mesh | None]:
    if len(motion.skeleton) != BODY_ALONE:
        for number, pelvis in enumerate(motion.pelvis):
            yield motion.skeleton.posed(number, pelvis).astype(np.float32), _std(motion, number)
        return
    body, betas = motion.fitter.body, torch.from_numpy(motion.fitted.betas)[None]
    rest_pelvis = motion.fitter.rest_joints(motion.fitted.betas)[0]
    for first in range(0, len(motion), _SKINNED):
        some = slice(first, first + _SKINNED)
        pose = torch.from_numpy(motion.pose[some].astype(np.float32))
        with torch.no_grad():
            posed = body(betas.expand(len(pose), -1), pose)[0].numpy() - rest_pelvis
        posed = posed * motion.unit + motion.pelvis[some, None]
        for number, vertices in enumerate(posed.astype(np.float32), first):
            yield vertices, _std(motion, number)


def _tracked(motion: BodyMotion) -> Iterator[Mesh | None]:
    """The tracked meshes, interpolated, and smoothed over the frames around that are no gap."""
    R_up_camera, tracked = motion.R_up_camera, motion.grid.tracked
    held: dict[int, np.ndarray] = {}  # the meshes of the window
    for number in range(len(motion)):
        window, shares = motion.low_pass.window(number)
        held = {n: held[n] if n in held else _between(motion, n) for n in window if tracked[n]}
        if not tracked[number]:
            yield None
            continue
        weights = {n: share for n, share in zip(window, shares, strict=True) if n in held}
        mean = np.asarray(sum(weight * held[n] for n, weight in weights.items())) / sum(weights.values())
        vertices = mean @ R_up_camera.T * motion.unit + motion.shift[number]
        yield vertices.astype(np.float32), _std(motion, number)


def _between(motion: BodyMotion, number: int) -> np.ndarray:
    """The tracked mesh at one frame of the grid, (N, 3) float64 metres, camera frame, on the body's vertices."""
    take, grid = motion.fitted_take, motion.grid
    before, after, share = grid.before[number], grid.after[number], grid.share[number]
    vertices = take.vertices(before)
    if before != after:
        vertices = (1 - share) * vertices + share * take.vertices(after)
    return vertices if take.carry is None else take.carry(vertices)


def _std(motion: BodyMotion, number: int) -> np.ndarray:
    index = motion.grid.before[number]
    return motion.fitted_take.vertex_std(index) * np.float32(motion.unit * motion.fitted.scale[index])
