"""The report's sections on real people."""

from __future__ import annotations

from pathlib import Path

from lvd_live.evaluate.real import TIGHT, Score, groups, inputs, is_clip, mean_score, score
from lvd_live.evaluate.report.document import Report
from lvd_live.evaluate.steadiness import steadiness
from lvd_live.evaluate.views import compare
from lvd_live.lift.finder import make_blazepose
from lvd_live.lvd.presets import CONDITIONING
from lvd_live.person.quality import Quality
from lvd_live.person.types import PersonFinder
from lvd_live.tracking.options import TrackerOptions
from lvd_live.tracking.tracker import Tracker


def report_real(report: Report, options: TrackerOptions, folder: Path, models: Path) -> None:
    """Figures of the clips and pictures in a folder, by conditioning, and the clips' jitter.

    options : of the trackers, but for the conditioning. models : the folder with the finder's networks.
    """
    finder, paths, rows = make_blazepose(Quality(), models), inputs(folder), []
    for kind in CONDITIONING:
        tracker = Tracker.load(options, conditioning=kind)
        scores = [score(path, finder, tracker, None, []) for path in paths]
        for title, group in groups(scores, ", ".join(TIGHT)).items():
            rows.append((kind, title, *_cells(mean_score(title, group))))
    report.say(
        "## Real pictures",
        "Silhouette against the finder's mask, the limbs' joints against its landmarks (% of the person's height in "
        "the picture); means over files. The mesh is the one that is shown: its limbs have been brought onto the "
        "outline of the mask that the IoU is measured against.",
    )
    report.table("real", ("told", "group", "tracked", "IoU", "joints, %", "own landmarks, %"), rows)
    _report_jitter(report, options, paths, finder)


def _cells(s: Score) -> tuple[str, float, float, float]:
    return f"{s.tracked}/{s.frames}", s.iou, 100 * s.joints, 100 * s.landmarks


def _report_jitter(report: Report, options: TrackerOptions, paths: list[Path], finder: PersonFinder) -> None:
    warm, cold = Tracker.load(options), Tracker.load(options, iterations=8)
    rows = [
        (path.name, way, s.vertices, s.joints, s.lag)
        for path in paths
        if is_clip(path)
        for way, s in steadiness(path, finder, warm, cold).items()
    ]
    report.say(
        "Jitter (second difference about the pelvis) of every frame fitted from a point with 8 iterations (cold), "
        "from the last mesh (warm), and warm with the One-Euro filter low and high:"
    )
    report.table("jitter", ("clip", "way", "vertices, mm/frame²", "joints, mm/frame²", "lag, frames"), rows)


def report_views(report: Report, options: TrackerOptions, folder: Path, models: Path) -> None:
    """Real people with 3D truth, see `views`. The arguments are those of `report_real`."""
    report.say(
        "## Real people with 3D truth",
        "The mesh's own landmarks against true joints. PA: after the similarity transform of each frame that brings "
        "them closest; root-aligned: hips on hips, scaled, not turned, which shows leaning. Camera known: the mesh "
        "placed by the true camera instead of the assumed field of view. Exchanged: frames nearer to the truth with "
        "left and right exchanged, in space (also where depth alone is inverted) and in the picture. Jitter: second "
        "difference of the joints about the hips, no filter. Means over the views.",
    )
    finder = make_blazepose(Quality(), models)
    tables = compare(folder, options.preset, weights=options.weights, finder=finder)
    for name, (header, rows) in tables.items():
        report.table(name, header, rows)
