"""Learning from thumbs up and down (KTO, Ethayarajh et al. 2024, arXiv 2402.01306)."""

from typing import ClassVar, Literal

from pydantic import Field

from core.objectives.base import Objective


class KTO(Objective):
    """Make good answers likelier and bad ones less likely, compared with the model as it was."""

    kind: Literal["kto"] = "kto"
    family: ClassVar = "From preferences"
    title: ClassVar = "Heed thumbs up and down (KTO)"
    summary: ClassVar = (
        "Learns from single answers marked good or bad, as people leave them with a click; no "
        "second answer to compare with is needed."
    )
    formats: ClassVar = ("kto",)
    counted_as: ClassVar = "dpo"
    looks_back: ClassVar = 3
    once: ClassVar = True
    rate_share: ClassVar = (
        0.25,
        "a quarter of it for thumbs: larger steps push answers away from the language (KTO paper: "
        "5e-7 to 5e-6 in full)",
    )
    most_raised: ClassVar = 5.0

    beta: float = Field(
        0.1,
        gt=0,
        le=2,
        title="Beta",
        description="How dear it is to move away from the model as it was. Lower moves further. "
        "Usual: 0.05 to 0.5; 0.1 in the KTO paper.",
    )
    loss_type: Literal["kto", "apo_zero_unpaired"] = Field(
        "kto",
        title="Thumbs loss",
        description="kto measures answers against the model's mean drift, taken from answers to "
        "other questions of the batch, so it needs at least two rows at once. apo_zero_unpaired "
        "(arXiv 2408.06266) does without.",
    )
    good_weight: float = Field(
        1.0,
        gt=0,
        le=100,
        title="Weight of good answers",
        description="Raise it when good answers are few. Good rows x their weight should be 1 to "
        "1.33 times bad rows x theirs (KTO paper, equation 8).",
    )
    bad_weight: float = Field(
        1.0,
        gt=0,
        le=100,
        title="Weight of bad answers",
        description="Raise it when bad answers are few.",
    )

    @property
    def drifts(self) -> bool:
        """Whether the loss needs the model's mean drift, and so several rows at once."""
        return self.loss_type == "kto"
