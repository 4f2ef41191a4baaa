"""Where the models lie and where recordings go.

In a checkout both are beside the package. An installed program has the models inside the package and never writes into
its own folder: its recordings go to the user's documents.
"""

from __future__ import annotations

from pathlib import Path

import platformdirs

PACKAGE = Path(__file__).resolve().parent
CHECKOUT = (PACKAGE.parent / "pyproject.toml").is_file() and (PACKAGE.parent / "models").is_dir()
ROOT = PACKAGE.parent if CHECKOUT else PACKAGE
MODELS = ROOT / "models"
DEMO = ROOT / "recordings" / "demo.mp4"
RECORDINGS = ROOT / "recordings" if CHECKOUT else platformdirs.user_documents_path() / "LVD Live"


def demo_folder() -> Path:
    """Where the demo's results go: recordings/demo in a checkout, else lvd-live-demo in the current folder."""
    return RECORDINGS / "demo" if CHECKOUT else Path("lvd-live-demo")
