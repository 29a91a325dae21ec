"""Preference without a reference, per token (SimPO, Meng et al. 2024, arXiv 2405.14734)."""

from typing import ClassVar, Literal

from pydantic import Field

from core.objectives.base import Objective


class SimPO(Objective):
    """Make better answers likelier per token than worse ones, by a margin."""

    kind: Literal["simpo"] = "simpo"
    family: ClassVar = "From preferences"
    title: ClassVar = "Prefer without a reference (SimPO)"
    summary: ClassVar = (
        "Learns from pairs like DPO, but compares likelihoods per token instead of with the model "
        "as it was: quicker, no gain from length, drifts more easily. The library calls its "
        "trainer experimental."
    )
    formats: ClassVar = ("preference",)
    counted_as: ClassVar = "dpo"
    stable: ClassVar = False
    paired: ClassVar = True
    once: ClassVar = True
    keeps_logits: ClassVar = True
    rate_share: ClassVar = (
        0.05,
        "a twentieth of it without a reference (SimPO paper: 3e-7 to 1e-6 in full)",
    )

    beta: float = Field(
        2.0,
        gt=0,
        le=20,
        title="Beta",
        description="Scale of the likelihood per token. Usual: 2 to 10 (SimPO paper).",
    )
    gamma: float = Field(
        1.0,
        ge=0,
        le=20,
        title="Margin",
        description="By how much the better answer must win, in units of beta x likelihood. Usual: "
        "0.3 to 1.6, half of beta at most (SimPO paper).",
    )

    @property
    def divisible(self) -> bool:
        """Each pair counts alike."""
        return True
