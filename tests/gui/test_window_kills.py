"""Windows killed at any instant: training goes on, and the next window shows the whole curve."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from core import courtesy
from core.events import Evaluated, Saved, Started, Step
from core.places import runs_home, sample
from core.recipe import parse
from core.rundir import RunDir

pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="kills by signal"),
]
KILLS = int(os.environ.get("TUNESMITH_WINDOW_KILLS", "50"))
SEED = int(os.environ.get("TUNESMITH_SEED", str(random.randrange(10**6))))
FROZEN = 60.0
"""Seconds that a window does not read."""
PATIENCE = 300.0
DRAWING = "while it draws"
DRAWN = 2.0
"""Seconds of drawing within which a window is killed."""
ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("watched_window.py")


class Opened:
    """A window in a process of its own."""

    def __init__(self, place: Path, *recipe: Path) -> None:
        self.wanted, self.reply = place / "wanted", place / "reply.json"
        for old in (self.wanted, self.reply):
            old.unlink(missing_ok=True)
        self.begun = time.monotonic()
        self.errors = place / "window.log"
        with self.errors.open("ab") as errors, (place / "stages").open("wb") as stages:
            self.process = subprocess.Popen(
                [sys.executable, str(PROGRAM), self.wanted, self.reply, *recipe],
                cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL,
                stdout=stages, stderr=errors,
            )  # fmt: skip

    @property
    def stage(self) -> str:
        """What it told last of itself."""
        lines = (self.wanted.parent / "stages").read_text(encoding="utf-8").splitlines()
        return lines[-1] if lines else "while Python starts"

    def want(self, step: int) -> None:
        """It shall tell what it shows once it has come to this step."""
        self.wanted.write_text(str(step), encoding="utf-8")

    def drawn(self) -> dict[str, Any] | None:
        """What it has told."""
        if not self.reply.exists():
            return None
        found: dict[str, Any] = json.loads(self.reply.read_bytes())
        return found

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def opened(place: Path, *recipe: Path) -> Iterator[Opened]:
    """A window that is gone at the end, whatever happens."""
    window = Opened(place, *recipe)
    try:
        yield window
    finally:
        window.kill()


def wait_for(sign: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not sign():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def newest(run: RunDir) -> int:
    return max((event.step for event in run.events() if isinstance(event, Step)), default=0)


@pytest.fixture
def run(tmp_path: Path, home: Path) -> Iterator[RunDir]:
    """A real run whose engine was started by a window, which was killed then."""
    recipe = parse(
        {
            "name": "watched", "model": "starter",
            "data": {"path": str(sample("tickets.jsonl")), "heldout_share": 0.05},
            "training": {
                "max_steps": 100_000, "epochs": 1000, "micro_batch": 1, "max_length": 64,
                "learning_rate": 1e-3, "device": "cpu",
            },
            "checks": {"every": 25, "score_rows": 0, "answer_length": 2},
        }
    )  # fmt: skip
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.to_yaml(), encoding="utf-8")
    with opened(tmp_path, path) as window:
        wait_for(lambda: any(runs_home().glob("*/recipe.yaml")))
        found = RunDir.open(next(runs_home().iterdir()))
        wait_for(lambda: newest(found) or window.process.poll())
        window.kill()
    yield found
    end(found)


def end(run: RunDir) -> None:
    """Save and stop, as a user does."""
    if run.is_running():
        run.ask("stop")
        wait_for(lambda: not run.is_running())


def engines(run: RunDir) -> list[int]:
    """The processes that took the run, one after the other."""
    return [event.pid for event in run.events() if isinstance(event, Started)]


def compare(run: RunDir, shown: dict[str, Any]) -> int:
    """Every point of the log is in the window, and no other; returns how many."""
    last = shown["loss"][-1][0]
    events = [event for event in run.events() if getattr(event, "step", 0) <= last]
    told = [[e.step, e.loss] for e in events if isinstance(e, Step)]
    assert shown["loss"] == told
    assert [step for step, _ in told] == list(range(1, len(told) + 1))
    assert set(map(tuple, shown["drawn"])) <= set(map(tuple, told))
    assert (shown["drawn"][0], shown["drawn"][-1]) == (told[0], told[-1])
    for kind, name in ((Evaluated, "heldout"), (Saved, "saved")):
        known = [event.step for event in events if isinstance(event, kind)]
        marked = [step for step, _ in shown[name]]
        assert marked == known or marked == known[:-1], name  # one that came after the last look
    assert shown["outcome"] == "running"
    return len(told)


def test_killed_windows_harm_no_training(tmp_path: Path, run: RunDir) -> None:
    """Each window is told to show all there is, and killed at some instant: every other one
    anywhere, the rest once they draw; the last one is left alone until it has shown everything."""
    chance, stages, looked, usual = random.Random(SEED), Counter[str](), 0, 0.0
    for number in range(KILLS + 1):
        before = newest(run)
        with opened(tmp_path) as window:
            window.want(before)
            if number in (0, KILLS):
                wait_for(window.drawn)
                usual = usual or time.monotonic() - window.begun
            elif number % 2:
                wait_for(lambda window=window: window.stage == DRAWING)
                time.sleep(chance.uniform(0, DRAWN))
            else:
                time.sleep(chance.uniform(0, usual))
            window.kill()
            stages[window.stage] += 1
        if shown := window.drawn():
            looked, points = looked + 1, compare(run, shown)
            assert points >= before
        wait_for(lambda before=before: newest(run) > before)
    assert len(engines(run)) == 1, "one engine all the time"
    assert psutil.Process(engines(run)[0]).nice() >= courtesy.NICENESS, "it lets windows go first"
    end(run)
    story = run.history()
    assert story.state == "stopped"
    assert run.newest_valid() == (story.step, [])
    numbers = [event.seq for event in run.events()]
    assert numbers == list(range(1, len(numbers) + 1))
    print(f"\n{stages.total()} windows killed ({usual:.1f} s to the curve), seed {SEED}")
    print(f"{looked} of them had shown the whole curve, the last one {points:,} points")
    for stage, count in sorted(stages.items()):
        print(f"{count:5}  {stage}")


def test_a_window_that_does_not_read_holds_nothing_up(tmp_path: Path, run: RunDir) -> None:
    with opened(tmp_path) as window:
        wait_for(lambda: window.stage == DRAWING)
        os.kill(window.process.pid, signal.SIGSTOP)
        before = newest(run)
        time.sleep(FROZEN)
        after = newest(run)
        os.kill(window.process.pid, signal.SIGCONT)
        window.want(newest(run))
        wait_for(window.drawn)
        shown = window.drawn()
    assert shown is not None
    points = compare(run, shown)
    print(f"\nstopped for {FROZEN:.0f} s: {after - before:,} steps taken meanwhile")
    print(f"then shown: {points:,} of {points:,} points")
    assert after > before + 2
    assert len(engines(run)) == 1
