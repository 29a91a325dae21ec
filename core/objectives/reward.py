"""A model that gives an answer a number (Ouyang et al. 2022, arXiv 2203.02155, section 3.5)."""

from typing import ClassVar, Literal

from pydantic import Field

from core.objectives.base import Objective


class Reward(Objective):
    """Give better answers a higher number than worse ones."""

    kind: Literal["reward"] = "reward"
    family: ClassVar = "From rewards"
    title: ClassVar = "Learn to judge (reward model)"
    summary: ClassVar = (
        "Learns from pairs to give every answer a number. The result writes nothing: it judges "
        "answers, for training with rewards (PPO, GRPO) or to pick the best of several."
    )
    formats: ClassVar = ("preference",)
    speaks: ClassVar = False
    paired: ClassVar = True
    once: ClassVar = True
    rate_share: ClassVar = (0.5, "half of it for a reward model (InstructGPT: 9e-6 in full)")

    centre: float = Field(
        0.0,
        ge=0,
        le=1,
        title="Pull to zero",
        description="Keeps numbers around zero, so that they can be compared across questions "
        "(arXiv 2312.09244). Usual: 0 or 0.01.",
    )

    @property
    def divisible(self) -> bool:
        """Each pair counts alike."""
        return True
