"""Parsing a person's height."""

from __future__ import annotations

import argparse
import re

LOWEST, HIGHEST = 0.5, 2.6  # metres


def parse_height(text: str) -> float:
    """A person's height in metres from "1.78", "1.78m", "178" or "178cm".

    Raises argparse.ArgumentTypeError for other text and for heights outside LOWEST..HIGHEST.
    """
    match = re.fullmatch(r"\s*(\d+(?:[.,]\d+)?)\s*(m|cm)?\s*", text.lower())
    if match:
        value = float(match[1].replace(",", "."))
        metres = value / 100 if match[2] == "cm" or (match[2] is None and value > 3) else value
        if LOWEST <= metres <= HIGHEST:
            return metres
    raise argparse.ArgumentTypeError(f"{text!r} is no height of a person, such as 1.78 or 178cm")
