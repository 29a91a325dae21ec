"""The chat template on the Data page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from core import templates
from gui.pages.base import Page
from gui.pages.data import DataPage
from gui.session import Session
from gui.template_choice import TemplateChoice


def pick(choice: TemplateChoice, data: str) -> None:
    place = choice.box.findData(data)
    choice.box.setCurrentIndex(place)
    choice.box.activated.emit(place)


def test_a_template_is_chosen_and_the_rows_are_counted_again(
    qtbot: QtBot, session: Session, show: Callable[[type[Page]], Page], tmp_path: Path
) -> None:
    page = show(DataPage)
    assert isinstance(page, DataPage)
    choice = page.preview.template
    names = [choice.box.itemData(at) for at in range(choice.box.count())]
    assert names[:-1] == ["", *(one.name for one in templates.CATALOGUE)]
    session.use_data("sample:prompts.jsonl")
    session.begin()
    qtbot.waitUntil(lambda: session.facts.data is not None and session.counting)
    known = session.facts.data
    session._counting.stop()
    pick(choice, "alpaca")
    assert session.recipe.data.template == "alpaca"
    assert session.facts.data is known, "the files are not read again"
    assert session.counting
    assert "instruction" in choice.use.text()
    assert any(p.where == "data.template" and p.level == "tip" for p in session.plan.problems)
    pick(choice, "mistral")
    assert any(p.where == "data.template" and p.level == "blocker" for p in session.plan.problems)
    session.undo()
    assert choice.box.currentData() == "alpaca"
    pick(choice, names[-1])
    assert choice.box.currentData() == "alpaca", "as long as no file is chosen"
    path = tmp_path / "own.jinja"
    path.write_text(templates.read("chatml"), encoding="utf-8")
    (dialog,) = choice.findChildren(QFileDialog)
    dialog.fileSelected.emit(str(path))
    dialog.close()
    assert session.recipe.data.template == str(path)
    assert choice.box.currentText() == "own.jinja"
