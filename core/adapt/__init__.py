"""Every adaptation we offer, in the order the window shows them."""

from core.adapt.base import Adaptation
from core.adapt.full import Full
from core.adapt.lora import Lora, QLora

ADAPTATIONS: tuple[type[Adaptation], ...] = (Lora, QLora, Full)

__all__ = ["ADAPTATIONS", "Adaptation", "Full", "Lora", "QLora"]
