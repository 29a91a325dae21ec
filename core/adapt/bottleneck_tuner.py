"""Bottleneck adapters as a type of PEFT's, so that its saving, loading and switching off apply.

Loads torch and PEFT; import it inside of functions that only the engine calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from peft.config import PeftConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils import PeftType, register_peft_method
from torch import nn

NAME = "BOTTLENECK"
ACTIVATIONS = {
    "relu": nn.functional.relu, "gelu": nn.functional.gelu, "silu": nn.functional.silu,
}  # fmt: skip


@dataclass
class BottleneckConfig(PeftConfig):  # type: ignore[misc]
    """What is saved beside the weights of an adapter."""

    size: int = 64
    activation: str = "relu"
    target_modules: str = ""
    """A pattern that the full names of adapted parts match."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType(NAME)


class BottleneckLayer(nn.Module, BaseTunerLayer):  # type: ignore[misc]
    """A part of a layer and its adapters: h + up(activation(down(h)))."""

    adapter_layer_names = ("bottleneck_down", "bottleneck_up")

    def __init__(self, base_layer: nn.Module, hidden: int) -> None:
        super().__init__()
        self.base_layer, self.hidden = base_layer, hidden
        self.bottleneck_down, self.bottleneck_up = nn.ModuleDict(), nn.ModuleDict()
        self.activations: dict[str, str] = {}

    def add(self, name: str, config: BottleneckConfig) -> None:
        """One more adapter, in 32 bits; it changes nothing before it has learned."""
        down = nn.Linear(self.hidden, config.size, dtype=torch.float32)
        up = nn.Linear(config.size, self.hidden, dtype=torch.float32)
        nn.init.zeros_(down.bias)
        nn.init.zeros_(up.weight)
        nn.init.zeros_(up.bias)
        self.bottleneck_down[name], self.bottleneck_up[name] = down, up
        self.activations[name] = config.activation
        self._move_to_base(name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def _move_to_base(self, name: str) -> None:
        """The parts of a layer have no weight of their own, by which PEFT would find the device."""
        device = next(self.base_layer.parameters()).device
        if torch.device("meta") in (device, self.bottleneck_up[name].weight.device):
            return
        self.bottleneck_down[name].to(device)
        self.bottleneck_up[name].to(device)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Attention gives its weights beside its result; they pass by."""
        found = self.base_layer(*inputs, **named)
        if self.disable_adapters:
            return found
        if isinstance(found, tuple):
            return self._adapt(found[0]), *found[1:]
        return self._adapt(found)

    def _adapt(self, hidden: torch.Tensor) -> torch.Tensor:
        for name in self.active_adapters:
            if name in self.bottleneck_down:
                hidden = hidden + self._change(name, hidden).to(hidden.dtype)
        return hidden

    def _change(self, name: str, hidden: torch.Tensor) -> torch.Tensor:
        down, up = self.bottleneck_down[name], self.bottleneck_up[name]
        if not torch.is_autocast_enabled(hidden.device.type):  # it converts inputs itself
            hidden = hidden.to(down.weight.dtype)
        changed: torch.Tensor = up(ACTIVATIONS[self.activations[name]](down(hidden)))
        return changed

    def merge(self, *_: Any, **__: Any) -> None:
        """Impossible: what is not linear is no part of a matrix."""
        raise NotImplementedError("Bottleneck adapters are not linear and cannot be merged.")

    unmerge = merge


class BottleneckModel(BaseTuner):  # type: ignore[misc]
    """A model with bottleneck adapters."""

    prefix = "bottleneck_"
    tuner_layer_cls = BottleneckLayer
    target_module_mapping: dict[str, list[str]] = {}  # noqa: RUF012 - PEFT's own declaration

    def _create_and_replace(
        self,
        peft_config: BottleneckConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
    ) -> None:
        """Called by PEFT for every part that the pattern matches."""
        if isinstance(target, BottleneckLayer):
            target.add(adapter_name, peft_config)
            return
        layer = BottleneckLayer(target, self.model.config.get_text_config().hidden_size)
        layer.set_adapter(self.active_adapters)
        layer.add(adapter_name, peft_config)
        self._replace_module(parent, target_name, layer, target)


def register() -> None:
    """Make the type known to PEFT once; its types are an Enum, which has to get a member."""
    if NAME not in PeftType.__members__:
        _add_member()
    if PeftType(NAME) not in PEFT_TYPE_TO_CONFIG_MAPPING:
        register_peft_method(
            name=NAME.lower(), config_cls=BottleneckConfig, model_cls=BottleneckModel
        )


def _add_member() -> None:
    """What the making of an Enum does for each member; a closed Enum has no public way to."""
    member = str.__new__(PeftType, NAME)
    member._name_, member._value_ = NAME, NAME
    setattr(PeftType, NAME, member)  # before it is a member, which may not be set again
    PeftType._member_names_.append(NAME)
    PeftType._member_map_[NAME] = member
    PeftType._value2member_map_[NAME] = member
