"""Tables that grow during a run."""

from __future__ import annotations

import csv
from pathlib import Path


def append_row(path: Path, **values: float | str) -> None:
    """Add a row to a CSV file, with a header if it is new."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, values)
        if new:
            writer.writeheader()
        writer.writerow(values)
