"""How the window's widgets are coloured. Picture, 3D view and plots stay dark in every theme."""

from __future__ import annotations

from string import Template

from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication

ROLES = (
    "Window",
    "WindowText",
    "Base",
    "AlternateBase",
    "Text",
    "Button",
    "ButtonText",
    "ToolTipBase",
    "ToolTipText",
    "BrightText",
    "Highlight",
    "HighlightedText",
    "Link",
    "PlaceholderText",
    "Light",
    "Midlight",
    "Mid",
    "Dark",
    "Shadow",
)
DARK = (
    "#1f2329 #d8dee9 #2b303a #262b33 #d8dee9 #2b303a #d8dee9 #2b303a #d8dee9 #bf616a #5e81ac #ffffff #88c0d0 #7a8494 "
    "#3b4252 #343a46 #2b303a #14161a #0b0c0e"
)
LIGHT = (
    "#f2f4f7 #1c2026 #ffffff #eceff3 #1c2026 #e4e8ee #1c2026 #ffffff #1c2026 #a3262f #2f6cb3 #ffffff #1d5fa8 #6a7484 "
    "#ffffff #f0f2f5 #c5ccd6 #9aa4b2 #6a7484"
)
CONTRAST = (
    "#000000 #ffffff #000000 #101010 #ffffff #000000 #ffffff #000000 #ffffff #ff6060 #ffd800 #000000 #66d9ff #c8c8c8 "
    "#ffffff #ffffff #c8c8c8 #ffffff #ffffff"
)
THEMES = {"dark": DARK, "light": LIGHT, "high contrast": CONTRAST}
_ACCENTS = {  # hover : behind a button under the mouse; checked : the text of one that is on; doubt : of a caution
    "dark": {"hover": "#3b4252", "checked": "#ff8a94", "doubt": "#ebcb8b", "line": "#4c566a", "dim": "#6b7484"},
    "light": {"hover": "#d3dae4", "checked": "#a3262f", "doubt": "#8a5a00", "line": "#9aa4b2", "dim": "#8b95a3"},
    "high contrast": {
        "hover": "#404000",
        "checked": "#ffd800",
        "doubt": "#ffd800",
        "line": "#ffffff",
        "dim": "#a0a0a0",
    },
}
STYLE = Template("""
QToolBar { border: 0; spacing: 4px; padding: 4px; }
QToolButton { padding: 4px 9px; border-radius: 4px; }
QToolButton:hover, QToolButton:focus, QToolButton:checked { background: $hover; }
QToolButton:checked { color: $checked; }
QToolButton::menu-indicator { width: 0; }
QToolButton#qt_toolbar_ext_button { background: #5e81ac; color: #fff; font-weight: bold; padding: 0; }
QPushButton#large { font-size: 22px; padding: 18px 10px; }
QPushButton#small { font-size: 15px; padding: 5px 16px; }
QToolTip { border: 1px solid $line; }
QLabel#banner { background: #8f5f2a; color: #fff; padding: 6px; border-radius: 4px; }
QLabel#recording { background: #d3222f; color: #fff; font-weight: bold; padding: 2px 10px; border-radius: 4px; }
QLabel#doubt { color: $doubt; }
QFrame#card { background: rgba(20, 22, 26, 235); border: 1px solid #4c566a; border-radius: 10px; }
QFrame#card QLabel { color: #d8dee9; }
QFrame#card QLabel#headline { font-size: 26px; font-weight: bold; color: #fff; }
QFrame#card QLabel#why { font-size: 18px; color: #ebcb8b; }
QFrame#card QPushButton { font-size: 18px; padding: 6px 12px; }
QScrollArea { border: 0; }
QHeaderView::section { padding: 2px 8px; }
""")
_CONTRAST_STYLE = """
QPushButton, QComboBox, QLineEdit { border: 2px solid #ffffff; padding: 3px; background: #000; }
QAbstractSpinBox { border: 2px solid #ffffff; padding: 1px; background: #000; }
QAbstractSpinBox QLineEdit { border: 0; padding: 1px; }
QAbstractSpinBox:focus { border: 2px solid #ffd800; }
QAbstractSpinBox:disabled { border: 2px solid #808080; }
QAbstractSpinBox::up-button, QAbstractSpinBox::down-button { width: 16px; border: 0; background: #000; }
QAbstractSpinBox::up-arrow { width: 0; height: 0; border: 4px solid #000; border-bottom: 5px solid #fff; }
QAbstractSpinBox::down-arrow { width: 0; height: 0; border: 4px solid #000; border-top: 5px solid #fff; }
QPushButton:focus, QComboBox:focus, QLineEdit:focus, QCheckBox:focus { border: 2px solid #ffd800; }
QCheckBox::indicator { border: 2px solid #ffffff; width: 12px; height: 12px; background: #000; }
QCheckBox::indicator:checked { background: #ffd800; }
QSlider::groove:horizontal { height: 4px; background: #ffffff; }
QSlider::handle:horizontal { width: 12px; margin: -6px 0; background: #ffd800; border: 2px solid #ffffff; }
QPushButton:disabled, QComboBox:disabled { border: 2px solid #808080; }
"""


def use_theme(app: QApplication, name: str) -> None:
    """Colour all widgets, at once; name : one of THEMES."""
    palette = QPalette()
    for role, colour in zip(ROLES, THEMES[name].split(), strict=True):
        palette.setColor(QPalette.ColorRole[role], QColor(colour))
    for role in ("WindowText", "Text", "ButtonText"):
        palette.setColor(QPalette.ColorGroup.Disabled, QPalette.ColorRole[role], QColor(_ACCENTS[name]["dim"]))
    app.setPalette(palette)
    app.setStyleSheet(STYLE.substitute(_ACCENTS[name]) + (_CONTRAST_STYLE if name == "high contrast" else ""))
