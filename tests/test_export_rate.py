"""At which rate a take is exported: ordinary video keeps its frames, what is resampled is said."""

from __future__ import annotations

import numpy as np
import pytest

from lvd_live.export import export
from lvd_live.export.mesh_frames import meshes
from lvd_live.export.motion import BodyMotion
from lvd_live.export.options import ExportOptions
from lvd_live.export.take import Take
from tests.test_export import perform, truth, write_take


@pytest.mark.parametrize("fps", [24000 / 1001, 24, 25, 30000 / 1001, 50, 60000 / 1001, 30])
@pytest.mark.parametrize("rounded", [False, True])
def test_ordinary_video_keeps_its_frames(body, tmp_path, fps, rounded):
    """Also where the container rounds the times to milliseconds, and where some frames have no mesh."""
    times = np.arange(72) / fps
    if rounded:
        times = np.round(times, 3)
    vertices, _ = perform(body, times)
    tracked = np.ones(72, bool)
    tracked[30:33] = False
    path = write_take(tmp_path / "walk.npz", body, vertices, times, fps, tracked)
    motion = BodyMotion(Take.open(path), ExportOptions(origin="camera", mesh="fitted"))
    assert motion.grid.fps == pytest.approx(fps) and len(motion) == 72 and not motion.grid.resampling
    rows = np.flatnonzero(tracked)
    np.testing.assert_array_equal(motion.grid.mix(rows.astype(float))[rows], rows)
    if fps in (24000 / 1001, 30):  # which takes seconds
        shown = [mesh and mesh[0] for mesh in meshes(motion)]
        for number in (0, 29, 33, 71):
            assert np.abs(shown[number] - truth(vertices[number])).max() < 0.004


def test_what_is_resampled_is_said(body, tmp_path):
    times = np.cumsum(np.random.default_rng(0).uniform(0.05, 0.11, 24))  # a camera's
    vertices, _ = perform(body, times)
    path = write_take(tmp_path / "walk.npz", body, vertices, times, 12.0)
    done = export(path, tmp_path / "walk.csv")
    assert any("resampled to 30" in note for note in done.notes)
    done = export(write_take(tmp_path / "b.npz", body, vertices, np.arange(24) / 25, 25.0), tmp_path / "b.csv", rate=60)
    assert any("25 frames per second were resampled to 60" in note for note in done.notes)
