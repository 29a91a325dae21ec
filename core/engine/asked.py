"""Questions as the model sees them when it is to find the answers itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from core.dataset import Example
from core.engine.encode import BATCH, Progress, Row, question
from core.formats import Message


@dataclass(frozen=True)
class Asked:
    """A question, encoded as it will be asked in use, and the answer that is expected."""

    row: Row
    messages: list[Message]
    expected: str

    @property
    def place(self) -> int | str:
        """Where it stands."""
        return self.row.place

    @property
    def ids(self) -> list[int]:
        """The tokens that ask."""
        return self.row.ids

    @property
    def sides(self) -> tuple[Row, ...]:
        """The question; the answer is not there yet."""
        return (self.row,)

    def learns(self, length: int) -> bool:
        """Whether there is room for an answer of at least one token."""
        return len(self.ids) < length


def encode_asked(
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    progress: Progress = lambda done, total: None,
) -> list[Asked]:
    """One question per example: everything before the last answer, which is the expected one."""
    found: list[Asked] = []
    for example in examples:
        found.append(_asked(tokenizer, example))
        if len(found) % BATCH == 0 or len(found) == len(examples):
            progress(len(found), len(examples))
    return found


def _asked(tokenizer: PreTrainedTokenizerBase, example: Example) -> Asked:
    *before, last = example.messages
    ids = question(tokenizer, before)
    row = Row(example.line, ids, [False] * len(ids), example.source)
    return Asked(row, before, last["content"])
