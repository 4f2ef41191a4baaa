"""Hostile files, by number: each is made, given to the program's reader, and must be read or refused in a sentence.

`python -m tests.hostile KIND FIRST COUNT SECONDS` reads those of one kind in a process of its own, and prints the
number of each before it begins, so that a crash or a hang has a number too; at the end, what came out, as JSON.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

from lvd_live.errors import UserError
from tests.hostile_kinds import KINDS

ROOT = Path(__file__).resolve().parents[1]
LONGEST_S, MEMORY = 20, 2 << 30  # for one file
COUNTS = {
    "sequence": 3000,
    "session": 1000,
    "picture": 2500,
    "weights": 500,
    "body": 1000,
    "video": 1500,
    "words": 500,
}  # 10,000 together


class _Hang(BaseException):
    """A file took too long; no reader catches it."""


def read_one(kind: str, number: int, folder: Path, read: Callable[[Random, Path], object]) -> str:
    """ "read" or "refused"; anything else is a sentence that says what is wrong."""
    random, before = Random(f"{kind} {number}"), _peak()
    signal.alarm(LONGEST_S)
    try:
        outcome = read(random, folder)
        found = "refused" if outcome is False else "read"
    except UserError as error:
        sentence = str(error)
        sound = "\n" not in sentence and len(sentence) < 4000 and sentence.endswith((".", "?"))
        found = "refused" if sound else f"no sentence: {sentence[:200]!r}"
    except _Hang:
        found = f"longer than {LONGEST_S} s"
    except Exception as error:
        trace, places = error.__traceback__, []
        while trace is not None:
            places.append(f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}")
            trace = trace.tb_next
        found = f"{type(error).__name__}: {str(error)[:200]} ({' '.join(places[-5:])})"
    finally:
        signal.alarm(0)
    taken = _peak() - before
    return found if taken < MEMORY else f"{taken >> 20} MiB of memory ({found[:80]})"


def _peak() -> int:
    """The peak of this process's memory since the last call, bytes; 0 where the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text()
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return 0
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) << 10


def main(kind: str, first: int, count: int, seconds: float) -> None:
    """Read `count` files from number `first` on, or as many as `seconds` allow."""

    def give_up(*_: object) -> None:
        raise _Hang

    signal.signal(signal.SIGALRM, give_up)
    made, faults = Counter(), []
    with tempfile.TemporaryDirectory() as root:
        read, folder = KINDS[kind](Path(root)), Path(root) / "case"
        end = time.monotonic() + seconds
        for number in range(first, first + count):
            if time.monotonic() > end:
                break
            print(number, flush=True)  # noqa: T201 - what the caller reads
            folder.mkdir()
            found = read_one(kind, number, folder, read)
            shutil.rmtree(folder)
            made[found if found in ("read", "refused") else "wrong"] += 1
            if found not in ("read", "refused"):
                faults.append(f"{kind} {number}: {found}")
    print(json.dumps({"counts": made, "faults": faults}), flush=True)  # noqa: T201


def run(kind: str, first: int, count: int, seconds: float) -> tuple[Counter, list[str]]:
    """`main` in a process of its own, and again behind a file that it crashes at: counts, and what is wrong."""
    counts, faults = Counter(), []
    while count > 0:
        command = [sys.executable, "-m", "tests.hostile", kind, str(first), str(count), str(seconds)]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENCV_LOG_LEVEL": "OFF"}
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds + 4 * LONGEST_S
            )
            lines, ending = done.stdout.split("\n"), f"exit status {done.returncode}: {done.stderr[-300:]}"
        except subprocess.TimeoutExpired as expired:
            lines, ending = (expired.stdout or b"").decode().split("\n"), "does not come back"
        lines = [line for line in lines if line]
        if lines and lines[-1].startswith("{"):
            found = json.loads(lines[-1])
            return counts + Counter(found["counts"]), faults + found["faults"]
        if not lines:
            return counts, [*faults, f"{kind}: {ending}"]
        last = int(lines[-1])
        faults.append(f"{kind} {last}: {ending}")
        counts["wrong"] += 1
        first, count = last + 1, count - (last + 1 - first)
    return counts, faults


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
