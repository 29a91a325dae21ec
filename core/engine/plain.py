"""Plain texts as the model sees them: every token is learned, and the end of each text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from transformers import PreTrainedTokenizerBase

from core.dataset import Example
from core.engine.encode import BATCH, Progress, Row
from core.engine.signs import obeyed, signs_of
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
        rows += _encode(tokenizer, batch, end)
        progress(len(rows), len(examples))
    return rows


def _text(example: Example) -> str:
    if len(example.messages) > 1:
        raise DataError(
            f"Line {example.line:,} is a conversation, plain texts are read here.",
            hint="Choose a dataset of texts, or another goal.",
        )
    return str(example.messages[0]["content"])


def _encode(
    tokenizer: PreTrainedTokenizerBase, batch: Sequence[Example], end: int
) -> Iterator[Row]:
    """The model's own signs in a text stay text, unless they are meant."""
    texts, special = [_text(example) for example in batch], signs_of(tokenizer).special
    apart = not obeyed(tokenizer)
    encoded = tokenizer(texts)["input_ids"]
    for example, text, ids in zip(batch, texts, encoded, strict=True):
        signs = tuple(dict.fromkeys(special.findall(text)))
        if signs and apart:
            ids = tokenizer(text, split_special_tokens=True)["input_ids"]
        yield _row(example, list(ids), end, signs)


def _row(example: Example, ids: list[int], end: int, signs: tuple[str, ...]) -> Row:
    whole = [*ids, end] if ids[-1:] != [end] else ids
    return Row(example.line, whole, [True] * len(whole), example.source, signs=signs)


def parted(rows: Sequence[Row], length: int) -> list[Row]:
    """Rows of at most `length` tokens; longer texts go on in the next row, none loses its end."""
    return [part for row in rows for part in _parts(row, length)]


def _parts(row: Row, length: int) -> Iterator[Row]:
    for start in range(0, len(row.ids), length):
        ids = row.ids[start : start + length]
        if len(ids) > 1 or len(row.ids) == 1:  # nothing is learned of a token alone
            trained = row.trained[start : start + length]
            yield replace(row, ids=ids, trained=trained)
