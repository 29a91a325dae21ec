"""What does not go with the chosen adaptation."""

from __future__ import annotations

from collections.abc import Iterator

from core.adapt import Bottleneck, Freeze
from core.adapt.adalora import AdaLora
from core.adapt.bottleneck import OTHERWISE
from core.adapt.ia3 import IA3
from core.adapt.lora import CHANGES_BASE, Lora, QLora
from core.adapt.rotations import Rotation
from core.adapt.targets import OnLinear
from core.draft import Draft, Facts
from core.errors import Edit, Problem
from core.memory.goals import GOALS, Goal
from core.misfits.base import blocker, warning
from core.models import ModelFacts
from core.objectives import Objective
from core.recipe import Recipe

ENOUGH_STEPS = 100
"""Below, AdaLoRA has seen too little to know which ranks matter; its paper has thousands."""


def of_adaptation(recipe: Recipe, facts: Facts, plan: Draft) -> Iterator[Problem]:
    """Everything that does not go with it."""
    yield from _of_training(recipe)
    yield from _of_reference(recipe)
    yield from _of_steps(recipe, plan)
    if facts.model is not None:
        yield from _of_layers(recipe, facts.model)
        yield from _of_beginning(recipe, facts.model)
        yield from _of_biases(recipe, facts.model)
        yield from _of_blocks(recipe, facts.model)
        yield from _of_context(recipe, facts.model, plan)
        yield from _of_parts(recipe, facts.model)


def _of_training(recipe: Recipe) -> Iterator[Problem]:
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


def _of_reference(recipe: Recipe) -> Iterator[Problem]:
    """The model with its adapter off stands for the model before training."""
    objective, chosen = recipe.objective, recipe.adaptation
    if chosen.keeps_base or not _looks_back(objective):
        return
    assert isinstance(chosen, Lora | QLora)
    compares = (
        f"{objective.title} compares with the model before training, which is the model without "
        "its adapter. "
    )
    wrong = ", so that comparison would be wrong."
    if chosen.begins in CHANGES_BASE:
        moves = f"Beginning with {chosen.begins} moves weights into the adapter"
        yield blocker("adaptation.init", f"{compares}{moves}{wrong}", _DEFAULT)
    if isinstance(chosen, Lora) and chosen.bias != "none":
        stay = "Trained biases stay when the adapter is off"
        yield blocker("adaptation.bias", f"{compares}{stay}{wrong}", _NO_BIAS)


def _looks_back(objective: Objective) -> bool:
    """Whether a step asks the model before training; a group of answers does so for its beta."""
    named = {str(name): goal for name, goal in GOALS.items()}
    goal = named.get(objective.counted_as or objective.kind, Goal())
    asked = goal.looks_back and objective.looks_back > 0
    return asked or (goal.reference and getattr(objective, "beta", 1.0) > 0)


def _of_steps(recipe: Recipe, plan: Draft) -> Iterator[Problem]:
    if not isinstance(recipe.adaptation, AdaLora) or plan.settings is None:
        return
    steps = plan.settings.steps
    if steps < ENOUGH_STEPS:
        lora = {"kind": "lora", "rank": recipe.adaptation.rank}
        yield warning(
            "adaptation.kind",
            f"AdaLoRA learns in each step which ranks matter; {steps:,} steps are few for that.",
            Edit(path="adaptation", value=lora, label="Use LoRA"),
        )


def _of_layers(recipe: Recipe, model: ModelFacts) -> Iterator[Problem]:
    """Names that the model does not have."""
    chosen, known = recipe.adaptation, ", ".join(sorted(model.linear))
    if isinstance(chosen, IA3) and not chosen.adapted(model):
        yield blocker(
            "adaptation.kind", f"IA3 does not know the layers of this model: {known}.", _LORA
        )
    if not isinstance(chosen, OnLinear):
        return
    everywhere = Edit(
        path="adaptation.targets", value="all-linear", label="Adapt all linear layers"
    )
    strange = [name for name in chosen.modules if name not in model.linear]
    if chosen.targets == "custom" and (strange or not chosen.modules):
        what = f"no layer called {strange[0]}" if strange else "no layers named to adapt"
        yield blocker("adaptation.modules", f"There are {what}. The model has {known}.", everywhere)
    elif model.linear and not chosen.adapted(model):
        text = f"The model has none of the usual attention layers. It has {known}."
        yield blocker("adaptation.targets", text, everywhere)
    yield from _of_ranks(recipe, model, known)


