"""Every adaptation we offer, in the order the window shows them."""

from core.adapt.base import Adaptation
from core.adapt.bottleneck import Bottleneck
from core.adapt.freeze import Freeze
from core.adapt.full import Full
from core.adapt.lora import Lora, QLora

ADAPTATIONS: tuple[type[Adaptation], ...] = (Lora, QLora, Full, Bottleneck, Freeze)

__all__ = ["ADAPTATIONS", "Adaptation", "Bottleneck", "Freeze", "Full", "Lora", "QLora"]
