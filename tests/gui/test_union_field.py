"""A list whose entries are of several kinds: shown, added to, changed and shortened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QFileDialog, QToolButton
from pytestqt.qtbot import QtBot

from core.data_choices import Data
from core.objectives import Distill
from core.rewards import REWARDS, AnyReward, Reward
from gui.fields import make_field
from gui.kind_chooser import name_of
from gui.path_field import PathField
from gui.text import tip
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


def choose(field: UnionListField | PathField, path: Path) -> QFileDialog:
    """Answer the dialog that is open."""
    (dialog,) = field.widget.findChildren(QFileDialog)
    dialog.fileSelected.emit(str(path))
    dialog.close()
    return dialog


@pytest.mark.parametrize("kind", REWARDS)
def test_every_kind_can_be_added(
    qtbot: QtBot, field: UnionListField, kind: type[Reward], tmp_path: Path
) -> None:
    """One that cannot be without a file or a folder asks for it first."""
    told: list[Any] = []
    field.wanted.connect(told.append)
    field.show(())
    field.choice.setCurrentIndex(field.choice.findData(name_of(kind)))
    qtbot.mouseClick(field.add, Qt.MouseButton.LeftButton)
    if name_of(kind) in ("model", "python"):
        assert not told, "nothing is added before it is chosen"
        dialog = choose(field, tmp_path)
        folder = dialog.fileMode() == QFileDialog.FileMode.Directory
        assert folder == (name_of(kind) == "model")
    ((entry,),) = told
    assert entry["kind"] == name_of(kind)
    assert entries(entry), "it is sound as it stands"
    if name_of(kind) in ("model", "python"):
        assert str(tmp_path) in entry.values()


def test_a_field_that_names_a_folder_can_be_chosen(
    qtbot: QtBot, dressed: QApplication, tmp_path: Path
) -> None:
    field = make_field(Distill.model_fields["teacher"])
    assert isinstance(field, PathField)
    qtbot.addWidget(field.widget)
    field.widget.show()
    told: list[Any] = []
    field.wanted.connect(told.append)
    qtbot.mouseClick(field.browse, Qt.MouseButton.LeftButton)
    choose(field, tmp_path)
    assert told == [str(tmp_path)]
    field.show(str(tmp_path))
    assert (field.edit.text(), field.edit.toolTip()) == (str(tmp_path), tip(str(tmp_path)))
    field.edit.setText("owner/model")
    field.edit.editingFinished.emit()
    assert told[-1] == "owner/model", "a name on the Hub is typed"
