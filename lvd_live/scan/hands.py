"""Registering a hand to a scan of one: which side it is, how it is turned, and its parameters.

A hand's scan has no known unit, axes or side, and may hold an object and part of a forearm. The network knows right
hands near the hand frame's axes; so it looks at the cloud turned in 24 ways, mirrored as well where the side is not
told, and again in the axes of the best meshes' palms. Solver and displacements are those of bodies, in units in which
a hand is as large as a person: `UNIT` to the metre.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from lvd_live.body.hand import HandModel
from lvd_live.body.hand_rig import SIDES, Side
from lvd_live.body.procrustes import nearest_rotation
from lvd_live.errors import UserError
from lvd_live.paths import MODELS
from lvd_live.scan.cleaning import Cleaned
from lvd_live.scan.cube import Cube
from lvd_live.scan.evidence import Cloud, thinned
from lvd_live.scan.frame import UNITS, Frame, unit_of
from lvd_live.scan.network import ScanNetwork
from lvd_live.scan.prior import PosePrior, pose_prior
from lvd_live.scan.reading import Scan
from lvd_live.scan.registration import FINE_POINTS, Fitted, Registrar
from lvd_live.scan.result import HandRegistration, Registration
from lvd_live.scan.sampling import evenly, sample
from lvd_live.scan.skinned import SkinnedBody
from lvd_live.scan.solver import ScanSolver
from lvd_live.scan.starts import Placed, Start, Told, bones_ratio
from lvd_live.scan.watched import Progress, part, watched

WEIGHTS = MODELS / "weights" / "hand.safetensors"
UNIT = 10.0  # of the solver's units to a metre
POINTS = 6_000  # of a cloud that the network looks at
SAMPLE = 20_000  # of a scan that are kept
TURNS = Rotation.create_group("O").as_matrix()  # the 24 rotations of a cube
AGAIN = 4  # meshes of each side whose palms' axes are tried, too
STARTS = 3  # of each side that are fitted
REACH = 0.12  # of the cloud's size: nothing is farther, when meshes are compared
OBJECT = 0.5  # weight of the way from the cloud to the mesh: it may hold an object
PRIOR_NOISE = 0.12  # radians, see `prior.pose_prior`
EXPLAINED, BARE = 0.4, 0.35  # share of the scan within `NEAR` of the hand, at least; of the hand far from it, at most
NEAR = 0.04  # the solver's units
OTHER = 0.006  # metres: what lies farther from the hand is an object or the forearm
MIRROR = np.array([-1.0, 1.0, 1.0])


class HandRegistrar:
    """Registers hands to scans.

    hand : a file in MANO's layout, either side. network : of preset `hand`. served : the right hand whose vertices the
    network moves; None: `hand`. side : which hand scans show; None: found for each.
    """

    def __init__(
        self,
        hand: HandModel,
        network: ScanNetwork,
        served: HandModel | None = None,
        side: Side | None = None,
        seed: int = 0,
    ):
        right = hand if hand.side == "right" else hand.mirrored()
        served = right if served is None else served
        if len(served.v_template) != network.network.preset.vertices:
            raise UserError(f"The network moves hands of {network.network.preset.vertices} vertices, not this one.")
        prior = hand_prior(right)
        self._served = ScanSolver(SkinnedBody(enlarged(served)), hand_prior(served))
        self._same = served.faces.shape == right.faces.shape and bool((served.faces == right.faces).all())
        self._network, self._side, self._seed = network, side, seed
        bodies: dict[Side, HandModel] = {"right": right, "left": right.mirrored()}
        self._sides = {side: _OneSide(enlarged(bodies[side]), prior, seed) for side in SIDES}

    @classmethod
    def load(cls, hand: Path | None = None, weights: Path | None = None, side: Side | None = None) -> HandRegistrar:
        """hand : the user's file; None: the bundled hand. weights : None: the bundled network.

        Raises UserError where a file is missing or unfit.
        """
        if weights is None and not WEIGHTS.is_file():
            raise UserError(f"There is no network for hands ({WEIGHTS}): restore models/ from the repository.")
        served = HandModel.default()
        model = served if hand is None else HandModel.load(hand)
        return cls(model, ScanNetwork.load(weights or WEIGHTS), served, side)

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
    ) -> HandRegistration:
        """Register one scan, as `Registrar` does. before : of this hand: the fit starts there, if it leads anywhere.

        told : of its unit and whether it shows one side. model : with displacements ("smpl+d") or without.
        """
        told = Told() if told is None else told
        rng = np.random.default_rng(self._seed)
        points, normals = sample(scan, SAMPLE, rng)
        report = watched(progress, stop)
        if isinstance(before, HandRegistration) and self._side in (None, before.side):
            report(0.0, "fitting the hand")
            found = self._sides[before.side].continued(points, normals, before, model, betas, report)
            if found is not None:
                return found
        tried: list[tuple[float, HandRegistration]] = []
        sides = SIDES if self._side is None else (self._side,)
        for i, side in enumerate(sides):
            here = part(report, i / len(sides), (i + 1) / len(sides))
            here(0.0, f"descending to a {side} hand")
            placed = self.place(points, side, told, rng)
            tried.append(self._sides[side].fitted(points, normals, placed, told, model, betas, part(here, 0.4, 1.0)))
        tried.sort(key=lambda t: t[0])
        score, fit = tried[0]
        if len(tried) > 1:
            residuals = f"residual {1000 * score / UNIT:.2f} mm; as the other hand {1000 * tried[1][0] / UNIT:.2f}"
            fit.notes.insert(0, f"Side: {fit.side} ({residuals}).")
        return replace(fit, std=self.spread(points[evenly(points, POINTS, rng)], fit)) if self._same else fit

    def spread(self, cloud: np.ndarray, fit: HandRegistration) -> np.ndarray:
        """The descent's uncertainty (Eq. 3), (N,) metres, of a cloud (P, 3), file units, turned as its fit lies."""
        mirror = MIRROR if fit.side == "left" else np.ones(3)
        cloud = (cloud * mirror) @ self.palm_turn(fit.skinned * mirror).T
        cube = Cube.around(cloud)
        ended = self._network.descend([cube.into(cloud)], samples=8)
        assert ended.sigma is not None, "samples were asked for"
        sigma: np.ndarray = ended.sigma[0].astype(float) * cube.half / fit.scale
        return sigma

    def place(self, points: np.ndarray, side: Side, told: Told, rng: np.random.Generator) -> Placed:
        """Turns and starts of a cloud (P, 3), file units, as a hand of this side."""
        origin = np.median(points, axis=0)
        mirror = MIRROR if side == "left" else np.ones(3)
        cloud = (points[evenly(points, POINTS, rng)] - origin) * mirror
        meshes = self.descend(cloud, TURNS)
        order = np.argsort([self.misfit(cloud, mesh) for mesh in meshes])[:AGAIN]
        turns = np.stack([self.palm_turn(meshes[i]) for i in order])
        meshes = np.concatenate([self.descend(cloud, turns), meshes[order]])
        scores = np.array([self.misfit(cloud, mesh) for mesh in meshes])
        best = np.argsort(scores)[:STARTS]
        ratio = float(np.median([bones_ratio(self._served.body, meshes[i]) for i in best]) * UNIT)
        unit, metre = (told.unit, UNITS[told.unit]) if told.unit else unit_of(ratio)
        metre = metre if told.unit else 1 / ratio  # a hand's size is known to a tenth, a unit may not be
        size = f"its bones are {ratio * metre:.2f} times the template's"
        note = f"Unit: {unit} ({size})." if told.unit else f"Unit: unknown (near {unit or 'none'}), the size is fitted."
        frame = Frame(np.eye(3), origin, metre * UNIT)
        starts = [Start(self.carried(metre * UNIT * meshes[i]) * mirror, None) for i in best]
        return Placed(frame, np.ones(len(points), bool), starts, True, [note], told.unit or "unknown", "any")

    def descend(self, cloud: np.ndarray, turns: np.ndarray) -> np.ndarray:
        """Meshes (T, N, 3) of a right hand's cloud (P, 3), looked at under rotations (T, 3, 3), in its own axes."""
        turned = [cloud @ R.T for R in turns]
        cubes = [Cube.around(c) for c in turned]
        ended = self._network.descend([cube.into(c) for cube, c in zip(cubes, turned, strict=True)], samples=0)
        found = zip(cubes, ended.vertices, turns, strict=True)
        return np.stack([cube.out_of(v) @ R for cube, v, R in found])

    def misfit(self, cloud: np.ndarray, mesh: np.ndarray) -> float:
        """How far a mesh (N, 3) and a cloud (P, 3) lie apart, and the mesh from a hand, of the cloud's size."""
        size = float(np.ptp(cloud, axis=0).max())
        there = np.minimum(cKDTree(cloud).query(mesh)[0], REACH * size).mean()
        back = np.minimum(cKDTree(mesh).query(cloud[::4])[0], REACH * size).mean()
        palm = self._palm
        template = self._served.body.template[palm].astype(float)
        a, b = template - template.mean(0), mesh[palm] - mesh[palm].mean(0)
        R = nearest_rotation(b.T @ a)
        scale = float((b * (a @ R.T)).sum() / (a**2).sum())
        crumpled = np.linalg.norm(b - scale * a @ R.T, axis=1).mean()
        return float(there + OBJECT * back + 0.5 * crumpled) / size

    def palm_turn(self, mesh: np.ndarray) -> np.ndarray:
        """The rotation (3, 3) that brings a right hand's mesh (N, 3) into the hand frame's axes, by its palm."""
        template = self._served.body.template[self._palm].astype(float)
        a, b = template - template.mean(0), mesh[self._palm] - mesh[self._palm].mean(0)
        return nearest_rotation(a.T @ b)

    def carried(self, mesh: np.ndarray) -> np.ndarray:
        """A right hand's mesh (N, 3) that the network moved, solver's units, as one of the hand that is registered: in
        the same pose, its joints' middle and size the same."""
        if self._same:
            return mesh
        p, body = self._served.from_mesh(mesh, free_size=True), self._sides["right"].body
        here = self._served.body.posed(p).joints_placed()
        posed = body.posed(replace(body.at_rest(), pose=p.pose))
        size = np.linalg.norm(here - here.mean(0)) / np.linalg.norm(posed.joints - posed.joints.mean(0))
        return size * (posed.vertices - posed.joints.mean(0)) + here.mean(0)

    @property
    def _palm(self) -> np.ndarray:
        return self._served.body.weights[:, 0] > 0.7


