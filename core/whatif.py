"""What other choices would need: ways to save memory, curves, and the largest that fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from core.errors import Edit
from core.plan import Facts
from core.recipe import Recipe
from core.settle import Settings, make_draft
from core.value import Value

WORTH = 0.02
"""A change that saves less than this share of the bill is not worth a line."""
RECOMPUTED = 0.27
"""Time that gradient checkpointing adds: torchtune's README, 21 % fewer tokens per second."""
QUANTISED = 0.13
"""Time that NF4 adds per token: 5 to 22 % in the measurements of torchtune and of IBM's FMS."""
BATCH, LENGTH = "training.micro_batch", "training.max_length"


class Saving(Value):
    """A change that needs less memory, and what it costs."""

    edit: Edit
    bytes: int
    """How much less is needed."""
    slower: float = 0.0
    """Share of time it adds; 0 when none is known."""
    changes: str = ""
    """What else changes, when the result is not the same."""


def savings(recipe: Recipe, facts: Facts) -> tuple[Saving, ...]:
    """Single changes that need less memory, the largest saving first."""
    draft = make_draft(recipe, facts)
    if draft.settings is None:
        return ()
    now, found = draft.needed, []
    for way in _ways(recipe, draft.settings):
        less = now - needed(recipe, facts, way.edit)
        if less > WORTH * now:
            found.append(way.model_copy(update={"bytes": less}))
    return tuple(sorted(found, key=lambda way: -way.bytes))


def ladder(recipe: Recipe, facts: Facts) -> tuple[Saving, ...]:
    """Changes one after the other until the run fits; empty when it fits, or when none helps."""
    limit = make_draft(recipe, facts).limit
    steps: list[Saving] = []
    while limit and needed(recipe, facts) > limit:
        ways = savings(recipe, facts)
        same = [way for way in ways if not way.changes] or list(ways)
        if not same:
            return ()
        steps.append(same[0])
        recipe = recipe.edit(same[0].edit.path, same[0].edit.value)
    return tuple(steps)


def needed(recipe: Recipe, facts: Facts, edit: Edit | None = None) -> int:
    """Bytes that a recipe needs, after an edit if one is given."""
    chosen = recipe.edit(edit.path, edit.value) if edit else recipe
    return make_draft(chosen, facts).needed


def curve(
    recipe: Recipe, facts: Facts, path: str, values: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """Bytes needed at each value of a field. Rows are taken to be as long as the length allows."""
    return tuple((value, _at(recipe, facts, path, value)) for value in values)


def largest(recipe: Recipe, facts: Facts, path: str, top: int) -> int:
    """The largest value up to `top` that fits the device, by bisection; 0 when none does."""
    limit = make_draft(recipe, facts).limit
    low, high = 0, top + 1
    while high - low > 1:
        middle = (low + high) // 2
        fits = _at(recipe, facts, path, middle) <= limit
        low, high = (middle, high) if fits else (low, middle)
    return low


def _at(recipe: Recipe, facts: Facts, path: str, value: int) -> int:
    if path == LENGTH and facts.tokens is not None:
        long = facts.tokens.model_copy(update={"longest": value})
        facts = facts.model_copy(update={"tokens": long})
    return needed(recipe, facts, Edit(path=path, value=value))


def _ways(recipe: Recipe, settings: Settings) -> Iterator[Saving]:
    training = recipe.training
    if training.micro_batch > 1:
        now = training.model_dump(mode="json") | {"accumulation": settings.accumulation}
        yield Saving(edit=_halved_batch(now), bytes=0)
    if training.checkpointing != "on":
        label = "Recompute activations (gradient checkpointing)"
        edit = Edit(path="training.checkpointing", value="on", label=label)
        yield Saving(edit=edit, bytes=0, slower=RECOMPUTED)
    if recipe.adaptation.kind == "lora":
        shared = recipe.adaptation.model_dump(mode="json") | {"kind": "qlora"}
        label = "Store the frozen model in 4 bits (QLoRA)"
        edit = Edit(path="adaptation", value=shared, label=label)
        yield Saving(edit=edit, bytes=0, slower=QUANTISED, changes="the base is rounded")
    if recipe.adaptation.kind == "full":
        label = "Train a LoRA adapter instead of all weights"
        edit = Edit(path="adaptation", value={"kind": "lora"}, label=label)
        yield Saving(edit=edit, bytes=0, changes="fewer weights learn")
    if settings.max_length > 64:
        half = settings.max_length // 2
        label = f"Cut rows at {half:,} tokens instead of {settings.max_length:,}"
        edit = Edit(path=LENGTH, value=half, label=label)
        yield Saving(edit=edit, bytes=0, changes="longer rows lose their end")


def _halved_batch(training: dict[str, Any]) -> Edit:
    batch, steps = training["micro_batch"], training["accumulation"]
    halved = training | {"micro_batch": batch // 2, "accumulation": steps * 2}
    label = f"Batch {batch:,} to {batch // 2:,}, accumulation {steps:,} to {steps * 2:,}"
    return Edit(path="training", value=halved, label=label)
