"""tokenizer.json: its words, and the patterns it cuts text with."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from core.errors import ModelError
from core.screening.base import MAX_TOKENIZER, REPAIR, entries, read_json, text_of
from core.screening.patterns import fault

_PARTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
LONGEST_PADDING = 1_000_000


class Words(NamedTuple):
    """What is known of a tokenizer that is not loaded."""

    highest: int
    """The highest id of a token, -1 when there is none."""
    whole: frozenset[str]
    """Tokens that are never split."""


def read_words(path: Path) -> Words:
    """The words of a tokenizer.json, once it is judged sound; read once. Raises ModelError."""
    status = path.stat()
    return _read(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=8)
def _read(path: Path, modified: int, size: int) -> Words:  # noqa: ARG001 - the cache's key
    found = read_json(path, MAX_TOKENIZER)
    for part in _PARTS:
        _refuse_endless(path, found.get(part))
    _refuse_wide(path, found.get("padding"))
    try:
        vocab = found.get("model", {}).get("vocab", {})
        ids = list(vocab.values()) if isinstance(vocab, dict) else [len(vocab) - 1]
        added = found.get("added_tokens") or ()
        ids += [token["id"] for token in added]
        return Words(_highest(ids), frozenset(str(token.get("content", "")) for token in added))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path}: not a tokenizer ({text_of(str(error))}).", hint=REPAIR
        ) from error


def _highest(ids: Iterable[Any]) -> int:
    known = [int(number) for number in ids]
    if min(known, default=0) < 0:
        raise ValueError("an id below 0")
    return max(known, default=-1)


def _refuse_endless(path: Path, part: object) -> None:
    for name, value in entries(part, path):
        if name == "Regex" and isinstance(value, str) and (reason := fault(value)):
            raise ModelError(
                f"{path}: a regular expression {reason}: {text_of(value, 80)}.",
                hint="Do not use this tokenizer unless you know who made it.",
            )


def _refuse_wide(path: Path, padding: object) -> None:
    """Every text would be filled up to this length."""
    for name, value in entries(padding, path):
        wide = isinstance(value, int) and value > LONGEST_PADDING
        if wide and name in ("Fixed", "pad_to_multiple_of"):
            raise ModelError(f"{path}: texts are padded to {value:,} tokens.", hint=REPAIR)
