"""The frame: steps, marks, undo, fixes, panel, themes, files, keys, and how it is left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QApplication,
    QComboBox,
    QLabel,
    QMessageBox,
    QPushButton,
    QWidget,
)
from pytestqt.qtbot import QtBot
from recorded import copy

from core.errors import Edit, Problem
from core.history import Outcome
from core.places import sample
from core.recipe import Recipe, load
from core.rundir import RunDir
from gui import settings, theme
from gui.app import WheelGuard
from gui.marks import answering, run_mark
from gui.pages import PAGES
from gui.side_panel import FOLDED, WIDTH, ProblemList
from gui.window import Window

TITLES = [spec.title for spec in PAGES]
SETUP = [spec.title for spec in PAGES if not spec.follows_run]
Live = Callable[[], RunDir]


def press(qtbot: QtBot, button: QWidget) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def button(parent: QWidget, words: str) -> QAbstractButton:
    """The visible button that says so."""
    for each in parent.findChildren(QAbstractButton):
        if each.text().replace("&", "").strip() == words and not each.isHidden():
            return each
    raise AssertionError(f"no button {words!r}")


def box(window: QWidget) -> QMessageBox:
    """The one message box of the window."""
    found = [b for b in window.findChildren(QMessageBox) if b.isVisible()]
    assert len(found) == 1, [b.text() for b in found]
    return found[0]


# -- steps ------------------------------------------------------------------------------------


def test_next_and_back_walk_the_steps_in_order(window: Window, qtbot: QtBot) -> None:
    seen = [window.title]
    while window.title != "Review":
        assert f"Next: {TITLES[len(seen)]}" in window.footer.forward.text()
        press(qtbot, window.footer.forward)
        seen.append(window.title)
    assert seen == SETUP
    press(qtbot, window.footer.back)
    assert window.title == SETUP[-2]


def test_pages_are_built_on_the_first_visit_and_kept(window: Window, qtbot: QtBot) -> None:
    assert window.pages.count() == 1
    press(qtbot, window.rail.steps["Data"])
    built = window.page("Data")
    press(qtbot, window.rail.steps["Goal"])
    press(qtbot, window.rail.steps["Data"])
    assert window.page("Data") is built
    assert window.pages.count() == 2


def test_keys_move_through_the_window(window: Window, qtbot: QtBot) -> None:
    qtbot.waitUntil(window.isActiveWindow)
    qtbot.keyClick(window, Qt.Key.Key_Right, Qt.KeyboardModifier.AltModifier)
    assert window.title == TITLES[1]
    qtbot.keyClick(window, Qt.Key.Key_Left, Qt.KeyboardModifier.AltModifier)
    assert window.title == TITLES[0]
    qtbot.keyClick(window, Qt.Key.Key_4, Qt.KeyboardModifier.ControlModifier)
    assert window.title == TITLES[3]
    qtbot.keyClick(window, Qt.Key.Key_0, Qt.KeyboardModifier.ControlModifier)
    assert window.title == TITLES[9] == "Rank"


def test_f6_visits_every_part_of_the_window(window: Window, qtbot: QtBot) -> None:
    qtbot.waitUntil(window.isActiveWindow)
    window.footer.forward.setFocus()
    visited = []
    for _ in range(4):
        qtbot.keyClick(window, Qt.Key.Key_F6)
        focus = QApplication.focusWidget()
        parts = (window.rail, window.pages, window.side, window.footer)
        visited.append(next(p for p in parts if p.isAncestorOf(focus)))
    assert visited == [window.rail, window.pages, window.side, window.footer]


def test_marks_follow_the_problems(window: Window, qtbot: QtBot) -> None:
    assert window.rail.steps["Data"].mark == "blocker"
    assert "needs an answer" in window.rail.steps["Data"].accessibleName()
    window.session.edit("data.path", str(sample("tickets.jsonl")))
    qtbot.waitUntil(lambda: window.session.facts.data is not None, timeout=60_000)
    assert window.rail.steps["Data"].mark != "blocker"
    window.session.edit("training.learning_rate", 0.9)
    assert window.rail.steps["Hyperparameters"].mark == "warning"


def test_a_step_gets_its_tick_when_it_is_left_without_problems(
    window: Window, qtbot: QtBot
) -> None:
    assert window.rail.steps["Goal"].mark == "open"
    press(qtbot, window.footer.forward)
    assert window.rail.steps["Goal"].mark == "done"


@pytest.mark.parametrize("spec", PAGES, ids=TITLES)
def test_every_page_has_a_question_and_answers_for_something(window: Window, spec: object) -> None:
    page = window.page(spec.title)  # type: ignore[attr-defined]
    assert page.question
    assert page.title == spec.title  # type: ignore[attr-defined]


def test_every_field_of_a_recipe_has_a_page(window: Window) -> None:
    classes = {spec.title: spec.load() for spec in PAGES}
    for path in ("model", "data.path", "objective", "adaptation", "training.epochs", "checks.keep"):
        assert answering(path, classes) in SETUP, path
    assert answering("nonsense", classes) is None


@pytest.mark.parametrize(
    ("state", "mark"),
    [("running", "busy"), ("finished", "done"), ("failed", "blocker"), ("stopped", "warning")],
)
def test_the_run_step_shows_how_the_run_stands(state: str, mark: str) -> None:
    assert run_mark(Outcome(state))[0] == mark  # type: ignore[arg-type]


# -- editing ----------------------------------------------------------------------------------


def test_undo_and_redo_by_key_and_menu(window: Window, qtbot: QtBot) -> None:
    qtbot.waitUntil(window.isActiveWindow)
    window.session.edit("training.epochs", 5)
    window.session.edit("training.epochs", 7)
    control = Qt.KeyboardModifier.ControlModifier
    qtbot.keyClick(window, Qt.Key.Key_Z, control)
    assert window.session.recipe.training.epochs == 5
    qtbot.keyClick(window, Qt.Key.Key_Z, control)
    assert window.session.recipe == Recipe()
    qtbot.keyClick(window, Qt.Key.Key_Y, control)
    assert window.session.recipe.training.epochs == 5
    qtbot.keyClick(window, Qt.Key.Key_Z, control | Qt.KeyboardModifier.ShiftModifier)
    assert window.session.recipe.training.epochs == 7


def test_a_fix_button_repairs_the_recipe(window: Window, qtbot: QtBot) -> None:
    window.session.edit("model", "")
    press(qtbot, button(window.side, "Use the starter model"))
    assert window.session.recipe.model == "starter"
    assert not any(p.where == "model" for p in window.session.plan.problems)


def test_show_goes_to_the_page_that_answers(window: Window, qtbot: QtBot) -> None:
    press(qtbot, button(window.side.problems, "Show"))
    assert window.title == "Data"


def test_problems_are_told_as_they_are(qtbot: QtBot) -> None:
    panel = ProblemList()
    qtbot.addWidget(panel)
    panel.show_problems(
        (
            Problem(level="blocker", where="model", text="<b>stop</b>",
                    fix=Edit(path="model", value="starter", label="Use it")),
            Problem(level="warning", where="data", text="careful"),
            Problem(level="tip", where="", text="a tip"),
        )
    )  # fmt: skip
    labels = [w for w in panel.findChildren(QLabel) if w.text()]
    texts = [w.text() for w in labels]
    assert texts.index("<b>stop</b>") < texts.index("careful") < texts.index("a tip")
    assert {w.textFormat() for w in labels} == {Qt.TextFormat.PlainText}


def test_start_is_grey_and_says_why(window: Window, qtbot: QtBot) -> None:
    window.show_page("Review")
    forward = window.footer.forward
    assert forward.text().endswith("Start training")
    assert not forward.isEnabled()
    blocker = window.session.plan.blockers[0].text
    assert forward.accessibleDescription() == blocker
    assert any(w.text() == blocker for w in window.footer.findChildren(QLabel) if w.isVisible())


def test_a_file_that_cannot_be_used_says_why(window: Window, qtbot: QtBot, tmp_path: Path) -> None:
    window.session.edit("data.path", str(tmp_path / "gone.jsonl"))
    qtbot.waitUntil(lambda: "data" in window.session.troubles, timeout=60_000)
    qtbot.waitUntil(lambda: not window.session.reading)
    first = window.session.problems[0]
    assert first.level == "blocker"
    assert "gone.jsonl" in first.text
    assert any("gone.jsonl" in w.text() for w in window.side.findChildren(QLabel))
    assert window.rail.steps["Data"].mark == "blocker"


def test_a_refused_edit_is_said_in_the_footer(window: Window) -> None:
    window.session.edit("training.epochs", -1)
    assert window.footer.said().startswith("training.epochs: ")


def test_the_gauge_shows_what_is_needed(window: Window, qtbot: QtBot) -> None:
    window.session.edit("model", "")
    assert "Choose" in window.side.memory.verdict.text()
    window.session.edit("model", "starter")
    window.session.edit("data.path", str(sample("tickets.jsonl")))
    qtbot.waitUntil(lambda: bool(window.session.plan.items), timeout=60_000)
    assert window.side.memory.verdict.text().startswith("Fits")
    shown = {w.text() for w in window.side.memory.findChildren(QLabel)}
    assert {item.name for item in window.session.plan.items} <= shown


# -- looks ------------------------------------------------------------------------------------


def test_a_narrow_window_folds_the_panel(window: Window, qtbot: QtBot) -> None:
    window.resize(1280, 800)
    qtbot.waitUntil(lambda: window.side.width() == WIDTH)
    window.resize(1000, 700)
    qtbot.waitUntil(lambda: window.side.width() == FOLDED)
    press(qtbot, button_named(window.side, "Show memory and problems"))
    assert window.side.width() == WIDTH
    window.resize(1010, 700)
    QApplication.processEvents()
    assert not window.side.folded


def button_named(parent: QWidget, name: str) -> QAbstractButton:
    return next(
        b
        for b in parent.findChildren(QAbstractButton)
        if b.accessibleName() == name and not b.isHidden()
    )


def test_the_theme_can_be_changed_and_is_kept(window: Window, qtbot: QtBot) -> None:
    press(qtbot, button_named(window.rail, "Light or dark"))
    assert theme.current().dark
    assert [a.data() for a in window.theme_actions.actions() if a.isChecked()] == ["dark"]
    window.close()
    assert settings.load_looks().theme == "dark"


def test_everything_that_takes_the_focus_has_a_name(window: Window) -> None:
    nameless = [
        w
        for part in (window.rail, window.side, window.footer)
        for w in part.findChildren(QWidget)
        if w.focusPolicy() != Qt.FocusPolicy.NoFocus
        and isinstance(w, QAbstractButton)
        and not w.accessibleName()
        and not w.isHidden()
    ]
    assert nameless == []


def test_the_wheel_turns_no_field_it_passes_over(
    window: Window, dressed: QApplication, qtbot: QtBot
) -> None:
    from PySide6.QtCore import QPoint
    from PySide6.QtGui import QWheelEvent

    guard = WheelGuard()
    box = QComboBox(window)
    box.addItems(["one", "two", "three"])
    box.installEventFilter(guard)
    box.show()

    def wheel() -> None:
        here = QPointF(5, 5)
        event = QWheelEvent(
            here, here, QPoint(), QPoint(0, -120), Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(box, event)

    wheel()
    assert box.currentIndex() == 0
    box.setFocus()
    wheel()
    assert box.currentIndex() == 1


# -- files ------------------------------------------------------------------------------------


def test_a_change_is_on_disk_soon_and_read_back(window: Window, home: Path, qtbot: QtBot) -> None:
    window.session.edit("name", "kept")
    qtbot.waitUntil((home / "draft.yaml").is_file, timeout=5_000)
    assert load(home / "draft.yaml").name == "kept"
    assert window.footer.said() == "All changes saved"
    assert settings.load_draft().name == "kept"


def test_closing_keeps_a_change_made_just_now(window: Window) -> None:
    window.session.edit("name", "last word")
    window.close()
    assert settings.load_draft().name == "last word"


def test_a_damaged_draft_is_put_aside(home: Path) -> None:
    home.mkdir()
    (home / "draft.yaml").write_text("name: [", encoding="utf-8")
    assert settings.load_draft() == Recipe()
    assert (home / "draft.damaged.yaml").read_text(encoding="utf-8") == "name: ["


@pytest.mark.parametrize("text", ["", "{", '{"theme": "pink"}', '{"unknown": 1}', "[]"])
def test_damaged_looks_are_forgotten(home: Path, text: str) -> None:
    home.mkdir()
    (home / "window.json").write_text(text, encoding="utf-8")
    assert settings.load_looks() == settings.Looks()


def test_a_recipe_can_be_written_and_opened_undoably(window: Window, tmp_path: Path) -> None:
    window.session.edit("name", "on paper")
    window.files.write_recipe(tmp_path / "recipe.yaml")
    window.new_recipe()
    assert window.session.recipe == Recipe()
    window.files.open_recipe(tmp_path / "recipe.yaml")
    assert window.session.recipe.name == "on paper"
    window.undo()
    assert window.session.recipe == Recipe()


def test_a_bad_recipe_is_explained_and_changes_nothing(window: Window, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("epochs: 3", encoding="utf-8")
    window.files.open_recipe(tmp_path / "bad.yaml")
    said = box(window)
    assert "unknown field" in said.text()
    assert said.textFormat() == Qt.TextFormat.PlainText
    assert window.session.recipe == Recipe()
    said.close()


def drop(window: Window, path: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    window.dropEvent(
        QDropEvent(
            QPointF(400, 300), Qt.DropAction.CopyAction, data,
            Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier,
        )
    )  # fmt: skip


def test_dropped_data_becomes_the_dataset(window: Window, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "a", "completion": "b"}\n', encoding="utf-8")
    drop(window, rows)
    assert window.session.recipe.data.path == str(rows)
    assert window.title == "Data"


def test_anything_else_dropped_is_refused_with_a_reason(window: Window, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"x")
    drop(window, tmp_path / "photo.png")
    said = box(window)
    assert "photo.png" in said.text()
    said.close()
    assert window.session.recipe == Recipe()


# -- runs and leaving -------------------------------------------------------------------------


def test_a_new_window_finds_the_run_that_goes_on(
    home: Path, live_run: Live, window: Window, qtbot: QtBot
) -> None:
    assert window.runner.run is None
    run = live_run()
    window.close()
    again = Window(window.session, window.runner, settings.Looks())
    qtbot.addWidget(again, before_close_func=lambda w: w.leave())
    again.show()
    qtbot.waitUntil(lambda: again.runner.history.step > 3, timeout=60_000)
    assert again.runner.run == run
    assert again.title == "Run"
    assert again.rail.steps["Run"].mark == "busy"


@pytest.fixture
def training(window: Window, live_run: Live, qtbot: QtBot) -> tuple[Window, RunDir]:
    """A window that watches a live run."""
    run = live_run()
    window.runner.open(run.root)
    qtbot.waitUntil(lambda: window.runner.history.step > 3, timeout=60_000)
    return window, run


def test_start_begins_the_run_of_the_recipe(window: Window, qtbot: QtBot, home: Path) -> None:
    window.session.edit("name", "first try")
    window.session.edit("data.path", str(sample("tickets.jsonl")))
    qtbot.waitUntil(lambda: window.session.plan.ready, timeout=60_000)
    window.show_page("Review")
    press(qtbot, window.footer.forward)
    qtbot.waitUntil(lambda: window.runner.history.step > 3, timeout=20_000)
    assert window.title == "Run"
    run = window.runner.run
    assert run is not None
    assert run.root.parent == home / "runs"
    assert run.load_recipe() == window.session.recipe
    window.runner.stop_and_wait()
    assert not run.is_running()


def test_a_run_from_the_past_opens_at_its_result(window: Window, qtbot: QtBot, home: Path) -> None:
    run = copy("finished", home)
    window.runner.open(run.root)
    qtbot.waitUntil(lambda: window.title == "Result", timeout=60_000)
    assert window.rail.steps["Result"].mark == "done"


def test_closing_during_a_run_asks_and_can_be_cancelled(
    training: tuple[Window, RunDir], qtbot: QtBot
) -> None:
    window, run = training
    window.close()
    assert window.isVisible()
    press(qtbot, button(box(window), "Cancel"))
    assert window.isVisible()
    assert run.is_running()
    assert window.runner.alive()


def test_closing_can_keep_the_run(training: tuple[Window, RunDir], qtbot: QtBot) -> None:
    window, run = training
    window.close()
    press(qtbot, button(box(window), "Keep training"))
    assert not window.isVisible()
    step = run.history().step
    qtbot.waitUntil(lambda: run.history().step > step, timeout=60_000)
    assert run.is_running()


def test_closing_can_stop_and_save(training: tuple[Window, RunDir], qtbot: QtBot) -> None:
    window, run = training
    window.close()
    press(qtbot, button(box(window), "Stop and save"))
    qtbot.waitUntil(lambda: not window.isVisible(), timeout=60_000)
    assert not run.is_running()
    assert run.history().outcome().state == "stopped"


def test_no_second_run_starts_beside_a_live_one(training: tuple[Window, RunDir]) -> None:
    window, _ = training
    window.show_page("Review")
    assert not window.footer.forward.isEnabled()
    assert window.footer.forward.accessibleDescription() == "A run is training already."


def test_something_that_is_no_run_is_explained(window: Window, tmp_path: Path) -> None:
    window.runner.open(tmp_path)
    said = box(window)
    assert "is not a run" in said.text()
    said.close()


def test_run_pages_have_the_whole_width(window: Window) -> None:
    window.show_page("Run")
    assert window.side.isHidden()
    window.show_page("Goal")
    assert not window.side.isHidden()
    assert isinstance(window.footer.forward, QPushButton)
