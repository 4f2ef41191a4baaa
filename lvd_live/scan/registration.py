"""Registering a body to a scan: cleaning, descent, parameters, displacements, and whether it explains the scan."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lvd_live.body.model import BodyModel
from lvd_live.body.skeleton import JOINT_NAMES
from lvd_live.scan.cleaning import Cleaned, clean
from lvd_live.scan.descent import Descent
from lvd_live.scan.displacement import Displacer
from lvd_live.scan.evidence import Cloud, thinned, to_scan
from lvd_live.scan.frame import in_file
from lvd_live.scan.limbs import Limbs
from lvd_live.scan.nearest import MeshSearch
from lvd_live.scan.parts import part_starts
from lvd_live.scan.reading import Scan
from lvd_live.scan.result import Registration
from lvd_live.scan.sampling import estimated_normals, evenly, sample
from lvd_live.scan.skinned import Parameters, SkinnedBody
from lvd_live.scan.solver import FINE, MIDDLE, ROUGH, Held, ScanSolver, Schedule
from lvd_live.scan.starts import Placed, Told, place, turned_about
from lvd_live.scan.view import View
from lvd_live.scan.watched import Progress, part, unwatched, watched
from lvd_live.topology import vertex_normals

MODELS = ("smpl", "smpl+d")
SAMPLE, DENSE_POINTS, FINE_POINTS = 30_000, 20_000, 10_000
STARTS, FURTHER = 3, 2  # that are fitted roughly, and further
PART_STARTS = 4  # of an upper body
FAR, NEAR = 0.06, 0.04  # metres: what lies farther is not explained; what the scan shows is nearer
UNEXPLAINED, BARE = 0.12, 0.35  # shares of the scan, and of the body's surface, beyond which a fit says so
ONE_SIDED = 0.22  # share of the body without a scan near it from which the scan counts as one-sided
WARM = 0.03  # metres: residual up to which a sequence's last fit may lead to the next


@dataclass(frozen=True)
class Fitted:
    """Parameters in a placed scan, what became of the start's uncertainty, and how well they lie."""

    p: Parameters
    std: np.ndarray | None
    residual: float
    partial: bool
    notes: list[str] = field(default_factory=list)


