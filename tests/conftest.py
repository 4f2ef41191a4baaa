"""What the tests share: the evaluation data beside the repository, and Qt without a display."""

import datetime
import os
import signal
import sys
import zlib
from pathlib import Path

import pytest

import lvd_live  # noqa: F401 - before any test imports OpenCV, whose limits it sets

ROOT = Path(__file__).resolve().parents[1]

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY") and not os.environ.get("WAYLAND_DISPLAY"):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # without a display Qt would abort the whole run

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a run in the background ignores Ctrl-C, and so would the programs that the tests interrupt


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of evaluation data beside the repository; tests that need it are skipped where it is absent."""
    folder = ROOT.parent / "shared"
    if not (folder / "eval").is_dir():
        pytest.skip("the evaluation data (../shared/eval) is not beside this checkout")
    return folder


WHOLE_SUITE, TURNS = 1_000, 3  # tests; days in which each slow test is run once


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a run of the whole suite, a third of the slow tests, another one each day; LVD_SLOW=all or -m runs all."""
    if len(items) < WHOLE_SUITE or config.option.markexpr or os.environ.get("LVD_SLOW") == "all":
        return
    today = datetime.date.today().toordinal() % TURNS
    resting = [item for item in items if item.get_closest_marker("slow") and turn_of(item.nodeid) != today]
    if resting:
        config.hook.pytest_deselected(items=resting)
        items[:] = [item for item in items if item not in set(resting)]


def turn_of(nodeid: str) -> int:
    """On which of TURNS days a slow test is run."""
    return zlib.crc32(nodeid.encode()) % TURNS
