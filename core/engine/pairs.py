"""Preferences as the model sees them: a better and a worse answer to the same tokens."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from transformers import PreTrainedTokenizerBase

from core.dataset import Example
from core.engine.encode import BATCH, Progress, Row, encode
from core.errors import DataError, ModelError


@dataclass(frozen=True)
class Pair:
    """Two rows that begin alike and end in two answers; only the answers are learned."""

    chosen: Row
    rejected: Row

    @property
    def place(self) -> int | str:
        """Where the pair stands."""
        return self.chosen.place

    @property
    def sides(self) -> tuple[Row, ...]:
        """The better one first."""
        return self.chosen, self.rejected

    def learns(self, length: int) -> bool:
        """Whether the answers differ within `length` tokens."""
        return self.chosen.ids[:length] != self.rejected.ids[:length]


def encode_pairs(
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    progress: Progress = lambda done, total: None,
) -> list[Pair]:
    """Render and tokenise both sides of every example, whole. Raises DataError, ModelError."""
    pairs: list[Pair] = []
    for start in range(0, len(examples), BATCH):
        batch = examples[start : start + BATCH]
        chosen = encode(tokenizer, batch)
        rejected = encode(tokenizer, [_other_side(example) for example in batch])
        pairs += map(_pair, batch, chosen, rejected)
        progress(len(pairs), len(examples))
    return pairs


def _other_side(example: Example) -> Example:
    if example.rejected is None:
        raise DataError(
            f"Line {example.line:,} has no worse answer to compare with.",
            hint="Choose a dataset of preferences: prompt, chosen and rejected.",
        )
    return Example(example.line, example.rejected, source=example.source)


def _pair(example: Example, chosen: Row, rejected: Row) -> Pair:
    turns = sum(message["role"] == "assistant" for message in example.messages)
    pair = Pair(last_answer(chosen, turns), last_answer(rejected, turns))
    starts = {side.trained.index(True) for side in pair.sides}
    if len({tuple(side.ids[: min(starts)]) for side in pair.sides}) > 1 or len(starts) > 1:
        raise ModelError(
            f"The chat template writes the question of line {example.line:,} in two ways, "
            "depending on the answer, so the answers cannot be compared.",
            hint="Choose another model, or make its chat template write questions in one way.",
        )
    return pair


def last_answer(row: Row, turns: int) -> Row:
    """The row up to the end of its last answer, the only one that is learned.

    Earlier answers of a pair are the same on both sides. Raises ModelError.
    """
    runs = [
        [place for place, _ in run]
        for learned, run in itertools.groupby(enumerate(row.trained), key=lambda one: one[1])
        if learned
    ]
    if not runs or len(runs) > turns:
        raise ModelError(
            f"The chat template marks {len(runs)} answers in line {row.line:,}, which has {turns}.",
            hint="Put one {% generation %} block round each answer in chat_template.jinja.",
        )
    first, end = runs[-1][0], runs[-1][-1] + 1
    return replace(row, ids=row.ids[:end], trained=[at >= first for at in range(end)])
