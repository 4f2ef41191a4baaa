"""What the window says in words and figures."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lvd_live.gui.language import tr
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


def staleness(pipeline: Pipeline, view: View[Result] | None) -> str:
    """What to say over a picture and a mesh that are not of now; "" where they are."""
    state = pipeline.state
    if view is None or not pipeline.live or (state not in TROUBLE and state not in ("retrying", "failed")):
        return ""
    if state == "frozen":
        return tr("Not live: the camera repeats this picture")
    return tr("Not live: {:.0f} s old").format((time.monotonic_ns() - view.of.captured_ns) / 1e9)


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
    parts = [title, tr(pipeline.state)]
    if pipeline.newest is not None:
        height, width = pipeline.newest.picture.shape[:2]
        parts.append(f"{width}×{height}")
    if (tracker := pipeline.tracker) is not None:
        parts += [tracker.runtime.provider, f"preset {tracker.runtime.network.preset.name}"]
    if view is not None:
        parts.append(_tracked(view.of))
        if tracker is not None and not tracker.options.hands:
            parts.append(tr("hands off"))
    if pipeline.statistics.results:
        speed = tr("{:.1f} fits/s").format(pipeline.statistics.fits_per_second)
        parts += [speed, f"{latency_ms:.0f} ms", tr("{} dropped").format(pipeline.dropped)]
    if pipeline.budget.level:
        parts.append(left_out_text(pipeline.budget.left_out))
    return parts


def left_out_text(names: Sequence[str]) -> str:
    """What is left out to keep up; names : of `budget.ORDER`."""
    said = {
        "uncertainty": tr("no uncertainty"),
        "outline": tr("no outline"),
        "3D view": tr("3D view slower"),
        "person finder": tr("person looked for in every other frame"),
    }
    return tr("to keep up: {}").format(", ".join(said[name] for name in names))


def recording_text(recorder: Recorder | None) -> str:
    """How far a recording is, "" where none runs."""
    if recorder is None:
        return ""
    later = tr(" ({} to be fitted afterwards)").format(recorder.unfitted) if recorder.unfitted else ""
    begin = tr("● recording {:.0f} s, {} frames").format(recorder.seconds, recorder.frames)
    return begin + later + tr(", {} dropped").format(recorder.lost)


def _tracked(result: Result) -> str:
    if result.fit is not None:
        doubtful = tr("doubtful, ") if result.fit.doubtful else ""
        tracked = tr("tracked, {} iteration" if result.fit.iterations == 1 else "tracked, {} iterations")
        text = doubtful + tracked.format(result.fit.iterations)
        if result.person is not None and result.person.hands is not None:
            left, right = map(tr, result.person.hand_words)
            text += tr(", left hand {}, right hand {}").format(left, right)
        return text
    return tr("lost: nobody found" if result.person is None else "lost: the mesh does not settle")


def measurement_table(found: Mapping[str, Measurement], height_is_known: bool) -> str:
    """Measurements of the person as rich text, "" where there are none."""
    if not found:
        return ""
    rows = "".join(
        f"<tr><td>{tr(name.replace('_', ' '))}&nbsp;&nbsp;</td><td align=right>{m.cm:.0f} cm</td>"
        f"<td align=right>{_error(m.error)}</td></tr>"
        for name, m in found.items()
    )
    return f"<table>{rows}</table>" + (
        "" if height_is_known else f"<br><i>{tr('the scale is a guess: set the height')}</i>"
    )


def _error(cm: float) -> str:
    """The error to expect, "" where the length was given."""
    return f"&nbsp;± {cm:.0f}" if cm >= 0.5 else ""


def time_text(seconds: float) -> str:
    """Minutes and seconds, as m:ss."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
