"""A run is started, watched, steered, left alone and found again; with real child processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from pytestqt.qtbot import QtBot
from recorded import NAMES, copy

from core.events import Event, Finished, Saved, Started, Step, encode
from core.history import Outcome
from core.machine import Machine
from core.plan import Facts, Plan, make_plan
from core.recipe import Recipe
from core.rundir import RunDir
from gui.runner import Runner

Become = Callable[[list[str]], None]
MUTE = "import sys; sys.exit(3)"


@pytest.fixture
def plan() -> Plan:
    small = Machine(
        system="Linux", cores=2, memory=16 * 10**9, memory_free=8 * 10**9, disk_free=10**11, gpus=()
    )
    return make_plan(Recipe(), Facts(machine=small))


@pytest.fixture
def runner(qtbot: QtBot) -> Iterator[Runner]:
    """Whatever it started is gone at the end."""
    made = Runner()
    yield made
    made.stop_and_wait(grace=20)


def write(run: RunDir, *events: Event) -> None:
    with run.events_file.open("ab") as file:
        file.writelines(encode(event) for event in events)


def take_steps(qtbot: QtBot, runner: Runner, steps: int = 3) -> int:
    """Wait until the engine works; returns its process."""
    qtbot.waitUntil(lambda: runner.history.step >= steps, timeout=20_000)
    return runner._engines[runner.run.root].pid if runner.run else 0


def test_a_run_is_started_watched_and_stopped(
    qtbot: QtBot, runner: Runner, engine: Become, plan: Plan, home: Path
) -> None:
    opened: list[RunDir] = []
    runner.opened.connect(opened.append)
    runner.start(Recipe(name="first run"), plan)
    take_steps(qtbot, runner)
    assert opened == [runner.run]
    assert runner.run.root.parent == home / "runs"
    assert runner.outcome().state == "running"
    with qtbot.waitSignal(runner.ended, timeout=20_000) as told:
        runner.ask("stop")
    assert told.args[0].state == "stopped"
    assert not runner.alive()


def test_one_training_at_a_time(qtbot: QtBot, runner: Runner, engine: Become, plan: Plan) -> None:
    runner.start(Recipe(), plan)
    take_steps(qtbot, runner)
    with qtbot.waitSignal(runner.refused) as told:
        runner.start(Recipe(), plan)
    assert "still training" in str(told.args[0])


def test_an_engine_that_is_killed_is_told_and_resumed(
    qtbot: QtBot, runner: Runner, engine: Become, plan: Plan
) -> None:
    runner.start(Recipe(), plan)
    pid = take_steps(qtbot, runner)
    with qtbot.waitSignal(runner.ended, timeout=20_000) as told:
        os.kill(pid, signal.SIGKILL)
    assert told.args[0].state == "failed"
    assert "killed from outside" in str(told.args[0])
    assert runner.history.failure.hint
    runner.resume()
    take_steps(qtbot, runner)
    assert runner.history.failure is None
    assert runner.outcome().state == "running"


def test_an_engine_that_never_speaks_is_told(
    qtbot: QtBot, runner: Runner, engine: Become, plan: Plan, home: Path
) -> None:
    engine(["-c", MUTE])
    run = copy("interrupted", home)
    write(run, Finished(step=45, stopped=True))
    runner.open(run.root)
    qtbot.waitUntil(lambda: runner.outcome().state == "stopped")
    with qtbot.waitSignals([runner.refused, runner.ended], timeout=20_000):
        runner.resume()


def test_detaching_leaves_the_engine_to_itself(
    qtbot: QtBot, runner: Runner, engine: Become, plan: Plan
) -> None:
    runner.start(Recipe(), plan)
    pid = take_steps(qtbot, runner)
    runner.detach()
    seen = runner.history.step
    assert psutil.pid_exists(pid)
    another = Runner()
    another.open(runner.run.root)
    qtbot.waitUntil(lambda: another.history.step > seen + 2, timeout=20_000)
    assert another.outcome().state == "running"
    another.detach()
    assert runner.alive()


def test_a_run_of_another_window_is_followed_and_stopped(
    qtbot: QtBot, runner: Runner, live_run: Callable[[], RunDir]
) -> None:
    run = live_run()
    runner.open(run.root)
    qtbot.waitUntil(lambda: runner.history.step >= 3)
    assert runner.alive()
    runner.stop_and_wait(grace=20)
    assert not run.is_running()
    assert run.history().state == "stopped"


def test_a_run_that_was_taken_up_elsewhere_is_not_resumed_here(
    qtbot: QtBot, runner: Runner, live_run: Callable[[], RunDir]
) -> None:
    """The window showed it as interrupted; meanwhile somebody resumed it from a terminal."""
    run = live_run()
    pid = psutil.Process().children()[-1].pid
    runner.run = run
    with qtbot.waitSignal(runner.refused) as told:
        runner.resume()
    assert f"live is already running: the engine with process {pid} on" in str(told.args[0])
    assert "Follow it instead" in told.args[0].hint
    assert run.is_running()


@pytest.mark.parametrize("name", NAMES)
def test_every_recorded_run_replays_whole(
    qtbot: QtBot, runner: Runner, home: Path, name: str
) -> None:
    run = copy(name, home)
    with qtbot.waitSignal(runner.ended, timeout=20_000) as told:
        runner.open(run.root)
    outcome: Outcome = told.args[0]
    assert outcome.state == name
    assert runner.history == run.history()
    assert outcome.step > 40


def test_news_is_gathered_before_it_is_told(qtbot: QtBot, runner: Runner, home: Path) -> None:
    run = copy("interrupted", home)
    write(run, *(Step(step=step, total=9_000, loss=1.0) for step in range(100, 8_000)))
    told: list[int] = []
    runner.changed.connect(lambda history: told.append(history.step))
    with qtbot.waitSignal(runner.ended, timeout=20_000):
        runner.open(run.root)
    assert told[-1] == 7_999
    assert len(told) < 100


def test_what_is_no_run_is_refused(qtbot: QtBot, runner: Runner, tmp_path: Path) -> None:
    with qtbot.waitSignal(runner.refused) as told:
        runner.open(tmp_path)
    assert "is not a run" in str(told.args[0])
    assert runner.run is None
    runner.resume()
    runner.ask("stop")


def test_a_finished_run_is_not_resumed(
    qtbot: QtBot, runner: Runner, engine: Become, home: Path
) -> None:
    runner.open(copy("finished", home).root)
    with qtbot.waitSignal(runner.refused) as told:
        runner.resume()
    assert "finished" in str(told.args[0])


def test_damage_ends_the_watching_with_a_sentence(qtbot: QtBot, runner: Runner, home: Path) -> None:
    run = copy("finished", home)
    with run.events_file.open("ab") as file:
        file.write(b'{"kind": "step"}\n')
    with qtbot.waitSignal(runner.refused, timeout=20_000) as told:
        runner.open(run.root)
    assert "damaged" in str(told.args[0])


def test_another_run_replaces_the_one_shown(
    qtbot: QtBot, runner: Runner, home: Path, live_run: Callable[[], RunDir]
) -> None:
    live = live_run()
    runner.open(live.root)
    qtbot.waitUntil(lambda: runner.history.step >= 2)
    with qtbot.waitSignal(runner.ended, timeout=20_000):
        runner.open(copy("failed", home).root)
    assert runner.outcome().state == "failed"
    assert live.is_running()


def test_a_checkpoint_is_part_of_the_outcome(qtbot: QtBot, runner: Runner, home: Path) -> None:
    run = copy("interrupted", home)
    write(run, Started(pid=1, resumed=40), Saved(step=45, path="checkpoints/step-00000045"))
    with qtbot.waitSignal(runner.ended, timeout=20_000) as told:
        runner.open(run.root)
    assert told.args[0].saved == 45