def _of_ranks(recipe: Recipe, model: ModelFacts, known: str) -> Iterator[Problem]:
    lines = getattr(recipe.adaptation, "rank_pattern", ())
    strange = [line for line in lines if line.split("=")[0] not in recipe.adaptation.adapted(model)]
    if strange:
        yield blocker(
            "adaptation.rank_pattern",
            f"{strange[0]} names no adapted layer. The model has {known}.",
            Edit(path="adaptation.rank_pattern", value=[], label="One rank for all"),
        )


def _of_beginning(recipe: Recipe, model: ModelFacts) -> Iterator[Problem]:
    """Beginnings that are made of directions, of which a layer has only so many."""
    chosen = recipe.adaptation
    if not isinstance(chosen, Lora | QLora):
        return
    if crowded := chosen.crowded(model):
        name, most = next(iter(crowded.items()))
        text = f"Beginning with {chosen.begins}, {name} of this model has room for {most:,} ranks."
        yield blocker("adaptation.init", text, _DEFAULT)
    if chosen.begins == "eva" and chosen.adapts_experts(model):
        text = "Which rows an expert will read is not known before training, so eva cannot look."
        yield blocker("adaptation.init", text, _DEFAULT)


def _of_biases(recipe: Recipe, model: ModelFacts) -> Iterator[Problem]:
    """Most models have none, and 16 bits round small changes away."""
    chosen = recipe.adaptation
    if not isinstance(chosen, Lora) or chosen.bias == "none":
        return
    if not chosen.of_biases(model):
        where = "This model has" if chosen.bias == "all" else "The adapted layers have"
        yield warning("adaptation.bias", f"{where} no biases: nothing is added.", _NO_BIAS)
    elif model.stored in ("bf16", "fp16"):
        text = (
            f"Biases are trained in 32 bits. Merged into this model, or loaded beside it in "
            f"{model.stored}, they are rounded, which small changes of large biases do not survive."
        )
        yield warning("adaptation.bias", text, _NO_BIAS)


def _of_blocks(recipe: Recipe, model: ModelFacts) -> Iterator[Problem]:
    """PEFT takes another block without asking, or breaks."""
    chosen = recipe.adaptation
    if not isinstance(chosen, Rotation) or not (wrong := chosen.misfits(model)):
        return
    name, inputs = next(iter(wrong.items()))
    sides = [columns for _, columns in chosen.adapted(model).values()]
    fit = next((b for b in (64, 32, 16, 8, 4, 2) if not any(side % b for side in sides)), None)
    yield blocker(
        "adaptation.block",
        f"Blocks of {chosen.block} do not divide the {inputs:,} inputs of {name}.",
        Edit(path="adaptation.block", value=fit, label=f"Blocks of {fit}") if fit else _LORA,
    )


def _of_context(recipe: Recipe, model: ModelFacts, plan: Draft) -> Iterator[Problem]:
    """Trained places count like tokens."""
    places = recipe.adaptation.virtual_tokens
    if not places or not model.context or plan.settings is None:
        return
    room = model.context - places
    if plan.settings.max_length > room:
        text = (
            f"Rows of {plan.settings.max_length:,} tokens and {places} places before them are "
            f"more than the {model.context:,} tokens this model reads."
        )
        fix = Edit(path="training.max_length", value=room, label=f"Cut rows at {room:,} tokens")
        yield blocker("training.max_length", text, fix if room >= 16 else None)


def _of_parts(recipe: Recipe, model: ModelFacts) -> Iterator[Problem]:
    """Parts of a layer that are called otherwise, and tables that are one or not there."""
    chosen = recipe.adaptation
    tables = getattr(chosen, "train_whole", ())
    if "lm_head" in tables and not recipe.objective.speaks:
        kept = [name for name in tables if name != "lm_head"]
        fix = Edit(path="adaptation.train_whole", value=kept, label="Leave it out")
        yield blocker("adaptation.train_whole", "A reward model has no output layer to train.", fix)
    if isinstance(chosen, Bottleneck) and model.architecture.startswith(OTHERWISE):
        text = f"Bottleneck adapters do not know the parts of {model.architecture}."
        yield blocker("adaptation", text, _LORA)
    if isinstance(chosen, Freeze) and model.tied and chosen.head != chosen.embeddings:
        named, other = ("head", "embeddings") if chosen.head else ("embeddings", "head")
        yield warning(
            f"adaptation.{named}",
            "Embeddings and output layer of this model are the same weights: both are trained.",
            Edit(path=f"adaptation.{other}", value=True, label="Say so in the recipe"),
        )


_DEFAULT = Edit(path="adaptation.init", value="default", label="Begin with the default")
_NO_BIAS = Edit(path="adaptation.bias", value="none", label="Train no biases")
_LORA = Edit(path="adaptation", value={"kind": "lora"}, label="Use LoRA")
