"""The window's texts in other languages: `tr` gives a text in the one that is used, English where it has none.

A language is a file of JSON, from English to it, in gui/languages; Qt's own texts are Qt's own translation, where it
has one. Sentences of the engine stay English.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QLibraryInfo, QTranslator

FOLDER = Path(__file__).parent / "languages"
ENGLISH = "en"
LANGUAGE_NAMES = {"en": "English", "de": "Deutsch"}
_code = [ENGLISH]
_used: dict[str, str] = {}
missing: set[str] = set()
"""Texts that were asked for, and that the language used has not."""


def languages() -> list[str]:
    """What can be used: English, and the files that are there, by their codes."""
    return [ENGLISH, *sorted(path.stem for path in FOLDER.glob("*.json"))]


def use_language(code: str) -> None:
    """Use a language in all texts that are made from now on; one that is not there is English."""
    _used.clear()
    missing.clear()
    _code[0] = code if code in languages() else ENGLISH
    if code in languages() and code != ENGLISH:
        _used.update(read_language(code))
    if (app := QCoreApplication.instance()) is not None:
        _translate_qt(app)


def used() -> str:
    """The code of the language used."""
    return _code[0]


def tr(text: str) -> str:
    """A text in the language used."""
    if _used and text and text not in _used:
        missing.add(text)
    return _used.get(text, text)


def _translate_qt(app: QCoreApplication) -> None:
    """Have Qt's dialogs and names of keys in the language used."""
    for before in app.findChildren(QTranslator):
        app.removeTranslator(before)
        before.deleteLater()
    translator = QTranslator(app)
    if used() != ENGLISH and translator.load(
        f"qtbase_{used()}", QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)
    ):
        app.installTranslator(translator)


@cache
def read_language(code: str) -> dict[str, str]:
    """A language's texts, by the English ones."""
    return json.loads((FOLDER / f"{code}.json").read_text(encoding="utf-8"))
