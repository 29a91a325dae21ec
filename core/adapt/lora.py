"""LoRA: small low-rank matrices beside frozen linear layers (Hu et al. 2021, arXiv 2106.09685)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from core.adapt.storage import Compute, Stored, quantisation
from core.adapt.targets import OnLinear
from core.models import ModelFacts
from core.value import EXPERT

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import BitsAndBytesConfig

STACKED = (
    "Afmoe", "Beam", "Cohere2Moe", "DeepseekV2", "DeepseekV3", "Dots1", "Ernie4_5_Moe", "ExaoneMoe",
    "FlexOlmo", "Glm4Moe", "GlmMoe", "HunYuanMoE", "LongcatFlash", "Mellum", "MiniMaxFor",
    "MiniMaxM2", "Mixtral", "Olmoe", "Qwen3Moe", "Qwen3Next", "SolarOpen",
)  # fmt: skip
"""Families whose stacked experts and router PEFT adapts with "all-linear", as it did when they were
linear layers (peft/utils/transformers_weight_conversion.py)."""
TABLES = ("embed_tokens", "lm_head")
CHANGES_BASE = ("pissa", "olora", "loftq")
"""Beginnings that are not the model as it was: of its own weights, or of what 4 bits lose."""
COMPUTED = ("eva", "loftq")
"""Beginnings that the engine computes when a run starts (core.engine.beginnings)."""
_RANK = re.compile(r"([\w.]+)=([1-9]\d{0,2})")


def _known_tables(names: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [name for name in names if name not in TABLES]
    if unknown:
        raise ValueError(f"only {' and '.join(TABLES)} can be trained whole, not {unknown[0]}")
    return names


def _ranks(lines: tuple[str, ...]) -> tuple[str, ...]:
    wrong = [line for line in lines if not _RANK.fullmatch(line)]
    if wrong:
        raise ValueError(f"write a layer's name and its rank, such as down_proj=64, not {wrong[0]}")
    return lines


class _LowRank(OnLinear):
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
    rank_pattern: Annotated[tuple[str, ...], AfterValidator(_ranks)] = Field(
        (),
        title="Ranks of their own",
        description="Layers with another rank, one a line, such as down_proj=64; empty for none. "
        "Their strength becomes alpha / that rank.",
        json_schema_extra=EXPERT,
    )
    rslora: bool = Field(
        False,
        title="Rank-stabilised",
        description="Scale by alpha / square root of the rank, so that ranks above 64 learn no "
        "slower (rsLoRA, arXiv 2312.03732). Use a smaller alpha with it, such as 16.",
        json_schema_extra=EXPERT,
    )
    dora: bool = Field(
        False,
        title="DoRA",
        description="Train the length of every weight column apart from its direction (DoRA, "
        "arXiv 2402.09353). Slightly better at ranks of 8 and less; up to twice as slow.",
    )
    train_whole: Annotated[tuple[str, ...], AfterValidator(_known_tables)] = Field(
        (),
        title="Trained whole",
        description="embed_tokens, lm_head or both, one a line: tables trained beside the adapter, "
        "each as large as vocabulary times width. For new languages or new tokens; usually empty.",
        json_schema_extra=EXPERT,
    )

    def trainable(self, model: ModelFacts) -> int:
        """Two matrices per adapted layer: rank x (inputs + outputs); experts have their own."""
        own = self._own_ranks
        sides = sum(
            own.get(name, self.rank) * (rows + columns) + rows * self.dora
            for name, (rows, columns) in self.adapted(model).items()
        )
        return model.layers * (sides + self._of_experts(model)) + self._of_tables(model)

    def _of_experts(self, model: ModelFacts) -> int:
        if not self.adapts_experts(model):
            return 0
        hidden, wide = model.hidden, model.expert_width
        fused = 2 * (hidden + 2 * wide)  # gate and up are one matrix and share twice the rank
        return self.rank * (model.experts * (fused + wide + hidden) + model.experts + hidden)

    def _of_tables(self, model: ModelFacts) -> int:
        tables = min(1, len(self.train_whole)) if model.tied else len(set(self.train_whole))
        return tables * model.vocab * model.hidden

    def adapts_experts(self, model: ModelFacts) -> bool:
        """Only "all-linear" means them too, and only in some families."""
        known = model.architecture.startswith(STACKED)
        return self.targets == "all-linear" and model.experts > 0 and known

    @property
    def begins(self) -> str:
        """Which numbers the side matrices begin with."""
        return str(getattr(self, "init", "default"))

    @property
    def keeps_base(self) -> bool:
        """Not when a part of every weight begins in the adapter."""
        return self.begins not in CHANGES_BASE

    @property
    def mixes(self) -> bool:
        """Tables are trained in 32 bits."""
        return bool(self.train_whole)

    def crowded(self, model: ModelFacts) -> dict[str, int]:
        """Layers with more ranks than their beginning has directions: name -> directions."""
        made = self.begins in (*CHANGES_BASE, "eva")
        own = self._own_ranks if made else {}
        sides = {
            name: columns if self.begins == "eva" else min(rows, columns)
            for name, (rows, columns) in (self.adapted(model) if made else {}).items()
        }
        return {name: side for name, side in sides.items() if own.get(name, self.rank) > side}

    @property
    def traced(self) -> bool:
        """Plain LoRA was."""
        return not (self.dora or self.train_whole or self.rank_pattern)

    @property
    def widest(self) -> int:
        """As chosen."""
        return max(self.rank, *self._own_ranks.values(), 0)

    def kept(self, model: ModelFacts, tokens: int) -> int:
        """DoRA writes each changed weight out, and scales results that it keeps."""
        if not self.dora:
            return 0
        shapes = self.adapted(model).values()
        return sum(2 * rows * columns + 3 * tokens * rows for rows, columns in shapes)

    @property
    def _own_ranks(self) -> dict[str, int]:
        pairs = (line.split("=") for line in self.rank_pattern)
        return {name: int(rank) for name, rank in pairs}

    def peft_config(self) -> LoraConfig:
        """PEFT's settings for this choice."""
        from peft import LoraConfig

        later = self.begins in ("default", *COMPUTED)
        return LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=self.target_modules,
            rank_pattern=self._own_ranks,
            use_rslora=self.rslora,
            use_dora=self.dora,
            init_lora_weights=True if later else self.begins,
            bias=getattr(self, "bias", "none"),
            modules_to_save=list(self.train_whole) or None,
            ensure_weight_tying=bool(self.train_whole),
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
    init: Literal["default", "gaussian", "pissa", "olora", "orthogonal", "eva"] = Field(
        "default",
        title="Beginning",
        description="Numbers the side matrices begin with. default changes nothing at first, nor "
        "does eva, which looks along the main directions of your rows (arXiv 2410.07170; ranks "
        "stay as chosen); pissa (arXiv 2404.02948) and olora (arXiv 2406.01775) begin with the "
        "main directions of each weight and often learn faster; orthogonal needs an even rank.",
        json_schema_extra=EXPERT,
    )
    bias: Literal["none", "lora_only", "all"] = Field(
        "none",
        title="Biases",
        description="Biases of the model that are trained beside the adapter: those of adapted "
        "layers (lora_only) or all. Usual: none (LoRA paper); most models of today have none to "
        "train, Qwen2 has three per layer.",
        json_schema_extra=EXPERT,
    )

    def trainable(self, model: ModelFacts) -> int:
        """Those of the side matrices, and the biases."""
        return super().trainable(model) + self.of_biases(model)

    def of_biases(self, model: ModelFacts) -> int:
        """Numbers in the biases that are trained."""
        if self.bias == "all":
            return model.all_biases
        adapted = self.adapted(model) if self.bias == "lora_only" else {}
        return model.layers * sum(model.biases.get(name, 0) for name in adapted)

    @property
    def keeps_base(self) -> bool:
        """Trained biases stay when the adapter is switched off."""
        return super().keeps_base and self.bias == "none"

    @property
    def mixes(self) -> bool:
        """So are biases."""
        return super().mixes or self.bias != "none"

    @property
    def traced(self) -> bool:
        """Plain LoRA was."""
        return super().traced and self.bias == "none"

    @model_validator(mode="after")
    def _even(self) -> Self:
        ranks = (self.rank, *self._own_ranks.values())
        if self.init == "orthogonal" and any(rank % 2 for rank in ranks):
            raise ValueError("an orthogonal beginning needs even ranks")
        return self


