"""Of the live pipeline: from the person found to what the fit takes; in the fit's thread, or ahead of it in its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from lvd_live.errors import UserError
from lvd_live.memory import without_collector
from lvd_live.pipeline.items import Found, Ready
from lvd_live.pipeline.lead import Lead
from lvd_live.pipeline.slot import Slot
from lvd_live.threads import limit_threads, network_threads

if TYPE_CHECKING:
    from lvd_live.tracking.tracker import Tracker


class LiveEncoder:
    """Makes the tracker, then encodes what is in `found`, each as late as the next fit allows, until `stop` is set.

    lead : is told how long a frame keeps the finder waiting. ahead : `run` has a thread of its own. live : see
    `Pipeline`. stills : the frames have nothing to do with each other.

    tracker : once there is one. notice : why the last `use` changed nothing, or "".
    """

    def __init__(
        self,
        found: Slot[Found],
        make_tracker: Callable[[], Tracker],
        lead: Lead,
        stop: threading.Event,
        *,
        live: bool,
        stills: bool,
        ahead: bool,
    ):
        self._found, self._make_tracker, self._lead, self._stop = found, make_tracker, lead, stop
        self._live, self._stills, self.ahead = live, stills, ahead
        self.tracker: Tracker | None = None
        self.notice = ""
        self._renew, self._forget = threading.Event(), threading.Event()
        self._ready: Slot[Ready] = Slot(newest=False)
        self._own_lead = Lead()

    def use(self, make_tracker: Callable[[], Tracker]) -> None:
        """Go on with another tracker from the next frame on; where making it fails the old one stays: see `notice`."""
        self._make_tracker, self.notice = make_tracker, ""
        self._renew.set()

    def forget(self) -> None:
        """Begin the next frame anew."""
        self._forget.set()

    def close(self) -> None:
        """Wake all that wait."""
        self._ready.close()

    def run(self) -> None:
        """Encode frame after frame for `frames`, in another thread."""
        all(map(self._ready.put, self._encoded()))
        self._ready.close()

    def frames(self) -> Iterator[Ready]:
        """What is to be fitted, in order; each is taken to be fitted when the next one is asked for."""
        if not self.ahead:
            yield from self._encoded()
            return
        while (ready := self._ready.take()) is not None:
            began = time.perf_counter()
            yield ready
            if _is_warm(ready):
                self._own_lead.fitted(time.perf_counter() - began)

    def _encoded(self) -> Iterator[Ready]:
        with without_collector():
            limit_threads(network_threads())
            self.tracker = self._make_tracker()
        shape: tuple[int, ...] | None = None
        anew, began = True, None
        while self._wait():
            if began is not None:
                self._lead.fitted(time.perf_counter() - began)
            if (item := self._found.take()) is None:
                return
            began, picture = time.perf_counter(), item.frame.picture
            if self._renew.is_set():
                self._renew.clear()
                anew |= self._replace_tracker()
            anew |= self._stills or item.person is None or item.frame.new_shot or picture.shape != shape
            if self._forget.is_set():
                self._forget.clear()
                anew = True
            shape, encoded = picture.shape, None
            if item.person is not None:
                encoded, anew = self.tracker.encode(item.frame, item.person, anew=anew), False
            ready = Ready(item, self.tracker, encoded)
            self._own_lead.found(time.perf_counter() - began)
            yield ready
            if not _is_warm(ready):
                began = None

    def _wait(self) -> bool:
        """Wait, working ahead, until the fit has taken the last frame, and of a camera longer; False: it is to end."""
        if self.ahead:
            self._ready.wait_free()
            if self._live:
                self._stop.wait(self._own_lead.wait_s)
        return not self._stop.is_set()

    def _replace_tracker(self) -> bool:
        """Whether there is another one now."""
        try:
            self.tracker = self._make_tracker()
        except UserError as error:
            self.notice = str(error)
            return False
        return True


def _is_warm(ready: Ready) -> bool:
    """A search and a cold start take their time."""
    return ready.encoded is not None and not ready.encoded.anew
