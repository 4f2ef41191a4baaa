"""What the window shows: the mesh over the picture as fitted, and in space at a distance that does not shake."""

import threading
from types import SimpleNamespace

import numpy as np

from lvd_live.gui.painter import Look, Painter
from lvd_live.pipeline.items import Result
from lvd_live.sources.frame import Frame
from tests.fakes import fake_fit, fake_person

FRAME_NS = 40_000_000
K = np.array([[500.0, 0, 32], [0, 500, 24], [0, 0, 1]])


class FakePipeline:
    """Hands out results one by one, each once the one before is painted."""

    def __init__(self, results):
        self.results, self.ready = list(results), threading.Semaphore(1)
        self.tracker = SimpleNamespace(
            faces=np.array([[0, 1, 2]], np.int32), options=SimpleNamespace(warm=True), expected_error=lambda std: None
        )

    def take(self, timeout):
        if self.results and self.ready.acquire(timeout=timeout):
            return self.results.pop(0)
        return None


def result(number, distance):
    vertices = np.array([[-0.2, -0.3, 0], [0.2, -0.3, 0], [0, 0.5, 0]], np.float32) + np.float32([0, 0, distance])
    frame = Frame(np.full((48, 64, 3), 90, np.uint8), number, number * FRAME_NS)
    fit = fake_fit(vertices, K, cold=False, time_ns=frame.timestamp_ns)
    return Result(frame, fake_person(is_new=number == 0), fit, 0, 0, {})


def test_the_mesh_in_space_keeps_its_distance_and_the_drawn_one_its_place():
    distances = 2 + 0.03 * np.random.default_rng(0).choice([-1, 1], 40)
    results = [result(number, distance) for number, distance in enumerate(distances)]
    pipeline, views, done = FakePipeline(results), [], threading.Event()

    def on_painted(painter):
        views.append(painter.views.take(0))
        done.set() if len(views) == len(distances) + 1 else pipeline.ready.release()
        if len(views) == len(distances):
            painter.look = Look(colour="plain")  # the last result once more

    painter = Painter(pipeline, Look(colour="depth"), on_painted)
    assert done.wait(10)
    painter.close()
    seen = np.array([view.mesh.vertices[:, 2].mean() for view in views])
    assert np.abs(np.diff(seen[:40], n=2)).mean() < 0.25 * np.abs(np.diff(distances, n=2)).mean()
    assert seen[40] == seen[39]
    drawn = results[20].fit.vertices
    moved = views[20].mesh.vertices - drawn
    assert np.ptp(moved, axis=0).max() < 1e-6 and np.linalg.norm(moved[0]) > 1e-3  # along the line of sight, as a whole
    assert np.linalg.norm(np.cross(moved[0], drawn.mean(0))) < 1e-3 * np.linalg.norm(moved[0])
