"""A traced step against real ones: of this machine to the byte, of published measurements."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from peft.utils.transformers_weight_conversion import (
    _MODEL_TO_CONVERSION_PATTERN,
    _MOE_FUSED_TARGETS,
)
from transformers import AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from core import cli, launch
from core.adapt import ADAPTATIONS, Adaptation, Bottleneck, Freeze, Full, Lora, QLora
from core.adapt.lora import STACKED
from core.engine.imitate import Imitate
from core.engine.meta_model import adapt, build, load, read_configuration
from core.engine.meta_ops import Routing
from core.engine.meta_shard import keep_buckets, on_nothing, processes, shard, storages
from core.engine.patches import changed, patched
from core.engine.prefer import Prefer
from core.engine.recorder import Recorder, highest
from core.engine.trace import record, take_steps, trace
from core.engine.trainer import Watched
from core.errors import CoreError
from core.memory import estimate
from core.memory.allocator import Event
from core.memory.setup import Attention, Dtype, Setup
from core.models import shape_from_config
from core.places import starter
from core.recipe import Recipe
from core.rundir import RunDir
from tests.engine.conftest import create, go, plan_of
from tests.engine.counting import highest_in, watch_model

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]
SHAPES = Path(__file__).parents[1] / "data" / "memory" / "shapes"
LENGTH = 64
ROWS = 4


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """What the real engine's real steps allocate, operation by operation."""
    recorder = Recorder(hidden=False)

    class Measured(Watched):
        def train(self, *rest: Any, **named: Any) -> Any:
            watch_model(recorder, self.model)
            with recorder:
                return super().train(*rest, **named)

        def compute_loss(self, *rest: Any, **named: Any) -> Any:
            with recorder.during("forward"):
                return super().compute_loss(*rest, **named)

    for lesson in (Imitate, Prefer):
        real = type("Measured", (Measured, lesson.trainer), {})
        monkeypatch.setattr(lesson, "trainer", real)
    return recorder


def padded(root: Path, recipe: Recipe) -> RunDir:
    """A run whose rows stay apart: joined ones take other ways through attention."""
    plan = plan_of(recipe)
    assert plan.settings is not None
    settings = plan.settings.model_copy(update={"padding_free": False})
    apart = plan.model_copy(update={"settings": settings})
    return RunDir.create(root, recipe, apart.model_dump_json())


USUAL = {(Full, "off"), (Lora, "on")}
"""What is tried in every run of the tests; the rest when there is time."""


@pytest.mark.parametrize(
    ("kind", "checkpointing"),
    [
        pytest.param(kind, way, marks=() if (kind, way) in USUAL else pytest.mark.slow)
        for kind in ADAPTATIONS
        for way in ("off", "on")
        if kind().traced or kind in (Bottleneck, Freeze)
    ],
)
def test_a_traced_step_is_a_real_step(
    tmp_path: Path, recipe: Recipe, measured: Recorder, kind: type[Adaptation], checkpointing: str
) -> None:
    recipe = recipe.edit("adaptation", kind().model_dump()).edit("training.max_steps", 3)
    recipe = recipe.edit("training.max_length", LENGTH).edit("training.accumulation", 1)
    recipe = recipe.edit("training.checkpointing", checkpointing)
    recipe = recipe.edit("data.heldout_share", 0.0).edit("training.learning_rate", 1e-4)
    go(padded(tmp_path / "run", recipe))
    config = json.loads((starter() / "config.json").read_text())
    setup = Setup(
        cuda=False, dtype="fp32", rows=ROWS, length=LENGTH, checkpointing=checkpointing == "on"
    )
    real = highest(measured.events)
    traced = trace(config, recipe.adaptation, setup).tensor_bytes
    ahead = 2 * 3 * ROWS * LENGTH * 8
    assert 0 <= real - traced <= ahead + 32, "more than the batches that are read ahead"


