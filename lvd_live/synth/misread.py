"""How often the person finder misreads synthetic people, and how it errs: `synth --misread DIR`,
`bake --landmark-errors DIR`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from lvd_live.errors import UserError
from lvd_live.person.landmarks import HIPS
from lvd_live.synth.dataset import Shards
from lvd_live.synth.lifted import in_picture

MISREAD, WELL_READ = 0.1, 0.03  # mean distance of the landmarks from the truth, of half a crop
LARGEST = 0.5  # mean error, of half the box's longer side, beyond which an answer tells nothing of noise
FACINGS = 8
FIELDS = ("picture", "alpha", "landmarks", "truth", "observed", "pose", "R", "t", "focal")
_CLASSES = {  # what people are sorted by: a name, and where its classes end
    "distance, m": (1.0, 1.5, 2.5, 4.0),
    "camera's elevation, degrees": (-10, 10, 20, 40),
    "facing away from the camera, degrees": (30, 60, 90, 135),
    "knees' bend, degrees": (20, 45, 90),
    "trunk from the vertical, degrees": (20, 40, 70),
    "person's mean lightness, of 255": (50, 75, 100, 130),
    "lightness between person and surroundings": (15, 40, 80),
}


def read_people(folder: Path) -> Iterator[dict[str, np.ndarray]]:
    """The fields FIELDS of each shard of a folder. Raises UserError if there is none."""
    shards = Shards.open(folder)
    if not shards.maps:
        raise UserError(f"There are no shards in {folder}; make some with `python -m lvd_live synth --out {folder}`.")
    for shard in shards.maps:
        yield shards.rows(shard, slice(None), FIELDS)


def distances(rows: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """How far each landmark lies from the truth in the picture, (n, 33), of half a crop; and whether it lies in the
    picture, (n, 33) bool."""
    found, truth = (rows[key].astype(np.float32)[..., :2] for key in ("landmarks", "truth"))
    inside = [in_picture(crop, points) for crop, points in zip(rows["picture"], truth, strict=True)]
    return np.linalg.norm(found - truth, axis=-1), np.stack(inside)


def report(folder: Path) -> list[str]:
    """Lines of a table: the shares of people misread, of all and by camera, pose and looks.

    A person is misread where the landmarks in the picture lie MISREAD from the truth on average, or nobody is found.
    """
    misread, whole, by_all, well, classes = [], [], [], [], []
    for rows in read_people(folder):
        far, inside = distances(rows)
        mean = (far * inside).sum(1) / np.maximum(inside.sum(1), 1)
        lost = ~rows["observed"]
        misread.append((mean > MISREAD) | lost)
        by_all.append((far.mean(1) > MISREAD) | lost)
        well.append((mean < WELL_READ) & ~lost)
        whole.append(inside.all(1))
        classes.append(_classes(rows))
    wrong, complete, everything, right = (np.concatenate(part) for part in (misread, whole, by_all, well))
    sorted_by = {name: np.concatenate([c[name] for c in classes]) for name in _CLASSES}
    lines = ["| people | share, % | misread, % |", "|---|---|---|"]
    lines += [
        _row("all", np.ones(len(wrong), bool), wrong),
        _row("all, landmarks beyond the picture too", wrong >= 0, everything),
    ]
    lines += [_row("whole in the picture", complete, wrong), _row("cut off by its edge", ~complete, wrong)]
    for name, ends in _CLASSES.items():
        for low, high in zip((-np.inf, *ends), (*ends, np.inf), strict=True):
            chosen = complete & (sorted_by[name] >= low) & (sorted_by[name] < high)
            lines.append(_row(f"whole; {name}: {low:g} to {high:g}", chosen, wrong))
    return [*lines, "", f"{len(wrong)} people; well read (under {WELL_READ}): {100 * right.mean():.0f} %."]


def _row(name: str, chosen: np.ndarray, wrong: np.ndarray) -> str:
    share = 100 * wrong[chosen].mean() if chosen.any() else float("nan")
    return f"| {name} | {100 * chosen.mean():.0f} | {share:.1f} |"


def _classes(rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """For each of _CLASSES its quantity, (n,)."""
    R, pose = rows["R"], rows["pose"]
    lightness, person = rows["picture"].mean(3), rows["alpha"] > 127
    around = ~person & rows["picture"].any(3)
    light, dark = ((lightness * m).sum((1, 2)) / np.maximum(m.sum((1, 2)), 1) for m in (person, around))
    upright = (Rotation.from_rotvec(pose[:, 0]) * Rotation.from_rotvec(pose[:, 3])).as_matrix()[:, 1, 1]
    quantities = (
        -rows["t"][:, 2],
        np.degrees(np.arcsin(R[:, 2, 1].clip(-1, 1))),
        np.degrees(np.abs(np.arctan2(R[:, 0, 2], R[:, 2, 2]))),
        np.degrees(np.linalg.norm(pose[:, [4, 5]], axis=-1).mean(1)),
        np.degrees(np.arccos(upright.clip(-1, 1))),
        light,
        np.abs(light - dark),
    )
    return dict(zip(_CLASSES, quantities, strict=True))


def landmark_errors(folder: Path, count: int) -> dict[str, np.ndarray]:
    """The arrays of models/synth/landmark_errors.npz, see `train.lift_noise`, of up to `count` people.

    People who are whole in the picture and whom the finder found; where an edge cuts somebody off, landmarks beyond it
    err by what no one can know. facing : (S,) uint8, of FACINGS.
    """
    parts: list[tuple[np.ndarray, ...]] = []
    for rows in read_people(folder):
        found, truth = (rows[key].astype(np.float64) for key in ("landmarks", "truth"))
        half = np.ptp(truth[..., :2], axis=1).max(1) / 2
        error = np.concatenate([found[..., :2] - truth[..., :2], (found[..., 2] - _nearness(rows))[..., None]], -1)
        error /= half[:, None, None]
        usable = (
            rows["observed"] & distances(rows)[1].all(1) & (np.linalg.norm(error[..., :2], axis=-1).mean(1) < LARGEST)
        )
        left = truth[:, [11, 23]].mean(1) - truth[:, [12, 24]].mean(1)
        turn = np.arctan2(left[:, 2], left[:, 0]) / (2 * np.pi)
        facing = ((turn + 1) * FACINGS + 0.5).astype(int) % FACINGS
        parts.append((error[usable], found[usable, :, 3], facing[usable]))
    error, visibility, facing = (np.concatenate(part)[:count] for part in zip(*parts, strict=True))
    stored = error.astype(np.float16), visibility.astype(np.float16), facing.astype(np.uint8)
    return dict(zip(("error", "visibility", "facing"), stored, strict=True))


def _nearness(rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """True nearness from the hips' middle (D - d) / D, times the focal length: (n, 33), crop units."""
    focal, depth = rows["focal"].astype(np.float64)[:, None], -rows["t"].astype(np.float64)[:, 2:]
    distance = depth * (1 - rows["truth"].astype(np.float64)[..., 2] / focal)
    hips = distance[:, list(HIPS)].mean(1, keepdims=True)
    return focal * (hips - distance) / hips
