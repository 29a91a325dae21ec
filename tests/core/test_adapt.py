"""Adaptations seen from outside: sizes, settings, what goes with what, which to take."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from core.adapt import ADAPTATIONS, Adaptation, Lora, QLora, carried_over
from core.adapt.lycoris import split
from core.adapt.which import advise
from core.draft import Draft, Facts, Settings
from core.errors import Problem
from core.machine import Machine
from core.memory import Setup, estimate
from core.misfits.adaptation import of_adaptation
from core.models import ModelFacts, look, shape_from_config
from core.places import starter
from core.recipe import Recipe, parse
from core.weights import Tensor, biases, count_biases

SHAPES = Path(__file__).resolve().parents[1] / "data" / "memory" / "shapes"
SMALL = look(starter())
GB = 10**9


def shape(name: str) -> ModelFacts:
    return shape_from_config(SHAPES / f"{name}.json")


def name(kind: type[Adaptation]) -> str:
    return str(kind.model_fields["kind"].default)


def problems(recipe: Recipe, model: ModelFacts = SMALL, steps: int = 1000) -> list[Problem]:
    settings = Settings(
        device="cpu", bf16=False, learning_rate=1e-3, max_length=512, micro_batch=1,
        accumulation=1, checkpointing=False, steps=steps,
    )  # fmt: skip
    facts = Facts(machine=MACHINE, model=model)
    return list(of_adaptation(recipe, facts, Draft(settings=settings)))


MACHINE = Machine(system="Linux", cores=2, memory=8 * GB, memory_free=8 * GB, disk_free=GB)


def recipe(adaptation: dict[str, Any], **more: Any) -> Recipe:
    return parse({"adaptation": adaptation, **more})


def test_a_published_count() -> None:
    """Llama-3.2-3B, rank 16 on queries, keys, values and outputs."""
    chosen = Lora(rank=16, targets="attention")
    assert chosen.trainable(shape("llama-3.2-3b")) == 9_175_040


def test_dora_ranks_and_tables_are_counted() -> None:
    rows = sum(shape[0] for shape in SMALL.linear.values())
    plain = Lora().trainable(SMALL)
    assert Lora(dora=True).trainable(SMALL) - plain == SMALL.layers * rows
    own = Lora(rank_pattern=("down_proj=32",)).trainable(SMALL)
    assert own - plain == SMALL.layers * 16 * (256 + 768)
    table = SMALL.vocab * SMALL.hidden
    both = ("embed_tokens", "lm_head")
    assert Lora(train_whole=both).trainable(SMALL) - plain == table, "tied"
    untied = SMALL.model_copy(update={"tied": False})
    assert Lora(train_whole=both).trainable(untied) - plain == 2 * table


def test_biases_are_counted() -> None:
    """Qwen2.5-0.5B: 896 queries, 128 keys and 128 values in each of 24 layers, and no others."""
    qwen, plain = shape("qwen2.5-0.5b"), Lora(targets="attention")
    for bias in ("lora_only", "all"):
        chosen = plain.model_copy(update={"bias": bias})
        assert chosen.trainable(qwen) - plain.trainable(qwen) == 24 * (896 + 2 * 128)
    named = Lora(targets="custom", modules=("q_proj", "o_proj"), bias="lora_only")
    assert named.of_biases(qwen) == 24 * 896
    assert Lora(bias="all").trainable(SMALL) == Lora().trainable(SMALL)


def test_biases_are_found_in_headers_and_masks_are_none() -> None:
    layer = {"attn.c_attn": (12, 4), "attn.c_proj": (4, 4), "mlp.c_proj": (4, 16), "ln_1": (4,)}
    tensors = {f"h.0.{name}.weight": Tensor("F32", sides) for name, sides in layer.items()}
    tensors |= {f"h.0.{name}.bias": Tensor("F32", sides[:1]) for name, sides in layer.items()}
    tensors["h.0.attn.bias"] = Tensor("F32", (1, 1, 8, 8))
    assert biases(tensors, "h.") == {"c_attn": 12, "attn.c_proj": 4, "mlp.c_proj": 4}
    assert count_biases(tensors) == 12 + 4 + 4 + 4
    assert biases(tensors, "") == {}


@pytest.mark.parametrize(
    ("told", "known"),
    [
        ({"attention_bias": True}, {"q_proj": 32, "k_proj": 16, "v_proj": 16, "o_proj": 32}),
        ({"mlp_bias": True}, {"gate_proj": 64, "up_proj": 64, "down_proj": 32}),
        ({"architectures": ["Qwen2ForCausalLM"]}, {"q_proj": 32, "k_proj": 16, "v_proj": 16}),
        ({}, {}),
    ],
)
def test_biases_of_a_configuration(told: dict[str, Any], known: dict[str, int]) -> None:
    raw = {
        "model_type": "llama", "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 100,
    }  # fmt: skip
    found = shape_from_config(raw | told)
    assert found.biases == known
    assert found.all_biases == 2 * sum(known.values())


@pytest.mark.parametrize(
    ("side", "factor", "parts"),
    [
        (256, -1, (16, 16)),
        (128, -1, (8, 16)),
        (127, -1, (1, 127)),
        (128, 4, (4, 32)),
        (36, 5, (4, 9)),
    ],
)
def test_sides_split_as_in_lycoris(side: int, factor: int, parts: tuple[int, int]) -> None:
    assert split(side, factor) == parts


@pytest.mark.parametrize("kind", ADAPTATIONS, ids=name)
def test_settings_say_what_they_mean(kind: type[Adaptation]) -> None:
    rate, source = kind.learning_rate
    assert 0 < rate < 1
    assert source
    for field, info in kind.model_fields.items():
        assert field == "kind" or (info.title and len(info.description or "") > 40)


@pytest.mark.parametrize(("now", "then"), list(product(ADAPTATIONS, ADAPTATIONS)))
def test_any_method_follows_any_other(now: type[Adaptation], then: type[Adaptation]) -> None:
    changed = Recipe().edit("adaptation", {"kind": name(now)})
    for field in ("base", "storage"):
        if field in now.model_fields:
            offered = get_args(now.model_fields[field].annotation)
            changed = changed.edit(f"adaptation.{field}", offered[-1])
    found = changed.edit("adaptation", carried_over(changed.adaptation, then)).adaptation
    assert isinstance(found, then)


def test_shared_settings_are_kept_and_impossible_ones_are_not() -> None:
    now = Lora(rank=64, init="pissa", modules=("q_proj",), targets="custom")
    kept = QLora.model_validate(carried_over(now, QLora))
    assert (kept.rank, kept.targets, kept.modules, kept.init) == (
        64,
        "custom",
        ("q_proj",),
        "default",
    )


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"kind": "qlora", "init": "pissa"}, "default"),
        ({"kind": "loha", "base": "nf4"}, "own"),
        ({"kind": "lokr", "base": "nf4"}, "own"),
        ({"kind": "adalora", "base": "nf4"}, "own"),
        ({"kind": "adalora", "rank": 12}, "higher"),
        ({"kind": "lora", "init": "orthogonal", "rank": 7}, "even"),
        ({"kind": "lora", "init": "loftq"}, "eva"),
        ({"kind": "qlora", "bias": "all"}, "bias"),
        ({"kind": "qlora", "init": "loftq", "storage": "int8"}, "4-bit"),
        ({"kind": "qlora", "init": "loftq", "dora": True}, "DoRA"),
        ({"kind": "lora", "train_whole": ["q_proj"]}, "embed_tokens"),
        ({"kind": "lora", "rank_pattern": ["down_proj"]}, "down_proj=64"),
    ],
)
def test_what_cannot_be_is_not_written(chosen: dict[str, Any], words: str) -> None:
    kinds = {name(kind): kind for kind in ADAPTATIONS}
    with pytest.raises(ValidationError, match=words):
        kinds[chosen["kind"]].model_validate(chosen)


@pytest.mark.parametrize(
    ("chosen", "where", "words"),
    [
        ({"kind": "lora", "targets": "custom"}, "modules", "named"),
        ({"kind": "lora", "targets": "custom", "modules": ["c_attn"]}, "modules", "q_proj"),
        ({"kind": "lora", "rank_pattern": ["c_fc=8"]}, "rank_pattern", "c_fc=8"),
        ({"kind": "lora", "init": "eva", "rank": 512}, "init", "256"),
        ({"kind": "lora", "init": "pissa", "rank_pattern": ["k_proj=160"]}, "init", "128"),
        ({"kind": "qlora", "init": "loftq", "rank": 256}, "init", "k_proj"),
        ({"kind": "oft", "block": 48}, "block", "256"),
        ({"kind": "boft", "block": 512}, "block", "512"),
    ],
)
def test_names_and_blocks_are_held_against_the_model(
    chosen: dict[str, Any], where: str, words: str
) -> None:
    made = recipe(chosen)
    (found,) = problems(made)
    assert (found.level, found.where) == ("blocker", f"adaptation.{where}")
    assert words in found.text
    assert found.fix is not None
    assert problems(made.edit(found.fix.path, found.fix.value)) == []


def test_layers_with_other_names_are_told() -> None:
    other = SMALL.model_copy(update={"linear": {"c_attn": (768, 256)}})
    for kind in ("ia3", "lora"):
        chosen = {"kind": kind} | ({"targets": "attention"} if kind == "lora" else {})
        (found,) = problems(recipe(chosen), other)
        assert "c_attn" in found.text
        assert found.level == "blocker"


REFERRING = [
    {"kind": "dpo"}, {"kind": "kto"}, {"kind": "ppo", "rewards": [{"kind": "exact"}]},
    {"kind": "grpo", "beta": 0.1}, {"kind": "rloo"},
]  # fmt: skip


@pytest.mark.parametrize("objective", REFERRING, ids=lambda goal: goal["kind"])
@pytest.mark.parametrize(
    "chosen",
    [
        {"kind": "lora", "init": "pissa"}, {"kind": "lora", "init": "olora"},
        {"kind": "qlora", "init": "loftq"}, {"kind": "lora", "bias": "all"},
    ],
    ids=lambda chosen: "-".join(chosen.values()),
)  # fmt: skip
def test_a_reference_needs_the_model_as_it_was(
    chosen: dict[str, Any], objective: dict[str, Any]
) -> None:
    made, model = recipe(chosen), SMALL.model_copy(update={"all_biases": 100, "stored": "fp32"})
    assert problems(made, model) == []
    looking = made.edit("objective", objective)
    (found,) = problems(looking, model)
    assert found.level == "blocker"
    assert found.fix is not None
    assert problems(looking.edit(found.fix.path, found.fix.value), model) == []


@pytest.mark.parametrize(
    "objective", [{"kind": "orpo"}, {"kind": "simpo"}, {"kind": "cpo"}, {"kind": "reward"},
                  {"kind": "grpo", "beta": 0}], ids=lambda goal: goal["kind"],
)  # fmt: skip
def test_what_never_looks_back_takes_any_beginning(objective: dict[str, Any]) -> None:
    assert problems(recipe({"kind": "lora", "init": "pissa"}, objective=objective)) == []


def test_both_at_once_are_two_problems() -> None:
    chosen = {"kind": "lora", "init": "pissa", "bias": "all"}
    found = problems(recipe(chosen, objective={"kind": "dpo"}))
    assert [one.where for one in found if one.level == "blocker"] == [
        "adaptation.init",
        "adaptation.bias",
    ]


def test_biases_that_are_not_there_or_get_rounded_are_told() -> None:
    (none,) = problems(recipe({"kind": "lora", "bias": "all"}))
    assert none.level == "warning"
    assert "no biases" in none.text
    qwen = shape("qwen2.5-0.5b")
    (elsewhere,) = problems(
        recipe({"kind": "lora", "bias": "lora_only", "targets": "custom", "modules": ["o_proj"]}),
        qwen,
    )
    assert elsewhere.text.startswith("The adapted layers have no biases")
    (rounded,) = problems(recipe({"kind": "lora", "bias": "all"}), qwen)
    assert "rounded" in rounded.text
    for found in (none, elsewhere, rounded):
        assert found.fix is not None
        assert (found.fix.path, found.fix.value) == ("adaptation.bias", "none")


def test_eva_does_not_look_at_experts() -> None:
    mixture = SMALL.model_copy(update={"architecture": "MixtralForCausalLM", "experts": 8})
    (found,) = problems(recipe({"kind": "lora", "init": "eva"}), mixture)
    assert (found.level, found.where) == ("blocker", "adaptation.init")
    attention = {"kind": "lora", "init": "eva", "targets": "attention"}
    assert problems(recipe(attention), mixture) == []


def test_places_use_up_the_context() -> None:
    made = recipe({"kind": "prompt", "tokens": 500})
    assert problems(made) == []
    (found,) = problems(
        made.edit("adaptation.tokens", 512), SMALL.model_copy(update={"context": 1000})
    )
    assert found.where == "training.max_length"


def test_few_steps_are_few_for_adalora() -> None:
    made = recipe({"kind": "adalora"})
    assert problems(made) == []
    (found,) = problems(made, steps=50)
    assert found.level == "warning"


@pytest.mark.parametrize("kind", ADAPTATIONS, ids=name)
def test_a_bill_counts_every_trained_number(kind: type[Adaptation]) -> None:
    model = shape("qwen2.5-0.5b")
    bill = estimate(model, kind(), Setup())
    items = {item.name: item.bytes for item in bill.items}
    assert items["Optimizer"] == 8 * kind().trainable(model)
    sure = kind().traced
    assert (bill.band < 0.1) is sure
    assert ("only weights and states are exact" in bill.note) is not sure


def test_eight_bits_are_a_byte_and_a_scale_per_row() -> None:
    model = shape("llama-3.2-1b")
    plain, packed = (estimate(model, one, Setup()) for one in (Lora(), QLora(storage="int8")))
    sizes = [next(i.bytes for i in bill.items if i.name == "Weights") for bill in (plain, packed)]
    numbers = model.layers * sum(rows * columns for rows, columns in model.linear.values())
    scales = 4 * model.layers * sum(rows for rows, _ in model.linear.values())
    assert sizes[0] - sizes[1] == numbers - scales
    assert packed.band > plain.band


@pytest.mark.parametrize(
    ("name", "memory", "rows", "kinds"),
    [
        ("llama-3.1-8b", 24 * GB, 1000, ["lora"]),
        ("llama-3.1-8b", 12 * GB, 1000, ["qlora"]),
        ("llama-3.1-8b", 4 * GB, 1000, []),
        ("llama-3.1-8b", 12 * GB, 50, ["qlora", "ia3"]),
        ("smollm2-135m", 12 * GB, 20_000, ["full", "lora"]),
        ("llama-3.1-70b", 320 * GB, 1000, ["lora", "prompt"]),
    ],
)
def test_advice_follows_from_sizes(name: str, memory: int, rows: int, kinds: list[str]) -> None:
    found = advise(shape(name), memory, rows)
    assert [kind for kind, _ in found] == kinds
    assert all(because.endswith(".") for _, because in found)
    assert {kind for kind, _ in found} <= {k.model_fields["kind"].default for k in ADAPTATIONS}
