"""Everything a run says reaches the window, in order, once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from core.errors import CoreError, RunError
from core.events import Event, Failed, Started, Step, encode
from core.recipe import Recipe
from core.rundir import RunDir
from gui.follower import AHEAD, BATCH, Follower

Follow = Callable[[Callable[[], bool]], tuple[Follower, list[Event]]]
FLOOD = """
import sys
from core.events import Finished, Started, Step, encode
with open(sys.argv[1], "ab") as file:
    file.write(encode(Started(pid=1)))
    for step in range(1, 50_001):
        file.write(encode(Step(step=step, total=50_000, loss=1.0)))
    file.write(encode(Finished(step=50_000)))
"""


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path / "run", Recipe(), "{}")


@pytest.fixture
def follow(run: RunDir) -> Iterator[Follow]:
    """Makes a follower and the list that its events end in."""
    made: list[Follower] = []

    def make(alive: Callable[[], bool]) -> tuple[Follower, list[Event]]:
        follower, seen = Follower(run, alive), list[Event]()
        follower.batch.connect(lambda _, events: (seen.extend(events), follower.folded()))
        made.append(follower)
        return follower, seen

    yield make
    for follower in made:
        follower.stop()


def write(run: RunDir, *events: Event) -> None:
    with run.events_file.open("ab") as file:
        file.writelines(encode(event) for event in events)


def test_a_flood_arrives_whole_and_in_order(qtbot: QtBot, run: RunDir, follow: Follow) -> None:
    child = subprocess.Popen([sys.executable, "-c", FLOOD, str(run.events_file)])
    follower, seen = follow(lambda: child.poll() is None)
    sizes: list[int] = []
    follower.batch.connect(lambda _, events: sizes.append(len(events)))
    with qtbot.waitSignal(follower.finished, timeout=60_000):
        follower.start()
    qtbot.waitUntil(lambda: len(seen) == 50_002)
    assert [e.step for e in seen if isinstance(e, Step)] == list(range(1, 50_001))
    assert max(sizes) <= BATCH


def test_a_run_that_is_over_is_read_as_it_is(qtbot: QtBot, run: RunDir, follow: Follow) -> None:
    write(run, Started(pid=1), Step(step=1, total=9, loss=1.0))
    follower, seen = follow(lambda: False)
    with qtbot.waitSignal(follower.finished):
        follower.start()
    qtbot.waitUntil(lambda: bool(seen))
    assert [event.kind for event in seen] == ["started", "step"]


def test_a_long_story_waits_for_the_window_and_can_be_left(qtbot: QtBot, run: RunDir) -> None:
    write(run, *(Step(step=step, total=9, loss=1.0) for step in range((AHEAD + 3) * BATCH)))
    follower, taken = Follower(run, lambda: False), list[int]()
    follower.batch.connect(lambda _, events: taken.append(len(events)))
    follower.start()
    qtbot.waitUntil(lambda: len(taken) == AHEAD)
    follower.folded()
    qtbot.waitUntil(lambda: len(taken) == AHEAD + 1)
    follower.stop()
    QApplication.processEvents()
    assert taken == [BATCH] * (AHEAD + 1)


def test_a_death_before_our_eyes_is_told(qtbot: QtBot, run: RunDir, follow: Follow) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    write(run, Started(pid=1), Step(step=1, total=9, loss=1.0))
    follower, seen = follow(lambda: child.poll() is None)
    follower.start()
    qtbot.waitUntil(lambda: len(seen) == 2)
    child.kill()
    with qtbot.waitSignal(follower.finished):
        child.communicate()
    qtbot.waitUntil(lambda: len(seen) == 3)
    assert isinstance(seen[-1], Failed)
    assert "ended without a word" in seen[-1].error


def test_damage_is_told(qtbot: QtBot, run: RunDir, follow: Follow) -> None:
    write(run, Started(pid=1))
    with run.events_file.open("ab") as file:
        file.write(b'{"kind": "step", "loss": "much"}\n')
    follower, _ = follow(lambda: False)
    with qtbot.waitSignal(follower.failed) as told:
        follower.start()
    error = told.args[1]
    assert isinstance(error, RunError)
    assert "damaged event line" in str(error)
    assert error.hint


def test_a_vanished_run_is_told(qtbot: QtBot, run: RunDir, follow: Follow) -> None:
    run.events_file.unlink()
    follower, _ = follow(lambda: False)
    with qtbot.waitSignal(follower.failed) as told:
        follower.start()
    assert isinstance(told.args[1], CoreError)


def test_stop_leaves_the_engine_alone(qtbot: QtBot, run: RunDir, follow: Follow) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        follower, _ = follow(lambda: child.poll() is None)
        follower.start()
        follower.stop()
        assert follower.isFinished()
        assert child.poll() is None
    finally:
        child.kill()
        child.communicate()
