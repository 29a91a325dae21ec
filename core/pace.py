"""How long a run takes here: arithmetic of the catalogue's cards, corrected where measured."""

from __future__ import annotations

from core.catalog import Gpu, recognise_gpu
from core.draft import Facts, Settings
from core.machine import Machine
from core.memory.closed import CUDA_CONTEXT
from core.memory.correction import Correction, device_name
from core.memory.cost import Work, matrix_flops, tokens_per_second
from core.models import ModelFacts
from core.portions import tokens
from core.recipe import Recipe

FLOPS_PER_CORE = 25e9
"""Sustained 32-bit multiply-adds of one current CPU core in training, measured on small models."""


def tokens_read(recipe: Recipe, facts: Facts, settings: Settings) -> int:
    """Tokens of all steps; packed sequences are full, generated answers as long as they may be."""
    length = settings.max_length
    mean = length if settings.packing else tokens(recipe, facts, length).mean
    mean += recipe.objective.room + recipe.objective.writes
    return round(mean * settings.steps * settings.micro_batch * settings.accumulation)


def card_of(machine: Machine) -> Gpu | None:
    """The first GPU as the catalogue knows it; None without one, or when it is unknown."""
    return recognise_gpu(machine.gpus[0].name, machine.gpus[0].total) if machine.gpus else None


def context_of(machine: Machine) -> int:
    """Bytes that the driver takes on the first GPU."""
    card = card_of(machine)
    return card.context_bytes if card else CUDA_CONTEXT


def correction_of(recipe: Recipe, facts: Facts, *, cuda: bool) -> Correction | None:
    """What earlier measurements here say about this kind of run."""
    device = device_name(facts.machine, cuda=cuda)
    return facts.corrections.find(device, recipe.measured_as)


def run_seconds(recipe: Recipe, facts: Facts, settings: Settings, read: int) -> float | None:
    """A rough time for so many tokens.

    None on a card that nobody knows, and where answers are generated: that was never measured.
    """
    assert facts.model is not None
    per_token = token_seconds(recipe, facts.model, facts.machine, settings)
    known = correction_of(recipe, facts, cuda=settings.device == "cuda")
    ratio = known.seconds if known else None
    return read * per_token * (ratio or 1.0) if per_token is not None else None


def token_seconds(
    recipe: Recipe, model: ModelFacts, machine: Machine, settings: Settings
) -> float | None:
    """Seconds to train on one token, as a formula says; None on a card that nobody knows.

    None also where answers are generated: how long they get, and take, no formula here knows.
    """
    if recipe.objective.generates:
        return None
    work = Work.of(
        model, recipe.adaptation, length=settings.max_length, recompute=settings.checkpointing,
        reference=recipe.objective.looks_back,
    )  # fmt: skip
    if settings.device == "cpu":
        return matrix_flops(work) / (FLOPS_PER_CORE * max(1, machine.cores))
    card = card_of(machine)
    return 1 / tokens_per_second(work, card) if card else None
