"""What stays for the whole run: weights, what is trained, gradients and optimizer states.

Sources: 4-bit storage from bitsandbytes' QuantState (blocks of 64; absmax in 32 bits, or in 8 bits
with a second level of blocks of 256); 8-bit Adam from Dettmers et al. 2022 (arXiv 2110.02861);
what stays in 16 or 32 bits from peft/utils/other.py, prepare_model_for_kbit_training.
"""

from __future__ import annotations

from typing import NamedTuple

from core.adapt import Adaptation
from core.memory.setup import Dtype, Optimizer, Setup
from core.models import ModelFacts

WIDTH: dict[Dtype, int] = {"bf16": 2, "fp16": 2, "fp32": 4}
"""Bytes per number."""
_ADAM_8BIT = 2 * (1 + 4 / 256)
_STATES: dict[Optimizer, float] = {
    "adamw_8bit": _ADAM_8BIT, "paged_adamw": 0, "paged_adamw_8bit": 0, "adafactor": 0.01, "sgd": 0,
}  # fmt: skip
"""Bytes of state per trained number; paged states live where the driver puts them."""


class States(NamedTuple):
    """Bytes that are there at every moment, or grow once."""

    weights: int
    """Frozen ones; all of them when all are trained."""
    adapters: int
    gradients: int
    optimizer: int
    spare: int
    """What the optimizer's own step needs beside its states."""


def compute_width(setup: Setup) -> int:
    """Bytes per number in matrix products."""
    return WIDTH[setup.dtype] if setup.cuda else 4


def trained_width(adaptation: Adaptation, setup: Setup) -> int:
    """Bytes per trained number: 32 bits, except where a plain loop trains the base as it is."""
    plain = setup.engine == "plain" and adaptation.kind == "full"
    return compute_width(setup) if plain else 4


def stream_width(adaptation: Adaptation, setup: Setup) -> int:
    """Bytes per number of the residual stream: that of the embedding it starts from."""
    if adaptation.kind == "full":
        return trained_width(adaptation, setup)
    raised = adaptation.quantised and setup.kbit_prepare
    return 4 if raised else compute_width(setup)


def states(model: ModelFacts, adaptation: Adaptation, setup: Setup) -> States:
    """Every lasting item of a step on one device."""
    trained, width = adaptation.trainable(model), trained_width(adaptation, setup)
    full = adaptation.kind == "full"
    return States(
        weights=trained * width if full else frozen_weights(model, adaptation, setup),
        adapters=0 if full else trained * width,
        gradients=trained * width,
        optimizer=round(trained * _STATES.get(setup.optimizer, 2 * width)),
        spare=trained * width if setup.optimizer == "adamw_foreach" else 0,
    )


def linear_numbers(model: ModelFacts) -> int:
    """Weights of linear layers inside the stack, all of which 4-bit storage covers."""
    return model.layers * sum(rows * columns for rows, columns in model.linear.values())


def frozen_weights(model: ModelFacts, adaptation: Adaptation, setup: Setup) -> int:
    """Bytes of a base that is not trained, quantised or not."""
    if not adaptation.quantised:
        return model.parameters * compute_width(setup)
    linear = linear_numbers(model)
    absmax = (1 + 4 / 256) / 64 if double_quantised(adaptation, setup) else 4 / 64
    rest = (model.parameters - linear) * stream_width(adaptation, setup)
    return round(linear * (0.5 + absmax)) + rest


def double_quantised(adaptation: Adaptation, setup: Setup) -> bool:
    """Whether the constants of 4-bit storage are quantised again."""
    return setup.double_quant and bool(getattr(adaptation, "double_quantisation", True))
