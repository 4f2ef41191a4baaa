"""How many fits a second the real window shows, and how late, on a virtual screen. Needs Xvfb.

python docs/window_speed.py [--seconds 60] [--size 640x480] [--fps 60] [--clip FILE] [--busy 1] [--no-hands]

A clip is sent as a camera's stream by another process, which shares the processor with the window. The figures are
those of `main.py --camera URL --benchmark SECONDS`: see docs/speed.md. Exits with 1 where --least is not reached.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
START_S = 180  # for the models, on a machine that is busy
MOST_FRAMES = 600  # of the clip, in memory


def serve(clip: Path, size: tuple[int, int], fps: float) -> None:
    """Stream a clip, forth and back, so that nobody jumps; prints the address, and goes on until it is ended."""
    import itertools
    import threading

    from lvd_live.render import fit_into
    from lvd_live.sources import VideoSource
    from tests.mjpeg import Camera

    with VideoSource(clip) as source:
        pictures = [fit_into(frame.picture, size) for frame in itertools.islice(source, MOST_FRAMES)]
    camera = Camera(pictures, fps)
    camera.jpegs += camera.jpegs[-2:0:-1]
    sys.stdout.write(camera.url + "\n")
    sys.stdout.flush()
    threading.Event().wait()


def spin() -> None:
    """Keep one core busy until it is ended."""
    while True:
        pass


def helper(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT)


def measure(args: argparse.Namespace) -> str:
    """What the benchmark prints."""
    from tests.driver import Screen

    width, height = map(int, args.size.split("x"))
    spinners = [helper("--spin") for _ in range(args.busy)]
    server = helper("--serve", str(args.clip), f"{width}x{height}", str(args.fps))
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        with tempfile.TemporaryDirectory() as home, Screen(1280, 720) as display:
            environment = {n: v for n, v in os.environ.items() if not n.startswith(("QT_", "WAYLAND"))}
            environment |= {"DISPLAY": display, "QT_QPA_PLATFORM": "xcb", "XDG_CONFIG_HOME": home}
            command = [sys.executable, "main.py", "--camera", url, "--benchmark", str(args.seconds)]
            command += ["--hands" if args.hands else "--no-hands"]
            done = subprocess.run(
                command, cwd=ROOT, env=environment, text=True, capture_output=True, timeout=args.seconds + START_S
            )
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        return done.stdout
    finally:
        for process in (server, *spinners):
            process.kill()
            process.wait()


def main() -> int:
    sys.path.insert(0, str(ROOT))
    if sys.argv[1:2] == ["--spin"]:
        spin()
    if sys.argv[1:2] == ["--serve"]:
        clip, size, fps = sys.argv[2:5]
        width, height = map(int, size.split("x"))
        serve(Path(clip), (width, height), float(fps))
    from lvd_live.paths import DEMO

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="from the first mesh on (default: 60)")
    parser.add_argument("--size", default="640x480", help="of the camera's pictures (default: 640x480)")
    parser.add_argument("--fps", type=float, default=60.0, help="of the camera (default: 60, more than is shown)")
    parser.add_argument("--clip", type=Path, default=DEMO, help="what the camera sees (default: the bundled clip)")
    parser.add_argument("--busy", type=int, default=0, metavar="N", help="keep N cores busy meanwhile")
    parser.add_argument("--hands", action=argparse.BooleanOptionalAction, default=True, help="find the hands")
    parser.add_argument("--least", type=float, metavar="FITS", help="exit with 1 below so many displayed fits a second")
    args = parser.parse_args()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    said = f"{args.size} at {args.fps:g} frames a second, {cores} cores, {args.busy} of them kept busy, hands "
    sys.stdout.write(said + f"{'on' if args.hands else 'off'}, load {os.getloadavg()[0]:.1f} before\n")
    text = measure(args)
    sys.stdout.write(text)
    found = re.search(r"displayed fits a second\s+([\d.]+)", text)
    return int(args.least is not None and (found is None or float(found[1]) < args.least))


if __name__ == "__main__":
    sys.exit(main())
