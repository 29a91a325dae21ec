"""Questions as the model sees them when it is to find the answers itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerBase

from core.dataset import Example
from core.engine.encode import BATCH, FIRST_LINES, Progress, Row, percentiles, question, show
from core.engine.rendering import TemplateFault, take_odd
from core.engine.signs import found_in
from core.formats import Message
from core.tokens import LENGTHS, AtLength, Piece, PreviewRow, TokenFacts


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
        return self.leaves(1, length)

    def leaves(self, room: int, length: int) -> bool:
        """Whether question and an answer of so many tokens fit into `length`."""
        return len(self.ids) + room <= length


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
    try:
        ids = question(tokenizer, before)
    except TemplateFault as fault:
        raise fault.at(example.line) from fault
    signs = tuple(found_in(tokenizer, before))
    added = take_odd(tokenizer.chat_template).get(0, "")
    row = Row(example.line, ids, [False] * len(ids), example.source, added, signs)
    return Asked(row, before, last["content"])


def count_asked(
    rows: Sequence[Asked], length: int, room: int, heldout: int, note: str
) -> TokenFacts:
    """Figures over the questions, before those that leave no room for an answer are left out."""
    sizes = np.array([len(row.ids) for row in rows])
    lost = [row.place for row in rows if not row.leaves(room, length)]
    median, p95, p99 = percentiles(sizes)
    return TokenFacts(
        max_length=length,
        rows=len(rows),
        heldout=heldout,
        room=room,
        tokens=int(np.minimum(sizes, length).sum()),
        median=median,
        p95=p95,
        p99=p99,
        longest=int(sizes.max()),
        cut=len(lost),
        untrained=len(lost),
        untrained_lines=tuple(lost[:FIRST_LINES]),
        at_lengths=tuple(_at(rows, room, each) for each in LENGTHS),
        template_note=note,
    )


def _at(rows: Sequence[Asked], room: int, length: int) -> AtLength:
    lost = sum(not row.leaves(room, length) for row in rows)
    return AtLength(length=length, cut=lost, untrained=lost)


def show_asked(
    tokenizer: PreTrainedTokenizerBase, row: Asked, length: int, room: int, *, compared: bool
) -> PreviewRow:
    """The question as it will be asked, and the expected answer as text where it is compared with.

    A question that leaves no room for an answer is lost as a whole.
    """
    seen = show(tokenizer, row.row, length if row.leaves(room, length) else 0)
    expected = (Piece(text=row.expected, kind="expected"),) if compared else ()
    return seen.model_copy(update={"pieces": (*seen.pieces, *expected)})
