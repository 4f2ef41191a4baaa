"""The tools: everything beside the main job. `lvd-live TOOL …` or `python -m lvd_live TOOL …`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from lvd_live import __version__
from lvd_live.errors import UserError

TOOLS = {
    "train": ("lvd_live.train.cli", "train a network on synthetic people"),
    "ablate": ("lvd_live.train.ablations", "train with one change at a time: what the error hangs on"),
    "evaluate": ("lvd_live.evaluate.cli", "measure a network on real pictures and on synthetic people"),
    "register": ("lvd_live.scan.cli", "register a body to a 3D scan or point cloud: SMPL, SMPL+D"),
    "bench": ("lvd_live.bench.cli", "time one frame, stage by stage"),
    "batch": ("lvd_live.pipeline.batch", "track many clips: all cores, or a Ray cluster"),
    "export": (
        "lvd_live.export.cli",
        "take a sequence or a session to Blender, Unity, Python: npz, GLB, BVH, USD, OBJ, PLY, CSV",
    ),
    "recover": ("lvd_live.session.recover", "repair a recorded session after a crash"),
    "replay": ("lvd_live.pipeline.replay", "track a session's video again and compare"),
    "bake": ("lvd_live.synth.bake", "make the body, poses and wardrobe that the models folder holds"),
    "synth": ("lvd_live.synth.cli", "make synthetic people: shards, or a sheet of samples to look at"),
}


USAGE = """usage: lvd-live TOOL [options]

{tools}

The main job is lvd-live without a tool; lvd-live TOOL --help says more.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool named first in `argv` with the rest. Raises UserError for a tool that does not exist."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(USAGE.format(tools="\n".join(f"  {name:<10}{what}" for name, (_, what) in TOOLS.items())))
        return 0 if arguments else 2
    if arguments[0] == "--version":
        sys.stdout.write(f"lvd_live {__version__}\n")
        return 0
    tool = arguments[0]
    if tool not in TOOLS:
        raise UserError(f"There is no tool {tool!r}; there are {', '.join(TOOLS)}.")
    try:
        module = importlib.import_module(TOOLS[tool][0])
        return int(module.main(arguments[1:]) or 0)  # tools import what only they need when they run
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package in ("lvd_live", ""):
            raise
        raise UserError(
            f"The tool {tool} needs the package {package}, which is not installed: pip install 'lvd-live[train]' "
            "(in a checkout: pip install -e '.[train]')."
        ) from error
