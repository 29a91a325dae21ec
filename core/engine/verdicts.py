"""Answers marked good or bad, as the model sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from transformers import PreTrainedTokenizerBase

from core.dataset import Example
from core.engine.encode import Progress, Row, encode
from core.engine.pairs import last_answer
from core.errors import DataError


@dataclass(frozen=True)
class Verdict:
    """A row whose last answer is good or bad."""

    row: Row
    good: bool

    @property
    def place(self) -> int | str:
        """Where the row stands."""
        return self.row.place

    @property
    def sides(self) -> tuple[Row, ...]:
        """A verdict stands alone."""
        return (self.row,)

    @property
    def start(self) -> int:
        """Where the answer begins."""
        return self.row.trained.index(True)

    def learns(self, length: int) -> bool:
        """Whether anything of the answer stands within `length` tokens."""
        return self.row.learns(length)


def encode_verdicts(
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    progress: Progress = lambda done, total: None,
) -> list[Verdict]:
    """Render and tokenise every example, whole. Raises DataError, ModelError."""
    rows = encode(tokenizer, examples, progress)
    return [_verdict(example, row) for example, row in zip(examples, rows, strict=True)]


def _verdict(example: Example, row: Row) -> Verdict:
    if example.good is None:
        raise DataError(
            f"Line {example.line:,} does not say whether its answer is good or bad.",
            hint="Choose a dataset of marked answers: prompt, completion and label.",
        )
    turns = sum(message["role"] == "assistant" for message in example.messages)
    return Verdict(last_answer(row, turns), example.good)


def crossed(verdict: Verdict, other: Verdict) -> Row:
    """The answer of the other row to this row's question."""
    asked, said = verdict.row.ids[: verdict.start], other.row.ids[other.start :]
    marks = [False] * len(asked) + [True] * len(said)
    return replace(verdict.row, ids=asked + said, trained=marks)
