"""A clock that is set back or forward decides nothing: neither what is kept nor where a run goes
on."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from core import durable
from core.events import Event, Saved, Step
from core.recipe import Recipe
from core.retention import Retention
from core.rundir import RunDir
from tests.core.test_power_cut import fill
from tests.engine.conftest import create, go, losses, weights

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]
DAY = 86_400.0


def test_what_is_kept_goes_by_steps_and_not_by_dates(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", Recipe(), "{}")
    kept = Retention(run, keep=2)
    for step in (1, 2, 3, 4):
        with durable.staged(run.checkpoint(step)) as aside:
            fill(aside, step)
            durable.seal(aside, step=step)
        for path in [run.checkpoint(step), *run.checkpoint(step).rglob("*")]:
            os.utime(path, (DAY * (10 - step),) * 2)  # every one a day older than the one before
        kept.trust(step)
        kept.let_go(best=None)
    assert run.saved_steps() == [4, 3]
    assert run.newest_valid() == (4, [])


@pytest.mark.slow
@pytest.mark.parametrize("leap", [-DAY, DAY])
def test_a_run_whose_clock_leaps_is_the_same_run(
    tmp_path: Path, recipe: Recipe, leap: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path, value in {
        "training.max_steps": 6, "checks.every": 2, "training.micro_batch": 2,
        "training.max_length": 64, "adaptation": {"kind": "lora", "dropout": 0.1},
    }.items():  # fmt: skip
        recipe = recipe.edit(path, value)
    straight = create(tmp_path / "straight", recipe)
    expected, real, ahead = go(straight), time.time, [0.0]
    monkeypatch.setattr("time.time", lambda: real() + ahead[0])

    def set_clock(run: RunDir, event: Event) -> None:
        if isinstance(event, Saved) and event.step == 2:
            ahead[0] = leap
        if isinstance(event, Step) and event.step == 5:
            run.ask("stop")

    run = create(tmp_path / "run", recipe)
    assert go(run, set_clock).state == "stopped"
    assert run.saved_steps()[0] == 5
    ahead[0] = 2 * leap
    story = go(run)
    assert story.state == "finished"
    assert losses(story) == losses(expected)
    assert weights(run) == weights(straight)
    assert run.saved_steps()[:2] == [6, 5]
    spent = [step.seconds for step in story.steps]
    assert spent == sorted(spent), "time goes on whatever the clock says"
    told = [event.seq for event in run.events()]
    assert told == list(range(1, len(told) + 1))
