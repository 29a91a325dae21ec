"""Optimizers as far as memory is concerned: torch's own on meta, bitsandbytes' by its book."""

from __future__ import annotations

from typing import Any

import torch
from transformers import Adafactor

from core.engine.optimizers import MuonAndAdamW
from core.memory.setup import Optimizer

BLOCK = 256
"""Numbers per quantisation constant of an 8-bit state (bitsandbytes/optim/optimizer.py)."""
SMALLEST_8BIT = 4096
"""min_8bit_size of bitsandbytes: smaller tensors keep 32-bit states."""
SMALLEST_PAGED = 100_000
"""get_state_buffer of bitsandbytes: smaller states are not paged."""


def make_optimizer(
    kind: Optimizer, model: Any, parameters: list[torch.Tensor], *, cuda: bool
) -> Any:
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
        case "muon":
            adamw = {"lr": 1e-3, "fused": True} if cuda else {"lr": 1e-3, "foreach": False}
            return MuonAndAdamW(model, lambda name: True, 0.0, **adamw)
    return BitsAndBytes(kind, model, parameters)


class BitsAndBytes(torch.optim.Optimizer):  # type: ignore[misc]
    """States of bitsandbytes' AdamW and Lion; paged ones are in managed memory that torch does not
    count. Trainer keeps states of embeddings in 32 bits (transformers/trainer.py)."""

    def __init__(self, kind: Optimizer, model: Any, parameters: list[torch.Tensor]) -> None:
        super().__init__(parameters, {})
        self._bits8, self._paged = kind.endswith("8bit"), "paged" in kind
        self._count = 1 if kind.startswith("lion") else 2
        self._wide = {
            id(table.weight) for table in model.modules() if isinstance(table, torch.nn.Embedding)
        }
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
        wide = count < SMALLEST_8BIT or id(parameter) in self._wide
        dtype = torch.uint8 if self._bits8 and not wide else torch.float32
        states = []
        if not self._paged or count < SMALLEST_PAGED:
            states = [torch.zeros(count, dtype=dtype, device=device) for _ in range(self._count)]
        if dtype == torch.uint8:
            if not self._maps:
                self._maps = [torch.empty(256, device=device) for _ in range(self._count)]
            blocks = -(-count // BLOCK)
            states += [torch.zeros(blocks, device=device) for _ in range(self._count)]
        return states
