"""Questions to answer, and what an answer earns."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from core.dataset import Example
from core.engine.encode import Progress, Row, question
from core.objectives.ppo import PPO

Score = Callable[[Sequence[Mapping[str, Any]], Sequence[str]], list[float]]
"""Rewards of answers to rows with `expected`, the answer of the dataset."""


@dataclass(frozen=True)
class Prompt:
    """A question as the model reads it, and the answer that the dataset gives."""

    row: Row
    expected: str

    @property
    def place(self) -> int | str:
        """Where it stands."""
        return self.row.place

    @property
    def sides(self) -> tuple[Row, ...]:
        """The question alone."""
        return (self.row,)

    def learns(self, length: int) -> bool:
        """Whether the whole question fits; half of one is another one."""
        return len(self.row.ids) <= length

    @property
    def columns(self) -> dict[str, Any]:
        """As a row of the training set."""
        return {"input_ids": self.row.ids, "expected": self.expected}


def encode_prompts(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], progress: Progress
) -> list[Prompt]:
    """The last question of every example with all that was said before it."""
    found = []
    for example in examples:
        ids = question(tokenizer, example.messages[:-1])
        row = Row(example.line, ids, [False] * len(ids), example.source)
        found.append(Prompt(row, example.messages[-1]["content"]))
    progress(len(found), len(examples))
    return found


def score_of(objective: PPO) -> Score:
    """How the objective rewards."""
    judge = _JUDGES[objective.reward]

    def score(rows: Sequence[Mapping[str, Any]], texts: Sequence[str]) -> list[float]:
        return [
            judge(str(row["expected"]).strip(), text.strip())
            for row, text in zip(rows, texts, strict=True)
        ]

    return score


def _json(_expected: str, text: str) -> float:
    try:
        json.loads(text)
    except ValueError:
        return 0.0
    return 1.0


_JUDGES: dict[str, Callable[[str, str], float]] = {
    "exact": lambda expected, text: float(text == expected),
    "contains": lambda expected, text: float(expected in text),
    "json": _json,
    "short": lambda _expected, text: 1 / (1 + len(text) / 100),
}
