"""GRPO and RLOO, step by step: what is asked, what is rewarded, and what is learned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core.engine.asked import encode_asked
from core.engine.encode import prepare_template, question
from core.engine.load import load_tokenizer
from core.engine.measure import measure
from core.engine.preview import preview
from core.engine.rows import gather
from core.errors import RunError
from core.events import Event, Step
from core.history import History
from core.objectives.rewarded import Rewarded
from core.places import starter
from core.recipe import Recipe, parse
from core.rundir import RunDir
from tests.engine.conftest import create, go, losses, plan_of, weights

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]
KINDS = ("grpo", "rloo")


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Twelve questions with short known answers."""
    rows = [{"prompt": f"Is {n} even?", "answer": "no" if n % 2 else "yes"} for n in range(12)]
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def recipe(questions: Path) -> Recipe:
    """Four steps of two questions with four answers each."""
    return parse(
        {
            "model": "starter",
            "data": {"path": str(questions), "format": "prompts", "heldout_share": 0.2},
            "objective": {
                "kind": "grpo", "answers_per_prompt": 4, "longest_answer": 6, "beta": 0.04,
                "rewards": [{"kind": "length", "most": 2}, {"kind": "regex", "pattern": "[aeiou]"}],
            },
            "training": {
                "max_steps": 4, "micro_batch": 4, "accumulation": 2, "learning_rate": 1e-3,
                "warmup": 0, "device": "cpu",
            },
            "checks": {"every": 2, "score_rows": 0, "answer_length": 2},
        }
    )  # fmt: skip


def of_kind(recipe: Recipe, kind: str, **more: Any) -> Recipe:
    """The same with the other objective."""
    raw = recipe.objective.model_dump(mode="json", exclude={"loss_type"})
    return recipe.edit("objective", raw | {"kind": kind} | more)


def told(history: History) -> list[Any]:
    """Everything that a run says of its steps and evaluations, but times."""
    steps = [(s.step, s.loss, s.grad_norm, s.tokens, s.metrics) for s in history.steps]
    return [*steps, *[(e.step, e.metrics, e.best) for e in history.evaluations]]


def stopped_and_resumed(run: RunDir, at: int) -> History:
    """A run that is stopped after a step and goes on."""

    def stop(run: RunDir, event: Event) -> None:
        if isinstance(event, Step) and event.step == at:
            run.ask("stop")

    assert go(run, stop).state == "stopped"
    return go(run)


