"""Plain texts as the model sees them: every token is learned, and the end of each text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from transformers import PreTrainedTokenizerBase

from core.dataset import Example
from core.engine.encode import BATCH, Progress, Row
from core.errors import DataError, ModelError


def encode_texts(
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    progress: Progress = lambda done, total: None,
) -> list[Row]:
    """Every text with its beginning and end, whole. Raises DataError, ModelError."""
    end = tokenizer.eos_token_id
    if end is None:
        raise ModelError(
            "The model's tokenizer has no token for the end of a text, so texts would run on into "
            "each other.",
            hint="Choose another model, or set eos_token in tokenizer_config.json.",
        )
    rows: list[Row] = []
    for start in range(0, len(examples), BATCH):
        batch = examples[start : start + BATCH]
        encoded = tokenizer([_text(example) for example in batch])["input_ids"]
        rows += [_row(example, ids, end) for example, ids in zip(batch, encoded, strict=True)]
        progress(len(rows), len(examples))
    return rows


def _text(example: Example) -> str:
    if len(example.messages) > 1:
        raise DataError(
            f"Line {example.line:,} is a conversation, plain texts are read here.",
            hint="Choose a dataset of texts, or another goal.",
        )
    return str(example.messages[0]["content"])


def _row(example: Example, ids: list[int], end: int) -> Row:
    whole = [*ids, end] if ids[-1:] != [end] else list(ids)
    return Row(example.line, whole, [True] * len(whole), example.source)


def parted(rows: Sequence[Row], length: int) -> list[Row]:
    """Rows of at most `length` tokens; longer texts go on in the next row, none loses its end."""
    return [part for row in rows for part in _parts(row, length)]


def _parts(row: Row, length: int) -> Iterator[Row]:
    for start in range(0, len(row.ids), length):
        ids = row.ids[start : start + length]
        if len(ids) > 1 or len(row.ids) == 1:  # nothing is learned of a token alone
            yield Row(row.line, ids, row.trained[start : start + length], row.source)
