"""A run watched from a terminal: a progress bar, one line per evaluation, Ctrl-C that saves."""

from __future__ import annotations

import itertools
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from tqdm import tqdm

from core import hub, launch
from core.answering import Answers, Request
from core.causes import PAUSE, Cause, restarts, taken_up
from core.errors import HubError
from core.events import (
    Evaluated,
    Event,
    Paused,
    Phase,
    Preflight,
    Reduced,
    Silent,
    Skipped,
    Slept,
    Step,
    Warned,
)
from core.history import (
    PHASES,
    History,
    Outcome,
    preflight_sentence,
    reduced_sentence,
    silent_sentence,
    skipped_sentence,
    slept_sentence,
)
from core.hub import Fetch
from core.hub_spec import HubSpec
from core.launch import Engine
from core.metrics import told
from core.numbers import show_bytes, show_duration
from core.rundir import RunDir
from core.terminal import Terminal


def watch(
    run: RunDir,
    alive: Callable[[], bool],
    terminal: Terminal,
    *,
    cause: Callable[[], Cause] | None = None,
    heard: Callable[[Event], None] = lambda event: None,
) -> History:
    """Show a run until its engine is gone; returns the whole story."""
    story = History()
    with _bar(unit="step") as bar:
        for batch in launch.follow(run, alive, cause=cause):
            for event in batch:
                _tell(event, story, terminal, bar)
                story.apply(event)
                heard(event)
            _move(bar, story)
    return story


def bring(spec: HubSpec) -> None:
    """Download a dataset unless it is here. Raises HubError."""
    if not spec.folder.is_dir():
        try:
            with hub.fetch_data(spec) as download:
                watch_fetch(download)
        except HubError as error:
            raise HubError(f"{spec}: {error}", hint=error.hint) from error


def watch_fetch(download: Fetch) -> Path | None:
    """Show a download to its end; returns its folder. Raises HubError."""
    with _bar(unit="B", unit_scale=True) as bar:
        for progress in download.progress():
            bar.total, bar.n = progress.total, progress.done
            bar.refresh()
    return download.folder


def watch_answers(request: Request) -> Answers:
    """Let models answer, and show how far they are. Raises CoreError."""
    with _bar(unit="answer") as bar:

        def advance(done: int, total: int) -> None:
            bar.total, bar.n = total, done
            bar.refresh()

        return launch.answer(request, advance=advance)


def _bar(**looks: Any) -> tqdm[None]:
    """A progress bar on stderr, for a person only."""
    tqdm.monitor_interval = 0  # its watchdog thread would outlive the bar
    hidden = sys.stderr is None or not sys.stderr.isatty()  # a window has no terminal
    return tqdm(file=sys.stderr, disable=hidden, dynamic_ncols=True, leave=False, **looks)


def _tell(event: Event, story: History, terminal: Terminal, bar: tqdm[None]) -> None:
    """One line for what matters; steps only move the bar."""
    line = _line(event, story)
    if line:
        bar.clear()
        terminal.say(line)


def _line(event: Event, story: History) -> str:
    match event:
        case Phase() if story.phase is None or event.name != story.phase.name:
            return f"{PHASES[event.name]} ..."
        case Preflight():
            return preflight_sentence(event)
        case Evaluated():
            best = ", the best so far" if event.best else ""
            where = f"{event.step:,} of {story.total:,}" if story.total else f"{event.step:,}"
            return f"  step {where}: {_found(event)}{best}"
        case Paused(paused=True) if event.reason:
            on = " Training then goes on by itself." if event.passing else ""
            return f"Paused at step {event.step:,}. {event.reason} {event.hint}".strip() + on
        case Skipped():
            return f"note: {skipped_sentence([event])}"
        case Reduced():
            return f"note: {reduced_sentence(event)}"
        case Silent():
            return f"note: {silent_sentence(event)}"
        case Slept():
            return f"note: {slept_sentence(event.seconds)}"
        case Warned():
            return f"note: {event.text}" + (f" {event.hint}" if event.hint else "")
    return ""


def _found(event: Evaluated) -> str:
    right = event.reward_accuracy
    parts = [] if event.loss is None else [f"held-out loss {event.loss:.4f}"]
    parts += [] if right is None else [f"better answer preferred {right:.0%}"]
    parts += [f"{metric.title.lower()} {text}" for metric, text in told(event.metrics)]
    on = f" (on {event.rewarded:,} held-out questions)" if event.rewarded else ""
    return ", ".join(parts) + on


def _move(bar: tqdm[None], story: History) -> None:
    bar.total, bar.n = story.total or None, story.step
    if story.steps:
        bar.set_postfix_str(_postfix(story.steps[-1], story.seconds_left()), refresh=False)
    bar.refresh()


def _postfix(step: Step, left: float | None) -> str:
    memory = step.memory.gpu_used or step.memory.host_used
    parts = [f"loss {step.loss:.4f}"]
    parts += [f"{step.tokens_per_second:,.0f} tokens/s"] if step.tokens_per_second else []
    parts += [show_bytes(memory)] if memory else []
    parts += [f"{show_duration(left)} left"] if left is not None else []
    return ", ".join(parts)


def watch_engine(engine: Engine, terminal: Terminal) -> tuple[History, Outcome]:
    """Watch an engine that this process started: Ctrl-C once saves and stops, twice ends it now.

    An engine that was lost for a reason that may pass is followed by another one.
    """
    for tried in itertools.count():
        story, outcome = _watch_once(engine, terminal)
        code = story.failure.code if story.failure and outcome.state == "failed" else ""
        if not restarts(code, tried):
            return story, outcome
        because = taken_up(outcome.error, "itself", tried)
        terminal.note(because)
        time.sleep(PAUSE)
        engine = launch.resume(engine.run, because)
    raise AssertionError("attempts end")


def _must_be_decided(event: Event) -> bool:
    return isinstance(event, Paused) and event.paused and bool(event.reason) and not event.passing


def _watch_once(engine: Engine, terminal: Terminal) -> tuple[History, Outcome]:
    run, unattended = engine.run, not sys.stdin.isatty()

    def decide(event: Event) -> None:
        """Where nobody can be asked, a run that went astray ends with its last good checkpoint."""
        if unattended and _must_be_decided(event):
            terminal.note("Nobody is there to decide: it ends here.")
            run.ask("stop")

    with engine, stopping_gently(run, terminal):
        try:
            story = watch(run, engine.alive, terminal, cause=engine.cause, heard=decide)
        except KeyboardInterrupt:
            terminal.note("Ending now.")
            engine.stop(grace=0.0)
            story = engine.run.history()
            return story, story.outcome()
    return story, story.outcome()


@contextmanager
def stopping_gently(run: RunDir, terminal: Terminal) -> Iterator[None]:
    """The first Ctrl-C (or a polite kill) asks the engine to save and stop, the next one raises."""
    presses = 0

    def pressed(_number: int, _frame: FrameType | None) -> None:
        nonlocal presses
        presses += 1
        if presses > 1:
            raise KeyboardInterrupt
        run.ask("stop")
        terminal.note("Stopping after this step and saving. Press Ctrl-C again to end at once.")

    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, pressed) for kind in kinds]
    try:
        yield
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)
