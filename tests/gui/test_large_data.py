"""A dataset too large to be read at once: first rows, progress, and a way to stop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from gui import session as sessions
from gui.pages.base import Page
from gui.pages.data import DataPage
from gui.session import Session
from tests.gui.conftest import questions

ROWS = 150_000


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sessions, "LARGE", 100_000)
    return questions(tmp_path / "large.jsonl", ROWS)


def test_first_rows_are_shown_while_the_rest_is_read_and_reading_can_be_stopped(
    qtbot: QtBot, session: Session, show: Callable[[type[Page]], Page], large: str
) -> None:
    page = show(DataPage)
    assert isinstance(page, DataPage)
    session.begin()
    session.use_data(large)
    first = session.facts.data
    assert first is not None
    assert not first.whole
    assert session.reading
    assert page.format.isVisible()
    assert "the first " in page.zone.words.text()
    assert any("were read yet" in problem.text for problem in session.plan.blockers)
    assert page.doctor.health is None
    assert not session.counting
    qtbot.waitUntil(lambda: "rows read so far" in page.far.text(), timeout=20_000)
    qtbot.mouseClick(page.stop, Qt.MouseButton.LeftButton)
    assert not session.reading
    assert "Reading was stopped" in page.far.text()
    qtbot.mouseClick(page.again, Qt.MouseButton.LeftButton)
    assert session.reading
    session.reader.stop()


def test_a_large_dataset_is_read_to_its_end(
    qtbot: QtBot, session: Session, show: Callable[[type[Page]], Page], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(sessions, "LARGE", 1_000)
    page = show(DataPage)
    assert isinstance(page, DataPage)
    session.begin()
    session.use_data(questions(tmp_path / "small.jsonl", 2_000))
    qtbot.waitUntil(
        lambda: session.facts.data is not None and session.facts.data.whole, timeout=60_000
    )
    assert session.facts.data is not None
    assert session.facts.data.rows == 2_000
    assert page.far.isHidden()
    page.doctor.errand.stop()
