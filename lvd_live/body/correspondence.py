"""Carrying a body's vertices to another topology, such as SMPL's, by one correspondence between the two templates.

The source body is registered to the target's template (see `registration`). Each vertex of the target mesh is then the
barycentric mix of the three vertices of the source that it lies on.
"""

from __future__ import annotations

import hashlib
import io
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs

from lvd_live.body.model import BodyModel
from lvd_live.errors import UserError
from lvd_live.storage.files import write_whole
from lvd_live.storage.safe_npz import SafeNpz, Spec
from lvd_live.topology import vertex_normals

log = logging.getLogger(__name__)

VERSION = 1  # of the computation: another one makes kept correspondences anew
FAR = 0.02  # metres between target and registered mesh, on average: beyond it the bodies do not match


@dataclass(frozen=True)
class Correspondence:
    """Each of P vertices of the target mesh as a mix of three of the N of the source.

    corners : (P, 3) int32, indices of source vertices. mix : (P, 3) float32, rows summing to 1.
    """

    corners: np.ndarray
    mix: np.ndarray

    def __call__(self, vertices: np.ndarray) -> np.ndarray:
        """Vertices (…, P, C) of the target mesh from vertices (…, N, C) of the source's; the same dtype."""
        carried = np.einsum("...pkc,pk->...pc", vertices[..., self.corners, :], self.mix, optimize=True)
        return carried.astype(vertices.dtype)

    @classmethod
    def between(cls, source: BodyModel, target: BodyModel) -> Correspondence:
        """Computed once for a pair of bodies (some ten seconds), then read from the user's cache folder."""
        path = _cache_path(source, target)
        try:
            found = cls._read(path, len(target.v_template))
            if 0 <= found.corners.min() <= found.corners.max() < len(source.v_template):
                return found
        except UserError:
            pass  # not there yet, or damaged: made anew
        log.warning("Matching the body's mesh to the other body's, once; this takes some seconds.")
        made = cls.compute(source, target)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            made._write(path)
        except (OSError, UserError) as error:
            log.warning("The match could not be kept for the next time: %s", error)
        return made

    @classmethod
    def compute(cls, source: BodyModel, target: BodyModel) -> Correspondence:
        """Register the templates and read the correspondence off. Raises UserError when they do not come together."""
        # here, because both bring scipy, and every fit imports this file
        from lvd_live.body.registration import register
        from lvd_live.body.surface import Surface

        surface = Surface(register(source, target), source.faces.numpy(), source.weights.numpy())
        points = target.v_template.numpy()
        normals = vertex_normals(points, target.faces.numpy())
        corners, mix, distance = surface.nearest(points, normals, target.weights.numpy())
        log.info(
            "correspondence: target vertices lie %.1f mm from the registered mesh on average, %.1f mm at the 99th "
            "percentile",
            1000 * distance.mean(),
            1000 * np.percentile(distance, 99),
        )
        if distance.mean() > FAR:
            raise UserError(
                "The body file's mesh could not be matched to the bundled body's: is it a whole person in SMPL's "
                "T-pose, in metres?"
            )
        return cls(corners.astype(np.int32), mix.astype(np.float32))

    @classmethod
    def _read(cls, path: Path, count: int) -> Correspondence:
        """What `_write` wrote for a target of `count` vertices. Raises UserError."""
        specs = {"corners": Spec("i4", ((count, 3),)), "mix": Spec("f4", ((count, 3),))}
        with SafeNpz(path, specs) as file:
            return cls(file.read("corners"), file.read("mix"))

    def _write(self, path: Path) -> None:
        buffer = io.BytesIO()
        np.savez(buffer, corners=self.corners, mix=self.mix)
        write_whole(path, buffer.getvalue())


def _cache_path(source: BodyModel, target: BodyModel) -> Path:
    """The file that a pair of bodies' correspondence is kept in; its name depends on what the bodies hold."""
    digest = hashlib.sha256(str(VERSION).encode())
    for body in (source, target):
        for part in (body.v_template, body.faces, body.weights):
            digest.update(np.ascontiguousarray(part.numpy()).tobytes())
    return platformdirs.user_cache_path("lvd_live") / f"correspondence-{digest.hexdigest()[:20]}.npz"
