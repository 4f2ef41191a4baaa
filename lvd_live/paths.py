"""Where the repository keeps what travels with it."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "models"
RECORDINGS = ROOT / "recordings"
DEMO = RECORDINGS / "demo.mp4"
