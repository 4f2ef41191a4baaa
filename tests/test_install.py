"""The wheel: what is in it, and that it runs from another folder in an environment of its own."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from lvd_live.session.sequence import load_sequence
from tests.conftest import ROOT

LARGEST = 80e6  # bytes, with the networks for scans and hands
FIVE_LINES = """
import lvd_live, numpy, sys
assert "torch" not in sys.modules
tracker = lvd_live.load()
fits = list(lvd_live.track("five.mp4"))
print(len(fits), fits[0].vertices.shape, fits[0].landmarks_3d.shape, tracker.faces.shape)
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", folder, ROOT]
    subprocess.run(list(map(str, build)), check=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The folder of programs of a fresh environment with the wheel; its dependencies are those of this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / ("python.exe" if os.name == "nt" else "python")
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip())
    here = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "dependencies.pth").write_text("\n".join(sorted(here)) + "\n")
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "-q", wheel]
    subprocess.run(list(map(str, install)), check=True)
    return scripts


@pytest.fixture(scope="module")
def elsewhere(demo, tmp_path_factory) -> Path:
    """A folder with nothing but the demo's first five frames."""
    folder = tmp_path_factory.mktemp("elsewhere")
    demo(folder / "five.mp4", 5)
    return folder


def run(*arguments, cwd):
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    result = subprocess.run(list(map(str, arguments)), cwd=cwd, env=clean, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_wheel_holds_one_package_with_all_it_needs(wheel):
    assert wheel.stat().st_size < LARGEST
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"lvd_live"}
    for name in ("py.typed", "models/weights/live.safetensors", "models/body/lvd_body.npz", "gui/window.py"):
        assert f"lvd_live/{name}" in names


def test_the_command_runs_from_another_folder(installed, elsewhere):
    assert run(installed / "lvd-live", "--version", cwd=elsewhere).startswith("lvd_live ")
    assert "5 of 5 frames tracked" in run(installed / "lvd-live", "--video", "five.mp4", cwd=elsewhere)
    assert load_sequence(elsewhere / "five.npz").tracked.all()
    run(installed / "lvd-live", "export", "five.npz", "--to", "five.bvh", cwd=elsewhere)
    assert sorted(path.name for path in elsewhere.iterdir()) == ["five.bvh", "five.mp4", "five.npz"]


def test_five_lines_give_a_mesh(installed, elsewhere):
    said = run(installed / "python", "-c", FIVE_LINES, cwd=elsewhere)
    assert said.strip() == "5 (6890, 3) (33, 3) (13776, 3)"
