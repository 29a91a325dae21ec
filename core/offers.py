"""A step on GPUs that are not here: what to plan for, what to rent, what it costs."""

from __future__ import annotations

from core.adapt import Adaptation
from core.catalog import Gpu, gpus
from core.draft import Facts
from core.machine import Gpu as Card
from core.machine import Machine
from core.memory import Setup, estimate
from core.memory.choice import BytesNeeded, Option, judge, options
from core.memory.cost import Work
from core.memory.setup import Dtype
from core.models import ModelFacts
from core.recipe import Recipe
from core.settle import setup_of

BF16_SINCE = 8.0
"""Compute capability of Ampere."""


def planned_for(machine: Machine, gpu: Gpu) -> Machine:
    """This computer as if the GPU were in it."""
    major, minor = gpu.capability.split(".")
    card = Card(
        name=gpu.name,
        total=gpu.vram_bytes,
        free=gpu.vram_bytes,
        capability=(int(major), int(minor)),
    )
    return machine.model_copy(update={"gpus": (card,), "planned": True})


def usual_dtype(gpu: Gpu) -> Dtype:
    """What our engine computes in there: before Ampere in 32 bits."""
    return "bf16" if float(gpu.capability) >= BF16_SINCE else "fp32"


def offers(
    model: ModelFacts, adaptation: Adaptation, setup: Setup, sharding: str = "fsdp"
) -> tuple[Option, ...]:
    """Every GPU of the catalogue, judged for this step of our engine; the best ones first."""
    return options(_needed(model, adaptation, setup), _work(model, adaptation, setup), gpus(),
                   sharding=sharding)  # fmt: skip


def offers_of(recipe: Recipe, facts: Facts) -> tuple[Option, ...]:
    """Every GPU, judged for the step of a recipe; none as long as there is no model."""
    if facts.model is None:
        return ()
    return offers(facts.model, recipe.adaptation, setup_of(recipe, facts))


def offer(model: ModelFacts, adaptation: Adaptation, setup: Setup, gpu: Gpu) -> Option:
    """One kind of GPU, as many of them as the step is divided among."""
    needed, work = _needed(model, adaptation, setup), _work(model, adaptation, setup)
    return judge(needed, work, gpu, setup.gpus, setup.sharding)


def _needed(model: ModelFacts, adaptation: Adaptation, setup: Setup) -> BytesNeeded:
    def needed(gpu: Gpu, count: int, sharding: str) -> int:
        there = setup.model_copy(
            update={"cuda": True, "dtype": usual_dtype(gpu), "gpus": count, "sharding": sharding}
        )
        return estimate(model, adaptation, there, gpu.context_bytes).total

    return needed


def _work(model: ModelFacts, adaptation: Adaptation, setup: Setup) -> Work:
    return Work.of(
        model, adaptation, length=setup.length, recompute=setup.checkpointing,
        reference=setup.objective == "dpo",
    )  # fmt: skip
