"""Clips on a Ray cluster of two machines, which are network namespaces here; one dies midway, and nothing is lost.

Each machine has an address of its own, and Ray's files and processes to itself; the folders of clips and sequences are
shared, as on a real cluster. Needs Linux, root and the package ray:

    sudo env PYTHONPATH=. python -m pytest tests/test_cluster.py
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lvd_live.session.sequence import load_sequence

ROOT = Path(__file__).parent.parent
PORT, CLIPS, FRAMES = 6379, 8, 16
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}  # asked for by clusters of newer versions
ARRAYS = ("vertices", "vertex_std", "landmarks", "tracked", "doubtful", "hand_pose", "timestamps_ns", "intrinsics")


class Machine:
    """A network namespace, `address` inside. folder : for Ray's files, which are in /tmp/ray there."""

    def __init__(self, name: str, address: str, folder: Path):
        self.name, self.address, self.folder = f"lvd-{name}-{os.getpid()}", address, folder
        folder.mkdir()
        ip("netns", "add", self.name)

    def start(self, *command: str, **options) -> subprocess.Popen:
        """A Python module in it."""
        mounted = f'mount --bind {self.folder} /tmp/ray && exec "$@"'
        inside = ["ip", "netns", "exec", self.name, "sh", "-c", mounted, "sh", sys.executable, "-m", *command]
        paths = os.pathsep.join(filter(None, [str(ROOT), *sys.path]))
        environment = os.environ | TOKEN | {"PYTHONPATH": paths}
        return subprocess.Popen(inside, cwd=ROOT, env=environment, text=True, **options)

    def join(self, *where: str) -> None:
        """It becomes a node of the cluster, with one processor. Ray gives a node 30 s to start: three attempts."""
        node = ["start", *where, "--node-ip-address", self.address, "--num-cpus", "1", "--block"]
        written = self.folder / "node.log"
        for _ in range(3):
            with written.open("w") as log:
                ray = self.start("ray.scripts.scripts", *node, "--disable-usage-stats", stdout=log, stderr=log)
            until(lambda ray=ray: "Ray runtime started" in written.read_text() or ray.poll() is not None, 120)
            if ray.poll() is None:
                return
            self.kill()
        raise AssertionError(written.read_text())

    @property
    def processes(self) -> list[int]:
        return [int(line) for line in ip("netns", "pids", self.name).split()]

    def opened(self, folder: Path) -> set[Path]:
        """The files of a folder that its processes have open."""
        found: set[Path] = set()
        for process in self.processes:
            with contextlib.suppress(OSError):  # it may have ended
                found |= {link.readlink() for link in Path(f"/proc/{process}/fd").iterdir()}
        return {path for path in found if path.parent == folder}

    def kill(self) -> None:
        """All that runs in it, at once and for good."""
        while processes := self.processes:
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.05)

    def remove(self) -> None:
        self.kill()
        ip("netns", "del", self.name)


def ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, text=True, capture_output=True).stdout


@pytest.fixture
def machines(tmp_path):
    """Two, with a cable between them: 10.77.0.1 and 10.77.0.2."""
    pytest.importorskip("ray", reason="the package ray is not installed")
    if sys.platform != "linux" or os.geteuid() or not shutil.which("ip"):
        pytest.skip("network namespaces need Linux, root and iproute2")
    Path("/tmp/ray").mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        made = []
        for i, name in enumerate(("head", "other"), 1):
            try:
                made.append(Machine(name, f"10.77.0.{i}", tmp_path / name))
            except subprocess.CalledProcessError as error:
                pytest.skip(f"no network namespaces here: {error.stderr.strip()}")
            stack.callback(made[-1].remove)
        head, other = made
        ip("-n", head.name, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", other.name)
        for machine in made:
            ip("-n", machine.name, "addr", "add", f"{machine.address}/24", "dev", "cable")
            for link in ("lo", "cable"):
                ip("-n", machine.name, "link", "set", link, "up")
        yield head, other


def until(what, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"waited {seconds:.0f} s in vain"
        time.sleep(0.02)


def batch(clips: Path, out: Path) -> list[str]:
    """The engine is named: each process would measure and choose its own."""
    return ["lvd_live", "batch", str(clips), "--out", str(out), "--engine", "float32"]


@pytest.mark.slow
@pytest.mark.parametrize("unplugged", [False, True])
def test_a_machine_dies_midway_and_nothing_is_lost(machines, demo, tmp_path, unplugged):
    """unplugged : its cable goes first, so that nothing that ends tells the head of it."""
    head, other = machines
    clips, out, alone = (tmp_path / name for name in ("clips", "out", "alone"))
    clips.mkdir()
    demo(clips / "0.mp4", FRAMES)
    for i in range(1, CLIPS):
        shutil.copy(clips / "0.mp4", clips / f"{i}.mp4")
    where = f"{head.address}:{PORT}"
    head.join("--head", "--port", str(PORT), "--include-dashboard", "false")
    other.join("--address", where)
    running = head.start(*batch(clips, out), "--ray", where, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        until(lambda: len(list(out.glob("*.npz"))) >= CLIPS // 3 and other.opened(clips), 400)
        if unplugged:
            ip("-n", head.name, "link", "set", "cable", "down")
        other.kill()
        cut_short = {clip for clip in clips.iterdir() if not (out / f"{clip.name}.npz").exists()}
        done = CLIPS - len(cut_short)
        assert 0 < done < CLIPS
        told, trouble = running.communicate(timeout=900)
    finally:
        running.kill()
    sys.stdout.write(f"killed after {done} of {CLIPS} clips\n{told}")
    assert running.returncode == 0, trouble
    assert told.count(f".mp4 | {FRAMES} | {FRAMES} |") == CLIPS
    subprocess.run([sys.executable, "-m", *batch(clips, alone), "--jobs", "1"], cwd=ROOT, check=True)
    for clip in sorted(clips.iterdir()):
        one, two = (load_sequence(folder / f"{clip.name}.npz") for folder in (out, alone))
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=f"{clip.name}: {name}")
