"""Memory that runs out in a step: the same rows are learned once, in parts, to the same end."""

from __future__ import annotations

import contextvars
import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from trl import DPOTrainer

from core.engine import score
from core.engine.quiet import Quiet
from core.engine.sparing import divided
from core.errors import RunError
from core.events import Event, Reduced, Step
from core.recipe import Recipe, parse
from core.rundir import RunDir
from tests.engine.conftest import create, go, losses, plan_of

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]
EXACT = 1e-5
STEPS = 6


class Small:
    """A device that holds so many rows at once, from the step with this number on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kind: Any, rows: int, step: int) -> None:
        self.learned: dict[int, list[str]] = {}
        """Per step, a digest of every row of its last attempt, in order."""
        self._most, self._from, self._real = rows, step, kind.compute_loss
        self._full = False
        self._hook: Any = None

        def tight(trainer: Any, model: Any, inputs: Any, *rest: Any, **named: Any) -> Any:
            return self._compute(trainer, model, inputs, *rest, **named)

        monkeypatch.setattr(kind, "compute_loss", tight)

    def _compute(self, trainer: Any, model: Any, inputs: Any, *rest: Any, **named: Any) -> Any:
        trained = [p for p in model.parameters() if p.requires_grad]
        step, found = trainer.state.global_step + 1, rows_in(inputs)
        if self._hook is None:
            self._hook = trained[0].register_hook(self._run_out)
        if all(p.grad is None for p in trained):
            self.learned[step] = []
        self.learned[step] += map(digest, found)
        self._full = step >= self._from and len(found) > self._most
        return self._real(trainer, model, inputs, *rest, **named)

    def _run_out(self, gradient: torch.Tensor) -> None:
        """The last gradient that backward computes: those of the other layers are there already."""
        if self._full:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def rows_in(inputs: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """The tokens of each row, whether rows are padded or joined; pairs side by side."""
    ids, mask = inputs["input_ids"], inputs.get("attention_mask")
    if mask is not None:
        rows = [row[seen.bool()] for row, seen in zip(ids, mask, strict=True)]
        half = len(rows) // 2
        return [row for at in range(half) for row in (rows[at], rows[half + at])]
    starts = (inputs["position_ids"][0] == 0).nonzero().flatten().tolist()
    return list(ids[0].tensor_split(starts[1:]))


def digest(ids: torch.Tensor) -> str:
    return hashlib.sha256(ids.numpy().tobytes()).hexdigest()[:12]


@pytest.fixture
def short(recipe: Recipe) -> Recipe:
    """Six steps of two batches of four rows, without dropout; nothing is held out."""
    quick = recipe.model_dump(mode="json")
    quick["data"] |= {"heldout_share": 0}
    quick["training"] |= {"max_steps": STEPS, "max_length": 128}
    quick["checks"] |= {"every": 100}
    return parse(quick)


def compare(
    folder: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch, kind: Any, step: int, rows: int
) -> list[Reduced]:
    """A run with and one without enough memory must learn the same; returns what was told."""
    with monkeypatch.context() as patch:
        roomy = Small(patch, kind, 1_000, 0)
        whole = go(create(folder / "whole", recipe))
    with monkeypatch.context() as patch:
        tight = Small(patch, kind, rows, step)
        told: list[Reduced] = []

        def listener(run: RunDir, event: Event) -> None:
            if isinstance(event, Reduced):
                told.append(event)

        parted = go(create(folder / "tight", recipe), listener)
    assert roomy.learned == tight.learned, "the same rows, each once"
    assert losses(parted) == pytest.approx(losses(whole), abs=EXACT)
    assert [s.tokens for s in parted.steps] == [s.tokens for s in whole.steps]
    assert [s.grad_norm for s in parted.steps] == pytest.approx(
        [s.grad_norm for s in whole.steps], rel=1e-3
    )
    return told


@pytest.mark.slow
def test_imitation_goes_on_in_halves(
    tmp_path: Path, short: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = compare(tmp_path, short, monkeypatch, Quiet, step=3, rows=2)
    (event,) = told
    assert (event.step, event.parts, event.rows) == (3, 2, 2)
    run = RunDir.open(tmp_path / "tight")
    assert "Memory ran out at step 3. Since then 2 rows at a time" in " ".join(run.history().notes)


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.slow
def test_every_step_can_be_the_one(
    tmp_path: Path, short: Recipe, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    for step in range(1, STEPS + 1):
        told = compare(tmp_path / str(step), short, monkeypatch, Quiet, step, rows)
        assert [event.parts for event in told] == ([2] if rows == 2 else [2, 4])
        assert {event.step for event in told} == {step}


@pytest.mark.slow
def test_pairs_count_alike_in_parts(
    tmp_path: Path, short: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DPO's loss is a mean over pairs, so that a part weighs as much as it holds: 3 = 2 + 1."""
    pairs = short.edit("data.path", "sample:preferences.jsonl").edit("objective", {"kind": "dpo"})
    pairs = pairs.edit("training.micro_batch", 3).edit("training.max_steps", 3)
    (event,) = compare(tmp_path, pairs, monkeypatch, DPOTrainer, step=2, rows=4)
    assert (event.parts, event.rows) == (2, 2)


