"""The real window under a virtual screen, by real keys and clicks: from the first screen to a file and back."""

import os
import subprocess
import sys

import pytest

from lvd_live.session.library import list_sessions
from tests.conftest import ROOT
from tests.driver import MISSING, Screen

pygltflib = pytest.importorskip("pygltflib", reason="pygltflib is not installed")


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
def test_a_take_from_the_first_screen_to_a_file(tmp_path):
    with Screen() as display:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("QT_", "WAYLAND"))}
        environment |= {"DISPLAY": display, "PYTHONPATH": str(ROOT), "QT_QPA_PLATFORM": "xcb"}
        program = [sys.executable, "-m", "tests.drive_window", str(tmp_path)]
        done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=420)
    assert done.returncode == 0, done.stderr[-3000:]
    (take,) = list_sessions(tmp_path / "recordings")
    (file,) = (tmp_path / "recordings").glob("*.glb")
    gltf = pygltflib.GLTF2().load(str(file))
    times = gltf.accessors[gltf.animations[0].samplers[0].input]
    assert take.whole and take.unfitted == 0 and take.seconds > 2.9
    assert 0.1 < times.max[0] < take.seconds - 1  # the part alone
    assert len(list(tmp_path.glob("*.png"))) == 11
