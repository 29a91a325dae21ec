"""What is unwise or impossible with PPO."""

from __future__ import annotations

from collections.abc import Iterator

from core.draft import Draft, Facts
from core.errors import Edit, Problem
from core.misfits.base import blocker, warning
from core.objectives import PPO
from core.recipe import Recipe

FEW = 8
"""Advantages of fewer answers, evened out among themselves, are mostly noise."""


def of_ppo(recipe: Recipe, _facts: Facts, plan: Draft) -> Iterator[Problem]:
    """Nothing that holds the language, or too few answers to compare."""
    chosen = recipe.objective
    if not isinstance(chosen, PPO):
        return
    if chosen.kl == "fixed" and chosen.kl_coefficient == 0:
        yield warning(
            "objective.kl_coefficient",
            "Nothing holds the model near its language: it will find answers that earn much and "
            "say nothing.",
            Edit(path="objective.kl_coefficient", value=0.05, label="Set it to 0.05"),
        )
    if chosen.kl == "adaptive" and chosen.kl_coefficient == 0:
        yield blocker(
            "objective.kl_coefficient",
            "Adaptive control multiplies the coefficient, and 0 stays 0.",
            Edit(path="objective.kl_coefficient", value=0.05, label="Begin with 0.05"),
        )
    yield from _sizes(chosen, plan)


def _sizes(chosen: PPO, plan: Draft) -> Iterator[Problem]:
    settings = plan.settings
    if settings is None:
        return
    answers = settings.micro_batch * settings.accumulation * chosen.minibatches
    if answers < FEW:
        yield warning(
            "objective.minibatches",
            f"A rollout has only {answers} answers, so that chance decides which count as good.",
            Edit(path="objective.minibatches", value=FEW // answers + 1, label="Make more at once"),
        )
