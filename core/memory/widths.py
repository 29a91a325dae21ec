"""Bytes per number in each part of a step: the formats that an engine mixes."""

from __future__ import annotations

from dataclasses import dataclass

from core.adapt import Adaptation
from core.memory.setup import Setup


@dataclass(frozen=True, slots=True)
class Widths:
    """Bytes per number; 0 where something does not exist."""

    linear: int
    """Weights of linear layers, unless they are stored in 4 bits."""
    rest: int
    """Embedding, norms and output layer."""
    whole: int
    """The same while layers compute with them; FSDP gathers weights in 16 bits."""
    trained: int
    """Weights that are trained, and their gradients."""
    stream: int
    """The sum that runs through all layers, and what a norm makes of it."""
    math: int
    """Results of matrix products."""
    copy: int
    """The copy that each adapter makes of its input; 0 when adapters share what is there."""
    low: int
    """The narrow result between the two matrices of an adapter."""
    cast: int
    """Copies of 32-bit trained weights that autocast keeps until backward has used them."""


def widths(adaptation: Adaptation, setup: Setup) -> Widths:
    """The formats of our engine (autocast over a 16-bit base) or of a plain loop.

    Sources: autocast casts weights once and inputs at every call (aten/src/ATen/autocast_mode.cpp);
    adapters of PEFT have 32 bits and convert their input, except on bitsandbytes layers under
    autocast (peft/tuners/lora/layer.py and bnb.py); prepare_model_for_kbit_training raises all
    that is not quantised (peft/utils/other.py).
    """
    half = setup.cuda and setup.dtype != "fp32"
    gathered = half and setup.sharding == "fsdp"
    autocast = half and setup.engine == "trl"
    full = adaptation.trains_base
    plain = 2 if half and not (full and autocast) else 4
    rest = 4 if setup.kbit_prepare else plain
    whole = 2 if gathered else rest
    math = 2 if autocast else whole
    return Widths(
        linear=plain if adaptation.quantised else rest,
        rest=rest,
        whole=whole,
        trained=plain if full else 4,
        stream=whole,
        math=math,
        copy=0 if gathered else _copy(adaptation, autocast=autocast, stream=whole),
        low=0 if full else 2 if autocast or gathered else 4,
        cast=2 if autocast and not gathered else 0,
    )


def _copy(adaptation: Adaptation, *, autocast: bool, stream: int) -> int:
    if adaptation.trains_base or (autocast and adaptation.quantised):
        return 0
    if autocast:
        return 2
    return 4 if stream == 2 else 0
