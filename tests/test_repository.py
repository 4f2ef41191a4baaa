"""What travels with the repository: models, the demo clip, the Makefile."""

import hashlib
import re
import shutil
import subprocess

import av
import pytest

from tests.conftest import ROOT

DEMO = ROOT / "recordings" / "demo.mp4"


def test_models_are_the_ones_that_the_table_names():
    rows = re.findall(r"^\| `([^`]+)` \|.*`([0-9a-f]{64})` \|$", (ROOT / "models" / "README.md").read_text(), re.M)
    assert len(rows) >= 3
    for name, expected in rows:
        assert hashlib.sha256((ROOT / "models" / name).read_bytes()).hexdigest() == expected, name


def test_the_table_names_every_model_and_nothing_else():
    models = ROOT / "models"
    named = set(re.findall(r"^\| `([^`]+)` \|", (models / "README.md").read_text(), re.M))
    if (ROOT / ".git").exists() and shutil.which("git"):
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=models, capture_output=True, text=True, check=True
        ).stdout.split("\0")
        there = {name for name in listed if name}
    else:
        there = {path.relative_to(models).as_posix() for path in models.rglob("*") if path.is_file()}
    assert named == {name for name in there if not name.endswith((".md", ".png")) and name.split("/")[-1] != "README"}


def test_the_demo_clip_is_there_and_readable():
    with av.open(str(DEMO)) as file:
        assert file.streams.video[0].frames == 65


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_says_when_python_is_too_old(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    result = subprocess.run(["make", "-C", str(tmp_path), "PYTHON=false", "demo"], capture_output=True, text=True)
    assert result.returncode != 0 and "Python 3.11 or newer" in result.stderr
