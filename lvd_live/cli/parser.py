"""The options of the main job."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from lvd_live import __version__
from lvd_live.errors import Parser
from lvd_live.pipeline.budget import BUDGET_MS
from lvd_live.tracking.options import QUALITY_CHOICES, QUALITY_HELP, TrackerOptions

if TYPE_CHECKING:
    from lvd_live.sources.capture import CameraMode

DESCRIPTION = "A camera, a video or a folder of pictures in, a body mesh sequence out."
EPILOG = "The tools (export, batch, train, evaluate and more) are listed by `lvd-live tools`."
FINDERS = ("blazepose", "mediapipe")


def make_parser() -> argparse.ArgumentParser:
    """The main job's command line."""
    parser = Parser(prog="lvd-live", description=DESCRIPTION, epilog=EPILOG)
    _add_source(parser)
    _add_output(parser.add_argument_group("output"))
    fit = parser.add_argument_group("fit")
    TrackerOptions.add_arguments(fit)
    fit.add_argument(
        "--person", choices=FINDERS, default="blazepose", help="who finds the person (default: %(default)s)"
    )
    fit.add_argument("--quality", choices=QUALITY_CHOICES, default="auto", help=QUALITY_HELP)
    parser.add_argument("--version", action="version", version=f"lvd_live {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more on stderr")
    return parser


def _add_source(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--camera",
        metavar="N|NAME|DEVICE|URL",
        help="track from a camera (0, a part of its name, /dev/video0) or a stream: in the window, or without a "
        "display until Ctrl-C",
    )
    source.add_argument("--video", metavar="FILE", type=Path, help="track a video file")
    source.add_argument("--images", metavar="DIR", type=Path, help="fit every picture in a folder, each on its own")
    source.add_argument("--demo", action="store_true", help="track the bundled clip; says where the results are")
    parser.add_argument(
        "--camera-size",
        metavar="WxH[@FPS]",
        type=parse_camera_size,
        help="what the camera is asked for, such as 1280x720@30 (default: what it likes)",
    )


def _add_output(out: argparse._ArgumentGroup) -> None:
    out.add_argument(
        "--output",
        metavar="FILE.npz",
        type=Path,
        help="the mesh sequence (default: the input's name, in the current folder)",
    )
    out.add_argument(
        "--overlay",
        metavar="FILE.mp4",
        type=Path,
        help="also write a video with the mesh drawn over the picture",
    )
    out.add_argument("--sheet", metavar="FILE.png", type=Path, help="also write a contact sheet of the run")
    out.add_argument(
        "--headless",
        action="store_true",
        help="no window: what a camera sees goes straight to --output, until Ctrl-C",
    )
    out.add_argument(
        "--record",
        metavar="NAME",
        nargs="?",
        const="",
        help="also record a session, with the pictures, into a new folder <date-time>-NAME",
    )
    out.add_argument(
        "--benchmark",
        metavar="SECONDS",
        type=parse_seconds,
        help="with --camera: close the window after so long, and print fits a second, latency and drops",
    )
    out.add_argument(
        "--budget",
        metavar="MS|off",
        type=parse_budget,
        default=BUDGET_MS,
        help="with --camera: what a fit may take from the capture before uncertainty, outline and more are left out to "
        f"keep up (default: {BUDGET_MS:g})",
    )
    out.add_argument(
        "--vmc",
        metavar="HOST:PORT",
        nargs="?",
        const="",
        type=parse_vmc,
        help="also stream the motion by the VMC protocol (without an address: to 127.0.0.1:39539)",
    )


def parse_seconds(text: str) -> float:
    """A duration, s. Raises argparse.ArgumentTypeError where it is not positive and finite."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return seconds


def parse_budget(text: str) -> float:
    """Milliseconds, or infinity for "off". Raises argparse.ArgumentTypeError."""
    try:
        return math.inf if text == "off" else parse_seconds(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither off nor a number of milliseconds") from None


def parse_camera_size(text: str) -> CameraMode:
    """A camera's size and rate. Raises argparse.ArgumentTypeError."""
    from lvd_live.sources.capture import parse_mode

    try:
        return parse_mode(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def parse_vmc(text: str) -> tuple[str, int]:
    """Host and port of a VMC receiver. Raises argparse.ArgumentTypeError."""
    from lvd_live.export.vmc import DEFAULT, parse_address

    try:
        return parse_address(text or DEFAULT)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
