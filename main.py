"""LVD Live's command line: a camera, a video or a folder of pictures in, a body mesh sequence out."""

import argparse
import contextlib
import importlib.metadata
import logging
import math
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Iterator, Sequence

from lvd_live import __version__
from lvd_live.body.height import parse_height
from lvd_live.errors import Parser, UserError, run_cli
from lvd_live.paths import DEMO, MODELS, RECORDINGS
from lvd_live.session.files import check_writable, fresh_name, look_up

BODY = MODELS / "body" / "lvd_body.npz"
BLAZEPOSE = MODELS / "blazepose"
MEDIAPIPE = MODELS / "mediapipe" / "pose_landmarker_full.task"


def make_parser() -> argparse.ArgumentParser:
    """The options of the main job."""
    parser = Parser(prog="main.py", description=__doc__)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--camera", metavar="N|URL", help="track from a camera: in the window, or without a display until Ctrl-C")
    source.add_argument("--video", metavar="FILE", type=Path, help="track a video file")
    source.add_argument("--images", metavar="DIR", type=Path, help="fit every picture in a folder, each on its own")
    source.add_argument("--demo", action="store_true", help="track the bundled clip; the results go to recordings/demo")
    out = parser.add_argument_group("output")
    out.add_argument("--output", metavar="FILE.npz", type=Path, help="the mesh sequence (default: the input's name, in the current folder)")
    out.add_argument("--overlay", metavar="FILE.mp4", type=Path, help="also write a video with the mesh drawn over the picture")
    out.add_argument("--sheet", metavar="FILE.png", type=Path, help="also write a contact sheet of the run")
    out.add_argument("--headless", action="store_true", help="no window: what a camera sees goes straight to --output, until Ctrl-C")
    out.add_argument("--record", metavar="NAME", nargs="?", const="", help="also record a session, with the pictures, into recordings/<date-time>-NAME")
    out.add_argument("--benchmark", metavar="SECONDS", type=parse_seconds, help="with --camera: close the window after so long, and print fits a second, latency and drops")
    out.add_argument("--vmc", metavar="HOST:PORT", nargs="?", const="", type=parse_vmc, help="also stream the motion by the VMC protocol (without an address: to 127.0.0.1:39539)")
    fit = parser.add_argument_group("fit")
    fit.add_argument("--body", metavar="FILE", type=Path, help="another body file, such as your SMPL .npz or .pkl (default: the bundled open body)")
    fit.add_argument("--preset", choices=("live", "paper"), default="live", help="the network (default: %(default)s)")
    fit.add_argument("--height", metavar="M", type=parse_height, help="the person's height, such as 1.78 or 178cm; sets the scale")
    fit.add_argument("--fov", metavar="DEGREES", type=parse_fov, help="the camera's field of view across the picture's longer side (default: 60)")
    fit.add_argument("--evidence", choices=("all", "maps", "picture"), help="what the network is told of the person finder's opinion: landmarks and feature maps, feature maps alone, or nothing but the mask (default: all)")
    fit.add_argument("--no-outline", action="store_true", help="leave the mesh where the network puts it: do not shift its limbs onto the mask's outline")
    fit.add_argument("--no-landmarks", action="store_true", help="the same as --evidence maps")
    fit.add_argument("--iterations", metavar="auto|1..8", type=parse_iterations, help="descent steps per frame (default: auto, as many as needed)")
    fit.add_argument("--engine", choices=("auto", "float32", "bfloat16", "onnxruntime"), default="auto", help="what runs the network on a CPU (default: the fastest here, measured once and remembered)")
    fit.add_argument("--person", choices=("blazepose", "mediapipe"), default="blazepose", help="who finds the person (default: %(default)s)")
    fit.add_argument("--quality", choices=("auto", "live", "best"), default="auto", help="how hard to look for the person: best takes five times as long and is a twentieth nearer (default: auto, which is live for a camera, best for files)")
    parser.add_argument("--version", action="version", version=f"lvd_live {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more on stderr")
    return parser


def parse_fov(text: str) -> float:
    """Degrees, between 5 and 150."""
    degrees = _number(text)
    if not 5 <= degrees <= 150:
        raise argparse.ArgumentTypeError(f"{text!r} is no field of view between 5 and 150 degrees")
    return degrees


def parse_seconds(text: str) -> float:
    """More than 0."""
    seconds = _number(text)
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return seconds


