"""Imitation and preference in one loss (ORPO, Hong et al. 2024, arXiv 2403.07691)."""

from typing import ClassVar, Literal

from pydantic import Field

from core.objectives.base import Objective


class ORPO(Objective):
    """Imitate better answers and lower the odds of worse ones."""

    kind: Literal["orpo"] = "orpo"
    family: ClassVar = "From preferences"
    title: ClassVar = "Imitate and prefer at once (ORPO)"
    summary: ClassVar = (
        "Learns the better answer of each pair and to avoid the worse one, in a single run and "
        "without the model as it was. The library calls its trainer experimental."
    )
    formats: ClassVar = ("preference",)
    counted_as: ClassVar = "dpo"
    stable: ClassVar = False
    paired: ClassVar = True
    keeps_logits: ClassVar = True
    rate_share: ClassVar = (0.4, "less of it for odds (ORPO paper: 8e-6 in full)")
    most_raised: ClassVar = 5.0

    beta: float = Field(
        0.1,
        gt=0,
        le=2,
        title="Beta",
        description="Weight of the odds beside imitation; lambda in the ORPO paper. Usual: 0.05 to "
        "0.5.",
    )