class QLora(_LowRank):
    """LoRA beside a quantised base (arXiv 2305.14314)."""

    kind: Literal["qlora"] = "qlora"
    title: ClassVar = "QLoRA (4-bit)"
    summary: ClassVar = (
        "LoRA over a base stored in 4 bits. Fits the largest model on one card; "
        "5 to 20 % slower per token than LoRA."
    )
    learning_rate: ClassVar = (2e-4, "2e-4, as in the QLoRA paper")
    storage: Literal["nf4", "fp4", "int8"] = Field(
        "nf4",
        title="Storage",
        description="How the frozen base is stored. nf4 fits bell-shaped weights best (QLoRA "
        "paper), fp4 is plainer, int8 is twice as large and rounds least (arXiv 2208.07339).",
    )
    double_quantisation: bool = Field(
        True,
        title="Double quantisation",
        description="Also quantise the quantisation constants: saves about 0.4 bits per weight "
        "at no measured loss (QLoRA paper). 4-bit storage only.",
    )
    compute: Compute = Field(
        "bf16",
        title="Arithmetic",
        description="Format in which 4-bit weights are unpacked and multiplied. bf16 is usual; "
        "fp16 for cards before Ampere; fp32 is slowest and exact.",
    )
    init: Literal["default", "gaussian", "eva", "loftq"] = Field(
        "default",
        title="Beginning",
        description="Numbers the side matrices begin with. default, gaussian and eva (along the "
        "main directions of your rows, arXiv 2410.07170) change nothing at first. loftq begins "
        "with what 4 bits have rounded away, as far as the rank holds it (arXiv 2310.08659, with "
        "ranks of 16 to 64). PiSSA and its like need an unquantised base.",
        json_schema_extra=EXPERT,
    )

    @model_validator(mode="after")
    def _loses(self) -> Self:
        if self.init == "loftq" and self.storage == "int8":
            raise ValueError("a loftq beginning is for 4-bit storage; int8 rounds too little")
        if self.init == "loftq" and self.dora:
            raise ValueError("a loftq beginning does not go with DoRA")
        return self

    @property
    def stored(self) -> Stored:
        """As chosen."""
        return self.storage

    def quantisation(self) -> BitsAndBytesConfig:
        """As chosen."""
        found: Any = quantisation(
            self.storage, double=self.double_quantisation, compute=self.compute
        )
        return found
