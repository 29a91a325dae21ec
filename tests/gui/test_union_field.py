"""A list whose entries are of several kinds: shown, added to, changed and shortened."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QToolButton
from pytestqt.qtbot import QtBot

from core.choices import Data
from core.rewards import AnyReward, Reward
from gui.fields import make_field
from gui.union_field import UnionListField, kinds_of

pytestmark = pytest.mark.gui
Rewards = tuple[AnyReward, ...]


@pytest.fixture
def field(dressed: QApplication, qtbot: QtBot) -> UnionListField:
    made = make_field(FieldInfo(annotation=Rewards, title="Rewards", description="What pays."))
    assert isinstance(made, UnionListField)
    qtbot.addWidget(made.widget)
    made.widget.show()
    return made


def entries(*raw: dict[str, Any]) -> tuple[Reward, ...]:
    return TypeAdapter(Rewards).validate_python(list(raw))


def test_a_list_of_one_kind_is_no_such_list() -> None:
    assert kinds_of(Data.model_fields["mix"].annotation) == ()
    assert len(kinds_of(Rewards)) >= 5


def test_entries_are_added_changed_and_removed(qtbot: QtBot, field: UnionListField) -> None:
    told: list[Any] = []
    field.wanted.connect(told.append)
    field.show(entries({"kind": "exact"}))
    field.choice.setCurrentIndex(field.choice.findData("length"))
    qtbot.mouseClick(field.add, Qt.MouseButton.LeftButton)
    assert [each["kind"] for each in told[-1]] == ["exact", "length"]
    field.show(entries(*told[-1]))
    assert len(field.forms) == 2

    field.forms[0].fields["weight"].wanted.emit(0.5)
    assert told[-1][0]["weight"] == 0.5
    field.show(entries(*told[-1]))
    assert field.forms[0].value.weight == 0.5  # type: ignore[attr-defined]

    remove = field.widget.findChildren(QToolButton)[0]
    qtbot.mouseClick(remove, Qt.MouseButton.LeftButton)
    assert [each["kind"] for each in told[-1]] == ["length"]
