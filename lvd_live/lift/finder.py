"""The person finder that the program uses: one that asks the lifter which of a person's sides is the left."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lvd_live.paths import MODELS
from lvd_live.person.blazepose import BlazePoseFinder
from lvd_live.person.exchange import opinion_of
from lvd_live.person.hands import HandFinder, WithHands
from lvd_live.person.mediapipe_backend import MediaPipeFinder
from lvd_live.person.quality import QUALITIES, Quality, resolve
from lvd_live.person.types import PersonFinder

if TYPE_CHECKING:
    from lvd_live.lift.lifter import Lifter


def make_finder(
    name: str = "blazepose", quality: str = "auto", *, live: bool = False, hands: bool = False
) -> PersonFinder:
    """A person finder by its name, "blazepose" or "mediapipe". Raises UserError where its models are missing.

    quality : one of `quality.CHOICES`; live : what "auto" means is for a camera. hands : find the hands, too: one a
    picture, in turns, where the quality is that for cameras, else both.
    """
    quality = resolve(quality, live=live)
    hand_finder = HandFinder(MODELS / "hands", both=quality == "best") if hands else None  # first: without torch
    finder: PersonFinder
    if name == "mediapipe":
        finder = MediaPipeFinder(MODELS / "mediapipe" / "pose_landmarker_full.task")
    else:
        finder = make_blazepose(QUALITIES[quality])
    return finder if hand_finder is None else WithHands(finder, hand_finder)


def make_blazepose(
    quality: Quality, models: Path = MODELS, *, providers: str = "auto", threads: int = 1
) -> BlazePoseFinder:
    """A BlazePose finder. models : the folder with the networks of finder and lifter. providers, threads : see
    `BlazePoseFinder`. Raises UserError."""
    finder = quality.finder(models / "blazepose", providers=providers, threads=threads)
    finder.sides.opinion = opinion_of(_lifter(models).doubts)
    return finder


def _lifter(models: Path) -> Lifter:
    from lvd_live.lift.lifter import Lifter  # here: the networks open while another thread imports torch for it

    return Lifter.shipped() if models == MODELS else Lifter.load(models / "lift" / "lifter.safetensors")
