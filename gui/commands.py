"""What the window can be asked to do: its toolbar, its keys, and the sheet that lists them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QAction, QKeyEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import QMainWindow, QMessageBox, QToolBar, QWidget


@dataclass(frozen=True)
class Command:
    """Something the window can do.

    text : on the toolbar, "": it has only a key.
    key : as `QKeySequence` reads it, or "".
    about : what the sheet of keys says of it, "": nothing.
    toggles : it is on or off.
    everywhere : a second key, which works in boxes of text and in the program's other windows, too.
    """

    name: str
    text: str = ""
    key: str = ""
    about: str = ""
    toggles: bool = False
    everywhere: str = ""


COMMANDS = (
    Command("camera", "Camera …"),
    Command("video", "Video …", "Ctrl+O", "open a video"),
    Command("images", "Images …"),
    Command("demo", "Demo"),
    Command("pause", "Pause", "Space", "pause, go on", toggles=True),
    Command("step", "Step", "N", "one frame"),
    Command("reset", "Reset", "R", "forget person and mesh, start anew"),
    Command("mirror", "", "M", "mirror"),
    Command("colours", "", "C", "next colours"),
    Command("record", "Record", "V", "record, stop recording; F9 does so everywhere", toggles=True, everywhere="F9"),
    Command("snapshot", "Snapshot", "S", "snapshot: PNG and OBJ"),
    Command("process", "Process video …"),
    Command("recordings", "Recordings …"),
    Command("space", "", "D", "3D view on, off"),
    Command("plots", "", "P", "plots on, off"),
    Command("keep_in_view", "", "F", "3D view follows the person"),
    Command("front", "", "Home", "3D view from the front"),
    Command("fullscreen", "Full screen", "F11", "full screen"),
    Command("help", "Keys", "F1", "this sheet"),
    Command("quit", "", "Ctrl+Q", "quit"),
)
MOUSE = ("3D view", "drag: turn · right drag: move · wheel: zoom")


def add_commands(window: QMainWindow, slots: Mapping[str, Callable[..., object]]) -> dict[str, QAction]:
    """Give the window its COMMANDS, on a toolbar where they have a text; returns the actions by name.

    slots : by a command's name; those of commands that toggle are called with whether they are on now.
    """
    bar = QToolBar("tools")
    bar.setMovable(False)
    window.addToolBar(bar)
    space_presses = SpacePresses(window)
    actions = {}
    for command in COMMANDS:
        action = QAction(command.text, window)
        action.setCheckable(command.toggles)
        action.triggered.connect(slots[command.name] if command.toggles else _without_argument(slots[command.name]))
        if command.key:
            action.setShortcut(QKeySequence(command.key))
        if command.everywhere:
            shortcut = QShortcut(QKeySequence(command.everywhere), window)
            shortcut.setContext(Qt.ShortcutContext.ApplicationShortcut)
            shortcut.activated.connect(action.trigger)
        if command.text:
            if command.key:
                action.setToolTip(f"{command.text} ({command.key})")
            bar.addAction(action)
            button = bar.widgetForAction(action)
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.installEventFilter(space_presses)
        else:
            window.addAction(action)
        actions[command.name] = action
    return actions


def _without_argument(slot: Callable[[], object]) -> Callable[..., None]:
    """A slot of `triggered` that passes on nothing: not whether the action is checked."""

    def call(*_: object) -> None:
        slot()

    return call


def add_shortcuts(widget: QWidget, slots: Mapping[str, Callable[[], object]]) -> None:
    """slots : by key, as `QKeySequence` reads it."""
    for key, slot in slots.items():
        QShortcut(QKeySequence(key), widget).activated.connect(slot)


def show_keys(parent: QWidget, keys: Iterable[tuple[str, str]]) -> None:
    """A sheet of keys and what they do."""
    rows = "".join(f"<tr><td><b>{key}</b>&nbsp;&nbsp;</td><td>{about}</td></tr>" for key, about in keys)
    QMessageBox.information(parent, "Keys", f"<table>{rows}</table>")


class SpacePresses(QObject):
    """An event filter for buttons: the space bar presses one that has the focus, though a shortcut is set on it."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent):
            if event.key() == Qt.Key.Key_Space:
                event.accept()  # it then comes as a key press
                return True
        return super().eventFilter(watched, event)
