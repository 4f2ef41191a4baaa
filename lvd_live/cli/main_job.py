"""The main job: the window, or a source of frames in and a mesh sequence out."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from lvd_live import __version__
from lvd_live.cli.parser import make_parser
from lvd_live.cli.places import BODY, Places, choose_places
from lvd_live.errors import UserError
from lvd_live.paths import MODELS, RECORDINGS
from lvd_live.storage.files import look_up
from lvd_live.tracking.options import TrackerOptions

if TYPE_CHECKING:  # the heavy imports come after the cheap checks
    from lvd_live.export.vmc import VmcSender
    from lvd_live.person.types import PersonFinder
    from lvd_live.pipeline.observer import Observer
    from lvd_live.pipeline.offline import Summary
    from lvd_live.session.recorder import Recorder
    from lvd_live.sources.capture import CameraMode
    from lvd_live.sources.frame import Source
    from lvd_live.tracking.tracker import Tracker


def main(argv: Sequence[str] | None = None) -> int:
    """Run the main job. Returns the exit status: 0 done, 1 nobody found, 130 interrupted. Raises UserError."""
    arguments = make_parser().parse_args(argv)
    options = TrackerOptions.from_arguments(arguments)
    _set_up(arguments.verbose)
    if arguments.camera is not None and not arguments.camera.strip():
        raise UserError("--camera needs a number, such as 0, a camera's name, or the address of a stream.")
    if arguments.camera is not None:
        arguments.camera = _known_camera(arguments.camera)
    if arguments.camera_size is not None and arguments.camera is None:
        raise UserError("--camera-size is for a camera: use it with --camera.")
    if _wants_window(arguments):
        return _open_window(arguments, options)
    if arguments.benchmark is not None:
        raise UserError(
            "--benchmark measures the window: use it with --camera, where there is a display, and without an output."
        )
    if not (arguments.camera or arguments.video or arguments.images or arguments.demo):
        raise UserError(
            "There is no display for the window: choose --camera, --video, --images or --demo to run without one "
            "(--help lists the options)."
        )
    places = choose_places(arguments, options.body)
    if options.body is not None and not look_up(options.body):
        raise UserError(f"There is no body file {options.body}.")
    if arguments.record is not None and places.images is not None:
        raise UserError(
            "Pictures that have nothing to do with each other are no session: use --record with a camera or a video."
        )
    summary = _process(places, arguments, options)
    _report(summary)
    return summary.exit_code


def _known_camera(text: str) -> str:
    """A camera that is called by its name as its number; a number or an address as it is. Raises UserError."""
    from lvd_live.sources.devices import find_camera, is_name

    return str(find_camera(text)) if is_name(text) else text


def make_finder(name: str, quality: str = "auto", *, live: bool = False, hands: bool = False) -> PersonFinder:
    """The finder by its name in `parser.FINDERS`, see `lift.finder.make_finder`. Raises UserError."""
    from lvd_live.lift import finder

    return finder.make_finder(name, quality, live=live, hands=hands)


def make_tracker(options: TrackerOptions) -> Tracker:
    """A tracker. Raises UserError."""
    from lvd_live.tracking.tracker import Tracker

    return Tracker.load(options)


def _process(places: Places, arguments: argparse.Namespace, options: TrackerOptions) -> Summary:
    from lvd_live.memory import without_collector
    from lvd_live.threads import both

    meta: dict[str, Any] = {"source": places.source_name, "version": __version__, "versions": _versions()}
    if places.overlay is not None:  # it may lie where the video of that name is looked for
        meta["overlay"] = places.overlay.name
    with _open_source(places, arguments.camera_size) as source:
        live, hands = places.camera is not None, options.hands
        make = partial(make_finder, arguments.person, arguments.quality, live=live, hands=hands)
        with without_collector():
            finder, tracker = both(make, partial(make_tracker, options))
            from lvd_live.pipeline import offline  # here, because torch comes with it

        with (
            _streaming(arguments, options) as sender,
            _recording(arguments.record, source, finder, tracker, meta) as recorder,
        ):
            observers = _observers(sender)
            if recorder is not None:
                observers.append(recorder.add)
            return offline.process(
                source,
                finder,
                tracker,
                output=places.output,
                overlay=places.overlay,
                sheet=places.sheet,
                independent=places.images is not None,
                meta=meta,
                on_fit=observers,
            )


def _wants_window(arguments: argparse.Namespace) -> bool:
    """A camera, or nothing chosen at all, opens the window where there is a display; files do without."""
    outputs = arguments.headless, arguments.output, arguments.overlay, arguments.sheet
    if any(outputs) or arguments.video or arguments.images or arguments.demo:
        return False
    from lvd_live.gui.app import has_display

    return has_display()


def _open_window(arguments: argparse.Namespace, options: TrackerOptions) -> int:
    from lvd_live.gui.app import run
    from lvd_live.gui.inputs import Input

    weights = options.weights or MODELS / "weights" / f"{options.preset}.safetensors"
    if not weights.is_file():
        raise UserError(
            f"There are no weights {weights}; train them with `python -m lvd_live train`, or choose another --preset."
        )
    chosen = Input("camera", arguments.camera, arguments.camera_size) if arguments.camera is not None else None
    finder = partial(make_finder, arguments.person, arguments.quality, hands=True)  # switched on and off by the window
    return run(
        chosen,
        partial(finder, live=True),
        make_tracker,
        make_file_finder=partial(finder, live=False),
        options=options,
        given=TrackerOptions.given(arguments),
        record=arguments.record,
        benchmark=arguments.benchmark,
        budget_ms=arguments.budget,
        vmc=arguments.vmc,
    )


@contextlib.contextmanager
def _streaming(arguments: argparse.Namespace, options: TrackerOptions) -> Iterator[VmcSender | None]:
    """What sends the motion where --vmc says, or None."""
    if arguments.vmc is None:
        yield None
        return
    from lvd_live.body.model import BodyModel
    from lvd_live.export.vmc import VmcSender

    with VmcSender(arguments.vmc, BodyModel.load(options.body or BODY)) as sender:
        yield sender


@contextlib.contextmanager
def _recording(
    name: str | None, source: Source, finder: PersonFinder, tracker: Tracker, meta: dict[str, Any]
) -> Iterator[Recorder | None]:
    """The recorder that --record asks for, or None; what became of it is said at the end."""
    if name is None:
        yield None
        return
    from lvd_live.session.measured import measure_session
    from lvd_live.session.recorder import Recorder
    from lvd_live.session.sequence import describe_run
    from lvd_live.sources import CameraSource

    described, every = describe_run(finder, tracker) | meta, isinstance(source, CameraSource)
    fps = source.fps or 0.0
    recorder = Recorder(RECORDINGS, name, faces=tracker.faces, meta=described, fps=fps, every_frame=every)
    if isinstance(source, CameraSource):
        source.on_frame = recorder.see
    try:
        yield recorder
    finally:
        path = recorder.stop()
        if recorder.frames:
            sys.stdout.write(f"{'session:':<15}{path} ({recorder.frames} frames, {recorder.lost} dropped)\n")
            if recorder.unfitted:
                how = f"python -m lvd_live complete {path}"
                sys.stdout.write(f"{recorder.unfitted} of them are not fitted yet: {how}\n")
            with contextlib.suppress(UserError):  # the session is whole without
                measure_session(path, tracker.shown_body, tracker.options.height)
        if recorder.problem:
            sys.stderr.write(recorder.problem + "\n")


def _set_up(verbose: bool) -> None:
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(message)s", stream=sys.stderr)
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
    if hasattr(signal, "SIGTERM"):
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill keeps what is done, as Ctrl-C does


def _versions() -> dict[str, str]:
    """The versions of the packages that a fit's numbers depend on; ONNX Runtime has one name per kind of machine."""
    import importlib.metadata

    found = {}
    for name in ("torch", "numpy", "onnxruntime", "onnxruntime-gpu"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name.removesuffix("-gpu")] = importlib.metadata.version(name)
    return found


