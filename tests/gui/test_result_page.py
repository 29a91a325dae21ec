"""The Result page tells what changed, honestly, and where it lies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot
from recorded import NAMES, copy

from core.events import Answer, Event, Finished, Scored
from core.history import History
from core.rundir import RunDir
from gui.outcome import FILTERS, pairs, verdict
from gui.pages.result import ResultPage
from gui.runner import Runner
from gui.session import Session
from gui.widgets import PlainLabel

SOME_RUN = RunDir(Path("a-run"))
SCORED = TypeAdapter(Scored)


@pytest.fixture
def runner(qtbot: QtBot) -> Iterator[Runner]:
    made = Runner()
    yield made
    made.detach()


@pytest.fixture
def page(dressed: QApplication, qtbot: QtBot, session: Session, runner: Runner) -> ResultPage:
    made = ResultPage(session, runner)
    qtbot.addWidget(made)
    made.resize(900, 800)
    made.show()
    return made


def read(qtbot: QtBot, runner: Runner, run: RunDir) -> None:
    with qtbot.waitSignal(runner.ended, timeout=20_000):
        runner.open(run.root)


def scored(when: str, loss: float, right: str) -> Scored:
    """One answer for each letter: r is right, w is wrong."""
    answers = tuple(
        Answer(prompt=f"Q{n}", expected="yes", answer="yes" if r == "r" else when, correct=r == "r")
        for n, r in enumerate(right)
    )
    share = right.count("r") / len(right) if right else None
    return SCORED.validate_python(
        {"when": when, "loss": loss, "exact_match": share, "rows": len(right), "answers": answers}
    )


def story(*events: Event) -> History:
    told = History()
    for event in events:
        told.apply(event)
    return told


@pytest.mark.parametrize(
    ("loss", "before", "after", "level", "says"),
    [
        (1.0, "w" * 40, "r" * 40, "ok", "Improved. The loss on rows it never trained on fell."),
        (1.0, "w" * 40, "r" * 40, "ok", "Of 40 answers 40 became right and none became wrong."),
        (1.0, "wr", "rw", "note", "1 became right and 1 became wrong"),
        (1.0, "ww", "ww", "note", "No answer is exactly as expected"),
        (1.0, "rr", "rr", "note", "As many of 2 answers are right as before."),
        (1.0, "rrr", "rww", "warn", "Not clearly improved."),
        (3.0, "ww", "rr", "warn", "Not clearly improved. The loss on rows it never trained on did"),
        (3.0, "rr", "ww", "warn", "Not improved."),
        (1.0, "", "", "ok", "Improved."),
        (1.0, "w", "r", "ok", "Only one row was asked"),
    ],
)
def test_the_verdict_is_honest(loss: float, before: str, after: str, level: str, says: str) -> None:
    told = story(scored("before", 2.0, before), scored("after", loss, after))
    got, text = verdict(SOME_RUN, told)
    assert says in text
    assert got == level


def test_the_verdict_without_scores() -> None:
    assert "No run yet" in verdict(None, History())[1]
    assert "come when the run has finished" in verdict(SOME_RUN, History())[1]
    assert "No rows were held out" in verdict(SOME_RUN, story(Finished(step=3)))[1]


def test_answers_are_paired_by_question_not_by_place() -> None:
    before, after = scored("before", 2.0, "wr"), scored("after", 1.0, "rr")
    turned = replace(after, answers=after.answers[::-1])
    found = pairs(before, turned)
    assert [(p.before.prompt, p.after.prompt) for p in found if p.before] == [
        ("Q1", "Q1"),
        ("Q0", "Q0"),
    ]
    assert pairs(None, after)[0].before is None


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        (FILTERS[0], ["Q0", "Q1", "Q2", "Q3"]),
        (FILTERS[1], ["Q0", "Q1", "Q2"]),
        (FILTERS[2], ["Q1", "Q2"]),
        (FILTERS[3], ["Q1"]),
    ],
)
def test_filters(wanted: str, kept: list[str]) -> None:
    found = pairs(scored("before", 2.0, "wrwr"), scored("after", 1.0, "rwwr"))
    assert [pair.after.prompt for pair in found if pair.passes(wanted)] == kept


@pytest.mark.parametrize("name", NAMES)
def test_every_recorded_run_is_drawn(
    qtbot: QtBot, page: ResultPage, runner: Runner, home: Path, name: str
) -> None:
    run = copy(name, home)
    read(qtbot, runner, run)
    finished = name == "finished"
    assert page.scores.isVisible()
    (loss,) = (value for name, value in page.scores.values.items() if "loss" in name)
    assert ("→" in loss.text()) == finished
    assert page.answers.isVisible() == finished
    assert not page.grab().isNull()


def test_the_table_shows_words_marks_and_the_whole_text(
    qtbot: QtBot, page: ResultPage, runner: Runner, home: Path
) -> None:
    run = copy("finished", home)
    read(qtbot, runner, run)
    after = run.history().after
    assert after is not None
    assert page.model.rowCount() == len(after.answers)
    cell = page.model.index(0, 3)
    assert cell.data().startswith("Correct\n" if after.answers[0].correct else "Wrong\n")
    assert not cell.data(Qt.ItemDataRole.DecorationRole).isNull()
    assert page.model.index(0, 0).data() == after.answers[0].prompt
    page.filter.setCurrentText("Right before, wrong now")
    assert page.model.rowCount() == 0
    assert page.shown.text() == f"0 of {len(after.answers)} rows"


def test_markup_in_tool_tips_is_shown_not_obeyed(
    page: ResultPage,
) -> None:
    answer = Answer(prompt="<img src=x>", expected="e", answer="<b>a</b>", correct=False)
    page.model.show_rows(pairs(None, Scored(when="after", loss=1.0, rows=1, answers=(answer,))))
    assert page.model.index(0, 0).data(Qt.ItemDataRole.ToolTipRole) == (
        "<span>&lt;img src=x&gt;</span>"
    )
    assert page.model.index(0, 2).data() == "(not asked)"


def test_the_folder_is_named_only_when_it_is_there(
    qtbot: QtBot, page: ResultPage, runner: Runner, home: Path
) -> None:
    run = copy("finished", home)
    read(qtbot, runner, run)
    assert not page.place.isVisible()
    run.adapter.mkdir()
    read(qtbot, runner, run)
    assert page.place.isVisible()
    assert page.artefact == run.adapter
    qtbot.mouseClick(page.copy, Qt.MouseButton.LeftButton)
    assert QGuiApplication.clipboard().text() == str(run.adapter)


def told(before: dict[str, object], after: dict[str, object]) -> tuple[str, str]:
    """The verdict on two looks without answers."""
    looks = (("before", before), ("after", after))
    events = [SCORED.validate_python({"when": when, **look}) for when, look in looks]
    return verdict(SOME_RUN, story(*events, Finished(step=1)))


def test_rewards_and_preferences_are_judged_by_what_they_are_for() -> None:
    level, words = told({"metrics": {"reward": 0.25}}, {"metrics": {"reward": 0.75}})
    assert level == "ok"
    assert "mean reward on questions it never trained on rose (0.25 before, 0.75 after)" in words
    _, words = told({"metrics": {"reward": 0}}, {"metrics": {"reward": 1}, "rewarded": 100})
    assert "mean reward on 100 questions it never trained on rose" in words
    answers = {"answers": ({"prompt": "Q", "expected": "a", "answer": "b", "correct": False},)}
    level, words = told(
        {"metrics": {"reward": 0.2}} | answers, {"metrics": {"reward": 0.5}} | answers
    )
    assert (level, words.split(".")[0]) == ("note", "Improved by reward only")
    level, words = told({"metrics": {"reward": 0.5}}, {"metrics": {"reward": 0.5}})
    assert (level, "did not rise" in words) == ("warn", True)
    pairs = ({"loss": 0.7, "reward_accuracy": 0.6}, {"loss": 0.5, "reward_accuracy": 0.5})
    level, words = told(*pairs)
    assert level == "warn", "a lower loss that tells fewer pairs apart is no clear gain"
    assert "preferred in 50% of held-out pairs, 60% before" in words


def test_every_figure_that_was_measured_is_shown(
    dressed: QApplication, qtbot: QtBot, page: ResultPage
) -> None:
    before = Scored(when="before", metrics={"reward": 0.2, "kl": 0.0}, rewarded=100)
    page.scores.show_scores(before, Scored(when="after", metrics={"reward": 0.9, "kl": 1.5}))
    shown = {name: label.text() for name, label in page.scores.values.items()}
    assert shown == {
        "Mean reward, higher is better": "0.2 → 0.9",
        "Distance from the model as it was": "0 → 1.5",
    }
    notes = [label.text() for label in page.scores.findChildren(PlainLabel)]
    assert "Mean reward of the generated answers to 100 held-out questions." in notes
