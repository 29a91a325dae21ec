"""The value of what was written so far: one number per token, read off the policy's last layer.

Policy and values share one trunk, as in Schulman et al. 2017 (arXiv 1707.06347, section 5); the
head is trained along, saved with every checkpoint, and no part of the finished model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model

FILE = "value_head.safetensors"


class ValueHead(torch.nn.Module):  # type: ignore[misc]
    """A linear layer in 32 bits that begins at 0: no state is worth more than another."""

    def __init__(self, width: int, device: torch.device) -> None:
        super().__init__()
        self.line = torch.nn.Linear(width, 1, device=device)
        torch.nn.init.zeros_(self.line.weight)
        torch.nn.init.zeros_(self.line.bias)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Values of rows x tokens; sixteen bits would round a reward of 100 by half."""
        with torch.autocast(hidden.device.type, enabled=False):
            values: torch.Tensor = self.line(hidden.float()).squeeze(-1)
        return values

    def save(self, folder: Path) -> None:
        """Beside the other files of a checkpoint."""
        save_model(self, str(folder / FILE))

    def restore(self, folder: Path) -> None:
        """Raises OSError when the checkpoint has none."""
        load_model(self, folder / FILE)


def head_for(model: Any) -> ValueHead:
    """A new head as wide as what the model's output layer reads."""
    return ValueHead(model.config.get_text_config().hidden_size, model.device)


@contextmanager
def overheard(model: Any) -> Iterator[list[torch.Tensor]]:
    """What the output layer is given while the block runs: the last hidden states."""
    caught: list[torch.Tensor] = []

    def listen(_module: Any, given: tuple[torch.Tensor, ...]) -> None:
        caught.append(given[0])

    hook = model.get_output_embeddings().register_forward_pre_hook(listen)
    try:
        yield caught
    finally:
        hook.remove()
