"""Adapters that begin with something computed: right, closer to the model, and only once."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft.tuners.lora import EvaConfig, Linear4bit, LoraLayer, get_eva_state_dict
from safetensors.torch import load_file, save_file

from core.engine import beginnings
from core.engine.beginnings import Files, batches_of, begin, halves
from core.engine.load import open_weights
from core.engine.score import joined
from core.errors import DataError, ModelError
from core.events import Event, Phase, Started, Step
from core.places import starter
from core.recipe import Recipe
from core.rundir import RunDir
from tests.engine.conftest import create, go

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]
Look = Callable[[Any, Any], None]


def begun(tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch, look: Look) -> RunDir:
    """One step of a run; `look` sees model and lesson when the adapter has begun."""

    def looked_at(model: Any, lesson: Any, folder: Path, progress: Any) -> None:
        begin(model, lesson, folder, progress)
        look(model, lesson)

    monkeypatch.setattr("core.engine.run.begin", looked_at)
    run = create(tmp_path / "run", recipe.edit("training.max_steps", 1))
    go(run)
    return run


def layers(model: Any) -> dict[str, Any]:
    return {name: one for name, one in model.named_modules() if isinstance(one, LoraLayer)}


@pytest.mark.slow
def test_eva_looks_along_the_directions_that_peft_finds(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the same two batches; PEFT would go round the rows for ever until it is content."""
    monkeypatch.setattr(beginnings, "ALIKE", -1.0)
    seen = []

    def compare(model: Any, lesson: Any) -> None:
        rows = [joined(batch, lesson.pad, model.device) for batch in batches_of(lesson)]
        config = copy.copy(model.peft_config["default"])
        config.eva_config = EvaConfig(rho=1.0)
        config.eva_config.tau = -1.0  # content at once
        theirs = get_eva_state_dict(model, rows, config, show_progress_bar=False)
        ours = {name: one.lora_A["default"].weight for name, one in layers(model).items()}
        assert theirs.keys() == ours.keys()
        for name, found in theirs.items():
            torch.testing.assert_close(ours[name], found.float(), rtol=1e-4, atol=1e-4)
        seen.extend(theirs)

    chosen = {"kind": "lora", "init": "eva", "rank": 4}
    begun(tmp_path, recipe.edit("adaptation", chosen), monkeypatch, compare)
    assert len(seen) == 28


