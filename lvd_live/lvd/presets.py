"""What can be chosen of the network, as plain data: importing this imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lvd_live.lvd.backbones.base import Backbone

CONDITIONING = ("all", "maps", "picture")
"""What the network is given of the person finder's opinion: landmarks and detector features, detector features alone,
or neither."""

INT8 = "int8"
ENGINES = ("float32", "bfloat16", "onnxruntime", INT8)
"""What can run the network on a CPU, see `runtime.runtime.Runtime`."""


@dataclass(frozen=True)
class Preset:
    """How a network is built.

    name : of the preset, and of its weights in models/weights.
    backbone : a name in `backbones.BACKBONES`, or what makes a backbone (see there).
    size : the crop's side, pixels.
    vertices : N, how many vertices the head serves.
    hidden : width of the field's layers.
    clip : crop units, or None, see `field.Field`.
    landmarks : whether the network takes conditioning, landmarks and detector features.
    relaxation : ω of `descent.iterate`; over 1, a mesh that is nearly there arrives in fewer steps.
    """

    name: str
    backbone: str | Callable[[int, int, int], Backbone]
    size: int
    vertices: int
    hidden: int
    clip: float | None
    landmarks: bool
    relaxation: float = 1.0


CLIP = 0.288  # crop units: 18 % of the height of a body that fills 80 % of the crop

PRESETS = {
    "live": Preset("live", "fpn", size=192, vertices=1_723, hidden=256, clip=CLIP, landmarks=True, relaxation=1.2),
    "paper": Preset("paper", "hourglass", size=256, vertices=6_890, hidden=512, clip=None, landmarks=False),
}


@dataclass(frozen=True)
class ScanPreset:
    """How a network for scans is built.

    name : of the preset, and of its weights in models/weights.
    backbone : a name in `volume.pyramids.PYRAMIDS`. evidence : a name in `volume.voxels.EVIDENCE`.
    size : the volume's side, voxels. vertices : N, how many vertices the head serves.
    hidden : widths of the field's layers. clip : cube frame's units, or None, see `field.Field`.
    """

    name: str
    backbone: str
    evidence: str
    size: int
    vertices: int
    hidden: tuple[int, ...]
    clip: float | None


SCAN_PRESETS = {
    "scan": ScanPreset("scan", "scan", "density", size=48, vertices=1_723, hidden=(256, 256), clip=0.36),
    "hand": ScanPreset("hand", "hand", "density", size=48, vertices=778, hidden=(224, 224), clip=0.36),
    "paper-scan": ScanPreset(
        "paper-scan", "paper", "squared distance", 128, 6_890, hidden=(2048, *(4096,) * 4), clip=None
    ),
}
"""Networks for scans: one for a CPU, one for hands (MANO's vertices), and the published one, in whose shapes everything
is exact. It clips no output: its targets are clipped, at 18 % of the body's height."""
