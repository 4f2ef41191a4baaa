"""`main.py --camera URL --benchmark SECONDS`: what the window shows a second, how late, at what cost; and what is left when it is closed."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from pathlib import Path

import numpy as np
from PySide6.QtCore import QTimer

PATIENCE_S = 5.0  # for threads to end
FIRST_MESH_S = 60.0  # until then there must be one


class Benchmark:
    """Waits for the first mesh, counts for `seconds`, and closes the window; `report` prints, once it is closed."""

    def __init__(self, window, seconds: float):
        self.window, self.seconds = window, seconds
        self.opened, self.first_picture_s, self.began = time.monotonic(), None, None
        self.lines: list[str] = []
        self.before = set(threading.enumerate())
        self.clock = QTimer(window, interval=50, timeout=self.look)
        self.clock.start()

    def look(self) -> None:
        window = self.window
        if self.first_picture_s is None and window.picture.picture is not None:
            self.first_picture_s = process_seconds()
        if self.began is None:
            if window.view is not None and window.view.vertices is not None:
                window.picture.latencies_ms = deque(maxlen=1_000_000)
                self.began = time.monotonic()
                self._start = (window.displayed, window.pipeline.dropped, cpu_seconds(), resident_mb())
            elif time.monotonic() - self.opened > FIRST_MESH_S:
                self.lines.append(
                    f"There was no mesh within {FIRST_MESH_S:.0f} s. {window.pipeline.problem if window.pipeline else 'Nothing was opened: name a --camera.'}"
                )
                self.clock.stop()
                window.close()
            return
        passed = time.monotonic() - self.began
        if passed < self.seconds and window.pipeline.state not in ("ended", "failed"):
            return
        self.clock.stop()
        self._sum_up(passed)
        window.close()

    def _sum_up(self, passed: float) -> None:
        window, (displayed, dropped, cpu, memory) = self.window, self._start
        latencies = np.array(window.picture.latencies_ms or [np.nan])
        spent = {name: 100 * (now - cpu.get(name, 0.0)) / passed for name, now in cpu_seconds().items()}
        say = self.lines.append
        say(
            f"displayed fits a second  {(window.displayed - displayed) / passed:.1f}{'' if window.in_order else ', OUT OF ORDER'}"
        )
        say(
            f"latency to the screen    median {np.median(latencies):.0f} ms, 95 % {np.percentile(latencies, 95):.0f} ms"
        )
        say(f"frames dropped           {window.pipeline.dropped - dropped}")
        say(
            "time by stage, ms        "
            + ", ".join(f"{name} {ms:.1f}" for name, ms in window.pipeline.statistics.stages.items())
        )
        say(
            "CPU by thread, % of one  "
            + ", ".join(
                f"{name} {share:.0f}"
                for name, share in sorted(spent.items(), key=lambda item: -item[1])
                if share >= 0.5
            )
        )
        if self.first_picture_s is not None:
            say(f"first picture            {self.first_picture_s:.1f} s after the program's start")
        if memory is not None:
            say(
                f"memory                   {resident_mb():.0f} MB, {resident_mb() - memory:+.0f} MB since the first mesh"
            )

    def report(self) -> int:
        """Print; the exit status: 1 where there was nothing to measure."""
        end = time.monotonic() + PATIENCE_S
        while (left := set(threading.enumerate()) - self.before) and time.monotonic() < end:
            time.sleep(0.05)
        print("\n".join([*self.lines, f"threads left             {', '.join(t.name for t in left) or 'none'}"]))
        return 0 if self.began is not None else 1


def process_seconds() -> float | None:
    """Since the process began, where the system tells (Linux)."""
    try:
        began = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return float(Path("/proc/uptime").read_text().split()[0]) - began / 100
    except (OSError, ValueError, IndexError):
        return None


def resident_mb() -> float | None:
    """Memory of the process, where the system tells (Linux)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, ValueError, IndexError):
        return None


def cpu_seconds() -> dict[str, float]:
    """CPU time of Python's threads by name, and of all others together, where the system tells."""
    spent: dict[str, float] = {}
    if hasattr(time, "pthread_getcpuclockid"):
        for thread in threading.enumerate():
            spent[thread.name] = spent.get(thread.name, 0.0) + time.clock_gettime(
                time.pthread_getcpuclockid(thread.ident)
            )
        spent["others"] = time.process_time() - sum(spent.values())
    return spent
