"""OFT and BOFT: turn the weights instead of adding to them, which keeps their lengths."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from core.adapt.storage import base_field
from core.adapt.targets import OnLinear
from core.models import ModelFacts

if TYPE_CHECKING:
    from peft import BOFTConfig, OFTConfig


class Rotation(OnLinear):
    """Blocks of inputs are turned, each by an orthogonal matrix of its own."""

    base: Literal["own", "nf4", "int8"] = base_field()
    block: int = Field(
        32,
        ge=2,
        le=512,
        title="Block",
        description="Inputs that are turned together; must divide the inputs of every layer. "
        "Larger learns more and is slower. Usual: 16 to 64.",
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        title="Dropout of blocks",
        description="Share of blocks not turned at random while training. Usual: 0 to 0.1.",
    )

    def misfits(self, model: ModelFacts) -> dict[str, int]:
        """Adapted layers whose inputs are no multiple of the block, with their inputs."""
        shapes = self.adapted(model).items()
        return {name: columns for name, (_, columns) in shapes if columns % self.block}


class OFT(Rotation):
    """Orthogonal fine-tuning of inputs (arXiv 2306.07280; as OFTv2, arXiv 2506.19847)."""

    kind: Literal["oft"] = "oft"
    family: ClassVar = "Relatives of LoRA"
    title: ClassVar = "OFT"
    summary: ClassVar = (
        "Turns the inputs of each layer without stretching them, which keeps what the model knows "
        "well. Stable at high learning rates; about as large as LoRA."
    )
    learning_rate: ClassVar = (4e-4, "1e-4 to 1e-3 in the OFTv2 paper")

    def trainable(self, model: ModelFacts) -> int:
        """The numbers above the diagonal of every block."""
        blocks = sum(columns // self.block for _, columns in self.adapted(model).values())
        return model.layers * blocks * self.block * (self.block - 1) // 2

    def kept(self, model: ModelFacts, tokens: int) -> int:
        """Powers of every block (Cayley-Neumann)."""
        return 16 * self.block * sum(columns for _, columns in self.adapted(model).values())

    def peft_config(self) -> OFTConfig:
        """PEFT's settings for this choice."""
        from peft import OFTConfig

        return OFTConfig(
            r=0,
            oft_block_size=self.block,
            module_dropout=self.dropout,
            target_modules=self.target_modules,
            task_type="CAUSAL_LM",
        )


class BOFT(Rotation):
    """Turned blocks and a scale per output (arXiv 2311.06243), with one butterfly factor."""

    kind: Literal["boft"] = "boft"
    family: ClassVar = "Relatives of LoRA"
    title: ClassVar = "BOFT"
    summary: ClassVar = (
        "Like OFT with a trained scale per output. Every turned weight is written out, so it needs "
        "much memory and time on large models; OFT is the one to try first."
    )
    learning_rate: ClassVar = (4e-4, "1e-4 to 5e-4 in the BOFT paper")

    def trainable(self, model: ModelFacts) -> int:
        """Every block in full, and a scale per output."""
        shapes = self.adapted(model).values()
        return model.layers * sum(rows + columns * self.block for rows, columns in shapes)

    def frozen(self, model: ModelFacts) -> int:
        """A table of places as large as the square of the inputs, in every adapted layer."""
        return model.layers * sum(columns**2 for _, columns in self.adapted(model).values())

    def kept(self, model: ModelFacts, tokens: int) -> int:
        """Turning matrices, turned and scaled weights, and a copy of each input."""
        shapes = self.adapted(model).values()
        return sum(4 * c * c + 3 * r * c + tokens * (r + c) for r, c in shapes)

    def peft_config(self) -> BOFTConfig:
        """PEFT's settings for this choice."""
        from peft import BOFTConfig

        return BOFTConfig(
            boft_block_size=self.block,
            boft_n_butterfly_factor=1,
            boft_dropout=self.dropout,
            target_modules=self.target_modules,
            task_type="CAUSAL_LM",
        )
