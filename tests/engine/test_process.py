"""The engine as it is really started: a child process that can die at any moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from core import courtesy, launch
from core.errors import RunError
from core.events import Event, Failed, Finished, Step
from core.history import History
from core.recipe import Recipe
from core.rundir import RunDir
from tests.engine.conftest import create, plan_of

pytestmark = pytest.mark.engine
LINUX = sys.platform == "linux"


def told(run: RunDir, engine: launch.Engine) -> Iterator[Event]:
    """Every event until the engine is gone."""
    for batch in launch.follow(run, engine.alive):
        yield from batch


@pytest.fixture
def long(recipe: Recipe) -> Recipe:
    """A run that takes long enough to be interrupted."""
    return recipe.edit("training.max_steps", 400).edit("checks.save_every", 2)


@pytest.mark.slow
def test_killed_engine_is_told_and_resumes(tmp_path: Path, long: Recipe) -> None:
    story = History()
    with launch.start(tmp_path / "run", long, plan_of(long)) as engine:
        run = engine.run
        for event in told(run, engine):
            story.apply(event)
            if isinstance(event, Step) and event.step == 5:
                os.kill(engine.pid, signal.SIGKILL)
    assert story.failure is not None
    assert story.failure.error == "The training process ended without a word."
    assert "Resume continues from step" in story.failure.hint
    assert not run.is_running()
    assert run.history().outcome().state == "interrupted"

    # the rest is shortened, so that the test ends: three steps more than were saved
    saved, faults = run.newest_valid()
    assert saved is not None
    assert not faults
    with launch.resume(run) as engine:
        for event in told(run, engine):
            if isinstance(event, Step) and event.step == saved + 3:
                run.ask("stop")
    after = run.history()
    assert after.outcome().state == "stopped"
    assert [s.step for s in after.steps] == list(range(1, after.step + 1))
    assert run.newest_valid()[0] == after.step


@pytest.mark.skipif(not LINUX, reason="reads /proc and sends signals")
def test_engine_has_no_input_no_secrets_and_holds_its_lock(
    tmp_path: Path, long: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv(courtesy.ASKED, "")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    courtesy.ask_engines()
    stopped = False
    with launch.start(tmp_path / "run", long, plan_of(long)) as engine:
        run, proc = engine.run, Path(f"/proc/{engine.pid}")
        for event in told(run, engine):
            if isinstance(event, Step) and not stopped:
                assert (proc / "fd/0").readlink() == Path("/dev/null")
                assert b"hf_secret" not in (proc / "environ").read_bytes()
                assert b"PYTHONPATH" not in (proc / "environ").read_bytes()
                assert run.is_running()
                assert psutil.Process(engine.pid).nice() >= courtesy.NICENESS
                with pytest.raises(RunError, match=f"process {engine.pid} on .*, since 2"):
                    launch.resume(run)
                second = subprocess.run(
                    launch.engine_command("run", str(run.root), "0"),
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    check=False,
                )
                assert second.returncode == 1
                assert f"process {engine.pid} on ".encode() in second.stderr
                os.kill(engine.pid, signal.SIGTERM)
                stopped = True
    last = list(run.events())[-1]
    assert isinstance(last, Finished)
    assert (last.stopped, last.interrupted, engine.wait()) == (True, True, 143)
    assert run.history().state == "interrupted"
    assert run.newest_valid()[0] == last.step > 0


def test_a_failed_run_says_why_and_exits_with_one(tmp_path: Path, recipe: Recipe) -> None:
    run = create(tmp_path / "run", recipe)
    Path(recipe.data.path).rename(tmp_path / "moved.jsonl")
    try:
        engine = launch.Engine(run)
        events = list(told(run, engine))
    finally:
        (tmp_path / "moved.jsonl").rename(recipe.data.path)
    assert engine.wait() == 1
    failed = events[-1]
    assert isinstance(failed, Failed)
    assert "tickets.jsonl" in failed.error
    assert failed.hint
    assert "Traceback" not in failed.error + failed.hint


def test_stop_while_getting_ready(tmp_path: Path, long: Recipe) -> None:
    engine = launch.start(tmp_path / "run", long, plan_of(long))
    engine.stop()
    story = engine.run.history()
    assert story.state == "stopped"
    assert engine.wait() == 0


@pytest.mark.slow
def test_preview_counts_and_shows(recipe: Recipe) -> None:
    answer = launch.preview(recipe, rows=3)
    assert len(answer.rows) == 3
    assert answer.tokens.rows == 32
    assert answer.tokens.heldout == 8
    assert 0 < answer.tokens.trained < answer.tokens.tokens
