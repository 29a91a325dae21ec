"""The whole way through the window with the real engine, as a person would go it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import QAbstractButton, QApplication, QWidget
from pytestqt.qtbot import QtBot

from core.machine import Machine
from core.places import sample
from core.recipe import Recipe
from gui import settings
from gui.drop_zone import DropZone
from gui.pages.data import DataPage
from gui.pages.result import ResultPage
from gui.pages.run import RunPage
from gui.runner import Runner
from gui.session import Session
from gui.window import Window

pytestmark = [pytest.mark.gui, pytest.mark.engine]
PATIENCE = 180_000
"""Milliseconds for the slowest thing waited for: an engine that imports its libraries."""


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A person's own file: the first sixty tickets."""
    path = tmp_path / "my tickets.jsonl"
    lines = sample("tickets.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:60]), encoding="utf-8")
    return path


@pytest.fixture
def real(
    dressed: QApplication, qtbot: QtBot, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Window]:
    """The window as the application makes it, with engines that are real."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    window = Window(Session(machine, Recipe()), Runner(), settings.Looks())
    qtbot.addWidget(window, before_close_func=lambda widget: widget.leave())
    window.show()
    qtbot.waitUntil(lambda: window.settled)
    window.session.begin()
    yield window
    window.runner.stop_and_wait()


def press(qtbot: QtBot, parent: QWidget, words: str) -> None:
    """Click the visible button whose words begin so."""
    for each in parent.findChildren(QAbstractButton):
        if each.text().replace("&", "").startswith(words) and each.isVisible():
            qtbot.mouseClick(each, Qt.MouseButton.LeftButton)
            return
    raise AssertionError(f"no button {words!r}")


def drop(target: DropZone, path: Path) -> None:
    """Let go of a file over a widget."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    copy, left = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton
    nothing = Qt.KeyboardModifier.NoModifier
    target.dropEvent(QDropEvent(QPointF(9, 9), copy, data, left, nothing))


def set_up(qtbot: QtBot, window: Window, rows: Path) -> None:
    """From Goal to Review by the primary button, choosing as a person would."""
    assert window.title == "Goal"
    window.go_forward()
    press(qtbot, window.page("Model"), "Use the starter model")
    window.go_forward()
    data = window.page("Data")
    assert isinstance(data, DataPage)
    drop(data.zone, rows)
    qtbot.waitUntil(lambda: window.session.facts.data is not None, timeout=10_000)
    qtbot.waitUntil(lambda: window.session.facts.tokens is not None, timeout=PATIENCE)
    for title in ("Method", "Hyperparameters", "Memory", "Review"):
        qtbot.mouseClick(window.footer.forward, Qt.MouseButton.LeftButton)
        assert window.title == title
    for path, value in (
        ("training.epochs", 6),
        ("training.max_length", 256),
        ("checks.every", 5),
        ("checks.score_rows", 4),
        ("checks.answer_length", 8),
    ):
        assert window.session.edit(path, value)
    qtbot.waitUntil(lambda: window.session.facts.tokens is not None, timeout=PATIENCE)
    assert window.session.plan.ready, window.session.plan.problems


def test_from_a_file_to_a_changed_model(qtbot: QtBot, real: Window, rows: Path) -> None:
    set_up(qtbot, real, rows)
    real.go_forward()
    assert real.title == "Run"
    page = real.page("Run")
    assert isinstance(page, RunPage)
    loss = page.charts.plots[0]

    qtbot.waitUntil(lambda: real.runner.history.step >= 6, timeout=PATIENCE)
    early = loss.summary()
    qtbot.waitUntil(lambda: loss.summary() != early, timeout=PATIENCE)
    assert real.runner.alive(), "the curve must grow while the run is going on"

    press(qtbot, page, "Stop and save")
    qtbot.waitUntil(lambda: real.runner.outcome().state == "stopped", timeout=PATIENCE)
    stopped = real.runner.history.step
    qtbot.waitUntil(lambda: page.outcome.text().startswith("Stopped at"), timeout=5_000)

    qtbot.waitUntil(page.trouble.isVisible, timeout=PATIENCE)
    press(qtbot, page, "Resume")
    qtbot.waitUntil(lambda: real.runner.outcome().state == "finished", timeout=PATIENCE)
    history = real.runner.history
    assert history.step == history.total > stopped
    assert [s.step for s in history.steps] == list(range(1, history.total + 1))
    assert history.before is not None
    assert history.after is not None
    assert history.after.loss < history.before.loss

    qtbot.waitUntil(lambda: real.title == "Result", timeout=5_000)
    result = real.page("Result")
    assert isinstance(result, ResultPage)
    qtbot.waitUntil(lambda: result.model.rowCount() == 4, timeout=5_000)
    assert all("→" in value.text() for value in result.scores.values.values())
    assert result.artefact is not None


@pytest.mark.slow
def test_a_killed_engine_is_told_and_resumed(qtbot: QtBot, real: Window, rows: Path) -> None:
    set_up(qtbot, real, rows)
    real.go_forward()
    page = real.page("Run")
    assert isinstance(page, RunPage)
    qtbot.waitUntil(lambda: bool(real.runner.history.checkpoints), timeout=PATIENCE)
    started = real.runner.history.started
    assert started is not None
    os.kill(started.pid, signal.SIGKILL)

    qtbot.waitUntil(lambda: real.runner.outcome().state == "failed", timeout=20_000)
    qtbot.waitUntil(lambda: "killed from outside" in page.outcome.text(), timeout=5_000)
    assert "Traceback" not in page.outcome.text()

    press(qtbot, page, "Resume")
    qtbot.waitUntil(lambda: real.runner.outcome().state == "finished", timeout=PATIENCE)
    history = real.runner.history
    assert [s.step for s in history.steps] == list(range(1, history.total + 1))
