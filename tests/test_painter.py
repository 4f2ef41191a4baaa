"""What the window shows: the mesh over the picture as fitted, and in space at a distance that does not shake."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lvd_live.gui.painter import Look, Painter
from lvd_live.gui.shading import Mesh, View
from lvd_live.gui.snapshot import write_snapshot
from lvd_live.gui.space import SpaceView
from lvd_live.gui.upright import Upright
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
            faces=np.array([[0, 1, 2]], np.int32),
            options=SimpleNamespace(warm=True),
            expected_error=lambda std: None,
            joint_regressor=np.zeros((24, 3), np.float32),
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
    assert np.linalg.norm(np.cross(moved[0], drawn[::16].mean(0))) < 1e-3 * np.linalg.norm(moved[0])


def test_the_space_stands_upright_little_by_little(body):
    """Before a camera that looks down people lean; in space they stand, and it is the camera that is tilted."""
    tilt = Rotation.from_euler("x", 25, degrees=True).as_matrix()
    flip = np.diag([1.0, -1, -1])
    vertices = ((body.v_template.numpy() @ tilt.T + [0, 0, -4]) @ flip).astype(np.float32)
    landmarks, upright = np.full((33, 3), 30.0), Upright()
    landmarks[:, 2] = 0.9
    mesh = Mesh(vertices, body.faces.numpy(), np.zeros((len(vertices), 3), np.uint8), K)

    def lean():
        placed = upright(mesh, 0)
        np.testing.assert_allclose(placed.vertices @ placed.R_level_camera, vertices, atol=1e-5)
        top, bottom = (placed.vertices[rows].mean(0) for rows in ends)
        return np.degrees(np.arctan2((bottom - top)[2], (bottom - top)[1]))

    height = body.v_template.numpy()[:, 1]
    ends = height > height.max() - 0.1, height < height.min() + 0.1
    assert lean() == pytest.approx(25, abs=5)
    unseen = landmarks * [1, 1, 0.1]
    for _ in range(50):
        upright.note(vertices, body.J_regressor.numpy(), unseen, (64, 48))
    assert lean() == pytest.approx(25, abs=5)
    leans = []
    for _ in range(200):
        upright.note(vertices, body.J_regressor.numpy(), landmarks, (64, 48))
        leans.append(lean())
    assert leans[0] > 18 and abs(leans[-1]) < 6 and np.abs(np.diff(leans)).max() < 6
    assert len(SpaceView._camera_lines(upright(mesh, 0), (64, 48)))


def test_a_snapshot_is_in_the_cameras_frame(body, tmp_path):
    vertices = (body.v_template.numpy() + [0, 0, 4]).astype(np.float32)
    R = Rotation.from_euler("x", 25, degrees=True).as_matrix().astype(np.float32)
    mesh = Mesh(vertices @ R.T, body.faces.numpy(), np.zeros((len(vertices), 3), np.uint8), K, R)
    png = write_snapshot(View(None, np.zeros((4, 4, 3), np.uint8), mesh, (4, 4), 25), tmp_path)
    lines = [line.split()[1:] for line in png.with_suffix(".obj").read_text().splitlines() if line.startswith("v ")]
    np.testing.assert_allclose(np.array(lines, float), vertices * [1, -1, -1], atol=1e-4)
