"""`main.py --camera URL --benchmark SECONDS`: how many fits the window shows a second, how late, and at what cost."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QTimer

if TYPE_CHECKING:
    from lvd_live.gui.window import MainWindow
    from lvd_live.pipeline.live import Pipeline

PATIENCE_S = 5.0  # for threads to end
FIRST_MESH_S = 60.0  # until then there must be one
LOOK_MS = 50
MINUTE_S = 60.0


@dataclass(frozen=True)
class _Start:
    """The counts at the first mesh; at : when, time.monotonic(). cpu : seconds by thread."""

    at: float
    displayed: int
    dropped: int
    cpu: Mapping[str, float]
    memory_mb: float | None


@dataclass(frozen=True)
class _Minute:
    """How a minute went. threads : of the process. handles : files, sockets and the like that it has open."""

    fits: int
    late_ms: float
    memory_mb: float | None
    threads: int | None
    handles: int | None


class Benchmark:
    """Waits for the first mesh, counts for `seconds`, and closes the window; `report` prints, once it is closed. Of a
    run of minutes, each of them is told: what grows shows."""

    def __init__(self, window: MainWindow, seconds: float):
        self.window, self.seconds = window, seconds
        self._opened = time.monotonic()
        self._first_picture_s: float | None = None  # since the process began
        self._start: _Start | None = None
        self._minutes: list[_Minute] = []
        self._counted = 0, 0  # fits and latencies before this minute
        self._lines: list[str] = []
        self._threads = set(threading.enumerate())
        self._clock = QTimer(window)
        self._clock.setInterval(LOOK_MS)
        self._clock.timeout.connect(self._look)
        self._clock.start()

    def _look(self) -> None:
        page, pipeline = self.window.page, self.window.tracking.pipeline
        if self._first_picture_s is None and page.picture.picture is not None:
            self._first_picture_s = process_seconds()
        if self._start is None:
            if pipeline is not None and page.view is not None and page.view.mesh is not None:
                page.picture.latencies_ms = deque(maxlen=1_000_000)
                now, memory_mb = time.monotonic(), resident_mb()
                self._start = _Start(now, page.displayed, pipeline.dropped, cpu_seconds(), memory_mb)
                self._counted = page.displayed, 0
            elif time.monotonic() - self._opened > FIRST_MESH_S:
                why = pipeline.problem if pipeline else "Nothing was opened: name a --camera."
                self._end([f"There was no mesh within {FIRST_MESH_S:.0f} s. {why}"])
        elif pipeline is not None:
            passed = time.monotonic() - self._start.at
            if passed >= MINUTE_S * (len(self._minutes) + 1):
                self._note_minute()
            if passed >= self.seconds or pipeline.state in ("ended", "failed"):
                self._end(self._figures(self._start, passed, pipeline))

    def _note_minute(self) -> None:
        fits, counted = self._counted
        page, latencies = self.window.page, list(self.window.page.picture.latencies_ms)
        self._counted = page.displayed, len(latencies)
        late = float(np.percentile(latencies[counted:] or [np.nan], 95))
        counts = count_entries("task"), count_entries("fd")
        self._minutes.append(_Minute(page.displayed - fits, late, resident_mb(), *counts))

    def _of_minutes(self) -> list[str]:
        """A table, and what grew since the first minute."""
        if len(self._minutes) < 2:
            return []
        lines = ["minute  fits/s  latency 95 %, ms  memory, MB  threads  handles"]
        for i, m in enumerate(self._minutes, 1):
            counts = (f"{'?' if x is None else format(x, '.0f'):>{n}}" for x, n in
                      ((m.memory_mb, 10), (m.threads, 7), (m.handles, 7)))  # fmt: skip
            lines.append(f"{i:>6}  {m.fits / MINUTE_S:>6.1f}  {m.late_ms:>16.0f}  {'  '.join(counts)}")
        first, last = self._minutes[0], self._minutes[-1]
        grown = [
            f"{after - before:+.0f} {name}"
            for name, before, after in (
                ("MB", first.memory_mb, last.memory_mb),
                ("threads", first.threads, last.threads),
                ("handles", first.handles, last.handles),
            )
            if before is not None and after is not None
        ]
        return [*lines, f"since the first minute   {', '.join(grown) or 'not known on this system'}"]

    def _end(self, lines: list[str]) -> None:
        self._lines = lines
        self._clock.stop()
        self.window.close()

    def _figures(self, start: _Start, passed: float, pipeline: Pipeline) -> list[str]:
        """passed : seconds since the start."""
        page = self.window.page
        latencies = np.array(page.picture.latencies_ms or [np.nan])
        spent = {name: 100 * (now - start.cpu.get(name, 0.0)) / passed for name, now in cpu_seconds().items()}
        busiest = sorted(spent.items(), key=lambda item: -item[1])
        stages = ", ".join(f"{name} {ms:.1f}" for name, ms in pipeline.statistics.stages.items())
        order = "" if page.in_order else ", OUT OF ORDER"
        median, late = np.median(latencies), np.percentile(latencies, 95)
        lines = [
            f"displayed fits a second  {(page.displayed - start.displayed) / passed:.1f}{order}",
            f"latency to the screen    median {median:.0f} ms, 95 % {late:.0f} ms",
            f"frames dropped           {pipeline.dropped - start.dropped}",
            f"time by stage, ms        {stages}",
            "CPU by thread, % of one  " + ", ".join(f"{name} {share:.0f}" for name, share in busiest if share >= 0.5),
        ]
        if pipeline.budget.level:
            lines.append(f"left out to keep up      {', '.join(pipeline.budget.left_out)}")
        if self._first_picture_s is not None:
            lines.append(f"first picture            {self._first_picture_s:.1f} s after the program's start")
        if start.memory_mb is not None and (memory_mb := resident_mb()) is not None:
            grown = memory_mb - start.memory_mb
            lines.append(f"memory                   {memory_mb:.0f} MB, {grown:+.0f} MB since the first mesh")
        return lines + self._of_minutes()

    def report(self) -> int:
        """Print; the exit status: 1 where there was nothing to measure."""
        end = time.monotonic() + PATIENCE_S
        while (left := set(threading.enumerate()) - self._threads) and time.monotonic() < end:
            time.sleep(0.05)
        names = ", ".join(thread.name for thread in left) or "none"
        sys.stdout.write("\n".join([*self._lines, f"threads left             {names}"]) + "\n")
        return 0 if self._start is not None else 1


def process_seconds() -> float | None:
    """Since the process began, where the system says so (Linux)."""
    try:
        began = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return float(Path("/proc/uptime").read_text().split()[0]) - began / 100
    except (OSError, ValueError, IndexError):
        return None


def resident_mb() -> float | None:
    """Memory of the process, where the system says so (Linux)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, ValueError, IndexError):
        return None


def count_entries(kind: str) -> int | None:
    """How many threads ("task") or open handles ("fd") the process has, where the system says so (Linux)."""
    try:
        return len(os.listdir(f"/proc/self/{kind}"))
    except OSError:
        return None


def cpu_seconds() -> dict[str, float]:
    """CPU time of Python's threads by name, and of all others together, where the system says so."""
    spent: dict[str, float] = {}
    if hasattr(time, "pthread_getcpuclockid"):
        for thread in threading.enumerate():
            if thread.ident is not None:
                clock = time.pthread_getcpuclockid(thread.ident)
                spent[thread.name] = spent.get(thread.name, 0.0) + time.clock_gettime(clock)
        spent["others"] = time.process_time() - sum(spent.values())
    return spent
