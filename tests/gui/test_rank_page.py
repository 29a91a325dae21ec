"""The Rank page: answers made by the real engine, judged by keyboard, learned from by one click."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QTextOption
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QWidget
from pytestqt.qtbot import QtBot

from core.answering import Answer, Answers, Request, Sampling, as_it_is, typed
from core.dataset import inspect_data
from core.places import datasets_home, rankings_home, runs_home
from core.ranking import Ranking
from core.rundir import RunDir
from gui.pages.rank import RankPage
from gui.rank_setup import DATA, HELDOUT, TYPED
from gui.rate_edit import RateEdit
from gui.runner import Runner
from gui.session import Session
from tests.gui.conftest import nameless

PATIENCE = 180_000
MARKUP = "<b>bold</b> <img src='x.png'>"
HEBREW = "שלום עולם"


@pytest.fixture
def page(
    qtbot: QtBot, dressed: QApplication, session: Session, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RankPage]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    session._counting.setInterval(10**8)
    made = RankPage(session, Runner())
    qtbot.addWidget(made)
    made.resize(960, 800)
    made.show()
    yield made
    made.setup.errand.stop()
    qtbot.waitUntil(lambda: not engines(), timeout=10_000)


def engines() -> list[psutil.Process]:
    """Engine processes of this test."""
    alive = (p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE)
    return [p for p in alive if "core.engine" in p.cmdline()]


def made(*answers: tuple[str, str], ended: bool = True) -> Ranking:
    """A session that needed no engine."""
    speakers = as_it_is("left", Sampling()), as_it_is("right", Sampling())
    prompts = typed("\n".join(f"Question {n} {MARKUP}" for n in range(len(answers))))
    said = tuple(
        (Answer(speaker=0, text=a), Answer(speaker=1, text=b, ended=ended)) for a, b in answers
    )
    request = Request(speakers=speakers, prompts=prompts)
    return Ranking.create(rankings_home() / "some.jsonl", request, Answers(answers=said), 0)


def press(qtbot: QtBot, button: QAbstractButton) -> None:
    assert button.isVisible()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def words(page: QWidget) -> str:
    """Everything that can be seen, hovered over or heard."""
    said = []
    for widget in (page, *page.findChildren(QWidget)):
        if widget.isVisible():
            said += [widget.accessibleName(), widget.accessibleDescription(), widget.toolTip()]
            said += [widget.text()] if isinstance(widget, QLabel | QAbstractButton) else []
    return "\n".join(said)


@pytest.mark.engine
def test_from_prompts_to_a_recipe_that_learns_by_keyboard(
    qtbot: QtBot, session: Session, page: RankPage
) -> None:
    setup = page.setup
    setup.source.setCurrentIndex(setup.source.findData(TYPED))
    setup.prompts.setPlainText("Tell me a story.\nDescribe a garden.\nHow are you today?")
    setup.form.fields["temperature"].wanted.emit(1.2)
    setup.form.fields["longest"].wanted.emit(12)
    press(qtbot, setup.begin)
    assert setup.stop.isVisible()
    assert setup.bar.isVisible()
    qtbot.waitUntil(page.duel.isVisible, timeout=PATIENCE)
    assert page.duel.place.text() == "1 of 3"
    assert "draw" not in words(page)
    for key in (Qt.Key.Key_1, Qt.Key.Key_2, Qt.Key.Key_T):
        qtbot.keyClick(page.duel, key)
    assert page.outcome.isVisible()
    assert "starter, as it is, first draw" in page.outcome.standings.facts()
    qtbot.keyClick(page.outcome.write, Qt.Key.Key_Space)
    assert page.outcome.told.text().startswith("Preferences written: 2. Left out: ties 1.")
    file = Path(page.outcome.path.text().replace("\u200b", ""))
    facts = inspect_data(file)
    assert (facts.format, facts.confidence, facts.rows) == ("preference", 1.0, 2)
    before = session.recipe
    with qtbot.waitSignal(page.go) as went:
        qtbot.keyClick(page.outcome.train, Qt.Key.Key_Space)
    assert went.args == ["Review"]
    assert (session.recipe.objective.kind, session.recipe.data.path) == ("dpo", str(file))
    session.undo()
    assert session.recipe == before


@pytest.mark.engine
def test_making_answers_can_be_called_off(qtbot: QtBot, page: RankPage) -> None:
    page.setup.source.setCurrentIndex(page.setup.source.findData(TYPED))
    page.setup.prompts.setPlainText("Tell me a story.")
    press(qtbot, page.setup.begin)
    qtbot.waitUntil(lambda: bool(engines()), timeout=PATIENCE)
    press(qtbot, page.setup.stop)
    assert page.setup.begin.isVisible()
    assert not page.setup.bar.isVisible()
    qtbot.waitUntil(lambda: not engines(), timeout=10_000)
    assert not page.duel.isVisible()
    assert not rankings_home().exists()


def test_every_key_and_button_judges(qtbot: QtBot, page: RankPage) -> None:
    page.show_ranking(made(*[("a", "b")] * 9))
    duel = page.duel
    assert not duel.undo.isEnabled()
    for key in (Qt.Key.Key_1, Qt.Key.Key_2, Qt.Key.Key_0, Qt.Key.Key_T, Qt.Key.Key_S):
        qtbot.keyClick(duel, key)
    for button in (duel.sides[0].better, duel.sides[1].better, duel.tie):
        press(qtbot, button)
    assert duel.place.text() == "9 of 9"
    qtbot.keyClick(duel.sides[0].view, Qt.Key.Key_U)
    qtbot.keyClick(duel.tie, Qt.Key.Key_Backspace)
    assert duel.place.text() == "7 of 9"
    qtbot.keyClick(duel, Qt.Key.Key_1, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClick(duel, Qt.Key.Key_X)
    assert duel.place.text() == "7 of 9"
    assert page.ranking is not None
    found = page.ranking.summary()
    assert (found.first, found.second, found.ties, found.skips) == (2, 1, 2, 1)


def test_the_origin_is_hidden_until_the_end(qtbot: QtBot, page: RankPage) -> None:
    page.show_ranking(made(("a", "b"), ("c", "d")))
    for _ in range(2):
        assert "as it is" not in words(page)
        assert "won" not in words(page)
        qtbot.keyClick(page.duel, Qt.Key.Key_2)
    assert "left, as it is" in words(page)
    press(qtbot, page.outcome.undo)
    assert page.duel.place.text() == "2 of 2"
    assert "as it is" not in words(page)
    press(qtbot, page.duel.leave)
    assert page.outcome.onwards.isVisible()
    press(qtbot, page.outcome.onwards)
    assert page.duel.isVisible()


def test_answers_are_shown_as_they_are(qtbot: QtBot, page: RankPage) -> None:
    long = "word " * 4000 + "x" * 4000
    page.show_ranking(made((MARKUP, HEBREW), (long, "short"), ended=False))
    cards = {card.view.toPlainText(): card for card in page.duel.sides}
    assert set(cards) == {MARKUP, HEBREW}
    assert page.duel.prompt.toPlainText() == f"Question 0 {MARKUP}"
    block = cards[HEBREW].view.document().firstBlock()
    assert block.textDirection() == Qt.LayoutDirection.RightToLeft
    assert cards[HEBREW].view.wordWrapMode() == QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere
    assert cards[HEBREW].cut.isVisible()
    assert not cards[MARKUP].cut.isVisible()
    qtbot.keyClick(page.duel, Qt.Key.Key_T)
    assert long in [card.view.toPlainText() for card in page.duel.sides]
    for card in page.duel.sides:
        assert card.view.horizontalScrollBar().maximum() == 0


def test_everything_can_be_walked_by_keyboard_and_heard(page: RankPage) -> None:
    ranking = made(("a", "b"))
    for show in (lambda: None, lambda: page.show_ranking(ranking), page._show_outcome):
        show()
        assert nameless(page) == []


def test_a_judgement_that_cannot_be_kept_is_told_and_nothing_moves(
    qtbot: QtBot, page: RankPage
) -> None:
    ranking = made(("a", "b"), ("c", "d"))
    page.show_ranking(ranking)
    ranking.file.unlink()
    qtbot.keyClick(page.duel, Qt.Key.Key_1)
    assert "Cannot write" in page.trouble.text()
    assert page.trouble.isVisible()
    assert page.duel.place.text() == "1 of 2"


def test_without_anything_decided_no_file_is_written(qtbot: QtBot, page: RankPage) -> None:
    page.show_ranking(made(("a", "b")))
    qtbot.keyClick(page.duel, Qt.Key.Key_S)
    press(qtbot, page.outcome.write)
    assert "nothing to learn" in page.outcome.trouble.text()
    assert not page.outcome.train.isVisible()
    assert not datasets_home().exists()


def test_what_is_missing_is_named(qtbot: QtBot, session: Session, page: RankPage) -> None:
    setup = page.setup
    for source, says in (
        (TYPED, "No prompt was typed"),
        (DATA, "No dataset is chosen"),
        (HELDOUT, "No dataset is chosen"),
    ):
        setup.trouble.hide()
        setup.source.setCurrentIndex(setup.source.findData(source))
        press(qtbot, setup.begin)
        qtbot.waitUntil(setup.trouble.isVisible, timeout=10_000)
        assert says in setup.trouble.text()
    setup.models.item(0).setCheckState(Qt.CheckState.Unchecked)
    press(qtbot, setup.begin)
    assert "No model is ticked" in setup.trouble.text()


def test_answers_are_not_made_while_a_run_trains(
    qtbot: QtBot, page: RankPage, live_run: Callable[[], RunDir]
) -> None:
    page.runner.open(live_run().root)
    press(qtbot, page.setup.begin)
    assert "A run is training" in page.setup.trouble.text()
    assert not page.setup.errand.busy
    page.runner.detach()


def test_models_are_offered_and_stay_ticked(session: Session, page: RankPage) -> None:
    models = page.setup.models
    assert models.ticked() == ["starter"]
    for name in ("2026-01-01_old", "2026-02-02_new", "2026-03-03_unfinished"):
        root = runs_home() / name
        (root / "adapter").mkdir(parents=True)
        (root / "events.jsonl").touch()
    (runs_home() / "2026-03-03_unfinished" / "adapter").rmdir()
    page.runner.run = RunDir(runs_home() / "2026-01-01_old")
    page.setup.refresh()
    assert models.count() == 3
    old = str(runs_home() / "2026-01-01_old")
    assert models.ticked() == ["starter", old]
    session.edit("model", "other")
    assert models.ticked() == ["other", old]
    names = [speaker.name for speaker in models.speakers(Sampling())]
    assert names == ["other, as it is", "2026-01-01_old"]
    session.edit("model", "")
    found = models.speakers(Sampling())
    assert [s.name for s in found] == [f"2026-01-01_old, {nth} draw" for nth in ("first", "second")]
    models.item(0).setCheckState(Qt.CheckState.Unchecked)
    session.edit("model", "starter")
    assert models.ticked() == [old]


def test_numbers_that_cannot_be_used_are_refused(
    qtbot: QtBot, session: Session, page: RankPage
) -> None:
    form = page.setup.form
    heat = form.fields["temperature"].widget
    assert isinstance(heat, RateEdit)
    for text, says in (
        ("7", "less than or equal to 2"),
        ("warm", "warm"),
        ("", "number is needed"),
    ):
        heat.setText(text)
        heat.editingFinished.emit()
        assert says in form.fault.text()
        assert heat.text() == text
        press(qtbot, page.setup.begin)
        assert page.setup.trouble.text().startswith(form.fault.text())
    heat.setText("1.5")
    heat.editingFinished.emit()
    assert form.chosen().temperature == 1.5
    assert form.fault.isHidden()
    form.fields["longest"].faulted.emit("'many' is no number. The number from before is kept.")
    assert "is kept" in form.fault.text()
    assert form.chosen().longest == session.recipe.checks.answer_length


def test_earlier_rankings_go_on(qtbot: QtBot, page: RankPage) -> None:
    ranking = made(("a", "b"), ("c", "d"))
    ranking.judge("tie")
    (rankings_home() / "broken.jsonl").write_text("{", encoding="utf-8")
    page.hide()
    page.show()
    box = page.setup.earlier
    qtbot.waitUntil(lambda: box.count() == 2, timeout=10_000)
    told = [box.itemText(place) for place in range(2)]
    assert sum("cannot be read" in text for text in told) == 1
    box.setCurrentIndex(next(n for n, text in enumerate(told) if "cannot" in text))
    press(qtbot, page.setup.open)
    assert "cannot be read as a ranking" in page.setup.trouble.text()
    box.setCurrentIndex(next(n for n, text in enumerate(told) if "1 of 2 judged" in text))
    press(qtbot, page.setup.open)
    assert page.duel.place.text() == "2 of 2"