def _open_source(places: Places, mode: CameraMode | None) -> Source:
    from lvd_live import sources

    if places.camera is not None:
        return sources.CameraSource(places.camera, mode=mode)
    if places.images is not None:
        return sources.ImageSource(places.images)
    assert places.video is not None
    return sources.VideoSource(places.video)


def _observers(sender: VmcSender | None) -> list[Observer]:
    return [] if sender is None else [lambda frame, person, fit: sender.on_fit(fit)]


def _report(summary: Summary) -> None:
    """Say on stdout what was written, on stderr what went wrong."""
    trouble = list(summary.trouble)
    if summary.interrupted:
        kept = f"the first {summary.frames} frames are kept" if summary.frames else "nothing was written"
        trouble.insert(0, f"Interrupted: {kept}.")
    if not summary.tracked and not summary.interrupted:
        what = "Somebody was seen, but the mesh did not settle" if summary.rejected else "Nobody was found"
        trouble.append(f"{what} in any of the {summary.frames} frames.")
    sys.stderr.write("".join(f"{sentence}\n" for sentence in trouble))
    lines = []
    if summary.frames:
        rate = summary.frames / summary.seconds if summary.seconds else 0.0
        done = f"{summary.tracked} of {summary.frames} frames tracked in {summary.seconds:.1f} s"
        lines.append(f"{done} ({rate:.1f} frames per second).")
    for label, path in (("sequence", summary.output), ("overlay", summary.overlay), ("contact sheet", summary.sheet)):
        if path is not None:
            lines.append(f"{label + ':':<15}{path}")
    sys.stdout.write("".join(f"{line}\n" for line in lines))
