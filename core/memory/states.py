"""Memory that does not depend on rows: weights, adapters, gradients, optimizer states. In bytes."""

from __future__ import annotations

from dataclasses import dataclass

from core.adapt import Adaptation
from core.memory.setup import Optimizer, Setup
from core.memory.widths import Widths
from core.models import ModelFacts

BLOCK, NESTED_BLOCK = 64, 256
"""Weights per constant of NF4, and constants per constant of double quantisation (QLoRA paper,
arXiv 2305.14314)."""
STATE_BLOCK = 256
"""Numbers per constant of an 8-bit optimizer state (bitsandbytes/optim/optimizer.py)."""


@dataclass(frozen=True, slots=True)
class States:
    """What stays on the device from step to step, and what an optimizer step adds."""

    weights: int
    """Frozen weights, or all of them when they are trained."""
    adapters: int
    gradients: int
    optimizer: int
    update: int
    """Beside gradients, while the optimizer works."""


def count_states(model: ModelFacts, adaptation: Adaptation, setup: Setup, width: Widths) -> States:
    """The states of one step on one device."""
    trained = adaptation.trainable(model)
    full = adaptation.trains_base
    gradients = trained * width.trained
    return States(
        weights=weights(model, adaptation, setup, width),
        adapters=0 if full else gradients,
        gradients=gradients,
        optimizer=round(trained * state_bytes(setup.optimizer, width.trained)),
        update=_update(model, setup.optimizer, gradients, full=full),
    )


def weights(model: ModelFacts, adaptation: Adaptation, setup: Setup, width: Widths) -> int:
    """The model itself; only linear layers are stored in 4 bits, never embeddings or experts."""
    linear = linear_numbers(model)
    rest = (model.parameters - linear) * width.rest
    if not adaptation.quantised:
        return linear * width.linear + rest - _kept_narrow(model, adaptation, setup)
    return round(linear / 2 + constants(model, adaptation, setup)) + rest


def _kept_narrow(model: ModelFacts, adaptation: Adaptation, setup: Setup) -> int:
    """Of a partly trained model only what is trained is raised to 32 bits, if it has 16 on disk."""
    narrow = setup.cuda and setup.dtype != "fp32" and model.stored == "bf16"
    if not (adaptation.partly and narrow and setup.engine == "trl"):
        return 0
    return 2 * (model.parameters - adaptation.trainable(model))


def constants(model: ModelFacts, adaptation: Adaptation, setup: Setup) -> float:
    """Scales of the 4-bit blocks; each has 32 bits, or 8 and a share of a scale of its own."""
    if not adaptation.quantised:
        return 0
    nested = getattr(adaptation, "double_quantisation", True) and setup.double_quant
    return linear_numbers(model) * (1 + 4 / NESTED_BLOCK if nested else 4) / BLOCK


def linear_numbers(model: ModelFacts) -> int:
    """Numbers in the linear layers of all layers."""
    return model.layers * sum(rows * columns for rows, columns in model.linear.values())


def state_bytes(optimizer: Optimizer, width: int) -> float:
    """Bytes that an optimizer keeps per trained number of `width` bytes.

    Sources: torch.optim.AdamW keeps two states in the format of the weight; bitsandbytes two of
    8 bits with a constant per block, and pages large states out of what torch counts; Adafactor
    (Shazeer and Stern 2018, arXiv 1804.04235) keeps a row and a column of sums per matrix.
    """
    constants = 2 * 4 / STATE_BLOCK
    match optimizer:
        case "adamw" | "adamw_foreach":
            return 2 * width
        case "adamw_8bit":
            return 2 + constants
        case "paged_adamw_8bit":
            return constants
    return 0


def _update(model: ModelFacts, optimizer: Optimizer, gradients: int, *, full: bool) -> int:
    """Foreach makes a list as large as the gradients, Adafactor two matrices at a time."""
    largest = model.vocab * model.hidden * 4 if full else 0
    if optimizer == "adamw_foreach":
        return gradients
    return 2 * largest if optimizer == "adafactor" else 0
