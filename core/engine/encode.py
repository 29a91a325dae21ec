"""Rows as the model sees them: the one place where text becomes tokens and labels.

Training, the preview in the window and the audit of the whole set all call this, so what is shown
is what is learned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase
from trl.chat_template_utils import (
    get_training_chat_template,
    is_chat_template_stop_token_trained,
)

from core.dataset import Example
from core.engine.chosen_template import give_template
from core.engine.rendering import TemplateFault, take_odd
from core.engine.signs import encode_as_text, found_in, obeyed
from core.errors import DataError, ModelError
from core.templates import MARKER
from core.tokens import (
    LENGTHS,
    AnswerSide,
    AtLength,
    Piece,
    PieceKind,
    PreviewRow,
    TokenFacts,
)

IGNORED = -100
"""Label of a token that is read but not learned, torch's own convention."""
BATCH = 256
MOST_SHOWN = 20_000
"""Tokens of a row that are shown; one row may have millions."""
FIRST_LINES = 20
"""Rows that are named of those that are left out."""

Progress = Callable[[int, int], None]


class Encoded(Protocol):
    """What is learned at a time: a row, or a pair of rows."""

    @property
    def place(self) -> int | str:
        """Where it stands: the line, with the file if it is not of the first dataset."""
        ...

    @property
    def sides(self) -> tuple[Row, ...]:
        """The sequences the model reads."""
        ...

    def learns(self, length: int) -> bool:
        """Whether anything is left to learn within `length` tokens."""
        ...


AnyEncoded = TypeVar("AnyEncoded", bound=Encoded)


@dataclass(frozen=True)
class Row:
    """One encoded example; `trained` marks the tokens of the assistant's answers."""

    line: int
    ids: list[int]
    trained: list[bool]
    source: str = ""
    """Name of the dataset, when it is not the first of a mix."""
    added: str = ""
    """Text that the chat template wrote for what this row says."""
    signs: tuple[str, ...] = ()
    """The model's own signs, such as the end of a turn, that stand in its texts."""

    @property
    def place(self) -> int | str:
        """The line in the first dataset, or file and line of another."""
        return f"{self.source}:{self.line}" if self.source else self.line

    @property
    def sides(self) -> tuple[Row, ...]:
        """A row stands alone."""
        return (self,)

    def cut(self, length: int) -> tuple[list[int], list[int]]:
        """Input ids and labels, at most `length` of each."""
        ids = self.ids[:length]
        kept = zip(ids, self.trained, strict=False)
        return ids, [token if learn else IGNORED for token, learn in kept]

    @property
    def end(self) -> int:
        """Where the last trained token stands; -1 without any."""
        backwards = reversed(range(len(self.trained)))
        return next((place for place in backwards if self.trained[place]), -1)

    def learns(self, length: int) -> bool:
        """Whether anything is trained within `length` tokens; the first is never predicted."""
        return any(self.trained[1:length])


def prepare_template(
    tokenizer: PreTrainedTokenizerBase, choice: str = "", kept: Path | None = None
) -> str:
    """Give the tokenizer a template that marks answers; returns what was done, for the user.

    `choice` is that of the recipe, empty for the model's own; `kept` is where a run keeps the
    chosen text, so that it goes on with the same one.

    Raises ModelError when answers cannot be told from questions, or when the end of an answer
    would not be learned: both train something else than the user asked for.
    """
    if choice:
        return give_template(tokenizer, choice, kept)
    if not tokenizer.chat_template:
        raise ModelError(
            "The model has no chat template, so answers cannot be told from questions.",
            hint="Choose a template in data.template, or the instruct variant of the model.",
        )
    note = "the model's own template marks the answers"
    if not MARKER.search(str(tokenizer.chat_template)):
        tokenizer.chat_template = _patched(tokenizer)
        note = "the model's template is a known one; a copy that marks the answers is used"
    if not is_chat_template_stop_token_trained(tokenizer):
        raise ModelError(
            "The chat template leaves the end of the answer out of what is learned, so the model "
            "would never learn to stop.",
            hint="Move the end-of-turn token inside {% generation %} in chat_template.jinja.",
        )
    return note


