"""Asks who is to be calibrated, and how far away they stand if that was measured."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from lvd_live.gui.language import tr
from lvd_live.tracking.field_of_view import FARTHEST, NEAREST

HOW = (
    "The person stands straight, arms hanging, for two seconds: this gives scale and shape. A measured distance gives "
    "the camera's field of view, too: hold a tape from the lens to the belt, and stand there."
)


class CalibrateDialog(QDialog):
    """name : what is typed or chosen, stripped. distance : metres, None where it was not measured."""

    def __init__(self, names: list[str], parent: QWidget | None = None):
        super().__init__(parent)
        self.setWindowTitle(tr("Calibrate a person"))
        self.box, self.distance_box = QComboBox(), QDoubleSpinBox()
        self.box.setEditable(True)
        self.box.addItems(names or [""])
        self.distance_box.setDecimals(2)
        self.distance_box.setRange(NEAREST - 0.01, FARTHEST)
        self.distance_box.setSingleStep(0.05)
        self.distance_box.setSuffix(" m")
        self.distance_box.setSpecialValueText(tr("not measured"))
        how = QLabel(tr(HOW))
        how.setWordWrap(True)
        form = QFormLayout()
        for name, widget, tip in (
            ("Name", self.box, "Somebody new, or one of those who are known"),
            ("Distance", self.distance_box, "From the camera's lens to the person's belt, metres"),
        ):
            widget.setToolTip(tr(tip))
            widget.setAccessibleName(tr(name))
            form.addRow(tr(name), widget)
        buttons = QDialogButtonBox()
        self.start = buttons.addButton(tr("Start"), QDialogButtonBox.ButtonRole.AcceptRole)
        cancel = buttons.addButton(tr("Cancel"), QDialogButtonBox.ButtonRole.RejectRole)
        self.start.setToolTip(tr("Wait until somebody stands straight, and measure them"))
        cancel.setToolTip(tr("Calibrate nobody"))
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        self.box.currentTextChanged.connect(lambda *_: self.start.setEnabled(bool(self.name)))
        self.start.setEnabled(bool(self.name))
        layout = QVBoxLayout(self)
        for part in (how, form, buttons):
            layout.addLayout(part) if isinstance(part, QFormLayout) else layout.addWidget(part)
        self.setMinimumWidth(420)
        self.box.setFocus(Qt.FocusReason.OtherFocusReason)

    @property
    def name(self) -> str:
        return self.box.currentText().strip()

    @property
    def distance(self) -> float | None:
        return self.distance_box.value() if self.distance_box.value() >= NEAREST else None
