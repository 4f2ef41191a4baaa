"""An array over the frames of a recording that stays on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


class Rows:
    """An array (F, …) float32 whose rows are read as they are asked for.

    It is indexed as NumPy's are, by numbers, slices, index arrays and masks; `np.asarray` reads all of it.

    shape : of the whole. read : row number to (…) float32, an array of the caller's own.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, shape: tuple[int, ...], read: Callable[[int], np.ndarray]):
        self.shape, self._read = shape, read

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self._read(row) for row in range(len(self)))

    def __getitem__(self, key: Any) -> np.ndarray:
        first, rest = (key[0], key[1:]) if isinstance(key, tuple) and key else (key, ())
        if first is Ellipsis:
            first, rest = slice(None), (Ellipsis, *rest)
        chosen = np.arange(len(self))[first]
        if chosen.ndim == 0:
            return self._read(int(chosen))[rest]
        rows = np.zeros((chosen.size, *self.shape[1:]), np.float32)
        for target, row in zip(rows, chosen.ravel(), strict=True):
            target[:] = self._read(int(row))
        rows = rows.reshape(*chosen.shape, *self.shape[1:])
        return rows[(slice(None),) * chosen.ndim + rest] if rest else rows

    def part(self, first: int, end: int) -> Rows:
        """The rows first … end - 1, still on disk."""
        return Rows((end - first, *self.shape[1:]), lambda row: self._read(first + row))

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)
