"""What the window says of the tracking: status, trouble, measurements, plots."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QLabel, QSizePolicy

from lvd_live.gui.language import tr
from lvd_live.gui.live_tracking import LiveTracking
from lvd_live.gui.page import Page
from lvd_live.gui.status import DROPPED, TROUBLE, Rate, facts, measurement_table, staleness
from lvd_live.pipeline.live import Pipeline

NOTHING = "Nothing to show. Choose another camera, drop a video, or press Demo."


class Figures:
    """Shows on the page, and in a label, how the tracking goes.

    status : the label.
    say : shows a sentence for a while.
    """

    def __init__(self, page: Page, tracking: LiveTracking, say: Callable[[str], object]):
        self._page, self._tracking, self._say = page, tracking, say
        self._dropped = Rate()
        self.status = QLabel()
        self.status.setToolTip(tr(DROPPED))
        self.status.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)  # cut off where too long

    def forget(self) -> None:
        """Begin with another input."""
        self._dropped.reset()

    def refresh(self) -> None:
        """Bring all up to date."""
        pipeline = self._tracking.pipeline
        if pipeline is None:
            self.status.setText(tr("Nothing is open."))
            return
        self._show_trouble(pipeline)
        self.name_colours()
        self._show_figures(pipeline)

    def name_colours(self) -> None:
        """Say what the mesh's colours mean."""
        tracker = self._tracking.tracker
        self._page.name_colours(tracker is not None and bool(tracker.calibration))

    def _show_trouble(self, pipeline: Pipeline) -> None:
        self._page.warn(pipeline.problem or tr(TROUBLE.get(pipeline.state, "")))
        self._page.show_stale(staleness(pipeline, self._page.view))
        if notice := pipeline.take_notice():
            self._say(notice)
        if pipeline.problem and self._page.view is None:
            self._page.show_hint(tr(NOTHING))

    def _show_figures(self, pipeline: Pipeline) -> None:
        page, measurer = self._page, self._tracking.measurer
        if measurer is not None:
            table = measurement_table(measurer.latest, page.controls.height_field.confirmed)
            page.controls.measurements.setText(table)
        statistics, latency = pipeline.statistics, page.latency_ms
        page.spares_space = "3D view" in pipeline.budget.left_out
        fit = None if page.view is None else page.view.of.fit
        steps, dropped = () if fit is None else fit.steps, self._dropped(pipeline.dropped)
        page.plots.refresh(statistics.stages, steps, fits=statistics.fits_per_second, latency=latency, dropped=dropped)
        self.status.setText("  ·  ".join(facts(self._tracking.title, pipeline, page.view, latency)))
