"""A recipe on a machine: the numbers, the reasons, and what is wrong or unwise about it."""

from __future__ import annotations

from core.draft import Decision, Draft, Facts, Settings
from core.errors import Problem
from core.problems import find_problems
from core.recipe import Recipe
from core.settle import make_draft

__all__ = ["Decision", "Facts", "Plan", "Settings", "make_plan"]


class Plan(Draft):
    """Everything Review shows and plan.json keeps."""

    problems: tuple[Problem, ...] = ()

    @property
    def blockers(self) -> tuple[Problem, ...]:
        """What keeps Start from being pressed."""
        return tuple(p for p in self.problems if p.level == "blocker")

    @property
    def ready(self) -> bool:
        """Whether Start may be pressed."""
        return self.settings is not None and not self.blockers


def make_plan(recipe: Recipe, facts: Facts) -> Plan:
    """Work out a recipe on given facts; pure, and fast enough to run at every key press."""
    draft = make_draft(recipe, facts)
    return Plan(**dict(draft), problems=tuple(find_problems(recipe, facts, draft)))
