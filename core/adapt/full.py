"""Full fine-tuning: every weight of the model is trained."""

from typing import ClassVar, Literal

from core.adapt.base import Adaptation
from core.models import ModelFacts


class Full(Adaptation):
    """Train all weights."""

    kind: Literal["full"] = "full"
    title: ClassVar = "Full fine-tuning"
    summary: ClassVar = (
        "Trains every weight. Learns most, forgets most, and needs about 16 bytes per parameter."
    )
    trains_base: ClassVar = True
    learning_rate: ClassVar = (2e-5, "usual range 1e-5 to 5e-5 for full fine-tuning")

    @property
    def traced(self) -> bool:
        """In full."""
        return True

    def trainable(self, model: ModelFacts) -> int:
        """Every parameter of the model."""
        return model.parameters
