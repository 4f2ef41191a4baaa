"""Read a recorded session, meshes and pictures: python examples/05_read_a_session.py recordings/2026-01-31-walk"""

import sys
from pathlib import Path

from lvd_live import UserError
from lvd_live.session.reader import open_session

if len(sys.argv) != 2:
    sys.exit(__doc__)
try:
    session = open_session(Path(sys.argv[1]))
except UserError as error:
    sys.exit(str(error))
print(f"{len(session.tracked)} frames at {session.fps:.0f} fps, {session.tracked.sum()} with a person")
for row, frame in session.frames():
    vertices = session.vertices[row]  # (N, 3) metres, from the disk as it is asked for
    if row % 30 == 0:
        height, width = frame.picture.shape[:2]
        print(f"frame {row}: {width}×{height} pixels, the mesh is {vertices[:, 2].mean():.2f} m away")
