"""What the window says in words and figures."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lvd_live.gui.shading import View
from lvd_live.pipeline.live import Pipeline, Result

if TYPE_CHECKING:
    from lvd_live.body.measure import Measurement
    from lvd_live.session.recorder import Recorder

TROUBLE = {  # by the pipeline's state
    "stalled": "The camera sends no pictures at the moment; waiting for it.",
    "frozen": "The camera repeats one picture: it may have been unplugged.",
    "reconnecting": "The camera is gone; trying to reach it again.",
}


class Rate:
    """How fast a count grows."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin with another count."""
        self._last: tuple[int, float] | None = None  # the count and when, seconds

    def __call__(self, count: int) -> float:
        """Per second since the last call, 0 in the first."""
        last, now = self._last, time.monotonic()
        self._last = count, now
        return 0.0 if last is None else (count - last[0]) / (now - last[1])


DROPPED = "Dropped are the frames that the camera gave and that were not fitted; of a take, those that are not in it."


def facts(title: str, pipeline: Pipeline, view: View[Result] | None, latency_ms: float) -> list[str]:
    """The parts of the status line; title : the input's."""
    parts = [title, pipeline.state]
    if pipeline.newest is not None:
        height, width = pipeline.newest.picture.shape[:2]
        parts.append(f"{width}×{height}")
    if (tracker := pipeline.tracker) is not None:
        parts += [tracker.runtime.provider, f"preset {tracker.runtime.network.preset.name}"]
    if view is not None:
        parts.append(_tracked(view.of))
    if pipeline.statistics.results:
        speed = f"{pipeline.statistics.fits_per_second:.1f} fits/s"
        parts += [speed, f"{latency_ms:.0f} ms", f"{pipeline.dropped} dropped"]
    return parts


def recording_text(recorder: Recorder | None) -> str:
    """How far a recording is, "" where none runs."""
    if recorder is None:
        return ""
    return f"● recording {recorder.seconds:.0f} s, {recorder.frames} frames, {recorder.lost} dropped"


def _tracked(result: Result) -> str:
    if result.fit is not None:
        doubtful = "doubtful, " if result.fit.doubtful else ""
        text = f"{doubtful}tracked, {result.fit.iterations} iteration{'s' * (result.fit.iterations != 1)}"
        if result.person is not None and result.person.hands is not None:
            left, right = result.person.hand_words
            text += f", left hand {left}, right hand {right}"
        return text
    return "lost: nobody found" if result.person is None else "lost: the mesh does not settle"


def measurement_table(found: Mapping[str, Measurement], height_is_known: bool) -> str:
    """Measurements of the person as rich text, "" where there are none."""
    if not found:
        return ""
    rows = "".join(
        f"<tr><td>{name.replace('_', ' ')}&nbsp;&nbsp;</td><td align=right>{m.cm:.0f} cm</td></tr>"
        for name, m in found.items()
    )
    return f"<table>{rows}</table>" + ("" if height_is_known else "<br><i>the scale is a guess: set the height</i>")


def time_text(seconds: float) -> str:
    """Minutes and seconds, as m:ss."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
