"""Every adaptation in real runs: what it trains, what it leaves alone, and what can be loaded."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from core import models
from core.adapt import ADAPTATIONS, Adaptation, QLora
from core.engine.meta_model import adapt, build, read_configuration
from core.engine.recorder import Recorder
from core.engine.run import build_trainer
from core.engine.trace import trace
from core.errors import CoreError
from core.events import Warned
from core.history import History
from core.memory import Setup
from core.places import starter
from core.recipe import Recipe
from core.rundir import RunDir
from tests.engine.conftest import create, go, losses

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]
ADAPTERS = [kind for kind in ADAPTATIONS if not kind.trains_base]
SHAPES = Path(__file__).resolve().parents[1] / "data" / "memory" / "shapes"
RATES = {"ia3": 0.05, "vera": 0.05, "p-tuning-v2": 0.1, "prompt": 0.1}
"""Rates that show something in eight steps; others 5e-3."""
REFUSED = ("boft",)
"""Kinds whose library reads numbers that a traced model does not have."""
IDS = torch.arange(20, 60)[None]


def name(kind: type[Adaptation]) -> str:
    return str(kind.model_fields["kind"].default)


def bases(kind: type[Adaptation]) -> list[dict[str, Any]]:
    """Every base that this adaptation is offered on."""
    field = "storage" if "storage" in kind.model_fields else "base"
    if field not in kind.model_fields:
        return [{"kind": name(kind)}]
    stored = get_args(kind.model_fields[field].annotation)
    return [{"kind": name(kind), field: one} for one in stored]


CASES = [case for kind in ADAPTERS for case in bases(kind)]
VARIANTS = [
    {"kind": "lora", **more}
    for more in (
        {"rslora": True, "rank": 64, "alpha": 16}, {"dora": True}, {"init": "gaussian"},
        {"init": "pissa"}, {"init": "olora"}, {"init": "orthogonal"},
        {"init": "eva"}, {"init": "eva", "dora": True, "rank_pattern": ["q_proj=8"]},
        {"train_whole": ["embed_tokens"]}, {"train_whole": ["lm_head"]},
        {"rank_pattern": ["down_proj=32"]}, {"targets": "custom", "modules": ["q_proj", "v_proj"]},
    )
] + [
    {"kind": "qlora", "dora": True}, {"kind": "qlora", "init": "gaussian"},
    {"kind": "qlora", "init": "eva"}, {"kind": "qlora", "init": "eva", "storage": "int8"},
    {"kind": "qlora", "init": "loftq"}, {"kind": "qlora", "init": "loftq", "storage": "fp4"},
    {"kind": "qlora", "compute": "fp32", "double_quantisation": False},
    {"kind": "lokr", "both": True, "factor": 8}, {"kind": "prompt", "init": "random"},
]  # fmt: skip
BIASED = [{"kind": "lora", "bias": bias, "targets": targets, "dora": dora}
          for bias, targets, dora in (
              ("all", "attention", False), ("lora_only", "attention", False),
              ("lora_only", "all-linear", True))]  # fmt: skip
"""On models that have biases."""


def short(recipe: Recipe, chosen: dict[str, Any], steps: int = 6) -> Recipe:
    """A few steps at the automatic rate."""
    return (
        recipe.edit("adaptation", chosen)
        .edit("training.max_steps", steps)
        .edit("training.learning_rate", None)
        .edit("training.accumulation", 1)
        .edit("checks.every", steps)
        .edit("checks.probes", ["What is this?"])
    )


def warnings_of(run: RunDir) -> list[str]:
    return [event.code for event in run.events() if isinstance(event, Warned)]


def fresh(recipe: Recipe) -> Any:
    quantisation = recipe.adaptation.quantisation()
    model = AutoModelForCausalLM.from_pretrained(
        models.resolve(recipe.model), dtype=torch.float32, quantization_config=quantisation
    )
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model.eval()


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS, use_cache=False).logits[:, -IDS.shape[1] :]


def learned(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> tuple[RunDir, History, Any, dict[str, torch.Tensor]]:
    """A run, its trained model, and the frozen numbers that it began with."""
    seen: list[Any] = []
    before: dict[str, torch.Tensor] = {}

    def watched(*given: Any, **named: Any) -> Any:
        trainer = build_trainer(*given, **named)
        seen.append(trainer.model)
        before.update(frozen(trainer.model))
        return trainer

    monkeypatch.setattr("core.engine.run.build_trainer", watched)
    run = create(tmp_path / "run", recipe)
    story = go(run)
    return run, story, seen[0], before


def frozen(model: Any) -> dict[str, torch.Tensor]:
    found = {n: p for n, p in model.named_parameters() if not p.requires_grad}
    return {name: weight.detach().clone() for name, weight in found.items()}


def check(tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    run, story, model, before = learned(tmp_path, recipe, monkeypatch)
    after = frozen(model)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before), "the base moved"
    assert "trainable" not in warnings_of(run), "the formula miscounts"
    assert story.before is not None
    assert story.after is not None
    assert story.before.loss is not None
    assert story.after.loss is not None
    assert story.after.loss < story.before.loss - 0.02, "nothing was learned"
    assert losses(story)[-1] < losses(story)[0]
    base = fresh(recipe)
    plain = logits(base)
    again = logits(PeftModel.from_pretrained(base, run.adapter).eval())
    assert (again - plain).abs().max() > 1e-3, "the adapter changes nothing"
    torch.testing.assert_close(again, logits(model.eval()), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("chosen", CASES + VARIANTS, ids=lambda c: "-".join(map(str, c.values())))
def test_it_learns_and_is_loaded_again(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch, chosen: dict[str, Any]
) -> None:
    check(tmp_path, short(recipe, chosen), monkeypatch)


@pytest.mark.parametrize(
    "chosen", [{"kind": "adalora"}, {"kind": "p-tuning-v2"}, {"kind": "qlora", "storage": "int8"}],
    ids=lambda c: c["kind"],
)  # fmt: skip
def test_one_of_each_sort_learns(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch, chosen: dict[str, Any]
) -> None:
    check(tmp_path, short(recipe, chosen), monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in ADAPTERS if kind.merges], ids=name)
@pytest.mark.parametrize("stored", ["own", "quantised"])
def test_merged_equals_adapter(
    tmp_path: Path, recipe: Recipe, kind: type[Adaptation], stored: str
) -> None:
    """Over a quantised base: merged into its weights as they are used, in 32 bits."""
    found = bases(kind)
    own = [case for case in found if case.get("base", case.get("storage", "own")) == "own"]
    chosen = own if stored == "own" else [case for case in found if case not in own]
    for number, case in enumerate(chosen):
        run = create(tmp_path / str(number), made := short(recipe, case, 3))
        go(run)
        base = fresh(made)
        if made.adaptation.quantised:
            base = base.dequantize().float()
            base.is_loaded_in_4bit = base.is_loaded_in_8bit = False  # left behind; IA3 heeds it
        model = PeftModel.from_pretrained(base, run.adapter).eval()
        beside = logits(model)
        merged = logits(model.merge_and_unload().eval())
        torch.testing.assert_close(merged, beside, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in ADAPTERS if not kind.merges], ids=name)
def test_what_does_not_merge_is_refused_by_the_library(
    tmp_path: Path, recipe: Recipe, kind: type[Adaptation]
) -> None:
    run = create(tmp_path / "run", made := short(recipe, {"kind": name(kind)}, 2))
    go(run)
    model = PeftModel.from_pretrained(fresh(made), run.adapter)
    with pytest.raises((AttributeError, NotImplementedError)):  # prompts; a tuner of our own
        model.merge_and_unload()


def ranks(run: RunDir) -> int:
    """Ranks that are left in an AdaLoRA artefact."""
    weights = load_file(run.adapter / "adapter_model.safetensors")
    return sum(int(weight.count_nonzero()) for name, weight in weights.items() if "lora_E" in name)


@pytest.mark.slow
def test_adalora_ends_with_the_ranks_it_was_given(tmp_path: Path, recipe: Recipe) -> None:
    made = recipe.edit("adaptation", {"kind": "adalora", "rank": 2, "initial_rank": 6})
    run = create(tmp_path / "run", made)
    go(run)
    layers = 4 * 7
    assert ranks(run) == 2 * layers


@pytest.mark.slow
def test_adalora_keeps_directions_apart_and_tells_the_loss_of_the_rows(
    tmp_path: Path, recipe: Recipe
) -> None:
    found = {}
    for weight in (0.0, 10.0):
        made = recipe.edit("adaptation", {"kind": "adalora", "orthogonality": weight})
        run = create(tmp_path / str(weight), made.edit("training.max_steps", 4))
        found[weight] = go(run).steps
    first = [steps[0] for steps in found.values()]
    assert first[0].loss == first[1].loss, "the penalty is not in the loss that is told"
    assert first[0].grad_norm != first[1].grad_norm, "it moves weights"


def test_formulas_count_what_the_library_trains() -> None:
    count_all("starter")


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["llama-3.2-3b", "qwen2.5-0.5b", "smollm2-135m"])
def test_formulas_count_what_the_library_trains_in_large_models(shape: str) -> None:
    count_all(shape)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ADAPTERS, ids=name)
@pytest.mark.parametrize("cuda", [True, False])
def test_a_step_is_traced_or_refused_with_a_reason(kind: type[Adaptation], cuda: bool) -> None:
    config = json.loads((starter() / "config.json").read_text())
    setup = Setup(cuda=cuda, dtype="bf16" if cuda else "fp32", length=64)
    if name(kind) in REFUSED:
        with pytest.raises(CoreError, match="does not fit"):
            trace(config, kind(), setup)
        return
    found = trace(config, kind(), setup)
    assert found.allocated_bytes > 4 * kind().trainable(models.look(starter()))


def test_eight_bits_are_not_traced() -> None:
    config = json.loads((starter() / "config.json").read_text())
    with pytest.raises(CoreError, match="8 bits"):
        trace(config, QLora(storage="int8"), Setup())


def count_all(shape: str) -> None:
    """On tensors without numbers; BOFT reads some, so it is counted in real runs."""
    path = starter() / "config.json" if shape == "starter" else SHAPES / f"{shape}.json"
    facts, config = models.shape_from_config(path), read_configuration(json.loads(path.read_text()))
    setup = Setup(cuda=False, dtype="fp32")
    for kind in ADAPTERS:
        for case in CASES + VARIANTS + BIASED:
            chosen = kind.model_validate(case) if case["kind"] == name(kind) else None
            if chosen is None or chosen.stored != "own" or case["kind"] == "boft":
                continue
            model = adapt(build(config, chosen, setup), chosen, setup, Recorder(hidden=False))
            real = sum(w.numel() for w in model.parameters() if w.requires_grad)
            assert real == chosen.trainable(facts), case


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in ADAPTERS if kind.recomputes], ids=name)
def test_recomputing_changes_no_numbers(
    tmp_path: Path, recipe: Recipe, kind: type[Adaptation]
) -> None:
    found = []
    for switch in ("on", "off"):
        made = short(recipe, {"kind": name(kind)}, 3).edit("training.checkpointing", switch)
        found.append(losses(go(create(tmp_path / switch, made))))
    assert found[0] == pytest.approx(found[1], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ADAPTERS, ids=name)
def test_preferences_are_learned_too(
    tmp_path: Path, recipe: Recipe, kind: type[Adaptation]
) -> None:
    """At first the model is its own reference: the loss of the first step is that of chance."""
    rows = [{"prompt": f"{n}?", "chosen": "yes, of course", "rejected": "no"} for n in range(24)]
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    made = short(recipe, {"kind": name(kind)}, 8).edit("objective", {"kind": "dpo"})
    made = made.edit("data", {"path": str(data), "heldout_share": 0.2})
    made = made.edit("training.learning_rate", RATES.get(name(kind), 5e-3))
    story = go(create(tmp_path / "run", made))
    assert story.after is not None
    assert story.after.loss is not None
    assert story.after.loss < math.log(2) - 0.01
    begins_as_base = not made.adaptation.virtual_tokens
    assert (abs(losses(story)[0] - math.log(2)) < 1e-3) is begins_as_base
