"""What does not go with the chosen adaptation."""

from __future__ import annotations

from collections.abc import Iterator

from core.adapt import Bottleneck, Freeze
from core.adapt.bottleneck import OTHERWISE
from core.draft import Draft, Facts
from core.errors import Edit, Problem
from core.misfits.base import blocker, warning
from core.models import ModelFacts
from core.recipe import Recipe


def of_adaptation(recipe: Recipe, facts: Facts, _plan: Draft) -> Iterator[Problem]:
    """Packing and recomputation, where a method cannot have them."""
    chosen = recipe.adaptation
    if recipe.objective.packs and not chosen.packs:
        yield blocker(
            "objective.packing",
            f"{chosen.title} puts tokens of its own before every row; in packed rows they would "
            "mix without a word.",
            Edit(path="objective.packing", value=False, label="Turn packing off"),
        )
    if recipe.training.checkpointing == "on" and not chosen.recomputes:
        yield blocker(
            "training.checkpointing",
            f"{chosen.title} does not work with gradient checkpointing.",
            Edit(path="training.checkpointing", value="off", label="Turn it off"),
        )
    if facts.model is not None:
        yield from _of_model(recipe, facts.model)


def _of_model(recipe: Recipe, model: ModelFacts) -> Iterator[Problem]:
    """What does not go with the chosen model."""
    chosen = recipe.adaptation
    if isinstance(chosen, Bottleneck) and model.architecture.startswith(OTHERWISE):
        yield blocker(
            "adaptation",
            f"Bottleneck adapters do not know the parts of {model.architecture}.",
            Edit(path="adaptation", value={"kind": "lora"}, label="Use LoRA"),
        )
    if isinstance(chosen, Freeze) and model.tied and chosen.head != chosen.embeddings:
        named, other = ("head", "embeddings") if chosen.head else ("embeddings", "head")
        yield warning(
            f"adaptation.{named}",
            "Embeddings and output layer of this model are the same weights: both are trained.",
            Edit(path=f"adaptation.{other}", value=True, label="Say so in the recipe"),
        )
