"""What does not go with the chosen objective."""

from __future__ import annotations

from collections.abc import Iterator

from core.draft import Draft, Facts
from core.errors import Edit, Problem
from core.misfits.base import blocker, warning
from core.objectives import DPO, KTO, SimPO
from core.recipe import Recipe

WRONG_LABELS = 0.1
"""A share of wrong labels to begin with."""


def of_objective(recipe: Recipe, _facts: Facts, _plan: Draft) -> Iterator[Problem]:
    """Losses that need several rows at once, and figures that a loss does not heed."""
    match recipe.objective:
        case DPO() as chosen:
            yield from _smoothing(chosen)
            if chosen.sorts:
                yield from _alone(recipe, chosen.loss_type)
        case KTO(drifts=True):
            yield from _alone(recipe, "kto")
        case SimPO(beta=beta, gamma=gamma) if gamma > beta:
            yield warning(
                "objective.gamma",
                f"A margin of {gamma:g} above beta ({beta:g}) asks for answers e times as likely "
                "per token: few pairs are that far apart, and the language suffers.",
                Edit(path="objective.gamma", value=beta / 2, label=f"Use {beta / 2:g}"),
            )


def _smoothing(chosen: DPO) -> Iterator[Problem]:
    where, share = "objective.label_smoothing", chosen.label_smoothing
    if chosen.loss_type == "exo_pair" and not share:
        yield blocker(
            where,
            "exo_pair takes the logarithm of the share of wrong labels, which must be above 0.",
            Edit(path=where, value=WRONG_LABELS, label=f"Use {WRONG_LABELS:g}"),
        )
    if share and not chosen.smooths:
        yield warning(
            where,
            f"{chosen.loss_type} does not heed a share of wrong labels.",
            Edit(path=where, value=0.0, label="Set it to 0"),
        )


def _alone(recipe: Recipe, loss: str) -> Iterator[Problem]:
    """A loss that compares the rows of a batch learns nothing of a row alone."""
    if recipe.training.micro_batch > 1:
        return
    text = f"The loss {loss} compares the rows of a batch with each other, and needs at least two."
    fix = Edit(path="training.micro_batch", value=2, label="Compute two rows at once")
    yield blocker("objective.loss_type", text, fix)
