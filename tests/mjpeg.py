"""A camera on the loopback: an MJPEG stream over HTTP."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np


class Camera:
    """Streams `pictures`, each (H, W, 3) uint8 RGB, in a loop at `fps`.

    mode : "run", "stall" (connected, silent) or "close" (hangs up, refuses); may be set at any time.
    """

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
                try:
                    camera.stream(self.wfile)
                except OSError:
                    pass  # the viewer has gone

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/video.mjpg"

    def stream(self, out):
        """Write pictures to one viewer until `mode` is "close"."""
        number, due = 0, time.monotonic()
        while self.mode != "close":
            if self.mode == "run":
                jpeg = self.jpegs[number % len(self.jpegs)]
                head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
                out.write(head + jpeg + b"\r\n")
                number += 1
            due = max(due + 1 / self.fps, time.monotonic() - 1)
            time.sleep(max(due - time.monotonic(), 0))

    def close(self):
        self.mode = "close"
        self.server.shutdown()
        self.server.server_close()
