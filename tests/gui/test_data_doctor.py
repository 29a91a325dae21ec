"""The doctor in the window: real files with planted defects, mended, split and taken back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QScrollArea, QWidget
from pytestqt.qtbot import QtBot

from core.durable import digest
from core.mending import Example
from core.places import SAMPLE
from core.tokens import AtLength, Piece, Preview, PreviewRow, TokenFacts
from gui import theme
from gui.diff_view import ChangeView, DiffText, compare
from gui.doctor import Doctor
from gui.errand import Errand
from gui.excerpt_view import edged
from gui.finding_view import FindingView
from gui.fitted_text import FittedText
from gui.pages.data import DataPage
from gui.preview_card import ASKED, LEARNED
from gui.preview_words import describe_tokens, judge_tokens
from gui.session import Session
from gui.sheet import Sheet
from gui.widgets import Chip, Notice
from tests.core.planted import Row, clean

ARABIC = "يمكنك إعادة ضبط كلمة المرور من صفحة الإعدادات."
MARKUP = "<h1>Hello</h1><script>alert(1)</script>"


@pytest.fixture
def rows() -> list[Row]:
    """A copy (31), a mail address (10), no answer (51), a contradiction (42), hard texts (21)."""
    rows = clean(60)
    rows[30] = dict(rows[3])
    rows[9]["answer"] += " Write to anna.lang@firma.de"
    rows[20] = {"prompt": f"{MARKUP} {'x' * 5000}", "answer": f"  {ARABIC} 👩‍👩‍👧 "}
    rows[41] = rows[5] | {"answer": "None of the two, says everybody who ever was there."}
    rows[50]["answer"] = ""
    return [row | {"c" * 3000: "odd", MARKUP: 1} for row in rows]


def write(path: Path, rows: list[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: str) -> list[Row]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def file(tmp_path: Path, rows: list[Row]) -> Path:
    return write(tmp_path / "mine.jsonl", rows)


@pytest.fixture
def page(qtbot: QtBot, dressed: QApplication, session: Session) -> Iterator[DataPage]:
    """The page in its frame; the engine is kept out of it."""
    session._counting.setInterval(10**8)
    made = DataPage(session)
    sheet = Sheet(made)
    qtbot.addWidget(sheet)
    sheet.resize(830, 640)
    sheet.show()
    yield made
    sheet.close()


Open = Callable[[Path], None]


@pytest.fixture
def open_file(qtbot: QtBot, page: DataPage, session: Session) -> Open:
    """Chooses a file and waits until every row was examined."""

    def choose(path: Path) -> None:
        session.use_data(str(path))
        examined(qtbot, page)

    return choose


def examined(qtbot: QtBot, page: DataPage) -> None:
    qtbot.waitUntil(lambda: page.doctor.health is not None and not page.doctor.errand.busy)


def press(qtbot: QtBot, button: QWidget) -> None:
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def finding(page: DataPage, code: str) -> FindingView:
    return next(view for view in page.card.views if view.finding.code == code)


def fix(qtbot: QtBot, page: DataPage, *codes: str) -> None:
    """Tick these findings alone and press the button."""
    for view in page.card.views:
        view.tick.setChecked(view.finding.code in codes)
    press(qtbot, page.card.fix)
    qtbot.waitUntil(lambda: not page.doctor.errand.busy)


# ---- findings ------------------------------------------------------------------------------------


def test_findings_come_gravest_first_with_their_rows(
    qtbot: QtBot, page: DataPage, open_file: Open, file: Path
) -> None:
    open_file(file)
    found = [(v.finding.code, v.finding.count) for v in page.card.views]
    assert found[0] == ("empty_answer", 1)
    assert {("duplicates", 1), ("personal_data", 1), ("contradictions", 1)} <= set(found)
    assert page.card.chip.text().endswith("problems")
    view = finding(page, "contradictions")
    assert view.tick.isHidden(), "only a person can decide"
    press(qtbot, view.unfolding.button)
    qtbot.waitUntil(view.rows.isVisible)
    text = view.rows.toPlainText()
    assert text.index("Line 6, the earlier one") < text.index("Line 42\n")
    assert "None of the two" in text


def test_a_clean_dataset_is_praised(page: DataPage, open_file: Open, tmp_path: Path) -> None:
    open_file(write(tmp_path / "clean.jsonl", clean(120)))
    assert page.card.chip.text() == "nothing found"
    assert page.card.fix.isHidden()
    assert "120 rows" in page.card.status.text()
    assert "keys and tokens, personal data" in page.card.scope.text()
    assert "held-out" not in page.card.scope.text()


def test_hard_texts_are_plain_and_break_nothing(
    qtbot: QtBot, page: DataPage, open_file: Open, file: Path
) -> None:
    open_file(file)
    view = finding(page, "length_outliers")
    press(qtbot, view.unfolding.button)
    qtbot.waitUntil(view.rows.isVisible)
    shown = view.rows.toPlainText()
    assert MARKUP in shown
    assert ARABIC in shown
    assert "characters in all" in shown
    sheet = page.window()
    assert isinstance(sheet, QScrollArea)
    assert sheet.horizontalScrollBar().maximum() == 0, "nothing is wider than the page"
    blocks = (view.rows.document().findBlockByNumber(n) for n in range(99))
    arabic = next(block for block in blocks if ARABIC in block.text())
    assert arabic.textDirection() == Qt.LayoutDirection.RightToLeft


def test_the_wheel_is_the_pages_and_nothing_scrolls_inside(
    qtbot: QtBot, page: DataPage, open_file: Open, file: Path
) -> None:
    open_file(file)
    view = finding(page, "personal_data")
    press(qtbot, view.unfolding.button)
    qtbot.waitUntil(view.rows.isVisible)
    for text in page.findChildren(FittedText):
        wheel = QWheelEvent(
            QPointF(5, 5), QPointF(5, 5), QPoint(), QPoint(0, -120), Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        text.wheelEvent(wheel)
        assert not wheel.isAccepted()
    qtbot.waitUntil(lambda: view.rows.verticalScrollBar().maximum() == 0)
    assert view.rows.height() > 60


def test_everything_is_named_reachable_and_whole(
    qtbot: QtBot, page: DataPage, open_file: Open, file: Path
) -> None:
    open_file(file)
    page.mapping.unfold(True)
    for view in page.card.views:
        view.unfolding.unfold(True)
    qtbot.waitUntil(lambda: faults(page) == [])
    fix(qtbot, page, "personal_data", "duplicates")
    qtbot.waitUntil(lambda: faults(page) == [])
    seen: list[QWidget] = []
    page.browse.setFocus()
    while (focus := QApplication.focusWidget()) is not None and focus not in seen:
        seen.append(focus)
        qtbot.keyClick(focus, Qt.Key.Key_Tab)
    wanted = {page.card.diff.accept, page.card.diff.refuse, page.split.split}
    assert wanted | set(page.card.diff.findChildren(DiffText)) <= set(seen)


def faults(page: DataPage) -> list[str]:
    """Parts that cannot be heard, are markup, or are squeezed or cut."""
    found = []
    for widget in page.findChildren(QWidget):
        if not widget.isVisible():
            continue
        named = widget.accessibleName() or widget.objectName().startswith("qt_")
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus and not named:
            found.append(f"nameless: {widget}")
        if isinstance(widget, QAbstractButton | Chip):
            size, least = widget.size(), widget.minimumSizeHint()
            if size.width() < least.width() or size.height() < least.height():
                found.append(f"squeezed: {widget.text()}")
        if isinstance(widget, QLabel) and widget.text():
            if widget.textFormat() != Qt.TextFormat.PlainText:
                found.append(f"markup: {widget.text()}")
            if widget.height() < widget.heightForWidth(widget.width()):
                found.append(f"cut: {widget.text()}")
    sheet = page.window()
    assert isinstance(sheet, QScrollArea)
    return found + ["too wide"] * bool(sheet.horizontalScrollBar().maximum())


def test_blanks_at_the_ends_are_seen() -> None:
    assert edged("  a b\n") == "␣␣a b⏎"
    assert edged("\t \n") == "⇥␣⏎"
    assert edged("a") == "a"


def test_examining_can_be_cancelled_and_taken_up_again(
    qtbot: QtBot, page: DataPage, session: Session, tmp_path: Path
) -> None:
    session.use_data(str(write(tmp_path / "many.jsonl", clean(3000))))
    qtbot.waitUntil(lambda: page.doctor.errand.busy, timeout=10_000)
    assert page.card.progress.isVisible()
    press(qtbot, page.card.stop)
    assert not page.doctor.errand.busy
    assert page.doctor.health is None
    assert page.card.chip.text() == "not examined"
    press(qtbot, page.card.again)
    qtbot.waitUntil(lambda: page.doctor.health is not None, timeout=20_000)
    assert page.card.stop.isHidden()


# ---- mending -------------------------------------------------------------------------------------


def test_fix_accept_and_back(
    qtbot: QtBot, page: DataPage, session: Session, open_file: Open, file: Path, rows: list[Row]
) -> None:
    open_file(file)
    before = digest(file)
    fix(qtbot, page, "empty_answer", "duplicates", "personal_data")
    assert page.doctor.draft is not None
    copy = page.doctor.draft.record.copy_path
    assert session.recipe.data.path == str(file), "nothing is used before it is accepted"
    assert page.card.diff.accept.hasFocus()
    assert page.card.diff.counts.facts()["Rows"] == "60 before, 58 after"
    changes = {view.title.text(): view for view in page.card.diff.findChildren(ChangeView)}
    assert set(changes) == {
        "Empty answer: 1 row left out",
        "Exact copies: 1 row left out",
        "Personal data: 1 row changed",
    }
    shown = changes["Personal data: 1 row changed"].text.toPlainText()
    assert "anna.lang@firma.de" in shown
    assert "[EMAIL]" in shown
    assert rows[30]["prompt"] in changes["Exact copies: 1 row left out"].text.toPlainText()

    press(qtbot, page.card.diff.accept)
    assert session.recipe.data.path == copy
    examined(qtbot, page)
    assert not {"empty_answer", "duplicates", "personal_data"} & {
        view.finding.code for view in page.card.views
    }
    written = read(copy)
    assert len(written) == 58
    assert written[9]["answer"].endswith("Write to [EMAIL]")
    assert digest(file) == before

    qtbot.waitUntil(page.origin.isVisible)
    assert "mine.jsonl: 2 rows left out, 1 text changed" in page.origin.text()
    press(qtbot, page.origin.button)
    assert session.recipe.data.path == str(file)
    examined(qtbot, page)
    assert page.origin.isHidden()
    assert Path(copy).exists(), "the copy can be used again"
    session.undo()
    assert session.recipe.data.path == copy


def test_a_refused_copy_leaves_no_trace(
    qtbot: QtBot, page: DataPage, session: Session, open_file: Open, file: Path
) -> None:
    open_file(file)
    fix(qtbot, page, "duplicates")
    assert len(list(file.parent.glob("mine*"))) == 3
    press(qtbot, page.card.diff.refuse)
    qtbot.waitUntil(lambda: [p.name for p in file.parent.glob("mine*")] == ["mine.jsonl"])
    assert page.card.diff.isHidden()
    assert page.card.findings.isVisible()
    assert session.recipe.data.path == str(file)


def test_another_dataset_drops_the_waiting_copy(
    qtbot: QtBot, page: DataPage, session: Session, open_file: Open, file: Path, tmp_path: Path
) -> None:
    open_file(file)
    fix(qtbot, page, "duplicates")
    open_file(write(tmp_path / "other.jsonl", clean(60)))
    assert page.doctor.draft is None
    qtbot.waitUntil(lambda: not list(file.parent.glob("mine.fixed*")))


def test_the_button_counts_what_is_ticked(page: DataPage, open_file: Open, file: Path) -> None:
    open_file(file)
    for view in page.card.views:
        view.tick.setChecked(False)
    assert not page.card.fix.isEnabled()
    finding(page, "spaces").tick.setChecked(True)
    assert page.card.fix.text() == "Fix 1 problem in a copy"


def test_broken_lines_are_left_out_with_one_click(
    qtbot: QtBot, page: DataPage, session: Session, file: Path
) -> None:
    with file.open("a", encoding="utf-8") as appended:
        appended.write('{"prompt": \n')
    session.use_data(str(file))
    qtbot.waitUntil(lambda: page.doctor.health is not None)
    assert page.trouble.isVisible()
    assert page.format.heading.text() == "Questions with known answers"
    view = finding(page, "broken_lines")
    press(qtbot, view.unfolding.button)
    qtbot.waitUntil(view.rows.isVisible)
    assert "Line 61" in view.rows.toPlainText()
    notice = page.trouble.findChildren(Notice)[0]
    assert notice.button.text() == "Leave them out, in a copy"
    press(qtbot, notice.button)
    qtbot.waitUntil(lambda: page.doctor.draft is not None)
    press(qtbot, page.card.diff.accept)
    qtbot.waitUntil(lambda: session.facts.data is not None)
    assert page.trouble.isHidden()
    assert len(read(session.recipe.data.path)) == 60


def test_a_file_changed_meanwhile_is_said_and_read_again(
    qtbot: QtBot, page: DataPage, open_file: Open, file: Path, rows: list[Row]
) -> None:
    open_file(file)
    write(file, rows[:40])
    fix(qtbot, page, "duplicates")
    assert "changed by another program" in page.card.trouble.text()
    assert page.doctor.draft is None
    assert [p.name for p in file.parent.glob("mine*")] == ["mine.jsonl"]
    press(qtbot, page.card.trouble.button)
    examined(qtbot, page)
    assert page.card.trouble.isHidden()
    assert page.doctor.total == 40


def test_a_copy_that_cannot_be_written_is_said(
    qtbot: QtBot, page: DataPage, session: Session, home: Path
) -> None:
    session.use_data(f"{SAMPLE}prompts.jsonl")
    examined(qtbot, page)
    home.mkdir(exist_ok=True)
    (home / "copies").write_text("in the way", encoding="utf-8")
    fix(qtbot, page, "near_duplicates")
    assert "Cannot write" in page.card.trouble.text()
    assert session.recipe.data.path == f"{SAMPLE}prompts.jsonl"
    assert page.card.fix.isVisible(), "it can be tried again"


def test_a_sample_is_mended_in_the_users_folder(
    qtbot: QtBot, page: DataPage, session: Session, home: Path
) -> None:
    session.use_data(f"{SAMPLE}prompts.jsonl")
    examined(qtbot, page)
    fix(qtbot, page, "near_duplicates")
    press(qtbot, page.card.diff.accept)
    assert Path(session.recipe.data.path).parent == home / "copies"
    qtbot.waitUntil(page.origin.isVisible)
    press(qtbot, page.origin.button)
    assert session.recipe.data.path == f"{SAMPLE}prompts.jsonl"


# ---- splitting -----------------------------------------------------------------------------------


def test_one_click_splits_without_leaks_and_one_takes_it_back(
    qtbot: QtBot, page: DataPage, session: Session, open_file: Open, tmp_path: Path
) -> None:
    rows = [row | {"topic": "rare" if n % 5 == 0 else "usual"} for n, row in enumerate(clean(100))]
    rows[60] = rows[3] | {"answer": rows[3]["answer"].replace("nearby", "near by")}
    path = write(tmp_path / "mine.jsonl", rows)
    open_file(path)
    assert "Near-duplicates among the rows: 1" in page.split.leaks.text()
    assert page.split.category.currentData() == "topic"
    assert page.split.split.text() == "Split off 10 % without leaks"
    press(qtbot, page.split.split)
    qtbot.waitUntil(lambda: bool(session.recipe.data.heldout))
    examined(qtbot, page)
    data = session.recipe.data
    kept = read(data.heldout)
    assert (Path(data.path).name, len(read(data.path)), len(kept)) == ("mine.train.jsonl", 90, 10)
    assert sum(row["topic"] == "rare" for row in kept) == 2
    assert page.split.leaks.text().startswith("No row asks what the held-out file asks")
    assert page.split.split.isHidden()
    qtbot.waitUntil(page.origin.isVisible)
    press(qtbot, page.origin.button)
    assert (session.recipe.data.path, session.recipe.data.heldout) == (str(path), "")


def test_a_leak_is_shown_and_mended(
    qtbot: QtBot, page: DataPage, session: Session, file: Path, rows: list[Row], tmp_path: Path
) -> None:
    held = write(tmp_path / "held.jsonl", [rows[7], *clean(5, seed=3)])
    session.use_data(str(file), str(held))
    examined(qtbot, page)
    assert "among the rows: 1 of 59" in page.split.leaks.text()
    fix(qtbot, page, "leakage")
    press(qtbot, page.card.diff.accept)
    examined(qtbot, page)
    assert session.recipe.data.heldout == str(held)
    assert page.split.leaks.text().startswith("No row asks")


def test_a_split_that_cannot_be_made_is_said(
    qtbot: QtBot, page: DataPage, session: Session, open_file: Open, tmp_path: Path
) -> None:
    open_file(write(tmp_path / "few.jsonl", clean(3)))
    press(qtbot, page.split.split)
    qtbot.waitUntil(page.split.trouble.isVisible)
    assert "no row is left for eval" in page.split.trouble.text()
    assert [p.name for p in tmp_path.glob("few*")] == ["few.jsonl"]


# ---- how rows are read ---------------------------------------------------------------------------


def test_formats_say_how_well_they_fit_beside_a_live_example(
    qtbot: QtBot, page: DataPage, session: Session, open_file: Open, tmp_path: Path
) -> None:
    rows = [row | {"comment": f"no. {n}"} for n, row in enumerate(clean(60))]
    open_file(write(tmp_path / "mine.jsonl", rows))
    box = page.editor.format
    titles = {box.itemData(n): box.itemText(n) for n in range(box.count())}
    assert titles["prompts"].endswith("fits 100 %")
    assert titles["chat"].endswith("does not fit")
    page.mapping.unfold(True)
    view = page.editor.example.view
    qtbot.waitUntil(lambda: f"user\n{rows[0]['prompt']}" in view.toPlainText())
    assert "comment\nno. 0" in view.toPlainText()
    press(qtbot, page.editor.example.another)
    assert f"user\n{rows[1]['prompt']}" in view.toPlainText()
    chosen = page.editor.parts["answer"]
    chosen.setCurrentIndex(chosen.findData("comment"))
    chosen.activated.emit(chosen.currentIndex())
    assert session.recipe.data.columns == {"answer": "comment"}
    qtbot.waitUntil(lambda: "assistant\nno. 1" in view.toPlainText())


# ---- parts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [("Call +49 30 901820 now", "Call [PHONE] now"), ("  a b ", "a b"), ("x", ""), ("", "")],
)
def test_a_comparison_loses_no_letter(before: str, after: str) -> None:
    left, right = compare(before, after)
    assert "".join(text for text, _ in left) == before
    assert "".join(text for text, _ in right) == after
    same = ["".join(text for text, marked in side if not marked) for side in (left, right)]
    assert same[0] == same[1]


def test_marks_follow_the_theme_and_blanks_get_signs(qtbot: QtBot, dressed: QApplication) -> None:
    view = DiffText("Changes")
    qtbot.addWidget(view)
    view.show()
    view.show_examples([Example(line=7, before=f"{MARKUP} ", after=MARKUP)])
    assert f"{MARKUP}␣" in view.toPlainText()
    light = view.document().toHtml()
    theme.apply(dressed, dark=True)
    assert view.document().toHtml() != light
    theme.apply(dressed, dark=False)


def test_the_audit_names_the_gravest_fault_first() -> None:
    facts: dict[str, Any] = {"max_length": 64, "rows": 10, "ended": 10, "end_token": "<|im_end|>"}
    whole = TokenFacts(**facts, at_lengths=(AtLength(length=512, cut=0, untrained=0),))
    assert judge_tokens(whole).startswith("All 10 rows are learned whole")
    assert dict(describe_tokens(whole))["Other lengths"] == "no row would be cut at 512 tokens"
    short = AtLength(length=512, cut=2, untrained=1), AtLength(length=1024, cut=0, untrained=0)
    told = dict(describe_tokens(TokenFacts(**facts, at_lengths=short)))
    assert told["At 512 tokens"] == "2 rows cut (20.0 %), nothing to learn in 1 row"
    assert told["At 1,024 tokens"] == "no row cut"
    assert dict(describe_tokens(whole))["End of the answer"] == "learned in every row: <|im_end|>"
    cut = TokenFacts(**facts | {"ended": 7, "cut": 3})
    assert "In 3 of 10 rows the end of the answer is cut off" in judge_tokens(cut)
    lost = TokenFacts(**facts | {"ended": 7, "cut": 3, "untrained": 1})
    assert judge_tokens(lost).startswith("Nothing is learned from 1 of 10 rows")


def test_questions_are_told_as_asked_and_answers_as_never_learned(
    page: DataPage, session: Session
) -> None:
    facts: dict[str, Any] = {"max_length": 70, "rows": 10, "room": 6}
    whole = TokenFacts(**facts, at_lengths=(AtLength(length=512, cut=0, untrained=0),))
    assert judge_tokens(whole).startswith("All 10 questions leave room for an answer of 6 tokens")
    told = dict(describe_tokens(whole))
    assert told["Room for an answer"] == "6 of 70 tokens"
    assert told["Other lengths"] == "every question leaves room at 512 tokens"
    assert not [name for name in told if "learn" in name.lower() or "End" in name]
    short = TokenFacts(**facts, cut=2, untrained=2)
    assert judge_tokens(short).startswith("2 of 10 questions leave no room")
    session.edit("objective", {"kind": "grpo"})
    pieces = Piece(text="Is 2 even?", kind="context"), Piece(text="yes", kind="expected")
    session._counted(Preview(tokens=whole, rows=(PreviewRow(line=1, pieces=pieces),)))
    card = page.preview
    assert card.heading.text() == ASKED
    assert "1 tokens, 0 learned, 1 only read. Then the expected answer." in card.view.toPlainText()
    named = {chip.text(): chip.isVisible() for chip in card.legend.findChildren(Chip)}
    assert named == {"learned": False, "only read": True, "compared with": True, "cut off": True}
    session.edit("objective", {"kind": "sft"})
    assert card.heading.text() == LEARNED
    assert session.preview is None, "what was counted for rewards says nothing of learning"


def test_rows_of_the_preview_are_turned(qtbot: QtBot, page: DataPage, session: Session) -> None:
    rows = tuple(
        PreviewRow(line=n, answer=side, pieces=(Piece(text=f"answer {n}", kind="trained"),))
        for n, side in ((1, ""), (2, "chosen"), (2, "rejected"))
    )  # fmt: skip
    session._counted(Preview(tokens=TokenFacts(max_length=9, rows=2, ended=2), rows=rows))
    assert "answer 1" in page.preview.view.toPlainText()
    assert not page.preview.back.isEnabled()
    press(qtbot, page.preview.forth)
    assert page.preview.view.toPlainText().count("answer 2") == 2, "a pair stays together"
    assert not page.preview.forth.isEnabled()


def test_a_newer_errand_ends_the_older(qtbot: QtBot, session: Session) -> None:
    errand, ends = Errand(session), list[str]()

    def never(heed: Callable[[int], None]) -> None:
        while True:
            heed(1)

    errand.begin(never, lambda _: ends.append("old"), lambda _: ends.append("failed"))
    errand.begin(lambda _: "new", ends.append, lambda _: ends.append("failed"))
    qtbot.waitUntil(lambda: ends == ["new"])
    assert not errand.busy


def test_no_dataset_means_no_doctor(session: Session) -> None:
    doctor = Doctor(session)
    doctor.mend(["duplicates"])
    doctor.accept()
    assert not doctor.errand.busy
    assert session.recipe.data.path == ""
