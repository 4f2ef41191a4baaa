"""What runs behind the window while it tracks: the pipeline, and all that its results go to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Protocol

from PySide6.QtCore import QObject, Signal

from lvd_live.gui.completing import Completer
from lvd_live.gui.inputs import Input
from lvd_live.gui.language import tr
from lvd_live.gui.painter import Look, Painter
from lvd_live.gui.recording import Recording
from lvd_live.gui.vmc import VmcLink
from lvd_live.pipeline.budget import BUDGET_MS
from lvd_live.pipeline.live import Pipeline, Result
from lvd_live.pipeline.measuring import Measurer
from lvd_live.tracking.options import TrackerOptions

if TYPE_CHECKING:
    from lvd_live.person.types import PersonFinder
    from lvd_live.pipeline.observer import Observer
    from lvd_live.tracking.tracker import Tracker


class Closable(Protocol):
    """What has threads to end."""

    def close(self) -> None: ...


class LiveTracking(QObject):
    """Tracks one input at a time; its results are painted, recorded, measured and observed.

    make_finder, make_tracker : called in the pipeline's threads.
    options : of the tracker, where `choose` changes nothing.
    choose : changes options to what is chosen in the window.
    on_fit : called with every result, see `Observer`.

    drawn : a new View to be shown.
    input, pipeline, painter, measurer : of what is tracked, or None. budget_ms : of the next one, see `Pipeline`.
    watchers : called with every result in the fit's thread; must be quick.
    recording, vmc : where its results go, too. completer : fits what a recording had no time for.
    """

    drawn = Signal(object)
    _painted = Signal(object)

    def __init__(
        self,
        make_finder: Callable[[], PersonFinder],
        make_tracker: Callable[[TrackerOptions], Tracker],
        *,
        options: TrackerOptions,
        choose: Callable[[TrackerOptions], TrackerOptions],
        on_fit: Sequence[Observer] = (),
        parent: QObject | None = None,
    ):
        super().__init__(parent)
        self.make_finder, self._make_tracker = make_finder, make_tracker
        self._options, self._choose, self._on_fit = options, choose, on_fit
        self.input: Input | None = None
        self.budget_ms = BUDGET_MS
        self.pipeline: Pipeline | None = None
        self.painter: Painter | None = None
        self.measurer: Measurer | None = None
        self.recording, self.vmc = Recording(), VmcLink(self)
        self.completer = Completer(make_finder, make_tracker, options, self)
        self.watchers: list[Callable[[Result], object]] = []
        self._adjusted: Tracker | None = None  # the tracker that has the options chosen
        self._painted.connect(self._pass_on)

    @property
    def tracker(self) -> Tracker | None:
        """The tracker, once it is loaded."""
        return None if self.pipeline is None else self.pipeline.tracker

    @property
    def title(self) -> str:
        """The input's, or ""."""
        return "" if self.input is None else self.input.title

    def make_chosen_tracker(self) -> Callable[[], Tracker]:
        """What makes a tracker with the options that are chosen now."""
        return partial(self._make_tracker, self._choose(self._options))

    def open(self, chosen: Input, look: Look) -> None:
        """Track from `chosen`, instead of what was tracked before."""
        self.close(wait=False, why=tr("The recording ended because another input was opened."))
        self.input = chosen
        self.pipeline = Pipeline(
            chosen.open,
            self.make_finder,
            self.make_chosen_tracker(),
            live=chosen.kind == "camera",
            stills=chosen.kind == "images",
            on_result=self._on_result,
            budget_ms=self.budget_ms,
            on_frame=self.recording.see,
        )
        self.painter = Painter(self.pipeline, look, self._painted.emit)

    def close(self, wait: bool = True, why: str = "") -> None:
        """End recording and pipeline.

        wait : until their threads have ended, or for about a second.
        why : a sentence why the recording ends.
        """
        self.stop_recording(why)
        parts = [part for part in (self.measurer, self.painter, self.pipeline) if part is not None]
        self.measurer = self.painter = self.pipeline = None
        if wait:
            self.vmc.switch_off()
            self.completer.close()
            _close(parts)
        else:  # a camera or a model that takes its time must not hold the window
            threading.Thread(target=_close, args=(parts,), name="closer", daemon=True).start()

    def use_look(self, look: Look) -> None:
        """Draw the mesh in another way."""
        if self.painter is not None:
            self.painter.look = look

    def use_options(self) -> None:
        """Set the tracker's options to those chosen. A recording has one set of options: it ends where they change."""
        if (tracker := self.tracker) is None:
            return
        before, tracker.options = tracker.options, self._choose(tracker.options)
        if changed := [field.name for field in fields(before) if _differ(before, tracker.options, field.name)]:
            names = ", ".join(tr(name.replace("_", " ")) for name in changed)
            self.stop_recording(tr("The recording ended because another {} was chosen.").format(names))
        if tracker.options.height != before.height and self.measurer is not None:
            self.measurer.rescale()

    def use_preset(self) -> None:
        """Go on with the network chosen."""
        if self.pipeline is not None:
            self.stop_recording(tr("The recording ended because another network was chosen."))
            self.vmc.forget()  # another shape, another floor
            self.pipeline.use(self.make_chosen_tracker())

    def pause(self, on: bool) -> None:
        """Have capture wait, or go on."""
        if self.pipeline is not None:
            self.pipeline.paused = on

    def reset(self) -> None:
        """Forget person, mesh and measurements."""
        if self.pipeline is not None:
            self.pipeline.reset()
        if self.measurer is not None:
            self.measurer.forget()
        self.vmc.forget()

    def stop_recording(self, why: str = "") -> None:
        """End the recording, if one runs; why : a sentence, "" where the user wants it."""
        self.recording.stop({} if self.measurer is None else self.measurer.latest, why)

    def look_after(self, measuring: bool) -> None:
        """Do what a new tracker, trouble of the recorder or the choice to measure asks for; to be called now and then.

        measuring : whether the person is to be measured.
        """
        tracker, recorder = self.tracker, self.recording.recorder
        if tracker is not self._adjusted:  # what was chosen while it was made
            self._adjusted = tracker
            self.use_options()
        if recorder is not None and recorder.problem:
            self.stop_recording()
        elif recorder is not None and self.pipeline is not None and self.pipeline.is_over:
            self.stop_recording(self.pipeline.problem or tr("The recording ended because there are no more pictures."))
        self.vmc.look_after(tracker)
        if self.pipeline is None or tracker is None:
            return
        if self.measurer is None and not self.pipeline.stills:
            self.measurer = Measurer(tracker)
        if self.measurer is not None:
            self.measurer.tracker, self.measurer.on = tracker, measuring

    def _on_result(self, result: Result) -> None:
        """Called in the fit's thread."""
        self.recording.add(result)
        self.vmc.offer(result.fit)
        for watch in self.watchers:
            watch(result)
        for observe in self._on_fit:
            observe(result.frame, result.person, result.fit)
        if (measurer := self.measurer) is not None:
            measurer.offer(result.fit)

    def _pass_on(self, painter: Painter) -> None:
        """In the window's thread: the newest view, unless its painter was closed meanwhile."""
        view = painter.views.take(0) if painter is self.painter else None
        if view is not None:
            self.drawn.emit(view)


def _differ(a: TrackerOptions, b: TrackerOptions, name: str) -> bool:
    return getattr(a, name) != getattr(b, name)


def _close(parts: Sequence[Closable]) -> None:
    for part in parts:
        part.close()
