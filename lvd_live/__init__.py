"""LVD Live: a body mesh that follows one person in front of one camera, by Learned Vertex Descent."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read as onnxruntime is imported: it reports nothing, stores no id

__version__ = "0.1.0"
