"""PPO on the starter model: what is trained, what is kept, and that a run goes on exactly."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import set_seed

from core import durable
from core.engine.emit import Voice
from core.engine.load import load_tokenizer, open_weights
from core.engine.ppo import rollout
from core.engine.ppo.rollout import join, judge, restore
from core.engine.ppo.trainer import InTurns, PolicyTrainer, filled, penalised, shuffled
from core.engine.run import _make_trainer, open_job, read_rows
from core.engine.score import extend
from core.engine.wishes import Wishes
from core.events import Event, Step
from core.objectives import PPO
from core.places import starter
from core.portions import steps_for
from core.recipe import Recipe, parse
from core.rundir import RunDir
from tests.engine.conftest import create, go, losses, plan_of, weights

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]


@pytest.fixture
def recipe(tickets: Path) -> Recipe:
    """Six steps; four of them learn from one rollout, so that checkpoints fall inside of one."""
    return parse(
        {
            "model": "starter",
            "data": {"path": str(tickets), "heldout_share": 0.1},
            "objective": {
                "kind": "ppo", "rewards": [{"kind": "length", "most": 1}], "longest_answer": 6,
                "epochs_per_batch": 2, "minibatches": 2, "kl": "adaptive",
            },
            "training": {
                "max_steps": 6, "micro_batch": 2, "accumulation": 2, "learning_rate": 1e-3,
                "warmup": 0, "max_length": 256, "device": "cpu",
            },
            "checks": {"every": 6, "save_every": 3, "score_rows": 0, "answer_length": 2},
        }
    )  # fmt: skip


def stop_at_three(run: RunDir, event: Event) -> None:
    if isinstance(event, Step) and event.step == 3:
        run.ask("stop")


def check_resume(folder: Path, recipe: Recipe) -> tuple[RunDir, RunDir]:
    """A run in one go, and one that is stopped inside of a rollout: they must end the same."""
    whole, broken = create(folder / "whole", recipe), create(folder / "broken", recipe)
    story = go(whole)
    assert go(broken, stop_at_three).state == "stopped"
    again = go(broken)
    assert again.state == story.state == "finished"
    assert losses(again) == losses(story)
    assert [step.metrics for step in again.steps] == [step.metrics for step in story.steps]
    assert weights(broken) == weights(whole)
    heads = [
        durable.digest(run.checkpoint(6) / "value_head.safetensors") for run in (whole, broken)
    ]
    assert heads[0] == heads[1]
    return whole, broken


def test_an_adapter_learns_and_goes_on_bit_for_bit(tmp_path: Path, recipe: Recipe) -> None:
    whole, _ = check_resume(tmp_path, recipe)
    story = whole.history()
    for step in story.steps:
        assert set(step.metrics) >= {"reward", "kl", "entropy", "value_loss", "length", "clipped"}
        assert all(math.isfinite(value) for value in step.metrics.values())
    assert story.steps[0].metrics["kl"] == 0, "the first rollout is made by the model as it was"
    assert story.steps[4].metrics["kl"] != 0
    assert [step.tokens for step in story.steps] == sorted({step.tokens for step in story.steps})
    kept = load_file(whole.adapter / "adapter_model.safetensors")
    assert all("lora" in name for name in kept), "the value head is no part of the result"
    assert any(bool(tensor.any()) for name, tensor in kept.items() if "lora_B" in name)
    check_checkpoint(whole, story.steps[0].metrics["length"])


def check_checkpoint(run: RunDir, length: float) -> None:
    """The unfinished rollout and the coefficient are in it, and the head has learned."""
    found, facts = restore(run.checkpoint(3), torch.device("cpu"))
    assert found.answers.shape[0] == 8
    assert found.lengths.float().mean() == pytest.approx(length)
    assert facts["coefficient"] == pytest.approx(0.05 * 0.98), "no distance yet: 2 % less"
    assert load_file(run.checkpoint(3) / "value_head.safetensors")["line.weight"].any()


@pytest.mark.slow
def test_full_training_has_a_reference_of_its_own(tmp_path: Path, recipe: Recipe) -> None:
    whole, _ = check_resume(tmp_path, recipe.edit("adaptation", {"kind": "full"}))
    story = whole.history()
    assert story.steps[0].metrics["kl"] == 0
    assert abs(story.steps[4].metrics["kl"]) > 0.01
    before, after = (load_file(folder / "model.safetensors") for folder in (starter(), whole.model))
    assert set(after) == set(before), "nothing but the model"
    assert any(not torch.equal(after[name].float(), before[name].float()) for name in before)


@pytest.mark.slow
def test_what_is_saved_is_what_was_measured(tmp_path: Path, recipe: Recipe) -> None:
    run = create(tmp_path, recipe)
    story = go(run)
    assert story.before is not None
    assert story.after is not None
    assert story.after.loss is None
    assert set(story.before.metrics) == {"reward", "length"}
    model = PeftModel.from_pretrained(
        open_weights(starter(), "cpu", torch.float32), run.adapter
    ).eval()
    job = open_job(run, Voice(run), Wishes(run, run.control().serial))
    _, lesson = read_rows(job, starter())
    job.voice.close()
    assert lesson.measure(model).metrics == story.after.metrics


def learner(folder: Path, recipe: Recipe) -> PolicyTrainer:
    """The trainer of a run that has not begun."""
    run = create(folder, recipe)
    job = open_job(run, Voice(run), Wishes(run, run.control().serial))
    tokenizer, lesson = read_rows(job, starter())
    set_seed(0)
    found = _make_trainer(job, lesson.load(starter(), job.settings), tokenizer, lesson)
    job.voice.close()
    assert isinstance(found, PolicyTrainer)
    return found


def gradients(trainer: PolicyTrainer, numbers: list[int]) -> list[torch.Tensor]:
    """Of the second step of a rollout, added up over its micro-batches."""
    trainer.state.global_step = 1
    parts = trainer.args.gradient_accumulation_steps
    for _ in range(parts):
        loss = trainer.compute_loss(trainer.model, trainer._prepare_inputs({"number": numbers}))
        (loss / parts).backward()
    trained = [*trainer.model.parameters(), *trainer.head.parameters()]
    return [one.grad for one in trained if one.grad is not None]


def test_a_step_is_the_same_however_it_is_divided(tmp_path: Path, recipe: Recipe) -> None:
    recipe = recipe.edit("objective.longest_answer", 16)
    small = learner(tmp_path / "small", recipe)
    numbers = list(range(8))
    found = gradients(small, numbers)
    assert small.rollout is not None
    assert len(set(small.rollout.lengths.tolist())) > 1
    whole = recipe.edit("training.micro_batch", 4).edit("training.accumulation", 1)
    large = learner(tmp_path / "large", whole)
    large.rollout = small.rollout
    again = gradients(large, numbers)
    assert len(found) == len(again) > 2
    assert any(bool(one.any()) for one in found)
    for one, other in zip(found, again, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


THINGS = (
    "dog", "cat", "horse", "garden", "lake", "river", "house", "boat",
    "tree", "school", "friend", "kitchen", "park", "beach", "road", "train",
    "box", "bell", "letter", "farm", "bridge", "apple", "window", "song",
)  # fmt: skip
ASKED = ("Tell me a story about a {}.", "Describe a {}.", "What is a {}?")


@pytest.mark.slow
def test_rewards_rise_and_the_language_is_held(tmp_path: Path, recipe: Recipe) -> None:
    """The starter hardly ever speaks of birds; docs/proofs.md has the figures.

    A reward is at most 1 and a nat costs 0.05, so that more than 20 nats never pay.
    """
    file = tmp_path / "questions.jsonl"
    rows = [{"prompt": ask.format(thing), "answer": "bird"} for thing in THINGS for ask in ASKED]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for path, value in (
        ("data", {"path": str(file), "heldout_share": 0.33}),
        ("objective", {"kind": "ppo", "rewards": [{"kind": "contains"}], "longest_answer": 24}),
        ("training.micro_batch", 16),
        ("training.learning_rate", 3e-3),
        ("training.schedule", "constant"),
        ("training.epochs", 100),
        ("training.max_steps", 80),
        ("checks.every", 80),
        ("checks.save_every", 80),
    ):
        recipe = recipe.edit(path, value)
    story = go(create(tmp_path / "run", recipe))
    rollouts = [step.metrics for step in story.steps[::4]]
    first, last = rollouts[:3], rollouts[-5:]
    assert sum(each["reward"] for each in first) / 3 < 0.15
    assert sum(each["reward"] for each in last) / 5 > 0.5
    assert 1 < sum(each["kl"] for each in last) / 5 < 20
    assert story.before is not None
    assert story.after is not None
    assert story.after.metrics["reward"] > story.before.metrics["reward"] + 0.4


def test_an_answer_ends_with_its_end_token() -> None:
    made = [torch.tensor([5, 9, 7, 0]), torch.tensor([5, 6, 7, 8]), torch.tensor([9, 0])]
    found = join([[1, 2], [3], [4, 4, 4]], made, [9], 0)
    assert found.mask.sum(1).tolist() == [2, 4, 1]
    assert found.ended.tolist() == [True, False, True]
    assert found.ids.tolist() == [[1, 2, 5, 9, 0], [3, 5, 6, 7, 8], [4, 4, 4, 9, 0]]
    assert found.seen.sum(1).tolist() == [4, 5, 4]
    padded_by_end = join([[1]], [torch.tensor([9, 9, 9])], [9], 9)
    assert padded_by_end.mask.tolist() == [[True, False, False]]


def test_a_score_counts_at_the_last_token() -> None:
    written = join([[1], [1]], [torch.tensor([5, 6, 9]), torch.tensor([5, 9])], [9], 0)
    nothing = torch.zeros(2, 3)
    plain = PPO(gamma=0.5, lam=1.0)
    found = judge(written, (nothing, nothing, nothing), torch.tensor([8.0, 2.0]), 0.0, plain)
    assert found.returns.tolist() == [[2.0, 4.0, 8.0], [1.0, 2.0, 0.0]]
    assert found.advantages[1, 2] == 0
    assert found.advantages.sum() == pytest.approx(0, abs=1e-5)


def test_likelihoods_are_those_of_one_row_alone() -> None:
    """Neither padding nor the other rows change what is thought of an answer."""
    model = open_weights(starter(), "cpu", torch.float32).eval()
    tokenizer = load_tokenizer(starter())
    prompts = [[7, 8, 9, 10, 11], [12, 13]]
    made = list(extend(model, tokenizer, prompts, 4, seed=3, do_sample=True, top_k=0))
    with torch.no_grad():
        both, hidden = rollout.logits_of(model, join(prompts, made, [], 0), 0.5)
        for row, (prompt, answer) in enumerate(zip(prompts, made, strict=True)):
            ids = torch.tensor([prompt + answer.tolist()])
            alone = model(input_ids=ids, use_cache=False, output_hidden_states=True)
            logits = alone.logits[0, len(prompt) - 1 : -1] / 0.5
            torch.testing.assert_close(both[row], logits, atol=1e-4, rtol=1e-4)
            state = alone.hidden_states[-1][0, len(prompt) - 1 : -1]
            torch.testing.assert_close(hidden[row], state, atol=1e-4, rtol=1e-4)


def test_each_group_of_questions_comes_as_often_as_it_is_learned_from() -> None:
    turns = InTurns(rows=5, size=2, times=3, seed=4)
    turns.set_epoch(1)
    order = list(turns)
    groups = [order[start : start + 2] for start in range(0, len(order), 2)]
    assert len(order) == len(turns) == 18
    assert groups[0] == groups[1] == groups[2] != groups[3]
    assert groups[-1] == [groups[-1][0]] * 2, "the last one is asked twice"
    assert set(order) == set(range(5))
    assert shuffled(5, 4, 1) == shuffled(5, 4, 1) != shuffled(5, 4, 2)
    assert filled([1, 2], 5) == [1, 2, 1, 2, 1]


def test_an_epoch_asks_every_question_once(recipe: Recipe) -> None:
    """36 questions, 4 a step, each rollout learned from twice."""
    recipe = recipe.edit("training.max_steps", None).edit("training.epochs", 1)
    settings = plan_of(recipe).settings
    assert settings is not None
    assert steps_for(recipe, settings, 36) == 18


def test_a_number_on_its_way_through_the_data_loader_is_its_question(
    tmp_path: Path, recipe: Recipe
) -> None:
    run = create(tmp_path / "run", recipe)
    with contextlib.closing(Voice(run)) as voice:
        _, lesson = read_rows(open_job(run, voice, Wishes(run, 0)), starter())
    asked, rows = lesson.extras()["asked"], lesson.dataset()
    assert len(rows) == len(asked) > 4
    for row in rows:
        assert asked[row["number"]].ids == row["input_ids"]
        assert asked[row["number"]].messages


def test_an_answer_without_an_end_costs() -> None:
    written = join([[1], [1]], [torch.tensor([5, 9]), torch.tensor([5, 6])], [9], 0)
    assert penalised([1.0, 1.0], written, PPO(missing_end_penalty=0.25)).tolist() == [1.0, 0.75]
