"""Further datasets on the Data page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from gui.fields import Choice
from gui.pages.base import Page
from gui.pages.data import DataPage
from gui.session import Session
from gui.widgets import PlainLabel, QuietButton
from tests.gui.conftest import known, questions


def test_datasets_are_mixed_in_shared_and_taken_out(
    qtbot: QtBot, session: Session, show: Callable[[type[Page]], Page], tmp_path: Path
) -> None:
    page = show(DataPage)
    assert isinstance(page, DataPage)
    assert page.mix.isHidden()
    known(qtbot, session)
    page.mix.mix(questions(tmp_path / "letters.jsonl", 40))
    page.mix.replay(questions(tmp_path / "general.jsonl", 900))
    qtbot.waitUntil(lambda: len(session.facts.further) == 2 and len(session.plan.sources) >= 3)
    said = [label.text() for label in page.mix.lines.findChildren(PlainLabel)]
    assert {"Mixed in: letters.jsonl", "Replay: general.jsonl", "40 of 40 rows"} <= set(said)
    assert any("give" in p.text or "too small" in p.text for p in session.plan.problems), (
        "a dataset too small for its share is told"
    )
    assert page.mix.keep.isHidden()
    before = session.plan.rows
    (letters, _) = page.mix.lines.findChildren(Choice)
    letters.activated.emit(letters.findData(0.05))
    assert session.recipe.data.mix[0].share == 0.05

    def removers() -> list[QuietButton]:
        return [b for b in page.mix.lines.findChildren(QuietButton) if b.isVisible()]

    for left in (2, 1):
        qtbot.waitUntil(lambda left=left: len(removers()) == left)  # type: ignore[misc]
        qtbot.mouseClick(removers()[0], Qt.MouseButton.LeftButton)
    assert session.recipe.data.further == {}
    qtbot.waitUntil(lambda: session.facts.data is not None)
    assert session.plan.rows < before
