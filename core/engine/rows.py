"""From a recipe's files to encoded rows, with everything left out counted and named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

from transformers import PreTrainedTokenizerBase

from core import mixing, models
from core.dataset import Example
from core.engine import odd
from core.engine.encode import AnyEncoded, Encoded, Progress, keep_trainable
from core.mixing import Drawn
from core.oddities import sentences
from core.reading import digest_of
from core.recipe import Recipe
from core.sizing import length_for, with_room

Warn = Callable[[str, str, str], None]
Encoder = Callable[[PreTrainedTokenizerBase, Sequence[Example], Progress], list[AnyEncoded]]


@dataclass(frozen=True)
class Corpus(Generic[AnyEncoded]):
    """The rows of a run: to learn from and to measure on."""

    train: list[AnyEncoded]
    heldout: list[AnyEncoded]
    examples: list[Example]
    """The held-out rows as messages, for questions and answers."""
    length: int
    """Tokens at which rows are cut."""


def gather(
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerBase,
    encode: Encoder[AnyEncoded],
    warn: Warn,
    progress: Progress,
) -> Corpus[AnyEncoded]:
    """Read, encode and sift all rows. Raises DataError when nothing is left to learn."""
    mixture = mixing.read(recipe)
    train, kept = mixture.train, mixture.heldout
    for finding in mixture.findings:
        if finding.severity != "note":
            warn(finding.code, finding.text, finding.fix)
    whole = len(train) + len(kept)
    rows = encode(tokenizer, train, lambda done, _: progress(done, whole))
    held = encode(tokenizer, kept, lambda done, _: progress(len(train) + done, whole))
    oddities = odd.look(tokenizer, [*rows, *held], chats=recipe.objective.chats)
    for oddity in sentences(oddities):
        warn(oddity.code, oddity.text, oddity.hint)
    length = length_of(recipe, rows)
    rows, lost = keep_trainable(rows, length)
    _tell_lost(lost, length, warn)
    most, _ = recipe.objective.most_measured
    return Corpus(rows, _measurable(held, length, most, warn), kept, length)


def length_of(recipe: Recipe, rows: Sequence[Encoded]) -> int:
    """Tokens at which rows are cut: what the recipe says, or what nearly all rows need.

    Answers that the model writes itself are part of it.
    """
    if recipe.training.max_length is not None:
        return recipe.training.max_length
    context = models.look(models.resolve(recipe.model)).context
    length = length_for([max(len(side.ids) for side in row.sides) for row in rows], context)
    return with_room(length, recipe.objective.room, context)


def tell_changes(sources: Sequence[Drawn], warn: Warn) -> dict[str, str]:
    """Say which datasets are no longer what they were when the run was planned; returns the
    SHA-256 of each as it is now, by its place below `data`."""
    found = {source.where: digest_of(Path(source.path)) for source in sources}
    for source in sources:
        if found[source.where] != source.digest:
            text = f"{source.path} has changed since this run was planned."
            warn("data-changed", text, "Start a new run if that was not meant.")
    return found


def _measurable(held: Sequence[AnyEncoded], length: int, most: int, warn: Warn) -> list[AnyEncoded]:
    """Held-out rows with something to measure within `length`, at most so many of them."""
    fit = [row for row in held if row.learns(length)]
    if len(fit) < len(held):
        text = f"{len(held) - len(fit):,} of {len(held):,} held-out rows have nothing to measure "
        warn("heldout-cut", f"{text}within {length:,} tokens and are left out.", "")
    if len(fit) > most:
        text = f"Evaluations look at the first {most:,} of {len(fit):,} held-out rows."
        warn("heldout-part", text, "")
    return fit[:most]


def _tell_lost(lost: Sequence[Encoded], length: int, warn: Warn) -> None:
    if lost:
        lines = ", ".join(str(row.place) for row in lost[:10])
        warn(
            "nothing-to-learn",
            f"{len(lost):,} rows have nothing to learn within {length:,} tokens and were left out "
            f"(lines {lines}{', ...' if len(lost) > 10 else ''}).",
            "Raise training.max_length, or shorten these rows.",
        )
