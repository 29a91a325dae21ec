"""Memory of objectives beside imitation: pairs, other models and answers, checked by hand."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from core.adapt import ADAPTATIONS, Adaptation, Full, Lora, QLora
from core.memory import Bill, Setup, estimate
from core.memory.goals import GOALS, headless, rollout
from core.memory.setup import OnObjective
from core.memory.widths import widths
from core.models import ModelFacts
from tests.core.memory_rows import shape

OBJECTIVES = get_args(OnObjective)
LARGE = "llama-3.1-8b"
MODEL = shape(LARGE)


def bill(objective: OnObjective, adaptation: Adaptation, **step: Any) -> Bill:
    return estimate(MODEL, adaptation, Setup(objective=objective, **step))


def part(found: Bill, name: str) -> int:
    return sum(item.bytes for item in found.items if item.name == name)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("kind", ADAPTATIONS)
@pytest.mark.parametrize("name", ["smollm2-135m", "qwen2.5-0.5b", LARGE])
def test_items_add_up_and_more_rows_need_no_less(
    objective: OnObjective, kind: type[Adaptation], name: str
) -> None:
    sizes = []
    for rows in (1, 4):
        found = estimate(shape(name), kind(), Setup(objective=objective, rows=rows))
        assert sum(item.bytes for item in found.items) == found.total
        assert all(item.bytes > 0 for item in found.items)
        sizes.append(found.total)
    assert sizes[0] <= sizes[1]


def test_only_what_was_checked_is_sure() -> None:
    bands = {objective: bill(objective, Lora()).band for objective in OBJECTIVES}
    assert bands["sft"] == bands["dpo"] < bands["reward"] == bands["grpo"] == bands["ppo"]


def test_a_pair_is_two_rows_and_needs_no_second_model() -> None:
    """In full the reference was asked before; with an adapter it reads while activations wait."""
    assert bill("dpo", Full(), rows=2).allocated == bill("sft", Full(), rows=4).allocated
    lora, twice = bill("dpo", Lora(), rows=2), bill("sft", Lora(), rows=4)
    assert part(lora, "Weights") == part(twice, "Weights")
    tokens, wide = 2 * 2 * 1024, 14336
    reading = tokens * 2 * (3 * wide + 2 * 4096)
    assert lora.phase == "forward"
    assert 0 < lora.allocated - twice.allocated < reading


def test_a_reward_model_has_a_score_instead_of_words() -> None:
    """Llama-3.1-8B without its output layer of 128,256 x 4,096, and with a score of 4,096."""
    parameters = 8_030_261_248 - 128_256 * 4096 + 4096
    assert headless(MODEL).parameters == parameters
    assert part(bill("reward", Full()), "Weights") == 4 * parameters
    small: ModelFacts = shape("qwen2.5-0.5b")
    assert headless(small).parameters == small.parameters + small.hidden, "a tied table stays"
    pairs = [bill(o, QLora(), rows=2, checkpointing=True) for o in ("reward", "dpo")]
    assert pairs[1].allocated - pairs[0].allocated == 2 * (128_256 - 1) * 4096


def test_grpo_has_a_frozen_copy_in_full_only() -> None:
    full = bill("grpo", Full())
    assert part(full, "Other models") == part(full, "Weights") == 4 * 8_030_261_248
    assert part(bill("grpo", Lora()), "Other models") == 0


def test_ppo_has_one_trunk_and_a_frozen_copy_in_full_only() -> None:
    full = bill("ppo", Full(), checkpointing=True)
    assert part(full, "Other models") == part(full, "Weights") == 4 * 8_030_261_248
    adapted, imitated = (bill(o, QLora(), checkpointing=True) for o in ("ppo", "sft"))
    assert part(adapted, "Other models") == 0
    assert part(adapted, "Adapter") == part(imitated, "Adapter")
    assert part(adapted, "Output layer") > part(imitated, "Output layer"), "logits of every word"


def test_many_answers_at_once_are_the_peak() -> None:
    """Keys and values: 2 x 32 layers x 8 heads x 128 numbers x 2,048 words x 2 bytes each."""
    step = {"length": 2048, "accumulation": 64, "checkpointing": True}
    found = bill("grpo", QLora(), **step)
    assert found.phase == "generation"
    answers, cache = 64, 2 * 32 * 8 * 128 * 2048 * 2
    last = answers * 128_256 * (2 + 4 + 4)
    assert part(found, "Generated answers") == answers * cache * 33 // 32 + last
    assert part(found, "Activations") == part(found, "Gradients") == 0
    ppo = bill("ppo", QLora(), length=2048, rows=64, checkpointing=True)
    words = 2 * answers * 2048 * 128_256 * 4
    more = rollout(GOALS["ppo"], MODEL, Setup(length=2048, rows=64), widths(QLora(), Setup()))
    assert more == answers * cache * 33 // 32 + last + words, "a micro-batch of as many"
    alone = bill("ppo", QLora(), **step)
    assert alone.total < ppo.total, "the other micro-batches wait for their turn"
