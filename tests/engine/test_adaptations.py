"""Every adaptation in real runs: what it trains, what it leaves alone, and what can be loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from core import models
from core.adapt import ADAPTATIONS, Adaptation
from core.engine.run import build_trainer
from core.events import Warned
from core.history import History
from core.places import starter
from core.recipe import Recipe
from core.rundir import RunDir
from tests.engine.conftest import create, go, losses

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]
ADAPTERS = [kind for kind in ADAPTATIONS if not kind.trains_base]
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
        {"train_whole": ["embed_tokens"]}, {"train_whole": ["lm_head"]},
        {"rank_pattern": ["down_proj=32"]}, {"targets": "custom", "modules": ["q_proj", "v_proj"]},
    )
] + [
    {"kind": "qlora", "dora": True}, {"kind": "qlora", "init": "gaussian"},
    {"kind": "qlora", "compute": "fp32", "double_quantisation": False},
    {"kind": "lokr", "both": True, "factor": 8}, {"kind": "prompt", "init": "random"},
]  # fmt: skip


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
        starter(), dtype=torch.float32, quantization_config=quantisation
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


def test_facts_are_those_of_the_starter() -> None:
    assert models.look(starter()).linear
