"""Optimizers as far as memory is concerned: torch's own on meta, bitsandbytes' by its book."""

from __future__ import annotations

from typing import Any

import torch
from transformers import Adafactor

from core.memory.setup import Optimizer

BLOCK = 256
"""Numbers per quantisation constant of an 8-bit state (bitsandbytes/optim/optimizer.py)."""
SMALLEST_8BIT = 4096
"""min_8bit_size of bitsandbytes: smaller tensors keep 32-bit states."""
SMALLEST_PAGED = 100_000
"""get_state_buffer of bitsandbytes: smaller states are not paged."""


def make_optimizer(kind: Optimizer, parameters: list[torch.Tensor], *, cuda: bool) -> Any:
    """What `step` asks for equals what the optimizer of that name asks for on the device."""
    match kind:
        case "adamw" if not cuda:
            return torch.optim.AdamW(parameters, foreach=False)
        case "adamw":
            return torch.optim.AdamW(parameters, fused=True)
        case "adamw_foreach":
            return torch.optim.AdamW(parameters, foreach=True)
        case "sgd":
            return torch.optim.SGD(parameters, lr=1e-3, foreach=True)
        case "adafactor":
            return Adafactor(parameters, lr=1e-3, scale_parameter=False, relative_step=False)
    return BitsAndBytesAdam(parameters, bits8=kind.endswith("8bit"), paged="paged" in kind)


class BitsAndBytesAdam(torch.optim.Optimizer):  # type: ignore[misc]
    """States of bitsandbytes' AdamW; paged ones are in managed memory that torch does not count."""

    def __init__(self, parameters: list[torch.Tensor], *, bits8: bool, paged: bool) -> None:
        super().__init__(parameters, {})
        self._bits8, self._paged = bits8, paged
        self._maps: list[torch.Tensor] = []

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self) -> None:
        """Create what is missing; updating needs no memory of its own."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter not in self.state:
                    self.state[parameter] = {"states": self._states(parameter)}

    def _states(self, parameter: torch.Tensor) -> list[torch.Tensor]:
        count, device = parameter.numel(), parameter.device
        small = self._bits8 and count < SMALLEST_8BIT
        dtype = torch.uint8 if self._bits8 and not small else torch.float32
        states = []
        if not self._paged or count < SMALLEST_PAGED:
            states = [torch.zeros(count, dtype=dtype, device=device) for _ in range(2)]
        if dtype == torch.uint8:
            if not self._maps:
                self._maps = [torch.empty(256, device=device) for _ in range(2)]
            states += [torch.zeros(-(-count // BLOCK), device=device) for _ in range(2)]
        return states
