"""The widgets that something is chosen by: made, explained, saved and restored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QSlider

from lvd_live.gui.height import LettersAreKeys
from lvd_live.gui.language import tr
from lvd_live.tracking.options import FOV_RANGE
from lvd_live.tracking.smoothing import LEVELS

TIPS = {
    "colour": "What the mesh's colours mean (C).",
    "opacity": "How much the mesh hides of the picture, 0 to 100 %.",
    "smoothing": "Takes the jitter out of what is shown, at the price of a delay; recordings stay as fitted.",
    "countdown": "Seconds from Record until the recording begins, to walk into the picture.",
    "presets": "The trained network.",
    "iterations": "Steps of the descent per frame; auto: until the mesh rests.",
    "conditioning": "What the network is given of the person finder beside the picture.",
    "fov": "The camera's field of view across the picture's longer side, degrees: it sets how far away the person is.",
    "mirror": "Show the picture as a mirror does (M).",
    "warm": "Start each fit from the last one: faster and calmer.",
    "outline": "Move arms and legs onto the outline of the person.",
    "hands": "Find the hands and pose the fingers, where the hands are seen from 24 pixels on.",
    "uncertainty": "Estimate, for each vertex, how far it may be off, mm.",
    "space": "Show the body in space (D).",
    "keep_in_view": "The 3D view moves with the person (F).",
    "plots": "Show times, ms, and rates per second (P).",
    "measure": "Lengths and girths of the person, cm.",
    "guidance": "Tell the person before the camera what to change: closer, farther, more light.",
    "language": "Which language the window speaks, from its next start on.",
    "theme": "Dark, light or high contrast; picture, 3D view and plots stay dark.",
    "green": "The body without the picture, to be cut out by another program.",
    "virtual": "Offer what is shown to other programs as a camera (needs pyvirtualcam).",
    "sound": "A beep for each second of the countdown, and where a recording begins and ends.",
    "gesture": "Both hands above the head for two seconds start a recording, and stop it.",
    "osc": "Listen on UDP port 9000, for other computers too: /record starts and stops; /record 1, /record 0.",
    "measurements": "From the shape of the last meshes, cm; true to scale only where the height is known.",
    "vmc": "Send the motion to another program by the Virtual Motion Capture protocol, over UDP.",
    "vmc_address": "The receiver's computer and port, such as 127.0.0.1:39539.",
    "vmc_state": "What is sent. Whether somebody receives it cannot be known: UDP has no answer.",
}

CONDITIONING_TEXTS = {"all": "landmarks and maps", "maps": "feature maps", "picture": "picture and mask"}
COUNTDOWNS = (0, 3, 5, 10)  # seconds before a recording begins

Choice = QComboBox | QCheckBox | QSlider | QDoubleSpinBox


def combo_box(texts: Mapping[Any, str], *, ready: bool = False) -> QComboBox:
    """texts : by the data that they stand for. ready : they are in the language used already."""
    box = QComboBox()
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    for data, text in texts.items():
        box.addItem(text if ready else tr(text), data)
    return box


def check_box(text: str, checked: bool = True) -> QCheckBox:
    """Not focused by a click, so that the space bar keeps its meaning for those who use the mouse."""
    box = QCheckBox(tr(text))
    box.setChecked(checked)
    box.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return box


def state(widget: Choice) -> int | bool | float:
    if isinstance(widget, QComboBox):
        return widget.currentIndex()
    return widget.isChecked() if isinstance(widget, QCheckBox) else widget.value()


def set_state(widget: Choice, value: Any) -> None:
    """Raises TypeError or ValueError for a value that is none of the widget's."""
    if isinstance(widget, QComboBox):
        widget.setCurrentIndex(min(max(int(value), 0), widget.count() - 1))
    elif isinstance(widget, QCheckBox):
        widget.setChecked(value in (True, "true"))
    elif isinstance(widget, QSlider):
        widget.setValue(int(value))
    else:
        widget.setValue(float(value))


class FovBox(QDoubleSpinBox):
    """Degrees; below FOV_RANGE it says "as started".

    by_camera : what was measured, by the camera's name. is_given : it was said when the program was started.
    """

    def __init__(self) -> None:
        super().__init__()
        self.by_camera: dict[str, float] = {}
        self.is_given = False
        self.setDecimals(1)
        self.setRange(FOV_RANGE[0] - 1, FOV_RANGE[1])
        self.setSuffix("°")
        self.setSpecialValueText(tr("as started"))
        self.setKeyboardTracking(False)
        letters = LettersAreKeys(self)
        for widget in (self, self.lineEdit()):
            widget.installEventFilter(letters)

    def keep(self, degrees: float, camera: str) -> None:
        """Use a field of view that was measured, and remember it for a camera, "" for none that is listed."""
        self.setValue(degrees)
        if camera:
            self.by_camera[camera] = round(degrees, 2)

    def use_of(self, camera: str) -> None:
        """Use what is remembered of a camera; where nothing is, what was chosen stays."""
        if camera in self.by_camera and not self.is_given:
            self.setValue(self.by_camera[camera])

    def restore(self, text: Any) -> None:
        """Remember what a setting says, which somebody may have edited."""
        try:
            values = json.loads(str(text or "{}")).items()
            self.by_camera = {str(n): float(v) for n, v in values if FOV_RANGE[0] <= float(v) <= FOV_RANGE[1]}
        except (ValueError, TypeError, AttributeError, RecursionError):
            self.by_camera = {}


def level_text(name: str) -> str:
    """A level of smoothing, and what it costs."""
    level = LEVELS[name]
    if level is None:
        return tr(name)
    return tr("{} (at most {:.0f} ms late, more in depth)").format(tr(name), level.lag_ms)
