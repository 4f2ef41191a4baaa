"""Which engine runs a network fastest on this machine's CPU: measured once, then kept in the user's cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import platformdirs
import torch

from lvd_live.errors import UserError
from lvd_live.lvd.network import COARSE_CHANNELS, FINE_CHANNELS, LVD
from lvd_live.lvd.presets import ENGINES, INT8
from lvd_live.lvd.runtime import onednn
from lvd_live.lvd.runtime.ranges import has_ranges
from lvd_live.storage.files import write_whole
from lvd_live.threads import network_threads

if TYPE_CHECKING:
    from lvd_live.lvd.runtime.runtime import Runtime

log = logging.getLogger(__name__)

SIZE = 128  # pixels along the side of the crops that are timed, where the network's own are larger
SECONDS = 0.2  # of measuring, and one round at least
KEPT = 16  # networks and machines that are kept
LONGEST = 1 << 16  # bytes that are read
WORTH = 0.75  # of the others' time, at most, that eight bits must take: the others are more exact


def fastest(network: LVD, make: Callable[[str], Runtime]) -> str:
    """The fastest of ENGINES for a network.

    make : the network's runtime on the CPU by an engine's name; what it raises rules that engine out.
    """
    path = platformdirs.user_cache_path("lvd_live") / "engines.json"
    key = _key(network)
    known = read(path)
    if key not in known:
        known[key] = measure(network, make)
        log.info("Encoding a crop takes %s.", ", ".join(f"{ms:.1f} ms by {name}" for name, ms in known[key].items()))
        with contextlib.suppress(OSError, UserError):  # it is then measured again next time
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps(dict(list(known.items())[-KEPT:])).encode())
    times = known[key]
    return min(times, key=lambda name: times[name] / (WORTH if name == INT8 else 1.0))


def _key(network: LVD) -> str:
    """A hash of all that the times depend on: processor, libraries, threads and the network's shapes."""
    capabilities = sorted(torch.cpu.get_capabilities().items()), onednn.has_bfloat16(torch.device("cpu"))
    versions = torch.__version__, onnxruntime.__version__
    shapes = [(name, tuple(value.shape)) for name, value in network.state_dict().items()]
    facts = repr((capabilities, *versions, network_threads(), network.preset.size, shapes, has_ranges(network)))
    return hashlib.sha256(facts.encode()).hexdigest()[:20]


def measure(network: LVD, make: Callable[[str], Runtime]) -> dict[str, float]:
    """Milliseconds, at best, that `Runtime.encode` takes on the fit's threads, by engine; without those that fail.

    Of one thread it is processor time: other programs then do not decide.
    """
    crop = _grey_crop(min(SIZE, network.preset.size))
    with _fit_threads():
        runtimes = {}
        for name in ENGINES:
            try:
                runtime = make(name)
                runtime.encode(*crop)  # the first call also packs and exports
                runtimes[name] = runtime
            except Exception as error:
                log.debug("%s does not run here: %s", name, error)
        now = time.thread_time if network_threads() == 1 else time.perf_counter  # without what other programs take
        times, end = dict.fromkeys(runtimes, float("inf")), time.perf_counter() + SECONDS
        while True:
            for name, runtime in runtimes.items():
                began = now()
                runtime.encode(*crop)
                times[name] = min(times[name], 1000 * (now() - began))
            if time.perf_counter() > end:
                return times


def _grey_crop(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """A crop of size × size pixels with all conditioning, for `Runtime.encode`."""
    fine, coarse = np.zeros((1, FINE_CHANNELS, 32, 32), np.uint8), np.zeros((1, COARSE_CHANNELS, 8, 8), np.uint8)
    maps = fine, coarse, np.eye(2, 3, dtype=np.float32)[None]
    picture, mask = np.full((1, size, size, 3), 100, np.uint8), np.full((1, size, size), 255, np.uint8)
    return picture, mask, np.zeros((1, 33, 4), np.float32), maps


@contextlib.contextmanager
def _fit_threads() -> Iterator[None]:
    """PyTorch has the fit's number of threads inside this block."""
    threads = torch.get_num_threads()
    torch.set_num_threads(network_threads())
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def read(path: Path) -> dict[str, dict[str, float]]:
    """The times measured before; of a file that is missing or damaged, what can be used."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(LONGEST))
        return {key: times for key, times in found.items() if _are_times(times)}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _are_times(times: dict[str, float]) -> bool:
    """Whether these are milliseconds by engine. Raises TypeError or AttributeError for what has another shape."""
    return bool(times) and times.keys() <= set(ENGINES) and all(0 < ms < 1e6 for ms in times.values())
