"""The set-up pages on the real starter model and data: what they show and what they change."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, Qt, QUrl
from PySide6.QtGui import QDropEvent, QFont, QTextCursor
from PySide6.QtWidgets import QApplication, QLabel
from pytestqt.qtbot import QtBot

from core.choices import Checks, Training
from core.errors import HubError
from core.hub import Found
from core.objectives import OBJECTIVES
from core.places import SAMPLE
from core.recipe import parse
from core.tokens import Piece, Preview, PreviewRow, TokenFacts
from gui.forms import Form
from gui.hub_card import HubCard
from gui.pages import PAGES
from gui.pages.base import Page
from gui.pages.data import DataPage
from gui.pages.goal import GoalPage
from gui.pages.hyperparameters import HyperparametersPage
from gui.pages.memory import MemoryPage
from gui.pages.method import MethodPage
from gui.pages.model import ModelPage
from gui.pages.review import ReviewPage, choices
from gui.rate_curve import course
from gui.session import Session
from gui.token_view import TokenView, visible
from gui.widgets import Notice
from tests.gui.conftest import known, nameless

SETUP = [spec for spec in PAGES if not spec.follows_run]
MARKUP = "<img src='x.png'><b>bold</b>"


def preview(*pieces: Piece) -> Preview:
    counts = TokenFacts(max_length=16, rows=1, tokens=3, trained=1, cut=1)
    return Preview(tokens=counts, rows=(PreviewRow(line=7, pieces=pieces),))


@pytest.mark.parametrize("spec", SETUP, ids=lambda spec: spec.title)
@pytest.mark.parametrize("full", [False, True], ids=["empty", "known"])
def test_every_page_can_be_walked_by_keyboard_and_heard(
    qtbot: QtBot, session: Session, show: Callable[[type[Page]], Page], spec: object, full: bool
) -> None:
    page = show(spec.load())  # type: ignore[attr-defined]
    if full:
        known(qtbot, session)
    assert nameless(page) == []
    rich = [
        label.text()
        for label in page.findChildren(QLabel)
        if label.textFormat() != Qt.TextFormat.PlainText and label.text()
    ]
    assert rich == []


def test_the_example_is_one_click(
    qtbot: QtBot, session: Session, show: Callable[[type[Page]], Page]
) -> None:
    page = show(GoalPage)
    assert isinstance(page, GoalPage)
    session.begin()
    with qtbot.waitSignal(page.go) as went:
        qtbot.mouseClick(page.example, Qt.MouseButton.LeftButton)
    assert went.args == ["Review"]
    assert session.recipe.model == "starter"
    assert session.recipe.data.path
    qtbot.waitUntil(lambda: session.facts.data is not None)
    assert session.plan.ready


def test_every_goal_is_a_card_and_brings_its_own_fields(
    qtbot: QtBot, session: Session, show: Callable[[type[Page]], Page]
) -> None:
    goals, parameters = show(GoalPage), show(HyperparametersPage)
    assert isinstance(goals, GoalPage)
    assert isinstance(parameters, HyperparametersPage)
    kinds = {kind.model_fields["kind"].default for kind in OBJECTIVES}
    assert set(goals.kinds.options) == kinds
    qtbot.mouseClick(goals.kinds.options["dpo"], Qt.MouseButton.LeftButton)
    assert session.recipe.objective.kind == "dpo"
    assert goals.kinds.options["dpo"].isChecked()
    form, _ = (form for form in parameters.forms if form.prefix == "objective")
    assert list(form.rows) == ["beta", "loss_type", "label_smoothing"]
    known(qtbot, session)
    assert [p.where for p in session.plan.blockers] == ["data.format", "data.heldout"]
    session.use_data(f"{SAMPLE}preferences.jsonl", "")
    qtbot.waitUntil(lambda: session.plan.ready)
    for spec in SETUP:
        show(spec.load())


def test_the_model_page_tells_facts_and_trouble(
    session: Session, show: Callable[[type[Page]], Page], tmp_path: Path
) -> None:
    session.edit("model", "")
    page = show(ModelPage)
    assert isinstance(page, ModelPage)
    session.edit("model", "starter")
    assert page.facts.facts()["Context"] == "1,024 tokens"
    assert page.trouble.isHidden()
    session.edit("model", str(tmp_path))
    assert page.trouble.isVisible()
    assert str(tmp_path) in page.trouble.text()


def test_a_folder_is_typed(
    qtbot: QtBot, session: Session, show: Callable[[type[Page]], Page]
) -> None:
    page = show(ModelPage)
    assert isinstance(page, ModelPage)
    qtbot.keyClicks(page.path, "/some/model")
    assert session.recipe.model == "starter"
    qtbot.keyClick(page.path, Qt.Key.Key_Return)
    assert session.recipe.model == "/some/model"


def test_results_of_the_hub_are_chosen_and_errors_are_said(
    qtbot: QtBot, dressed: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    card = HubCard()
    qtbot.addWidget(card)
    card.show()
    assert not card.get.isEnabled()
    card._show_found([Found(model_id="a/b", gated=True), Found(model_id="c/d", licence=MARKUP)])
    card.results.setCurrentRow(1)
    assert card.chosen() == "c/d"
    assert card.get.isEnabled()
    first = card.results.item(0)
    assert first is not None
    assert "gated" in first.text()
    card._failed(HubError("The Hub cannot be reached.", hint="Check the network."))
    assert card.fetching.notice.text() == "The Hub cannot be reached. Check the network."


def test_a_full_id_needs_no_search(qtbot: QtBot, dressed: QApplication) -> None:
    card = HubCard()
    qtbot.addWidget(card)
    qtbot.keyClicks(card.text, "owner/name")
    assert card.chosen() == "owner/name"


def test_a_dropped_file_is_read_and_recognised(
    qtbot: QtBot, session: Session, show: Callable[[type[Page]], Page], tmp_path: Path
) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"prompt": "a", "answer": "b"}\n' * 60, encoding="utf-8")
    page = show(DataPage)
    assert isinstance(page, DataPage)
    dragged = QMimeData()
    dragged.setUrls([QUrl.fromLocalFile(str(path))])
    event = QDropEvent(
        QPoint(5, 5), Qt.DropAction.CopyAction, dragged, Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )  # fmt: skip
    page.zone.dropEvent(event)
    assert session.recipe.data.path == str(path)
    qtbot.waitUntil(lambda: session.facts.data is not None)
    assert page.certainty.text() == "100% sure"
    assert "mine.jsonl" in page.zone.words.text()
    qtbot.waitUntil(lambda: page.doctor.health is not None)
    assert "Exact copies" in [view.title for view in page.card.views]


def test_unknown_columns_are_mapped_by_hand(
    qtbot: QtBot, session: Session, show: Callable[[type[Page]], Page], tmp_path: Path
) -> None:
    path = tmp_path / "german.jsonl"
    lines = [json.dumps({"frage": f"Was ist {n}?", "aussage": f"Es ist {n}."}) for n in range(60)]
    path.write_text("\n".join(lines), encoding="utf-8")
    page = show(DataPage)
    assert isinstance(page, DataPage)
    session.use_data(str(path))
    qtbot.waitUntil(lambda: page.editor.isVisible())
    choose(qtbot, page, "format", "prompts")
    for part, column in (("prompt", "frage"), ("answer", "aussage")):
        qtbot.waitUntil(lambda part=part: part in page.editor.parts)
        choose(qtbot, page, part, column)
    qtbot.waitUntil(lambda: session.facts.data is not None)
    assert session.facts.data is not None
    assert session.facts.data.mapping == {"prompt": "frage", "answer": "aussage"}


def choose(qtbot: QtBot, page: DataPage, part: str, value: str) -> None:
    box = page.editor.format if part == "format" else page.editor.parts[part]
    box.setCurrentIndex(box.findData(value))
    box.activated.emit(box.currentIndex())


def test_broken_lines_are_named(
    qtbot: QtBot, session: Session, show: Callable[[type[Page]], Page], tmp_path: Path
) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text('{"prompt": "a", "answer": "b"}\n{oops\n{"x\n', encoding="utf-8")
    page = show(DataPage)
    assert isinstance(page, DataPage)
    session.use_data(str(path))
    qtbot.waitUntil(page.trouble.isVisible)
    said = " ".join(notice.text() for notice in page.trouble.findChildren(Notice))
    assert "line 2" in said
    assert "line 3" in said


def test_tokens_differ_by_pattern_and_are_never_markup(qtbot: QtBot, dressed: QApplication) -> None:
    view = TokenView()
    qtbot.addWidget(view)
    pieces = (
        Piece(text=MARKUP, kind="context"),
        Piece(text="yes\n", kind="trained"),
        Piece(text="gone", kind="cut"),
    )
    view.show_rows(preview(*pieces).rows)
    assert MARKUP in view.toPlainText()
    assert "yes⏎\n" in view.toPlainText()
    assert font_at(view, "yes").underline()
    assert font_at(view, "gone").strikeOut()
    assert not font_at(view, "<img").underline()
    assert "1 learned" in view.accessibleDescription()


def font_at(view: TokenView, text: str) -> QFont:
    cursor = QTextCursor(view.document())
    cursor.setPosition(view.toPlainText().index(text) + 1)
    return cursor.charFormat().font()


def test_bombs_are_cut_short(qtbot: QtBot, dressed: QApplication) -> None:
    view = TokenView()
    qtbot.addWidget(view)
    view.show_rows(preview(*[Piece(text="x" * 1000, kind="context")] * 5000).rows)
    assert len(view.toPlainText()) < 9_000
    assert "more tokens" in view.toPlainText()
    assert "\u202e" not in visible("a\u202eb")


def test_the_preview_says_what_it_waits_for(
    qtbot: QtBot, session: Session, show: Callable[[type[Page]], Page]
) -> None:
    page = show(DataPage)
    assert isinstance(page, DataPage)
    assert "dataset" in page.preview.status.text()
    known(qtbot, session)
    assert page.preview.busy.isVisible()
    session._counting.stop()
    session._counted(preview(Piece(text="yes", kind="trained")))
    assert page.preview.busy.isHidden()
    assert page.preview.counts.facts()["Rows cut"] == "1 of 1, at 16 tokens"


def test_methods_are_priced_and_keep_shared_settings(
    qtbot: QtBot, session: Session, show: Callable[[type[Page]], Page]
) -> None:
    page = show(MethodPage)
    assert isinstance(page, MethodPage)
    known(qtbot, session)
    assert all(option.chip.text() for option in page.kinds.options.values())
    assert "LoRA" in page.reasons.facts()
    session.edit("adaptation.rank", 4)
    qtbot.mouseClick(page.kinds.options["qlora"], Qt.MouseButton.LeftButton)
    assert session.recipe.adaptation.kind == "qlora"
    assert session.recipe.get("adaptation.rank") == 4
    assert page.kinds.options["qlora"].isChecked()
    qtbot.mouseClick(page.kinds.options["full"], Qt.MouseButton.LeftButton)
    assert session.recipe.adaptation.kind == "full"
    assert page.settings.isHidden()


def test_every_hyperparameter_is_there_exactly_once(show: Callable[[type[Page]], Page]) -> None:
    page = show(HyperparametersPage)
    found = sorted(form.path(name) for form in page.findChildren(Form) for name in form.rows)
    wanted = [f"training.{n}" for n in Training.model_fields]
    wanted += [f"checks.{n}" for n in Checks.model_fields] + ["objective.packing"]
    assert found == sorted(wanted)


def test_automatic_hyperparameters_carry_their_reason(
    qtbot: QtBot, session: Session, show: Callable[[type[Page]], Page]
) -> None:
    page = show(HyperparametersPage)
    assert isinstance(page, HyperparametersPage)
    known(qtbot, session)
    row = page.forms[0].rows["learning_rate"]
    assert row.because.text().startswith("Automatic: ")
    assert session.plan.settings is not None
    assert f"{session.plan.settings.steps:,} steps" in page.batch.text()


def test_sliders_edit_the_recipe_and_the_curve_follows(
    qtbot: QtBot, session: Session, show: Callable[[type[Page]], Page]
) -> None:
    page = show(MemoryPage)
    assert isinstance(page, MemoryPage)
    known(qtbot, session)
    session.edit("training.max_length", 1024)
    batch = page.whatif.batch
    before = batch.plot.summary()
    qtbot.keyClick(batch.slider, Qt.Key.Key_Right)
    assert session.recipe.training.micro_batch == 16
    qtbot.keyClick(page.whatif.length.slider, Qt.Key.Key_Left)
    assert session.recipe.training.max_length == 512
    assert page.whatif.length.value.text() == "512"
    session.edit("training.checkpointing", "on")
    assert batch.plot.summary() != before, "recomputing needs less at every batch"
    qtbot.mouseClick(batch.take, Qt.MouseButton.LeftButton)
    assert session.recipe.training.micro_batch == 1024
    assert "or more" in batch.most.text()


def test_the_verdict_waits_for_blockers(
    qtbot: QtBot, session: Session, show: Callable[[type[Page]], Page]
) -> None:
    page = show(ReviewPage)
    assert isinstance(page, ReviewPage)
    assert "must be fixed" in page.verdict.text()
    known(qtbot, session)
    assert page.verdict.text().startswith("Ready")


def test_a_problem_on_review_is_fixed_with_one_click(
    qtbot: QtBot, session: Session, show: Callable[[type[Page]], Page]
) -> None:
    page = show(ReviewPage)
    assert isinstance(page, ReviewPage)
    known(qtbot, session)
    session.edit("training.learning_rate", 0.9)
    notice = next(n for n in page.problems.findChildren(Notice) if "0.9" in n.text())
    qtbot.mouseClick(notice.button, Qt.MouseButton.LeftButton)
    assert session.recipe.training.learning_rate is None


def test_foreign_names_are_shown_as_they_are(
    session: Session, show: Callable[[type[Page]], Page]
) -> None:
    page = show(ReviewPage)
    assert isinstance(page, ReviewPage)
    session.edit("name", MARKUP)
    assert page.choices.facts()["Name"] == MARKUP


def test_trouble_from_before_the_page_was_made_is_shown(
    qtbot: QtBot, session: Session, show: Callable[[type[Page]], Page], tmp_path: Path
) -> None:
    session.edit("model", str(tmp_path / "nowhere"))
    session.use_data(str(tmp_path / "nothing.jsonl"))
    qtbot.waitUntil(lambda: "data" in session.troubles)
    data, review = show(DataPage), show(ReviewPage)
    assert isinstance(data, DataPage)
    assert isinstance(review, ReviewPage)
    assert data.trouble.isVisible()
    said = [notice.text() for notice in review.problems.findChildren(Notice)]
    assert any("nowhere" in text for text in said)
    assert any("nothing.jsonl" in text for text in said)
    assert "must be fixed" in review.verdict.text()


@pytest.mark.engine
def test_the_real_engine_colours_the_real_rows(
    qtbot: QtBot, dressed: QApplication, session: Session
) -> None:
    page = DataPage(session)
    qtbot.addWidget(page)
    page.show()
    session.use_data(f"{SAMPLE}tickets.jsonl", f"{SAMPLE}tickets_heldout.jsonl")
    session.begin()
    qtbot.waitUntil(lambda: session.preview is not None, timeout=180_000)
    assert isinstance(session.preview, Preview)
    assert session.preview.tokens.rows == 1200
    assert session.preview.tokens.untrained == 0
    text = page.preview.view.toPlainText()
    assert "<|im_start|>assistant" in text
    assert font_at(page.preview.view, '{"category"').underline()
    assert not font_at(page.preview.view, "Read the customer").underline()


def test_layers_of_the_model_are_ticked(
    qtbot: QtBot, session: Session, show: Callable[[type[Page]], Page]
) -> None:
    page = show(MethodPage)
    assert isinstance(page, MethodPage)
    known(qtbot, session)
    assert page.layers.isHidden()
    assert session.edit("adaptation.targets", "custom")
    assert session.edit("adaptation.modules", ["q_proj", "no_such"])
    boxes = page.layers.boxes
    assert session.facts.model is not None
    assert list(boxes) == list(session.facts.model.linear)
    assert [name for name, box in boxes.items() if box.isChecked()] == ["q_proj"]
    boxes["down_proj"].click()
    assert set(session.recipe.get("adaptation.modules")) == {"no_such", "q_proj", "down_proj"}


def test_the_course_of_the_rate_is_drawn_before_the_run(
    qtbot: QtBot, session: Session, show: Callable[[type[Page]], Page]
) -> None:
    page = show(HyperparametersPage)
    assert isinstance(page, HyperparametersPage)
    assert page.curve.isHidden()
    known(qtbot, session)
    settings = session.plan.settings
    assert settings is not None
    assert not page.curve.isHidden()
    falling = page.curve.accessibleDescription()
    assert session.edit("training.schedule", "constant")
    level = page.curve.accessibleDescription()
    assert falling != level
    points = course(session.recipe.training, settings)
    assert points.x[-1] == settings.steps
    assert points.y[-1] == pytest.approx(settings.learning_rate)


def test_review_tells_what_was_chosen_and_not_what_nobody_touched() -> None:
    told = dict(choices(parse({})))
    assert told["Method"] == "LoRA, layers all-linear, rank 16, alpha 32, dropout 0, DoRA off"
    rewards = [{"kind": "exact"}, {"kind": "length", "most": 9}]
    adaptation = {"kind": "lora", "targets": "custom", "modules": ["q_proj"], "rslora": True}
    told = dict(
        choices(parse({"objective": {"kind": "ppo", "rewards": rewards}, "adaptation": adaptation}))
    )
    assert "rewards Exactly as expected + Has a length" in told["Goal"]
    assert "KL coefficient 0.05" in told["Goal"]
    assert "names of layers q_proj" in told["Method"]
    assert "rank-stabilised on" in told["Method"]
