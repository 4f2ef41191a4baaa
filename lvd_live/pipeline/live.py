"""The live pipeline: capture, person, encoder and fit in threads of their own, the newest frame wins. Knows no window.

    source ──▶ slot ──▶ person ──▶ slot ──▶ encoder ──▶ slot ──▶ fit ──▶ `take`

While frame t is fitted, t + 1 is encoded, the person is found in t + 2 and t + 3 is captured. A slot holds one item.
With few cores (`threads.encodes_ahead`) encoder and fit share a thread: with a frame more on its way each would be
older and come no sooner. A camera's newest frame replaces the one that nobody took, which is counted; a file waits, and
is played no faster than its own pace. The person is looked for only when the encoder has taken the last one, and of a
camera only just in time (`Lead`): none is found in vain, no picture lies about, and every Person.is_new reaches the
tracker.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from lvd_live.errors import UserError
from lvd_live.person.types import PersonFinder, look_for_hands
from lvd_live.pipeline.budget import BUDGET_MS, Budget
from lvd_live.pipeline.items import Captured, Found, Result
from lvd_live.pipeline.lead import Lead
from lvd_live.pipeline.live_encoder import LiveEncoder
from lvd_live.pipeline.pace import Pace
from lvd_live.pipeline.slot import Slot
from lvd_live.pipeline.sparing import SparingFinder
from lvd_live.pipeline.statistics import Statistics
from lvd_live.sources.camera import CameraSource
from lvd_live.sources.frame import Frame, Source
from lvd_live.threads import encodes_ahead

if TYPE_CHECKING:  # torch takes its time to import: the fit's thread does it, behind the first pictures
    from lvd_live.tracking.tracker import Tracker

log = logging.getLogger(__name__)

RETRY_S = 2.0  # between attempts to open a camera


class Pipeline:
    """Runs from the moment it is made until `close`.

    open_source, make_finder, make_tracker : called in the pipeline's threads, so that nothing waits for a camera or for
    models. live : the source is a camera. stills : its pictures have nothing to do with each other; cold starts.
    on_result : called in the fit's thread with every Result, in the order of the frames. on_frame : called in the
    camera's thread with every Frame, those too that nobody has time for, but while it is paused. Both must be quick.
    budget_ms : of a camera, what a fit may take from the capture; where it takes longer, something is left out.
    ahead : encode the next frame while one is fitted; by default where there are cores enough.

    newest : the newest Frame captured, before anything else is known of it. source, finder, tracker : once there is
    one. problem : the sentence why nothing comes any more, or "".
    budget : says what is left out to keep up. ended : the source has no more. paused : capture waits; `step` lets one
    frame pass.
    """

    def __init__(
        self,
        open_source: Callable[[], Source],
        make_finder: Callable[[], PersonFinder],
        make_tracker: Callable[[], Tracker],
        *,
        live: bool,
        stills: bool = False,
        on_result: Callable[[Result], object] = lambda _: None,
        budget_ms: float = BUDGET_MS,
        on_frame: Callable[[Frame], object] = lambda _: None,
        ahead: bool | None = None,
    ):
        self._open_source, self._make_finder = open_source, make_finder
        self._on_result, self._on_frame = on_result, on_frame
        self.live, self.stills, self.statistics = live, stills, Statistics()
        self.budget, self._lead = Budget(budget_ms), Lead()
        self.newest: Frame | None = None
        self.source: Source | None = None
        self.finder: PersonFinder | None = None
        self.ended = False
        self._failure = self._absence = ""  # why all ended; why the camera cannot be opened yet
        self._captured: Slot[Captured] = Slot(newest=live)
        self._found: Slot[Found] = Slot(newest=False)
        self._fitted: Slot[Result] = Slot(newest=True)
        self._stop, self._go, self._single, self._forget_person = (threading.Event() for _ in range(4))
        self._go.set()
        ahead = encodes_ahead() if ahead is None else ahead
        self._encoder = LiveEncoder(
            self._found, make_tracker, self._lead, self._stop, live=live, stills=stills, ahead=ahead
        )
        names = ["capture", "find", *["encode"] * ahead, "fit"]
        works = [self._capture, self._find, *[self._encoder.run] * ahead, self._fit]
        self.threads = [
            threading.Thread(target=self._guard, args=(work,), name=name, daemon=True)
            for name, work in zip(names, works, strict=True)
        ]
        for thread in self.threads:
            thread.start()

    def take(self, timeout_s: float = 0.0) -> Result | None:
        """The newest result that was not taken yet, waiting for one up to timeout_s seconds."""
        return self._fitted.take(timeout_s)

    def reset(self) -> None:
        """Forget person and mesh."""
        self._forget_person.set()
        self._encoder.forget()

    def use(self, make_tracker: Callable[[], Tracker]) -> None:
        """Go on with another tracker, made in the encoder's thread; if that fails the old one stays: `take_notice`."""
        self._encoder.use(make_tracker)

    @property
    def tracker(self) -> Tracker | None:
        return self._encoder.tracker

    def take_notice(self) -> str:
        """Why the last `use` changed nothing, once; or ""."""
        notice, self._encoder.notice = self._encoder.notice, ""
        return notice

    @property
    def problem(self) -> str:
        return self._failure or self._absence

    @property
    def paused(self) -> bool:
        return not self._go.is_set()

    @paused.setter
    def paused(self, value: bool) -> None:
        (self._go.clear if value else self._go.set)()

    def step(self) -> None:
        """Let one frame pass, and stay paused."""
        self.paused = True
        self._single.set()

    @property
    def is_over(self) -> bool:
        """Whether no result comes any more: the source had no more, or something failed."""
        return not self.threads[-1].is_alive()

    @property
    def dropped(self) -> int:
        """Frames that arrived and were not fitted."""
        return self._captured.dropped + (self.source.dropped if self.source is not None else 0)

    @property
    def state(self) -> str:
        """In a word: "opening", "retrying" (to open a camera), "loading" (models), "running", "paused", "ended",
        "failed", or what the camera says: "stalled", "frozen", "reconnecting"."""
        if self._failure:
            return "failed"
        if self._absence:
            return "retrying"
        if self.source is None:
            return "opening"
        if self.source.state != "running" and not self._stop.is_set():
            return self.source.state
        if self.ended:
            return "ended"
        return "loading" if self.tracker is None else "paused" if self.paused else "running"

    def close(self, timeout_s: float = 0.7) -> None:
        """Stop and give the source back. A camera that hangs is left to its thread."""
        self._stop.set()
        self._go.set()
        if self.live and self.source is not None:  # ends the wait for a picture; a driver that hangs must not hold us
            threading.Thread(target=self.source.close, daemon=True).start()
        for part in (self._captured, self._found, self._encoder, self._fitted):
            part.close()
        end = time.monotonic() + timeout_s
        for thread in self.threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, end - time.monotonic()))

    def _guard(self, work: Callable[[], None]) -> None:
        """Run a thread's work; what goes wrong becomes `problem`, and the rest of the pipeline ends."""
        try:
            work()
        except UserError as error:
            self._failure = self._failure or str(error)
        except Exception as error:
            log.exception("the %s thread failed", threading.current_thread().name)
            self._failure = self._failure or (
                f"The program failed while it worked on a frame ({type(error).__name__}: {error}); "
                "start again, and report this if it happens again."
            )
        if self._failure:
            for part in (self._captured, self._found, self._encoder):
                part.close()

    def _capture(self) -> None:
        with self._opened() as source:
            self.source = source
            if isinstance(source, CameraSource):
                source.on_frame = self._see
            frames, pace = iter(source), Pace()
            while not self._stop.is_set():
                if not self._go.wait(0.05) and not self._single.is_set():
                    continue
                frame = next(frames, None)
                if frame is None or (not self.live and self._stop.wait(pace.wait_s(frame.timestamp_ns))):
                    break
                self._single.clear()
                self.newest = frame
                captured_ns = frame.timestamp_ns if self.live else time.monotonic_ns()
                if not self._captured.put(Captured(frame, captured_ns)):
                    break
        self.ended = True
        if not self.live:  # the last frame is still on its way
            self._captured.put(None)
        self._captured.close()

    def _see(self, frame: Frame) -> None:
        """Called in the camera's thread."""
        if self._go.is_set() or self._single.is_set():
            self._on_frame(frame)

    def _opened(self) -> Source:
        """The source. A camera that is absent or busy is tried again and again; `problem` says so meanwhile."""
        while True:
            try:
                source = self._open_source()
                self._absence = ""
                return source
            except UserError as error:
                if not self.live or self._stop.is_set():
                    raise
                self._absence = str(error)
                self._stop.wait(RETRY_S)

    def _find(self) -> None:
        self.finder = self._make_finder()
        finder = SparingFinder(self.finder, self.budget)
        shape: tuple[int, ...] | None = None
        while not self._stop.is_set():
            self._found.wait_free()
            if self.live and self._stop.wait(self._lead.wait_s):
                break
            item = self._captured.take()
            if item is None:
                break
            picture = item.frame.picture
            new = item.frame.new_shot or picture.shape != shape
            if self._forget_person.is_set() or new or self.stills:
                self._forget_person.clear()
                shape = picture.shape
                finder.reset()
            if self.tracker is not None:
                look_for_hands(self.finder, self.tracker.options.hands)
            began = time.perf_counter()
            person = finder.find(picture)
            self._lead.found(seconds := time.perf_counter() - began)
            milliseconds = 1000 * seconds
            if not self._found.put(Found(item.frame, item.captured_ns, person, milliseconds)):
                break
        if not self.live:
            self._found.put(None)
        self._found.close()

    def _fit(self) -> None:
        for ready in self._encoder.frames():
            found, tracker = ready.found, ready.tracker
            tracker.left_out = self.budget.left_out
            fit = None if ready.encoded is None else tracker.fit(ready.encoded)
            stages = {"person": found.milliseconds, **(fit.milliseconds if fit is not None else {})}
            result = Result(found.frame, found.person, fit, found.captured_ns, time.monotonic_ns(), stages)
            self.statistics.add(result.captured_ns, result.done_ns, stages)
            if self.live and fit is not None and not fit.cold:
                self.budget.note((result.done_ns - result.captured_ns) / 1e6, result.done_ns / 1e9)
            self._on_result(result)
            self._fitted.put(result)