def test_it_learns_from_answers_to_our_tokens(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRL generates from the very tokens of use, and every figure of a step is told."""
    from core.engine.group import GRPOWatched

    asked: list[list[int]] = []
    generate = GRPOWatched._generate_single_turn

    def listening(self: Any, prompt_ids: list[list[int]], *rest: Any, **named: Any) -> Any:
        asked.extend(prompt_ids)
        return generate(self, prompt_ids, *rest, **named)

    monkeypatch.setattr(GRPOWatched, "_generate_single_turn", listening)
    run = create(tmp_path / "run", recipe)
    story = go(run)
    tokenizer = load_tokenizer(starter())
    prepare_template(tokenizer)
    known = [question(tokenizer, [{"role": "user", "content": f"Is {n} even?"}]) for n in range(12)]
    assert len(asked) == 4 * 8
    assert all(ids in known for ids in asked)
    assert [len({tuple(ids) for ids in asked[at : at + 4]}) for at in range(0, 32, 4)] == [1] * 8
    names = {"reward", "kl_per_token", "entropy", "length", "reward/length", "reward/regex"}
    for step in story.steps:
        assert set(step.metrics) == names
        parts = step.metrics["reward/length"] + step.metrics["reward/regex"]
        assert step.metrics["reward"] == pytest.approx(parts)
    assert story.before is not None
    assert (story.before.loss, story.before.exact_match) == (None, None)
    best = max(story.evaluations, key=lambda e: e.metrics["reward"])
    assert story.after is not None
    assert {each.rewarded for each in (story.before, *story.evaluations, story.after)} == {2}
    assert story.after.metrics["reward"] == best.metrics["reward"]
    trained = load_file(run.adapter / "adapter_model.safetensors")
    assert all("lora_" in name for name in trained)
    assert any(tensor.abs().max() > 0 for name, tensor in trained.items() if "lora_B" in name)


@pytest.mark.parametrize("kind", [*KINDS, "ppo"])
def test_evaluations_answer_no_more_questions_than_the_plan_says(
    recipe: Recipe, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Rewarded, "most_measured", (4, "four are enough"))
    chosen = recipe.edit("objective", {"kind": kind}).edit("data.heldout_share", 0.5)
    tokenizer, told = load_tokenizer(starter()), dict[str, str]()
    prepare_template(tokenizer)
    corpus = gather(
        chosen,
        tokenizer,
        encode_asked,
        lambda code, text, _: told.update({code: text}),
        lambda done, whole: None,
    )
    assert len(corpus.heldout) == 4
    assert told["heldout-part"] == "Evaluations look at the first 4 of 6 held-out rows."
    (decided,) = (each for each in plan_of(chosen).decisions if each.name == "Measured on")
    assert decided.value == "4 held-out rows"
    assert decided.because == "the first of 6: four are enough"


@pytest.mark.parametrize("kind", [*KINDS, "ppo"])
def test_the_preview_shows_questions_and_what_answers_are_compared_with(
    recipe: Recipe, kind: str
) -> None:
    """Not a token is told to be learned, and the length is that of the run."""
    raw = {"kind": kind, "longest_answer": 6, "rewards": [{"kind": "exact"}]}
    shown = preview(recipe.edit("objective", raw), 2)
    tokenizer = load_tokenizer(starter())
    prepare_template(tokenizer)
    for row in shown.rows:
        number = row.line - 1
        asked = question(tokenizer, [{"role": "user", "content": f"Is {number} even?"}])
        *seen, expected = row.pieces
        assert "".join(piece.text for piece in seen) == tokenizer.decode(asked)
        assert {piece.kind for piece in seen} == {"context"}
        assert (expected.kind, expected.text) == ("expected", "no" if number % 2 else "yes")
    told = shown.tokens
    assert (told.trained, told.untrained, told.room, told.max_length) == (0, 0, 6, 70)
    assert plan_of(recipe).rows == told.rows
    unlike = preview(recipe, 1)
    assert {piece.kind for row in unlike.rows for piece in row.pieces} == {"context"}
    tight = preview(recipe.edit("training.max_length", told.longest + 5), 10)
    lost = [row.line for row in tight.rows if {piece.kind for piece in row.pieces} == {"cut"}]
    assert set(tight.tokens.untrained_lines) == set(lost)
    assert lost


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("adaptation", [{"kind": "lora", "dropout": 0.1}, {"kind": "full"}])
@pytest.mark.parametrize(("iterations", "at"), [(1, 2), (2, 3)])
def test_resumed_equals_uninterrupted_bit_for_bit(
    tmp_path: Path, recipe: Recipe, kind: str, adaptation: dict[str, Any], iterations: int, at: int
) -> None:
    """Also from between two steps on the same answers."""
    recipe = of_kind(recipe, kind, iterations=iterations).edit("adaptation", adaptation)
    if adaptation["kind"] == "full":
        recipe = recipe.edit("training.learning_rate", 1e-5)
    whole, broken = create(tmp_path / "whole", recipe), create(tmp_path / "broken", recipe)
    straight = go(whole)
    assert told(stopped_and_resumed(broken, at)) == told(straight)
    assert weights(broken) == weights(whole)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_result_answers_as_it_was_measured(tmp_path: Path, recipe: Recipe, kind: str) -> None:
    """Loaded anew, the adapter earns what the run has told."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from core.engine.lessons import lesson_for

    recipe = of_kind(recipe, kind)
    run = create(tmp_path / "run", recipe)
    story = go(run)
    tokenizer = load_tokenizer(run.adapter)
    prepare_template(tokenizer)
    settings = plan_of(recipe).settings
    assert settings is not None
    lesson = lesson_for(recipe.objective)(
        recipe, settings, tokenizer, lambda *_: None, lambda *_: None
    )
    base = AutoModelForCausalLM.from_pretrained(starter(), dtype=torch.float32)
    found = lesson.measure(PeftModel.from_pretrained(base, run.adapter))
    assert story.after is not None
    assert found.metrics == story.after.metrics


def test_steps_count_whole_groups(recipe: Recipe) -> None:
    """Ten questions, two at a time, twice: ten steps, or twenty where answers are used twice."""
    free = recipe.edit("training.max_steps", None).edit("training.epochs", 2)
    settings = plan_of(free).settings
    assert settings is not None
    assert settings.steps == 2 * 5
    again = plan_of(of_kind(free, "grpo", iterations=2)).settings
    assert again is not None
    assert again.steps == 2 * 2 * 5
    (why,) = [d.because for d in plan_of(free).decisions if d.name == "Steps"]
    assert why == "10 questions x 2 epochs, 2 at a time with 4 answers each"


def test_broken_groups_are_refused_with_a_way_out(recipe: Recipe) -> None:
    broken = recipe.edit("training.accumulation", 1).edit("training.micro_batch", 6)
    (problem,) = [p for p in plan_of(broken).problems if p.level == "blocker"]
    assert problem.text.startswith("6 answers at a time are no whole groups of 4")
    assert problem.fix is not None
    mended = broken.edit(problem.fix.path, problem.fix.value)
    assert [p for p in plan_of(mended).problems if p.level == "blocker"] == []
    chosen = plan_of(broken.edit("training.accumulation", None)).settings
    assert chosen is not None
    assert chosen.micro_batch * chosen.accumulation % 4 == 0


def test_a_file_needs_consent_before_the_run(tmp_path: Path, recipe: Recipe) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def reward(prompt, answer, expected):\n    return len(answer)\n")
    bare = recipe.edit("objective.rewards", [{"kind": "python", "path": str(file)}])
    (problem,) = [p for p in plan_of(bare).problems if p.level == "blocker"]
    assert "needs your consent" in problem.text
    assert problem.fix is not None
    agreed = bare.edit(problem.fix.path, problem.fix.value)
    assert [p for p in plan_of(agreed).problems if p.level == "blocker"] == []
    run = create(tmp_path / "run", agreed)
    file.write_text("def reward(prompt, answer, expected):\n    return 1\n")
    (problem,) = [p for p in plan_of(agreed).problems if p.level == "blocker"]
    assert "has changed since you consented" in problem.text
    with pytest.raises(RunError, match="is not the one that was consented to"):
        go(run)
    lost = bare.edit("objective.rewards", [{"kind": "model", "run": str(tmp_path / "none")}])
    (problem,) = [p for p in plan_of(lost).problems if p.level == "blocker"]
    assert problem.text.startswith("There is no run of a reward model")


def test_questions_without_room_are_left_out_aloud(tmp_path: Path, recipe: Recipe) -> None:
    path = Path(recipe.data.path)
    long = json.dumps({"prompt": "word " * 60, "answer": "yes"}) + "\n"
    path.write_text(path.read_text() + long, encoding="utf-8")
    tight = recipe.edit("training.max_length", 48).edit("data.heldout_share", 0)
    story = go(create(tmp_path / "run", tight.edit("training.max_steps", 1)))
    assert {w.code for w in story.warnings} & {"no-room", "nothing-to-learn"}
    assert (story.state, story.before) == ("finished", None)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_trial_steps_meet_the_longest_answers(tmp_path: Path, recipe: Recipe, kind: str) -> None:
    recipe = of_kind(recipe, kind)
    settings = plan_of(recipe).settings
    assert settings is not None
    found = measure(recipe, settings, tmp_path)
    assert (found.failure, found.fits) == ("", True)
    tokenizer = load_tokenizer(starter())
    asked = question(tokenizer, [{"role": "user", "content": "Is 11 even?"}])
    assert [trial.rows for trial in found.longest] == [4] * len(found.longest)
    assert found.longest[0].longest == len(asked) + 6


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_rewards_rise_and_the_language_stays_near(
    tmp_path: Path, recipe: Recipe, kind: str
) -> None:
    """Longer answers are earned within forty steps, at a bounded distance."""
    recipe = of_kind(
        recipe, kind, longest_answer=24, answers_per_prompt=8,
        rewards=[{"kind": "length", "least": 6, "most": 10}],
    )  # fmt: skip
    recipe = recipe.edit("training.max_steps", 40).edit("training.micro_batch", 16)
    recipe = recipe.edit("checks.every", 40)
    story = go(create(tmp_path / "run", recipe))
    first = sum(s.metrics["reward"] for s in story.steps[:5]) / 5
    last = sum(s.metrics["reward"] for s in story.steps[-5:]) / 5
    apart = max(s.metrics["kl_per_token"] for s in story.steps)
    print(f"{kind}: mean reward {first:.3f} -> {last:.3f}, most kl per token {apart:.3f}")
    assert last > first + 0.15
    assert apart < 2
    assert losses(story)
