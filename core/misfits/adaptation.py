"""What does not go with the chosen adaptation."""

from __future__ import annotations

from collections.abc import Iterator

from core.draft import Draft, Facts
from core.errors import Edit, Problem
from core.misfits.base import blocker
from core.recipe import Recipe


def of_adaptation(recipe: Recipe, _facts: Facts, _plan: Draft) -> Iterator[Problem]:
    """Packing and recomputation, where a method cannot have them."""
    chosen = recipe.adaptation
    if recipe.objective.joining == "on" and not chosen.packs:
        yield blocker(
            "objective.packing",
            f"{chosen.title} puts tokens of its own before every row; in packed rows they would "
            "mix without a word.",
            Edit(path="objective.packing", value="auto", label="Choose automatically"),
        )
    if recipe.training.checkpointing == "on" and not chosen.recomputes:
        yield blocker(
            "training.checkpointing",
            f"{chosen.title} does not work with gradient checkpointing.",
            Edit(path="training.checkpointing", value="off", label="Turn it off"),
        )
