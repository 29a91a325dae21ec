"""Events folded: what every screen shows follows from the file alone."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import history
from core.events import (
    Evaluated,
    Event,
    Failed,
    Finished,
    Paused,
    Phase,
    Saved,
    Scored,
    Started,
    Step,
    Warned,
)
from core.history import History
from core.thinning import thinned


def fold(*events: Event) -> History:
    story = History()
    for event in events:
        story.apply(event)
    return story


def steps(first: int, last: int, pace: float = 2.0) -> list[Step]:
    return [
        Step(step=n, total=20, loss=3 - n / 10, seconds=(n - first) * pace)
        for n in range(first, last + 1)
    ]


def saved(step: int) -> Saved:
    return Saved(step=step, path=f"checkpoints/step-{step:08}")


def test_a_whole_run_is_told() -> None:
    story = fold(
        Started(pid=1),
        Phase(name="training"),
        Scored(when="before", loss=4, exact_match=0.0),
        *steps(1, 20),
        Evaluated(step=10, loss=1.5),
        Evaluated(step=15, loss=1.1, best=True),
        Evaluated(step=20, loss=1.2),
        Warned(code="x", text="careful"),
        saved(20),
        Scored(when="after", loss=1, exact_match=0.9),
        Finished(step=20, artefact="adapter"),
    )
    assert (story.step, story.total, story.artefact) == (20, 20, "adapter")
    assert story.before is not None
    assert story.after is not None
    assert (story.before.loss, story.after.loss) == (4, 1)
    assert story.best is not None
    assert story.best.step == 15
    assert [warning.text for warning in story.warnings] == ["careful"]
    assert str(story.outcome()) == "Finished, step 20 of 20."


def test_a_resume_forgets_what_its_checkpoint_has_not_seen() -> None:
    story = fold(
        Started(pid=1), *steps(1, 14), Evaluated(step=8, loss=2), Evaluated(step=12, loss=1),
        saved(10), Started(pid=2, resumed=10), *steps(11, 12),
    )  # fmt: skip
    assert [s.step for s in story.steps] == list(range(1, 13))
    assert [e.step for e in story.evaluations] == [8]
    assert story.discarded == 4


def test_what_two_engines_warn_of_is_one_warning() -> None:
    note, other = Warned(code="a", text="careful"), Warned(code="a", text="very")
    story = fold(Started(pid=1), note, Started(pid=2), note, other)
    assert [warning.text for warning in story.warnings] == ["careful", "very"]


def test_a_fresh_start_forgets_all_steps() -> None:
    story = fold(Started(pid=1), *steps(1, 5), Failed(error="x"), Started(pid=2))
    assert (story.steps, story.failure, story.state) == ([], None, "running")


@pytest.mark.parametrize(
    ("events", "alive", "sentence"),
    [
        ([], False, "Not started."),
        ([Started(pid=1)], True, "Getting ready."),
        ([Started(pid=1), *steps(1, 3)], True, "Training, step 3 of 20."),
        ([*steps(1, 3), Paused(step=3)], True, "Paused at step 3 of 20."),
        ([*steps(1, 3), Paused(step=3), Paused(step=3, paused=False)], True, "Training, step 3"),
        ([*steps(1, 20), Finished(step=20)], False, "Finished, step 20 of 20."),
        ([*steps(1, 9), Finished(step=9, early=True)], False, "Finished early at step 9 of 20: "),
        ([*steps(1, 3), saved(3), Finished(stopped=True)], False,
         "Stopped at step 3 of 20. Saved at step 3."),
        ([*steps(1, 3), Finished(stopped=True)], False,
         "Stopped at step 3 of 20. Nothing was saved yet."),
        ([*steps(1, 3), Saved(step=3, path="x", doubt=""), Finished(stopped=True)], False,
         "Stopped at step 3 of 20. Saved at step 3. Resuming ends with the same bits as a run in"),
        ([*steps(1, 3), Saved(step=3, path="x", doubt="a GPU adds"), Finished(stopped=True)], False,
         "Stopped at step 3 of 20. Saved at step 3. Resuming goes on from there, but not to the "
         "same bits: a GPU adds."),
        ([*steps(1, 3), saved(3), Finished(stopped=True, interrupted=True)], False,
         "Interrupted at step 3 of 20. Saved at step 3."),
        ([*steps(1, 3), Failed(error="Out of memory.")], False,
         "Failed at step 3 of 20: Out of memory."),
        ([*steps(1, 3), saved(2)], False, "Interrupted at step 3 of 20. Saved at step 2."),
        ([*steps(1, 3), Paused(step=3)], False, "Interrupted at step 3 of 20."),
    ],
)  # fmt: skip
def test_the_outcome_is_one_sentence(events: list[Event], alive: bool, sentence: str) -> None:
    assert str(fold(*events).outcome(alive=alive)).startswith(sentence)


def test_the_time_left_follows_the_pace() -> None:
    assert fold(*steps(1, 15)).seconds_left() == 10.0
    assert fold(*steps(1, 5)).seconds_left() is None


def test_the_time_left_ignores_the_gap_of_a_resume() -> None:
    story = fold(*steps(1, 8, pace=100.0), Started(pid=2, resumed=8), *steps(9, 19))
    assert story.seconds_left() is not None
    assert story.seconds_left() in (2.0, 100.0)


@settings(max_examples=20)
@given(st.lists(st.floats(-1e6, 1e6), min_size=200, max_size=600))
def test_thinning_keeps_peaks_and_the_newest_third(losses: list[float]) -> None:
    taken = [Step(step=n, total=999, loss=loss) for n, loss in enumerate(losses, start=1)]
    kept = thinned(taken, most=96)
    newest = taken[len(taken) * 2 // 3 :]
    assert kept[-len(newest) :] == newest
    assert len(kept) <= 16 + len(newest)
    told = [step.loss for step in kept]
    assert (min(told), max(told)) == (min(losses), max(losses))
    assert [step.step for step in kept] == sorted({step.step for step in kept})


def test_a_run_of_a_week_keeps_few_steps_and_covers_all_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history, "MOST", 160)
    story = fold(Started(pid=1), *(Step(step=n, total=0, loss=1.0) for n in range(1, 3_001)))
    assert len(story.steps) <= 160
    assert (story.steps[0].step, story.step) == (1, 3_000)
    assert max(b.step - a.step for a, b in itertools.pairwise(story.steps)) < 600
    story.apply(Started(pid=2, resumed=2_900))
    assert (story.step, story.discarded) == (2_900, 100)
