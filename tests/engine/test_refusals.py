"""What must never be trained on, or with, and what the user is told instead."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.engine.faults import explain
from core.engine.load import load_tokenizer
from core.errors import DataError, ModelError
from core.places import starter
from core.recipe import Recipe
from tests.engine.conftest import create, go

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the starter model to be damaged."""
    return Path(shutil.copytree(starter(), tmp_path / "model"))


def chat(question: str, answer: str) -> dict[str, list[dict[str, str]]]:
    """One row of chat."""
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    }


def _rewrite(model: Path, change: object) -> None:
    (file,) = model.glob("*.safetensors")
    tensors = load_file(file)
    change(tensors)  # type: ignore[operator]
    save_file(tensors, file, metadata={"format": "pt"})


def test_a_loss_that_is_no_number_never_reaches_the_weights(
    tmp_path: Path, recipe: Recipe, model: Path
) -> None:
    """One input token is poisoned; the rows that hold it are only met while training."""
    data = tmp_path / "rows.jsonl"
    tokenizer = load_tokenizer(model)
    (poison,) = tokenizer("&", add_special_tokens=False)["input_ids"]
    rows = [chat(f"Say {n}.", "one two") for n in range(24)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = recipe.edit("data.heldout", str(data)).edit("checks.save_every", 1)
    rows[0] = chat("Say & now.", "one two")
    mixed = tmp_path / "mixed.jsonl"
    mixed.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def untie_and_poison(tensors: dict[str, torch.Tensor]) -> None:
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
        tensors["model.embed_tokens.weight"][poison] = float("nan")

    _rewrite(model, untie_and_poison)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    run = create(tmp_path / "run", recipe.edit("data.path", str(mixed)).edit("model", str(model)))
    story = go(run)
    assert story.state == "finished"
    assert story.skipped
    assert all(1 in left.rows and len(left.rows) == 4 for left in story.skipped), "line 1 is told"
    for folder in (run.adapter, *map(run.checkpoint, run.saved_steps())):
        saved = load_file(folder / "adapter_model.safetensors")
        assert all(torch.isfinite(tensor).all() for tensor in saved.values())


def test_a_broken_model_is_refused_before_training(
    tmp_path: Path, recipe: Recipe, model: Path
) -> None:
    _rewrite(model, lambda tensors: tensors["model.norm.weight"].fill_(float("nan")))
    run = create(tmp_path / "run", recipe.edit("model", str(model)))
    with pytest.raises(ModelError, match="not finite"):
        go(run)


def test_missing_weights_are_not_replaced_by_chance(
    tmp_path: Path, recipe: Recipe, model: Path
) -> None:
    run = create(tmp_path / "run", recipe.edit("model", str(model)))
    _rewrite(model, lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))
    with pytest.raises(ModelError, match="missing"):
        go(run)


def test_a_template_without_markers_is_refused(tmp_path: Path, recipe: Recipe, model: Path) -> None:
    template = model / "chat_template.jinja"
    text = template.read_text(encoding="utf-8")
    run = create(tmp_path / "run", recipe.edit("model", str(model)))
    unmarked = text.replace("{% generation %}", "").replace("{% endgeneration %}", " ")
    template.write_text(unmarked.replace("{%- generation %}", ""), encoding="utf-8")
    with pytest.raises(ModelError, match="answer"):
        go(run)


def test_rows_without_anything_to_learn_are_named(tmp_path: Path, recipe: Recipe) -> None:
    run = create(tmp_path / "run", recipe.edit("training.max_length", 16))
    with pytest.raises(DataError, match="No row has anything to learn within 16 tokens"):
        go(run)


def test_some_rows_without_anything_to_learn_are_left_out_aloud(
    tmp_path: Path, recipe: Recipe
) -> None:
    long = chat("word " * 400, "yes")
    data = tmp_path / "rows.jsonl"
    text = Path(recipe.data.path).read_text(encoding="utf-8")
    data.write_text(text + json.dumps(long) + "\n", encoding="utf-8")
    story = go(
        create(
            tmp_path / "run",
            recipe.edit("data.path", str(data)).edit("training.max_steps", 1)
            .edit("data.heldout", recipe.data.path),
        )
    )  # fmt: skip
    (warning,) = [w for w in story.warnings if w.code == "nothing-to-learn"]
    assert "1 rows" in warning.text
    assert "41" in warning.text


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, recipe: Recipe) -> None:
    run = create(tmp_path / "run", recipe)
    go(run)
    weights = run.checkpoint(10) / "adapter_model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    step, faults = run.newest_valid()
    assert step == 5
    assert "checksum" in faults[0]


def test_errors_of_libraries_become_sentences() -> None:
    text, hint = explain(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert text == "The GPU ran out of memory."
    assert "micro_batch" in hint
    text, hint = explain(OSError(28, "No space left on device"))
    assert text.startswith("The disk is full: ")
    assert "Make room" in hint
