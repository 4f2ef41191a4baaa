"""Networks made for onnxruntime, kept in the user's cache folder: exporting one takes half a second."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import onnxruntime
import platformdirs
import torch

from lvd_live import lvd
from lvd_live.errors import UserError
from lvd_live.lvd.runtime.ranges import Ranges
from lvd_live.storage.files import write_whole

KEPT = 4  # networks
LARGEST = 1 << 26  # bytes of one
_DIGEST = 32  # bytes of a sha256


def name_of(weights: str, shapes: list[tuple[int, ...]], ranges: Ranges | None) -> str:
    """A name for the network of a weight file's sha256 and inputs of these shapes: a hash of all that it is made of.

    ranges : for eight bits, or None.
    """
    eight_bits = ranges and sorted(ranges.items())
    facts = repr((weights, shapes, eight_bits, torch.__version__, onnxruntime.__version__, _code()))
    return hashlib.sha256(facts.encode()).hexdigest()[:20]


@cache
def _code() -> str:
    """A hash of the source of `lvd_live.lvd`, which says what is done with the weights."""
    files = sorted(Path(lvd.__path__[0]).rglob("*.py"))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def kept(name: str, make: Callable[[], bytes]) -> bytes:
    """The network that `make` gave under this name before, or gives now; it is kept where the disk allows that."""
    folder = platformdirs.user_cache_path("lvd_live") / "networks"
    path = folder / f"{name}.onnx"
    if (known := _read(path)) is not None:
        return known
    network = make()
    with contextlib.suppress(OSError, UserError):  # it is then made again next time
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, hashlib.sha256(network).digest() + network)
        for old in sorted(folder.glob("*.onnx"), key=lambda file: file.stat().st_mtime)[:-KEPT]:
            old.unlink()
    return network


def _read(path: Path) -> bytes | None:
    """A file's network behind its sha256; None of what is missing or damaged."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return None
        with path.open("rb") as file:
            digest, network = file.read(_DIGEST), file.read(LARGEST)
    except OSError:
        return None
    return network if hashlib.sha256(network).digest() == digest else None
