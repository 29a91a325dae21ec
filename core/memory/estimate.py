"""A closed-form bill of one training step, quick enough to follow a slider."""

from __future__ import annotations

from core.adapt import Adaptation
from core.memory.bill import Bill, Item, Phase
from core.memory.layers import checkpoints, layer, working
from core.memory.loss import final_norm, loss
from core.memory.setup import Setup
from core.memory.states import States, compute_width, linear_numbers, states
from core.models import ModelFacts

CONTEXT = 480_000_000
"""Driver's context in bytes: 141 MiB on a T4 to 0.5 GiB on current cards."""
ENGINE_HOST = 1_100_000_000
"""Resident memory of the training libraries on the host, in bytes."""
WORKSPACE = 2 * 8_519_680
"""One cuBLAS workspace for the thread of the forward pass and one for the backward pass."""
DENSE_BAND, ROUGH_BAND, HOST_BAND = 0.1, 0.15, 0.3
"""Sharded steps and memory of the host were not compared with measurements."""
SLACK = {"lora": 0.02, "qlora": 0.04, "full": 0.03}
"""Reserved beyond allocated with expandable segments, by adaptation, from replayed traces."""
PLAIN_SLACK = {"lora": 0.07, "qlora": 0.15, "full": 0.1}
"""The same where the allocator is left as it is: means of fitcheck-llm's measurements on a T4."""
EAGER_SLACK = 0.06
"""Added by the score matrices of eager attention in such a loop."""


def estimate(
    model: ModelFacts, adaptation: Adaptation, setup: Setup, context: int = CONTEXT
) -> Bill:
    """The bill at the worst moment of a step; `context` is what the driver takes, in bytes."""
    lasting = states(model, adaptation, setup)
    moments = _moments(model, adaptation, setup, lasting)
    phase = max(moments, key=lambda name: sum(moments[name].values()))
    items = _lasting_items(adaptation, lasting) + [
        Item(name=name, bytes=size, note=_note(name, setup))
        for name, size in moments[phase].items()
    ]
    if setup.cuda:
        items.append(Item(name="Workspaces", bytes=WORKSPACE, note="of the matrix library"))
    allocated = sum(item.bytes for item in items)
    outside = _outside(adaptation, setup, allocated, context)
    return Bill(
        items=tuple(item for item in (*items, *outside) if item.bytes),
        allocated=allocated,
        reserved=allocated + (outside[0].bytes if setup.cuda else 0),
        total=allocated + sum(item.bytes for item in outside),
        phase=phase,
        band=_band(setup),
    )


def _moments(
    model: ModelFacts, adaptation: Adaptation, setup: Setup, lasting: States
) -> dict[Phase, dict[str, int]]:
    """What comes and goes, at each moment that can be the worst."""
    one, busy = layer(model, adaptation, setup), working(model, adaptation, setup)
    kept = checkpoints(model, adaptation, setup) if setup.checkpointing else model.layers * one
    cast = _cast_copies(model, adaptation, setup)
    early = lasting.gradients if setup.accumulation > 1 else 0
    first = early or lasting.gradients // max(1, model.layers)
    end = one if setup.checkpointing else 0
    tied = _tied_gradient(model, adaptation)
    return {
        "loss": {
            "Gradients": early,
            "Activations": kept + final_norm(model, adaptation, setup) + cast,
            "Output layer": loss(model, adaptation, setup),
        },
        "backward": max(
            {"Gradients": first, "Activations": kept + end + busy + cast, "Output layer": 0},
            {"Gradients": lasting.gradients, "Activations": one + busy, "Output layer": tied},
            key=lambda moment: sum(moment.values()),
        ),
        "optimizer": {
            "Gradients": lasting.gradients, "Activations": lasting.spare, "Output layer": 0,
        },
    }  # fmt: skip


def _cast_copies(model: ModelFacts, adaptation: Adaptation, setup: Setup) -> int:
    """Autocast keeps a 16-bit copy of every trained 32-bit matrix until backward is done."""
    width = compute_width(setup)
    if setup.engine == "plain" or width == 4:
        return 0
    full = adaptation.kind == "full"
    return width * (linear_numbers(model) if full else adaptation.trainable(model))


def _tied_gradient(model: ModelFacts, adaptation: Adaptation) -> int:
    """A trained embedding that is also the output layer gets two gradients, added at the end."""
    return 4 * model.vocab * model.hidden * (model.tied and adaptation.kind == "full")


def _lasting_items(adaptation: Adaptation, lasting: States) -> list[Item]:
    storage = "4-bit NF4" if adaptation.quantised else "frozen"
    return [
        Item(
            name="Weights",
            bytes=lasting.weights,
            note="trained" if adaptation.kind == "full" else storage,
        ),
        Item(name="Adapter", bytes=lasting.adapters, note="trained, 32 bits"),
        Item(name="Optimizer", bytes=lasting.optimizer, note="states of what is trained"),
    ]


def _note(name: str, setup: Setup) -> str:
    if name != "Activations":
        return {"Output layer": "scores and their gradients"}.get(name, "of what is trained")
    again = ", recomputed" if setup.checkpointing else ""
    return f"{setup.rows:,} x {setup.length:,} tokens{again}"


def _outside(
    adaptation: Adaptation, setup: Setup, allocated: int, context: int
) -> tuple[Item, ...]:
    """What is not tensors."""
    if not setup.cuda:
        return (Item(name="Libraries", bytes=ENGINE_HOST, note="imported by the engine"),)
    slack = round(_slack(adaptation, setup) * allocated)
    return (
        Item(name="Allocator", bytes=slack, note="reserved, not in use"),
        Item(name="Driver", bytes=context, note="context on the card"),
    )


def _band(setup: Setup) -> float:
    if not setup.cuda:
        return HOST_BAND
    return DENSE_BAND if setup.sharding == "none" else ROUGH_BAND


def _slack(adaptation: Adaptation, setup: Setup) -> float:
    """Reserved beyond allocated, as a share of allocated."""
    if setup.engine == "trl":
        return SLACK.get(adaptation.kind, 0.03)
    return PLAIN_SLACK.get(adaptation.kind, 0.1) + EAGER_SLACK * (setup.attention == "eager")
