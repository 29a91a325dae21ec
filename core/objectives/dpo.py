"""Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290)."""

from typing import ClassVar, Literal

from pydantic import Field

from core.objectives.base import Objective


class DPO(Objective):
    """Make better answers likelier than worse ones, compared with the model as it was."""

    kind: Literal["dpo"] = "dpo"
    title: ClassVar = "Prefer better answers (DPO)"
    summary: ClassVar = (
        "Learns from pairs of a better and a worse answer to the same question: tone, care, "
        "taste. For a model that can do the task already; a second step after examples."
    )
    formats: ClassVar = ("preference",)
    rate_share: ClassVar = (
        0.25,
        "a quarter of it for pairs: larger steps push both answers away from the language "
        "(published DPO recipes: 5e-7 to 5e-6 in full, 5e-6 to 5e-5 with LoRA)",
    )
    most_raised: ClassVar = 5.0
    """Measured on the starter model: at 25 times its answers run empty within one epoch."""

    beta: float = Field(
        0.1,
        gt=0,
        le=2,
        title="Beta",
        description="How dear it is to move away from the model as it was. Lower moves further. "
        "Usual: 0.01 to 0.5; 0.1 in the DPO paper.",
    )
    loss_type: Literal["sigmoid", "ipo", "hinge"] = Field(
        "sigmoid",
        title="Preference loss",
        description="sigmoid is DPO itself. ipo (arXiv 2310.12036) stops at a set distance, so "
        "that a few pairs are not learned by heart. hinge (SLiC, arXiv 2305.10425) ignores pairs "
        "that are told apart clearly.",
    )
