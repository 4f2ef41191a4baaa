"""Stand-ins for a source, a finder and a tracker: an ellipsoid of a person that walks through grey pictures.

What they hand on are the program's own Frame, Person and Fit.
"""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import trimesh

from lvd_live.person.crop import Crop
from lvd_live.person.types import Person
from lvd_live.sources.frame import Frame
from lvd_live.tracking.fit import Fit
from lvd_live.tracking.options import TrackerOptions

_SPHERE = trimesh.creation.icosphere(2)
SHAPE = (np.asarray(_SPHERE.vertices) * (0.3, 0.9, 0.2) + (0.0, 0.0, 4.0)).astype(np.float32)
FACES = np.asarray(_SPHERE.faces, np.int32)
LANDMARKS = np.full((33, 3), 0.5, np.float32)
RUNTIME = SimpleNamespace(provider="fake", network=SimpleNamespace(preset=SimpleNamespace(name="fake")))


def fake_person(landmarks=LANDMARKS, is_new=False):
    """Somebody, with a mask of four pixels."""
    identity = np.eye(2, 3, dtype=np.float32)
    return Person(np.ones((2, 2), np.float32), identity, landmarks, np.zeros((33, 3), np.float32), 1.0, is_new)


def fake_fit(vertices, intrinsics, *, std=0.01, cold=True, iterations=6, index=0, time_ns=0):
    """A fit of a mesh (N, 3)."""
    return Fit(
        vertices=vertices,
        vertex_std=np.full(len(vertices), std, np.float32),
        landmarks_3d=np.zeros((33, 3), np.float32),
        intrinsics=intrinsics,
        iterations=iterations,
        step=0.001,
        cold=cold,
        crop=Crop(np.zeros(2), 1.0),
        crop_vertices=vertices,
        milliseconds={"descent": 1.0},
        steps=(0.001,),
        frame_index=index,
        timestamp_ns=time_ns,
    )


class FakeSource:
    """`count` frames of `sizes` (width, height) in turn; raises `error` after frame `stop`."""

    live, dropped, skipped, state, damaged = False, 0, 0, "running", None

    def __init__(self, count=6, sizes=((64, 48),), fps=25.0, stop=None, error=KeyboardInterrupt):
        self.frame_count, self.sizes, self.fps, self.stop, self.error = count, sizes, fps, stop, error

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        """Nothing is held open."""

    def __iter__(self):
        for index in range(self.frame_count):
            if index == self.stop:
                raise self.error
            width, height = self.sizes[index % len(self.sizes)]
            yield Frame(np.full((height, width, 3), 90, np.uint8), index, index * 40_000_000)


class FakeFinder:
    """Finds somebody in every frame whose number is not in `missing`."""

    provider = "fake"

    def __init__(self, missing=()):
        self.missing, self.calls, self.resets = set(missing), 0, 0

    def reset(self):
        self.resets += 1

    def find(self, picture):
        self.calls += 1
        return None if self.calls - 1 in self.missing else fake_person()


class FakeTracker:
    """Fits the ellipsoid, one centimetre further right per frame; NaN in the frames of `broken`."""

    faces, joint_regressor = FACES, np.zeros((24, len(SHAPE)), np.float32)

    def __init__(self, broken=()):
        self.broken, self.resets, self.fitted = set(broken), 0, False
        self.options, self.calibration = TrackerOptions(), None

    def reset(self):
        self.resets += 1
        self.fitted = False

    def change(self, **options):
        self.options = replace(self.options, **options)

    def describe(self):
        return {"preset": "fake"}

    def expected_error(self, vertex_std):
        return None

    def encode(self, frame, person, *, later=(), anew=False):
        return SimpleNamespace(frame=frame, person=person, options={"later": later} if later else {}, anew=anew)

    def fit(self, encoded):
        if encoded.anew:
            self.reset()
        return self.step(encoded.frame, encoded.person, **encoded.options)

    def forget_mesh(self):
        self.reset()

    def step(self, frame, person, *, later=()):
        height, width = frame.picture.shape[:2]
        vertices = SHAPE + np.float32([0.01 * frame.index, 0, 0])
        if frame.index in self.broken:
            vertices[3] = np.nan
        intrinsics = np.array([[1.2 * height, 0, (width - 1) / 2], [0, 1.2 * height, (height - 1) / 2], [0, 0, 1.0]])
        cold, self.fitted = not self.fitted, True
        return fake_fit(vertices, intrinsics, cold=cold, iterations=6 if cold else 2, index=frame.index)
