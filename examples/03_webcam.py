"""A webcam loop of one's own with OpenCV: python examples/03_webcam.py [0|clip.mp4] [frames]; Esc ends it."""

import os
import sys

import cv2

import lvd_live
from lvd_live import render

place = sys.argv[1] if len(sys.argv) > 1 else "0"
most = int(sys.argv[2]) if len(sys.argv) > 2 else None
window = os.name == "nt" or sys.platform == "darwin" or "DISPLAY" in os.environ
capture = cv2.VideoCapture(int(place) if place.isdecimal() else place)
if not capture.isOpened():
    sys.exit(f"{place} cannot be opened.")
tracker = lvd_live.load()
done = 0
while done != most:
    ok, picture = capture.read()
    if not ok:
        break
    rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    fit = tracker(rgb)
    if fit is not None:
        rgb = render.overlay(rgb, fit.vertices, tracker.faces, fit.intrinsics, 0.6)
    done += 1
    if window:
        cv2.imshow("LVD Live", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        if cv2.waitKey(1) == 27:
            break
print(f"{done} pictures")
