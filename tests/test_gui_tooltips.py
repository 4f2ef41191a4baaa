"""Whatever can be pressed, chosen or typed in says what it is, to the eye and to a screen reader."""

import pytest
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QScrollBar,
    QTableView,
    QTableWidget,
)

from lvd_live.gui.app import application
from lvd_live.gui.browser import Browser
from lvd_live.gui.calibrate_dialog import CalibrateDialog
from lvd_live.gui.export_dialog import ExportDialog
from lvd_live.gui.loading import load
from lvd_live.gui.review import Review
from lvd_live.gui.scan_window import ScanWindow
from lvd_live.gui.window import MainWindow
from tests.fakes import FakeFinder, FakeTracker
from tests.recording import record

KINDS = QAbstractButton, QComboBox, QAbstractSpinBox, QAbstractSlider, QLineEdit, QTableWidget
PARTS_OF = QComboBox, QAbstractSpinBox, QTableView, QScrollBar  # of which Qt makes parts of its own


@pytest.fixture
def windows(qtbot, tmp_path):
    application()
    settings = QSettings(str(tmp_path / "settings.ini"), QSettings.Format.IniFormat)
    take = record(tmp_path, count=10)
    made = [
        MainWindow(FakeFinder, lambda _: FakeTracker(), settings=settings, recordings=tmp_path),
        Review(*load(take.path)),
        Browser(tmp_path),
        ScanWindow(tmp_path / "none.ply", register=lambda *_, **__: None),
        CalibrateDialog([]),
        ExportDialog(take.path, tmp_path, None),
    ]
    for window in made:
        qtbot.addWidget(window)
    return made


def own(window):
    """The widgets of the KINDS that are not parts of others."""
    for widget in (w for kind in KINDS for w in window.findChildren(kind)):
        part = isinstance(widget, QScrollBar) or isinstance(widget.parent(), PARTS_OF)
        if not part and not widget.objectName().startswith("qt_") and "Private" not in type(widget.parent()).__name__:
            yield widget


def test_everything_has_a_tooltip_and_a_name(windows):
    seen, lacking = 0, []
    for window in windows:
        for widget in own(window):
            seen += 1
            said = widget.accessibleName() or getattr(widget, "text", str)()
            if not widget.toolTip() or not said:
                lacking.append((type(window).__name__, type(widget).__name__, said or widget.toolTip()))
    assert seen > 80 and not lacking
