"""One story over many engines: cut anywhere, gone on with, never doubled and never torn."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.engine.emit import Voice
from core.events import Evaluated, Event, Saved, Started, Step, decode, encode
from core.history import History
from core.recipe import Recipe
from core.rundir import RunDir

TOTAL, EVERY = 20, 3


def run_in(folder: str | Path) -> RunDir:
    return RunDir.create(Path(folder) / "run", Recipe(), "{}")


def engine(run: RunDir, upto: int, since: int | None) -> None:
    """Say what an engine says on its way to a step, from a checkpoint on."""
    voice = Voice(run)
    voice.say(Started(pid=1, resumed=since))
    for step in range((since or 0) + 1, upto + 1):
        voice.say(Step(step=step, total=TOTAL, loss=1 / step))
        if step % EVERY == 0:
            voice.say(Evaluated(step=step, loss=1 / step))
            voice.say(Saved(step=step, path=f"checkpoints/step-{step:08}", doubt=""))
    voice.close()


def cut(run: RunDir, size: int) -> None:
    """As a kill leaves it: an event of which only some bytes are there."""
    with run.events_file.open("r+b") as file:
        file.truncate(size)


lives = st.lists(st.tuples(st.integers(0, TOTAL), st.integers(0, 200)), min_size=1, max_size=5)


@settings(max_examples=50, deadline=None)
@given(lives=lives)
def test_engines_that_are_killed_anywhere_tell_one_story(lives: list[tuple[int, int]]) -> None:
    with TemporaryDirectory() as folder:
        run = run_in(folder)
        for upto, lost in lives:
            saved = [event.step for event in run.events() if isinstance(event, Saved)]
            engine(run, upto, max(saved, default=None))
            size = run.events_file.stat().st_size
            kept = run.events_file.read_bytes().rfind(b'"saved"')  # forced to the disk
            cut(run, max(size - lost, run.events_file.read_bytes().find(b"\n", kept) + 1))
        newest = max((e.step for e in run.events() if isinstance(e, Saved)), default=None)
        engine(run, TOTAL, newest)
        story = run.history()
        assert [step.step for step in story.steps] == list(range(1, TOTAL + 1))
        assert [step.loss for step in story.steps] == [1 / n for n in range(1, TOTAL + 1)]
        due = [n for n in range(1, TOTAL + 1) if n % EVERY == 0]
        assert [found.step for found in story.evaluations] == due
        assert [found.step for found in story.checkpoints] == due
        numbers = [event.seq for event in run.events()]
        assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("rest", [b"", b"{", b"\0" * 70_000, b"\0\0\n", b"[1]\n", b'"\n{\n\xff'])
def test_what_cannot_be_read_at_the_end_is_cut(tmp_path: Path, rest: bytes) -> None:
    run = run_in(tmp_path)
    engine(run, 2, None)
    whole = run.events_file.read_bytes()
    run.events_file.write_bytes(whole + rest)
    Voice(run).close()
    assert run.events_file.read_bytes() == whole


def test_an_old_run_whose_events_have_no_numbers_is_counted(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    line = json.loads(encode(Step(step=1, total=2, loss=0.5)))
    del line["seq"], line["tick"]
    run.events_file.write_text((json.dumps(line) + "\n") * 3, encoding="utf-8")
    voice = Voice(run)
    voice.say(Started(pid=1))
    voice.close()
    assert [event.seq for event in run.events()] == [0, 0, 0, 4]


def test_a_clock_set_back_changes_neither_order_nor_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_in(tmp_path)
    engine(run, 2, None)
    monkeypatch.setattr("time.time", lambda: 0.0)
    voice = Voice(run)
    voice.say(Step(step=3, total=TOTAL, loss=1.0, t=0.0))
    voice.close()
    events: list[Event] = [event for line in lines(run) if (event := decode(line))]
    assert [event.seq for event in events] == [1, 2, 3, 4]
    assert [event.tick for event in events] == sorted(event.tick for event in events)
    assert events[0].tick > 0


def lines(run: RunDir) -> list[bytes]:
    return run.events_file.read_bytes().splitlines()


def test_a_checkpoint_that_was_passed_over_is_no_longer_told_as_saved() -> None:
    story = History()
    for event in [
        Step(step=4, total=9, loss=1), Saved(step=2, path="a"), Saved(step=4, path="b"),
        Started(pid=2, resumed=2),
    ]:  # fmt: skip
        story.apply(event)
    assert story.outcome().saved == 2
