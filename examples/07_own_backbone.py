"""A backbone of one's own in the live preset: one forward pass and one step of descent on a random crop."""

from dataclasses import replace

import torch
from torch import nn

from lvd_live.lvd.descent import descend
from lvd_live.lvd.folded_field import FoldedField
from lvd_live.lvd.network import LVD
from lvd_live.lvd.presets import PRESETS


class Tiny(nn.Module):
    """Three strided convolutions: see `lvd_live.lvd.backbones` for what a backbone promises."""

    stride, channels, whole = 4, 32, 0

    def __init__(self, c_in: int, conditioning: int, context: int):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(c_in, 32, 3, 2, 1), nn.ReLU(), nn.Conv2d(32, 32, 3, 2, 1), nn.ReLU())
        self.merge = nn.Conv2d(32 + conditioning, 32, 1)
        self.conditioning = conditioning

    def forward(self, picture, conditioning=None, context=None):
        x = self.stem(picture)
        if conditioning is None:
            conditioning = x.new_zeros(len(x), self.conditioning, *x.shape[2:])
        return self.merge(torch.cat([x, conditioning], 1)), None


network = LVD(replace(PRESETS["live"], backbone=Tiny, vertices=100))
with torch.no_grad():
    field = FoldedField(network.field)
    prepared = field.prepare(network.encode(torch.rand(1, 4, 128, 128)))
    descent = descend(field, prepared, torch.zeros(1, 3), iterations=4)
print(f"{descent.vertices.shape[1]} vertices, mean steps {[round(s, 3) for s in descent.steps]}")
