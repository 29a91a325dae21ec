"""DPO, step by step: the reference, the pairs, and what is said of them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from trl import DPOConfig, DPOTrainer

from core.dataset import Example
from core.describe import _scores, examples
from core.engine.emit import Voice
from core.engine.encode import IGNORED, prepare_template
from core.engine.load import load_model, load_tokenizer
from core.engine.pairs import encode_pairs
from core.engine.prefer import Prefer, PreferenceTrainer, _columns
from core.engine.preview import preview
from core.engine.run import Job, _make_trainer, read_rows
from core.engine.wishes import Wishes
from core.errors import DataError
from core.events import Event, Step
from core.objectives import DPO
from core.places import sample, starter
from core.plan import Plan
from core.recipe import Recipe, parse
from core.rundir import RunDir
from core.tokens import AnswerSide
from core.watch import _line
from tests.engine.conftest import create, go, losses, weights

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]
LONG = "word " * 300
LOSSES = get_args(DPO.model_fields["loss_type"].annotation)
OFTEN = ["sigmoid", "ipo", "aot"]


@pytest.fixture(scope="session")
def pairs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 60 sample preferences in a file of their own."""
    path = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    lines = sample("preferences.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:60]), encoding="utf-8")
    return path


@pytest.fixture
def recipe(pairs_file: Path) -> Recipe:
    """Four steps of four pairs on the starter model, without generated answers."""
    return parse(
        {
            "model": "starter",
            "data": {"path": str(pairs_file), "heldout_share": 0.2},
            "objective": {"kind": "dpo"},
            "training": {
                "max_steps": 4, "micro_batch": 4, "learning_rate": 2e-3, "warmup": 0,
                "max_length": 64, "device": "cpu",
            },
            "checks": {"every": 4, "save_every": 2, "score_rows": 0, "answer_length": 2},
        }
    )  # fmt: skip


def rows(path: Path, *given: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in given), encoding="utf-8")
    return str(path)


def read(folder: Path, recipe: Recipe) -> tuple[Job, Prefer]:
    """A run that has read its pairs."""
    run = create(folder, recipe)
    settings = Plan.model_validate_json(run.plan_file.read_bytes()).settings
    assert settings is not None
    wishes = Wishes(run, run.control().serial)
    job = Job(run, recipe, settings, Voice(run), wishes, None, run.history())
    _, lesson = read_rows(job, starter())
    job.voice.close()
    assert isinstance(lesson, Prefer)
    return job, lesson


def ready(folder: Path, recipe: Recipe) -> tuple[PreferenceTrainer, Prefer]:
    """A trainer that has not taken a step."""
    job, lesson = read(folder, recipe)
    model = load_model(starter(), recipe, job.settings)
    lesson.prepare(model, lambda *_: None)
    trainer = _make_trainer(job, model, load_tokenizer(starter()), lesson)
    assert isinstance(trainer, PreferenceTrainer)
    return trainer, lesson


