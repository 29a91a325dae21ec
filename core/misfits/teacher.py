"""What makes a teacher useless: it is missing, speaks other tokens, or is the model itself."""

from __future__ import annotations

from collections.abc import Iterator

from core.draft import Draft, Facts
from core.errors import Edit, ModelError, Problem
from core.misfits.base import blocker
from core.objectives import Distill
from core.recipe import Recipe
from core.teachers import look_at_teacher, refuse_stranger

WHERE = "objective.teacher"
IMITATE = Edit(path="objective", value={"kind": "sft"}, label="Imitate the examples instead")


def of_teacher(recipe: Recipe, facts: Facts, _plan: Draft) -> Iterator[Problem]:
    """Whether the chosen teacher can teach this model."""
    chosen = recipe.objective
    if not isinstance(chosen, Distill):
        return
    if not chosen.teacher.strip():
        text = "No teacher is chosen: a model with the same tokenizer that knows more."
        yield blocker(WHERE, text, IMITATE)
        return
    try:
        teacher = look_at_teacher(chosen.teacher)
        if facts.model is not None:
            refuse_stranger(facts.model, teacher)
    except ModelError as error:
        yield blocker(WHERE, f"{error} {error.hint}".strip(), IMITATE)
