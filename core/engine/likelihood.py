"""How likely a model finds answers, and how well it tells better from worse ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from core.engine.encode import Progress, Row
from core.engine.score import row_losses


def likelihoods(
    model: Any, rows: Sequence[Row], length: int, pad: int, progress: Progress | None = None
) -> torch.Tensor:
    """Log-likelihood of each row's trained tokens, and their number. Shape: rows x 2."""
    found = row_losses(model, rows, length, pad, progress)
    return torch.tensor(found, dtype=torch.float64) * torch.tensor([-1.0, 1.0], dtype=torch.float64)


def ranked(better: torch.Tensor, worse: torch.Tensor) -> dict[str, float]:
    """Accuracy and margin of better answers over worse ones, as core.metrics has them."""
    margins = better - worse
    preferred = (margins > 0).double() + (margins == 0).double() / 2
    return {"accuracy": preferred.mean().item(), "margin": margins.double().mean().item()}
