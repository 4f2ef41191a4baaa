"""The paper's experiments (section 5) on held-out synthetic people: accuracy, shape, robustness to the start and to the mask."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from scipy.spatial import cKDTree

from lvd_live.body.fit import BodyFitter
from lvd_live.body.measure import NAMES, measure
from lvd_live.body.model import BodyModel
from lvd_live.body.skeleton import BODY_PARTS, JOINT
from lvd_live.evaluate.held_out import Sight, sights
from lvd_live.evaluate.metrics import aligned_error, nearest_distance
from lvd_live.evaluate.synthetic import CONVERGED, EVERY, seen_whole, start_meshes, yaw_of
from lvd_live.lvd.evidence import HIPS
from lvd_live.lvd.runtime import Runtime
from lvd_live.outline import Outline
from lvd_live.synth.dataset import Shards
from lvd_live.synth.motion import Motion

Method = Callable[[Sight], list[torch.Tensor]]  # meshes (n, N, 3), crop frame, after each iteration
ITERATIONS = 8
STARTS = 250  # random start poses of each person
STARTED, MASKED = 4, 256  # people for the two tests of robustness


def by_descent(runtime: Runtime, iterations: int = ITERATIONS) -> Method:
    """Learned Vertex Descent from the crop's centre."""

    def method(sight: Sight) -> list[torch.Tensor]:
        folded, meshes = runtime.see(*sight.told), []
        v = torch.zeros(len(sight.picture), 3, device=runtime.device)
        for _ in range(iterations):
            v = runtime.descend(folded, v, iterations=1).vertices
            meshes.append(runtime.network.dense(v).detach())
        return meshes

    return method


def on_the_outline(method: Method, body: BodyModel) -> Method:
    """A method's converged mesh, its limbs brought onto the mask's outline (see `outline`)."""

    def outlined(sight: Sight) -> list[torch.Tensor]:
        meshes = method(sight)
        converged, outline = meshes[min(CONVERGED, len(meshes)) - 1].numpy(), Outline(body)
        moved = []
        for mesh, mask in zip(converged, sight.mask, strict=True):
            outline.reset()
            moved.append(outline(mesh, mask))
        return [torch.from_numpy(np.stack(moved))]

    return outlined


def with_true_landmarks(method: Method, noise: float = 0.02, depth_noise: float = 0.06) -> Method:
    """A method that is told the true landmarks with white noise (half crops) instead of the finder's: the rest is what the finder's errors cost."""
    rng = np.random.default_rng(0)

    def told(sight: Sight) -> list[torch.Tensor]:
        truth = sight.rows["truth"].astype(np.float32)
        truth[..., 2] -= truth[:, list(HIPS), 2].mean(1, keepdims=True)
        seen = truth + rng.normal(0, (noise, noise, depth_noise), truth.shape)
        confidence = np.maximum(sight.rows["landmarks"][..., 3:], 0.8)
        return method(replace(sight, landmarks=np.concatenate([seen, confidence], -1).astype(np.float32)))

    return told


def by_regression(network) -> Method:
    """The baseline: one pass."""
    from lvd_live.train.baseline import regress

    return lambda sight: [network.dense(regress(network, sight)).detach()]


@dataclass(frozen=True)
class Fits:
    """A method on S people, pelvis-aligned, mm. v2v (S, I) per iteration, by namesake: each vertex from the same vertex of the truth; parts (S, P, I), by `BODY_PARTS`; nearest, v2s (S,): from the converged mesh's vertices to the nearest true vertex and
    to the true surface, as in the paper's Table 1; yaw (S,) degrees; whole (S,) bool."""

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


def accuracy(method: Method, body: BodyModel, people: Iterable[Sight]) -> Fits:
    """Fit everybody."""
    pelvis, labels = body.J_regressor[0], body.part_labels.numpy()
    parts = np.stack([np.isin(labels, [JOINT[j] for j in joints]) for joints in BODY_PARTS.values()]).astype(np.float32)
    parts /= parts.sum(1, keepdims=True)
    faces, incident = body.faces.numpy(), incident_faces(body.faces.numpy())
    rows = []
    for sight in people:
        errors, meshes = [], method(sight)
        for mesh in meshes:
            errors.append(aligned_error(sight.millimetres(mesh), sight.truth, pelvis).numpy())
        found = sight.millimetres(meshes[min(CONVERGED, len(meshes)) - 1])
        found = found + torch.einsum("n,bnc->bc", pelvis, sight.truth - found)[:, None]
        pairs = [(f[::EVERY], t) for f, t in zip(found.numpy(), sight.truth.numpy(), strict=True)]
        nearest = [nearest_distance(f, t).mean() for f, t in pairs]
        surface = [distance_to_surface(f, t, faces, incident).mean() for f, t in pairs]
        errors = np.stack(errors, -1)  # (n, N, I)
        rows.append((errors.mean(1), np.einsum("pv,nvi->npi", parts, errors), np.array(nearest), np.array(surface), yaw_of(sight.rows["R"]), seen_whole(sight.rows)))
    return Fits(*(np.concatenate(column) for column in zip(*rows, strict=True)))


