"""Forms show every field of the recipe, hand edits to the session, and say why one is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QApplication, QCheckBox, QComboBox, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from core.adapt import ADAPTATIONS
from core.choices import Checks, Training
from gui.fields import LinesField
from gui.forms import Form, Reason, Row
from gui.rate_edit import RateEdit, WholeEdit
from gui.session import Session
from gui.widgets import PlainLabel


def form(qtbot: QtBot, session: Session, prefix: str) -> Form:
    made = Form(session, prefix)
    qtbot.addWidget(made)
    made.show()
    return made


def fill(qtbot: QtBot, row: Row, text: str) -> None:
    edit = row.field.widget
    assert isinstance(edit, RateEdit | WholeEdit)
    edit.setFocus()
    edit.selectAll()
    qtbot.keyClick(edit, Qt.Key.Key_Backspace)
    qtbot.keyClicks(edit, text)
    qtbot.keyClick(edit, Qt.Key.Key_Return)


@pytest.mark.parametrize(("prefix", "kind"), [("training", Training), ("checks", Checks)])
def test_every_field_has_a_row_that_teaches(
    qtbot: QtBot, session: Session, prefix: str, kind: type[Training] | type[Checks]
) -> None:
    rows = form(qtbot, session, prefix).rows
    assert list(rows) == list(kind.model_fields)
    for name, row in rows.items():
        info = kind.model_fields[name]
        assert row.field.widget.accessibleName() == info.title
        assert row.field.widget.accessibleDescription() == info.description
        assert row.field.widget.focusPolicy() == Qt.FocusPolicy.StrongFocus
        assert row.label.buddy() is row.field.widget


def test_a_rate_is_typed_into_the_recipe(qtbot: QtBot, session: Session) -> None:
    rows = form(qtbot, session, "training").rows
    fill(qtbot, rows["learning_rate"], "0,0002")
    assert session.recipe.training.learning_rate == 2e-4
    fill(qtbot, rows["learning_rate"], "")
    assert session.recipe.training.learning_rate is None


def test_a_whole_number_and_none(qtbot: QtBot, session: Session) -> None:
    rows = form(qtbot, session, "checks").rows
    fill(qtbot, rows["patience"], "5")
    assert session.recipe.checks.patience == 5
    fill(qtbot, rows["patience"], "")
    assert session.recipe.checks.patience is None
    edit = rows["patience"].field.widget
    assert isinstance(edit, WholeEdit)
    assert edit.text() == "never"


def test_a_refused_value_is_kept_and_explained_at_its_field(qtbot: QtBot, session: Session) -> None:
    row = form(qtbot, session, "training").rows["learning_rate"]
    fill(qtbot, row, "5")
    assert session.recipe.training.learning_rate is None
    assert row.notice.isVisible()
    assert "less than 1" in row.notice.text()
    edit = row.field.widget
    assert isinstance(edit, RateEdit)
    assert edit.text() == "5"
    fill(qtbot, row, "0.005")
    assert row.notice.isHidden()


def test_a_choice_and_a_switch(qtbot: QtBot, session: Session) -> None:
    box = form(qtbot, session, "training").rows["schedule"].field.widget
    assert isinstance(box, QComboBox)
    box.setFocus()
    qtbot.keyClick(box, Qt.Key.Key_Down)
    assert session.recipe.training.schedule == "linear"
    session.edit("adaptation", {"kind": "qlora"})
    switch = form(qtbot, session, "adaptation").rows["double_quantisation"].field.widget
    assert isinstance(switch, QCheckBox)
    qtbot.keyClick(switch, Qt.Key.Key_Space)
    assert session.recipe.get("adaptation.double_quantisation") is False


def test_lines_are_handed_over_when_left(qtbot: QtBot, session: Session) -> None:
    made = form(qtbot, session, "checks")
    field = made.rows["probes"].field
    assert isinstance(field, LinesField)
    made.activateWindow()
    field.edit.setFocus()
    qtbot.keyClicks(field.edit, "one")
    qtbot.keyClick(field.edit, Qt.Key.Key_Return)
    qtbot.keyClick(field.edit, Qt.Key.Key_Return)
    qtbot.keyClicks(field.edit, " two ")
    qtbot.waitUntil(field.edit.hasFocus)
    qtbot.keyClick(field.edit, Qt.Key.Key_Tab)
    assert session.recipe.checks.probes == ("one", "two")


def test_undo_is_shown(qtbot: QtBot, session: Session) -> None:
    row = form(qtbot, session, "training").rows["epochs"]
    fill(qtbot, row, "7")
    assert row.reset.isVisible()
    session.undo()
    edit = row.field.widget
    assert isinstance(edit, RateEdit)
    assert edit.text() == "", "automatic again"
    assert row.reset.isHidden()


def test_one_click_goes_back_to_the_default(qtbot: QtBot, session: Session) -> None:
    row = form(qtbot, session, "training").rows["epochs"]
    fill(qtbot, row, "7")
    qtbot.mouseClick(row.reset, Qt.MouseButton.LeftButton)
    assert session.recipe.training.epochs is None


def scroll(widget: QWidget) -> None:
    middle = QPointF(widget.rect().center())
    event = QWheelEvent(
        middle, middle, QPoint(), QPoint(0, 120), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(widget, event)


@pytest.mark.parametrize("prefix", ["training", "checks", "adaptation"])
def test_scrolling_past_a_field_changes_nothing(
    qtbot: QtBot, session: Session, prefix: str
) -> None:
    made = form(qtbot, session, prefix)
    made.setFocus()
    before = session.recipe
    for row in made.rows.values():
        row.field.widget.clearFocus()
        scroll(row.field.widget)
    assert session.recipe == before


def test_another_method_has_other_fields(qtbot: QtBot, session: Session) -> None:
    made = form(qtbot, session, "adaptation")
    for kind in ADAPTATIONS:
        session.edit("adaptation", {"kind": kind.model_fields["kind"].default})
        assert list(made.rows) == [name for name in kind.model_fields if name != "kind"]


def test_automatic_values_say_what_and_why(qtbot: QtBot, session: Session) -> None:
    made = form(qtbot, session, "training")
    made.explain({"learning_rate": Reason("automatic: 2e-4", "it is usual")})
    row = made.rows["learning_rate"]
    edit = row.field.widget
    assert isinstance(edit, RateEdit)
    assert edit.placeholderText() == "automatic: 2e-4"
    assert "it is usual" in row.because.text()
    fill(qtbot, row, "1e-4")
    assert row.because.isHidden()


@pytest.fixture(autouse=True)
def _tidy() -> Iterator[None]:
    yield
    QApplication.processEvents()


def test_a_long_remark_on_a_field_is_whole(
    qtbot: QtBot, dressed: QApplication, session: Session
) -> None:
    """Beside a wide button its sentence needs more lines than Qt would guess."""
    made = Form(session, "training", ("epochs",))
    holder = QWidget()
    column = QVBoxLayout(holder)
    column.addWidget(made)
    column.addStretch(1)
    qtbot.addWidget(holder)
    holder.resize(660, 700)
    holder.show()
    notice = made.rows["epochs"].notice
    notice.show_as("bad", "There is no folder of that name here. " * 4, "Imitate instead of it")
    notice.show()
    label = notice.findChild(PlainLabel)
    assert label is not None
    qtbot.waitUntil(lambda: label.height() >= label.heightForWidth(label.width()) > 40)
