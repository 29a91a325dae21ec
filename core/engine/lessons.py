"""Which lesson teaches which objective."""

from __future__ import annotations

import os
from typing import Any

from core.engine.continue_text import ContinueText
from core.engine.group import GroupRelative, LeaveOneOut
from core.engine.imitate import Imitate
from core.engine.lesson import Lesson
from core.engine.ppo.lesson import Earn
from core.engine.prefer import Prefer
from core.engine.reward import RewardAnswers
from core.engine.thumbs import Thumbs
from core.objectives import Objective

LESSONS: dict[str, type[Lesson[Any]]] = {
    "sft": Imitate,
    "dpo": Prefer,
    "kto": Thumbs,
    "pretrain": ContinueText,
    "reward": RewardAnswers,
    "ppo": Earn,
    "grpo": GroupRelative,
    "rloo": LeaveOneOut,
}
"""By the objective's kind."""


def lesson_for(objective: Objective) -> type[Lesson[Any]]:
    """The lesson of an objective."""
    return LESSONS.get(objective.kind) or _experimental(objective.kind)


def _experimental(kind: str) -> type[Lesson[Any]]:
    """Lessons by trainers that the library may take away, loaded only when they are wanted."""
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # the window says that they are
    from core.engine.contrast import Contrast
    from core.engine.distil import Taught
    from core.engine.odds import Odds

    found: dict[str, type[Lesson[Any]]] = {
        "orpo": Odds, "simpo": Contrast, "cpo": Contrast, "distill": Taught,
    }  # fmt: skip
    return found[kind]
