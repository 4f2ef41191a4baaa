"""The first screen, the layout in narrow windows, the details, the About box, and sending by VMC."""

import socket

import numpy as np
import pytest
from pyqtgraph import PlotWidget
from PySide6.QtCore import QEvent, QPointF, QSettings, Qt
from PySide6.QtGui import QAccessible, QEnterEvent, QPalette
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractScrollArea,
    QAbstractSpinBox,
    QComboBox,
    QMessageBox,
    QToolBar,
    QToolButton,
    QWidget,
)

from lvd_live import __version__
from lvd_live.body.model import BodyModel
from lvd_live.gui import inputs, language, preview
from lvd_live.gui import welcome as module
from lvd_live.gui.about import about_text
from lvd_live.gui.app import application
from lvd_live.gui.inputs import Input
from lvd_live.gui.loading import load
from lvd_live.gui.review import Review
from lvd_live.gui.themes import THEMES, use_theme
from lvd_live.gui.vmc import VmcLink
from lvd_live.gui.window import MainWindow
from lvd_live.paths import MODELS
from lvd_live.session.library import list_sessions
from tests.fakes import FakeFinder, FakeTracker, fake_fit
from tests.recording import record

SOON_MS = 15_000


@pytest.fixture(scope="module", autouse=True)
def app():
    return application()


@pytest.fixture
def settings(tmp_path):
    return QSettings(str(tmp_path / "settings.ini"), QSettings.Format.IniFormat)


@pytest.fixture
def make_window(qtbot, settings, tmp_path, monkeypatch):
    """At its first start."""
    monkeypatch.setattr(module, "camera_names", lambda: ["0: Front", "2: Back"])

    def make():
        window = MainWindow(FakeFinder, lambda _: FakeTracker(), settings=settings, recordings=tmp_path / "recordings")
        qtbot.addWidget(window)
        window.show()
        return window

    return make


def test_three_buttons_and_the_cameras_come_first(qtbot, make_window, monkeypatch):
    opened, welcome = [], make_window().page.picture.welcome
    qtbot.waitUntil(lambda: [b.text() for b in welcome.cameras] == ["Front", "Back"], timeout=SOON_MS)
    assert welcome.isVisible() and all(b.isVisible() and b.height() > 40 for b in welcome.buttons.values())
    assert not welcome.hint.isVisible()
    monkeypatch.setattr(module, "camera_names", lambda: ["2: Back"])  # one is unplugged
    welcome.look()
    qtbot.waitUntil(lambda: [b.text() for b in welcome.cameras] == ["Back"], timeout=SOON_MS)
    welcome.chosen.disconnect()
    welcome.chosen.connect(opened.append)
    QTest.mouseClick(welcome.buttons["camera"], Qt.MouseButton.LeftButton)
    QTest.mouseClick(welcome.cameras[0], Qt.MouseButton.LeftButton)
    assert opened == [Input("camera", "2")] * 2


def test_the_first_screen_goes_once_something_is_open(qtbot, make_window, monkeypatch):
    window = make_window()
    QTest.mouseClick(window.page.picture.welcome.buttons["demo"], Qt.MouseButton.LeftButton)
    assert not window.page.picture.welcome.isVisible() and window.tracking.input.kind == "video"


def test_the_last_takes_are_a_click_away(qtbot, make_window, tmp_path):
    (tmp_path / "recordings").mkdir()
    path = record(tmp_path / "recordings", count=35).path
    window = make_window()
    welcome, opened = window.page.picture.welcome, []
    qtbot.waitUntil(lambda: len(welcome.takes) == 1, timeout=SOON_MS)
    assert welcome.takes[0].text().startswith("walk")
    welcome.opened.connect(opened.append)
    QTest.mouseClick(welcome.takes[0], Qt.MouseButton.LeftButton)
    assert opened == [path] and list_sessions(tmp_path / "recordings")[0].path == path


