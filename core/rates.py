"""Usual learning rates by adaptation and objective, as data, each with its source."""

from __future__ import annotations

from typing import NamedTuple

from core.models import ModelFacts
from core.numbers import show_number
from core.recipe import Recipe


class Usual(NamedTuple):
    """What others train with."""

    low: float
    high: float
    source: str

    def __str__(self) -> str:
        return f"{show_number(self.low)} to {show_number(self.high)} ({self.source})"


USUAL = {
    ("lora", "sft"): Usual(1e-4, 2e-4, "LoRA and QLoRA papers"),
    ("qlora", "sft"): Usual(1e-4, 2e-4, "QLoRA paper, arXiv 2305.14314"),
    ("full", "sft"): Usual(1e-5, 5e-5, "published recipes of full fine-tuning"),
    ("lora", "dpo"): Usual(5e-6, 5e-5, "published DPO recipes with LoRA"),
    ("qlora", "dpo"): Usual(5e-6, 5e-5, "published DPO recipes with LoRA"),
    ("full", "dpo"): Usual(5e-7, 5e-6, "published DPO recipes of full fine-tuning"),
}
"""For models of a billion parameters and more, and AdamW."""
AROUND = 2.0
"""Where no range was published: from the usual rate divided by this to the rate times this."""
SIZE_STEPS = ((20e6, 25.0), (200e6, 5.0), (1e9, 2.0))
"""Below so many parameters, so many times the usual rate: small models want larger steps."""
LION = 0.2, "a fifth of it for Lion, whose steps have full length (arXiv 2302.06675)"
GALORE = 10.0, "ten times it for GaLore, whose paper trains with 0.01 (arXiv 2403.03507)"
APOLLO = 5.0, "five times it for APOLLO, whose steps are shorter by design (arXiv 2412.05270)"
OWN = {"lion": LION, "galore": GALORE, "apollo": APOLLO}
"""By the beginning of an optimizer's name."""
LORA_PLUS = 0.5, "half of it, because LoRA+ raises the other half (PEFT's documentation)"


def usual_range(recipe: Recipe, model: ModelFacts) -> Usual:
    """The rates that are usual for this recipe; small models may go higher."""
    kinds = recipe.adaptation.kind, recipe.objective.kind
    found = USUAL.get(kinds) or _around(recipe)
    share, because = _own_share(recipe)
    raised = _raised(recipe, model)
    why = f"raised because {size_reason(model)}" if raised > 1 else ""
    source = "; ".join(filter(None, (found.source, because, why)))
    return Usual(found.low * share, found.high * share * raised, source)


def automatic_rate(recipe: Recipe, model: ModelFacts) -> tuple[float, str]:
    """The usual rate of the method for the objective, raised for small models; and the reason."""
    usual, source = recipe.adaptation.learning_rate
    share, why = recipe.objective.rate_share
    own, because = _own_share(recipe)
    raised = _raised(recipe, model)
    if raised > 1:
        source, why = size_reason(model), ""
    return usual * share * raised * own, "; ".join(filter(None, (source, why, because)))


def size_reason(model: ModelFacts) -> str:
    """Why the usual rates do not fit a small model."""
    return f"a model of only {model.parameters / 1e6:.0f} M parameters learns with larger steps"


def _raised(recipe: Recipe, model: ModelFacts) -> float:
    for size, factor in SIZE_STEPS:
        if model.parameters < size:
            return min(factor, recipe.objective.most_raised)
    return 1.0


def _own_share(recipe: Recipe) -> tuple[float, str]:
    """What the optimizer and LoRA+ change of the usual rate."""
    training = recipe.training
    changes = [own for name, own in OWN.items() if training.optimizer.startswith(name)]
    changes += [LORA_PLUS] if training.lora_plus else []
    share = 1.0
    for factor, _ in changes:
        share *= factor
    return share, "; ".join(why for _, why in changes)


def _around(recipe: Recipe) -> Usual:
    usual, source = recipe.adaptation.learning_rate
    share, _ = recipe.objective.rate_share
    return Usual(usual * share / AROUND, usual * share * AROUND, source)