@pytest.mark.slow
def test_a_joined_step_is_nearly_what_is_traced(
    tmp_path: Path, recipe: Recipe, measured: Recorder
) -> None:
    """On a processor rows of a joined batch are attended to one by one, which keeps a little more
    than the one long row of the trace."""
    recipe = recipe.edit("training.max_steps", 3).edit("training.max_length", LENGTH)
    recipe = recipe.edit("training.accumulation", 1).edit("data.heldout_share", 0.0)
    run = create(tmp_path / "run", recipe)
    assert plan_of(recipe).settings.padding_free  # type: ignore[union-attr]
    go(run)
    config = json.loads((starter() / "config.json").read_text())
    setup = Setup(cuda=False, dtype="fp32", rows=1, length=ROWS * LENGTH)
    traced = trace(config, recipe.adaptation, setup).tensor_bytes
    assert 1.0 <= highest(measured.events) / traced < 1.06


def test_a_partly_trained_model_is_not_traced_for_a_gpu() -> None:
    """Which of its weights have 16 bits depends on the files."""
    config = json.loads((starter() / "config.json").read_text())
    with pytest.raises(CoreError, match="partly trained"):
        trace(config, Freeze(), Setup(rows=1, length=8))


@pytest.mark.parametrize(
    ("adaptation", "checkpointing"),
    [(Lora(), "on"), pytest.param(Full(), "on", marks=pytest.mark.slow)],
)
def test_a_traced_step_on_pairs_is_a_real_step(
    tmp_path: Path, recipe: Recipe, measured: Recorder, adaptation: Adaptation, checkpointing: str
) -> None:
    """Twice as many rows as pairs, and the reference: with the adapter off, or known before."""
    long = " ".join(map(str, range(LENGTH)))
    pairs = [{"prompt": f"{n}?", "chosen": f"a {long}", "rejected": f"b {long}"} for n in range(12)]
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")
    recipe = recipe.edit("adaptation", adaptation.model_dump()).edit("training.max_steps", 3)
    recipe = recipe.edit("training.max_length", LENGTH).edit("training.accumulation", 1)
    recipe = recipe.edit("training.checkpointing", checkpointing).edit("objective", {"kind": "dpo"})
    recipe = recipe.edit("data", {"path": str(data), "heldout_share": 0})
    go(create(tmp_path / "run", recipe.edit("training.learning_rate", 1e-4)))
    config = json.loads((starter() / "config.json").read_text())
    setup = Setup(
        cuda=False, dtype="fp32", rows=ROWS, length=LENGTH, checkpointing=checkpointing == "on",
        objective="dpo",
    )  # fmt: skip
    traced = record(config, recipe.adaptation, setup)
    batch = 3 * 2 * ROWS * LENGTH * 8
    whole = highest(measured.events) - highest(traced.events)
    assert 0 <= whole <= 2 * batch + 32, "more than the batches that are read ahead"
    looking = highest_in(measured, "forward") - highest_in(traced, "forward")
    assert 0 <= looking <= batch + 80, "the reference reads beside all that the policy saved"


class RealAutocast:
    """torch's own autocast; layers that are computed again find it by themselves."""

    def __init__(self, dtype: torch.dtype | None = torch.bfloat16) -> None:
        self._dtype = dtype

    def autocast(self) -> Any:
        return torch.autocast("cpu", self._dtype, enabled=self._dtype is not None)

    def again(self) -> Any:
        return contextlib.nullcontext()


@pytest.mark.parametrize(
    ("adaptation", "checkpointing", "attention"),
    [
        (Lora(dropout=0.1), True, "sdpa"),
        pytest.param(Lora(), False, "eager", marks=pytest.mark.slow),
        pytest.param(Full(), False, "sdpa", marks=pytest.mark.slow),
        (Full(), True, "eager"),
    ],
)
def test_autocast_without_numbers_is_autocast(
    adaptation: Adaptation, checkpointing: bool, attention: Attention
) -> None:
    """The same step, with numbers under torch's autocast and without them under ours."""
    config = json.loads((starter() / "config.json").read_text())
    setup = Setup(cuda=False, rows=2, length=64, checkpointing=checkpointing, attention=attention)
    real, meta = peaks(config, adaptation, setup)
    assert meta == real


