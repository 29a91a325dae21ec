"""States divided among several GPUs, and what is moved to the memory of the computer. In bytes.

Sources: ZeRO (Rajbhandari et al. 2020, arXiv 1910.02054) for what each stage divides; DeepSpeed's
docs/code-docs/source/memory.rst for its 2 + 2 + 12 bytes per trained number and buckets of 5e8
numbers; the documentation of PyTorch's DistributedDataParallel (gradients are kept a second time in
buckets); for FSDP, traces of torch's fully_shard (tests/data/memory/shared_traces.csv).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from core.adapt import Adaptation
from core.memory.setup import Setup
from core.memory.states import States, constants
from core.memory.widths import Widths
from core.models import ModelFacts

BUCKET = 500_000_000
"""reduce_bucket_size of DeepSpeed, in numbers."""
GATHERED = 2
"""Layers that are whole at once under ZeRO-3."""


@dataclass(frozen=True, slots=True)
class Units:
    """What FSDP gathers and reduces at once: every layer, and the model around all layers."""

    layer: int
    """Bytes of one layer while it is whole."""
    root: int
    """Embedding and output layer, which stay whole from the first layer to the last gradient."""
    head: int
    """The gradient of the output layer, 0 when it is frozen."""
    trained: int
    """Whole gradients of all that is trained."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one GPU and its part of the host hold."""

    states: States
    gathered: int = 0
    """Whole layers, and buckets of gradients on their way to other GPUs."""
    host: int = 0
    units: Units | None = None
    """What comes and goes in the course of a step."""


def share(
    states: States, model: ModelFacts, adaptation: Adaptation, setup: Setup, width: Widths
) -> Share:
    """The part of one GPU."""
    full = adaptation.trains_base
    if setup.sharding.startswith("zero") and full:
        states = _mixed(states)
    match setup.sharding:
        case "ddp":
            return Share(states, gathered=states.gradients)
        case "zero1":
            return _offloaded(_divided(states, setup.gpus, "optimizer"), setup)
        case "zero2":
            buckets = min(states.gradients, 2 * BUCKET)
            divided = _divided(states, setup.gpus, "optimizer", "gradients")
            return _offloaded(replace(divided, gathered=buckets), setup)
        case "fsdp":
            fixed = round(constants(model, adaptation, setup))
            return _offloaded(_fully_sharded(states, model, setup, width, fixed, full=full), setup)
        case "zero3":
            return _offloaded(_whole_layers(states, model, setup, full=full), setup)
    return _offloaded(Share(states), setup)


def _mixed(states: States) -> States:
    """DeepSpeed computes with 16-bit weights and gradients; 32-bit ones are optimizer states."""
    master = states.weights // 2
    return replace(
        states,
        weights=states.weights - master,
        gradients=states.gradients // 2,
        optimizer=states.optimizer + 2 * master,
    )


def _divided(states: States, gpus: int, *names: str) -> Share:
    names += ("paged",) if "optimizer" in names else ()
    return Share(replace(states, **{name: -(-getattr(states, name) // gpus) for name in names}))


def _fully_sharded(
    states: States, model: ModelFacts, setup: Setup, width: Widths, fixed: int, *, full: bool
) -> Share:
    """Everything is divided but constants of 4-bit weights, which are no parameters."""
    tables = 1 if model.tied else 2
    root = min(model.parameters, tables * model.vocab * model.hidden + model.hidden)
    stored = states.weights - fixed
    layers = max(0, stored - root * width.rest)
    if not fixed:
        layers = layers * width.whole // width.rest
    adapters = states.adapters * (width.low or 4) // 4
    units = Units(
        layer=(layers + adapters) // max(1, model.layers),
        root=root * width.whole,
        head=model.vocab * model.hidden * width.whole * full,
        trained=layers + root * width.whole if full else adapters,
    )
    divided = _divided(
        replace(states, weights=stored),
        setup.gpus, "weights", "adapters", "gradients", "optimizer", "update",
    )  # fmt: skip
    held = replace(divided.states, weights=divided.states.weights + fixed)
    return replace(divided, states=held, units=units)


def _whole_layers(states: States, model: ModelFacts, setup: Setup, *, full: bool) -> Share:
    """Everything is divided but two layers, their gradients, and embedding and output layer."""
    ends = min(1.0, model.vocab * model.hidden * (1 if model.tied else 2) / model.parameters)
    layers = (1 - ends) * GATHERED / max(1, model.layers)
    whole = (states.weights + states.gradients * full) * (layers + ends)
    divided = _divided(
        states, setup.gpus, "weights", "adapters", "gradients", "optimizer", "update"
    )
    return replace(divided, gathered=round(whole) if setup.gpus > 1 or setup.offload else 0)


def _offloaded(shared: Share, setup: Setup) -> Share:
    """Optimizer states go to the host, and with them divided weights; both are worked on there."""
    if not setup.offload:
        return shared
    states = shared.states
    weights = states.weights if setup.sharding in ("zero3", "fsdp") else 0
    kept = replace(states, optimizer=0, update=0, weights=states.weights - weights)
    return replace(shared, states=kept, host=states.optimizer + weights)