@pytest.mark.slow
def test_a_resumed_run_begins_in_the_parts_it_had_come_to(
    tmp_path: Path, short: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    Small(monkeypatch, Quiet, rows=2, step=2)
    run = create(tmp_path / "run", short)

    def stop_at_three(run: RunDir, event: Event) -> None:
        if isinstance(event, Step) and event.step == 3:
            run.ask("stop")

    assert go(run, stop_at_three).state == "stopped"
    story = go(run)
    assert story.state == "finished"
    reduced = [event for event in run.events() if isinstance(event, Reduced)]
    assert [event.step for event in reduced] == [2], "it did not run out of memory again"


@pytest.mark.slow
def test_one_row_at_a_time_is_recomputed_and_then_the_end(
    tmp_path: Path, short: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    Small(monkeypatch, Quiet, rows=0, step=2)
    run = create(tmp_path / "run", short.edit("checks.save_every", 1))
    with pytest.raises(RunError, match="at step 2, with one row at a time") as caught:
        go(run)
    assert caught.value.hint
    assert "Batch" not in caught.value.hint, "that was tried"
    told = [(e.parts, e.recomputed) for e in run.events() if isinstance(e, Reduced)]
    assert told == [(2, False), (4, False), (4, True)]
    assert run.newest_valid()[0] == 1


@pytest.mark.slow
def test_who_wants_a_run_to_stop_is_obeyed(
    tmp_path: Path, short: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    Small(monkeypatch, Quiet, rows=2, step=1)
    with pytest.raises(torch.OutOfMemoryError):
        go(create(tmp_path / "run", short.edit("training.on_out_of_memory", "stop")))


def test_the_plan_says_what_will_be_done(recipe: Recipe) -> None:
    def decided(recipe: Recipe) -> tuple[str, str]:
        named = {one.name: one for one in plan_of(recipe).decisions}
        found = named["When memory runs out"]
        return found.value, found.because

    assert decided(recipe)[0] == "recover"
    assert decided(recipe.edit("training.on_out_of_memory", "stop")) == (
        "stop", "the recipe says so",
    )  # fmt: skip
    value, because = decided(recipe.edit("objective", {"kind": "kto"}))
    assert value == "stop"
    assert "rows of a batch belong together" in because


@pytest.mark.slow
def test_measuring_goes_on_with_fewer_rows(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held-out rows that do not fit are measured in smaller portions; training is the same."""
    quick = recipe.edit("training.max_steps", 2).edit("checks.every", 1)
    whole = go(create(tmp_path / "whole", quick))
    real = score._batch_losses

    def tight(model: Any, batch: Any, *rest: Any) -> Any:
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(model, batch, *rest)

    monkeypatch.setattr(score, "_batch_losses", tight)
    story = contextvars.copy_context().run(go, create(tmp_path / "tight", quick))
    assert losses(story) == losses(whole), "bit for bit"
    assert [e.loss for e in story.evaluations] == pytest.approx(
        [e.loss for e in whole.evaluations], abs=EXACT
    )
    assert any("Memory ran out while measuring" in note for note in story.notes)
    assert score.SHARE.get() == 1


def test_parts_are_the_rows_in_order() -> None:
    assert divided([1, 2, 3, 4, 5], 2) == [[1, 2, 3], [4, 5]]
    assert divided([1, 2, 3], 4) == [[1], [2], [3]]
