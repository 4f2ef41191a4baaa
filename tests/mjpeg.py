"""A camera on the loopback: an MJPEG stream over HTTP that runs, stalls or closes as told."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np


class Camera:
    """Streams `pictures` (each (H, W, 3) uint8 RGB) in a loop at `fps`. mode: "run", "stall" (connected, silent) or "close" (hangs up, refuses)."""

    def __init__(self, pictures, fps=25.0):
        self.jpegs = [cv2.imencode(".jpg", np.ascontiguousarray(p[..., ::-1]))[1].tobytes() for p in pictures]
        self.fps, self.mode = fps, "run"
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                if camera.mode == "close":
                    return
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                number, due = 0, time.monotonic()
                try:
                    while camera.mode != "close":
                        if camera.mode == "run":
                            jpeg = camera.jpegs[number % len(camera.jpegs)]
                            self.wfile.write(
                                b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
                                + jpeg
                                + b"\r\n"
                            )
                            number += 1
                        due = max(due + 1 / camera.fps, time.monotonic() - 1)
                        time.sleep(max(due - time.monotonic(), 0))
                except OSError:
                    pass  # the viewer has gone

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/video.mjpg"

    def close(self):
        self.mode = "close"
        self.server.shutdown()
        self.server.server_close()
