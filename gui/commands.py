"""What the window can be asked to do: its toolbar, its keys, and the sheet that lists them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QAction, QKeyEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import QMainWindow, QMenu, QMessageBox, QPushButton, QToolBar, QToolButton, QWidget

from lvd_live.gui.language import tr


@dataclass(frozen=True)
class Command:
    """Something the window can do.

    text : on the toolbar or in its menu, "": it has only a key.
    about : what its tooltip says of it, and the sheet of keys.
    key : as `QKeySequence` reads it, or "".
    menu : the title of the toolbar's menu that it is in, "": it is a button of its own.
    toggles : it is on or off.
    everywhere : a second key, which works in boxes of text and in the program's other windows, too.
    """

    name: str
    text: str
    about: str
    key: str = ""
    menu: str = ""
    toggles: bool = False
    everywhere: str = ""


OPEN, MORE = "Open", "More"
COMMANDS = (
    Command("camera", "Camera …", "track from a camera, or from a stream's address"),
    Command("video", "Video …", "open a video", "Ctrl+O", OPEN),
    Command("images", "Folder of pictures …", "fit every picture in a folder, each on its own", menu=OPEN),
    Command("process", "Process video …", "track every frame of a video into a file, however long it takes", menu=OPEN),
    Command("result", "Result …", "look at a mesh sequence in a file", menu=OPEN),
    Command("demo", "Demo", "play the bundled clip"),
    Command("pause", "Pause", "pause, go on", "Space", toggles=True),
    Command("reset", "Reset", "forget person and mesh, start anew", "R"),
    Command("record", "Record", "record, stop recording; F9 works everywhere", "V", toggles=True, everywhere="F9"),
    Command("snapshot", "Snapshot", "snapshot: PNG and OBJ", "S"),
    Command("recordings", "Recordings …", "open, rename, export and delete what was recorded"),
    Command("details", "Details", "more switches, measurements and plots", "E", toggles=True),
    Command("step", "Step", "one frame", "N", MORE),
    Command("fullscreen", "Full screen", "full screen", "F11", MORE),
    Command("clean", "Picture alone", "the picture alone, full screen, for window capture; Esc ends it", "F12", MORE),
    Command("help", "Keys", "this sheet", "F1", MORE),
    Command("about", "About", "versions, licences and weights", menu=MORE),
    Command("open", "", "open a video, a picture or a result", "O"),
    Command("mirror", "", "mirror", "M"),
    Command("colours", "", "next colours", "C"),
    Command("space", "", "3D view on, off", "D"),
    Command("plots", "", "plots on, off, where the details are shown", "P"),
    Command("keep_in_view", "", "3D view follows the person", "F"),
    Command("front", "", "3D view from the front", "Home"),
    Command("dismiss", "", "dismiss what is said of the last recording", "Esc"),
    Command("quit", "", "quit", "Ctrl+Q"),
)
MOUSE = ("3D view", "drag: turn · right drag: move · wheel: zoom")


def add_commands(window: QMainWindow, slots: Mapping[str, Callable[..., object]]) -> dict[str, QAction]:
    """Give the window its COMMANDS, on a toolbar where they have a text; returns the actions by name.

    slots : by a command's name; those of commands that toggle are called with whether they are on now.
    """
    bar = ToolBar()
    window.addToolBar(bar)
    actions = {}
    for command in COMMANDS:
        action = _make_action(window, command)
        action.triggered.connect(slots[command.name] if command.toggles else _without_argument(slots[command.name]))
        if command.text:
            bar.add(action, command.menu)
        window.addAction(action)  # its key works whether it is to be seen or not
        actions[command.name] = action
    return actions


def _make_action(window: QMainWindow, command: Command) -> QAction:
    action = QAction(tr(command.text), window)
    action.setCheckable(command.toggles)
    about = tr(command.about)
    about = about[0].upper() + about[1:]
    action.setToolTip(f"{about} ({key_text(command.key)})" if command.key else about)
    if command.key:
        action.setShortcut(QKeySequence(command.key))
    if command.everywhere:
        shortcut = QShortcut(QKeySequence(command.everywhere), window)
        shortcut.setContext(Qt.ShortcutContext.ApplicationShortcut)
        shortcut.activated.connect(action.trigger)
    return action


class ToolBar(QToolBar):
    """Buttons and menus, all in the order of Tab; space bar and Enter press the one with the focus.

    Where the window is too narrow for all, a button » at the end shows the others.
    """

    def __init__(self) -> None:
        super().__init__("tools")
        self.setMovable(False)
        self._menus: dict[str, QMenu] = {}
        self._button_keys = ButtonKeys(self)
        more = self.findChild(QToolButton, "qt_toolbar_ext_button")
        if more is not None:
            more.setText("»")  # instead of Qt's arrow, which is black on black
            more.setToolTip(tr("More buttons, which do not fit into the window"))

    def add(self, action: QAction, menu: str = "") -> None:
        """Add a button; menu : the title of the menu that it goes to instead, which is added with its first action."""
        if menu in self._menus:
            self._menus[menu].addAction(action)
        elif menu:
            button = QToolButton()
            button.setText(tr(menu))
            tip = "Videos, pictures and results" if menu == OPEN else "Step, full screen, keys, about"
            button.setToolTip(tr(tip))
            button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
            self._menus[menu] = QMenu(tr(menu), self)
            self._menus[menu].setToolTipsVisible(True)
            button.setMenu(self._menus[menu])
            self.addWidget(button)
            self._prepare(button)
            self._menus[menu].addAction(action)
        else:
            self.addAction(action)
            self._prepare(self.widgetForAction(action))

    def _prepare(self, button: QWidget) -> None:
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.installEventFilter(self._button_keys)


def _without_argument(slot: Callable[[], object]) -> Callable[..., None]:
    """A slot of `triggered` that passes on nothing: not whether the action is checked."""

    def call(*_: object) -> None:
        slot()

    return call


def add_shortcuts(widget: QWidget, slots: Mapping[str, Callable[[], object]]) -> None:
    """slots : by key, as `QKeySequence` reads it."""
    for key, slot in slots.items():
        QShortcut(QKeySequence(key), widget).activated.connect(slot)


def key_text(keys: str) -> str:
    """What keys are called in the language used. keys : with commas between them, or "3D view" and the like."""
    names = (QKeySequence(key).toString(QKeySequence.SequenceFormat.NativeText) or tr(key) for key in keys.split(", "))
    return ", ".join(names)


def show_keys(parent: QWidget, keys: Iterable[tuple[str, str]]) -> None:
    """A sheet of keys and what they do."""
    rows = "".join(f"<tr><td><b>{key_text(key)}</b>&nbsp;&nbsp;</td><td>{tr(about)}</td></tr>" for key, about in keys)
    QMessageBox.information(parent, tr("Keys"), f"<table style='white-space: nowrap'>{rows}</table>")


class ButtonKeys(QObject):
    """An event filter: the space bar is for the button, box or list that has the focus, though it is a shortcut, too.

    Enter presses a button.
    """

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if isinstance(event, QKeyEvent):
            enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
            pressed = watched if enter and isinstance(watched, QPushButton | QToolButton) else None
            if event.type() == QEvent.Type.ShortcutOverride and (pressed or event.key() == Qt.Key.Key_Space):
                event.accept()  # it then comes as a key press
                return True
            if event.type() == QEvent.Type.KeyPress and pressed is not None:
                _press(pressed)
                return True
        return super().eventFilter(watched, event)


def _press(button: QPushButton | QToolButton) -> None:
    if isinstance(button, QToolButton) and button.menu() is not None:
        button.showMenu()
    else:
        button.click()