def incident_faces(faces: np.ndarray) -> np.ndarray:
    """The faces at each vertex, (N, D) indices, rows filled up with repetitions."""
    order = np.argsort(faces.ravel(), kind="stable")
    counts = np.bincount(faces.ravel())
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return (order // 3)[first[:, None] + np.arange(counts.max()) % counts[:, None]]


def distance_to_surface(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray, incident: np.ndarray) -> np.ndarray:
    """Distance (P,) of points (P, 3) from a mesh: to the triangles around each one's three nearest vertices."""
    from trimesh.triangles import closest_point

    near = cKDTree(vertices).query(points, 3)[1]
    candidates = incident[near].reshape(len(points), -1)
    spread = np.repeat(points, candidates.shape[1], 0)
    closest = closest_point(vertices[faces[candidates.ravel()]], spread)
    return np.linalg.norm(closest - spread, axis=1).reshape(candidates.shape).min(1)


@dataclass(frozen=True)
class Shapes:
    """Body measurements of S people, cm: found, true (S, 6), in the order of `measure.NAMES`; second (S, 2): the second shape component, found and true."""

    found: np.ndarray
    true: np.ndarray
    second: np.ndarray

    def slope(self, name: str) -> float:
        """Of found against true: 1 is right, 0 is always the average."""
        i = NAMES.index(name)
        return float(np.polyfit(self.true[:, i], self.found[:, i], 1)[0])


def shapes(method: Method, fitter: BodyFitter, people: Iterable[Sight], *, pictures: int = 1) -> Shapes:
    """Measure the people by their converged meshes, each at its true distance (a picture alone does not tell how large a person is). pictures: of one person, that are measured together, as a session's are."""
    found, true, second = [], [], []
    for sight in people:
        meshes = method(sight)
        metres = (sight.millimetres(meshes[min(CONVERGED, len(meshes)) - 1]).numpy() / 1000).astype(np.float32)
        for first in range(0, len(metres), pictures):
            betas = sight.rows["betas"][first]
            if not (sight.rows["betas"][first : first + pictures] == betas).all():
                raise ValueError(f"{pictures} pictures in a row do not show one person")
            fitted = fitter.fit(metres[first : first + pictures])
            for fit, out in ((fitted, found), (replace(fitted, betas=betas, shapes=fitted.shapes[:0]), true)):
                out.append([m.cm for m in measure(fitter, fit).values()])
            second.append((fitted.betas[1], betas[1]))
    return Shapes(np.array(found), np.array(true), np.array(second))


@torch.inference_mode()
def start_spread(runtime: Runtime, body: BodyModel, motion: Motion, shards: Shards, *, iterations: tuple[int, ...] = (6, 8, 16)) -> dict[int, float]:
    """σ of the converged vertices, mm, over STARTS random start poses each of a few people: the root mean square distance of a vertex from its mean over the starts, mean over vertices and people; by the number of iterations."""
    rng, chunk = np.random.default_rng(0), 25
    sums = {i: [] for i in iterations}
    sight = next(sights(shards, runtime.size, count=STARTED * len(shards.maps)))
    for k in range(min(STARTED, len(sight.picture))):
        one = [None if a is None else tuple(m[k : k + 1] for m in a) if isinstance(a, tuple) else a[k : k + 1] for a in sight.told]
        folded = runtime.see(*([None if a is None else tuple(np.repeat(m, chunk, 0) for m in a) if isinstance(a, tuple) else np.repeat(a, chunk, 0) for a in one]))
        unit = 1000 * float(-sight.rows["t"][k, 2] / sight.rows["focal"][k])  # mm a half crop, at the pelvis
        ends = {i: [] for i in iterations}
        for _ in range(STARTS // chunk):
            v = start_meshes(body, motion, "random", chunk, rng)[:, runtime.network.control.cpu()].to(runtime.device)
            for i in range(1, max(iterations) + 1):
                v = runtime.descend(folded, v, iterations=1).vertices
                if i in ends:
                    ends[i].append(v.cpu())
        for i, parts in ends.items():
            sums[i].append(float(torch.cat(parts).var(0).sum(-1).sqrt().mean()) * unit)
    return {i: float(np.mean(values)) for i, values in sums.items()}


def mask_noise(share: float, seed: int = 0) -> Callable[[np.ndarray], np.ndarray]:
    """Turns a mask (S, S) uint8 into its opposite in blotches that cover `share` of the crop."""
    rng = np.random.default_rng(seed)

    def change(mask: np.ndarray) -> np.ndarray:
        field = cv2.GaussianBlur(rng.normal(size=mask.shape).astype(np.float32), (0, 0), mask.shape[0] / 24)
        return np.where(field > np.quantile(field, 1 - share), 255 - mask, mask) if share else mask

    return change


def robustness_to_mask(runtime: Runtime, body: BodyModel, shards: Shards, shares: tuple[float, ...] = (0, 0.02, 0.05, 0.1, 0.2)) -> dict[float, float]:
    """V2V, mm, by the share of the crop where the mask is wrong."""
    pelvis, method = body.J_regressor[0], by_descent(runtime, CONVERGED)
    return {
        share: float(np.mean([aligned_error(s.millimetres(method(s)[-1]), s.truth, pelvis).mean().item() for s in sights(shards, runtime.size, count=MASKED, change_mask=mask_noise(share))])) for share in shares
    }  # fmt: skip


def milliseconds_per_iteration(runtime: Runtime, shards: Shards, rounds: int = 20) -> tuple[float, float]:
    """(features, one iteration) of one picture, medians."""
    sight = next(sights(shards, runtime.size, count=len(shards.maps)))
    see, step = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        folded = runtime.see(*sight.told)
        seen = time.perf_counter()
        runtime.descend(folded, torch.zeros(len(sight.picture), len(runtime.network.control), 3, device=runtime.device), iterations=ITERATIONS)
        see.append(1000 * (seen - start) / len(sight.picture))
        step.append(1000 * (time.perf_counter() - seen) / ITERATIONS / len(sight.picture))
    return float(np.median(see)), float(np.median(step))