def _patched(tokenizer: PreTrainedTokenizerBase) -> str:
    try:
        template = get_training_chat_template(tokenizer)
    except ValueError:
        template = None
    if not template:
        raise ModelError(
            "The chat template does not mark where answers begin and end, and it is not one of "
            "the known ones. Training would also learn the questions.",
            hint="Choose a template in data.template, or put {% generation %} and "
            "{% endgeneration %} round the assistant's part of a copy and choose that file.",
        )
    return str(template)


def encode(
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    progress: Progress = lambda done, total: None,
) -> list[Row]:
    """Render and tokenise every example, whole; nothing is cut yet."""
    rows: list[Row] = []
    for start in range(0, len(examples), BATCH):
        rows += _encode_batch(tokenizer, examples[start : start + BATCH])
        progress(len(rows), len(examples))
    return rows


def _encode_batch(tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]) -> list[Row]:
    held = [tuple(found_in(tokenizer, example.messages)) for example in examples]
    apart = not obeyed(tokenizer)
    usual = [e for e, signs in zip(examples, held, strict=True) if not (signs and apart)]
    try:
        rows = iter(_encode_usual(tokenizer, usual) if usual else ())
        return [
            _encode_as_text(tokenizer, example, signs)
            if signs and apart
            else replace(next(rows), signs=signs)
            for example, signs in zip(examples, held, strict=True)
        ]
    except TemplateError as error:
        raise _refused(tokenizer, examples, error) from error


def _encode_usual(tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]) -> list[Row]:
    try:
        encoded = tokenizer.apply_chat_template(
            [example.messages for example in examples],
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
        )
    except TemplateFault as fault:
        raise fault.at(examples[fault.place].line) from fault
    odd = take_odd(tokenizer.chat_template)
    pairs = zip(examples, encoded["input_ids"], encoded["assistant_masks"], strict=True)
    return [
        Row(example.line, list(ids), [bool(m) for m in mask], example.source, odd.get(place, ""))
        for place, (example, ids, mask) in enumerate(pairs)
    ]


def _encode_as_text(
    tokenizer: PreTrainedTokenizerBase, example: Example, signs: tuple[str, ...]
) -> Row:
    """A row whose texts hold signs of the model."""
    try:
        ids, learned = encode_as_text(
            tokenizer, example.messages, return_assistant_tokens_mask=True
        )
    except TemplateFault as fault:
        raise fault.at(example.line) from fault
    added = take_odd(tokenizer.chat_template).get(0, "")
    return Row(example.line, ids, learned, example.source, added, signs)


def _refused(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], error: TemplateError
) -> DataError:
    """The first row of a batch that the template does not take."""
    line = next((e.line for e in examples if not _renders(tokenizer, e)), examples[0].line)
    return DataError(
        f"The chat template does not take the row of line {line:,}: {error}",
        hint="Leave such rows out, or choose another template in data.template.",
    )


def _renders(tokenizer: PreTrainedTokenizerBase, example: Example) -> bool:
    try:
        tokenizer.apply_chat_template(example.messages, tokenize=False)
    except TemplateError:
        return False
    return True


def keep_trainable(
    rows: Sequence[AnyEncoded], length: int
) -> tuple[list[AnyEncoded], list[AnyEncoded]]:
    """Rows that teach something at this length, and rows that do not."""
    kept = [row for row in rows if row.learns(length)]
    lost = [row for row in rows if not row.learns(length)]
    if not kept:
        lines = ", ".join(str(row.place) for row in lost[:5])
        raise DataError(
            f"No row has anything to learn within {length:,} tokens (lines {lines}, ...).",
            hint="Raise training.max_length, or check that the rows hold answers.",
        )
    return kept, lost