@pytest.mark.parametrize("details", [False, True])
@pytest.mark.parametrize("width", [1280, 1024, 850])
def test_every_button_is_seen_in_a_narrow_window(qtbot, make_window, width, details):
    window = make_window()
    window.page.show_details(details)
    window.resize(width, 600)
    qtbot.waitUntil(lambda: (window.width(), window.height()) == (width, 600))
    bar = window.findChild(QToolBar)
    for action in bar.actions():
        button = bar.widgetForAction(action)
        assert button.isVisible() and button.geometry().right() <= bar.width(), action.text()
    assert not bar.findChild(QToolButton, "qt_toolbar_ext_button").isVisible()
    assert window.page.controls.vmc_address.isVisible()


def test_where_the_buttons_do_not_fit_one_that_shows_them_is_seen(qtbot, make_window):
    bar = make_window().findChild(QToolBar)
    bar.setFixedWidth(400)
    more = bar.findChild(QToolButton, "qt_toolbar_ext_button")
    qtbot.waitUntil(more.isVisible, timeout=SOON_MS)
    picture = more.grab().toImage()
    shades = {picture.pixelColor(x, y).value() for x in range(picture.width()) for y in range(picture.height())}
    assert max(shades) - min(shades) > 60 and more.geometry().right() <= bar.width()


def test_the_details_are_closed_until_they_are_wanted(qtbot, make_window):
    window = make_window()
    assert not window.page.controls.isVisible() and not window.page.plots.isVisible()
    assert window.page.controls.height_m.isVisible() and window.page.controls.smoothing.isVisible()
    window.actions_by_name["details"].trigger()
    assert window.page.controls.isVisible() and window.page.plots.isVisible()
    window.close()
    assert make_window().page.controls.isVisible()  # as they were left


def test_everything_says_what_it_is_for(make_window):
    window = make_window()
    for action in window.actions_by_name.values():
        assert len(action.toolTip()) > 3, action.text()
    named = (QAbstractButton, *{type(box) for box in (window.page.controls.height_m, window.page.controls.colour)})
    for widget in window.page.findChildren(QWidget):
        if isinstance(widget, named) and not widget.objectName().startswith("qt_") and widget.window() is window:
            assert widget.toolTip(), (type(widget), widget.objectName(), getattr(widget, "text", str)())


def test_about_says_versions_licences_and_weights(make_window, monkeypatch):
    shown = []
    monkeypatch.setattr(QMessageBox, "about", lambda parent, title, text: shown.append(text))
    make_window().actions_by_name["about"].trigger()
    assert shown == [about_text()]
    for fact in (__version__, "torch", "PySide6", "LGPL-3.0", "Apache-2.0", "live.safetensors", "MB"):
        assert fact in shown[0]


class Tracked:
    """Stands for a tracker: the body that is shown."""

    shown_body = BodyModel.load(MODELS / "body" / "lvd_body.npz")


def test_the_motion_is_sent_where_the_window_says(qtbot):
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    receiver.settimeout(15)
    link, port = VmcLink(), receiver.getsockname()[1]
    assert link.state() == ""
    link.switch_on(f"127.0.0.1:{port}")
    assert "waiting" in link.state()
    link.look_after(Tracked)
    qtbot.waitUntil(lambda: link.stream is not None, timeout=SOON_MS)
    mesh = (Tracked.shown_body.v_template.numpy() * np.array([1, -1, -1]) + np.array([0, 0, 4])).astype(np.float32)
    link.offer(fake_fit(mesh, np.eye(3)))
    assert b"/VMC/Ext/Root/Pos" in receiver.recv(65536)
    assert link.state().startswith("sending") and link.state().endswith("packets/s")
    link.switch_off()
    assert link.state() == "" and link.stream is None
    receiver.close()


def test_an_address_that_is_none_is_said_and_switched_off(qtbot, make_window):
    window = make_window()
    window.page.controls.vmc_address.setText("no address")
    window.page.controls.vmc.setChecked(True)
    assert not window.page.controls.vmc_address.isEnabled()
    window.tracking.vmc.look_after(Tracked)
    qtbot.waitUntil(lambda: not window.page.controls.vmc.isChecked(), timeout=SOON_MS)
    assert "is no address" in window.statusBar().currentMessage() and window.page.controls.vmc_address.isEnabled()


