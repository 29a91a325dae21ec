"""What other choices would need: ways to save memory, curves, and the largest that fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from annotated_types import Ge

from core.adapt import QLora, carried_over
from core.catalog import CatalogModel, models
from core.choices import Training
from core.draft import Facts, Settings
from core.errors import Edit
from core.memory import Setup
from core.numbers import percent
from core.portions import tokens
from core.recipe import Recipe
from core.settle import has_bitsandbytes, make_draft, settle, setup_of
from core.value import Value

WORTH = 0.02
"""A change that saves less than this share of the bill is not worth a line."""
RECOMPUTED = 0.27
"""Time that gradient checkpointing adds: torchtune's README, 21 % fewer tokens per second."""
QUANTISED = 0.13
"""Time that NF4 adds per token: 5 to 22 % in the measurements of torchtune and of IBM's FMS."""
ROUNDED = 0.05
"""Time that states in 8 bits add: torchtune's README, 4.7 % fewer tokens per second."""
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

    @property
    def price(self) -> str:
        """What it costs, in a few words."""
        slower = f"about {percent(self.slower)} slower" if self.slower else ""
        return ", ".join(filter(None, (slower, self.changes))) or "same result"


def savings(recipe: Recipe, facts: Facts) -> tuple[Saving, ...]:
    """Single changes that need less memory, the largest saving first."""
    if facts.model is None:
        return ()
    now, found = needed(recipe, facts), []
    for way in _ways(recipe, settle(recipe, facts)[0]):
        less = now - needed(recipe, facts, way.edit)
        if less > WORTH * now:
            found.append(way.model_copy(update={"bytes": less}))
    return tuple(sorted(found, key=lambda way: -way.bytes))


def ladder(recipe: Recipe, facts: Facts) -> tuple[Saving, ...]:
    """Changes one after the other until the run fits; empty when it fits, or when none helps."""
    limit = make_draft(recipe, facts).limit
    steps: list[Saving] = []
    while limit and needed(recipe, facts) > limit:
        way = gentlest(recipe, facts)
        if way is None:
            return ()
        steps.append(way)
        recipe = recipe.edit(way.edit.path, way.edit.value)
    return tuple(steps)


def gentlest(recipe: Recipe, facts: Facts) -> Saving | None:
    """The largest saving that leaves the result the same, else the largest of all."""
    ways = savings(recipe, facts)
    return next((way for way in ways if not way.changes), ways[0] if ways else None)


def advice(recipe: Recipe, facts: Facts) -> str:
    """What to do about a run that was tried and does not fit, whatever the estimate says."""
    first = gentlest(recipe, facts)
    ways = ladder(recipe, facts) or ((first,) if first else ())
    if not ways:
        return "Close other programs, or choose a smaller model."
    return f"{'; then '.join(way.edit.label for way in ways)}."


def needed(recipe: Recipe, facts: Facts, edit: Edit | None = None) -> int:
    """Bytes that a recipe needs, after an edit if one is given."""
    chosen = recipe.edit(edit.path, edit.value) if edit else recipe
    return make_draft(chosen, facts).needed


def value_of(recipe: Recipe, facts: Facts, path: str) -> int:
    """What a field of the training comes to, chosen or automatic; needs a model."""
    settings, _ = settle(recipe, facts)
    return int(getattr(settings, path.removeprefix("training.")))


def curve(
    recipe: Recipe, facts: Facts, path: str, values: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """Bytes needed at each value of a field. Rows are taken to be as long as the length allows."""
    return tuple((value, _at(recipe, facts, path, value)) for value in values)


def largest(recipe: Recipe, facts: Facts, path: str, top: int) -> int:
    """The largest value up to `top` that fits the device, by bisection; 0 when none does."""
    limit = make_draft(recipe, facts).limit
    least = _least(path)
    low, high = least - 1, top + 1
    while high - low > 1:
        middle = (low + high) // 2
        fits = _at(recipe, facts, path, middle) <= limit
        low, high = (middle, high) if fits else (low, middle)
    return low if low >= least else 0


def _least(path: str) -> int:
    """The smallest value that a recipe takes."""
    bounds = Training.model_fields[path.removeprefix("training.")].metadata
    return next(int(str(bound.ge)) for bound in bounds if isinstance(bound, Ge))


def largest_model(recipe: Recipe, facts: Facts) -> CatalogModel | None:
    """The largest model of the catalogue that fits the device by the same method; None if none."""
    limit = make_draft(recipe, facts).limit
    for known in sorted(models(), key=lambda known: -known.counted):
        if needed(recipe, facts.model_copy(update={"model": known.facts()})) <= limit:
            return known
    return None


def setup_at(recipe: Recipe, facts: Facts, path: str, value: int) -> Setup:
    """The step with another value of a field."""
    return setup_of(recipe.edit(path, value), _facts_at(recipe, facts, path, value))


def _at(recipe: Recipe, facts: Facts, path: str, value: int) -> int:
    return needed(recipe, _facts_at(recipe, facts, path, value), Edit(path=path, value=value))


def _facts_at(recipe: Recipe, facts: Facts, path: str, value: int) -> Facts:
    """Rows are taken to be as long as the length allows."""
    if path != LENGTH or facts.data is None:
        return facts
    long = tokens(recipe, facts, value).model_copy(update={"longest": value})
    return facts.model_copy(update={"tokens": long})


def _ways(recipe: Recipe, settings: Settings) -> Iterator[Saving]:
    training = recipe.training
    if training.micro_batch > 1:
        now = training.model_dump(mode="json") | {"accumulation": settings.accumulation}
        yield Saving(edit=_halved_batch(now), bytes=0)
    if training.checkpointing != "on" and recipe.adaptation.recomputes:
        label = "Recompute activations (gradient checkpointing)"
        edit = Edit(path="training.checkpointing", value="on", label=label)
        yield Saving(edit=edit, bytes=0, slower=RECOMPUTED)
    if recipe.adaptation.kind == "lora":
        shared = carried_over(recipe.adaptation, QLora)
        label = "Store the frozen model in 4 bits (QLoRA)"
        edit = Edit(path="adaptation", value=shared, label=label)
        yield Saving(edit=edit, bytes=0, slower=QUANTISED, changes="the base is rounded")
    if recipe.adaptation.trains_base and settings.device == "cuda" and has_bitsandbytes():
        label = "Keep optimizer states in 8 bits, paged (paged_adamw_8bit)"
        edit = Edit(path="training.optimizer", value="paged_adamw_8bit", label=label)
        yield Saving(edit=edit, bytes=0, slower=ROUNDED, changes="optimizer states are rounded")
    if recipe.adaptation.trains_base:
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
