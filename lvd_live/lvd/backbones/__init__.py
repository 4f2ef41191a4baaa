"""Backbones by name: what turns a crop into the features that the field reads."""

from lvd_live.lvd.backbones.fpn import FPN
from lvd_live.lvd.backbones.hourglass import StackedHourglass

BACKBONES = {"fpn": FPN, "hourglass": StackedHourglass}
