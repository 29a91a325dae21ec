"""Bottleneck adapters: nothing at first, learned, saved, loaded elsewhere, switched off for DPO."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core.adapt import Bottleneck
from core.answering import Speaker
from core.engine.load import open_weights
from core.engine.speak import open_voice
from core.errors import ModelError
from core.places import starter
from core.recipe import Recipe
from core.rundir import RunDir
from tests.engine.conftest import create, go

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]
ROOT = Path(__file__).resolve().parents[2]
TOKENS = torch.arange(5, 25).reshape(1, -1)
ELSEWHERE = """
import sys
from core.answering import Speaker
from core.engine.speak import open_voice
import torch
torch.set_num_threads(1)
voice = open_voice(Speaker(name="it", model="", run=sys.argv[1]))
with torch.no_grad():
    logits = voice.model.eval()(torch.arange(5, 25).reshape(1, -1), use_cache=False).logits
torch.save(logits, sys.argv[2])
"""


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(TOKENS, use_cache=False).logits
    return found


def adapted(adaptation: Bottleneck) -> Any:
    import peft

    base = open_weights(starter(), "cpu", torch.float32)
    adaptation.prepare(base)
    return peft.get_peft_model(base, adaptation.peft_config())


def choose(recipe: Recipe, steps: int, **fields: Any) -> Recipe:
    adaptation = {"kind": "bottleneck", "placement": "houlsby", "size": 16, **fields}
    recipe = recipe.edit("adaptation", adaptation).edit("training.max_steps", steps)
    return recipe.edit("training.learning_rate", 1e-2).edit("training.max_length", 128)


def spoken(run: RunDir) -> torch.Tensor:
    return logits(open_voice(Speaker(name="it", model="", run=str(run.root))).model)


def load_as_told(run: RunDir) -> Any:
    """What the file beside the adapter says, done to the letter."""
    code = (run.adapter / "README.md").read_text(encoding="utf-8").split("```")[1]
    code = code.removeprefix("python").replace("folder of the base model", str(starter()))
    names: dict[str, Any] = {}
    exec(code.replace("folder of this file", str(run.adapter)), names)
    return names["model"].float()


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
def test_a_fresh_adapter_is_the_base_exactly_and_can_be_switched_off(activation: str) -> None:
    base = logits(open_weights(starter(), "cpu", torch.float32))
    model = adapted(Bottleneck(placement="houlsby", size=8, activation=activation))
    assert torch.equal(logits(model), base)
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == ("bottleneck_" in name)
        if "bottleneck_up" in name:
            torch.nn.init.normal_(parameter)
    assert not torch.equal(logits(model), base)
    with model.disable_adapter():
        assert torch.equal(logits(model), base)
    with pytest.raises(NotImplementedError, match="not linear"):
        model.merge_adapter()


def test_the_count_is_what_peft_trains() -> None:
    from core import models

    for placement in ("pfeiffer", "houlsby"):
        chosen = Bottleneck(placement=placement, size=8)
        trained = adapted(chosen).get_nb_trainable_parameters()[0]
        assert chosen.trainable(models.look(starter())) == trained


def test_adapters_of_32_bits_work_on_a_base_of_16() -> None:
    import peft

    base = open_weights(starter(), "cpu", torch.bfloat16)
    model = peft.get_peft_model(base, Bottleneck(placement="houlsby").peft_config())
    kinds = {p.dtype for p in model.parameters() if p.requires_grad}
    assert kinds == {torch.float32}
    assert logits(model).dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        model.train()(TOKENS, labels=TOKENS, use_cache=False).loss.backward()
    name = "base_model.model.model.layers.0.self_attn.bottleneck_up.default.weight"
    assert float(model.get_parameter(name).grad.abs().sum()) > 0


def test_a_model_of_other_parts_is_refused() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    small = GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=16))
    with pytest.raises(ModelError, match="no mlp in each"):
        Bottleneck().prepare(small)


def test_it_learns_and_only_adapters_are_saved(tmp_path: Path, recipe: Recipe) -> None:
    chosen = choose(recipe, 3).edit("training.checkpointing", "on")
    run = create(
        tmp_path / "run", chosen.edit("data.heldout_share", 0).edit("training.accumulation", 1)
    )
    history = go(run)
    assert history.steps[-1].loss < history.steps[0].loss
    names = load_file(run.adapter / "adapter_model.safetensors")
    assert names
    assert all("bottleneck_" in name for name in names)
    assert json.loads((run.adapter / "adapter_config.json").read_text())["size"] == 16
    assert torch.equal(logits(load_as_told(run)), spoken(run))
    assert not torch.equal(spoken(run), logits(open_weights(starter(), "cpu", torch.float32)))


@pytest.mark.slow
def test_what_was_learned_is_the_same_in_a_new_process(tmp_path: Path, recipe: Recipe) -> None:
    run = create(tmp_path / "run", choose(recipe, 2))
    go(run)
    out = tmp_path / "logits.pt"
    subprocess.run([sys.executable, "-c", ELSEWHERE, run.root, out], cwd=ROOT, check=True)
    torch.testing.assert_close(torch.load(out), spoken(run), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_it_learns_over_a_base_of_4_bits(tmp_path: Path, recipe: Recipe) -> None:
    run = create(tmp_path / "run", choose(recipe, 4, base="nf4"))
    history = go(run)
    assert history.steps[-1].loss < history.steps[0].loss
    assert torch.isfinite(spoken(run)).all()


@pytest.mark.slow
def test_preferences_compare_with_the_base_below(tmp_path: Path, recipe: Recipe) -> None:
    rows = [{"prompt": f"{n}?", "chosen": f"a {n}", "rejected": f"b {n}"} for n in range(12)]
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    chosen = choose(recipe, 3).edit("objective", {"kind": "dpo"})
    chosen = chosen.edit("data", {"path": str(data), "heldout_share": 0})
    steps = go(create(tmp_path / "run", chosen)).steps
    assert steps[0].loss == pytest.approx(0.6931, abs=1e-3), "the same as the reference at first"
    assert steps[-1].loss < steps[0].loss
