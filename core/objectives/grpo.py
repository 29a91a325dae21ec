"""Group relative policy optimisation (Shao et al. 2024, arXiv 2402.03300)."""

from typing import ClassVar, Literal

from pydantic import Field

from core.objectives.rewarded import Grouped


class GRPO(Grouped):
    """Make the better answers of each group likelier, in units of the group's spread."""

    kind: Literal["grpo"] = "grpo"
    family: ClassVar = "From rewards"
    title: ClassVar = "Earn rewards (GRPO)"
    summary: ClassVar = (
        "Tries several answers to each question and learns from those that a reward calls "
        "better: right results, valid JSON, a wanted length. For a model that is right now and "
        "then already."
    )

    beta: float = Field(
        0.0,
        ge=0,
        le=2,
        title="Beta",
        description="How dear distance from the untrained model is. 0 is usual today; 0.01 to "
        "0.1 keeps the language close, and needs a second model in full fine-tuning.",
    )
    loss_type: Literal["dapo", "grpo", "dr_grpo", "bnpo"] = Field(
        "dapo",
        title="Averaging",
        description="dapo counts all tokens of a step alike (arXiv 2503.14476). grpo averages "
        "each answer first, so short answers count more. dr_grpo (arXiv 2503.20783) divides by "
        "a constant and leaves rewards unscaled. bnpo averages over each batch on the device.",
    )
