"""LoHa and LoKr: products of small matrices with a rank above their own size (LyCORIS)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from core.adapt.storage import base_field
from core.adapt.targets import OnLinear
from core.models import ModelFacts

if TYPE_CHECKING:
    from peft import LoHaConfig, LoKrConfig


class _Lycoris(OnLinear):
    base: Literal["own", "int8"] = base_field()
    rank: int = Field(
        8,
        ge=1,
        le=256,
        title="Rank",
        description="Size of the trained matrices. Usual: 4 to 32.",
    )
    alpha: int = Field(
        16,
        ge=1,
        le=1024,
        title="Alpha",
        description="Strength: the change is scaled by alpha / rank. Usual: the rank or twice it.",
    )
    rank_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        title="Dropout of ranks",
        description="Share of ranks left out at random while training. Usual: 0 to 0.1.",
    )
    module_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        title="Dropout of layers",
        description="Share of adapters left out at random while training. Usual: 0 to 0.1.",
    )

    @property
    def _shared(self) -> dict[str, Any]:
        return {
            "r": self.rank,
            "alpha": self.alpha,
            "rank_dropout": self.rank_dropout,
            "module_dropout": self.module_dropout,
            "target_modules": self.target_modules,
            "task_type": "CAUSAL_LM",
        }

    def kept(self, model: ModelFacts, tokens: int) -> int:
        """The change of every weight is written out."""
        return sum(rows * columns for rows, columns in self.adapted(model).values())


class LoHa(_Lycoris):
    """The element-wise product of two low-rank changes (FedPara, arXiv 2108.06098)."""

    kind: Literal["loha"] = "loha"
    family: ClassVar = "Relatives of LoRA"
    title: ClassVar = "LoHa"
    summary: ClassVar = (
        "Multiplies two low-rank changes number by number: twice LoRA's size, but up to the square "
        "of its rank. Writes every change out, so it needs more memory while training."
    )
    learning_rate: ClassVar = (5e-4, "a little above LoRA's, as in the LyCORIS guide")

    def trainable(self, model: ModelFacts) -> int:
        """Four matrices per layer."""
        sides = sum(rows + columns for rows, columns in self.adapted(model).values())
        return model.layers * 2 * self.rank * sides

    def peft_config(self) -> LoHaConfig:
        """PEFT's settings for this choice."""
        from peft import LoHaConfig

        return LoHaConfig(**self._shared)


class LoKr(_Lycoris):
    """The Kronecker product of two small matrices (LyCORIS, arXiv 2309.14859)."""

    kind: Literal["lokr"] = "lokr"
    family: ClassVar = "Relatives of LoRA"
    title: ClassVar = "LoKr"
    summary: ClassVar = (
        "Builds every change from one small matrix repeated in a pattern (Kronecker product). Far "
        "fewer numbers than LoRA at a high rank. Writes every change out while training."
    )
    learning_rate: ClassVar = (1e-3, "above LoRA's, as in the LyCORIS guide")
    both: bool = Field(
        False,
        title="Split both parts",
        description="Also build the smaller part from two matrices; even fewer numbers.",
    )
    factor: int = Field(
        -1,
        ge=-1,
        le=128,
        title="Factor",
        description="Size of the smaller part; -1 makes both about equal, which trains fewest "
        "numbers. Usual: -1, or 4 to 16 to learn more.",
    )

    def trainable(self, model: ModelFacts) -> int:
        """Two factors per layer, each whole or of low rank, whichever PEFT builds."""
        return model.layers * sum(map(self._numbers, self.adapted(model).values()))

    def _numbers(self, shape: tuple[int, int]) -> int:
        (few_rows, rows), (few_columns, columns) = (split(side, self.factor) for side in shape)
        low = self.both and self.rank < max(few_rows, few_columns) / 2
        small = self.rank * (few_rows + few_columns) if low else few_rows * few_columns
        narrow = self.rank < max(rows, columns) / 2
        return small + (self.rank * (rows + columns) if narrow else rows * columns)

    def peft_config(self) -> LoKrConfig:
        """PEFT's settings for this choice."""
        from peft import LoKrConfig

        return LoKrConfig(**self._shared, decompose_both=self.both, decompose_factor=self.factor)


def split(side: int, factor: int) -> tuple[int, int]:
    """Two whole numbers whose product is `side`, the smaller first.

    With a factor that divides it the factor is one of them; otherwise the divisors nearest to each
    other whose smaller one does not exceed the factor, -1 for no limit (LyCORIS, factorization).
    """
    if factor > 0 and side % factor == 0:
        return factor, side // factor
    most = side if factor < 1 else factor
    small = max(n for n in range(1, int(side**0.5) + 1) if side % n == 0 and n <= most)
    return small, side // small
