"""Memory that does not depend on rows: weights, adapters, gradients, optimizer states. In bytes."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from core.adapt import Adaptation
from core.memory.setup import Setup
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
    paged: int = 0
    """Optimizer states that the driver moves to the memory of the computer."""


def count_states(model: ModelFacts, adaptation: Adaptation, setup: Setup, width: Widths) -> States:
    """The states of one step on one device."""
    trained = adaptation.trainable(model)
    extra = 4 * adaptation.frozen(model)
    full = adaptation.trains_base
    gradients = trained * width.trained
    kind, plain = setup.optimizer, setup.optimizer.removeprefix("paged_")
    count = functools.partial(
        optimizer_states, model, adaptation, trained, width=width.trained, rank=setup.directions
    )
    kept = round(count(kind))
    return States(
        weights=weights(model, adaptation, setup, width),
        adapters=0 if full else gradients + extra,
        gradients=gradients,
        optimizer=kept,
        update=_update(model, setup, gradients, full=full),
        paged=round(count(plain)) - kept,
    )


def weights(model: ModelFacts, adaptation: Adaptation, setup: Setup, width: Widths) -> int:
    """The model itself; only linear layers are quantised, never embeddings or experts."""
    linear = linear_numbers(model)
    rest = (model.parameters - linear) * width.rest
    if not adaptation.quantised:
        return linear * width.linear + rest - _kept_narrow(model, adaptation, setup)
    packed = linear if adaptation.stored == "int8" else linear / 2
    return round(packed + constants(model, adaptation, setup)) + rest


def _kept_narrow(model: ModelFacts, adaptation: Adaptation, setup: Setup) -> int:
    """Of a partly trained model only what is trained is raised to 32 bits, if it has 16 on disk."""
    narrow = setup.cuda and setup.dtype != "fp32" and model.stored == "bf16"
    if not (adaptation.partly and narrow and setup.engine == "trl"):
        return 0
    return 2 * (model.parameters - adaptation.trainable(model))


def constants(model: ModelFacts, adaptation: Adaptation, setup: Setup) -> float:
    """Scales of the 4-bit blocks; each has 32 bits, or 8 and a share of a scale of its own.

    Of 8-bit layers each row has one (LLM.int8, arXiv 2208.07339).
    """
    if not adaptation.quantised:
        return 0
    if adaptation.stored == "int8":
        return 4 * model.layers * sum(rows for rows, _ in model.linear.values())
    nested = getattr(adaptation, "double_quantisation", True) and setup.double_quant
    return linear_numbers(model) * (1 + 4 / NESTED_BLOCK if nested else 4) / BLOCK


def linear_numbers(model: ModelFacts) -> int:
    """Numbers in the linear layers of all layers."""
    return model.layers * sum(rows * columns for rows, columns in model.linear.values())


def optimizer_states(
    model: ModelFacts, adaptation: Adaptation, trained: int, kind: str, width: int, rank: int = 1
) -> float:
    """Bytes that an optimizer keeps for all `trained` numbers of `width` bytes.

    Sources: torch.optim.AdamW keeps two states in the format of the weight, Muon one for matrices
    inside of the layers and two as AdamW for the rest; bitsandbytes two (AdamW) or one (Lion), of 8
    bits with a constant per block, but of 32 for embeddings, and pages large states out of what
    torch counts; Adafactor (Shazeer and Stern 2018, arXiv 1804.04235) keeps a row and a column of
    sums per matrix. GaLore and APOLLO keep AdamW's two in `rank` directions of the matrices inside
    of the layers, GaLore also the directions (core.engine.projected).
    """
    full = adaptation.trains_base
    table = model.vocab * model.hidden if adaptation.trains_embeddings(model) else 0
    renewed = adaptation.renews(model) / model.layers
    matrices = round(linear_numbers(model) * renewed) if full else trained
    constant = 4 / STATE_BLOCK
    match kind:
        case "adamw" | "adamw_foreach":
            return 2 * width * trained
        case "adamw_8bit":
            return 2 * ((1 + constant) * (trained - table) + 4 * table)
        case "paged_adamw_8bit":
            return 2 * constant * (trained - table)
        case "lion":
            return 4 * trained
        case "lion_8bit":
            return (1 + constant) * (trained - table) + 4 * table
        case "muon":
            return width * (2 * trained - matrices)
        case "galore_adamw" | "apollo_adamw" | "apollo_mini" if full:
            return width * (2 * (trained - matrices) + renewed * _in_directions(model, kind, rank))
    return 0


def _in_directions(model: ModelFacts, kind: str, rank: int) -> int:
    """Numbers that are kept of the matrices inside of the layers."""
    sides = [sorted(sides) for sides in model.linear.values()]
    few = [min(1 if kind == "apollo_mini" else rank, short) for short, _ in sides]
    basis = kind == "galore_adamw"
    return model.layers * sum(
        n * (2 * long + basis * short) for n, (short, long) in zip(few, sides, strict=True)
    )


def _update(model: ModelFacts, setup: Setup, gradients: int, *, full: bool) -> int:
    """Foreach makes a list as large as the gradients, Adafactor two matrices at a time; Muon a step
    in 32 bits and two in 16 (torch.optim._muon), and two products over the shorter side; GaLore the
    eigenvectors of such a product, with room to work in, APOLLO three matrices."""
    largest = model.vocab * model.hidden * 4 if full else 0
    match setup.optimizer:
        case "adamw_foreach":
            return gradients
        case "adafactor":
            return 2 * largest
        case "muon" if full:
            return max(8 * a * b + 4 * min(a, b) ** 2 for a, b in model.linear.values())
        case "galore_adamw" if full:
            return max(max(8 * a * b, 16 * min(a, b) ** 2) for a, b in model.linear.values())
        case "apollo_adamw" | "apollo_mini" if full:
            return max(12 * a * b for a, b in model.linear.values())
    return 0