def peaks(config: dict[str, Any], adaptation: Adaptation, setup: Setup) -> tuple[int, int]:
    """Of a step with numbers, and of the same step without them; both under autocast."""
    known, attention = read_configuration(config), setup.attention
    real, meta = Recorder(hidden=False), Recorder(hidden=False)
    model = AutoModelForCausalLM.from_config(
        known, dtype=torch.float32, attn_implementation=attention
    )
    if adapter := adaptation.peft_config():
        model = peft.get_peft_model(model, adapter)
    watch_model(real, model)
    take_steps(model, setup, real, RealAutocast())
    routing = Routing(attention, torch.bfloat16, cuda=False)
    empty = build(known, adaptation, setup)
    load(empty, meta, adaptation, setup)
    empty = adapt(empty, adaptation, setup, meta)
    with patched(cuda=False, padded=False), routing:
        take_steps(empty, setup, meta, routing)
    return highest(real.events), highest(meta.events)


SMALL: dict[str, Any] = {
    "vocab_size": 512, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2,
}  # fmt: skip
EXPERTS = {"num_experts_per_tok": 2, "num_local_experts": 8}
FAMILIES: list[dict[str, Any]] = [
    SMALL | {"model_type": "mixtral", **EXPERTS},
    SMALL | {"model_type": "qwen3_moe", "moe_intermediate_size": 64, "num_experts": 8},
    SMALL | {"model_type": "gemma3_text", "head_dim": 32, "sliding_window": 32},
    SMALL | {"model_type": "phi3", "pad_token_id": 0},
    {"model_type": "gpt2", "vocab_size": 512, "n_embd": 128, "n_layer": 2, "n_head": 4},
]


@pytest.mark.parametrize("config", FAMILIES, ids=lambda config: config["model_type"])
def test_families_with_other_layers_are_traced(config: dict[str, Any]) -> None:
    """Experts too: their matrix products take all tokens at once, however they are routed."""
    found = trace(config, QLora(), Setup(rows=2, length=64, padded=True))
    assert found.tensor_bytes < found.allocated_bytes <= found.reserved_bytes
    assert {item.kind for item in found.items} >= {"weights", "adapters", "activations"}


@pytest.mark.parametrize("adaptation", [Full(), Lora(), Lora(targets="attention")])
def test_experts_without_numbers_are_experts(adaptation: Adaptation) -> None:
    """Numbers are routed to experts as they fall; nothing depends on it but a few counts."""
    real, meta = peaks(FAMILIES[0], adaptation, Setup(cuda=False, rows=2, length=64))
    assert 0 <= real - meta <= 8 * EXPERTS["num_local_experts"]


def parts(adaptation: Adaptation, **fields: Any) -> dict[str, int]:
    """Bytes by kind of a small Llama at its peak, and of all of them."""
    setup = Setup(length=64, attention="efficient", **fields)
    found = trace(SMALL | {"model_type": "llama"}, adaptation, setup)
    assert sum(item.bytes for item in found.items) == found.allocated_bytes
    return {item.kind: item.bytes for item in found.items} | {"all": found.allocated_bytes}


@pytest.mark.parametrize("adaptation", [Full(), QLora()])
def test_gpus_divide_what_they_hold_and_gather_a_few_layers(adaptation: Adaptation) -> None:
    alone, two = parts(adaptation), parts(adaptation, sharding="fsdp", gpus=2)
    for kind in {"optimizer"} if adaptation.quantised else {"optimizer", "weights"}:
        assert two[kind] == pytest.approx(alone[kind] / 2, rel=0.1)
    assert two["exchange"] > 0
    assert "exchange" not in alone


@pytest.mark.parametrize(("dtype", "checkpointing"), [("fp32", False), ("bf16", True)])
def test_a_model_shared_without_numbers_is_one_shared_with_numbers(
    dtype: Dtype, checkpointing: bool
) -> None:
    """The same step by torch's fully_shard, on this processor and on nothing."""
    config = read_configuration(json.loads((starter() / "config.json").read_text()))
    setup = Setup(
        cuda=False, dtype=dtype, rows=2, length=64, sharding="fsdp", gpus=2,
        checkpointing=checkpointing,
    )  # fmt: skip
    half = torch.bfloat16 if dtype == "bf16" else None
    real, meta = Recorder(hidden=False), Recorder(hidden=False)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with processes(2), changed(storages(real)):
        shard(model, setup, real)
        take_steps(model, setup, real, RealAutocast(half))
    routing = Routing("sdpa", half, cuda=False)
    empty = build(config, Full(), setup)
    with processes(2), changed(storages(meta)), on_nothing(), patched(cuda=False, padded=False):
        shard(empty, setup, meta)
        with routing:
            take_steps(empty, setup, meta, routing)
    assert highest(meta.events) == highest(real.events)


