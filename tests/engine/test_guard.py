"""A number that is none is left out and told; a run that goes astray waits, and saves nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core.engine.faults import Diverged
from core.engine.guard import LASTING, Guard
from core.engine.ppo.trainer import Learner
from core.engine.quiet import Quiet
from core.engine.state import recall
from core.events import Event, Paused, Skipped, Started
from core.history import History
from core.recipe import Recipe, parse
from core.rundir import RunDir
from tests.engine.conftest import create, go

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]


def spoil(
    monkeypatch: pytest.MonkeyPatch, kind: Any, bad: Callable[[int], bool], *, grad: bool = False
) -> None:
    """Let the losses of some micro-batches, counted from 0, be no numbers, or only their
    gradients."""
    real, seen = kind.compute_loss, [0]

    def spoiled(self: Any, *given: Any, **named: Any) -> Any:
        loss, at = real(self, *given, **named), seen[0]
        seen[0] += 1
        if not bad(at):
            return loss
        if not grad:
            return loss * float("nan")
        loss.register_hook(lambda given: given * float("nan"))
        return loss

    monkeypatch.setattr(kind, "compute_loss", spoiled)


def sound(folder: Path) -> bool:
    """Whether every number of the weight files is finite."""
    files = list(folder.glob("*.safetensors"))
    return bool(files) and all(
        bool(torch.isfinite(tensor).all()) for file in files for tensor in load_file(file).values()
    )


@pytest.fixture
def short(recipe: Recipe) -> Recipe:
    """Six steps of two micro-batches, one checkpoint each."""
    training = {"max_steps": 6, "micro_batch": 2, "max_length": 64}
    quick = recipe.model_dump(mode="json")
    quick["training"] |= training
    quick["checks"] |= {"every": 6, "save_every": 1}
    return parse(quick)


def test_one_bad_micro_batch_spoils_one_step_only(
    tmp_path: Path, short: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, Quiet, lambda at: at == 4)  # the first of step 3
    run = create(tmp_path / "run", short)
    before: dict[str, torch.Tensor] = {}
    same: list[bool] = []

    def listener(run: RunDir, event: Event) -> None:
        if event.kind == "saved" and event.step in (2, 3):
            found = recall(run.root / event.path, "optimizer")["state"]
            moments = {str(at): state["exp_avg"] for at, state in found.items()}
            same.append(event.step == 3 and all(torch.equal(moments[k], before[k]) for k in before))
            before.update(moments)

    story = go(run, listener)
    assert story.state == "finished"
    assert [step.step for step in story.steps] == [1, 2, 4, 5, 6]
    assert all(math.isfinite(step.loss) and step.loss > 0 for step in story.steps)
    assert sound(run.adapter)
    (left,) = story.skipped
    assert (left.step, left.what) == (3, "loss")
    assert len(left.rows) == 2, "the rows of the bad micro-batch alone"
    lines = {row for row in left.rows if isinstance(row, int)}
    assert lines <= set(range(1, 41))
    assert story.notes[-1].startswith(
        "1 step was left out, because the loss was not a finite number (step 3;"
    )


@pytest.mark.slow
def test_bad_gradients_are_left_out_too_and_the_schedule_goes_on(
    tmp_path: Path, short: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, Quiet, lambda at: at == 5, grad=True)
    run = create(tmp_path / "run", short)
    story = go(run)
    monkeypatch.undo()
    assert story.state == "finished"
    (left,) = story.skipped
    assert (left.step, left.what, len(left.rows)) == (3, "gradient", 4)
    assert sound(run.adapter)
    rates = {step.step: step.learning_rate for step in story.steps}
    assert 0 < rates[5] < rates[4] < 1e-3, "the rate of a step is that of its number"


def test_three_in_a_row_pause_and_the_user_decides(
    tmp_path: Path, short: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, Quiet, lambda at: at >= 4)
    run = create(tmp_path / "run", short)
    pauses: list[Paused] = []

    def listener(run: RunDir, event: Event) -> None:
        if isinstance(event, Paused) and event.paused:
            pauses.append(event)
            assert run.saved_steps() == [2, 1], "what is left out is not saved"
            run.ask("stop")

    with pytest.raises(Diverged, match="not finite numbers in 3 steps") as caught:
        go(run, listener)
    assert "learning rate" in caught.value.hint
    (pause,) = pauses
    assert pause.step == 5
    assert "All was well up to step 2." in pause.reason
    assert "stop goes back to what was saved at step 2" in pause.reason
    assert "Continue" in pause.reason
    assert run.newest_valid() == (2, [])
    assert sound(run.checkpoint(2))
    monkeypatch.undo()
    again = go(run)
    assert again.state == "finished"
    assert [step.step for step in again.steps] == [1, 2, 3, 4, 5, 6]
    assert again.skipped == [], "they were taken after all"


@pytest.mark.slow
def test_divergence_pauses(tmp_path: Path, short: Recipe) -> None:
    """A learning rate of nearly 1 for all weights, without warm-up."""
    wild = short.edit("adaptation", {"kind": "full"}).edit("checks.save_every", 5)
    training = wild.training.model_dump(mode="json")
    training |= {"learning_rate": 0.99, "warmup": 0, "max_steps": 60, "accumulation": 1}
    training |= {"schedule": "constant"}
    run = create(tmp_path / "run", wild.edit("training", training))
    seen: list[Event] = []

    def listener(run: RunDir, event: Event) -> None:
        seen.append(event)
        if isinstance(event, Paused):
            run.ask("stop")

    with pytest.raises(Diverged):
        go(run, listener)
    (pause,) = [event for event in seen if isinstance(event, Paused)]
    assert pause.step <= 2 * LASTING
    assert "above 3 times its usual value" in pause.reason
    assert all(sound(run.checkpoint(step)) for step in run.saved_steps())
    assert run.history().outcome().state == "interrupted"


@pytest.mark.slow
def test_the_policy_of_ppo_steps_over_a_bad_number(
    tmp_path: Path, tickets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, Learner, lambda at: at == 1)
    goal = {"kind": "ppo", "rewards": [{"kind": "length", "most": 1}], "longest_answer": 4}
    recipe = parse(
        {
            "model": "starter", "objective": goal,
            "data": {"path": str(tickets), "heldout_share": 0},
            "training": {
                "max_steps": 3, "micro_batch": 2, "accumulation": 1, "learning_rate": 1e-3,
                "warmup": 0, "max_length": 128, "device": "cpu",
            },
            "checks": {"every": 6, "save_every": 3, "score_rows": 0, "answer_length": 2},
        }
    )  # fmt: skip
    run = create(tmp_path / "run", recipe)
    story = go(run)
    assert [step.step for step in story.steps] == [1, 3]
    assert [left.step for left in story.skipped] == [2]
    assert sound(run.adapter)
    assert sound(run.checkpoint(3))


def test_a_rise_counts_only_when_it_lasts() -> None:
    guard = Guard([2.0] * 10)
    for step in range(1, LASTING):
        guard.taken(step, 7.0)
    assert guard.doubtful
    assert guard.alarm() is None
    guard.taken(LASTING, 2.0)
    assert not guard.doubtful
    for step in range(LASTING):
        guard.taken(100 + step, 7.0)
    alarm = guard.alarm()
    assert alarm
    assert alarm.good == LASTING
    guard.forgive()
    guard.taken(200, 7.0)
    assert guard.alarm() is None
    small = Guard([0.001] * 10)
    for step in range(2 * LASTING):
        small.taken(step, 0.05)
    assert small.alarm() is None, "what is learned by heart may flutter"


def test_what_was_left_out_before_a_resume_is_forgotten_with_its_steps() -> None:
    story = History(skipped=[Skipped(step=3), Skipped(step=9)])
    story.apply(Started(pid=1, resumed=5))
    assert [left.step for left in story.skipped] == [3]
