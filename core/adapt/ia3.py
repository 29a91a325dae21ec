"""IA3: scales of keys, values and the feed-forward part (Liu et al. 2022, arXiv 2205.05638)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from core.adapt.base import Adaptation
from core.adapt.storage import base_field, quantisation
from core.models import ModelFacts

if TYPE_CHECKING:
    from peft import IA3Config
    from transformers import BitsAndBytesConfig

SCALED = ("k_proj", "v_proj", "down_proj")
"""Keys and values by their outputs, the feed-forward part by the inputs of its last layer."""
FEED_FORWARD = SCALED[2]


class IA3(Adaptation):
    """Trains one number per key, value and inner feature of every layer."""

    kind: Literal["ia3"] = "ia3"
    family: ClassVar = "Small inserts"
    title: ClassVar = "IA3"
    summary: ClassVar = (
        "Scales keys, values and inner features; nothing else. Some hundred thousand numbers even "
        "for large models, so it learns formats and small tasks, little else."
    )
    learning_rate: ClassVar = (3e-3, "3e-3, as in the IA3 paper, section 3.3")
    base: Literal["own", "nf4", "int8"] = base_field()

    def adapted(self, model: ModelFacts) -> dict[str, tuple[int, int]]:
        """Three layers."""
        return {name: shape for name, shape in model.linear.items() if name in SCALED}

    def trainable(self, model: ModelFacts) -> int:
        """A number per output, and one per input of the last feed-forward layer."""
        shapes = self.adapted(model).items()
        return model.layers * sum(shape[name == FEED_FORWARD] for name, shape in shapes)

    def kept(self, model: ModelFacts, tokens: int) -> int:
        """What is scaled."""
        shapes = self.adapted(model).items()
        return tokens * sum(shape[name == FEED_FORWARD] for name, shape in shapes)

    def quantisation(self) -> BitsAndBytesConfig | None:
        """PEFT hands 32-bit numbers to 4-bit layers, which must therefore compute in 32 bits."""
        return quantisation(self.base, compute="fp32")

    def peft_config(self) -> IA3Config:
        """PEFT's settings for this choice."""
        from peft import IA3Config

        return IA3Config(
            target_modules=list(SCALED), feedforward_modules=[FEED_FORWARD], task_type="CAUSAL_LM"
        )