@pytest.mark.slow
def test_loftq_gives_back_what_four_bits_lose(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, found = load_file(starter() / "model.safetensors"), {}

    def compare(model: Any, lesson: Any) -> None:
        found["loftq"] = lesson.measure(model).loss
        with model.disable_adapter():
            found["nf4"] = lesson.measure(model).loss
        own = open_weights(starter(), "cpu", torch.float32)
        found["own"] = lesson.measure(own).loss
        for name, layer in layers(model).items():
            assert isinstance(layer, Linear4bit)
            weight = stored[f"{name.removeprefix('base_model.model.')}.weight"].float()
            base = layer.get_base_layer().weight
            kept = beginnings.dequantize_4bit(base.data, base.quant_state).float()
            lost, left = weight - kept, weight - kept - layer.get_delta_weight("default")
            best = torch.linalg.svdvals(lost)[layer.r["default"] :].norm()
            assert left.norm() < 0.95 * lost.norm()
            assert left.norm() < 1.01 * best

    chosen = {"kind": "qlora", "init": "loftq", "rslora": True, "rank_pattern": ["q_proj=64"]}
    begun(tmp_path, recipe.edit("adaptation", chosen), monkeypatch, compare)
    assert abs(found["loftq"] - found["own"]) < 0.7 * abs(found["nf4"] - found["own"])


@pytest.mark.slow
def test_what_is_learned_over_loftq_is_kept_in_the_merge(tmp_path: Path, recipe: Recipe) -> None:
    from core.engine.merge import merge
    from core.merging import mergeable

    chosen = recipe.edit("adaptation", {"kind": "qlora", "init": "loftq"})
    run = create(tmp_path / "run", chosen.edit("training.max_steps", 3))
    go(run)
    assert merge(mergeable(run)).proof.close


@pytest.mark.slow
@pytest.mark.parametrize("chosen", [("qlora", "loftq"), ("lora", "eva")])
def test_a_run_that_goes_on_begins_nothing_anew(
    tmp_path: Path, recipe: Recipe, chosen: tuple[str, str]
) -> None:
    kind, init = chosen
    made = recipe.edit("adaptation", {"kind": kind, "init": init})
    run = create(tmp_path / "run", made.edit("training.max_steps", 3).edit("checks.every", 3))

    def stop(run: RunDir, event: Event) -> None:
        if isinstance(event, Step) and event.step == 1:
            run.ask("stop")

    go(run, stop)
    go(run)
    told = list(run.events())
    again = [at for at, event in enumerate(told) if isinstance(event, Started)][1]
    parts = [
        {event.name for event in part if isinstance(event, Phase)}
        for part in (told[:again], told[again:])
    ]
    assert "beginning" in parts[0]
    assert "beginning" not in parts[1]
    shown = [event for event in told if isinstance(event, Phase) and event.name == "beginning"]
    assert all(event.total and event.done is not None for event in shown)


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["dpo", "kto", "orpo", "pretrain", "reward", "grpo", "ppo"])
def test_eva_looks_at_the_rows_of_other_objectives(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch, objective: str
) -> None:
    data = tmp_path / "rows.jsonl"
    rows: list[dict[str, Any]]
    rows = [{"prompt": f"{n}?", "chosen": "yes, of course", "rejected": "no"} for n in range(24)]
    if objective == "pretrain":
        rows = [{"text": "It was a dark and stormy night, and it rained. " * 4}] * 24
    if objective == "kto":
        rows = [{"prompt": f"{n}?", "completion": "yes", "label": n % 2 > 0} for n in range(24)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    goal: dict[str, Any] = {"kind": objective}
    earns = objective in ("grpo", "ppo")
    if earns:
        goal |= {"rewards": [{"kind": "exact"}], "longest_answer": 8}
    made = recipe.edit("objective", goal).edit("adaptation", {"kind": "lora", "init": "eva"})
    if not earns:
        made = made.edit("data", {"path": str(data), "heldout_share": 0.2})
    turned = []

    def look(model: Any, lesson: Any) -> None:
        for layer in layers(model).values():
            side = layer.lora_A["default"].weight
            torch.testing.assert_close(side @ side.T, torch.eye(16), rtol=1e-3, atol=1e-3)
            turned.append(layer)

    begun(tmp_path, made.edit("training.micro_batch", 4), monkeypatch, look)
    assert len(turned) == 28


def test_too_little_to_look_along_is_said(tmp_path: Path, recipe: Recipe, tickets: Path) -> None:
    few = tmp_path / "few.jsonl"
    few.write_text("".join(tickets.read_text("utf-8").splitlines(True)[:2]), encoding="utf-8")
    made = recipe.edit("data", {"path": str(few), "heldout_share": 0})
    run = create(
        tmp_path / "run", made.edit("adaptation", {"kind": "lora", "init": "eva", "rank": 128})
    )
    with pytest.raises(DataError, match="fewer than 256 learned tokens"):
        go(run)


def test_halves_are_the_closest_matrix() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(40, 4) @ torch.randn(4, 60)
    up, down = halves(matrix, 4)
    assert (up.shape, down.shape) == ((40, 4), (4, 60))
    torch.testing.assert_close(up @ down, matrix, rtol=1e-4, atol=1e-4)
    thin, flat = halves(torch.randn(8, 60), 8)
    assert (thin.shape, flat.shape) == ((8, 8), (8, 60)), "no more directions than rows"


def test_weights_are_found_in_parts_and_under_another_stack(tmp_path: Path) -> None:
    numbers = torch.arange(12.0).reshape(3, 4)
    names = [f"model.language_model.layers.{n}.mlp.up_proj.weight" for n in range(2)]
    parts = {name: f"model-{n}.safetensors" for n, name in enumerate(names)}
    for n, (name, file) in enumerate(parts.items()):
        save_file({name: numbers + n}, tmp_path / file)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": parts}), encoding="utf-8")
    here = "base_model.model.model.layers.1.mlp.up_proj"
    files = Files(tmp_path, [here])
    assert torch.equal(files.weight(here, numbers.shape), numbers + 1)
    with pytest.raises(ModelError, match="as it is loaded"):
        files.weight(here, torch.Size((4, 3)))
    with pytest.raises(ModelError, match="down_proj"):
        files.weight(here.replace("up", "down"), numbers.shape)
