"""The Run page: how far, what went wrong, and which buttons make sense now."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QLabel
from pytestqt.qtbot import QtBot
from recorded import NAMES, copy

from core.events import (
    Answer,
    Event,
    Failed,
    Finished,
    Paused,
    Phase,
    Sampled,
    Started,
    Step,
    Warned,
    encode,
)
from core.rundir import RunDir
from gui import theme
from gui.pages.run import RunPage
from gui.runner import Runner
from gui.session import Session

NASTY = "<img src='file:///etc/passwd'><b>bold</b>\u202e if a<b and c>d"


@pytest.fixture
def runner(qtbot: QtBot) -> Iterator[Runner]:
    made = Runner()
    yield made
    made.detach()


@pytest.fixture
def page(dressed: QApplication, qtbot: QtBot, session: Session, runner: Runner) -> RunPage:
    made = RunPage(session, runner)
    qtbot.addWidget(made)
    made.resize(900, 700)
    made.show()
    return made


def say(run: RunDir, *events: Event) -> None:
    with run.events_file.open("ab") as file:
        file.writelines(encode(event) for event in events)


def read(qtbot: QtBot, runner: Runner, run: RunDir) -> None:
    with qtbot.waitSignal(runner.ended, timeout=20_000):
        runner.open(run.root)


def test_without_a_run_it_says_how_to_get_one(page: RunPage) -> None:
    assert page.empty.isVisible()
    assert "Review" in page.empty.text()
    assert not page.charts.isVisible()
    assert not page.head.isVisible()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dark", [False, True])
def test_every_recorded_run_is_drawn(
    qtbot: QtBot, page: RunPage, runner: Runner, home: Path, name: str, dark: bool
) -> None:
    run = copy(name, home)
    theme.apply(QApplication.instance(), dark=dark)  # type: ignore[arg-type]
    read(qtbot, runner, run)
    story = run.history()
    assert page.outcome.text() == str(story.outcome())
    assert page.figures.values["Step"].text() == f"{story.step:,} of {story.total:,}"
    assert f"Step {story.step:,}" in page.charts.loss.accessibleDescription()
    assert page.trouble.isVisible() == (name != "finished")
    assert page.name.text().endswith("LoRA · starter")
    assert not page.grab().isNull()


def test_a_failure_names_the_way_out(
    qtbot: QtBot, page: RunPage, runner: Runner, home: Path
) -> None:
    read(qtbot, runner, copy("failed", home))
    assert "ran out of memory" in page.outcome.text()
    assert page.trouble.text().startswith("Halve the rows")
    assert page.trouble.button.text() == "Resume from step 46"
    assert page.detail.isHidden()
    qtbot.mouseClick(page.more, Qt.MouseButton.LeftButton)
    assert page.detail.isVisible()
    assert "OutOfMemoryError" in page.detail.toPlainText()


def test_a_run_without_checkpoint_starts_again(
    qtbot: QtBot, page: RunPage, runner: Runner, home: Path
) -> None:
    run = copy("finished", home)
    run.events_file.write_bytes(b"")
    say(run, Started(pid=1), Failed(error="It broke."))
    read(qtbot, runner, run)
    assert page.trouble.button.text() == "Start again"
    assert page.trouble.text() == "It broke."


def test_the_resume_button_resumes(
    qtbot: QtBot, page: RunPage, runner: Runner, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pressed: list[RunDir] = []
    read(qtbot, runner, copy("interrupted", home))
    monkeypatch.setattr("core.launch.resume", lambda run, _: pressed.append(run) or _refuse())
    runner.refused.connect(lambda _: None)
    qtbot.mouseClick(page.trouble.button, Qt.MouseButton.LeftButton)
    assert pressed == [runner.run]


def _refuse() -> None:
    raise OSError(28, "No space left on device")


def test_the_buttons_steer_a_live_run(
    qtbot: QtBot, page: RunPage, runner: Runner, live_run: Callable[[], RunDir]
) -> None:
    run = live_run()
    runner.open(run.root)
    qtbot.waitUntil(lambda: runner.history.step >= 3)
    assert page.stop.isVisible()
    assert not page.pause.isEnabled()
    assert page.pause.toolTip()
    say(run, Phase(name="training"))
    qtbot.waitUntil(page.pause.isEnabled)
    for button, wish in (
        (page.pause, "pause"),
        (page.checkpoint, "checkpoint"),
        (page.sample, "sample"),
    ):
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        assert run.control().command == wish
        assert page.phase.text() != "Training"
    with qtbot.waitSignals([runner.ended]):
        qtbot.mouseClick(page.stop, Qt.MouseButton.LeftButton)
    assert not page.stop.isVisible()
    assert page.outcome.text().startswith("Stopped at step")
    assert page.trouble.button.text().startswith("Resume from step")


def test_a_paused_run_can_go_on(
    qtbot: QtBot, page: RunPage, runner: Runner, live_run: Callable[[], RunDir]
) -> None:
    run = live_run()
    runner.open(run.root)
    qtbot.waitUntil(lambda: runner.history.step >= 1)
    runner.history.apply(Phase(name="training"))
    runner.history.apply(Paused(step=1))
    page._draw()
    assert page.pause.text() == "Continue"
    qtbot.mouseClick(page.pause, Qt.MouseButton.LeftButton)
    assert run.control().command == "continue"


def test_slow_phases_show_how_far_they_are(
    qtbot: QtBot, page: RunPage, runner: Runner, live_run: Callable[[], RunDir]
) -> None:
    runner.open(live_run().root)
    qtbot.waitUntil(lambda: runner.history.step >= 1)
    runner.history.apply(Phase(name="tokenising", done=250, total=1_000))
    page._draw()
    assert page.phase.text() == "Reading the examples: 250 of 1,000 (25 %)"
    assert (page.bar.value(), page.bar.maximum()) == (250, 1_000)
    runner.history.apply(Phase(name="loading"))
    page._draw()
    assert page.bar.maximum() == 0


def test_the_end_of_a_watched_run_leads_to_the_result(
    qtbot: QtBot, page: RunPage, runner: Runner, live_run: Callable[[], RunDir]
) -> None:
    run = live_run()
    runner.open(run.root)
    qtbot.waitUntil(lambda: runner.history.step >= 1)
    run.ask("stop")
    with qtbot.waitSignal(runner.ended, timeout=20_000):
        say(run, Finished(step=9))
    went: list[str] = []
    page.go.connect(went.append)
    runner.history.apply(Finished(step=9))
    runner.ended.emit(runner.outcome())
    assert went == ["Result"]


def test_looking_up_an_old_run_leads_nowhere(
    qtbot: QtBot, page: RunPage, runner: Runner, home: Path
) -> None:
    went: list[str] = []
    page.go.connect(went.append)
    read(qtbot, runner, copy("finished", home))
    assert went == []


def test_a_hidden_page_draws_when_it_is_shown(
    qtbot: QtBot, page: RunPage, runner: Runner, home: Path
) -> None:
    read(qtbot, runner, copy("failed", home))
    page.hide()
    runner.history.apply(Step(step=58, total=225, loss=0.5))
    runner.changed.emit(runner.history)
    assert page.figures.values["Step"].text() == "57 of 225"
    page.show()
    assert page.figures.values["Step"].text() == "58 of 225"


def test_a_page_made_late_shows_the_run(
    dressed: QApplication, qtbot: QtBot, session: Session, runner: Runner, home: Path
) -> None:
    read(qtbot, runner, copy("finished", home))
    late = RunPage(session, runner)
    qtbot.addWidget(late)
    late.show()
    assert late.outcome.text() == "Finished, step 188 of 188."


def test_foreign_text_stays_text(qtbot: QtBot, page: RunPage, runner: Runner, home: Path) -> None:
    run = copy("interrupted", home)
    answer = Answer(prompt=NASTY, expected=NASTY, answer=NASTY)
    say(run, Sampled(step=44, answer=answer), Warned(code="x", text=NASTY, hint=NASTY))
    say(run, Failed(error=NASTY, hint=NASTY, detail=NASTY))
    read(qtbot, runner, run)
    labels = [label for label in page.findChildren(QLabel) if "passwd" in label.text()]
    assert len(labels) >= 5
    assert {label.textFormat() for label in labels} == {Qt.TextFormat.PlainText}
    assert "\u202e" not in "".join(label.text() for label in labels)


def test_the_same_warning_is_shown_once(
    qtbot: QtBot, page: RunPage, runner: Runner, home: Path
) -> None:
    run = copy("interrupted", home)
    say(run, *(Warned(code="flat", text="The loss is flat.") for _ in range(5)))
    read(qtbot, runner, run)
    assert page.warnings._column.count() == 1


def test_the_log_is_read_when_it_is_unfolded(
    qtbot: QtBot, page: RunPage, runner: Runner, home: Path
) -> None:
    run = copy("finished", home)
    run.log_file.write_bytes("naïve warning\n".encode() + b"\xff\n")
    read(qtbot, runner, run)
    assert page.log.text.toPlainText() == ""
    qtbot.mouseClick(page.log.fold, Qt.MouseButton.LeftButton)
    assert "naïve warning" in page.log.text.toPlainText()
    with run.log_file.open("ab") as file:
        file.write(b"another line\n")
    page.log.refresh()
    assert "another line" in page.log.text.toPlainText()
    qtbot.mouseClick(page.log.fold, Qt.MouseButton.LeftButton)
    assert page.log.text.isHidden()


def test_resume_is_offered_once_the_old_engine_is_gone(
    qtbot: QtBot, page: RunPage, runner: Runner, home: Path
) -> None:
    """An engine needs a moment to end after its last word; resuming earlier would be refused."""
    run = copy("interrupted", home)
    say(run, Finished(step=46, stopped=True))
    with run.lock():
        runner.open(run.root)
        qtbot.waitUntil(lambda: runner.history.state == "stopped", timeout=20_000)
        qtbot.waitUntil(lambda: page.outcome.text().startswith("Stopped"), timeout=5_000)
        assert not page.trouble.isVisible()
    qtbot.waitUntil(page.trouble.isVisible, timeout=5_000)
    assert page.trouble.button.text().startswith("Resume")
