"""Choices that do not go together, each with a way out: one file per part of the recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from core.draft import Draft, Facts
from core.errors import Problem
from core.misfits.adaptation import of_adaptation
from core.misfits.objective import of_objective
from core.misfits.ppo import of_ppo
from core.misfits.rollouts import of_rollouts
from core.misfits.teacher import of_teacher
from core.misfits.template import of_template
from core.misfits.training import of_training
from core.recipe import Recipe

MISFITS: tuple[Callable[[Recipe, Facts, Draft], Iterator[Problem]], ...] = (
    of_adaptation,
    of_training,
    of_template,
    of_objective,
    of_ppo,
    of_rollouts,
    of_teacher,
)


def misfits(recipe: Recipe, facts: Facts, plan: Draft) -> Iterator[Problem]:
    """Everything that does not go together."""
    for find in MISFITS:
        yield from find(recipe, facts, plan)
