"""What the tests share: the evaluation data beside the repository, and Qt without a display."""

import datetime
import os
import signal
import sys
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # before NumPy and torch: workers, and what they start, share the cores
    for library in ("OMP", "OPENBLAS", "LP"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import lvd_live  # noqa: E402,F401 - before any test imports OpenCV, whose limits it sets

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


@pytest.fixture(scope="session")
def body():
    """The bundled body; nobody changes it."""
    from lvd_live.body.model import BodyModel  # here, because it takes a second to import
    from lvd_live.paths import MODELS

    return BodyModel.load(MODELS / "body" / "lvd_body.npz")


@pytest.fixture(scope="session")
def rig(body):
    """Its fingers' bones."""
    from lvd_live.body.fingers import FingerRig

    return FingerRig(body)


@pytest.fixture(scope="session")
def demo():
    """Writes the demo's first `count` frames as a clip, and returns their pictures (H, W, 3) uint8 RGB."""

    def write(path, count):
        from lvd_live.paths import DEMO
        from lvd_live.session.video import VideoWriter
        from lvd_live.sources import VideoSource

        with VideoSource(DEMO) as source:
            pictures = [frame.picture for frame, _ in zip(source, range(count), strict=False)]
        writer = VideoWriter(path, 25, pictures[0].shape[1::-1])
        for picture in pictures:
            writer.write(picture, None)
        writer.close()
        return pictures

    return write


WHOLE_SUITE, TURNS = 1_000, 3  # tests; days in which each slow test is run once


def pytest_configure(config: pytest.Config) -> None:
    """Choose the part of the slow tests that is run, once for all workers."""
    os.environ.setdefault("LVD_SLOW", str(datetime.date.today().toordinal() % TURNS + 1))
    if os.environ["LVD_SLOW"] not in ("all", *map(str, range(1, TURNS + 1))):
        raise pytest.UsageError(f"LVD_SLOW is a number from 1 to {TURNS}, or all.")


def pytest_report_header(config: pytest.Config) -> str:
    """Which part that is."""
    part = os.environ["LVD_SLOW"]
    return f"slow tests of a whole run: {'all' if part == 'all' else f'part {part} of {TURNS}'} (LVD_SLOW)"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a run of the whole suite, a third of the slow tests, another one each day; LVD_SLOW=all or -m runs all."""
    part = os.environ["LVD_SLOW"]
    if len(items) < WHOLE_SUITE or config.option.markexpr or part == "all":
        return
    slow = [item for item in items if item.get_closest_marker("slow")]  # those of one file on different days
    resting = {item for number, item in enumerate(slow) if number % TURNS + 1 != int(part)}
    if resting:
        config.hook.pytest_deselected(items=list(resting))
        items[:] = [item for item in items if item not in resting]
