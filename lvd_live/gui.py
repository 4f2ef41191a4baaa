"""The window, which knows Qt and nothing else does.

In a checkout its modules lie beside the package, in the folder gui/; a wheel holds them here, as a package so named.
"""

from pathlib import Path

__path__ = [str(Path(__file__).resolve().parent.parent / "gui")]
