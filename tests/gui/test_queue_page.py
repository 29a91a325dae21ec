"""The queue in the window: filled, ordered, held, worked on, and what happens at its end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import STANDIN, nameless, questions
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractButton, QApplication, QMessageBox, QWidget
from pytestqt.qtbot import QtBot

from core import power
from core.commands import gather
from core.history import Outcome
from core.keeper import Keeper, Standing
from core.plan import Plan, make_plan
from core.queue import QueueFile
from core.recipe import Recipe
from core.rundir import RunDir
from gui import farewell, queue_desk, settings
from gui.farewell import Farewell
from gui.marks import queue_mark
from gui.pages.queue import QueuePage
from gui.queue_desk import QueueDesk
from gui.queue_row import QueueRow
from gui.runner import Runner
from gui.session import Session
from gui.widgets import Chip
from gui.window import Window

Become = Callable[[list[str]], None]
System = Callable[[str], Path]
QUEUE_ENGINE = STANDIN.parents[1] / "core" / "queue_engine.py"


def plan_for(recipe: Recipe) -> Plan:
    """As for a run, without counting tokens."""
    return make_plan(recipe, gather(recipe, count=False))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, engine: Become) -> None:
    engine([str(QUEUE_ENGINE)])
    monkeypatch.setattr(queue_desk, "plan_whole", plan_for)
    monkeypatch.setattr(queue_desk, "LOOK_MS", 30)
    monkeypatch.setattr(farewell, "SECOND_MS", 10)


@pytest.fixture
def desk(qtbot: QtBot) -> Iterator[QueueDesk]:
    """Works on the queue without a window; no engine outlives it."""
    made = QueueDesk(Runner())
    made.begin()
    yield made
    _end(made)


def _end(desk: QueueDesk) -> None:
    desk.leave()
    for running in desk.keeper._engines.values():
        running.stop(grace=10)


@pytest.fixture
def page(dressed: QApplication, qtbot: QtBot, session: Session, desk: QueueDesk) -> QueuePage:
    made = QueuePage(session, desk.runner, desk)
    qtbot.addWidget(made)
    made.resize(900, 700)
    made.show()
    return made


@pytest.fixture
def window(dressed: QApplication, qtbot: QtBot, session: Session) -> Iterator[Window]:
    """A window that works on the queue; no engine outlives it."""
    session._counting.setInterval(10**8)
    made = Window(session, Runner(), settings.Looks())
    qtbot.addWidget(made, before_close_func=lambda widget: widget.leave())
    made.show()
    qtbot.waitUntil(lambda: made.settled, timeout=20_000)
    yield made
    _end(made.desk)


def queue_page(window: Window) -> QueuePage:
    window.show_page("Queue")
    made = window.page("Queue")
    assert isinstance(made, QueuePage)
    return made


@pytest.fixture
def rows(tmp_path: Path) -> str:
    return questions(tmp_path / "rows.jsonl", 40)


def recipe(name: str, rows: str) -> Recipe:
    made = Recipe(name=name, model="starter").edit("data.path", rows)
    return made.edit("training.device", "cpu")


def fill(desk: QueueDesk, rows: str, *names: str, paused: bool = True) -> None:
    """Let recipes wait, in a queue that is held."""
    desk.pause(paused)
    for name in names:
        assert desk.add(recipe(name, rows), Plan())


def press(qtbot: QtBot, button: QAbstractButton) -> None:
    assert button.isVisible()
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def shown(page: QueuePage) -> list[str]:
    """Names and states as they stand on the page, from above."""
    found = [row for row in page.findChildren(QueueRow) if row.isVisible()]
    found.sort(key=lambda row: row.mapTo(page, row.rect().topLeft()).y())
    return [f"{row.entry.name} {row.findChildren(Chip)[0].text()}" for row in found]


def await_rows(qtbot: QtBot, page: QueuePage, *expected: str) -> None:
    qtbot.waitUntil(lambda: shown(page) == [*expected], timeout=20_000)


def names(file: QueueFile) -> str:
    return " ".join(entry.name for entry in file.read().waiting)


def box(parent: QWidget) -> QMessageBox:
    (found,) = [one for one in parent.findChildren(QMessageBox) if one.isVisible()]
    return found


# -- filled and ordered ------------------------------------------------------------------------


def test_an_empty_queue_says_what_it_is_for(page: QueuePage, qtbot: QtBot) -> None:
    assert page.empty.isVisible()
    assert not page.line.isVisible()
    with qtbot.waitSignal(page.go) as told:
        press(qtbot, page.empty.button)
    assert told.args == ["Review"]


def test_a_recipe_is_added_on_review_as_it_is(window: Window, qtbot: QtBot, rows: str) -> None:
    window.show_page("Goal")
    assert not window.footer.queue.isVisible()
    window.show_page("Review")
    assert not window.footer.queue.isEnabled()
    assert window.footer.queue.accessibleDescription()
    window.desk.pause(True)
    window.session.replace(recipe("first", rows))
    qtbot.waitUntil(lambda: window.session.plan.ready, timeout=20_000)
    press(qtbot, window.footer.queue)
    assert window.footer.said() == "Added to the queue; 1 in line"
    window.session.edit("name", "second")
    press(qtbot, window.footer.queue)
    window.session.edit("training.epochs", 9)
    first, second = QueueFile().read().entries
    assert first.parsed() == recipe("first", rows)
    assert second.parsed() == recipe("second", rows)
    assert first.digests == second.digests != ()


def test_up_and_down_change_the_order_and_keep_the_focus(
    desk: QueueDesk, page: QueuePage, qtbot: QtBot, rows: str
) -> None:
    fill(desk, rows, "a", "b", "c")
    qtbot.waitUntil(page.isActiveWindow, timeout=20_000)
    await_rows(qtbot, page, "a waiting", "b waiting", "c waiting")
    assert not page.rows[1].up.isEnabled()
    assert not page.rows[3].down.isEnabled()
    page.rows[3].up.setFocus()
    qtbot.keyClick(page.rows[3].up, Qt.Key.Key_Space)
    assert names(desk.file) == "a c b"
    await_rows(qtbot, page, "a waiting", "c waiting", "b waiting")
    assert page.rows[3].up.hasFocus()
    qtbot.keyClick(page.rows[3].up, Qt.Key.Key_Space)
    await_rows(qtbot, page, "c waiting", "a waiting", "b waiting")
    assert page.rows[3].down.hasFocus(), "up is grey at the top"
    press(qtbot, page.rows[1].down)
    assert names(desk.file) == "c b a"


def test_an_entry_is_taken_out(desk: QueueDesk, page: QueuePage, qtbot: QtBot, rows: str) -> None:
    fill(desk, rows, "a", "b")
    await_rows(qtbot, page, "a waiting", "b waiting")
    press(qtbot, page.rows[1].remove)
    await_rows(qtbot, page, "b waiting")
    press(qtbot, page.rows[2].remove)
    assert page.empty.isVisible()
    assert QueueFile().read().entries == ()


def test_what_others_add_appears(desk: QueueDesk, page: QueuePage, qtbot: QtBot, rows: str) -> None:
    QueueFile().change(lambda q: q.with_pause(True).added(recipe("elsewhere", rows)))
    await_rows(qtbot, page, "elsewhere waiting")


def test_what_is_chosen_for_the_end_is_kept(desk: QueueDesk, page: QueuePage, qtbot: QtBot) -> None:
    page.at_end.setCurrentIndex(page.at_end.findData("sleep"))
    page.at_end.activated.emit(page.at_end.currentIndex())
    assert QueueFile().read().at_end == "sleep"


def test_the_keyboard_reaches_only_what_has_a_name(
    desk: QueueDesk, page: QueuePage, rows: str
) -> None:
    fill(desk, rows, "a", "b")
    assert nameless(page) == []


# -- worked on ---------------------------------------------------------------------------------


def test_it_is_worked_on_paused_and_shown(window: Window, qtbot: QtBot, rows: str) -> None:
    page = queue_page(window)
    fill(window.desk, rows, "long", "b")
    assert "paused" in page.state.text()
    press(qtbot, page.pause)
    await_rows(qtbot, page, "long running", "b waiting")
    assert window.rail.steps["Queue"].mark == "busy"
    window.show_page("Review")
    assert window.footer.forward.accessibleDescription() == "A run is training already."
    window.show_page("Queue")
    press(qtbot, page.pause)
    press(qtbot, page.rows[1].open)
    assert window.title == "Run"
    assert window.runner.run is not None
    assert window.runner.run.load_recipe() == recipe("long", rows)
    window.runner.ask("stop")
    window.show_page("Queue")
    await_rows(qtbot, page, "b waiting", "long stopped")
    press(qtbot, page.pause)
    await_rows(qtbot, page, "b finished", "long stopped")
    press(qtbot, page.clear)
    await_rows(qtbot, page)


def test_a_refusal_stands_beside_its_entry(
    desk: QueueDesk, page: QueuePage, qtbot: QtBot, rows: str
) -> None:
    fill(desk, f"{rows}.gone", "broken", paused=False)
    await_rows(qtbot, page, "broken refused")
    assert "rows.jsonl.gone" in page.rows[1].text.text().replace("\u200b", "")
    assert not page.rows[1].open.isVisible()


def test_a_run_that_asks_is_told_and_one_click_away(
    desk: QueueDesk, page: QueuePage, qtbot: QtBot, rows: str
) -> None:
    fill(desk, rows, "asks", "b", paused=False)
    qtbot.waitUntil(lambda: "The queue waits until" in page.state.text(), timeout=20_000)
    assert "The loss rises." in page.state.text()
    assert shown(page) == ["asks paused", "b waiting"]
    assert queue_mark(desk.standing, desk.trouble)[0] == "warning"
    with qtbot.waitSignal(desk.runner.opened) as told:
        press(qtbot, page.state.button)
    assert told.args[0].load_recipe().name == "asks"
    desk.runner.stop_and_wait(grace=10)
    await_rows(qtbot, page, "b finished", "asks stopped")


def test_it_waits_for_another_run(
    desk: QueueDesk, page: QueuePage, qtbot: QtBot, rows: str, home: Path
) -> None:
    other = RunDir.create(home / "runs" / "by-hand", Recipe(), "{}")
    with other.hold(1):
        fill(desk, rows, "a", paused=False)
        qtbot.waitUntil(lambda: "by-hand is training" in page.state.text(), timeout=20_000)
        assert shown(page) == ["a waiting"]
        with qtbot.waitSignal(desk.runner.refused) as told:
            desk.runner.start(recipe("by button", rows), Plan())
        assert "by-hand is still training" in str(told.args[0])
    await_rows(qtbot, page, "a finished")


def test_a_terminal_that_works_on_it_is_named(
    desk: QueueDesk, page: QueuePage, qtbot: QtBot, rows: str
) -> None:
    desk.keeper.leave()
    terminal = Keeper(plan_for)
    try:
        QueueFile().change(lambda q: q.with_pause(True).added(recipe("a", rows)))
        qtbot.waitUntil(lambda: terminal.turn().kind == "held", timeout=20_000)
        qtbot.waitUntil(lambda: f"process {os.getpid()} on" in page.state.text(), timeout=20_000)
    finally:
        terminal.leave()


def test_a_damaged_queue_is_told_and_kept(
    desk: QueueDesk, page: QueuePage, qtbot: QtBot, rows: str
) -> None:
    file = desk.file.path
    file.parent.mkdir(exist_ok=True)
    file.write_text("{", encoding="utf-8")
    qtbot.waitUntil(lambda: page.trouble.isVisible(), timeout=20_000)
    assert "cannot be read" in page.trouble.text()
    assert queue_mark(desk.standing, desk.trouble)[0] == "blocker"
    with qtbot.waitSignal(desk.refused) as told:
        assert not desk.add(recipe("a", rows), Plan())
    assert "cannot be read" in str(told.args[0])
    assert file.read_text(encoding="utf-8") == "{"
    file.unlink()
    desk.pause(True)
    qtbot.waitUntil(lambda: not page.trouble.isVisible(), timeout=20_000)


def test_closing_while_the_queue_trains_asks_and_tells(
    window: Window, qtbot: QtBot, rows: str
) -> None:
    page = queue_page(window)
    fill(window.desk, rows, "long", "b", paused=False)
    qtbot.waitUntil(lambda: shown(page)[:1] == ["long running"], timeout=20_000)
    window.close()
    asked = box(window)
    assert "What waits in the queue" in asked.informativeText()
    keep = next(b for b in asked.buttons() if "Keep" in b.text())
    press(qtbot, keep)
    assert not window.isVisible()
    (entry,) = (one for one in QueueFile().read().entries if one.name == "long")
    assert RunDir(Path(entry.run)).is_running()
    again = Keeper(plan_for)
    qtbot.waitUntil(lambda: again.turn().kind == "training", timeout=20_000)
    again.leave()


# -- the end -----------------------------------------------------------------------------------


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    """The program that sends the computer to sleep only notes that it was called."""
    if sys.platform != "linux":
        pytest.skip("the stand-in is a program of Linux")

    def become(then: str) -> Path:
        place = tmp_path / "bin" / "systemctl"
        place.parent.mkdir()
        place.write_text(f'#!/bin/sh\necho "$@" >> "$0.said"\n{then}\n', encoding="utf-8")
        place.chmod(0o755)
        monkeypatch.setenv("PATH", str(place.parent))
        return place.with_name("systemctl.said")

    return become


@pytest.fixture
def parting(page: QueuePage, desk: QueueDesk) -> Farewell:
    return Farewell(desk, page)


def finish(desk: QueueDesk, rows: str) -> None:
    """One run, and sleep after it."""
    desk.choose_end("sleep")
    fill(desk, rows, "a", paused=False)


def test_the_computer_sleeps_after_a_countdown(
    parting: Farewell, desk: QueueDesk, page: QueuePage, qtbot: QtBot, rows: str, system: System,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    said = system("exit 0")
    monkeypatch.setattr(power, "COUNTDOWN", 3)
    finish(desk, rows)
    qtbot.waitUntil(said.exists, timeout=20_000)
    qtbot.waitUntil(lambda: desk.queue.at_end == "next", timeout=20_000)
    assert said.read_text(encoding="utf-8") == "suspend --no-ask-password\n"
    assert [b for b in page.findChildren(QMessageBox) if b.isVisible()] == []


def test_a_system_that_refuses_is_told(
    parting: Farewell, desk: QueueDesk, page: QueuePage, qtbot: QtBot, rows: str, system: System,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    system("echo 'Access denied' >&2; exit 1")
    monkeypatch.setattr(power, "COUNTDOWN", 1)
    finish(desk, rows)
    told = "The computer could not be put to sleep: Access denied."
    qtbot.waitUntil(
        lambda: any(b.text() == told for b in page.findChildren(QMessageBox)), timeout=20_000
    )


@pytest.mark.parametrize("by", ["button", "frame", "escape"])
def test_anybody_can_say_no(
    parting: Farewell, desk: QueueDesk, page: QueuePage, qtbot: QtBot, system: System, by: str
) -> None:
    said = system("exit 0")
    parting._second.setInterval(10**6)
    desk.choose_end("shutdown")
    desk.farewell.emit("shutdown")
    asked = box(page)
    assert asked.text() == "The computer is shut down in 60 seconds."
    parting._tick()
    assert asked.text() == "The computer is shut down in 59 seconds."
    if by == "button":
        press(qtbot, asked.buttons()[0])
    elif by == "frame":
        asked.close()
    else:
        qtbot.keyClick(asked, Qt.Key.Key_Escape)
    assert not parting._second.isActive()
    assert QueueFile().read().at_end == "next"
    assert not said.exists()


def test_words_of_a_row_change_without_another_row(
    desk: QueueDesk, page: QueuePage, rows: str
) -> None:
    """A button must not vanish under the mouse because a step was taken."""
    desk.leave()
    fill(desk, rows, "a")
    queue = desk.file.change(lambda q: q.changed(1, state="started", run="/nowhere"))
    rows_shown = []
    for step in (1, 2):
        told = Standing("training", queue, "", queue.in_hand, Outcome("running", step, 9))
        desk._show(told)
        rows_shown.append(page.rows[1])
        assert page.rows[1].text.text() == f"Training, step {step} of 9."
    assert rows_shown[0] is rows_shown[1]
