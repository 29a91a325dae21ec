"""Partial training: what is chosen changes, nothing else, and the result is a whole model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core import models
from core.adapt import Freeze
from core.answering import Speaker
from core.engine.load import load_model, open_weights
from core.engine.speak import open_voice
from core.places import starter
from core.recipe import Recipe
from tests.engine.conftest import create, go, plan_of

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]
CHOICES = [
    Freeze(last=1),
    Freeze(last=1, norms=True),
    Freeze(last=2, embeddings=True),
    Freeze(last=1, head=True, norms=True),
    Freeze(last=1000),
]


@pytest.mark.parametrize("chosen", CHOICES, ids=str)
def test_the_count_is_what_is_trained(chosen: Freeze) -> None:
    model = open_weights(starter(), "cpu", torch.float32)
    chosen.prepare(model)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert chosen.trainable(models.look(starter())) == trained


def small(folder: Path, kind: str, dtype: str = "float32") -> Any:
    """A small model of a family, its tables apart, saved in a folder."""
    from transformers import AutoConfig, AutoModelForCausalLM

    vocab = models.look(starter()).vocab
    config = AutoConfig.for_model(
        kind, vocab_size=vocab, hidden_size=16, intermediate_size=24, num_hidden_layers=3,
        num_attention_heads=2, num_key_value_heads=1, head_dim=8, tie_word_embeddings=False,
        pad_token_id=0,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(starter() / name, folder)
    return model


@pytest.mark.parametrize("kind", ["qwen2", "qwen3", "gemma3_text", "mistral"])
def test_the_count_holds_in_other_families(tmp_path: Path, kind: str) -> None:
    model = small(tmp_path, kind)
    facts = models.look(tmp_path)
    for chosen in (*CHOICES, Freeze(embeddings=True, head=True)):
        chosen.prepare(model)
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        assert chosen.trainable(facts) == trained


def test_only_the_last_layer_changes_and_the_result_is_a_model(
    tmp_path: Path, recipe: Recipe
) -> None:
    chosen = recipe.edit("adaptation", {"kind": "freeze", "last": 1}).edit("training.max_steps", 3)
    chosen = chosen.edit("training.checkpointing", "on").edit("training.max_length", 128)
    run = create(tmp_path / "run", chosen.edit("data.heldout_share", 0))
    history = go(run)
    assert history.steps[-1].loss < history.steps[0].loss
    before, after = (load_file(p / "model.safetensors") for p in (starter(), run.model))
    last = f"model.layers.{models.look(starter()).layers - 1}."
    changed = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith(last) for name in changed)
    assert after.keys() == before.keys()
    spoken = open_voice(Speaker(name="it", model="", run=str(run.root))).model.state_dict()
    assert all(torch.equal(spoken[name], tensor.to(spoken[name].dtype))
               for name, tensor in after.items())  # fmt: skip


@pytest.mark.parametrize(("stored", "loaded"), [("bfloat16", "bfloat16"), ("float16", "float32")])
def test_frozen_weights_are_never_rounded_on_the_way(
    tmp_path: Path, recipe: Recipe, stored: str, loaded: str
) -> None:
    """What is frozen is saved again; only what bfloat16 holds exactly may be held in it."""
    small(tmp_path, "qwen2", stored)
    chosen = recipe.edit("adaptation", {"kind": "freeze"})
    settings = plan_of(chosen).settings
    assert settings is not None
    on_gpu = settings.model_copy(update={"bf16": True})
    opened = load_model(tmp_path, chosen, on_gpu)
    assert {p.dtype for p in opened.parameters()} == {getattr(torch, loaded)}
    before = load_file(tmp_path / "model.safetensors")
    for name, parameter in opened.named_parameters():
        assert torch.equal(parameter.to(before[name].dtype), before[name])


@pytest.mark.slow
def test_preferences_compare_with_the_model_as_it_was(tmp_path: Path, recipe: Recipe) -> None:
    rows = [{"prompt": f"{n}?", "chosen": f"a {n}", "rejected": f"b {n}"} for n in range(12)]
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    chosen = recipe.edit("adaptation", {"kind": "freeze"}).edit("objective", {"kind": "dpo"})
    chosen = chosen.edit("data", {"path": str(data), "heldout_share": 0})
    steps = go(create(tmp_path / "run", chosen.edit("training.max_steps", 3))).steps
    assert steps[0].loss == pytest.approx(0.6931, abs=1e-3), "the same as the reference at first"
    assert steps[-1].loss < steps[0].loss
