"""What can be chosen beside the picture: how the mesh looks, how it is tracked, what else is shown."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from PySide6.QtCore import QSettings, Qt, Signal
from PySide6.QtWidgets import (
    QApplication,
    QCheckBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QScrollArea,
    QSizePolicy,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from lvd_live.gui.choices import (
    CONDITIONING_TEXTS,
    COUNTDOWNS,
    TIPS,
    Choice,
    FovBox,
    check_box,
    combo_box,
    level_text,
    set_state,
    state,
)
from lvd_live.gui.commands import ButtonKeys
from lvd_live.gui.flow import FlowLayout, together
from lvd_live.gui.height import HeightField
from lvd_live.gui.language import LANGUAGE_NAMES, languages, tr, used
from lvd_live.gui.painter import Look
from lvd_live.gui.people import PersonBox
from lvd_live.gui.remote import ADDRESS
from lvd_live.gui.shading import COLOURS
from lvd_live.gui.themes import THEMES, use_theme
from lvd_live.lvd.presets import CONDITIONING, PRESETS
from lvd_live.paths import MODELS
from lvd_live.tracking.options import FOV_RANGE, MOST_ITERATIONS, TrackerOptions
from lvd_live.tracking.smoothing import LEVELS

PERTURBATIONS = TrackerOptions.uncertainty  # per vertex, where the uncertainty is estimated

VMC_ADDRESS = "127.0.0.1:39539"  # the protocol's port, on this computer


class Controls(QScrollArea):
    """The widgets, by name, and what they say.

    look_changed : `look` is different.
    options_changed, preset_changed : what `applied_to` sets is different; the latter: another network.
    shown_changed : `space`, `plots` or `keep_in_view` is different.
    """

    look_changed, options_changed, preset_changed, shown_changed = Signal(), Signal(), Signal(), Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        levels = {name: level_text(name) for name in LEVELS}
        numbers = {None: "auto"} | {n: str(n) for n in range(1, MOST_ITERATIONS + 1)}
        networks = [name for name in PRESETS if (MODELS / "weights" / f"{name}.safetensors").exists()]
        self.colour = combo_box({name: name for name in COLOURS})
        self.smoothing = combo_box(levels, ready=True)
        self.countdown = combo_box({seconds: f"{seconds} s" if seconds else "none" for seconds in COUNTDOWNS})
        self.presets = combo_box({name: name for name in networks})
        self.iterations = combo_box(numbers)
        self.conditioning = combo_box({kind: CONDITIONING_TEXTS[kind] for kind in CONDITIONING})
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 100)
        self.opacity.setValue(65)
        self.fov = FovBox()
        self.height_field = HeightField()
        self.height_m = self.height_field.box
        self.person, self.theme = PersonBox(), combo_box({name: name for name in THEMES})
        self.language = combo_box({code: LANGUAGE_NAMES.get(code, code) for code in languages()}, ready=True)
        self.language.setCurrentIndex(self.language.findData(used()))
        self.mirror = check_box("mirror", False)
        self.warm = check_box("start from the last mesh")
        self.outline = check_box("limbs onto the outline")
        self.uncertainty = check_box("estimate uncertainty")
        self.hands = check_box("find the hands")
        self.space = check_box("3D view")
        self.keep_in_view = check_box("3D view follows")
        self.plots = check_box("plots")
        self.measure = check_box("measure the person")
        self.measurements = QLabel()
        self.guidance = check_box("advice in the picture")
        self.sound = check_box("sound", False)
        self.green, self.virtual = check_box("body alone on green", False), check_box("virtual camera", False)
        self.gesture, self.osc = check_box("raised hands record", False), check_box(f"OSC {ADDRESS} records", False)
        self.vmc, self.vmc_address, self.vmc_state = check_box("VMC", False), QLineEdit(), QLabel()
        self.essentials = self._lay_out_essentials()
        self._lay_out()
        self._explain()
        self._connect()

    def _lay_out_essentials(self) -> QWidget:
        """The row of what is wanted of nearly every take."""
        self.vmc_address.setFixedWidth(130)
        self.vmc_address.setText(VMC_ADDRESS)
        self.vmc.installEventFilter(ButtonKeys(self))
        for box in (self.smoothing, self.countdown):
            box.setMinimumContentsLength(5)
        row = QWidget()
        flow = FlowLayout(row)
        for name, widget in (
            ("Height", self.height_field),
            ("Field of view", self.fov),
            ("Smoothing", self.smoothing),
            ("Timer", self.countdown),
        ):
            flow.addWidget(together(QLabel(tr(name)), widget))
        flow.addWidget(together(self.vmc, self.vmc_address))
        flow.addWidget(self.vmc_state)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        row.setSizePolicy(policy)
        return row

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.addRow(tr("person"), self.person)
        form.addRow(tr("colours"), self.colour)
        form.addRow(tr("opacity"), self.opacity)
        form.addRow(tr("network"), self.presets)
        form.addRow(tr("iterations"), self.iterations)
        form.addRow(tr("network sees"), self.conditioning)
        form.addRow(tr("theme"), self.theme)
        form.addRow(tr("language"), self.language)
        button_keys = ButtonKeys(self)
        for box in self._check_boxes():
            box.installEventFilter(button_keys)
            form.addRow(box)
        inner = QWidget()
        layout = QVBoxLayout(inner)
        layout.addLayout(form)
        layout.addWidget(self.measurements)
        layout.addStretch(1)
        self.setWidget(inner)
        boxes = self.colour, self.opacity, self.presets, self.iterations, self.conditioning
        order = [self.person.box, self.person.button, *boxes, self.theme, self.language, *self._check_boxes()]
        for before, after in pairwise(order):  # Tab goes as the eye does
            QWidget.setTabOrder(before, after)
        bar = self.verticalScrollBar().sizeHint().width()
        self.setMinimumWidth(max(270, inner.minimumSizeHint().width() + bar))  # some languages are long

    def _explain(self) -> None:
        for name, tip in TIPS.items():
            getattr(self, name).setToolTip(tr(tip))
            getattr(self, name).setAccessibleName(tr(name.replace("_", " ")))

    def _check_boxes(self) -> tuple[QCheckBox, ...]:
        options = self.mirror, self.warm, self.outline, self.hands, self.uncertainty
        shown = self.space, self.keep_in_view, self.plots, self.measure
        return *options, self.green, self.virtual, *shown, self.guidance, self.sound, self.gesture, self.osc

    def _connect(self) -> None:
        picked = [box.currentIndexChanged for box in (self.colour, self.smoothing)]
        for signal in (*picked, self.opacity.valueChanged, self.mirror.toggled, self.green.toggled):
            signal.connect(lambda *_: self.look_changed.emit())
        picked = [box.currentIndexChanged for box in (self.iterations, self.conditioning)]
        ticked = [box.toggled for box in (self.warm, self.outline, self.hands, self.uncertainty)]
        self.height_m.valueChanged.connect(lambda *_: self._check_person())
        for signal in (*picked, self.height_m.valueChanged, self.fov.valueChanged, *ticked, self.person.picked):
            signal.connect(lambda *_: self.options_changed.emit())
        for box in (self.space, self.keep_in_view, self.plots):
            box.toggled.connect(lambda *_: self.shown_changed.emit())
        self.theme.currentIndexChanged.connect(lambda *_: self._use_theme())
        self.presets.currentIndexChanged.connect(lambda *_: self.preset_changed.emit())
        self.measure.toggled.connect(self.measurements.setVisible)

    def _check_person(self) -> None:
        """Another height is another person's."""
        if (known := self.person.chosen) is not None and abs(known.height - self.height_m.value()) > 1e-6:
            self.person.choose()

    def _use_theme(self) -> None:
        if isinstance(app := QApplication.instance(), QApplication):
            use_theme(app, self.theme.currentData())

    def doubt_person(self) -> None:
        """Another person may have come; while a recording runs, its options stay."""
        self.height_field.doubt("the last person")
        if self.person.chosen is not None and self.person.isEnabled():
            self.person.choose()
            self.options_changed.emit()

    @property
    def look(self) -> Look:
        """How the mesh is to be drawn."""
        opacity = self.opacity.value() / 100
        mirror, green = self.mirror.isChecked(), self.green.isChecked()
        return Look(self.colour.currentData(), opacity, mirror, self.smoothing.currentData(), green)

    @property
    def preset(self) -> str:
        """The network's name."""
        return self.presets.currentText() or "live"

    def applied_to(self, options: TrackerOptions) -> TrackerOptions:
        """`options`, but for those that are chosen here."""
        fov = self.fov.value()
        return replace(
            options,
            fov_degrees=fov if fov >= FOV_RANGE[0] else options.fov_degrees,
            preset=self.preset,
            iterations=self.iterations.currentData(),
            conditioning=self.conditioning.currentData(),
            height=self.height_field.metres,
            scale=1.0 if self.person.chosen is None else self.person.chosen.scale,
            warm=self.warm.isChecked(),
            uncertainty=PERTURBATIONS if self.uncertainty.isChecked() else 0,
            silhouette_fit=self.outline.isChecked(),
            hands=self.hands.isChecked(),
        )

    def lock(self, recording: bool) -> None:
        """Take away, while a recording runs, what would end it: a recording has one set of options."""
        self.person.setEnabled(not recording)
        boxes = self.presets, self.iterations, self.conditioning, self.height_m, self.fov
        for widget in (*boxes, self.warm, self.outline, self.hands, self.uncertainty):
            widget.setEnabled(not recording)

    def choose(self, given: Mapping[str, Any]) -> None:
        """Set the tracker options that are given by name; others stay as they are."""
        for box, name in ((self.presets, "preset"), (self.conditioning, "conditioning")):
            if (index := box.findData(given.get(name))) >= 0:
                box.setCurrentIndex(index)
        if "iterations" in given:
            self.iterations.setCurrentIndex(self.iterations.findData(given["iterations"]))
        if given.get("height") is not None:
            self.height_m.setValue(given["height"])
            self.height_field.confirm()
        if given.get("fov_degrees") is not None:
            self.fov.setValue(given["fov_degrees"])
            self.fov.is_given = True
        if "silhouette_fit" in given:
            self.outline.setChecked(given["silhouette_fit"])
        if "hands" in given:
            self.hands.setChecked(given["hands"])

    def next_colours(self) -> None:
        """Colour the mesh in the next of the ways."""
        self.colour.setCurrentIndex((self.colour.currentIndex() + 1) % self.colour.count())

    def _remembered(self) -> dict[str, Choice]:
        """The widgets whose state is remembered between runs, by its name in the settings."""
        return {
            "colour": self.colour,
            "smoothing": self.smoothing,
            "countdown": self.countdown,
            "iterations": self.iterations,
            "conditioning": self.conditioning,
            "opacity": self.opacity,
            "height": self.height_m,
            "mirror": self.mirror,
            "warm": self.warm,
            "outline": self.outline,
            "hands": self.hands,
            "uncertainty": self.uncertainty,
            "space": self.space,
            "follow": self.keep_in_view,
            "plots": self.plots,
            "measure": self.measure,
            "theme": self.theme,
            "guidance": self.guidance,
            "sound": self.sound,
            "gesture": self.gesture,
            "osc": self.osc,
        }

    def restore(self, settings: QSettings) -> None:
        """Set what the last run saved; a height is marked as from then."""
        for name, widget in self._remembered().items():
            if (value := settings.value(name)) is not None:
                with contextlib.suppress(TypeError, ValueError):  # a settings file that somebody edited
                    set_state(widget, value)
        self.person.restore(settings)
        self.fov.restore(settings.value("fields of view"))
        self.height_field.doubt("last time")

    def save(self, settings: QSettings) -> None:
        """Keep everything for the next run."""
        for name, widget in self._remembered().items():
            settings.setValue(name, state(widget))
        self.person.save(settings)
        settings.setValue("fields of view", json.dumps(self.fov.by_camera))
        settings.setValue("language", self.language.currentData())
