"""Which lesson teaches which objective."""

from __future__ import annotations

from typing import Any

from core.engine.imitate import Imitate
from core.engine.lesson import Lesson
from core.engine.ppo.lesson import Earn
from core.engine.prefer import Prefer
from core.objectives import Objective

LESSONS: dict[str, type[Lesson[Any]]] = {"sft": Imitate, "dpo": Prefer, "ppo": Earn}
"""By the objective's kind."""


def lesson_for(objective: Objective) -> type[Lesson[Any]]:
    """The lesson of an objective."""
    return LESSONS[objective.kind]
