"""VeRA: random matrices shared by all layers, and trained scales (arXiv 2310.11454)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from core.adapt.storage import base_field
from core.adapt.targets import OnLinear
from core.models import ModelFacts

if TYPE_CHECKING:
    from peft import VeraConfig


class Vera(OnLinear):
    """Trains two vectors per layer; the matrices between them are random and never change."""

    kind: Literal["vera"] = "vera"
    family: ClassVar = "Relatives of LoRA"
    title: ClassVar = "VeRA"
    summary: ClassVar = (
        "All layers share two random matrices; only their scales are trained. About a tenth of "
        "LoRA's numbers, for many adapters side by side; learns less."
    )
    learning_rate: ClassVar = (4e-3, "4e-3 for instructions in the VeRA paper, table 10")
    base: Literal["own", "nf4", "int8"] = base_field()
    shared_rank: int = Field(
        256,
        ge=1,
        le=4096,
        title="Shared rank",
        description="Rank of the random matrices; only one number per rank and layer is trained. "
        "Usual: 256 to 1024 (VeRA paper).",
    )
    first_scale: float = Field(
        0.1,
        gt=0,
        le=1,
        title="First scale",
        description="What the scales of ranks begin with. Usual: 0.1 (VeRA paper), down to 1e-7.",
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        title="Dropout",
        description="Share of adapter inputs dropped at random while training. Usual: 0 to 0.1.",
    )

    def trainable(self, model: ModelFacts) -> int:
        """A scale per output and one per rank, in every adapted layer."""
        outputs = sum(rows + self.shared_rank for rows, _ in self.adapted(model).values())
        return model.layers * outputs

    def frozen(self, model: ModelFacts) -> int:
        """The two random matrices, as wide as the widest layer."""
        shapes = self.adapted(model).values()
        sides = [max((shape[side] for shape in shapes), default=0) for side in (0, 1)]
        return self.shared_rank * sum(sides)

    def kept(self, model: ModelFacts, tokens: int) -> int:
        """Results of the random matrices."""
        return tokens * sum(rows for rows, _ in self.adapted(model).values())

    def peft_config(self) -> VeraConfig:
        """PEFT's settings for this choice."""
        from peft import VeraConfig

        return VeraConfig(
            r=self.shared_rank,
            d_initial=self.first_scale,
            vera_dropout=self.dropout,
            target_modules=self.target_modules,
            task_type="CAUSAL_LM",
        )
