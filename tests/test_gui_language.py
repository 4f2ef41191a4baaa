"""The window in another language: no text is left out, and none breaks."""

import ast
import re
import string
from pathlib import Path

import pytest
from PySide6.QtCore import QLibraryInfo, QSettings
from PySide6.QtWidgets import QCheckBox, QDialogButtonBox, QLabel, QPushButton, QToolButton

from lvd_live.body.skeleton import BODY_PARTS
from lvd_live.gui import browser, language, review, scan_window
from lvd_live.gui.app import application
from lvd_live.gui.browser import Browser
from lvd_live.gui.calibrate_dialog import CalibrateDialog
from lvd_live.gui.commands import COMMANDS, key_text
from lvd_live.gui.figures import NOTHING
from lvd_live.gui.loading import load
from lvd_live.gui.review import Review
from lvd_live.gui.scan_window import ScanWindow
from lvd_live.gui.status import DROPPED, TROUBLE
from lvd_live.gui.window import MainWindow
from lvd_live.person import guidance
from lvd_live.tracking import standing
from tests.conftest import ROOT
from tests.fakes import FakeFinder, FakeTracker
from tests.recording import record

HAND_WORDS = "seen", "not seen", "unsure", "too small", "hidden"  # see `HandFinder.words`
OTHERS = [code for code in language.languages() if code != language.ENGLISH]


@pytest.fixture(autouse=True)
def app():
    yield application()
    language.use_language(language.ENGLISH)


def fields(text):
    return [(name, spec) for _, name, spec, _ in string.Formatter().parse(text) if name is not None]


def test_there_is_one_at_least():
    assert "de" in OTHERS


@pytest.mark.parametrize("code", OTHERS)
def test_what_is_filled_in_stays_what_it_is(code):
    for english, other in language.read_language(code).items():
        assert sorted(fields(english)) == sorted(fields(other)) and other.strip(), english
        assert english.startswith(" ") == other.startswith(" "), english


@pytest.mark.parametrize("code", OTHERS)
def test_every_text_in_the_code_is_there(code):
    """Those that are written as one literal where they are asked for; the others are found by the windows below."""
    known, lacking = language.read_language(code), []
    for path in sorted((ROOT / "gui").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("tr", "check_box"):
                texts = [a for a in ast.walk(node.args[0]) if isinstance(a, ast.Constant) and isinstance(a.value, str)]
                if isinstance(node.args[0], (ast.Constant, ast.IfExp)):
                    asked = [t.value for t in texts if t.value and not re.search(r"\d", t.value)]
                    lacking += [(path.name, text) for text in asked if text not in known]
    assert not lacking


@pytest.mark.parametrize("code", OTHERS)
def test_no_text_of_the_window_is_left_out(qtbot, tmp_path, code):
    settings = QSettings(str(tmp_path / "settings.ini"), QSettings.Format.IniFormat)
    settings.setValue("language", code)
    window = MainWindow(FakeFinder, lambda _: FakeTracker(), settings=settings, recordings=tmp_path)
    qtbot.addWidget(window)
    assert language.used() == code and window.page.controls.language.currentData() == code
    window.show()
    window.refresh()
    take = Review(*load(record(tmp_path, count=40).path))
    take.show()
    take.export()
    listed = Browser(tmp_path)
    listed.show()
    scan = ScanWindow(tmp_path / "none.ply", register=lambda *_, **__: None)
    scan.show()
    CalibrateDialog([])
    qtbot.wait(300)
    said = [v for name, v in vars(guidance).items() if name.isupper() and isinstance(v, str)]
    said += [
        standing.STAND_STRAIGHT,
        standing.STAND_STILL,
        standing.ARMS_DOWN,
        NOTHING,
        DROPPED,
        *HAND_WORDS,
        *TROUBLE.values(),
    ]
    said += (
        [about for _, about in (*review.KEYS, *browser.KEYS, *scan_window.KEYS)]
        + [c.about for c in COMMANDS]
        + list(BODY_PARTS)
    )
    for text in said:
        language.tr(text)
    assert not {text for text in language.missing if not re.search(r"\d", text)}
    take.close()
    listed.close()
    scan.close()


def test_german_is_what_is_read(qtbot, tmp_path):
    settings = QSettings(str(tmp_path / "settings.ini"), QSettings.Format.IniFormat)
    settings.setValue("language", "de")
    window = MainWindow(FakeFinder, lambda _: FakeTracker(), settings=settings, recordings=tmp_path)
    qtbot.addWidget(window)
    texts = {w.text() for kind in (QLabel, QPushButton, QToolButton, QCheckBox) for w in window.findChildren(kind)}
    assert {"Kamera", "Öffnen", "Größe", "Glättung", "Vorlauf", "Aufnehmen", "Mehr", "Spiegel"} <= texts
    assert not {"Camera", "Height", "Record", "Open", "mirror"} & texts
    window.page.controls.language.setCurrentIndex(0)
    window.close()
    again = MainWindow(FakeFinder, lambda _: FakeTracker(), settings=settings, recordings=tmp_path)
    qtbot.addWidget(again)
    assert language.used() == "en" and "Camera" in {b.text() for b in again.findChildren(QPushButton)}


def test_keys_and_qts_own_buttons_are_in_the_language_too():
    translations = Path(QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath))
    if not (translations / "qtbase_de.qm").exists():
        pytest.skip("this Qt came without its translations")
    said = {}
    for code in ("de", "en"):
        language.use_language(code)
        box = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        said[code] = box.buttons()[0].text(), *map(key_text, ("Space, Enter", "Ctrl+O", "Shift+← →", "Home", "V"))
    assert said["de"] == ("Abbrechen", "Leertaste, Enter", "Strg+O", "Umschalt+← →", "Pos1", "V")
    assert said["en"] == ("Cancel", "Space, Enter", "Ctrl+O", "Shift+← →", "Home", "V")


def test_a_language_that_is_not_there_is_english():
    language.use_language("xx")
    assert language.used() == "en" and language.tr("Camera") == "Camera"
