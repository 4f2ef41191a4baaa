"""What the tests of recording share: frames, persons and fits of a body that walks past, and a session of them."""

import time

import numpy as np

from lvd_live.session.recorder import Recorder
from lvd_live.sources import Frame
from tests.fakes import FACES, SHAPE, fake_fit, fake_person

FPS = 30
SIZE = (96, 64)  # width, height


def make_frame(index, size=SIZE, start_ns=5_000_000_000):
    """A picture whose shade tells its number."""
    picture = np.full((size[1], size[0], 3), 16 + 2 * (index % 100), np.uint8)
    return Frame(picture, index, start_ns + round(index * 1e9 / FPS))


def make_fit(index):
    intrinsics = np.array([[60.0, 0, 47.5], [0, 60.0, 31.5], [0, 0, 1]])
    vertices = SHAPE + np.float32([0.013 * index, 0, 0])
    return fake_fit(vertices, intrinsics, std=0.001 * index, cold=index == 0, iterations=2, index=index)


def make_person(index):
    return fake_person(np.full((33, 3), index, np.float32))


def record(root, count=60, name="walk", untracked=(), absent=(), wait=True, **options):
    """Record `count` frames without a break; returns the stopped recorder. absent: frames that never come."""
    recorder = Recorder(root, name, faces=FACES, meta={"tracker": {"preset": "fake"}}, fps=FPS, **options)
    for index in range(count):
        if index not in absent:
            recorder.add(make_frame(index), make_person(index), None if index in untracked else make_fit(index))
        while wait and recorder.waiting > 2 and not recorder.problem:
            time.sleep(0.001)
    recorder.stop()
    return recorder
