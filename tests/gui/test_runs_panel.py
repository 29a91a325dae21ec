"""The list of runs: what is there, how it stands, and what one press does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot
from recorded import NAMES, copy

from core.events import Finished, encode
from core.rundir import RunDir
from gui import runs_panel
from gui.runs_panel import RunsPanel, look
from gui.widgets import Chip, PlainLabel


@pytest.fixture
def panel(dressed: QApplication, qtbot: QtBot) -> RunsPanel:
    made = RunsPanel()
    qtbot.addWidget(made)
    made.resize(210, 400)
    return made


def settle(qtbot: QtBot, panel: RunsPanel) -> None:
    """One whole look."""
    panel.refresh()
    qtbot.waitUntil(lambda: panel._task is None)


def texts(panel: RunsPanel) -> list[str]:
    items = [panel.list.item(row) for row in range(panel.list.count())]
    return [item.data(Qt.ItemDataRole.AccessibleTextRole) for item in items]


def test_without_runs_it_says_so(qtbot: QtBot, panel: RunsPanel) -> None:
    panel.show()
    settle(qtbot, panel)
    assert panel.empty.isVisible()
    assert not panel.list.isVisible()


def test_every_recorded_run_is_listed(qtbot: QtBot, panel: RunsPanel, home: Path) -> None:
    runs = {name: copy(name, home) for name in NAMES}
    panel.show()
    settle(qtbot, panel)
    assert panel.list.count() == len(NAMES)
    for name, run in runs.items():
        assert any(str(run.history().outcome()) in text for text in texts(panel)), name
    chips = {chip.text() for chip in panel.list.findChildren(Chip)}
    assert chips == set(NAMES)


def test_one_press_chooses(qtbot: QtBot, panel: RunsPanel, home: Path) -> None:
    run = copy("failed", home)
    panel.show()
    settle(qtbot, panel)
    place = panel.list.visualItemRect(panel.list.item(0)).center()
    with qtbot.waitSignal(panel.chosen) as told:
        qtbot.mouseClick(panel.list.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert told.args == [str(run.root)]


def test_a_live_run_is_marked_and_its_end_noticed(
    qtbot: QtBot, panel: RunsPanel, live_run: Callable[[], RunDir]
) -> None:
    run = live_run()
    panel.show()
    settle(qtbot, panel)
    assert panel.list.findChildren(Chip)[0].text() == "running"
    run.ask("stop")
    qtbot.waitUntil(lambda: not run.is_running())
    settle(qtbot, panel)
    assert "Stopped at step" in texts(panel)[0]


def test_only_what_grew_is_read_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = copy("failed", home), copy("finished", home)
    known = look(home / "runs", {})
    read: list[str] = []
    summarise = runs_panel.summarise
    monkeypatch.setattr(
        runs_panel, "summarise", lambda run: read.append(run.root.name) or summarise(run)
    )
    assert look(home / "runs", known) == known
    assert read == []
    with first.events_file.open("ab") as file:
        file.write(encode(Finished(step=1)))
    assert look(home / "runs", known)[first.root][1].outcome == "finished"
    assert read == [first.root.name]
    assert second.root in known


def test_the_disk_is_read_off_the_window_s_thread(
    qtbot: QtBot, panel: RunsPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    monkeypatch.setattr(runs_panel, "look", lambda *_: threads.append(threading.get_ident()) or {})
    settle(qtbot, panel)
    assert threads
    assert threading.get_ident() not in threads


def test_trouble_with_the_disk_is_told(
    qtbot: QtBot, panel: RunsPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(runs_panel, "look", broken)
    panel.show()
    settle(qtbot, panel)
    assert "Permission denied" in panel.empty.text()
    assert panel.empty.isVisible()


def test_a_name_is_never_markup(qtbot: QtBot, panel: RunsPanel, home: Path) -> None:
    run = copy("failed", home)
    text = run.recipe_file.read_text(encoding="utf-8")
    run.recipe_file.write_text(text.replace("name: tickets", "name: '<b>x</b>'"), encoding="utf-8")
    panel.show()
    settle(qtbot, panel)
    labels = [label for label in panel.list.findChildren(PlainLabel) if "<b>" in label.text()]
    assert [label.textFormat() for label in labels] == [Qt.TextFormat.PlainText]
