"""What the window says in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gui.shading import View
from lvd_live.live import Pipeline

if TYPE_CHECKING:
    from lvd_live.session.recorder import Recorder

TROUBLE = {  # by the pipeline's state
    "stalled": "The camera sends no pictures at the moment; waiting for it.",
    "frozen": "The camera repeats one picture: it may have been unplugged.",
    "reconnecting": "The camera is gone; trying to reach it again.",
}


def facts(title: str, pipeline: Pipeline, view: View | None, latency_ms: float, recorder: Recorder | None) -> list[str]:
    """The status line's parts. title: the input's; view: what is shown, if anything is."""
    parts = [title, pipeline.state]
    if pipeline.newest is not None:
        height, width = pipeline.newest.picture.shape[:2]
        parts.append(f"{width}×{height}")
    if (tracker := pipeline.tracker) is not None:
        parts += [tracker.runtime.provider, f"preset {tracker.runtime.network.preset.name}"]
    if view is not None and (fit := view.of.fit) is not None:
        parts += ["doubtful"] * fit.doubtful + [f"tracked, {fit.iterations} iteration{'s' * (fit.iterations != 1)}"]
    elif view is not None:
        parts.append("lost: nobody found" if view.of.person is None else "lost: the mesh does not settle")
    if pipeline.statistics.results:
        parts += [f"{pipeline.statistics.fits_per_second:.1f} fits/s", f"{latency_ms:.0f} ms", f"{pipeline.dropped} dropped"]
    if recorder is not None:
        parts.append(f"● recording {recorder.seconds:.0f} s, {recorder.dropped} dropped")
    return parts
