"""Contrastive preference optimisation (CPO, Xu et al. 2024, arXiv 2401.08417)."""

from typing import ClassVar, Literal

from pydantic import Field

from core.objectives.base import Objective


class CPO(Objective):
    """Make better answers likelier than worse ones, and imitate the better ones beside."""

    kind: Literal["cpo"] = "cpo"
    family: ClassVar = "From preferences"
    title: ClassVar = "Prefer and stay fluent (CPO)"
    summary: ClassVar = (
        "Learns from pairs without the model as it was; imitating the better answers keeps the "
        "language. Made for translation. The library calls its trainer experimental."
    )
    formats: ClassVar = ("preference",)
    counted_as: ClassVar = "dpo"
    stable: ClassVar = False
    paired: ClassVar = True
    once: ClassVar = True
    keeps_logits: ClassVar = True
    rate_share: ClassVar = (0.5, "half of it for CPO (its authors: 1e-4 with LoRA)")
    most_raised: ClassVar = 5.0

    beta: float = Field(
        0.1,
        gt=0,
        le=2,
        title="Beta",
        description="Scale of the difference in likelihood. Usual: 0.1 to 0.5.",
    )
    loss_type: Literal["sigmoid", "hinge", "ipo"] = Field(
        "sigmoid",
        title="Preference loss",
        description="sigmoid is CPO itself. hinge (arXiv 2305.10425) ignores pairs that are told "
        "apart clearly; ipo (arXiv 2310.12036) compares per token and stops at a set distance.",
    )
    imitation: float = Field(
        1.0,
        ge=0,
        le=10,
        title="Weight of imitation",
        description="How much the better answers are also imitated. 1 in the CPO paper.",
    )

    @property
    def divisible(self) -> bool:
        """Pairs count alike; the imitation beside them is a mean over the tokens of a batch."""
        return not self.imitation
