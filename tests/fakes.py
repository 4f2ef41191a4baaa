"""Stand-ins for a source, a finder and a tracker: an ellipsoid of a person that walks through grey pictures."""

from dataclasses import dataclass

import numpy as np
import trimesh

_SPHERE = trimesh.creation.icosphere(2)
SHAPE = (np.asarray(_SPHERE.vertices) * (0.3, 0.9, 0.2) + (0.0, 0.0, 4.0)).astype(np.float32)
FACES = np.asarray(_SPHERE.faces, np.int32)


@dataclass(frozen=True)
class FakeFrame:
    picture: np.ndarray
    index: int
    timestamp_ns: int
    name: str = ""


@dataclass(frozen=True)
class FakePerson:
    landmarks: np.ndarray


@dataclass(frozen=True)
class FakeFit:
    vertices: np.ndarray
    vertex_std: np.ndarray
    intrinsics: np.ndarray
    iterations: int
    step: float
    cold: bool
    doubtful: bool = False


class FakeSource:
    """`count` frames of `sizes` (width, height) in turn; raises `error` after frame `stop`."""

    def __init__(self, count=6, sizes=((64, 48),), fps=25.0, stop=None, error=KeyboardInterrupt):
        self.frame_count, self.sizes, self.fps, self.stop, self.error = count, sizes, fps, stop, error
        self.damaged = ""

    def __iter__(self):
        for index in range(self.frame_count):
            if index == self.stop:
                raise self.error
            width, height = self.sizes[index % len(self.sizes)]
            yield FakeFrame(np.full((height, width, 3), 90, np.uint8), index, index * 40_000_000)


class FakeFinder:
    """Finds somebody in every frame whose number is not in `missing`."""

    provider = "fake"

    def __init__(self, missing=()):
        self.missing, self.calls, self.resets = set(missing), 0, 0

    def reset(self):
        self.resets += 1

    def find(self, picture):
        self.calls += 1
        return None if self.calls - 1 in self.missing else FakePerson(np.full((33, 3), 0.5, np.float32))


class FakeTracker:
    """Fits the ellipsoid, one centimetre further right per frame; NaN in the frames of `broken`."""

    faces = FACES

    def __init__(self, broken=()):
        self.broken, self.resets, self.fitted = set(broken), 0, False

    def reset(self):
        self.resets += 1
        self.fitted = False

    def describe(self):
        return {"preset": "fake"}

    def step(self, frame, person):
        height, width = frame.picture.shape[:2]
        vertices = SHAPE + np.float32([0.01 * frame.index, 0, 0])
        if frame.index in self.broken:
            vertices[3] = np.nan
        intrinsics = np.array([[1.2 * height, 0, (width - 1) / 2], [0, 1.2 * height, (height - 1) / 2], [0, 0, 1.0]])
        cold, self.fitted = not self.fitted, True
        return FakeFit(vertices, np.full(len(vertices), 0.01, np.float32), intrinsics, 6 if cold else 2, 0.001, cold)
