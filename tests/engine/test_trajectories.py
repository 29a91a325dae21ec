"""What training does, step by step: the promises that every other figure rests on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from core.adapt import ADAPTATIONS
from core.events import Event, Finished, Step
from core.recipe import Recipe
from core.rundir import RunDir
from tests.engine.conftest import create, go, losses, weights

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]
NAMED = {kind.model_fields["kind"].default: kind for kind in ADAPTATIONS}
KINDS = [pytest.param(kind, marks=[] if kind == "lora" else [pytest.mark.slow]) for kind in NAMED]
MEMORISING = {
    "full": 1e-3, "adalora": 0.02, "loha": 0.02, "lokr": 0.02, "ia3": 0.1, "vera": 0.05,
    "prefix": 0.02, "p-tuning-v2": 0.3, "p-tuning": 0.02, "prompt": 0.3,
}  # fmt: skip
"""Rates at which one row is learned by heart in thirty steps; others 5e-3."""
WEAKER = ("adalora", "loha", "lokr", "prefix", "p-tuning-v2", "p-tuning", "prompt")
"""Kinds that are not done in thirty steps on so small a model."""
CHANCE = ("dropout", "rank_dropout", "module_dropout")


def test_one_by_eight_equals_eight_by_one(tmp_path: Path, recipe: Recipe) -> None:
    runs = {}
    for micro, accumulation in ((1, 8), (8, 1)):
        changed = recipe.edit("training.micro_batch", micro).edit(
            "training.accumulation", accumulation
        )
        run = create(tmp_path / f"{micro}x{accumulation}", changed)
        runs[micro] = (go(run), load_file(run.adapter / "adapter_model.safetensors"))
    one, eight = runs[1], runs[8]
    assert losses(one[0]) == pytest.approx(losses(eight[0]), rel=1e-4)
    for name, tensor in one[1].items():
        torch.testing.assert_close(tensor, eight[1][name], rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_resumed_equals_uninterrupted_bit_for_bit(
    tmp_path: Path, recipe: Recipe, kind: str
) -> None:
    fields = NAMED[kind].model_fields
    drops = {name: 0.1 for name in CHANCE if name in fields}  # a lost random state would show
    goes_on_alike(tmp_path, recipe.edit("adaptation", {"kind": kind} | drops))


@pytest.mark.slow
@pytest.mark.parametrize(
    "chosen", [("lora", "pissa"), ("lora", "eva"), ("qlora", "eva"), ("qlora", "loftq")]
)
def test_a_computed_beginning_resumes_bit_for_bit(
    tmp_path: Path, recipe: Recipe, chosen: tuple[str, str]
) -> None:
    kind, init = chosen
    made = recipe.edit("adaptation", {"kind": kind, "init": init, "dropout": 0.1})
    goes_on_alike(tmp_path, made)


def goes_on_alike(tmp_path: Path, recipe: Recipe, at: int = 5) -> None:
    """Stopped at one of ten steps and resumed, against a run that was left alone."""
    whole = create(tmp_path / "whole", recipe)
    straight = go(whole)

    broken = create(tmp_path / "broken", recipe)

    def stop(run: RunDir, event: Event) -> None:
        if isinstance(event, Step) and event.step == at:
            run.ask("stop")

    half = go(broken, stop)
    assert half.state == "stopped"
    assert half.step == at
    resumed = go(broken)

    assert resumed.state == "finished"
    assert [s.step for s in resumed.steps] == list(range(1, 11))
    assert losses(resumed) == losses(straight)
    assert [s.grad_norm for s in resumed.steps] == [s.grad_norm for s in straight.steps]
    assert [e.loss for e in resumed.evaluations] == [e.loss for e in straight.evaluations]
    assert [s.tokens for s in resumed.steps] == [s.tokens for s in straight.steps]
    assert weights(broken) == weights(whole)


def test_merged_equals_adapter(tmp_path: Path, recipe: Recipe) -> None:
    from peft import PeftModel

    from core.places import starter

    run = create(tmp_path / "run", recipe)
    go(run)
    base = AutoModelForCausalLM.from_pretrained(starter(), dtype=torch.float32)
    ids = torch.arange(20, 60)[None]
    with torch.no_grad():
        plain = base(ids).logits
        adapted = PeftModel.from_pretrained(base, run.adapter)
        with_adapter = adapted(ids).logits
        merged = adapted.merge_and_unload()(ids).logits
    assert (with_adapter - plain).abs().max() > 1e-2, "the adapter changes nothing"
    torch.testing.assert_close(merged, with_adapter, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_artefact_scores_as_reported(tmp_path: Path, recipe: Recipe) -> None:
    """Full fine-tuning: the saved folder, loaded anew, has the loss that the run reported."""
    from core.engine.encode import encode
    from core.engine.load import load_tokenizer
    from core.engine.rows import gather
    from core.engine.score import heldout_loss, padding

    run = create(tmp_path / "run", recipe.edit("adaptation", {"kind": "full"}))
    story = go(run)
    tokenizer = load_tokenizer(run.model)
    corpus = gather(recipe, tokenizer, encode, lambda *_: None, lambda *_: None)
    model = AutoModelForCausalLM.from_pretrained(run.model)
    loss = heldout_loss(model, corpus.heldout, 256, padding(tokenizer))
    assert story.after is not None
    assert loss == pytest.approx(story.after.loss, rel=1e-3)
    assert model.dtype == torch.bfloat16, "the base's own precision"


@pytest.mark.parametrize("kind", KINDS)
def test_a_memorised_row_loses_its_loss(
    tmp_path: Path, recipe: Recipe, tickets: Path, kind: str
) -> None:
    one = tmp_path / "one.jsonl"
    one.write_text(tickets.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    learned = (
        recipe.edit("data", {"path": str(one), "heldout_share": 0})
        .edit("adaptation", {"kind": kind})
        .edit("training.epochs", 30)
        .edit("training.max_steps", 30)
        .edit("training.learning_rate", MEMORISING.get(kind, 5e-3))
    )
    story = go(create(tmp_path / "run", learned))
    assert losses(story)[0] > 1
    assert losses(story)[-1] < (0.8 if kind in WEAKER else 0.1)
    assert story.before is None, "nothing held out, so nothing is claimed"


@pytest.mark.slow
def test_packing_teaches_the_same_tokens(tmp_path: Path, recipe: Recipe) -> None:
    """Packed rows do not see each other: one step over all rows has the unpacked loss."""
    everything = (
        recipe.edit("data.heldout_share", 0)
        .edit("training.max_steps", 1)
        .edit("training.micro_batch", 40)
        .edit("training.accumulation", 1)
    )
    plain = go(create(tmp_path / "plain", everything))
    packed = go(create(tmp_path / "packed", everything.edit("objective.packing", True)))
    assert packed.steps[0].loss == pytest.approx(plain.steps[0].loss, rel=1e-4)


@pytest.mark.slow
def test_checkpointing_changes_memory_not_numbers(tmp_path: Path, recipe: Recipe) -> None:
    short = recipe.edit("training.max_steps", 3)
    off = go(create(tmp_path / "off", short.edit("training.checkpointing", "off")))
    on = go(create(tmp_path / "on", short.edit("training.checkpointing", "on")))
    assert losses(on) == pytest.approx(losses(off), rel=1e-5)


def test_best_checkpoint_becomes_the_artefact(tmp_path: Path, recipe: Recipe) -> None:
    """A rate that overshoots: the last weights are worse than the best ones that are kept."""
    wild = (
        recipe.edit("training.learning_rate", 0.05)
        .edit("training.schedule", "constant")
        .edit("training.epochs", 100)
        .edit("training.max_steps", 40)
        .edit("checks.every", 1)
        .edit("checks.patience", 2)
    )
    run = create(tmp_path / "run", wild)
    story = go(run)
    assert story.best is not None
    assert story.after is not None
    assert story.best.step < story.step, "the test needs a run that gets worse"
    assert story.after.loss == pytest.approx(story.best.loss, rel=1e-5)
    kept = run.saved_steps()
    assert story.best.step in kept
    assert len(kept) <= wild.checks.keep + 1


@pytest.mark.slow
def test_early_stopping_waits_as_told(tmp_path: Path, recipe: Recipe) -> None:
    wild = (
        recipe.edit("training.learning_rate", 0.05)
        .edit("training.schedule", "constant")
        .edit("training.epochs", 100)
        .edit("training.max_steps", 40)
        .edit("checks.every", 1)
        .edit("checks.patience", 3)
    )
    story = go(create(tmp_path / "run", wild))
    assert story.early
    assert story.best is not None
    assert story.step == story.best.step + 3
    assert "no longer improved" in str(story.outcome())


def test_interrupted_after_the_last_step_takes_no_more(tmp_path: Path, recipe: Recipe) -> None:
    run = create(tmp_path / "run", recipe)
    straight = go(run)
    before = weights(run)
    lines = run.events_file.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["kind"] not in ("finished",)]
    run.events_file.write_bytes(b"".join(kept))  # as if killed before the last word
    again = go(run)
    assert again.state == "finished"
    assert again.step == straight.step == 10
    assert weights(run) == before


def test_wishes_are_obeyed_once(tmp_path: Path, recipe: Recipe) -> None:
    asked: list[str] = []

    def press(run: RunDir, event: Event) -> None:
        if isinstance(event, Step) and event.step == 2:
            run.ask("checkpoint")
        if isinstance(event, Step) and event.step == 3:
            run.ask("sample")
        asked.append(event.kind)

    run = create(tmp_path / "run", recipe.edit("checks.keep", 10))
    story = go(run, press)
    assert [c.step for c in story.checkpoints] == [2, 5, 10]
    assert [s.step for s in story.samples] == [3, 3, 5, 5, 10, 10]
    assert asked[-1] == "finished"
    assert isinstance(list(run.events())[-1], Finished)
