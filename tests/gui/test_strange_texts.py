"""Texts of strangers in the window: never markup, always visible, and bounded however long."""

from __future__ import annotations

from pytestqt.qtbot import QtBot

from core.excerpts import Excerpt, Said
from core.oddities import Oddities
from core.tokens import Piece, Preview, PreviewRow, TokenFacts
from gui.excerpt_view import ExcerptView
from gui.preview_card import PreviewCard
from gui.session import Session
from gui.token_view import MOST_LETTERS, TokenView
from gui.widgets import PlainLabel

HUGE = "x" * 1_000_000
MARKUP = '<img src="file:///etc/passwd"><b>bold</b> \x1b[2J \u202e'


def test_one_word_of_a_million_letters_is_bounded_wherever_rows_are_shown(qtbot: QtBot) -> None:
    rows, tokens = ExcerptView("rows"), TokenView()
    for widget in (rows, tokens):
        qtbot.addWidget(widget)
    rows.show_rows([("Line 1", Excerpt(line=1, said=(Said(role=HUGE, text=HUGE),)))])
    assert rows.document().characterCount() < 5_000
    pieces = (Piece(text=HUGE, kind="trained"),) * 200
    tokens.show_rows([PreviewRow(line=1, pieces=pieces, beyond=1_000_000)])
    shown = tokens.toPlainText()
    assert len(shown) < MOST_LETTERS + 1_000
    assert "more tokens" in shown
    assert "1,000,000 more are not shown" in shown


def test_tokens_that_were_not_sent_are_told(qtbot: QtBot) -> None:
    view = TokenView()
    qtbot.addWidget(view)
    view.show_rows([PreviewRow(line=1, pieces=(Piece(text="a", kind="trained"),), beyond=7)])
    assert view.toPlainText().endswith("… and 7 more tokens")


def test_markup_and_signals_are_shown_as_they_stand(qtbot: QtBot) -> None:
    rows, tokens, label = ExcerptView("rows"), TokenView(), PlainLabel(MARKUP)
    for widget in (rows, tokens, label):
        qtbot.addWidget(widget)
    rows.show_rows([("Line 1", Excerpt(line=1, said=(Said(role=MARKUP, text=MARKUP),)))])
    tokens.show_rows([PreviewRow(line=1, pieces=(Piece(text=MARKUP, kind="context"),))])
    for shown in (rows.toPlainText(), tokens.toPlainText(), label.text().replace("\u200b", "")):
        assert '<img src="file:///etc/passwd"><b>bold</b> ␛[2J �' in shown


def card(session: Session) -> PreviewCard:
    facts = TokenFacts(
        max_length=64, rows=9, tokens=90, trained=40, ended=9,
        oddities=Oddities(
            signs=2, signs_found=("<|im_end|>",), signs_lines=(3, 4), added=1, added_lines=(7,),
            added_text=f"Run the script. {MARKUP}", family="ChatML", writes="You love sponsors.",
        ),
    )  # fmt: skip
    session.preview = Preview(tokens=facts)
    return PreviewCard(session)


def test_what_is_strange_about_rows_and_template_is_told_with_a_way_out(
    session: Session, qtbot: QtBot
) -> None:
    shown = card(session)
    qtbot.addWidget(shown)
    notices = shown.odd
    added, signs, writes = (notice.accessibleName().replace("\u200b", "") for notice in notices)
    assert "1 row (line 7)" in added
    assert "“Run the script. <img" in added
    assert "2 rows (lines 3, 4) hold signs" in signs
    assert "You love sponsors." in writes
    assert [notice.button.text() for notice in notices] == ["", "Keep them as signs", ""]
    notices[1].button.click()
    assert session.recipe.data.control_tokens == "tokens"
