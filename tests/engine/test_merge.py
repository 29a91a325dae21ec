"""An adapter as part of its model: written whole, read again, and proven to answer alike."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from core import cli, durable, models
from core.engine.load import load_tokenizer, open_weights
from core.engine.merge import merge
from core.errors import RunError
from core.merging import Merge, mergeable, whole_model
from core.places import starter
from core.recipe import Recipe
from tests.engine.conftest import create, go

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]


def test_a_merged_model_answers_like_model_and_adapter(tmp_path: Path, recipe: Recipe) -> None:
    from peft import PeftModel

    run = create(tmp_path / "run", recipe.edit("training.max_steps", 4))
    go(run)
    assert whole_model(run) is None
    made = merge(mergeable(run))
    assert whole_model(run) == made.folder == run.merged
    assert durable.verify(made.folder) is None
    assert made.proof.close
    assert made.proof.tokens > 100
    base = open_weights(starter(), "cpu", torch.float32)
    trained = PeftModel.from_pretrained(base, run.adapter).merge_and_unload().to(torch.bfloat16)
    written = load_file(made.folder / "model.safetensors")
    changed = load_file(starter() / "model.safetensors")
    for name, tensor in written.items():
        assert torch.equal(tensor, trained.state_dict()[name]), name
    assert any(not torch.equal(tensor, changed[name]) for name, tensor in written.items())
    assert models.look(made.folder).stored == models.look(starter()).stored
    assert AutoTokenizer.from_pretrained(made.folder).chat_template


@pytest.mark.slow
def test_over_a_4_bit_base_the_unpacked_weights_are_merged(tmp_path: Path, recipe: Recipe) -> None:
    """They are what the adapter was trained on; the original ones would answer otherwise."""
    chosen = recipe.edit("adaptation", {"kind": "qlora"}).edit("training.max_steps", 2)
    run = create(tmp_path / "run", chosen)
    go(run)
    made = merge(Merge(run=run.root, out=tmp_path / "whole"))
    assert made.proof.close
    config = json.loads((made.folder / "config.json").read_text(encoding="utf-8"))
    assert "quantization_config" not in config


@pytest.mark.slow
def test_a_merged_model_stops_where_the_template_of_the_training_ends(
    tmp_path: Path, recipe: Recipe
) -> None:
    """The base stops at another token, and a merged folder is all that others have."""
    base = shutil.copytree(starter(), tmp_path / "base")
    settings = json.loads((base / "generation_config.json").read_text(encoding="utf-8"))
    (base / "generation_config.json").write_text(json.dumps(settings | {"eos_token_id": 7}))
    chosen = recipe.edit("model", str(base)).edit("data.template", "alpaca")
    run = create(tmp_path / "run", chosen.edit("training.max_steps", 2))
    go(run)
    made = merge(mergeable(run))
    told = json.loads((made.folder / "generation_config.json").read_text(encoding="utf-8"))
    assert load_tokenizer(made.folder).eos_token_id in told["eos_token_id"]


def test_the_terminal_refuses_what_has_no_adapter(
    tmp_path: Path, recipe: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    run = create(tmp_path / "run", recipe)
    with pytest.raises(RunError, match="no adapter to merge"):
        mergeable(run)
    assert cli.main(["export", str(run.root), "--json"]) == 2
    assert "no adapter to merge" in json.loads(capsys.readouterr().out)["error"]
