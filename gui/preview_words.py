"""What was counted of the rows, in words: whether all is learned, or asked, as it should be."""

from __future__ import annotations

from collections.abc import Iterator

from core.numbers import percent
from core.tokens import AtLength, TokenFacts
from gui.token_view import visible


def judge_tokens(tokens: TokenFacts) -> str:
    """In one line whether the whole set teaches what it should."""
    if tokens.room:
        return _judge_questions(tokens)
    if tokens.untrained:
        return (
            f"Nothing is learned from {tokens.untrained:,} of {tokens.rows:,} rows: at "
            f"{tokens.max_length:,} tokens they are cut before an answer begins. Raise the "
            "maximum length, or shorten them."
        )
    if tokens.ended < tokens.rows:
        return (
            f"In {tokens.rows - tokens.ended:,} of {tokens.rows:,} rows the end of the answer is "
            f"cut off at {tokens.max_length:,} tokens: from these the model does not learn to stop."
        )
    if tokens.cut:
        return f"{tokens.cut:,} of {tokens.rows:,} rows are cut, behind their last answer."
    return f"All {tokens.rows:,} rows are learned whole, the sign to stop included."


def describe_tokens(tokens: TokenFacts) -> list[tuple[str, str]]:
    """The counts in words."""
    if tokens.room:
        return _describe_questions(tokens)
    share = tokens.trained / tokens.tokens if tokens.tokens else 0.0
    cut = f"{tokens.cut:,} of {tokens.rows:,}, at {tokens.max_length:,} tokens"
    facts = [
        ("Rows", f"{tokens.rows:,} to learn from, {tokens.heldout:,} held out"),
        (
            "Tokens learned",
            f"{tokens.trained:,} of {tokens.tokens:,} ({percent(share)})",
        ),
        ("Length of a row", _spread(tokens)),
        ("Rows cut", cut if tokens.cut else "none"),
        ("Nothing to learn in", _many(tokens.untrained)),
        ("End of the answer", _ending(tokens)),
        *_lengths(tokens),
    ]
    return [*facts, *_template(tokens)]


def _judge_questions(tokens: TokenFacts) -> str:
    answer = f"an answer of {tokens.room:,} tokens within {tokens.max_length:,}"
    learned = "Of the rows nothing is learned: the model learns from rewards of its own answers."
    if tokens.untrained:
        return (
            f"{tokens.untrained:,} of {tokens.rows:,} questions leave no room for {answer} and are "
            f"left out. {learned}"
        )
    return f"All {tokens.rows:,} questions leave room for {answer}. {learned}"


def _describe_questions(tokens: TokenFacts) -> list[tuple[str, str]]:
    return [
        ("Questions", f"{tokens.rows:,} to try, {tokens.heldout:,} held out"),
        ("Length of a question", _spread(tokens)),
        ("Room for an answer", f"{tokens.room:,} of {tokens.max_length:,} tokens"),
        ("Questions without room", _many(tokens.untrained, "question")),
        *_lengths(tokens),
        *_template(tokens),
    ]


def _spread(tokens: TokenFacts) -> str:
    return f"median {tokens.median:,}, 95 % up to {tokens.p95:,}, longest {tokens.longest:,}"


def _template(tokens: TokenFacts) -> Iterator[tuple[str, str]]:
    note = tokens.template_note
    if note:
        yield "Chat template", note[:1].upper() + note[1:]


def _ending(tokens: TokenFacts) -> str:
    sign = f": {visible(tokens.end_token).strip()}" if tokens.end_token else ""
    if tokens.ended == tokens.rows:
        return f"learned in every row{sign}"
    return f"learned in {tokens.ended:,} of {tokens.rows:,} rows{sign}"


def _lengths(tokens: TokenFacts) -> Iterator[tuple[str, str]]:
    """What other maximum lengths would do."""
    if tokens.at_lengths and not any(at.cut or at.untrained for at in tokens.at_lengths):
        fate = "every question leaves room" if tokens.room else "no row would be cut"
        yield "Other lengths", f"{fate} at {tokens.at_lengths[0].length:,} tokens"
        return
    for at in tokens.at_lengths:
        yield f"At {at.length:,} tokens", _fate(tokens, at)


def _fate(tokens: TokenFacts, at: AtLength) -> str:
    share = at.cut / tokens.rows if tokens.rows else 0.0
    part = f" ({percent(share, 1)})" if at.cut else ""
    if tokens.room:
        return f"{_many(at.cut, 'question')} without room{part}"
    lost = f", nothing to learn in {_many(at.untrained)}" if at.untrained else ""
    return f"{_many(at.cut)} cut{part}{lost}"


def _many(count: int, what: str = "row") -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}" if count else f"no {what}"
