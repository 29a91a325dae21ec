"""The closed form against published measurements, arithmetic done by hand, and common sense."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.adapt import Adaptation, Full, Lora, QLora
from core.errors import ModelError
from core.memory import Bill, Setup, estimate
from core.memory.setup import Optimizer
from core.models import ModelFacts, look, shape_from_config
from core.places import starter
from tests.core.memory_rows import DATA, PAIRED, SHARED, Row, published, shape, traced

SHAPES = tuple(sorted(path.stem for path in (DATA / "shapes").glob("*.json")))
SMALL: dict[str, Any] = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 32_000,
    "hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 4,
    "num_attention_heads": 8, "num_key_value_heads": 2, "tie_word_embeddings": False,
}  # fmt: skip
MIXTURE = SMALL | {
    "model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "num_local_experts": 8,
    "num_experts_per_tok": 2,
}  # fmt: skip


def errors(kind: str, rows: Iterable[Row]) -> list[float]:
    """Per cent by which each row is missed."""
    found = []
    for row in rows:
        bill = estimate(row.model, row.adaptation, row.setup)
        found.append(100 * (getattr(bill, kind) / getattr(row, kind) - 1))
        print(f"{kind} {found[-1]:+6.2f} % {row.name}")
    sizes = [abs(error) for error in found]
    print(f"{kind}: mean {statistics.mean(sizes):.2f} %, worst {max(sizes):.2f} %")
    return found


def test_allocated_is_what_was_measured() -> None:
    sizes = [abs(error) for error in errors("allocated", published())]
    assert len(sizes) == 35
    assert statistics.mean(sizes) <= 0.25
    assert statistics.median(sizes) <= 0.15
    assert max(sizes) <= 1.4


def test_reserved_is_near_what_was_measured() -> None:
    """The order of requests decides it, which no formula knows."""
    sizes = [abs(error) for error in errors("reserved", published())]
    assert statistics.mean(sizes) <= 3.5
    assert statistics.median(sizes) <= 2
    assert max(sizes) <= 20.5


def test_steps_of_our_engine_need_what_their_traces_say() -> None:
    sizes = [abs(error) for error in errors("allocated", traced())]
    assert len(sizes) >= 80
    assert statistics.mean(sizes) <= 0.2
    assert max(sizes) <= 1.5


def test_gpus_that_share_a_model_need_what_their_traces_say() -> None:
    sizes = [abs(error) for error in errors("allocated", traced(SHARED))]
    assert len(sizes) >= 20
    assert statistics.mean(sizes) <= 0.4
    assert max(sizes) <= 2


def test_steps_on_pairs_need_what_their_traces_say() -> None:
    sizes = [abs(error) for error in errors("allocated", traced(PAIRED))]
    assert len(sizes) >= 40
    assert statistics.mean(sizes) <= 0.5
    assert max(sizes) <= 4
    large = [row for row in traced(PAIRED) if row.model.parameters > 10**9]
    assert max(abs(error) for error in errors("allocated", large)) <= 0.2


def test_what_our_engine_reserves_is_near_its_traces() -> None:
    on_gpu = [row for row in traced() if row.setup.cuda]
    sizes = [abs(error) for error in errors("reserved", on_gpu)]
    assert statistics.mean(sizes) <= 2
    assert max(sizes) <= 8


def test_trained_numbers_of_a_known_adapter() -> None:
    """28 layers, rank 16: q and o 3072 x 3072, k and v 3072 x 1024."""
    adaptation = Lora(rank=16, targets="attention")
    assert adaptation.trainable(shape("llama-3.2-3b")) == 9_175_040
    assert 28 * 16 * (2 * (3072 + 3072) + 2 * (3072 + 1024)) == 9_175_040


def test_states_by_hand() -> None:
    """Llama-3.1-8B has 8,030,261,248 numbers; AdamW keeps 4 + 4 + 8 bytes for each."""
    model = shape("llama-3.1-8b")
    assert model.parameters == 8_030_261_248
    bill = estimate(model, Full(), Setup(checkpointing=True))
    parts = {item.name: item.bytes for item in bill.items}
    assert parts["Weights"] == parts["Gradients"] == 4 * model.parameters
    assert parts["Optimizer"] == 8 * model.parameters


def test_four_bits_by_hand() -> None:
    """Half a byte and a constant of 1 + 4 / 256 bytes per 64 weights; the rest stays at 16 bits."""
    model = shape("llama-3.1-8b")
    linear = 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14_336)
    expected = linear * (0.5 + (1 + 4 / 256) / 64) + 2 * (model.parameters - linear)
    bill = estimate(model, QLora(), Setup())
    assert {item.name: item.bytes for item in bill.items}["Weights"] == round(expected)


steps = st.builds(
    Setup,
    cuda=st.booleans(),
    engine=st.sampled_from(["trl", "plain"]),
    rows=st.integers(1, 16),
    length=st.integers(1, 8192),
    padded=st.booleans(),
    dtype=st.sampled_from(["bf16", "fp16", "fp32"]),
    loss=st.sampled_from(["fused", "logits"]),
    attention=st.sampled_from(["eager", "sdpa", "efficient", "flash"]),
    checkpointing=st.booleans(),
    optimizer=st.sampled_from(get_args(Optimizer)),
    accumulation=st.integers(1, 4),
    kbit_prepare=st.booleans(),
    sharding=st.sampled_from(["none", "ddp", "zero1", "zero2", "zero3", "fsdp"]),
    gpus=st.integers(1, 16),
    offload=st.booleans(),
)
models = st.one_of(
    st.sampled_from(SHAPES).map(shape),
    st.sampled_from([SMALL, MIXTURE]).map(shape_from_config),
)
adaptations = st.one_of(
    st.builds(Lora, rank=st.integers(1, 512), targets=st.sampled_from(["all-linear", "attention"])),
    st.builds(QLora, double_quantisation=st.booleans()),
    st.just(Full()),
)


def bill(model: ModelFacts, adaptation: Adaptation, step: Setup, **changes: object) -> Bill:
    return estimate(model, adaptation, step.model_copy(update=changes))


@given(models, adaptations, steps)
def test_the_items_add_up(model: ModelFacts, adaptation: Adaptation, step: Setup) -> None:
    found = bill(model, adaptation, step)
    assert sum(item.bytes for item in found.items) == found.total
    assert all(item.bytes > 0 for item in found.items)
    assert found.total == found.reserved + found.context
    assert found.reserved >= found.allocated > 0
    assert found.host >= 0


@given(models, adaptations, steps, st.integers(1, 8))
def test_more_rows_never_need_less(
    model: ModelFacts, adaptation: Adaptation, step: Setup, more: int
) -> None:
    least = bill(model, adaptation, step).allocated
    assert bill(model, adaptation, step, rows=step.rows + more).allocated >= least


@given(models, adaptations, steps, st.integers(1, 4096))
def test_longer_rows_never_need_less(
    model: ModelFacts, adaptation: Adaptation, step: Setup, more: int
) -> None:
    least = bill(model, adaptation, step).allocated
    assert bill(model, adaptation, step, length=step.length + more).allocated >= least


@given(models, adaptations, steps)
def test_checkpointing_never_needs_more_than_one_layer_more(
    model: ModelFacts, adaptation: Adaptation, step: Setup
) -> None:
    """With one layer nothing is saved; the inputs of layers are what it costs."""
    kept = bill(model, adaptation, step, checkpointing=False).allocated
    saved = bill(model, adaptation, step, checkpointing=True).allocated
    inputs = (model.layers + 1) * step.rows * step.length * model.hidden * 4
    assert saved <= kept + inputs


@given(models, adaptations, steps)
def test_more_gpus_never_need_more_each(
    model: ModelFacts, adaptation: Adaptation, step: Setup
) -> None:
    one = bill(model, adaptation, step, gpus=max(2, step.gpus)).allocated
    assert bill(model, adaptation, step, gpus=2 * max(2, step.gpus)).allocated <= one


@given(models, st.integers(1, 256), steps)
def test_a_larger_rank_never_needs_less(model: ModelFacts, rank: int, step: Setup) -> None:
    assert (
        bill(model, Lora(rank=rank), step).allocated
        <= bill(model, Lora(rank=rank + 1), step).allocated
    )


@given(models, steps)
def test_four_bits_never_need_more_for_weights(model: ModelFacts, step: Setup) -> None:
    def weights(adaptation: Adaptation) -> int:
        return next(i.bytes for i in bill(model, adaptation, step).items if i.name == "Weights")

    if not (step.offload and step.sharding in ("zero3", "fsdp")):
        assert weights(QLora()) < weights(Lora())


@given(models, adaptations, steps)
def test_offloading_moves_memory_to_the_host(
    model: ModelFacts, adaptation: Adaptation, step: Setup
) -> None:
    here = bill(model, adaptation, step, offload=False, sharding="zero2")
    there = bill(model, adaptation, step, offload=True, sharding="zero2")
    assert (here.host > 0) == step.optimizer.startswith("paged")
    assert there.host >= here.host
    assert there.allocated <= here.allocated


def test_a_processor_has_no_context_but_libraries() -> None:
    found = estimate(shape("qwen2.5-0.5b"), Lora(), Setup(cuda=False, dtype="fp32"))
    assert found.allocated == found.reserved
    assert found.items[-1].note == "imported libraries"
    assert found.context > 10**9


def test_experts_make_the_bill_less_sure() -> None:
    assert estimate(shape_from_config(SMALL), Lora(), Setup()).band == 0.03
    assert estimate(shape_from_config(MIXTURE), Lora(), Setup()).band == 0.15
    assert estimate(shape_from_config(SMALL), Lora(), Setup(sharding="ddp", gpus=2)).band == 0.15


def test_a_mixture_of_experts_is_counted() -> None:
    """Mixtral-8x7B: 46,702,792,704 numbers, of which two of eight experts see a token."""
    mixtral = MIXTURE | {
        "hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8,
    }  # fmt: skip
    facts = shape_from_config(mixtral)
    assert facts.parameters == 46_702_792_704
    assert (facts.experts, facts.experts_used, facts.expert_width) == (8, 2, 14_336)
    attention = 16 * (2 * (4096 + 4096) + 2 * (4096 + 1024)) * 32
    assert Lora(rank=16, targets="attention").trainable(facts) == attention
    gate_and_up, down, router = 8 * 32 * (4096 + 28_672), 8 * 16 * (14_336 + 4096), 16 * (8 + 4096)
    assert Lora(rank=16).trainable(facts) == attention + 32 * (gate_and_up + down + router)
    items = {item.name: item for item in estimate(facts, QLora(), Setup()).items}
    weights, kept = items["Weights"], items["Activations"]
    assert weights.note == "4-bit NF4, experts stay in 16 bits"
    assert kept.note.endswith("adapted experts a second time")
    assert kept.bytes > 2 * 45_097_156_608
    assert weights.bytes > 2 * 45_097_156_608, "32 layers x 8 experts x 3 matrices in 16 bits"


def test_a_lone_configuration_says_what_the_weights_say(tmp_path: Path) -> None:
    whole = look(starter())
    config = starter() / "config.json"
    lone = shape_from_config(config)
    same = ("hidden", "layers", "heads", "kv_heads", "head_dim", "intermediate", "tied", "linear")
    assert [getattr(lone, name) for name in same] == [getattr(whole, name) for name in same]
    assert shape_from_config(json.loads(config.read_text())).parameters == lone.parameters
    assert shape_from_config(starter()).parameters == pytest.approx(whole.parameters, rel=0.01)


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_hidden_layers": 0},
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": "four"},
        {"hidden_size": None},
        {"vocab_size": -1},
        {"num_attention_heads": [8]},
        {"intermediate_size": 1e300},
        {"num_local_experts": 10**6},
        {"model_type": 7},
    ],
)
def test_nonsense_is_refused_in_a_sentence(wrong: dict[str, Any]) -> None:
    with pytest.raises(ModelError) as refused:
        shape_from_config(SMALL | wrong)
    assert str(refused.value).splitlines()[0].endswith((".", "family."))


def test_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        shape_from_config(tmp_path / "config.json")


def test_every_published_step_is_a_plain_loop() -> None:
    rows = published()
    assert {row.setup.engine for row in rows} == {"plain"}
    assert {row.setup.attention for row in rows} == {"eager", "efficient"}
