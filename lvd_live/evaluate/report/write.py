"""The report as a whole: which sections, in which order."""

from __future__ import annotations

import logging
from pathlib import Path

from lvd_live.evaluate.regressor import Regressor
from lvd_live.evaluate.report.document import Report
from lvd_live.evaluate.report.real import report_real, report_views
from lvd_live.evaluate.report.shape import report_shape
from lvd_live.evaluate.report.subject import Subject
from lvd_live.evaluate.report.synthetic import (
    report_accuracy,
    report_convergence,
    report_robustness,
    report_uncertainty,
)
from lvd_live.paths import MODELS
from lvd_live.synth.dataset import Shards
from lvd_live.tracking.options import TrackerOptions
from lvd_live.tracking.tracker import Tracker

log = logging.getLogger(__name__)


def write_report(
    folder: Path,
    options: TrackerOptions,
    shards: Shards,
    *,
    regressor: Regressor | None = None,
    real: Path | None = None,
    views: Path | None = None,
    ablations: str = "",
    models: Path = MODELS,
    count: int = 2048,
) -> None:
    """Run all experiments and write them to `folder`.

    options : of the tracker, without uncertainty. shards, count : held-out people, see `Subject`.
    regressor : a trained baseline, or None. real : a folder of clips and pictures, views : a folder of views with 3D
    truth; or None.
    ablations : what `python -m lvd_live ablate` wrote, or "".
    Raises UserError without matplotlib or trimesh.
    """
    tracker = Tracker.load(options)
    report = Report(folder, f"LVD Live, preset {options.preset}")
    subject = Subject(tracker, shards, count, regressor, models)
    report.say(
        f"Weights {tracker.describe()['weights'].get('sha256', '')[:16]}. Held-out synthetic people (identities, "
        f"clothes' fits and clips never trained on): {count} pictures."
    )
    log.info("accuracy …")
    v2s = report_accuracy(report, subject)
    log.info("shape …")
    report_shape(report, subject, v2s)
    log.info("convergence …")
    report_convergence(report, subject)
    log.info("robustness …")
    report_robustness(report, subject)
    log.info("certainty …")
    report_uncertainty(report, subject)
    if real is not None:
        log.info("real …")
        report_real(report, options, real, models)
    if views is not None:
        log.info("views …")
        report_views(report, options, views, models)
    if ablations:
        report.say("## What the error hangs on", *ablations.splitlines())
