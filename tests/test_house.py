"""The code keeps its own rules: format, lint, types, the directions of imports, sizes.

Types and imports are checked on the package as an installed program has it, with gui/ inside: see `installed_layout`.
"""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

LINES, FUNCTION = 300, 50


def sources():
    """The product's own files."""
    return sorted([*(ROOT / "lvd_live").rglob("*.py"), *(ROOT / "gui").rglob("*.py"), ROOT / "main.py"])


@pytest.fixture(scope="module")
def installed_layout(tmp_path_factory):
    """A folder that holds the package as a wheel does."""
    folder = tmp_path_factory.mktemp("layout")
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "lvd_live", folder / "lvd_live", ignore=ignore)
    (folder / "lvd_live" / "gui.py").unlink()
    shutil.copytree(ROOT / "gui", folder / "lvd_live" / "gui", ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def check(*arguments, cwd=ROOT, **environment):
    program = [sys.executable, "-m", *map(str, arguments)]
    result = subprocess.run(program, cwd=cwd, capture_output=True, text=True, env=os.environ | environment)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]


def test_format():
    check("ruff", "format", "--check", "--diff", ".")


def test_lint():
    check("ruff", "check", ".")


def test_types(installed_layout):
    check("mypy", "-p", "lvd_live", cwd=installed_layout)


def test_imports_go_down_and_never_in_a_circle(installed_layout):
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    program = [sys.executable, "-c", code]
    result = subprocess.run(
        program, cwd=installed_layout, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": "."}
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_and_functions_are_short(path: Path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= LINES
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    assert not {node.name: n for node in nodes if (n := node.end_lineno - node.lineno + 1) > FUNCTION}