def _number(text: str) -> float:
    """NaN where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def parse_iterations(text: str) -> int | str:
    """"auto", or 1 to 8."""
    if text == "auto":
        return text
    if text not in tuple("12345678"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither auto nor a number from 1 to 8")
    return int(text)


def parse_vmc(text: str) -> tuple[str, int]:
    """Host and port of a VMC receiver."""
    from lvd_live.session.stream import DEFAULT, parse_address

    try:
        return parse_address(text or DEFAULT)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def main(argv: Sequence[str] | None = None) -> int:
    """Run the main job; returns the exit status (0 done, 1 nobody found, 130 interrupted). Raises UserError."""
    options = make_parser().parse_args(argv)
    _set_up(options.verbose)
    if options.camera is not None and not options.camera.strip():
        raise UserError("--camera needs a number, such as 0, or the address of a stream.")
    if _wants_window(options):
        return _open_window(options)
    if options.benchmark is not None:
        raise UserError("--benchmark measures the window: use it with --camera, where there is a display, and without an output.")
    if not (options.camera or options.video or options.images or options.demo):
        raise UserError("There is no display for the window: choose --camera, --video, --images or --demo to run without one (--help lists the options).")
    if options.demo:
        options.video = DEMO
        folder = DEMO.with_suffix("")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"Cannot write the demo's results to {folder}: {(error.strerror or str(error)).lower()}.") from error
        options.output = options.output or folder / "demo.npz"
        options.overlay = options.overlay or folder / "demo.mp4"
        options.sheet = options.sheet or folder / "demo.png"
    output = options.output or fresh_name(Path(_default_name(options)))
    _check_outputs(options, output)
    if options.body is not None and not look_up(options.body):
        raise UserError(f"There is no body file {options.body}.")
    if options.record is not None and options.images is not None:
        raise UserError("Pictures that have nothing to do with each other are no session: use --record with a camera or a video.")
    from lvd_live import offline  # the heavy imports come after the cheap checks

    meta = {"source": _source_name(options), "version": __version__, "versions": _versions()}
    with _open_source(options) as source:
        finder, tracker = _make_finder(options.person, options.quality, live=options.camera is not None), _make_tracker(options)
        with _streaming(options) as stream, _recording(options, source, finder, stream(tracker), meta) as recorder:
            summary = offline.process(
                source,
                finder,
                tracker,
                output=output,
                overlay=options.overlay,
                sheet=options.sheet,
                independent=options.images is not None,
                meta=meta,
                recorder=recorder,
            )
    _report(summary)
    return summary.exit_code


def _wants_window(options: argparse.Namespace) -> bool:
    """A camera, or nothing chosen at all, opens the window where there is a display; files are worked through without one."""
    if options.headless or options.output or options.overlay or options.sheet or options.video or options.images or options.demo:
        return False
    from gui.app import has_display

    return has_display()


def _open_window(options: argparse.Namespace) -> int:
    from functools import partial

    from gui.app import run
    from gui.inputs import Input

    weights = MODELS / "weights" / f"{options.preset}.safetensors"
    if not weights.is_file():
        raise UserError(f"There are no weights {weights}; train them with `python -m lvd_live train`, or choose another --preset.")
    fixed = {name: value for name, value in {"body": options.body, "fov_degrees": options.fov, "engine": options.engine}.items() if value is not None}

    def load(**chosen):
        from lvd_live.tracker import Tracker  # behind the first pictures: torch takes its time to import

        return stream(Tracker.load(**fixed, **chosen))

    evidence = "maps" if options.no_landmarks else options.evidence
    given = {"preset": options.preset, "height": options.height, "iterations": options.iterations, "evidence": evidence, "outline": False if options.no_outline else None}
    chosen = Input("camera", options.camera) if options.camera is not None else None
    with _streaming(options) as stream:
        return run(chosen, partial(_make_finder, options.person, options.quality, live=True), load, options=given, record=options.record, benchmark=options.benchmark)


@contextlib.contextmanager
def _streaming(options: argparse.Namespace):
    """What makes a tracker send its motion where --vmc says; without the option it leaves the tracker as it is."""
    if options.vmc is None:
        yield lambda tracker: tracker
        return
    from lvd_live.body.model import BodyModel
    from lvd_live.session.stream import VmcSender, follow

    with VmcSender(options.vmc, BodyModel.load(options.body or BODY)) as sender:
        yield lambda tracker: follow(tracker, sender)


@contextlib.contextmanager
def _recording(options: argparse.Namespace, source, finder, tracker, meta: dict):
    """The recorder that --record asks for, or None; what became of it is said at the end."""
    if options.record is None:
        yield None
        return
    from lvd_live.person.types import describe
    from lvd_live.session.measured import measure_session
    from lvd_live.session.recorder import Recorder

    described = {"person": describe(finder), "tracker": tracker.describe(), **meta}
    recorder = Recorder(RECORDINGS, options.record, faces=tracker.faces, meta=described, fps=source.fps or 0.0)
    try:
        yield recorder
    finally:
        path = recorder.stop()
        if recorder.frames:
            print(f"{'session:':<15}{path} ({recorder.frames} frames, {recorder.dropped} dropped)")
            with contextlib.suppress(UserError):  # the session is whole without
                measure_session(path, tracker.shown_body, tracker.height)
        if recorder.problem:
            print(recorder.problem, file=sys.stderr)


def _set_up(verbose: bool) -> None:
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(message)s", stream=sys.stderr)
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
    if hasattr(signal, "SIGTERM"):
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill keeps what is done, as Ctrl-C does


def _source_name(options: argparse.Namespace) -> str:
    if options.camera is not None:
        return f"camera {options.camera}" if options.camera.isdecimal() else "camera stream"  # a URL may hold a password
    return (options.video or options.images).name


def _default_name(options: argparse.Namespace) -> str:
    if options.camera is not None:
        return "camera.npz"
    given = options.video or options.images
    look_up(given)  # a name that cannot be is told before it is resolved
    path = given.resolve()
    return f"{path.stem if options.video else path.name or 'images'}.npz"


def _check_outputs(options: argparse.Namespace, output: Path) -> None:
    wanted = [(output, (".npz",)), (options.overlay, (".mp4", ".mov", ".mkv")), (options.sheet, (".png",))]
    for path, suffixes in wanted:
        if path is None:
            continue
        check_writable(path, suffixes)
        there = look_up(path)
        if there is None:
            continue
        for given, what in _inputs(options):
            if os.path.samestat(there, given.stat()):
                raise UserError(f"Cannot write {path}: it is {what} to be read.")


def _inputs(options: argparse.Namespace) -> Iterator[tuple[Path, str]]:
    """The files that exist and will be read, each with what it is."""
    for path, what in ((options.video, "the video"), (options.body or BODY, "the body file")):
        if path is not None and look_up(path):
            yield path, what
    if options.images is not None and look_up(options.images):
        from lvd_live.sources.images import list_pictures

        yield from ((path, "one of the pictures") for path in list_pictures(options.images))


def _versions() -> dict[str, str]:
    """The versions of the packages that a fit's numbers depend on; ONNX Runtime has one name per kind of machine."""
    found = {}
    for name in ("torch", "numpy", "onnxruntime", "onnxruntime-gpu"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name.removesuffix("-gpu")] = importlib.metadata.version(name)
    return found


