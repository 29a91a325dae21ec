"""What bottleneck adapters and partial training come to and do not go with, checked by hand."""

from __future__ import annotations

import pytest

from core.adapt import Adaptation, Bottleneck, Freeze, Full, Lora
from core.draft import Draft, Facts
from core.machine import Machine
from core.memory import Bill, Setup, estimate
from core.memory.closed import UNSURE
from core.misfits import misfits
from core.models import ModelFacts
from core.recipe import Recipe
from tests.core.memory_rows import shape

LARGE = shape("llama-3.1-8b")
TIED = shape("qwen2.5-0.5b")


def bill(adaptation: Adaptation, model: ModelFacts = LARGE) -> Bill:
    return estimate(model, adaptation, Setup(rows=1, length=1024))


def part(found: Bill, name: str) -> int:
    return sum(item.bytes for item in found.items if item.name == name)


def found_for(adaptation: Adaptation, model: ModelFacts) -> list[str]:
    recipe = Recipe(adaptation=adaptation)
    facts = Facts(machine=Machine.model_construct(gpus=()), model=model)
    found = misfits(recipe, facts, Draft())
    return [f"{p.level} {p.where}" for p in found if p.where.startswith("adaptation")]


def test_bottlenecks_are_counted_like_the_paper_does() -> None:
    """Houlsby et al. 2019: 2md + d + m numbers per adapter."""
    one = 2 * 4096 * 64 + 64 + 4096
    assert Bottleneck().trainable(LARGE) == 32 * one
    assert Bottleneck(placement="houlsby").trainable(LARGE) == 2 * 32 * one


def test_all_layers_and_tables_are_the_whole_model() -> None:
    whole = {"norms": True, "embeddings": True, "head": True}
    for model in (LARGE, TIED):
        everything = Freeze(last=1000, **whole).trainable(model)
        assert everything == Full().trainable(model) == model.parameters
        assert Freeze(last=1, **whole).trainable(model) < everything


def test_what_stays_frozen_needs_two_bytes_and_what_is_trained_sixteen() -> None:
    trained = Freeze().trainable(LARGE)
    found = bill(Freeze())
    assert part(found, "Weights") == 2 * LARGE.parameters + 2 * trained
    assert part(found, "Optimizer") == 8 * trained
    assert found.total < bill(Freeze(last=4)).total < bill(Full()).total


def test_frozen_weights_of_other_formats_are_kept_whole() -> None:
    """In bfloat16 they would be rounded, and they are saved again."""
    other = LARGE.model_copy(update={"stored": "fp16"})
    assert part(bill(Freeze(), other), "Weights") == 4 * LARGE.parameters


def test_layers_before_the_first_trained_part_keep_nothing() -> None:
    kept = part(bill(Freeze(last=1)), "Activations")
    assert kept < part(bill(Freeze(last=1, norms=True)), "Activations")
    assert Freeze(last=3).reaches(LARGE) == 3
    assert Freeze(last=3, head=True).reaches(LARGE) == 3
    assert Freeze(last=3, head=True).reaches(TIED) == TIED.layers


@pytest.mark.parametrize("adaptation", [Bottleneck(), Bottleneck(base="nf4"), Freeze()])
def test_nobody_has_checked_these_bills(adaptation: Adaptation) -> None:
    assert bill(adaptation).band == UNSURE > bill(Lora()).band
    assert "neither traces nor measurements" in bill(adaptation).note


def test_four_bits_save_memory_and_more_width_needs_more() -> None:
    small, narrow = bill(Bottleneck(base="nf4")).total, bill(Bottleneck()).total
    assert small < narrow < bill(Bottleneck(size=512)).total


def test_shared_tables_are_said() -> None:
    assert found_for(Freeze(head=True), TIED) == ["warning adaptation.head"]
    assert found_for(Freeze(embeddings=True), TIED) == ["warning adaptation.embeddings"]
    assert found_for(Freeze(embeddings=True, head=True), TIED) == []
    assert found_for(Freeze(head=True), LARGE) == []


def test_families_with_other_parts_are_refused() -> None:
    other = LARGE.model_copy(update={"architecture": "GPT2LMHeadModel"})
    assert found_for(Bottleneck(), other) == ["blocker adaptation"]
    assert found_for(Bottleneck(), LARGE) == []