@pytest.mark.parametrize("kind", ["lora", pytest.param("full", marks=pytest.mark.slow)])
def test_it_starts_at_log_2_and_one_by_four_equals_four_by_one(
    tmp_path: Path, recipe: Recipe, kind: str
) -> None:
    """Model and reference are the same at first, so no pair is preferred: the loss is log 2."""
    recipe = recipe.edit("adaptation", {"kind": kind}).edit("training.max_steps", 3)
    recipe = recipe.edit("training.learning_rate", 2e-3 if kind == "lora" else 1e-4)
    found = {}
    for micro in (1, 4):
        changed = recipe.edit("training.micro_batch", micro)
        run = create(tmp_path / str(micro), changed.edit("training.accumulation", 4 // micro))
        story = go(run)
        folder = run.adapter if kind == "lora" else run.model
        (file,) = folder.glob("*.safetensors")
        found[micro] = (losses(story), load_file(file))
        assert losses(story)[0] == pytest.approx(math.log(2), abs=1e-6)
        assert losses(story)[-1] < 0.65
        assert story.before is not None
        assert (story.before.loss, story.before.reward_accuracy) == (math.log(2), 0.5)
    assert found[1][0] == pytest.approx(found[4][0], rel=1e-4)
    for name, tensor in found[1][1].items():
        torch.testing.assert_close(tensor, found[4][1][name], rtol=1e-2, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("adaptation", [{"kind": "lora", "dropout": 0.1}, {"kind": "full"}])
def test_resumed_equals_uninterrupted_bit_for_bit(
    tmp_path: Path, recipe: Recipe, adaptation: dict[str, Any]
) -> None:
    """After a resume the reference is still the untrained model, not the checkpoint."""
    recipe = recipe.edit("adaptation", adaptation)
    whole, broken = create(tmp_path / "whole", recipe), create(tmp_path / "broken", recipe)
    straight = go(whole)

    def stop_at_two(run: RunDir, event: Event) -> None:
        if isinstance(event, Step) and event.step == 2:
            run.ask("stop")

    assert go(broken, stop_at_two).state == "stopped"
    resumed = go(broken)
    assert [s.step for s in resumed.steps] == [1, 2, 3, 4]
    assert losses(resumed) == losses(straight)
    assert [s.grad_norm for s in resumed.steps] == [s.grad_norm for s in straight.steps]
    assert [(e.loss, e.reward_accuracy) for e in resumed.evaluations] == [
        (e.loss, e.reward_accuracy) for e in straight.evaluations
    ]
    assert weights(broken) == weights(whole)


def test_better_answers_of_new_questions_are_preferred_afterwards(
    tmp_path: Path, recipe: Recipe
) -> None:
    recipe = recipe.edit("training.max_steps", 8).edit("checks.score_rows", 2)
    story = go(create(tmp_path / "run", recipe))
    assert story.before is not None
    assert story.after is not None
    assert (story.before.reward_accuracy, story.before.exact_match) == (0.5, None)
    assert story.after.reward_accuracy is not None
    assert story.after.reward_accuracy > 0.9
    assert story.after.loss < 0.5 < story.before.loss
    assert [answer.correct for answer in story.after.answers] == [None, None]
    assert story.evaluations[-1].reward_accuracy == story.after.reward_accuracy
    line = _line(story.evaluations[-1], story)
    assert f"better answer preferred {story.after.reward_accuracy:.0%}" in line
    told = [line[0] for line in _scores(story.before, story.after)]
    assert told == ["", "held-out loss", "better answer preferred", "margin"]
    assert "Better answer: " in "\n".join(examples(story.before, story.after))


@pytest.mark.parametrize(
    "some", [OFTEN, pytest.param([k for k in LOSSES if k not in OFTEN], marks=pytest.mark.slow)]
)
def test_the_measured_loss_is_the_trained_one(
    tmp_path: Path, recipe: Recipe, some: list[str]
) -> None:
    """Ours on the held-out pairs against TRL's on the same pairs, when the two models differ."""
    trainer, lesson = ready(tmp_path / "run", recipe)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in trainer.model.named_parameters():
        if "lora_B" in name:
            parameter.data = 0.02 * torch.randn(parameter.shape, generator=generator)
    batch = trainer.data_collator([_columns(pair, 64) for pair in lesson.corpus.heldout])
    trainer.beta, trainer.label_smoothing = 0.3, 0.1
    for loss_type in some:
        chosen = {"kind": "dpo", "loss_type": loss_type, "beta": 0.3, "label_smoothing": 0.1}
        lesson.recipe, trainer.loss_types = recipe.edit("objective", chosen), [loss_type]
        found = lesson.measure(trainer.model)
        with torch.no_grad():
            theirs = trainer.compute_loss(trainer.model.eval(), batch)
        assert found.loss == pytest.approx(theirs.item(), rel=1e-4), loss_type
    preferred = trainer._metrics["eval"]["rewards/accuracies"]
    assert [found.reward_accuracy] == pytest.approx(preferred[-1:])
    assert 0 < preferred[-1] < 1, "the test needs a model that differs from the reference"
    assert found.metrics["margin"] == pytest.approx(
        trainer._metrics["eval"]["rewards/margins"][-1], rel=1e-4
    )


@pytest.mark.slow
@pytest.mark.parametrize("loss_type", LOSSES)
def test_every_loss_prefers_better_answers(tmp_path: Path, recipe: Recipe, loss_type: str) -> None:
    chosen = {"kind": "dpo", "loss_type": loss_type, "label_smoothing": 0.05}
    recipe = recipe.edit("objective", chosen).edit("training.max_steps", 8)
    story = go(create(tmp_path / "run", recipe))
    assert story.before is not None
    assert story.after is not None
    assert story.after.metrics["margin"] > 0.05
    assert story.after.reward_accuracy is not None
    if loss_type != "discopop":  # pulls at the pairs that are far apart already
        assert story.after.reward_accuracy > 0.8
    assert (story.after.loss or 0) < (story.before.loss or 0)


def test_the_scored_tokens_are_the_shown_ones(tmp_path: Path, recipe: Recipe) -> None:
    """What TRL asks the model to score is the answers and their end, as the preview shows it."""
    trainer, lesson = ready(tmp_path / "run", recipe)
    asked: list[torch.Tensor] = []
    trainer.model.register_forward_pre_hook(
        lambda module, args, named: asked.append(named["labels"]), with_kwargs=True
    )
    few = lesson.corpus.train[:8]
    trainer.compute_loss(trainer.model, trainer.data_collator(list(lesson.dataset())[:8]))
    policy, reference = asked
    assert (policy == reference).all()
    shown = preview(recipe, 8).rows
    by_line = {(row.line, row.answer): row for row in shown}
    tokenizer = load_tokenizer(starter())
    sides: tuple[AnswerSide, ...] = ("chosen", "rejected")
    both = [(pair.chosen.line, side) for side in sides for pair in few]
    for (line, side), labels in zip(both, policy, strict=True):
        scored = tokenizer.decode(labels[labels != IGNORED])
        pieces = by_line[line, side].pieces
        assert scored == "".join(piece.text for piece in pieces if piece.kind == "trained")
        assert scored.endswith("<|im_end|>")


def test_trl_itself_would_score_these_answers(tmp_path: Path, recipe: Recipe) -> None:
    """TRL's own tokenising differs by the line break after the end of an answer alone."""
    job, lesson = read(tmp_path / "run", recipe)
    given = [json.loads(line) for line in Path(recipe.data.path).read_text().splitlines()]
    messages = [
        {"prompt": [{"role": "user", "content": row["prompt"]}]}
        | {side: [{"role": "assistant", "content": row[side]}] for side in ("chosen", "rejected")}
        for row in given
    ]
    theirs = DPOTrainer(
        model=load_model(starter(), recipe, job.settings),
        args=DPOConfig(
            output_dir=str(tmp_path / "trl"), max_length=64, use_cpu=True, bf16=False,
            report_to="none", gradient_checkpointing=False,
        ),
        train_dataset=Dataset.from_list(messages),
        processing_class=load_tokenizer(starter()),
        peft_config=recipe.adaptation.peft_config(),
    ).train_dataset  # fmt: skip
    (newline,) = load_tokenizer(starter())("\n", add_special_tokens=False)["input_ids"]
    for mine, pair in zip(lesson.dataset(), lesson.corpus.train, strict=True):
        row = theirs[pair.chosen.line - 1]
        assert mine["prompt_ids"] == row["prompt_ids"]
        assert [*mine["chosen_ids"], newline] == row["chosen_ids"]
        assert [*mine["rejected_ids"], newline] == row["rejected_ids"]


def test_only_the_last_answer_of_a_conversation_is_compared() -> None:
    tokenizer = load_tokenizer(starter())
    prepare_template(tokenizer)
    asked = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "And?"},
    ]
    chosen = [*asked, {"role": "assistant", "content": "Good."}]
    rejected = [*asked, {"role": "assistant", "content": "Bad day."}]
    (pair,) = encode_pairs(tokenizer, [Example(1, chosen, rejected)])
    for side, text in zip(pair.sides, ("Good.<|im_end|>", "Bad day.<|im_end|>"), strict=True):
        learned = [token for token, on in zip(side.ids, side.trained, strict=True) if on]
        assert tokenizer.decode(learned) == text


def test_pairs_without_anything_to_learn_are_left_out_aloud(tmp_path: Path, recipe: Recipe) -> None:
    good = {"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}
    cut = {"prompt": "Tell me.", "chosen": LONG + "yes", "rejected": LONG + "no"}
    asked = {"prompt": LONG, "chosen": "yes", "rejected": "no"}
    recipe = recipe.edit("data.path", rows(tmp_path / "rows.jsonl", good, cut, asked, good))
    recipe = recipe.edit("data.heldout", rows(tmp_path / "held.jsonl", good, cut))
    job, lesson = read(tmp_path / "run", recipe)
    told = {w.code: w.text for w in job.run.history().warnings}
    assert told["nothing-to-learn"].startswith("2 rows have nothing to learn within 64 tokens")
    assert "(lines 2, 3)" in told["nothing-to-learn"]
    assert told["heldout-cut"].startswith("1 of 2 held-out rows have nothing to measure")
    assert (len(lesson.corpus.train), len(lesson.corpus.heldout)) == (2, 1)
    counted = preview(recipe, 1)
    assert (counted.tokens.rows, counted.tokens.untrained, counted.tokens.cut) == (4, 2, 2)
    assert counted.tokens.untrained_lines == (2, 3)
    assert [row.answer for row in counted.rows] == ["chosen", "rejected"]


def test_without_held_out_pairs_nothing_is_claimed(tmp_path: Path, recipe: Recipe) -> None:
    bare = recipe.edit("data.heldout_share", 0).edit("training.max_steps", 1)
    story = go(create(tmp_path / "run", bare))
    assert (story.state, story.before, story.after) == ("finished", None, None)


def test_rows_without_a_worse_answer_are_refused(tmp_path: Path, recipe: Recipe) -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    other = recipe.edit("data.path", rows(tmp_path / "chat.jsonl", {"messages": messages}))
    with pytest.raises(DataError, match="Line 1 has no worse answer"):
        go(create(tmp_path / "run", other.edit("data.heldout_share", 0)))
