"""An engine that is told to end does so at once, and never in the middle of a word."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.engine.emit import Voice
from core.engine.faults import Stopped
from core.engine.wishes import Wishes
from core.events import Finished, Step
from core.recipe import Recipe
from core.rundir import RunDir

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(sys.platform == "win32", reason="sends SIGTERM to itself"),
]


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path / "run", Recipe(), "{}")


@pytest.fixture
def wishes(run: RunDir) -> Iterator[Wishes]:
    """Signals are as before at the end."""
    before = {kind: signal.getsignal(kind) for kind in (signal.SIGTERM, signal.SIGINT)}
    made = Wishes(run, 0)
    yield made
    made.closed.set()
    for kind, handler in before.items():
        signal.signal(kind, handler)


def wait() -> None:
    """A minute; one long sleep would not be broken off."""
    for _ in range(1_200):
        time.sleep(0.05)


def test_a_line_that_is_being_written_is_finished_first(wishes: Wishes) -> None:
    insisted: list[bool] = []
    busy = [False, True]
    wishes.hear(insisted.append, busy.pop)
    os.kill(os.getpid(), signal.SIGTERM)
    assert not insisted
    with pytest.raises(Stopped):
        wait()
    assert insisted == [True], "once, and it was the system"


def test_an_engine_that_is_over_is_not_ended(wishes: Wishes) -> None:
    insisted: list[bool] = []
    wishes.hear(insisted.append, lambda: False)
    wishes.closed.set()
    os.kill(os.getpid(), signal.SIGTERM)
    assert not insisted


def test_nothing_is_said_after_the_last_word(run: RunDir) -> None:
    voice = Voice(run)
    for event in (Step(step=1, total=1, loss=1.0), Finished(step=1), Finished(stopped=True)):
        voice.say(event)
    voice.say_last(Finished(stopped=True))
    voice.close()
    assert [event.seq for event in run.events()] == [1, 2]
    assert run.history().state == "finished"
