"""A tracked sequence as a skinned GLB for Blender or Unity: python examples/04_export_glb.py clip.npz clip.glb"""

import sys
from pathlib import Path

from lvd_live import UserError
from lvd_live.export import export

if len(sys.argv) != 3:
    sys.exit(__doc__)
try:
    done = export(Path(sys.argv[1]), Path(sys.argv[2]))
except UserError as error:
    sys.exit(str(error))
print(f"written to {done.path}")
