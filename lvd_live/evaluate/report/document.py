"""A report's folder, and what can be put into it."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lvd_live.evaluate.plots import check_matplotlib, new_figure, save_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Cell = str | float
Header = tuple[str, ...]
Rows = Sequence[Sequence[Cell]]


class Report:
    """A folder that fills up.

    report.md is written anew after every section, so that an interrupted run leaves what it has.
    Raises UserError without matplotlib, which its plots need.
    """

    def __init__(self, folder: Path, title: str):
        check_matplotlib("The report")
        self.folder, self._lines = folder, [f"# {title}", ""]
        folder.mkdir(parents=True, exist_ok=True)

    def say(self, *lines: str) -> None:
        """Add lines of one block; a heading stands apart."""
        for line in lines:
            self._lines += (line, "") if line.startswith("#") else (line,)
        self._lines.append("")
        (self.folder / "report.md").write_text("\n".join(self._lines))

    def table(self, name: str, header: Header, rows: Rows) -> None:
        """Add a table to the text, rounded, and write it to NAME.csv as it is."""
        with (self.folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])
        self.say(*markdown(header, rows))

    def plot(self, name: str, caption: str, draw: Callable[[Axes], None]) -> None:
        """Add a plot, written to NAME.png. draw : called with the axes to draw on."""
        figure = new_figure(5.2, 3.4)
        draw(figure.subplots())
        save_png(figure, self.folder / f"{name}.png")
        self.say(f"![{caption}]({name}.png)")


def markdown(header: Header, rows: Rows) -> list[str]:
    """A table as lines of Markdown, numbers rounded."""
    lines = ["| " + " | ".join(map(_rounded, row)) + " |" for row in (header, *rows)]
    return [lines[0], "|" + "---|" * len(header), *lines[1:]]


def _rounded(cell: Cell) -> str:
    if isinstance(cell, float):
        return f"{cell:.3g}" if abs(cell) < 10 else f"{cell:.1f}"
    return str(cell)
