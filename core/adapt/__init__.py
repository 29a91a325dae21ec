"""Every adaptation we offer, in the order the window shows them."""

from typing import Any

from pydantic import ValidationError

from core.adapt.adalora import AdaLora
from core.adapt.base import Adaptation
from core.adapt.bottleneck import Bottleneck
from core.adapt.freeze import Freeze
from core.adapt.full import Full
from core.adapt.ia3 import IA3
from core.adapt.lora import Lora, QLora
from core.adapt.lycoris import LoHa, LoKr
from core.adapt.prompts import PrefixTuning, PromptTuning, PTuning, PTuning2
from core.adapt.rotations import BOFT, OFT
from core.adapt.vera import Vera

ADAPTATIONS: tuple[type[Adaptation], ...] = (
    Lora, QLora, Full, AdaLora, LoHa, LoKr, Vera, OFT, BOFT, IA3, PrefixTuning, PTuning2, PTuning,
    PromptTuning, Bottleneck, Freeze,
)  # fmt: skip


def carried_over(now: Adaptation, kind: type[Adaptation]) -> dict[str, Any]:
    """Another method as plain data, with the settings both have kept where it takes them."""
    plain = now.model_dump(mode="json", exclude={"kind"})
    kept = {name: value for name, value in plain.items() if name in kind.model_fields}
    try:
        kind.model_validate(kept)
    except ValidationError as error:
        wrong = {str(fault["loc"][0]) if fault["loc"] else "" for fault in error.errors()}
        kept = {} if "" in wrong else {n: v for n, v in kept.items() if n not in wrong}
    return kept | {"kind": kind.model_fields["kind"].default}


__all__ = [
    "ADAPTATIONS", "Adaptation", "Bottleneck", "Freeze", "Full", "Lora", "QLora", "carried_over",
]  # fmt: skip