@pytest.mark.parametrize("adaptation", [Full(), Lora()])
def test_ddp_holds_all_gradients_twice(adaptation: Adaptation) -> None:
    alone, four = parts(adaptation), parts(adaptation, sharding="ddp", gpus=4)
    facts = shape_from_config(SMALL | {"model_type": "llama"})
    assert four["exchange"] == pytest.approx(4 * adaptation.trainable(facts), rel=0.01)
    assert four["all"] - alone["all"] == pytest.approx(four["exchange"], rel=0.01)


def test_buckets_are_those_of_ddp() -> None:
    model = torch.nn.Sequential(*(torch.nn.Linear(700, 700) for _ in range(5)))
    real, ours = Recorder(hidden=False), Recorder(hidden=False)
    watch_model(real, model)
    before = highest(real.events)
    with processes(2), real:
        kept = torch.nn.parallel.DistributedDataParallel(model)
    keep_buckets(kept.parameters(), ours)
    assert highest(ours.events) == real_level(real) - before == 5 * 701 * 700 * 4
    assert len(ours.events) == 2, "1 MiB, then 25"


def real_level(recorder: Recorder) -> int:
    """Bytes that are there after everything that was written down."""
    sizes = {event.number: event.size for event in recorder.events if event.size}
    return sum(sizes[n] for n in sizes if Event(n) not in recorder.events)


@pytest.mark.parametrize(
    ("name", "adaptation"),
    [
        ("mixtral-8x7b", Lora()),
        ("mixtral-8x7b", Full()),
        ("qwen3-30b-a3b", Lora(targets="attention")),
        ("qwen3-30b-a3b", QLora()),
    ],
)
def test_experts_are_counted_as_they_are_traced(name: str, adaptation: Adaptation) -> None:
    config = json.loads((SHAPES / f"{name}.json").read_text()) | {"num_hidden_layers": 2}
    for checkpointing in (False, True):
        setup = Setup(length=2048, checkpointing=checkpointing)
        found = trace(config, adaptation, setup).allocated_bytes
        counted = estimate(shape_from_config(config), adaptation, setup).allocated
        assert counted == pytest.approx(found, rel=0.01)


def test_the_families_whose_experts_are_adapted_are_those_of_peft() -> None:
    """A family that PEFT adds or drops has to be added or dropped in core.adapt.lora."""
    named = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    fused = {
        kind for kind, like in _MODEL_TO_CONVERSION_PATTERN.items() if like in _MOE_FUSED_TARGETS
    }
    adapted = {named[kind] for kind in fused if kind in named}
    assert adapted == {name for name in named.values() if str(name).startswith(STACKED)}
    assert "MixtralForCausalLM" in adapted


LLAMA_8B = SHAPES / "llama-3.1-8b.json"


@pytest.mark.slow
def test_a_model_of_eight_billion_is_traced() -> None:
    """Weights by hand: 7.0e9 of 8.03e9 numbers in 4.127 bits, embeddings and norms in 16 bits."""
    found = trace(json.loads(LLAMA_8B.read_text()), QLora(), Setup(length=2048, checkpointing=True))
    weights = next(item.bytes for item in found.items if item.kind == "weights")
    linear = 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336)
    rest = 2 * 128256 * 4096 + 65 * 4096
    assert weights == pytest.approx(linear * 4.127 / 8 + rest * 2, rel=0.002)
    assert sum(item.bytes for item in found.items) == pytest.approx(
        found.allocated_bytes, rel=0.001
    )
    assert found.phase == "backward"
    assert found.layer == "layer 31"
    assert found.allocated_bytes <= found.expandable_bytes <= found.reserved_bytes * 1.01
    assert max(point.bytes for point in found.timeline) == found.allocated_bytes


