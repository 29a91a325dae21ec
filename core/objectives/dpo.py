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
    looks_back: ClassVar = 1
    paired: ClassVar = True
    once: ClassVar = True
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
    loss_type: Literal[
        "sigmoid", "hinge", "ipo", "robust", "exo_pair", "nca_pair", "bco_pair", "apo_zero",
        "apo_down", "sppo_hard", "aot", "aot_unpaired", "discopop", "sigmoid_norm",
    ] = Field(
        "sigmoid",
        title="Preference loss",
        description="sigmoid is DPO itself; sigmoid_norm compares per token, so that long answers "
        "do not win by length. ipo (arXiv 2310.12036) stops at a set distance, so that a few pairs "
        "are not learned by heart. hinge (SLiC, arXiv 2305.10425) ignores pairs that are told "
        "apart clearly. robust (arXiv 2403.00409) and exo_pair (arXiv 2402.00856) reckon with "
        "labels that are wrong, see the share below. nca_pair (arXiv 2402.05369), bco_pair (arXiv "
        "2404.04656) and apo_zero (arXiv 2408.06266) also raise better answers by themselves; "
        "apo_down lowers both, for a model better than its data. sppo_hard: arXiv 2405.00675. aot "
        "and aot_unpaired (arXiv 2406.05882) compare sorted batches instead of pairs, and need "
        "several rows at once. discopop: arXiv 2406.08414.",
    )  # fmt: skip
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=0.5,
        title="Share of wrong labels",
        description="How many pairs are expected to be the wrong way round. Heeded by robust, "
        "exo_pair (which needs more than 0), aot and aot_unpaired. Usual: 0 to 0.2.",
    )

    @property
    def divisible(self) -> bool:
        """All but the losses that sort a batch, or follow a mean over batches."""
        return not self.sorts and self.loss_type != "bco_pair"

    @property
    def smooths(self) -> bool:
        """Whether the loss heeds the share of wrong labels."""
        return self.loss_type in ("robust", "exo_pair", "aot", "aot_unpaired")

    @property
    def sorts(self) -> bool:
        """Whether the loss compares the rows of a batch with each other."""
        return self.loss_type in ("aot", "aot_unpaired")
