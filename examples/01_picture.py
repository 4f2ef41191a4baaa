"""Fit the body to the person in a picture, and write the mesh: python examples/01_picture.py photo.jpg mesh.obj"""

import sys

import cv2

import lvd_live

if len(sys.argv) != 3:
    sys.exit(__doc__)
picture = cv2.imread(sys.argv[1])
if picture is None:
    sys.exit(f"{sys.argv[1]} is no picture that can be read.")
tracker = lvd_live.load()
fit = tracker(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
if fit is None:
    sys.exit("Nobody was found.")

with open(sys.argv[2], "w") as file:
    for x, y, z in fit.vertices:
        file.write(f"v {x:.5f} {-y:.5f} {-z:.5f}\n")  # OBJ: y up; ours: y down, z forward
    for a, b, c in tracker.faces + 1:
        file.write(f"f {a} {b} {c}\n")
print(f"{len(fit.vertices)} vertices, {fit.vertices[:, 2].mean():.2f} m away, written to {sys.argv[2]}")
