"""The session: edits, undo, and facts that always belong to the recipe shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from core.errors import Edit
from core.places import SAMPLE
from gui.session import Session

TICKETS = f"{SAMPLE}tickets.jsonl"


@pytest.fixture
def session(session: Session) -> Session:
    """Counting needs the training libraries; these tests are about everything else."""
    session._counting.setInterval(10**8)
    return session


def rows(folder: Path, name: str, count: int) -> Path:
    path = folder / name
    lines = [
        json.dumps({"prompt": f"What is {n} + 1?", "answer": str(n + 1)}) for n in range(count)
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_an_edit_replans(qtbot: QtBot, session: Session) -> None:
    with qtbot.waitSignals([session.changed, session.planned]):
        assert session.edit("training.epochs", 5)
    assert session.recipe.training.epochs == 5


def test_a_bad_edit_changes_nothing(qtbot: QtBot, session: Session) -> None:
    before = session.recipe
    with qtbot.waitSignal(session.refused) as refused:
        assert not session.edit("training.epochs", -1)
    assert refused.args is not None
    assert refused.args[0] == "training.epochs"
    assert session.recipe == before


def test_undo_goes_back_to_the_start_and_redo_forward(session: Session) -> None:
    first = session.recipe
    for epochs in (1, 2, 4, 5):
        session.edit("training.epochs", epochs)
    last = session.recipe
    for _ in range(10):
        session.undo()
    assert session.recipe == first
    for _ in range(10):
        session.redo()
    assert session.recipe == last


def test_a_fix_is_one_edit(session: Session) -> None:
    session.apply(Edit(path="training.micro_batch", value=2, label="Batch 8 to 2"))
    assert session.recipe.training.micro_batch == 2
    session.undo()
    assert session.recipe.training.micro_batch == 8


def test_model_and_data_are_looked_at(qtbot: QtBot, session: Session) -> None:
    session.use_data(TICKETS)
    assert session.reading
    qtbot.waitUntil(lambda: session.facts.data is not None)
    session.begin()
    qtbot.waitUntil(lambda: session.facts.data is not None)
    assert session.facts.model is not None
    assert session.facts.data is not None
    assert session.facts.data.rows == 1200
    assert session.plan.items


def test_another_dataset_drops_what_belonged_to_the_old_one(
    qtbot: QtBot, session: Session, tmp_path: Path
) -> None:
    session.use_data(TICKETS, f"{SAMPLE}tickets_heldout.jsonl")
    session.edit("data.format", "chat")
    session.use_data(str(rows(tmp_path, "mine.jsonl", 60)))
    data = session.recipe.data
    assert (data.heldout, data.format, data.columns) == ("", "auto", {})
    qtbot.waitUntil(lambda: session.facts.data is not None)
    assert session.facts.data is not None
    assert session.facts.data.rows == 60


def test_a_slow_answer_about_an_old_file_is_dropped(
    qtbot: QtBot, session: Session, tmp_path: Path
) -> None:
    small = rows(tmp_path, "small.jsonl", 60)
    session.use_data(str(rows(tmp_path, "large.jsonl", 30_000)))
    session.use_data(str(small))
    qtbot.waitUntil(lambda: session.facts.data is not None)
    from PySide6.QtCore import QThreadPool

    assert QThreadPool.globalInstance().waitForDone(30_000)
    qtbot.wait(1)  # lets the late answer arrive
    assert session.facts.data is not None
    assert session.facts.data.path == small


def test_trouble_is_told_and_taken_back(qtbot: QtBot, session: Session, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"prompt": "a", "answer": "b"}\n{"prompt": \n', encoding="utf-8")
    session.use_data(str(broken))
    qtbot.waitUntil(lambda: "data" in session.troubles)
    assert "line 2" in str(session.troubles["data"])
    session.undo()
    assert "data" not in session.troubles


def test_a_missing_model_is_trouble(session: Session) -> None:
    session.edit("model", "/nowhere/at/all")
    assert "model" in session.troubles
    assert session.facts.model is None
    session.edit("model", "starter")
    assert "model" not in session.troubles
    assert session.facts.model is not None


def test_only_what_is_read_is_read_again(qtbot: QtBot, session: Session) -> None:
    session.use_data(TICKETS)
    qtbot.waitUntil(lambda: session.facts.data is not None)
    session.edit("data.heldout_share", 0.2)
    assert session.facts.data is not None
    assert not session.reading
