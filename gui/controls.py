"""What can be chosen beside the picture: how the mesh looks, how it is tracked, what else is shown. Remembered between runs."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from PySide6.QtCore import QSettings, Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QScrollArea,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from lvd_live.gui.painter import Look
from lvd_live.gui.shading import COLOURS
from lvd_live.lvd.presets import PRESETS
from lvd_live.paths import MODELS
from lvd_live.tracking.options import TrackerOptions
from lvd_live.tracking.smoothing import LEVELS

PERTURBATIONS = 8  # of Eq. 3, per vertex
LEAST_HEIGHT = 0.5  # metres; a spin box below it says "not known"
SEES = {"all": "landmarks and maps", "maps": "feature maps", "picture": "picture and mask"}


class Controls(QScrollArea):
    """look_changed, options_changed, preset_changed: something of `look`, `options`, `preset` is different. shown_changed: `space`, `plots` or `follow` is."""

    look_changed, options_changed, preset_changed, shown_changed = Signal(), Signal(), Signal(), Signal()

    def __init__(self):
        super().__init__(widgetResizable=True, horizontalScrollBarPolicy=Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.colour, self.smoothing, self.iterations, self.conditioning, self.presets = (QComboBox() for _ in range(5))
        self.colour.addItems(COLOURS)
        for name, level in LEVELS.items():
            self.smoothing.addItem(
                f"{name} (at most {level.lag_ms:.0f} ms late, more in depth)" if level else name, name
            )
        for number in (None, *range(1, 9)):
            self.iterations.addItem("auto" if number is None else str(number), number)
        for told, text in SEES.items():
            self.conditioning.addItem(text, told)
        for preset in PRESETS:
            if (MODELS / "weights" / f"{preset}.safetensors").exists():
                self.presets.addItem(preset)
        self.opacity = QSlider(Qt.Orientation.Horizontal, minimum=0, maximum=100, value=65)
        self.height_m = QDoubleSpinBox(
            minimum=LEAST_HEIGHT - 0.01,
            maximum=2.6,
            singleStep=0.01,
            decimals=2,
            suffix=" m",
            specialValueText="not known",
        )
        self.mirror, self.warm, self.outline, self.uncertainty = (
            QCheckBox("mirror"),
            QCheckBox("start from the last mesh"),
            QCheckBox("limbs onto the outline"),
            QCheckBox("estimate uncertainty"),
        )
        self.space, self.follow, self.plots, self.measure = (
            QCheckBox("3D view"),
            QCheckBox("3D view follows"),
            QCheckBox("plots"),
            QCheckBox("measure the person"),
        )
        for box in (self.warm, self.outline, self.uncertainty, self.space, self.follow, self.plots, self.measure):
            box.setChecked(True)
        self.measurements = QLabel(objectName="measurements")
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        form = QFormLayout()
        rows = (
            ("colours", self.colour),
            ("opacity", self.opacity),
            ("smoothing", self.smoothing),
            ("network", self.presets),
            ("iterations", self.iterations),
            ("network sees", self.conditioning),
            ("height", self.height_m),
        )
        for label, widget in rows:
            if isinstance(widget, QComboBox):
                widget.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            form.addRow(label, widget)
        for box in (
            self.mirror,
            self.warm,
            self.outline,
            self.uncertainty,
            self.space,
            self.follow,
            self.plots,
            self.measure,
        ):
            form.addRow(box)
        inner = QWidget()
        layout = QVBoxLayout(inner)
        layout.addLayout(form)
        layout.addWidget(self.measurements)
        layout.addStretch(1)
        self.setWidget(inner)
        self.setMinimumWidth(270)

    def _connect(self) -> None:
        for signal in (
            self.colour.currentIndexChanged,
            self.smoothing.currentIndexChanged,
            self.opacity.valueChanged,
            self.mirror.toggled,
        ):
            signal.connect(lambda *_: self.look_changed.emit())
        for signal in (
            self.iterations.currentIndexChanged,
            self.conditioning.currentIndexChanged,
            self.height_m.valueChanged,
            self.warm.toggled,
            self.outline.toggled,
            self.uncertainty.toggled,
        ):
            signal.connect(lambda *_: self.options_changed.emit())
        for signal in (self.space.toggled, self.follow.toggled, self.plots.toggled):
            signal.connect(lambda *_: self.shown_changed.emit())
        self.presets.currentIndexChanged.connect(lambda *_: self.preset_changed.emit())
        self.measure.toggled.connect(self.measurements.setVisible)

    @property
    def look(self) -> Look:
        return Look(
            self.colour.currentText(), self.opacity.value() / 100, self.mirror.isChecked(), self.smoothing.currentData()
        )

    def applied_to(self, options: TrackerOptions) -> TrackerOptions:
        """`options`, but for those that are chosen here."""
        return replace(
            options,
            preset=self.preset,
            iterations=self.iterations.currentData(),
            conditioning=self.conditioning.currentData(),
            height=self.height_m.value() if self.height_m.value() >= LEAST_HEIGHT else None,
            warm=self.warm.isChecked(),
            uncertainty=PERTURBATIONS if self.uncertainty.isChecked() else 0,
            silhouette_fit=self.outline.isChecked(),
        )

    @property
    def preset(self) -> str:
        return self.presets.currentText() or "live"

    def choose(self, given: Mapping[str, Any]) -> None:
        """Set the options of a tracker that are given by name; others stay as they are."""
        for box, index in (
            (self.presets, self.presets.findText(given.get("preset", ""))),
            (self.conditioning, self.conditioning.findData(given.get("conditioning"))),
        ):
            if index >= 0:
                box.setCurrentIndex(index)
        if "iterations" in given:
            self.iterations.setCurrentIndex(self.iterations.findData(given["iterations"]))
        if given.get("height") is not None:
            self.height_m.setValue(given["height"])
        if "silhouette_fit" in given:
            self.outline.setChecked(given["silhouette_fit"])

    def next_colours(self) -> None:
        self.colour.setCurrentIndex((self.colour.currentIndex() + 1) % self.colour.count())

    def _kept(self) -> dict:
        """Widgets whose state is remembered, by name."""
        return {
            "colour": self.colour,
            "smoothing": self.smoothing,
            "iterations": self.iterations,
            "conditioning": self.conditioning,
            "opacity": self.opacity,
            "height": self.height_m,
            "mirror": self.mirror,
            "warm": self.warm,
            "outline": self.outline,
            "uncertainty": self.uncertainty,
            "space": self.space,
            "follow": self.follow,
            "plots": self.plots,
            "measure": self.measure,
        }

    def restore(self, settings: QSettings) -> None:
        for name, widget in self._kept().items():
            value = settings.value(name)
            if value is None:
                continue
            with contextlib.suppress(TypeError, ValueError):  # a settings file that somebody edited
                if isinstance(widget, QComboBox):
                    widget.setCurrentIndex(min(max(int(value), 0), widget.count() - 1))
                elif isinstance(widget, QCheckBox):
                    widget.setChecked(value in (True, "true"))
                else:
                    widget.setValue(type(widget.value())(value))

    def save(self, settings: QSettings) -> None:
        for name, widget in self._kept().items():
            settings.setValue(
                name,
                widget.currentIndex()
                if isinstance(widget, QComboBox)
                else widget.isChecked()
                if isinstance(widget, QCheckBox)
                else widget.value(),
            )
