"""Which lesson teaches which objective."""

from __future__ import annotations

from typing import Any

from core.engine.group import GroupRelative, LeaveOneOut
from core.engine.imitate import Imitate
from core.engine.lesson import Lesson
from core.engine.prefer import Prefer
from core.objectives import Objective

LESSONS: dict[str, type[Lesson[Any]]] = {
    "sft": Imitate,
    "dpo": Prefer,
    "grpo": GroupRelative,
    "rloo": LeaveOneOut,
}
"""By the objective's kind."""


def lesson_for(objective: Objective) -> type[Lesson[Any]]:
    """The lesson of an objective."""
    return LESSONS[objective.kind]
