"""Numbers typed with real keys, in every spelling and locale, arrive as meant or are refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QEvent, QLocale, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from gui.rate_edit import RateEdit, WholeEdit

LOCALES = ("C", "en_US", "de_DE", "fr_CH", "ar_EG", "hi_IN")


@pytest.fixture(params=LOCALES)
def locale(request: pytest.FixtureRequest) -> Iterator[str]:
    before = QLocale()
    QLocale.setDefault(QLocale(request.param))
    yield request.param
    QLocale.setDefault(before)


def rate_edit(qtbot: QtBot, value: float | None = 0.5, *, optional: bool = True) -> RateEdit:
    edit = RateEdit(optional=optional)
    edit.committed.connect(edit.set_value)
    edit.set_value(value)
    qtbot.addWidget(edit)
    edit.show()
    return edit


def type_text(qtbot: QtBot, edit: RateEdit | WholeEdit, text: str) -> None:
    edit.setFocus()
    edit.selectAll()
    qtbot.keyClick(edit, Qt.Key.Key_Backspace)
    press(qtbot, edit, text)
    qtbot.keyClick(edit, Qt.Key.Key_Return)


def press(qtbot: QtBot, edit: RateEdit | WholeEdit, text: str) -> None:
    """Real key events; the test library aborts on keys beyond Latin, so those are built here."""
    if text.isascii():
        qtbot.keyClicks(edit, text)
        return
    for letter in text:
        for kind in (QEvent.Type.KeyPress, QEvent.Type.KeyRelease):
            event = QKeyEvent(kind, 0, Qt.KeyboardModifier.NoModifier, letter)
            QApplication.sendEvent(edit, event)


@pytest.mark.parametrize("text", ["2e-4", "2E-4", "0.0002", "0,0002", ".0002", "  2e-4 ", "٠٫٠٠٠٢"])
def test_every_spelling_is_the_same_rate(qtbot: QtBot, locale: str, text: str) -> None:
    edit = rate_edit(qtbot)
    type_text(qtbot, edit, text)
    assert edit.value() == 2e-4
    assert edit.text() == "2e-4"


@pytest.mark.parametrize("text", ["1.5", "1,5"])
def test_a_comma_is_a_decimal_sign(qtbot: QtBot, locale: str, text: str) -> None:
    edit = rate_edit(qtbot)
    type_text(qtbot, edit, text)
    assert edit.value() == 1.5


@pytest.mark.parametrize("text", ["abc", "1.000,5", "2e", "1 000", "nan", "inf", "--1"])
def test_nonsense_is_marked_and_kept(qtbot: QtBot, locale: str, text: str) -> None:
    edit = rate_edit(qtbot)
    said: list[str] = []
    edit.faulted.connect(said.append)
    type_text(qtbot, edit, text)
    assert edit.value() == 0.5
    assert edit.text() == text
    assert edit.property("invalid") is True
    assert text in said[-1]
    assert edit.accessibleDescription() == said[-1]


def test_a_correction_clears_the_mark(qtbot: QtBot) -> None:
    edit = rate_edit(qtbot)
    type_text(qtbot, edit, "abc")
    type_text(qtbot, edit, "0.5")
    assert edit.property("invalid") is False
    assert edit.text() == "0.5"


def test_empty_is_automatic_only_where_allowed(qtbot: QtBot) -> None:
    free, fixed = rate_edit(qtbot), rate_edit(qtbot, optional=False)
    free.set_automatic("automatic: 2e-4")
    type_text(qtbot, free, "")
    type_text(qtbot, fixed, "")
    assert free.value() is None
    assert free.placeholderText() == "automatic: 2e-4"
    assert fixed.value() == 0.5
    assert fixed.property("invalid") is True


def test_a_refused_number_stays_to_be_corrected(qtbot: QtBot) -> None:
    edit = RateEdit()
    edit.set_value(0.5)
    qtbot.addWidget(edit)
    asked: list[object] = []
    edit.committed.connect(asked.append)
    type_text(qtbot, edit, "7")
    edit.set_value(0.5)  # what a form does after every change elsewhere
    assert asked == [7.0]
    assert edit.text() == "7"


def test_leaving_an_untouched_field_asks_for_nothing(qtbot: QtBot) -> None:
    edit = rate_edit(qtbot, 1 / 3)
    asked: list[object] = []
    edit.committed.connect(asked.append)
    qtbot.keyClick(edit, Qt.Key.Key_Return)
    assert asked == []


def whole_edit(qtbot: QtBot, *, automatic: str = "") -> tuple[WholeEdit, list[object]]:
    edit = WholeEdit(1, 512, automatic=automatic)
    edit.set_value(16)
    qtbot.addWidget(edit)
    edit.show()
    asked: list[object] = []
    edit.committed.connect(asked.append)
    return edit, asked


def test_whole_numbers(qtbot: QtBot, locale: str) -> None:
    edit, asked = whole_edit(qtbot)
    type_text(qtbot, edit, "300")
    assert asked == [300]
    assert edit.text() == "300"


@pytest.mark.parametrize("text", ["1.5", "1,000", "2e2", "-3", "9999", "x", "99999999999999999"])
def test_what_is_no_whole_number_in_range_is_refused(qtbot: QtBot, locale: str, text: str) -> None:
    edit, asked = whole_edit(qtbot)
    said: list[str] = []
    edit.faulted.connect(said.append)
    type_text(qtbot, edit, text)
    assert asked == []
    assert edit.value() == 16
    assert text in said[-1]


def test_an_empty_field_is_automatic(qtbot: QtBot) -> None:
    edit, asked = whole_edit(qtbot, automatic="no limit")
    type_text(qtbot, edit, "")
    assert asked == [None]
    assert edit.text() == "no limit"
    type_text(qtbot, edit, "12")
    assert asked == [None, 12]


def test_stepping_down_from_the_smallest_reaches_automatic(qtbot: QtBot) -> None:
    edit, asked = whole_edit(qtbot, automatic="never")
    edit.set_value(1)
    edit.setFocus()
    qtbot.keyClick(edit, Qt.Key.Key_Down)
    assert asked == [None]
