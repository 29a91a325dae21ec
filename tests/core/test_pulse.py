"""Silence is told, sleep is told as sleep, and a slow step is neither."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from core.events import Phase, Silent, Slept, Step
from core.history import History, silent_sentence
from core.pulse import PATIENCE, Pulse


@dataclass
class Clocks:
    """Two clocks; only one goes on during sleep."""

    awake: float = 1_000.0
    always: float = 9_000.0

    def wait(self, seconds: float) -> None:
        self.awake += seconds
        self.always += seconds


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def pulse(clocks: Clocks) -> Pulse:
    made = Pulse(lambda: clocks.awake, lambda: clocks.always)
    made.heard(Phase(name="training"))
    return made


def look(pulse: Pulse, clocks: Clocks, seconds: float) -> list[Silent | Slept]:
    """What is said while so much time passes, second by second."""
    said = []
    for _ in range(round(seconds)):
        clocks.wait(1)
        said += [sign] if (sign := pulse.look()) else []
    return said


def test_silence_is_told_once_and_again_when_it_doubles(pulse: Pulse, clocks: Clocks) -> None:
    assert look(pulse, clocks, PATIENCE["training"] - 1) == []
    told = look(pulse, clocks, 4 * PATIENCE["training"])
    assert [sign.seconds for sign in told] == [60, 120, 240]
    assert {sign.kind for sign in told} == {"silent"}
    pulse.heard(Step(step=1, total=2, loss=1))
    assert look(pulse, clocks, 30) == []


def test_slow_steps_are_not_silence(pulse: Pulse, clocks: Clocks) -> None:
    clocks.wait(9)
    pulse.look()
    for _ in range(3):
        clocks.wait(9)
        pulse.look()
    pulse.heard(Step(step=1, total=9, loss=1))  # took 36 seconds
    assert look(pulse, clocks, 350) == []
    assert look(pulse, clocks, 20)


def test_sleep_is_no_silence(pulse: Pulse, clocks: Clocks) -> None:
    look(pulse, clocks, 50)
    clocks.always += 3_600
    (sign,) = look(pulse, clocks, 1)
    assert isinstance(sign, Slept)
    assert sign.seconds == pytest.approx(3_600)
    assert look(pulse, clocks, 50) == [], "waiting begins anew"
    clocks.wait(600)  # a clock that goes on during sleep, seen by whoever slept too
    told = look(pulse, clocks, 1)
    assert [sign.kind for sign in told] == ["slept"]


def test_the_story_shows_silence_until_something_is_heard() -> None:
    story = History()
    story.apply(Phase(name="loading"))
    story.apply(Silent(phase="loading", seconds=420))
    assert story.silent
    assert silent_sentence(story.silent).startswith("Loading the model: nothing was heard for 7")
    story.apply(Phase(name="training"))
    assert story.silent is None
    story.apply(Slept(seconds=7_200))
    assert story.notes == ["The computer slept for 2 h 00 min; the run went on afterwards."]