def test_the_command_lines_address_is_the_switchs(make_window):
    window = make_window()
    window.sending.send_to("::1", 5000)
    assert window.page.controls.vmc.isChecked() and window.tracking.vmc.wanted == "[::1]:5000"
    window.refresh()
    assert window.page.controls.vmc_state.text() == "waiting for a person to track"
    window.page.controls.vmc.setChecked(False)
    window.refresh()
    assert window.page.controls.vmc_state.text() == ""


def contrast(first, second):
    """Of two colours, as WCAG 2 defines it: 1 to 21."""

    def luminance(colour):
        parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in colour.getRgbF()[:3]]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("theme", "least"), [("dark", 4.5), ("light", 4.5), ("high contrast", 15.0)])
def test_texts_are_legible_in_every_theme(app, theme, least):
    use_theme(app, theme)
    palette = app.palette()
    try:
        for behind, text in (("Window", "WindowText"), ("Base", "Text"), ("Button", "ButtonText")):
            colours = [palette.color(QPalette.ColorRole[role]) for role in (behind, text)]
            assert contrast(*colours) >= least, (theme, behind)
        assert contrast(palette.highlight().color(), palette.highlightedText().color()) >= 3.5
    finally:
        use_theme(app, "dark")


def test_the_theme_is_chosen_and_remembered(app, make_window):
    window = make_window()
    try:
        window.page.controls.theme.setCurrentIndex(1)
        assert app.palette().window().color().lightness() > 200
        window.close()
        use_theme(app, "dark")
        assert make_window().page.controls.theme.currentData() == "light"
        assert app.palette().window().color().lightness() > 200
    finally:
        use_theme(app, "dark")


def test_the_program_has_an_icon(app):
    for size in (16, 64, 256):
        picture = app.windowIcon().pixmap(size, size).toImage()
        assert len({picture.pixel(x, y) for x in range(0, size, 2) for y in range(0, size, 2)}) > 2


def test_a_screen_reader_has_a_name_for_everything(make_window):
    window = make_window()
    window.page.show_details(True)
    for widget in window.page.findChildren(QWidget):
        inner = widget.objectName().startswith("qt_") or not isinstance(widget.parent(), QWidget)
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus and not inner and widget.isVisible():
            if isinstance(widget.parent(), (QAbstractSpinBox, QComboBox)) or isinstance(widget, QAbstractScrollArea):
                continue  # part of another widget
            interface = QAccessible.queryAccessibleInterface(widget)
            assert interface.text(QAccessible.Text.Name), (type(widget), widget.toolTip())


def test_the_last_camera_is_the_first_choice(qtbot, make_window, settings, monkeypatch):
    monkeypatch.setattr(inputs, "known_cameras", lambda: ("0: Front", "2: Back"))
    first = make_window()
    monkeypatch.setattr(first.tracking, "open", lambda *given: None)
    first.open(Input("camera", "2"))
    assert settings.value("camera") == "2: Back"
    first.open(Input("camera", "http://me:secret@there/1"))
    assert settings.value("camera") == "2: Back"  # an address may hold a password
    opened, welcome = [], make_window().page.picture.welcome
    qtbot.waitUntil(lambda: len(welcome.cameras) == 2, timeout=SOON_MS)
    assert [button.text() for button in welcome.cameras] == ["Front", "Back (last time)"]
    welcome.chosen.disconnect()
    welcome.chosen.connect(opened.append)
    QTest.mouseClick(welcome.buttons["camera"], Qt.MouseButton.LeftButton)
    assert opened == [Input("camera", "2")]


