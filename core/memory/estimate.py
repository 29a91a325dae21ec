"""A closed-form estimate of training memory.

Sources: activations of a transformer layer from Korthikanti et al. 2022 (arXiv 2205.05198,
equation 2, without the attention scores that fused attention never stores); 4-bit storage from
Dettmers et al. 2023 (arXiv 2305.14314, 0.127 bits of constants per weight with double
quantisation, 0.5 without); Adam keeps two 32-bit states per trained weight.
"""

from __future__ import annotations

from core.adapt import Adaptation
from core.models import ModelFacts
from core.value import Value

CUDA_CONTEXT = 800_000_000
"""What the driver takes for itself: 0.4 to 0.9 GB on current cards."""
ENGINE_HOST = 1_100_000_000
"""Resident memory of the training libraries on the host."""
LOGIT_TILE = 32_768
"""The fused output layer works on this many vocabulary entries at a time."""


class Item(Value):
    """One part of the memory bill, in bytes."""

    name: str
    bytes: int
    note: str = ""


class Load(Value):
    """What is on the device at once."""

    cuda: bool
    bf16: bool
    rows: int
    length: int
    """Tokens per row after padding."""
    checkpointing: bool = False


def estimate(model: ModelFacts, adaptation: Adaptation, load: Load) -> tuple[Item, ...]:
    """The bill for one training step, largest surprises included. Shapes from `model` alone."""
    width = 2 if load.bf16 else 4
    trained = adaptation.trainable(model)
    return (
        Item(name="Weights", bytes=_weights(model, adaptation, width), note=_storage(adaptation)),
        Item(name=_trained_name(adaptation), bytes=trained * 16, note="weights, gradients, Adam"),
        Item(name="Activations", bytes=_activations(model, load, width), note=_shape(load)),
        Item(name="Output layer", bytes=_output(model, load), note="one vocabulary tile"),
        Item(
            name="Driver and libraries",
            bytes=CUDA_CONTEXT if load.cuda else ENGINE_HOST,
            note="context and allocator slack" if load.cuda else "imported libraries",
        ),
    )


def _weights(model: ModelFacts, adaptation: Adaptation, width: int) -> int:
    """Frozen weights; fully trained ones are billed with their optimizer instead."""
    if adaptation.kind == "full":
        return 0
    if not adaptation.quantised:
        return model.parameters * width
    linear = model.layers * sum(rows * columns for rows, columns in model.linear.values())
    bits = 4.127 if getattr(adaptation, "double_quantisation", True) else 4.5
    return round(linear * bits / 8) + (model.parameters - linear) * width


def _storage(adaptation: Adaptation) -> str:
    return "4-bit NF4" if adaptation.quantised else "frozen"


def _trained_name(adaptation: Adaptation) -> str:
    return "Model and optimizer" if adaptation.kind == "full" else "Adapter and optimizer"


def _shape(load: Load) -> str:
    saved = ", recomputed" if load.checkpointing else ""
    return f"{load.rows} x {load.length:,} tokens{saved}"


def _activations(model: ModelFacts, load: Load, width: int) -> int:
    """34 bytes per token, hidden unit and layer at 16 bits, scaled to the feed-forward width."""
    tokens = load.rows * load.length
    feed_forward = 3 * model.intermediate / max(1, model.hidden)
    layer = round(tokens * model.hidden * (18 + 5 * feed_forward / 3) * width / 2)
    if not load.checkpointing:
        return layer * model.layers
    return tokens * model.hidden * width * model.layers + layer


def _output(model: ModelFacts, load: Load) -> int:
    """Log-probabilities in 32-bit tiles, value and gradient."""
    return load.rows * load.length * min(model.vocab, LOGIT_TILE) * 8
