"""LoRA: small low-rank matrices beside frozen linear layers (Hu et al. 2021, arXiv 2106.09685)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from core.adapt.base import Adaptation
from core.models import ModelFacts

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import BitsAndBytesConfig

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
STACKED = (
    "Afmoe", "Beam", "Cohere2Moe", "DeepseekV2", "DeepseekV3", "Dots1", "Ernie4_5_Moe", "ExaoneMoe",
    "FlexOlmo", "Glm4Moe", "GlmMoe", "HunYuanMoE", "LongcatFlash", "Mellum", "MiniMaxFor",
    "MiniMaxM2", "Mixtral", "Olmoe", "Qwen3Moe", "Qwen3Next", "SolarOpen",
)  # fmt: skip
"""Families whose stacked experts and router PEFT adapts with "all-linear", as it did when they were
linear layers (peft/utils/transformers_weight_conversion.py)."""


class _LowRank(Adaptation):
    low_rank: ClassVar = True
    rank: int = Field(
        16,
        ge=1,
        le=512,
        title="Rank",
        description="Size of the trained side matrices. Higher learns more detail and uses more "
        "memory; lower forgets less. Usual: 8 to 64.",
    )
    alpha: int = Field(
        32,
        ge=1,
        le=1024,
        title="Alpha",
        description="Strength of the adapter: its output is scaled by alpha / rank. Usual: twice "
        "the rank (LoRA paper and most published recipes).",
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        title="Dropout",
        description="Share of adapter inputs dropped at random while training. Raise to 0.05 or "
        "0.1 for small datasets that are learned by heart.",
    )
    targets: Literal["all-linear", "attention"] = Field(
        "all-linear",
        title="Layers",
        description="Which linear layers get an adapter. All of them learns best at equal rank "
        "(QLoRA paper, arXiv 2305.14314); attention only is smaller.",
    )

    def trainable(self, model: ModelFacts) -> int:
        """Two matrices per adapted layer: rank x (inputs + outputs); experts have their own."""
        shapes = [
            shape
            for name, shape in model.linear.items()
            if self.targets == "all-linear" or name in ATTENTION
        ]
        sides = sum(rows + columns for rows, columns in shapes)
        if self.adapts_experts(model):
            hidden, wide = model.hidden, model.expert_width
            fused = 2 * (hidden + 2 * wide)  # gate and up are one matrix and share twice the rank
            sides += model.experts * (fused + wide + hidden) + model.experts + hidden
        return model.layers * self.rank * sides

    def adapts_experts(self, model: ModelFacts) -> bool:
        """Only "all-linear" means them too, and only in some families."""
        known = model.architecture.startswith(STACKED)
        return self.targets == "all-linear" and model.experts > 0 and known

    def peft_config(self) -> LoraConfig:
        """PEFT's settings for this choice."""
        from peft import LoraConfig

        return LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules="all-linear" if self.targets == "all-linear" else list(ATTENTION),
            task_type="CAUSAL_LM",
        )


class Lora(_LowRank):
    """LoRA beside a base in its own precision."""

    kind: Literal["lora"] = "lora"
    title: ClassVar = "LoRA"
    summary: ClassVar = (
        "Trains small side matrices beside the frozen model. Nearly as good as full "
        "fine-tuning for style, format and skills, at a fraction of the memory."
    )
    learning_rate: ClassVar = (2e-4, "usual range 1e-4 to 2e-4 for LoRA (LoRA and QLoRA papers)")


class QLora(_LowRank):
    """LoRA beside a base stored in 4-bit NF4 with double quantisation (arXiv 2305.14314)."""

    kind: Literal["qlora"] = "qlora"
    title: ClassVar = "QLoRA (4-bit)"
    summary: ClassVar = (
        "LoRA over a base stored in 4 bits. Fits the largest model on one card; "
        "5 to 20 % slower per token than LoRA."
    )
    learning_rate: ClassVar = (2e-4, "2e-4, as in the QLoRA paper")
    double_quantisation: bool = Field(
        True,
        title="Double quantisation",
        description="Also quantise the quantisation constants: saves about 0.4 bits per weight "
        "at no measured loss (QLoRA paper).",
    )

    @property
    def quantised(self) -> bool:
        """Always."""
        return True

    def quantisation(self) -> BitsAndBytesConfig:
        """4-bit NF4 storage; arithmetic in bfloat16."""
        import torch
        from transformers import BitsAndBytesConfig

        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=self.double_quantisation,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