@pytest.mark.slow
def test_more_of_everything_takes_more() -> None:
    config = json.loads((SHAPES / "smollm2-135m.json").read_text())
    config["num_hidden_layers"] = 2
    base = Setup(rows=2, length=256, attention="flash")
    small_adapter = Lora()
    small = trace(config, small_adapter, base).allocated_bytes

    def changed(adaptation: Adaptation = small_adapter, **fields: Any) -> int:
        return trace(config, adaptation, base.model_copy(update=fields)).allocated_bytes

    assert changed(rows=4) > small
    assert changed(padded=True) > small, "a mask expands keys and values and is kept"
    assert changed(loss="logits") > small
    assert changed(checkpointing=True) < small
    full = [changed(Full(), optimizer=o) for o in ("paged_adamw", "adamw_8bit", "adamw")]
    assert full == sorted(set(full)), "managed memory is not counted, 8 bits are less than 32"
    assert changed(attention="eager") > small


@pytest.mark.parametrize(
    ("config", "setup", "said"),
    [
        ({}, Setup(), "not describe a model of a known family"),
        ({"model_type": "no such"}, Setup(), "not describe a model of a known family"),
        ({"model_type": "llama", "hidden_size": "wide"}, Setup(), "family|built"),
        ({"model_type": "vit"}, Setup(), "No model can be built"),
        (SMALL | {"model_type": "llama"}, Setup(objective="grpo"), "only imitation"),
        (SMALL | {"model_type": "llama"}, Setup(objective="dpo", loss="logits"), "fused output"),
        (SMALL | {"model_type": "llama"}, Setup(objective="dpo", gpus=2), "pairs on several"),
        (SMALL | {"model_type": "llama"}, Setup(sharding="zero3", gpus=2), "ZeRO not"),
        (SMALL | {"model_type": "llama"}, Setup(gpus=2), "need a way to share"),
        (SMALL | {"model_type": "llama"}, Setup(sharding="ddp", gpus=2, cuda=False), "processors"),
        (SMALL | {"model_type": "llama"}, Setup(offload=True), "offloading"),
        (SMALL | {"model_type": "lfm2"}, Setup(), "cannot be traced"),
    ],
)
def test_what_cannot_be_traced_is_said_in_a_sentence(
    config: dict[str, Any], setup: Setup, said: str
) -> None:
    with pytest.raises(CoreError, match=said) as caught:
        trace(config, Lora(), setup)
    assert "\n" not in str(caught.value)
    assert caught.value.hint


@pytest.mark.slow
def test_the_engine_answers_and_remembers(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(SMALL | {"model_type": "llama"}))
    found = launch.trace(tmp_path, QLora(), Setup(length=128))
    again = launch.trace(path, QLora(), Setup(length=128))
    assert again == found, "a second trace would have taken another number of seconds"
    assert again.reserved_bytes > 0


def test_the_engine_refuses_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama", "num_hidden_layers": -4}')
    with pytest.raises(CoreError, match="num_hidden_layers is -4"):
        launch.trace(tmp_path, Lora(), Setup())


@pytest.mark.slow
def test_the_terminal_traces_too(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plan", "--model", "starter", "--seq-len", "64", "--json"]
    documents = []
    for exact in ([], ["--exact"]):
        assert cli.main([*words, *exact]) == 0
        documents.append(json.loads(capsys.readouterr().out)["memory"])
    quick, traced = documents
    assert (quick["method"], traced["method"]) == ("closed-form", "traced")
    assert sum(item["bytes"] for item in traced["items"]) == traced["total_bytes"]
    assert traced["allocated_bytes"] != quick["allocated_bytes"] > 0


def test_what_nobody_measured_is_less_sure() -> None:
    """A trace that was never compared with a card says so in its bill."""
    small = SMALL | {"model_type": "llama"}
    quick = estimate(shape_from_config(small), Lora(), Setup(length=64))
    usual = trace(small, Lora(), Setup(length=64)).bill(quick, Setup(length=64))
    several = Setup(length=64, sharding="ddp", gpus=2)
    shared = trace(small, Lora(), several).bill(quick, several)
    assert (usual.note, shared.note.count("several GPUs")) == ("", 1)
    assert usual.band < shared.band
