"""Biases trained beside an adapter: counted, kept, loaded again, merged and resumed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from core import models
from core.engine.arguments import arguments
from core.engine.merge import merge
from core.merging import mergeable
from core.places import starter
from core.recipe import Recipe
from core.rundir import RunDir
from tests.engine.conftest import create, go, plan_of
from tests.engine.test_adaptations import BIASED, check, short, warnings_of
from tests.engine.test_trajectories import goes_on_alike

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]


@pytest.fixture(scope="session")
def biased(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The starter model in 32 bits, with biases in every linear layer."""
    folder = Path(shutil.copytree(starter(), tmp_path_factory.mktemp("biased") / "model"))
    told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    told |= {"attention_bias": True, "mlp_bias": True, "dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(told), encoding="utf-8")
    stored = load_file(folder / "model.safetensors")
    found = {name: weight.float() for name, weight in stored.items()}
    torch.manual_seed(0)
    for name in [name for name in found if name.endswith("_proj.weight")]:
        bias = torch.randn(found[name].shape[0]) * 0.01
        found[name.replace(".weight", ".bias")] = bias
    save_file(found, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(
    "chosen",
    [BIASED[1], *(pytest.param(one, marks=pytest.mark.slow) for one in (BIASED[0], BIASED[2]))],
    ids=lambda c: "-".join(map(str, c.values())),
)
def test_biases_are_learned_and_loaded_again(
    tmp_path: Path,
    recipe: Recipe,
    biased: Path,
    monkeypatch: pytest.MonkeyPatch,
    chosen: dict[str, Any],
) -> None:
    made = short(recipe.edit("model", str(biased)), chosen)
    check(tmp_path, made, monkeypatch)
    saved = load_file(tmp_path / "run" / "adapter" / "adapter_model.safetensors")
    kept = {name: bias for name, bias in saved.items() if name.endswith(".bias")}
    assert len(kept) == 4 * (4 if chosen == BIASED[1] else 7)
    facts = models.look(biased)
    assert sum(map(torch.numel, kept.values())) == made.adaptation.of_biases(facts)
    before = load_file(biased / "model.safetensors")
    for name, bias in kept.items():
        plain = name.removeprefix("base_model.model.").replace(".base_layer", "")
        assert not torch.equal(bias, before[plain]), name


@pytest.mark.slow
@pytest.mark.parametrize("chosen", BIASED, ids=lambda c: "-".join(map(str, c.values())))
def test_trained_biases_resume_bit_for_bit(
    tmp_path: Path, recipe: Recipe, biased: Path, chosen: dict[str, Any]
) -> None:
    goes_on_alike(tmp_path, recipe.edit("model", str(biased)).edit("adaptation", chosen))


@pytest.mark.slow
@pytest.mark.parametrize("chosen", BIASED, ids=lambda c: "-".join(map(str, c.values())))
def test_a_merge_keeps_trained_biases(
    tmp_path: Path, recipe: Recipe, biased: Path, chosen: dict[str, Any]
) -> None:
    run = create(tmp_path / "run", short(recipe.edit("model", str(biased)), chosen, 3))
    go(run)
    made = merge(mergeable(run))
    assert made.proof.difference < 1e-3
    merged = load_file(made.folder / "model.safetensors")
    saved = load_file(run.adapter / "adapter_model.safetensors")
    for name, bias in saved.items():
        if name.endswith(".bias"):
            plain = name.removeprefix("base_model.model.").replace(".base_layer", "")
            assert torch.equal(merged[plain], bias), name


@pytest.mark.slow
@pytest.mark.parametrize("chosen", [{"bias": "all"}, {"train_whole": ["embed_tokens"]}])
def test_32_bits_are_trained_within_a_base_of_16(
    tmp_path: Path,
    recipe: Recipe,
    biased: Path,
    monkeypatch: pytest.MonkeyPatch,
    chosen: dict[str, Any],
) -> None:
    """As on a GPU: trained, measured and asked, though neither goes without mixed arithmetic."""

    def as_here(*given: Any) -> dict[str, Any]:
        return arguments(*given) | {"tf32": None}  # which only a GPU has

    monkeypatch.setattr("core.engine.run.arguments", as_here)
    made = short(recipe.edit("model", str(biased)), {"kind": "lora", **chosen}, 3)
    plan = plan_of(made.edit("checks.score_rows", 2))
    assert plan.settings is not None
    mixed = plan.model_copy(update={"settings": plan.settings.model_copy(update={"bf16": True})})
    run = RunDir.create(tmp_path / "run", made, mixed.model_dump_json())
    story = go(run)
    assert story.state == "finished"
    assert len(story.samples) == 1
    saved = load_file(run.adapter / "adapter_model.safetensors")
    assert {weight.dtype for weight in saved.values()} == {torch.float32}


@pytest.mark.slow
def test_a_reward_model_trains_biases_too(tmp_path: Path, recipe: Recipe, biased: Path) -> None:
    rows = [{"prompt": f"{n}?", "chosen": "yes, of course", "rejected": "no"} for n in range(24)]
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    made = short(recipe.edit("model", str(biased)), {"kind": "lora", "bias": "all"}, 3)
    made = made.edit("objective", {"kind": "reward"})
    run = create(tmp_path / "run", made.edit("data", {"path": str(data), "heldout_share": 0.2}))
    go(run)
    assert "trainable" not in warnings_of(run)
