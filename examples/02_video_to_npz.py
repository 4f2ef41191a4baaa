"""Track a video and keep the meshes in an .npz: python examples/02_video_to_npz.py clip.mp4 meshes.npz"""

import sys

import numpy as np

import lvd_live

if len(sys.argv) != 3:
    sys.exit(__doc__)
try:
    fits = list(lvd_live.track(sys.argv[1], height=1.75))
except lvd_live.UserError as error:  # a sentence for the user: what is wrong, and what to do
    sys.exit(str(error))
if not fits:
    sys.exit("Nobody was found.")
np.savez_compressed(
    sys.argv[2],
    vertices=np.stack([fit.vertices for fit in fits]),  # (F, N, 3) metres, x right, y down, z forward
    vertex_std=np.stack([fit.vertex_std for fit in fits]),  # (F, N) metres
    landmarks_3d=np.stack([fit.landmarks_3d for fit in fits]),  # (F, 33, 3) metres
    frame_index=np.array([fit.frame_index for fit in fits]),
)
print(f"{len(fits)} meshes written to {sys.argv[2]}")
