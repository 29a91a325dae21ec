"""A run whose engine was lost for a reason that may pass goes on without being asked."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot
from recorded import copy

from core import launch
from core.causes import ATTEMPTS, GPU_LOST
from core.commands import gather
from core.errors import RunError
from core.history import History
from core.places import sample
from core.plan import Facts, make_plan
from core.recipe import Recipe, parse
from gui import runner as running
from gui.pages.run import RunPage
from gui.runner import Runner
from gui.session import Session

Lose = Callable[[int, str], None]
ENGINE = Path(__file__).parents[1] / "core" / "losing_engine.py"


@pytest.fixture
def lose(monkeypatch: pytest.MonkeyPatch) -> Lose:
    """Engines that are lost so many times, for a reason of this code."""
    monkeypatch.setattr(running, "PAUSE", 0.05)

    def become(times: int, code: str) -> None:
        monkeypatch.setattr(
            launch, "engine_command",
            lambda _run, root, _serial, because: [
                sys.executable, str(ENGINE), root, str(times), code, because
            ],
        )  # fmt: skip

    return become


@pytest.fixture
def runner(qtbot: QtBot) -> Iterator[Runner]:
    made = Runner()
    yield made
    made.stop_and_wait(grace=20)


def start(runner: Runner, session: Session) -> None:
    runner.start(Recipe(name="lost"), make_plan(Recipe(), Facts(machine=session.facts.machine)))


def engines(runner: Runner) -> int:
    """How many took the run."""
    assert runner.run is not None
    return sum(event.kind == "started" for event in runner.run.events())


def attempts(story: History) -> list[str]:
    return [warning.text for warning in story.warnings if warning.code == "taken-up-again"]


def test_twice_lost_is_twice_taken_up(
    qtbot: QtBot, runner: Runner, session: Session, lose: Lose
) -> None:
    lose(2, GPU_LOST.code)
    start(runner, session)
    qtbot.waitUntil(lambda: runner.history.state == "finished", timeout=60_000)
    assert engines(runner) == 3
    assert attempts(runner.history) == [
        f"The GPU was lost. Taken up again by the window, attempt {number} of {ATTEMPTS}."
        for number in (1, 2)
    ]


def test_what_is_lost_again_and_again_waits_for_its_user(
    qtbot: QtBot, runner: Runner, session: Session, lose: Lose
) -> None:
    lose(99, GPU_LOST.code)
    start(runner, session)
    qtbot.waitUntil(lambda: engines(runner) == ATTEMPTS + 1, timeout=60_000)
    qtbot.waitUntil(lambda: runner.history.state == "failed" and not runner.alive())
    assert not runner.returning
    runner.resume()
    qtbot.waitUntil(lambda: engines(runner) == 2 * (ATTEMPTS + 1), timeout=60_000)
    qtbot.waitUntil(lambda: not runner.returning and not runner.alive(), timeout=60_000)


@pytest.mark.parametrize("code", ["gpu-memory", ""])
def test_what_would_happen_again_is_left(
    qtbot: QtBot, runner: Runner, session: Session, lose: Lose, code: str
) -> None:
    lose(99, code)
    with qtbot.waitSignal(runner.ended, timeout=60_000):
        start(runner, session)
    assert not runner.returning
    qtbot.wait(400)
    assert engines(runner) == 1


def test_looking_at_another_run_does_not_stop_it(
    qtbot: QtBot, runner: Runner, session: Session, lose: Lose, home: Path
) -> None:
    other = copy("finished", home)
    lose(1, GPU_LOST.code)
    with qtbot.waitSignal(runner.ended, timeout=60_000):
        start(runner, session)
    lost = runner.run
    assert lost is not None
    runner.open(other.root)
    qtbot.waitUntil(lambda: lost.history().state == "finished", timeout=60_000)
    assert runner._engines[lost.root].wait() == 0
    assert runner.run is not None
    assert runner.run.root == other.root, "what is looked at stays in view"


def test_what_cannot_go_on_now_is_not_promised(
    qtbot: QtBot, runner: Runner, session: Session, lose: Lose, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy() -> None:
        raise RunError("Another run is training.")

    lose(1, GPU_LOST.code)
    start(runner, session)
    monkeypatch.setattr(runner, "_refuse_second", busy)
    with qtbot.waitSignal(runner.refused, timeout=60_000):
        pass
    assert not runner.returning
    assert runner.run is not None
    with qtbot.waitSignal(runner.ended, timeout=60_000):
        runner.open(runner.run.root)
    assert not runner.returning, "looking at it is no reason to start it"
    assert engines(runner) == 1


def test_the_page_says_so(
    qtbot: QtBot, runner: Runner, session: Session, lose: Lose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "PAUSE", 3600)
    lose(1, GPU_LOST.code)
    page = RunPage(session, runner)
    qtbot.addWidget(page)
    page.show()
    with qtbot.waitSignal(runner.ended, timeout=60_000):
        start(runner, session)
    assert page.trouble.isVisible()
    assert page.trouble.text() == "Look at it. It is taken up again by itself in a moment."
    lose(99, "")
    qtbot.mouseClick(page.trouble.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: engines(runner) == 2, timeout=60_000)


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
def test_a_real_engine_that_crashes_is_followed_by_one_that_finishes(
    qtbot: QtBot, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "PAUSE", 0.5)
    recipe = parse({
        "name": "crash", "model": "starter",
        "data": {"path": str(sample("tickets.jsonl")), "heldout_share": 0.02},
        "training": {"max_steps": 12, "micro_batch": 1, "accumulation": 1, "device": "cpu"},
        "checks": {"every": 4, "save_every": 2, "score_rows": 0},
    })  # fmt: skip
    runner.start(recipe, make_plan(recipe, gather(recipe, count=True)))
    qtbot.waitUntil(lambda: bool(runner.history.checkpoints), timeout=180_000)
    assert runner.run is not None
    os.kill(runner._engines[runner.run.root].pid, signal.SIGSEGV)
    qtbot.waitUntil(lambda: runner.history.state == "finished", timeout=180_000)
    assert engines(runner) == 2
    assert [step.step for step in runner.history.steps] == list(range(1, 13))
    assert len(attempts(runner.history)) == 1
