"""Pictures and arrays about them in one .npz file, as skins, surroundings and the wardrobe are baked."""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lvd_live.errors import UserError

_UNREADABLE = (
    *(OSError, EOFError, KeyError, IndexError, ValueError, AttributeError, TypeError),
    *(zipfile.BadZipFile, zlib.error, cv2.error),
)


@contextlib.contextmanager
def opened(path: Path, what: str) -> Iterator[Any]:
    """The arrays of a file by name. what : such as "a file of skins".

    Raises UserError where the file is missing or damaged, or an array is not there or not as it is used inside.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            yield file
    except _UNREADABLE as error:
        raise UserError(f"{path} is not {what}; make one with `python -m lvd_live bake` ({error}).") from None


def pictures_of(file: Any, count: int, shape: tuple[int, ...]) -> list[np.ndarray]:
    """`count` pictures of one shape, (H, W, 3) or (H, W, 4), uint8 RGB or RGBA. Raises ValueError.

    file : see `opened`.
    """
    pictures = []
    for k in range(count):
        picture = cv2.imdecode(file[f"picture{k}"], cv2.IMREAD_UNCHANGED)
        if picture is None or picture.shape != shape:
            raise ValueError("a picture cannot be decoded")
        pictures.append(np.ascontiguousarray(picture[..., [2, 1, 0, 3][: shape[2]]]))
    return pictures


def write(path: Path, pictures: Sequence[np.ndarray], suffix: str, option: tuple[int, int], **arrays: Any) -> None:
    """Write uint8 BGR or BGRA pictures, encoded as `suffix` (".jpg") with an option of `cv2.imencode`, and arrays."""
    coded: dict[str, Any] = {
        f"picture{k}": cv2.imencode(suffix, picture, option)[1] for k, picture in enumerate(pictures)
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **coded, **arrays)
