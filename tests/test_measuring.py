"""The live measuring: what is known of the person follows a change of their height at once."""

import time
from types import SimpleNamespace

import numpy as np
import pytest

from lvd_live.body.model import BodyModel
from lvd_live.paths import MODELS
from lvd_live.pipeline import measuring
from lvd_live.pipeline.measuring import Measurer
from lvd_live.tracking.options import TrackerOptions
from tests.fakes import fake_fit


@pytest.fixture
def measurer(monkeypatch):
    """One that measured the body as 1.80 m tall, and is now offered no more meshes."""
    monkeypatch.setattr(measuring, "EVERY_S", 0.0)
    body = BodyModel.load(MODELS / "body" / "lvd_body.npz")
    tracker = SimpleNamespace(shown_body=body, options=TrackerOptions(height=1.8))
    mesh = (body.v_template.numpy() * np.array([1, -1, -1]) + np.array([0, 0, 4])).astype(np.float32)
    measurer = Measurer(tracker)
    for _ in range(measuring.LEAST):
        measurer.offer(fake_fit(mesh, np.eye(3), cold=False))
    wait(lambda: measurer.latest)
    yield measurer
    measurer.close()


def wait(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def test_measurements_follow_the_height_at_once(measurer):
    before = measurer.latest
    assert before["height"].cm == pytest.approx(180)
    measurer.tracker.options = TrackerOptions(height=1.62)
    measurer.rescale()
    wait(lambda: measurer.latest is not before, seconds=2.0)
    for name, found in measurer.latest.items():
        assert found.cm == pytest.approx(0.9 * before[name].cm)


def test_without_a_height_nothing_old_is_said(measurer):
    measurer.tracker.options = TrackerOptions(height=None)
    measurer.rescale()
    assert measurer.latest == {}
    time.sleep(0.3)
    assert measurer.latest == {}
