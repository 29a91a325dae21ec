"""REINFORCE leave-one-out (Ahmadian et al. 2024, arXiv 2402.14740)."""

from typing import ClassVar, Literal

from pydantic import Field

from core.objectives.rewarded import Grouped


class RLOO(Grouped):
    """Compare each answer with the mean of the others, without scaling."""

    kind: Literal["rloo"] = "rloo"
    family: ClassVar = "From rewards"
    title: ClassVar = "Earn rewards (RLOO)"
    summary: ClassVar = (
        "Like GRPO, but each answer is compared with the mean of the others alone and distance "
        "from the untrained model is part of the reward. Calmer where rewards hardly differ."
    )

    beta: float = Field(
        0.05,
        ge=0,
        le=2,
        title="Beta",
        description="How dear distance from the untrained model is, taken off the reward. Usual: "
        "0.01 to 0.1. Above 0 it needs a second model in full fine-tuning.",
    )
