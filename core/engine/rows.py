"""From a recipe's files to encoded rows, with everything left out counted and named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

from transformers import PreTrainedTokenizerBase

from core.dataset import DataFinding, Example, read_examples, split
from core.engine.encode import AnyEncoded, Encoded, Progress, keep_trainable
from core.recipe import Recipe

LOSS_ROWS = 500
"""Held-out loss is measured on at most so many rows: enough for three digits."""

Warn = Callable[[str, str, str], None]
Encoder = Callable[[PreTrainedTokenizerBase, Sequence[Example], Progress], list[AnyEncoded]]


@dataclass(frozen=True)
class Corpus(Generic[AnyEncoded]):
    """The rows of a run: to learn from and to measure on."""

    train: list[AnyEncoded]
    heldout: list[AnyEncoded]
    examples: list[Example]
    """The held-out rows as messages, for questions and answers."""


def read(recipe: Recipe) -> tuple[list[Example], list[Example], list[DataFinding]]:
    """Examples to train on, examples held out, and what was found wrong. Raises DataError."""
    data = recipe.data
    examples, findings = read_examples(Path(data.path), format=data.format, columns=data.columns)
    if data.heldout:
        kept, more = read_examples(Path(data.heldout), format=data.format, columns=data.columns)
        return examples, kept, [*findings, *more]
    train, kept = split(examples, data.heldout_share, recipe.training.seed)
    return train, kept, list(findings)


def gather(
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerBase,
    encode: Encoder[AnyEncoded],
    warn: Warn,
    progress: Progress,
) -> Corpus[AnyEncoded]:
    """Read, encode and sift all rows. Raises DataError when nothing is left to learn."""
    train, kept, findings = read(recipe)
    for finding in findings:
        if finding.severity != "note":
            warn(finding.code, finding.text, finding.fix)
    whole = len(train) + len(kept)
    rows = encode(tokenizer, train, lambda done, _: progress(done, whole))
    held = encode(tokenizer, kept, lambda done, _: progress(len(train) + done, whole))
    length = recipe.training.max_length
    rows, lost = keep_trainable(rows, length)
    _tell_lost(lost, length, warn)
    return Corpus(rows, _measurable(held, length, warn), kept)


def _measurable(held: Sequence[AnyEncoded], length: int, warn: Warn) -> list[AnyEncoded]:
    """Held-out rows with something to measure within `length`, at most LOSS_ROWS of them."""
    fit = [row for row in held if row.learns(length)]
    if len(fit) < len(held):
        text = f"{len(held) - len(fit):,} of {len(held):,} held-out rows have nothing to measure "
        warn("heldout-cut", f"{text}within {length:,} tokens and are left out.", "")
    if len(fit) > LOSS_ROWS:
        text = f"Held-out loss is measured on the first {LOSS_ROWS} of {len(fit):,} rows."
        warn("heldout-part", text, "")
    return fit[:LOSS_ROWS]


def _tell_lost(lost: Sequence[Encoded], length: int, warn: Warn) -> None:
    if lost:
        lines = ", ".join(str(row.line) for row in lost[:10])
        warn(
            "nothing-to-learn",
            f"{len(lost):,} rows have nothing to learn within {length:,} tokens and were left out "
            f"(lines {lines}{', ...' if len(lost) > 10 else ''}).",
            "Raise training.max_length, or shorten these rows.",
        )
