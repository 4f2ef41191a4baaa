"""What can run the network on a CPU, by name; importing this imports no torch."""

from __future__ import annotations

from lvd_live.lvd import presets

INT8 = "int8"
ENGINES = (*presets.ENGINES, INT8)
"""See `runtime.Runtime`."""
