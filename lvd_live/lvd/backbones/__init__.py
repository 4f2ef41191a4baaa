"""Backbones by name: from a crop to the features that the field reads.

To add a backbone:

1. Write a subclass of `base.Backbone` in a file beside `fpn.py`. Its constructor takes three numbers, the channels of
   the picture (4), of the conditioning maps and of the context maps (0 and 0 for a preset without conditioning), and
   sets `stride`, `channels` and `whole`; options of its own need defaults. `forward` gives the feature map and the
   vector about the whole; `absorb` moves the field's first layer into the last one, in one line where that is a 1×1
   convolution: `self.out = then(self.out, weight)`.
2. Name it in BACKBONES, and give a preset that name: `Preset("mine", "mine", size=192, vertices=1_723, ...)` in
   `presets.PRESETS`; 1,723 are the body's control vertices, 6,890 all of them. Without touching this package, a preset
   can hold the class itself: `preset = replace(PRESETS["live"], name="mine", backbone=Mine)`; `LVD(preset)` is then the
   network, whose weights `weights.load_weights` reads.
3. Train it: `python -m lvd_live train --preset mine`. The weight file stores the preset's name, by which it is loaded.

Nothing else changes: field, descent and uncertainty know a backbone by its features alone. Every runtime takes it as
well. Batch norm that follows a convolution in an `nn.Sequential` is folded into it; convolutions, linear layers and
`fpn.Block` are packed for CPUs (`runtime.onednn`); onnxruntime exports what `torch.onnx.export` can export.
`tests/test_lvd.py` compares every runtime with the plain network: add the preset to
`test_a_runtime_equals_the_network`.
"""

from __future__ import annotations

from collections.abc import Callable

from lvd_live.lvd.backbones.base import Backbone
from lvd_live.lvd.backbones.fpn import FPN
from lvd_live.lvd.backbones.hourglass import StackedHourglass

BACKBONES: dict[str, Callable[[int, int, int], Backbone]] = {"fpn": FPN, "hourglass": StackedHourglass}
"""What makes a backbone from the channels of picture, conditioning maps and context maps."""