def count(
    rows: Sequence[Encoded], length: int, heldout: int, note: str, end_token: str = ""
) -> TokenFacts:
    """Figures over the training rows, before rows without anything to learn are left out."""
    sides = [row.sides for row in rows]
    sizes = np.array([len(side.ids) for pair in sides for side in pair])
    lost = [row.place for row in rows if not row.learns(length)]
    median, p95, p99 = percentiles(sizes)
    return TokenFacts(
        max_length=length,
        rows=len(rows),
        heldout=heldout,
        tokens=int(np.minimum(sizes, length).sum()),
        trained=sum(sum(side.trained[1:length]) for pair in sides for side in pair),
        median=median,
        p95=p95,
        p99=p99,
        longest=int(sizes.max()),
        cut=_count_cut(rows, length),
        untrained=len(lost),
        untrained_lines=tuple(lost[:FIRST_LINES]),
        ended=sum(all(0 < side.end < length for side in pair) for pair in sides),
        end_token=end_token,
        at_lengths=tuple(_at(rows, each) for each in LENGTHS),
        template_note=note,
    )


def percentiles(sizes: np.ndarray) -> tuple[int, int, int]:
    """The median, and what 95 and 99 % of the sizes do not exceed."""
    median, p95, p99 = np.percentile(sizes, (50, 95, 99))
    return int(median), int(p95), int(p99)


def _at(rows: Sequence[Encoded], length: int) -> AtLength:
    untrained = sum(not row.learns(length) for row in rows)
    return AtLength(length=length, cut=_count_cut(rows, length), untrained=untrained)


def _count_cut(rows: Sequence[Encoded], length: int) -> int:
    return sum(any(len(side.ids) > length for side in row.sides) for row in rows)


def end_token(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Encoded]) -> str:
    """The token that ends the first answer that is learned, as text."""
    sides = (side for row in rows for side in row.sides)
    last = next((side.ids[side.end] for side in sides if side.end > 0), None)
    return "" if last is None else str(tokenizer.decode([last]))


def show(
    tokenizer: PreTrainedTokenizerBase, row: Row, length: int, answer: AnswerSide = ""
) -> PreviewRow:
    """A row as coloured pieces; tokens that share one character are shown as one piece."""
    shown = replace(row, ids=row.ids[:MOST_SHOWN], trained=row.trained[:MOST_SHOWN])
    return PreviewRow(
        line=row.line,
        source=row.source,
        answer=answer,
        pieces=tuple(_pieces(tokenizer, shown, length)),
        beyond=len(row.ids) - len(shown.ids),
    )


def _pieces(tokenizer: PreTrainedTokenizerBase, row: Row, length: int) -> Iterator[Piece]:
    waiting: list[int] = []
    for position, token in enumerate(row.ids):
        waiting.append(token)
        text = tokenizer.decode(waiting, clean_up_tokenization_spaces=False)
        last = position == len(row.ids) - 1
        if last or not text.endswith("\N{REPLACEMENT CHARACTER}"):
            yield Piece(text=text, kind=_kind(row, position, length))
            waiting = []


def _kind(row: Row, position: int, length: int) -> PieceKind:
    if position >= length:
        return "cut"
    return "trained" if position and row.trained[position] else "context"


def asks_alike(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether what stands before an answer in training is what will stand there in use."""
    asked = [{"role": "user", "content": "a"}]
    rendered = tokenizer.apply_chat_template(
        [*asked, {"role": "assistant", "content": "b"}], tokenize=True, return_dict=True
    )["input_ids"]
    before = question(tokenizer, asked)
    return list(rendered[: len(before)]) == before


def question(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, Any]]) -> list[int]:
    """Tokens that ask for the next answer, as they will be asked in use."""
    if not obeyed(tokenizer) and found_in(tokenizer, messages):
        return encode_as_text(tokenizer, messages, add_generation_prompt=True)[0]
    ids = tokenizer.apply_chat_template(
        messages, tokenize=True, return_dict=True, add_generation_prompt=True
    )["input_ids"]
    return list(ids)
