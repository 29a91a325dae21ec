"""Which linear layers an adapter sits on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from core.adapt.base import Adaptation
from core.models import ModelFacts
from core.value import EXPERT

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")


class OnLinear(Adaptation):
    """An adaptation beside or inside of linear layers."""

    targets: Literal["all-linear", "attention", "custom"] = Field(
        "all-linear",
        title="Layers",
        description="Which linear layers get an adapter. All of them learns best at equal rank "
        "(QLoRA paper, arXiv 2305.14314); attention only is smaller; custom takes the names below.",
    )
    modules: tuple[str, ...] = Field(
        (),
        title="Names of layers",
        description="For custom layers, one name a line, such as q_proj and v_proj (the LoRA "
        "paper's choice) or down_proj. The plan says which names the model knows.",
        json_schema_extra=EXPERT,
    )

    def adapted(self, model: ModelFacts) -> dict[str, tuple[int, int]]:
        """All, those of attention, or those that are named."""
        if self.targets == "all-linear":
            return dict(model.linear)
        names = ATTENTION if self.targets == "attention" else self.modules
        return {name: shape for name, shape in model.linear.items() if name in names}

    @property
    def target_modules(self) -> str | list[str]:
        """The same in PEFT's words."""
        if self.targets == "all-linear":
            return "all-linear"
        return list(ATTENTION if self.targets == "attention" else self.modules)
