"""The `mediapipe` package as another finder: the same networks, in their makers' own program.

Not the default: mediapipe 1.2.2 resolves a Google host name each time a landmarker is created (usage logging, upstream
issue 6291), and no way to turn that off was found. It serves as the oracle that BlazePoseFinder is compared with.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lvd_live.errors import UserError
from lvd_live.person.types import Person

_FRAME_MS = 33  # mediapipe wants timestamps that rise; it uses them only to smooth the landmarks


class MediaPipeFinder:
    """A PersonFinder on mediapipe's PoseLandmarker in its video mode (it follows, and smooths the landmarks over time).

    task_file  a PoseLandmarker bundle such as pose_landmarker_full.task.
    Raises UserError when the package or the file is missing, or the file is not such a bundle.
    """

    def __init__(self, task_file: str | Path):
        path = Path(task_file)
        if not path.is_file():
            raise UserError(
                f"There is no MediaPipe model {path}: download pose_landmarker_full.task from the model list of "
                "MediaPipe's Pose Landmarker page, or use the default finder."
            )
        self._mediapipe = _import_mediapipe()
        self._path = path
        self._landmarker: Any = None  # the package has no types
        self.reset()

    def reset(self) -> None:
        """Forget the person followed, by making a new landmarker."""
        self.close()
        tasks = self._mediapipe.tasks
        options = tasks.vision.PoseLandmarkerOptions(
            base_options=tasks.BaseOptions(model_asset_path=str(self._path)),
            running_mode=tasks.vision.RunningMode.VIDEO,
            output_segmentation_masks=True,
        )
        try:
            self._landmarker = tasks.vision.PoseLandmarker.create_from_options(options)
        except (RuntimeError, ValueError, OSError):
            raise UserError(
                f"{self._path} is not a Pose Landmarker bundle that this mediapipe can read: download it again."
            ) from None
        self._time_ms = 0
        self._following = False

    def find(self, picture: np.ndarray) -> Person | None:
        """The person in `picture` ((H, W, 3) uint8 RGB), or None. The mask's grid is the picture's.

        mediapipe does not say how sure it is of the person: `score` is the mean presence of the landmarks.
        """
        image = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(picture))
        result = self._landmarker.detect_for_video(image, self._time_ms)
        self._time_ms += _FRAME_MS
        if not result.pose_landmarks or not result.segmentation_masks:
            self._following = False
            return None
        height, width = picture.shape[:2]
        found = result.pose_landmarks[0]
        landmarks = np.array([[p.x * width - 0.5, p.y * height - 0.5, p.visibility] for p in found], np.float32)
        world = np.array([[p.x, p.y, p.z] for p in result.pose_world_landmarks[0]], np.float32)
        mask = np.array(result.segmentation_masks[0].numpy_view(), np.float32).reshape(height, width)
        is_new, self._following = not self._following, True
        T_mask_from_picture = np.eye(2, 3, dtype=np.float32)
        return Person(mask, T_mask_from_picture, landmarks, world, float(np.mean([p.presence for p in found])), is_new)

    def close(self) -> None:
        """Stop mediapipe's threads; `reset` starts them again."""
        if self._landmarker is not None:
            self._landmarker.close()
            self._landmarker = None


def _import_mediapipe():
    try:
        import mediapipe
    except ImportError:
        raise UserError(
            "The mediapipe backend needs the mediapipe package: pip install mediapipe==1.2.2, or use the default "
            "finder."
        ) from None
    return mediapipe