class _OneSide(Registrar):
    """The solver and the displacements of one side's hand."""

    def __init__(self, hand: HandModel, prior: PosePrior, seed: int):
        super().__init__(hand, _no_descent, seed)
        self._side: Side = hand.side
        self._solver = ScanSolver(self.body, prior if hand.side == "right" else _mirrored(prior))

    def fitted(
        self,
        points: np.ndarray,
        normals: np.ndarray | None,
        placed: Placed,
        told: Told,
        model: str,
        betas: np.ndarray | None,
        report: Progress,
    ) -> tuple[float, HandRegistration]:
        """The best fit from the starts, lengths in metres; and its score, in the solver's units."""
        rng = np.random.default_rng(self._seed)
        cloud = self._cloud(points, normals, placed, rng, FINE_POINTS)
        fit = self._fitted(placed, cloud, thinned(cloud, rng), told, betas, part(report, 0.0, 0.6))
        score = self._solver.score(cloud, fit.p, partial=fit.partial)
        return score, self._hand(placed, fit, cloud, points, model, part(report, 0.6, 1.0))

    def continued(
        self,
        points: np.ndarray,
        normals: np.ndarray | None,
        before: HandRegistration,
        model: str,
        betas: np.ndarray | None,
        report: Progress,
    ) -> HandRegistration | None:
        """The fit that starts where the last scan's ended; None where it leads nowhere."""
        frame = replace(before.frame, metre=before.frame.metre * UNIT)
        last = replace(before, frame=frame, residual=before.residual * UNIT)
        whole = Cleaned([np.ones(len(points), bool)])
        warm = self._warm(points, normals, whole, last, betas, np.random.default_rng(self._seed))
        if warm is None:
            return None
        placed, fit, cloud = warm
        return self._hand(placed, fit, cloud, points, model, part(report, 0.4, 1.0))

    def _hand(
        self, placed: Placed, fit: Fitted, cloud: Cloud, points: np.ndarray, model: str, report: Progress
    ) -> HandRegistration:
        """What is reported of a fit, its lengths in metres."""
        found = self._finished(placed, fit, cloud, points, (), model, report)
        near = float((found.from_scan < NEAR).mean())
        bare = 0.0 if fit.partial else self._bare(cloud, fit.p)
        arrays = {f.name: getattr(found, f.name) for f in fields(found)} | {
            "trans": found.trans / UNIT,
            "scale": found.scale * UNIT,
            "displacements": found.displacements / UNIT,
            "std": found.std / UNIT,
            "to_scan": found.to_scan / UNIT,
            "from_scan": found.from_scan / UNIT,
            "residual": found.residual / UNIT,
            "frame": replace(found.frame, metre=found.frame.metre / UNIT),
            "explained": near > EXPLAINED and bare < BARE,
        }
        other = arrays["from_scan"] > OTHER
        if other.any() and not other.all():
            rest = 1000 * float(arrays["from_scan"][~other].mean())
            share = f"{other.mean():.1%} of the scan lie farther than {1000 * OTHER:g} mm from the hand"
            arrays["notes"] = [*found.notes, f"{share} (an object, the forearm); the others {rest:.1f} mm."]
        return HandRegistration(**arrays, side=self._side)


def _no_descent(clouds: Sequence[np.ndarray], *, certain: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
    raise NotImplementedError("hands are placed by HandRegistrar")


def enlarged(hand: HandModel) -> HandModel:
    """The hand in the solver's units."""
    large = HandModel(hand.arrays())
    large.v_template, large.shapedirs = UNIT * hand.v_template, UNIT * hand.shapedirs
    if hand.posedirs is not None:
        large.posedirs = UNIT * hand.posedirs
    return large


def hand_prior(right: HandModel) -> PosePrior:
    """What poses of a right hand are likely: a Gaussian of sampled ones."""
    arrays = pose_prior(right.sampled_poses(), PRIOR_NOISE)
    return PosePrior(arrays["mean"].astype(float), arrays["precision"].astype(float))


def _mirrored(prior: PosePrior) -> PosePrior:
    """The other hand's."""
    signs = np.tile([1.0, -1.0, -1.0], len(prior.mean) // 3)
    return PosePrior(prior.mean * signs, prior.precision * signs * signs[:, None])
