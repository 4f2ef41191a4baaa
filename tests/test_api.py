"""The library, and the examples that show it."""

import re
import runpy
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

import lvd_live
from lvd_live.pipeline.offline import process
from lvd_live.session.recorder import Recorder
from lvd_live.sources import VideoSource
from tests.conftest import ROOT
from tests.fakes import FakeFinder, FakeTracker
from tests.recording import record

EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))


@pytest.fixture(scope="module")
def clip(demo, tmp_path_factory):
    """The demo's first six frames: as a clip, its first picture, its sequence."""
    folder = tmp_path_factory.mktemp("clip")
    pictures = demo(folder / "clip.mp4", 6)
    cv2.imwrite(str(folder / "picture.png"), pictures[0][..., ::-1])
    return folder


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, lvd_live; assert not {'torch', 'numpy', 'cv2', 'PySide6', 'onnxruntime'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_finding_a_person_needs_no_torch():
    code = "import sys, lvd_live; lvd_live.load; from lvd_live.person import blazepose, hands, onnx\n"
    code += "blazepose.BlazePoseFinder('models/blazepose'), hands.HandFinder('models/hands')\n"
    code += "assert onnx.has_gpu() or 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_picture_gives_a_mesh_and_an_empty_one_none(clip):
    tracker = lvd_live.load(height=1.75, uncertainty=0)
    with VideoSource(clip / "clip.mp4") as source:
        fits = [tracker(frame.picture, timestamp_ns=frame.timestamp_ns) for frame in source]
    assert [fit.frame_index for fit in fits] == list(range(6)) and fits[0].cold and not fits[1].cold
    first = fits[0]
    assert first.vertices.shape == (6890, 3) and first.landmarks_3d.shape == (33, 3)
    np.testing.assert_allclose(first.landmarks_3d, tracker.tracker.body.landmarks.numpy() @ first.vertices, atol=1e-5)
    assert first.vertices[:, 2].min() > 0.3 and tracker.faces.max() == 6889
    assert tracker(np.full((120, 160, 3), 90, np.uint8)) is None
    with pytest.raises(ValueError, match="uint8 RGB"):
        tracker(np.zeros((120, 160), np.uint8))


def test_a_video_gives_a_fit_a_frame(clip):
    threads = torch.get_num_threads(), cv2.getNumThreads(), threadpool_info()
    fits = list(lvd_live.track(clip / "clip.mp4"))
    assert threads == (torch.get_num_threads(), cv2.getNumThreads(), threadpool_info())  # what it set is set back
    assert not any(thread.name == "prefetch" for thread in threading.enumerate())
    assert [fit.frame_index for fit in fits] == list(range(6)) and fits[-1].timestamp_ns > fits[0].timestamp_ns
    with pytest.raises(lvd_live.UserError, match="no file"):
        next(lvd_live.track(clip / "none.mp4"))


def test_options_that_cannot_be_are_refused():
    for name, value in (("height", 9.0), ("conditioning", "none"), ("iterations", 99), ("preset", ["live"])):
        with pytest.raises((ValueError, TypeError)):
            lvd_live.TrackerOptions(**{name: value})
    options = lvd_live.TrackerOptions(height=1.8, iterations=3, silhouette_fit=False)
    assert lvd_live.TrackerOptions.from_json(options.to_json()) == options
    before = {"evidence": "maps", "warm_start": False, "iterations": "auto", "outline": True, "other": 1}
    assert lvd_live.TrackerOptions.from_json(before) == lvd_live.TrackerOptions(conditioning="maps", warm=False)
    with pytest.raises(ValueError, match="height"):
        lvd_live.TrackerOptions.from_json({"height": {"nested": 1}})


def test_observers_see_every_frame(clip, tmp_path):
    seen = []
    with VideoSource(clip / "clip.mp4") as source:
        process(
            source,
            FakeFinder(missing={2}),
            FakeTracker(),
            output=tmp_path / "out.npz",
            progress=False,
            on_fit=[lambda frame, person, fit: seen.append((frame.index, person is None, fit is None))],
        )
    assert seen == [(i, i == 2, i == 2) for i in range(6)]


def test_examples_are_short_and_numbered():
    assert [int(path.name[:2]) for path in EXAMPLES] == list(range(1, len(EXAMPLES) + 1))
    for path in EXAMPLES:
        assert path.read_text().count("\n") < 40 and re.match(r'"""[^"]+', path.read_text()), path.name


def arguments(name: str, clip, folder) -> list[str]:
    if name.startswith("04"):
        with VideoSource(clip / "clip.mp4") as source:
            from lvd_live.lift.finder import make_finder

            process(source, make_finder(), lvd_live.Tracker.load(), output=folder / "clip.npz", progress=False)
    given = {
        "01": [clip / "picture.png", folder / "mesh.obj"],
        "02": [clip / "clip.mp4", folder / "meshes.npz"],
        "03": [clip / "clip.mp4", 4],
        "04": [folder / "clip.npz", folder / "clip.glb"],
        "06": [folder / "run"],
        "07": [],
    }
    if name.startswith("05"):
        recorder: Recorder = record(folder, 40)
        return [str(recorder.path)]
    return list(map(str, given[name[:2]]))


@pytest.mark.parametrize(
    "path", [pytest.param(path, marks=[pytest.mark.slow] * ("train" in path.stem), id=path.stem) for path in EXAMPLES]
)
def test_every_example_runs(path, clip, tmp_path):
    if path.name.startswith("06"):
        pytest.importorskip("moderngl", reason="training needs the extra [train]")
    command = [sys.executable, str(path), *arguments(path.name, clip, tmp_path)]
    import os

    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment.pop("DISPLAY", None)
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.strip()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_without_arguments_says_what_it_takes(path, monkeypatch):
    source = path.read_text()
    if "sys.exit(__doc__)" not in source:
        pytest.skip("it takes none, or has defaults")
    monkeypatch.setattr(sys, "argv", [str(path)])
    with pytest.raises(SystemExit, match=f"python examples/{path.name} "):
        runpy.run_path(str(path))