def test_a_camera_is_looked_through_where_the_mouse_is_over_its_name(qtbot, make_window, monkeypatch):
    asked, released, shade = [], [], [200]

    class Capture:
        def release(self):
            released.append(1)

    monkeypatch.setattr(preview, "open_capture", lambda number, timeout: asked.append(number) or Capture())
    monkeypatch.setattr(preview, "read_picture", lambda capture: np.full((48, 64, 3), shade[0], np.uint8))
    welcome = make_window().page.picture.welcome
    qtbot.waitUntil(lambda: len(welcome.cameras) == 2, timeout=SOON_MS)
    assert not asked  # no camera's light goes on by itself
    button = welcome.cameras[1]

    def enter():
        button.enterEvent(QEnterEvent(QPointF(1, 1), QPointF(1, 1), QPointF(1, 1)))

    def seen():
        picture = button.icon().pixmap(160, 120).toImage()
        return -1 if button.icon().isNull() else picture.pixelColor(picture.width() // 2, picture.height() // 2).value()

    for _ in range(2):
        enter()
    qtbot.waitUntil(lambda: seen() == 200, timeout=SOON_MS)
    shade[0] = 90
    qtbot.waitUntil(lambda: seen() == 90, timeout=SOON_MS)  # it moves
    assert asked == [2] and not released
    button.leaveEvent(QEvent(QEvent.Type.Leave))
    qtbot.waitUntil(lambda: released == [1], timeout=SOON_MS)
    enter()
    qtbot.waitUntil(lambda: asked == [2, 2], timeout=SOON_MS)
    welcome.hide()  # as where the camera is chosen: it is free before it is opened
    assert released == [1, 1]


def test_a_camera_that_vanishes_while_it_is_looked_through_is_given_back(qtbot, make_window, monkeypatch):
    pictures, released = [np.full((48, 64, 3), 200, np.uint8)] * 6, []

    class Capture:
        def release(self):
            released.append(1)

    monkeypatch.setattr(preview, "open_capture", lambda number, timeout: Capture())
    monkeypatch.setattr(preview, "read_picture", lambda capture: pictures.pop() if pictures else None)
    welcome = make_window().page.picture.welcome
    qtbot.waitUntil(lambda: len(welcome.cameras) == 2, timeout=SOON_MS)
    welcome.cameras[0].enterEvent(QEnterEvent(QPointF(1, 1), QPointF(1, 1), QPointF(1, 1)))
    qtbot.waitUntil(lambda: released == [1], timeout=SOON_MS)


@pytest.mark.parametrize("code", language.languages())
def test_titles_of_plots_fit_into_a_small_screen(qtbot, make_window, settings, code):
    settings.setValue("language", code)
    window = make_window()
    window.resize(1024, 600)
    window.page.clear("")
    window.page.show_details(True)
    qtbot.wait(50)
    plots = window.page.plots.findChildren(PlotWidget)
    assert len(plots) == 5
    for plot in plots:
        title = plot.plotItem.titleLabel.item
        assert title.boundingRect().width() <= plot.getViewBox().width(), title.toPlainText()
    language.use_language(language.ENGLISH)


@pytest.mark.parametrize("code", language.languages())
@pytest.mark.parametrize("theme", THEMES)
def test_the_window_can_be_as_small_as_640_by_480(app, qtbot, make_window, settings, tmp_path, theme, code):
    settings.setValue("language", code)
    window = make_window()
    window.page.controls.theme.setCurrentIndex(window.page.controls.theme.findData(theme))
    window.resize(640, 480)
    window.page.clear("")
    qtbot.wait(20)
    assert (window.width(), window.height()) == (640, 480)
    controls = window.page.controls
    for box in (controls.height_m, controls.smoothing, controls.countdown, controls.vmc_address):
        right = box.mapTo(window, box.rect().bottomRight())
        assert right.x() < 640 and right.y() < 480, box
    review = Review(*load(record(tmp_path, count=5).path))
    review.show()
    review.resize(640, 480)
    qtbot.wait(20)
    assert (review.width(), review.height()) == (640, 480)
    review.close()
    use_theme(app, "dark")
    language.use_language(language.ENGLISH)