class Registrar:
    """Registers one body to scans.

    body : the file. descent : the start. seed : of the sampling, so that a scan gives the same fit every time.
    """

    def __init__(self, body: BodyModel, descent: Descent, seed: int = 0):
        self.body, self._descent, self._seed = SkinnedBody(body), descent, seed
        self._solver, self._displacer = ScanSolver(self.body), Displacer(self.body)
        self._limbs = Limbs(self.body, self._solver.prior) if self._is_person else None

    def __call__(
        self,
        scan: Scan,
        told: Told | None = None,
        *,
        model: str = "smpl+d",
        betas: np.ndarray | None = None,
        before: Registration | None = None,
        progress: Progress | None = None,
        stop: threading.Event | None = None,
    ) -> Registration:
        """Register one scan. Raises `watched.Stopped` before the next step once `stop` is set.

        model : "smpl" or "smpl+d". betas : (B,), the shape where it is known.
        before : the registration of the scan before in a sequence: the fit starts there, if it leads anywhere.
        progress : see `watched.Progress`; called in the thread that calls.
        """
        told = Told() if told is None else told
        rng = np.random.default_rng(self._seed)
        report = watched(progress, stop)
        report(0.0, "looking for the person")
        points, normals = sample(scan, SAMPLE, rng)
        cleaned = clean(points, normals, rng) if self._is_person else Cleaned([np.ones(len(points), bool)])
        dropped = [f"Dropped {scan.dropped} points that are no numbers."] if scan.dropped else []
        if before is not None:
            report(0.2, "fitting the body")
            warm = self._warm(points, normals, cleaned, before, betas, rng)
            if warm is not None:
                placed, fit, _ = warm
                dense = self._cloud(points, normals, placed, rng, DENSE_POINTS)
                return self._finished(placed, fit, dense, points, dropped, model, part(report, 0.6, 1.0))
        placed = place(points, cleaned, self._descent, self.body, told, rng, part(report, 0.1, 0.35))
        cloud = self._cloud(points, normals, placed, rng, FINE_POINTS)
        rough = thinned(cloud, rng)
        fit = self._fitted(placed, cloud, rough, told, betas, part(report, 0.35, 0.7))
        if self._is_person and not self._explains(cloud, fit):
            upper = self._upper_body(
                points, normals, placed, cleaned.candidates, told, betas, rng, part(report, 0.7, 0.72)
            )
            if upper is not None:
                placed, fit, _ = upper
        dense = self._cloud(points, normals, placed, rng, DENSE_POINTS)
        return self._finished(placed, fit, dense, points, dropped, model, part(report, 0.72, 1.0))

    @property
    def _is_person(self) -> bool:
        return self.body.n_joints == len(JOINT_NAMES)

    def _cloud(
        self, points: np.ndarray, normals: np.ndarray | None, placed: Placed, rng: np.random.Generator, count: int
    ) -> Cloud:
        """At most `count` of the person's points, in metres."""
        kept = placed.frame.into(points[placed.keep])
        some = evenly(kept, count, rng)
        kept = kept[some]
        if normals is None:
            return Cloud.of(kept, estimated_normals(kept), sure=False)
        turned = normals[placed.keep][some] @ placed.frame.R.T
        if (turned * (kept - kept.mean(0))).sum(1).mean() < 0:
            turned = -turned  # the triangles run the other way round
        return Cloud.of(kept, turned)

    def _fitted(
        self,
        placed: Placed,
        cloud: Cloud,
        rough: Cloud,
        told: Told,
        betas: np.ndarray | None,
        report: Progress = unwatched,
    ) -> Fitted:
        """The best of several starts: all fitted roughly, the best few further, the best one to all points."""
        solver, done, size = self._solver, 0, placed.free_size
        view = View.of(cloud) if self._is_person and told.partial is not False else None
        partial = bool(told.partial) or view is not None

        def fitted(p: Parameters, of: Cloud, widths: Sequence[float], held: Held | None) -> Parameters:
            nonlocal done
            report(done / (STARTS + FURTHER + 3), "fitting the body")
            done += 1
            schedule = Schedule(widths, partial=partial, view=view, held=held if partial else None)
            return solver.fit(of, p, schedule, free_size=size, betas=betas)

        def score(p: Parameters) -> float:
            return solver.score(rough, p, partial=partial, view=view)

        tried: list[tuple[Parameters, np.ndarray | None, Held | None]] = []
        for start in placed.starts[:STARTS]:
            own = Held.by(start.mesh, start.std, self.body.area)
            p = solver.from_mesh(start.mesh, start.std, free_size=size)
            tried.append((fitted(p, rough, ROUGH, own), start.std, own))
        tried.sort(key=lambda t: score(t[0]))
        tried = tried[:FURTHER]
        if self._is_person and told.yaw is None:  # network and distances may take a back for a front
            about = fitted(turned_about(tried[0][0]), rough, ROUGH, None)
            tried.append((about, tried[0][1], None))
        tried = [(fitted(p, rough, MIDDLE, held), std, held) for p, std, held in tried]
        p, std, held = min(tried, key=lambda t: score(t[0]))
        if self._limbs is not None:
            rng = np.random.default_rng(self._seed)
            for limb in self._limbs.limbs:
                now, other, q = self._limbs.other_poses(rough, p, limb, rng, view)
                if other < now:
                    p = min(p, fitted(q, rough, MIDDLE, held), key=score)
        notes = []
        if told.partial is None and (partial or self._bare(rough, p) > ONE_SIDED):
            partial = True
            notes.append("The scan shows one side only: the body's other side is guessed.")
        cloud = cloud.turned_with(self.body.posed(p).vertices, self.body.faces)
        p = fitted(p, cloud, FINE, held)
        return Fitted(p, std, solver.residual(cloud, p, partial=partial), partial, notes)

    def _bare(self, cloud: Cloud, p: Parameters) -> float:
        """The share of the body's surface that no point of the scan lies near to."""
        vertices = self.body.posed(p).vertices
        outward = vertex_normals(vertices, self.body.faces).astype(float)
        pair = to_scan(cloud, vertices, outward, self.body.area, partial=False)
        near = (np.linalg.norm(pair.offset, axis=1) < max(NEAR, 2 * cloud.spacing)) & pair.agree
        return 1 - float(self.body.area[near].sum())

    def _warm(
        self,
        points: np.ndarray,
        normals: np.ndarray | None,
        cleaned: Cleaned,
        before: Registration,
        betas: np.ndarray | None,
        rng: np.random.Generator,
    ) -> tuple[Placed, Fitted, Cloud] | None:
        """The fit that starts where the last scan's ended; None where it leads nowhere."""
        notes = [*cleaned.notes, "Started from the scan before."]
        placed = Placed(before.frame, cleaned.candidates[0], [], False, notes, before.unit, before.up)
        cloud = self._cloud(points, normals, placed, rng, FINE_POINTS)
        rough = thinned(cloud, rng)
        shape = before.parameters.betas if betas is None else betas
        p = replace(
            before.parameters, place=before.parameters.place + np.median(cloud.points, 0) - self._middle(before)
        )
        view = View.of(cloud) if self._is_person and before.partial else None
        p = self._solver.fit(rough, p, Schedule(ROUGH, partial=before.partial, view=view), betas=shape)
        p = self._solver.fit(cloud, p, Schedule(FINE, partial=before.partial, view=view), betas=betas)
        residual = self._solver.residual(cloud, p, partial=before.partial)
        if residual > max(WARM, 1.3 * before.residual):
            return None
        return placed, Fitted(p, None, residual, before.partial), cloud

    def _upper_body(
        self,
        points: np.ndarray,
        normals: np.ndarray | None,
        placed: Placed,
        candidates: list[np.ndarray],
        told: Told,
        betas: np.ndarray | None,
        rng: np.random.Generator,
        report: Progress,
    ) -> tuple[Placed, Fitted, Cloud] | None:
        """The fit that takes one of the clusters for an upper body; None where that does not explain it either."""
        best: tuple[float, Placed, Cloud, Parameters] | None = None
        schedule = Schedule((*ROUGH, *MIDDLE), partial=True)
        notes = [n for n in placed.notes if not n.startswith(("Up", "Unit"))]
        starts = [
            (start, keep)
            for keep in candidates
            for start in part_starts(points[keep], self.body, self._solver.prior, told, PART_STARTS)
        ]
        for i, (start, keep) in enumerate(starts):
            report(i / len(starts), "fitting an upper body")
            here = replace(placed, frame=start.frame, keep=keep, unit=start.unit, up=start.up, free_size=False)
            cloud = self._cloud(points, normals, here, rng, FINE_POINTS)
            rough = thinned(cloud, rng)
            p = self._solver.fit(rough, start.p, schedule, betas=betas)
            score = self._solver.score(rough, p, partial=True)
            if best is None or score < best[0]:
                best = score, here, cloud, p
        if best is None:
            return None
        _, here, cloud, p = best
        p = self._solver.fit(cloud, p, Schedule(FINE, partial=True), betas=betas)
        fit = Fitted(p, None, self._solver.residual(cloud, p, partial=True), True)
        said = f"Only an upper body is shown: up is {here.up}, the unit {here.unit}; the rest is guessed."
        return (replace(here, notes=[*notes, said]), fit, cloud) if self._explains(cloud, fit) else None

    def _explains(self, cloud: Cloud, fit: Fitted) -> bool:
        """Whether the skinned body lies near enough to the cloud, and, of a whole scan, the cloud to the body."""
        vertices = self.body.posed(fit.p).vertices.astype(float)
        far = (MeshSearch(vertices, self.body.faces).nearest(cloud.points).distance > FAR).mean()
        return bool(far < UNEXPLAINED and (fit.partial or self._bare(cloud, fit.p) < BARE))

    def _middle(self, before: Registration) -> np.ndarray:
        return np.median(before.frame.into(before.points), axis=0)

    def _finished(
        self,
        placed: Placed,
        fit: Fitted,
        cloud: Cloud,
        points: np.ndarray,
        notes: Sequence[str],
        model: str,
        report: Progress = unwatched,
    ) -> Registration:
        posed, frame, faces = self.body.posed(fit.p), placed.frame, self.body.faces
        skinned = posed.vertices.astype(float)
        cloud, d = cloud.turned_with(posed.vertices, faces), np.zeros_like(skinned)
        if model == "smpl+d":
            d = self._displacer.displacements(skinned, cloud, partial=fit.partial, report=part(report, 0.0, 0.8))
        report(0.9, "measuring distances")
        kept = points[placed.keep]
        metres = frame.into(kept)
        total = skinned + d
        pose, trans, scale = in_file(frame, fit.p, posed.rest_joints[0])
        registration = Registration(
            vertices=frame.out_of(total),
            faces=faces,
            pose=pose,
            betas=fit.p.betas,
            trans=trans,
            scale=scale,
            displacements=self.body.unposed(posed, d),
            joints=frame.out_of(posed.joints_placed()),
            skinned=frame.out_of(skinned),
            std=np.zeros(len(total)) if fit.std is None else fit.std,
            to_scan=Cloud.of(metres).tree.query(total)[0],
            from_scan=MeshSearch(total, faces).nearest(metres).distance,
            points=kept,
            notes=[*notes, *placed.notes, *fit.notes],
            explained=self._explains(cloud, fit),
            unit=placed.unit,
            up=placed.up,
            residual=fit.residual,
            partial=fit.partial,
            frame=frame,
            parameters=fit.p,
        )
        report(1.0, "done")
        return registration
