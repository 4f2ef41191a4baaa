"""The paper's experiments (section 5) on held-out synthetic people: accuracy, body shape, time."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

import numpy as np
import torch

from lvd_live.body.estimate import ERRORS, ErrorModel, estimate
from lvd_live.body.fit import BodyFitter
from lvd_live.body.measure import NAMES, measure
from lvd_live.body.model import BodyModel
from lvd_live.body.skeleton import BODY_PARTS, JOINT
from lvd_live.evaluate.held_out import EvalBatch, eval_batches
from lvd_live.evaluate.methods import CONVERGED, ITERATIONS, Method, converged
from lvd_live.evaluate.metrics import aligned, aligned_error
from lvd_live.evaluate.surface import distance_to_surface, incident_faces
from lvd_live.evaluate.synthetic import EVERY, mean_nearest, seen_whole, yaw_of
from lvd_live.lvd.runtime.runtime import Runtime
from lvd_live.synth.dataset import Shards


@dataclass(frozen=True)
class Fits:
    """A method's errors on S people, pelvis-aligned, mm.

    v2v : (S, I), per iteration, by namesake: each vertex from the same vertex of the truth, mean over the vertices.
    parts : (S, P, I), the same by `BODY_PARTS`.
    nearest, v2s : (S,), from the converged mesh's vertices to the nearest true vertex and to the true surface, as in
        the paper's Table 1.
    yaw : (S,) degrees, see `synthetic.yaw_of`.
    whole : (S,) bool, see `synthetic.seen_whole`.
    """

    v2v: np.ndarray
    parts: np.ndarray
    nearest: np.ndarray
    v2s: np.ndarray
    yaw: np.ndarray
    whole: np.ndarray

    @property
    def converged(self) -> np.ndarray:
        """V2V (S,) of the mesh that v2s is about."""
        return self.v2v[:, min(CONVERGED, self.v2v.shape[1]) - 1]


def accuracy(method: Method, body: BodyModel, people: Iterable[EvalBatch]) -> Fits:
    """The errors of a method on all people."""
    faces = body.faces.numpy()
    incident, part_means = incident_faces(faces), _part_means(body)

    def fits(batch: EvalBatch) -> Fits:
        meshes, pelvis = method(batch), body.J_regressor[0]
        errors = [aligned_error(batch.millimetres(mesh), batch.truth, pelvis).numpy() for mesh in meshes]
        per_vertex = np.stack(errors, -1)  # (n, N, I)
        final = aligned(batch.millimetres(converged(meshes)), batch.truth, pelvis)
        pairs = zip(final.numpy(), batch.truth.numpy(), strict=True)
        v2s = [distance_to_surface(mesh[::EVERY], truth, faces, incident).mean() for mesh, truth in pairs]
        return Fits(
            v2v=per_vertex.mean(1),
            parts=np.einsum("pv,nvi->npi", part_means, per_vertex),
            nearest=mean_nearest(final, batch.truth),
            v2s=np.array(v2s),
            yaw=yaw_of(batch.rows["R"]),
            whole=seen_whole(batch.rows),
        )

    found = [fits(batch) for batch in people]
    return Fits(*(np.concatenate([getattr(f, field.name) for f in found]) for field in fields(Fits)))


def _part_means(body: BodyModel) -> np.ndarray:
    """(P, N) float32: what takes a value of each vertex to its mean over each of BODY_PARTS."""
    labels = body.part_labels.numpy()
    inside = [np.isin(labels, [JOINT[name] for name in joints]) for joints in BODY_PARTS.values()]
    means = np.stack(inside).astype(np.float32)
    means /= means.sum(1, keepdims=True)
    return means


@dataclass(frozen=True)
class Shapes:
    """Body measurements of S people, cm.

    found, true : (S, 6), in the order of `measure.NAMES`.
    estimated, error : (S, 6), as `estimate` says them, told the true height.
    second : (S, 2), the second shape component, found and true, standard deviations.
    """

    found: np.ndarray
    true: np.ndarray
    second: np.ndarray
    estimated: np.ndarray
    error: np.ndarray

    def slope(self, name: str) -> float:
        """Of found against true: 1 is right, 0 is always the average."""
        i = NAMES.index(name)
        return float(np.polyfit(self.true[:, i], self.found[:, i], 1)[0])

    def explained(self, name: str) -> float:
        """R² of the estimate: 1 is right, 0 is no better than the true average."""
        i = NAMES.index(name)
        left, true = self.estimated[:, i] - self.true[:, i], self.true[:, i]
        return 1 - float((left**2).sum() / ((true - true.mean()) ** 2).sum())

    def within(self, name: str, errors: float = 1) -> float:
        """The share of people whose true length lies within so many errors of the estimate."""
        i = NAMES.index(name)
        return float((np.abs(self.estimated - self.true) <= errors * self.error)[:, i].mean())

    @property
    def ratios(self) -> tuple[np.ndarray, np.ndarray]:
        """Logarithms of lengths over the height, found and true, (S, 6) each."""
        found, true = (np.log(cm / cm[:, :1]) for cm in (self.found, self.true))
        return found, true


def shapes(method: Method, fitter: BodyFitter, people: Iterable[EvalBatch], *, pictures: int = 1) -> Shapes:
    """Measure the people by their converged meshes.

    Each is taken at its true distance: a picture alone does not tell how large a person is.
    pictures : of one person, in a row, that are measured together as a session's are. Raises ValueError where they are
        not of one person.
    """
    found, true, second, estimated, error = [], [], [], [], []
    for batch in people:
        metres = (batch.millimetres(converged(method(batch))).numpy() / 1000).astype(np.float32)
        for first in range(0, len(metres), pictures):
            betas = batch.rows["betas"][first]
            if not (batch.rows["betas"][first : first + pictures] == betas).all():
                raise ValueError(f"{pictures} pictures in a row do not show one person")
            fitted = fitter.fit(metres[first : first + pictures])
            truth = replace(fitted, betas=betas, shapes=fitted.shapes[:0])
            found.append([m.cm for m in measure(fitter, fitted).values()])
            true.append([m.cm for m in measure(fitter, truth).values()])
            likely = estimate(fitter, fitted, true[-1][0] / 100)
            estimated.append([likely[name].cm for name in NAMES])
            error.append([likely[name].error for name in NAMES])
            second.append((fitted.betas[1], betas[1]))
    return Shapes(*map(np.array, (found, true, second, estimated, error)))


def error_models(single: Shapes, together: Shapes, pictures: int) -> dict[str, ErrorModel]:
    """What `body.estimate.ERRORS` holds, measured.

    single : of `pictures` pictures in a row of each person; together : of these together.
    """
    once, (many, true) = single.ratios[0].reshape(len(together.found), pictures, -1), together.ratios
    return {
        name: ErrorModel.measured(true[:, i], once[:, :, i], many[:, i], pictures)
        for i, name in enumerate(NAMES)
        if name in ERRORS
    }


def milliseconds_per_iteration(runtime: Runtime, shards: Shards, rounds: int = 20) -> tuple[float, float]:
    """Medians for one picture: of encoding it, and of one iteration."""
    batch = next(eval_batches(shards, runtime.size, count=len(shards.maps)))
    people, vertices = len(batch.picture), len(runtime.network.control)
    encode, iteration = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        prepared = runtime.encode(*batch.crops)
        encoded = time.perf_counter()
        runtime.descend(prepared, torch.zeros(people, vertices, 3, device=runtime.device), iterations=ITERATIONS)
        encode.append(1000 * (encoded - began) / people)
        iteration.append(1000 * (time.perf_counter() - encoded) / ITERATIONS / people)
    return float(np.median(encode)), float(np.median(iteration))