def _open_source(options: argparse.Namespace):
    from lvd_live import sources

    if options.camera is not None:
        return sources.CameraSource(int(options.camera) if options.camera.isdecimal() else options.camera)
    if options.images is not None:
        return sources.ImageSource(options.images)
    return sources.VideoSource(options.video)


def _make_finder(name: str, quality: str = "auto", *, live: bool = False):
    if name == "mediapipe":
        from lvd_live.person import MediaPipeFinder

        return MediaPipeFinder(MEDIAPIPE)
    from lvd_live.person.quality import make_finder

    return make_finder(BLAZEPOSE, quality, live=live)


def _make_tracker(options: argparse.Namespace):
    from lvd_live.tracker import Tracker

    chosen = {"body": options.body, "fov_degrees": options.fov, "height": options.height, "iterations": None if options.iterations == "auto" else options.iterations}
    given = {name: value for name, value in chosen.items() if value is not None}
    return Tracker.load(preset=options.preset, evidence="maps" if options.no_landmarks else options.evidence or "all", engine=options.engine, uncertainty=8, outline=not options.no_outline, **given)


def _report(summary) -> None:
    """Say on stdout what was written, on stderr what went wrong."""
    if summary.interrupted:
        kept = f"the first {summary.frames} frames are kept" if summary.frames else "nothing was written"
        print(f"Interrupted: {kept}.", file=sys.stderr)
    for sentence in summary.trouble:
        print(sentence, file=sys.stderr)
    if not summary.tracked and not summary.interrupted:
        frames = f"in any of the {summary.frames} frames"
        print(f"Somebody was seen, but the mesh did not settle {frames}." if summary.rejected else f"Nobody was found {frames}.", file=sys.stderr)
    if summary.frames:
        rate = summary.frames / summary.seconds if summary.seconds else 0.0
        print(f"{summary.tracked} of {summary.frames} frames tracked in {summary.seconds:.1f} s ({rate:.1f} frames per second).")
    for label, path in (("sequence", summary.output), ("overlay", summary.overlay), ("contact sheet", summary.sheet)):
        if path is not None:
            print(f"{label + ':':<15}{path}")


def _leave(status: int) -> None:
    """End the process. A thread may still load a model or wait for a camera's driver: Python's own end under its feet would abort, so that is left out then."""
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.main_thread():
            thread.join()  # a recording's end
    if any(thread.daemon for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    _leave(run_cli(main))
