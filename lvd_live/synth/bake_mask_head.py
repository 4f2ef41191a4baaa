"""The finder's mask head (`person.rearrange.Head`), distilled: it learns to give the original network's mask.

Rendered people, turned and scaled as in the finder's regions; binary cross-entropy with the original's probabilities.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lvd_live.errors import UserError
from lvd_live.paths import MODELS
from lvd_live.person.onnx import graph_outputs, make_session
from lvd_live.person.rearrange import DEPTHWISE, HEAD, LAYERS, NAME, NARROW, WIDE, rearranged
from lvd_live.person.roi import LANDMARK_SIZE
from lvd_live.synth.dataset import Shards

PEOPLE, STEPS, BATCH = 180, 830, 6
FASTEST = 2e-2  # learning rate
TURN, ZOOM = 8.0, (0.8, 1.15)  # of a crop in a region: standard deviation in degrees, and scale


class MaskHead(nn.Module):
    """What `Rearranged.put_mask_head` puts into the network: (B, NARROW, 128, 128) to logits (B, 1, 128, 128)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(NARROW, WIDE, 3, padding=1)
        self.second, self.fourth = (nn.Conv2d(WIDE, WIDE, 3, padding=1, groups=WIDE) for _ in DEPTHWISE)
        self.third, self.last = nn.Conv2d(WIDE, WIDE, 1), nn.Conv2d(WIDE, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.fourth(F.relu(self.third(F.relu(self.second(F.relu(self.first(x))))))))

    def arrays(self) -> dict[str, np.ndarray]:
        """A `Head`."""
        return {
            f"{name}_{part}": getattr(getattr(self, name), part).detach().numpy().astype(np.float16)
            for name in LAYERS
            for part in ("weight", "bias")
        }


def bake_mask_head(originals: Path, data: Path, models: Path = MODELS) -> Path:
    """Write models/blazepose/mask_head.npz, from the original networks' folder and shards in `data`; its path.

    Raises UserError where either is missing.
    """
    shards = Shards.open(data)
    if not shards.maps:
        raise UserError(f"There are no shards in {data}; make some with `python -m lvd_live synth --out {data}`.")
    head = distil(*seen_by_original(originals / NAME, shards, PEOPLE))
    path = models / "blazepose" / HEAD
    np.savez_compressed(path, **head.arrays())  # type: ignore[arg-type]
    return path


def seen_by_original(network: Path, shards: Shards, people: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What enters the original mask decoder's last stage, (n, NARROW, 128, 128), and the mask, (n, 1, 128, 128)."""
    original, rng = rearranged(network), np.random.default_rng(0)
    value = original.before_last_stage
    session = make_session(original.model.SerializeToString() + graph_outputs((value,)))
    values, masks = [], []
    for row in shards.draw(rng, people, ("picture",)):
        region = _in_region(row["picture"], rng)
        inner, mask = session.run([value, "Identity_2"], {"input_1": cv2.dnn.blobFromImage(region)})
        values.append(inner[0, :NARROW])
        masks.append(mask[0, None, :, :, 0])
    return torch.from_numpy(np.stack(values)), torch.from_numpy(np.stack(masks))


def distil(values: torch.Tensor, masks: torch.Tensor, steps: int = STEPS) -> MaskHead:
    """A trained head; see `seen_by_original`."""
    torch.manual_seed(0)
    head = MaskHead().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(head.parameters(), lr=FASTEST)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, FASTEST, total_steps=steps)
    for _ in range(steps):
        chosen = torch.randint(0, len(values), (BATCH,))
        loss = F.binary_cross_entropy_with_logits(head(values[chosen]), masks[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return head.eval()


def _in_region(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A crop (S, S, 3) uint8 as a region (LANDMARK_SIZE, LANDMARK_SIZE, 3)."""
    side = len(crop)
    T = cv2.getRotationMatrix2D(((side - 1) / 2,) * 2, rng.normal(0, TURN), LANDMARK_SIZE / side * rng.uniform(*ZOOM))
    middled = np.asarray(T, np.float64) + [[0, 0, (LANDMARK_SIZE - side) / 2]]
    return cv2.warpAffine(crop, middled, (LANDMARK_SIZE,) * 2, borderMode=cv2.BORDER_REPLICATE)
