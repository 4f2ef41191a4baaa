"""What the tests share: the evaluation data beside the repository, and Qt without a display."""

import os
import signal
import sys
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
