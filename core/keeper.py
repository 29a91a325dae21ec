"""Whoever works on the queue: one step at a time, each of them safe to die in.

Two processes never do so at once. An engine that was started goes on when its keeper is gone, and
the next keeper takes it over: it waits for its end, or takes the run up again where it broke off.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from core import causes, holder, launch, places, power, vacancy
from core.causes import PAUSE, Cause, restarts, taken_up
from core.errors import CoreError, HardwareError, QueueError, RunError
from core.history import History, Outcome
from core.launch import Engine
from core.machine import read_machine
from core.plan import Plan
from core.queue import Entry, Queue, QueueFile, State
from core.recipe import Recipe
from core.rundir import RunDir, new_root

Kind = Literal[
    "elsewhere", "training", "help", "resting", "ended", "held", "occupied", "done", "farewell"
]
_CHANGED = "The dataset is not what it was when this was added."


@dataclass(frozen=True)
class Standing:
    """What the keeper found or did."""

    kind: Kind
    queue: Queue = field(default_factory=Queue)
    text: str = ""
    entry: Entry | None = None
    """The one in hand, or the one that is over."""
    outcome: Outcome | None = None
    """How the run of the one in hand stands."""

    @property
    def run(self) -> RunDir | None:
        """The run of the entry, if it has one."""
        return RunDir(Path(self.entry.run)) if self.entry and self.entry.run else None

    @property
    def at_work(self) -> bool:
        """Whether a run of the queue holds the machine, or will in a moment."""
        return self.kind in ("training", "help", "resting")


class Keeper:
    """`turn` is called again and again; it never waits for a run."""

    def __init__(
        self,
        plan_for: Callable[[Recipe], Plan],
        file: QueueFile | None = None,
        training: Callable[[], RunDir | None] = lambda: None,
    ) -> None:
        """`training` names a run that this process has started beside the queue."""
        self.file = file or QueueFile()
        self._training = training
        self._plan_for = plan_for
        self._lock = FileLock(self.file.keeper_lock, thread_local=False)
        self._turning = threading.Lock()
        self._engines: dict[Path, Engine] = {}
        self._rest_until = 0.0
        self._worked = self._leaving = False

    def turn(self) -> Standing:
        """Look, and take at most one step. Raises QueueError, DiskError."""
        try:
            with self._turning:
                return self._turn()
        finally:
            if self._leaving:
                self.leave()

    def leave(self) -> None:
        """Let others work on the queue; a run in hand goes on."""
        self._leaving = True
        if self._turning.acquire(blocking=False):  # else the turn in hand does it
            self._let_go()
            self._turning.release()

    def alive(self, run: RunDir) -> bool:
        """Whether an engine works on a run; one of our own is known before it holds the lock."""
        engine = self._engines.get(run.root)
        return (engine is not None and engine.alive()) or run.is_running()

    def cause(self, run: RunDir) -> Cause:
        """Why the engine of a run is gone without a last word."""
        engine = self._engines.get(run.root)
        if engine is not None and not engine.alive():
            return engine.cause()
        return launch.guess(run)

    def farewell(self, action: power.Action) -> None:
        """Sleep or shut down, once. Raises HardwareError when the system or a run is against it."""
        queue = self.stay()
        if queue.in_hand or (queue.waiting and not queue.paused):
            raise HardwareError(
                "The queue has something to do again, so the computer stays on.",
                hint="Choose again what to do at the end of a run.",
            )
        if other := self._training() or vacancy.training(places.runs_home()):
            raise HardwareError(
                f"{other.root.name} is training, so the computer stays on.",
                hint="The queue itself is done.",
            )
        power.perform(action)

    def stay(self) -> Queue:
        """What was to be done at the end holds for one time only."""
        return self.file.change(lambda queue: queue.ending("next"))

    def _turn(self) -> Standing:
        if not self._mine():
            return self._elsewhere(self.file.read())
        queue = self.file.read()  # not before: another keeper may just have ended
        if entry := queue.in_hand:
            return self._attend(queue, entry)
        if queue.paused:
            return Standing("held", queue, "The queue is paused.")
        if queue.waiting:
            return self._begin(queue, queue.waiting[0])
        if self._worked and queue.at_end in ("sleep", "shutdown"):
            self._worked = False
            return Standing("farewell", queue, power.SENTENCES[queue.at_end])
        return Standing("done", queue, "Nothing waits.")

    def _elsewhere(self, queue: Queue) -> Standing:
        who = holder.describe(self.file.keeper_file, "window or terminal")
        text = f"{who[:1].upper()}{who[1:].removesuffix(',')} works on it."
        outcome = look(queue.in_hand) if queue.in_hand else None
        return Standing("elsewhere", queue, text, queue.in_hand, outcome)

    # -- the one keeper ------------------------------------------------------------------------

    def _mine(self) -> bool:
        if self._leaving:
            return False
        if not self._lock.is_locked:
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                return False
            except OSError as error:
                raise QueueError(
                    f"The folder of the queue cannot be written: {error.strerror or error}.",
                    hint="Look whether it is yours and its disk sound.",
                ) from error
            holder.sign(self.file.keeper_file)
        return True

    def _let_go(self) -> None:
        if self._lock.is_locked:
            self.file.keeper_file.unlink(missing_ok=True)
            self._lock.release()

    # -- what was begun ------------------------------------------------------------------------

    def _attend(self, queue: Queue, entry: Entry) -> Standing:
        run = RunDir(Path(entry.run))
        if not run.recipe_file.is_file() or not run.events_file.is_file():
            return self._without_run(entry)
        if self.alive(run):
            self._worked = True
            return _look_at(queue, entry, run)
        if time.monotonic() < self._rest_until:
            return Standing("resting", queue, "It is taken up again in a moment.", entry)
        return self._after(entry, run)

    def _without_run(self, entry: Entry) -> Standing:
        """One that was claimed and no more waits again; a run that was taken away is over."""
        if entry.state == "claimed":
            queue = self.file.change(lambda q: q.changed(entry.id, state="waiting", run=""))
            return Standing("resting", queue, "It is begun anew.")
        return self._over(entry, "failed", f"The folder {entry.run} is gone.")

    def _after(self, entry: Entry, run: RunDir) -> Standing:
        """The engine is gone: the run is over, or is taken up again."""
        try:
            story = run.history()
        except (OSError, ValueError) as error:
            return self._over(entry, "failed", f"The run cannot be read: {error}.")
        outcome = story.outcome()
        if outcome.state in ("finished", "stopped"):
            return self._over(entry, "finished" if outcome.state == "finished" else "stopped",
                              str(outcome))  # fmt: skip
        cause = self._cause_of(story, run)
        saved = outcome.saved or 0
        tried = 0 if saved > entry.saved else entry.tried
        if not restarts(cause.code, tried):
            return self._over(entry, "failed", _failure(outcome, cause))
        return self._again(entry, run, cause, tried, saved)

    def _cause_of(self, story: History, run: RunDir) -> Cause:
        """Of an end that was told, with its words; else of how the process went."""
        if story.state == "failed" and story.failure:
            said = story.failure
            return Cause(code=said.code, text=said.error, hint=said.hint)
        if story.state == "interrupted":  # the system asked for it, when it was shut down
            return causes.UNKNOWN
        return self.cause(run)

    def _again(self, entry: Entry, run: RunDir, cause: Cause, tried: int, saved: int) -> Standing:
        because = taken_up(cause.text, "the queue", tried)
        if self._engines.get(run.root) is not None and not self._rest_until:
            self._rest_until = time.monotonic() + PAUSE
            return Standing("resting", self.file.read(), because, entry)
        self._rest_until = 0.0
        changes = {"state": "started", "tried": tried + 1, "saved": saved, "text": because}
        queue = self.file.change(lambda q: q.changed(entry.id, **changes))
        try:
            self._engines[run.root] = launch.resume(run, because)
        except (CoreError, OSError) as error:
            return self._over(entry, "failed", _told(error))
        self._worked = True
        return Standing("training", queue, because, queue.in_hand)

    def _over(self, entry: Entry, state: State, text: str) -> Standing:
        def close(queue: Queue) -> Queue:
            changed = queue.changed(entry.id, state=state, text=text)
            wait = queue.at_end == "nothing" and bool(changed.waiting) and state != "refused"
            return changed.with_pause(queue.paused or wait)

        queue = self.file.change(close)
        return Standing("ended", queue, text, entry.model_copy(update={"state": state}))

    # -- the next one --------------------------------------------------------------------------

    def _begin(self, queue: Queue, entry: Entry) -> Standing:
        if other := self._training() or vacancy.training(places.runs_home()):
            return Standing("occupied", queue, f"{other.root.name} is training.")
        try:
            recipe = entry.parsed()
            plan = self._plan_for(recipe)
        except CoreError as error:
            return self._over(entry, "refused", _told(error))
        if not plan.ready:
            reasons = "; ".join(map(str, plan.blockers)) or "Its model or dataset is not known."
            return self._over(entry, "refused", reasons)
        if short := vacancy.short_of_memory(plan, read_machine()):
            return Standing("occupied", queue, short)
        return self._start(entry, recipe, plan)

    def _start(self, entry: Entry, recipe: Recipe, plan: Plan) -> Standing:
        if self._leaving:
            return Standing("elsewhere", self.file.read())
        root = new_root(places.runs_home(), recipe.name).absolute()
        odd = _CHANGED if entry.digests and digests(plan) != entry.digests else ""
        try:
            self.file.change(lambda queue: queue.claimed(entry.id, root, odd))
        except QueueError:  # it was taken out, or the queue paused, while it was looked at
            return Standing("resting", self.file.read(), "The queue was changed.")
        try:
            self._engines[root] = launch.start(root, recipe, plan)
        except (CoreError, OSError) as error:
            return self._over(entry, "refused", _told(error))
        self._worked = True
        queue = self.file.change(lambda queue: queue.changed(entry.id, state="started"))
        return Standing("training", queue, "Getting ready.", queue.in_hand)


def digests(plan: Plan) -> tuple[str, ...]:
    """What the datasets of a plan hold."""
    return tuple(source.digest for source in plan.sources)


def look(entry: Entry) -> Outcome:
    """How the run of an entry in hand stands; cheap however long the run is."""
    run = RunDir(Path(entry.run))
    try:
        story, alive = run.recent(), run.is_running()
    except FileNotFoundError:
        return Outcome("waiting")
    except (OSError, ValueError) as error:
        return Outcome("failed", error=f"its story cannot be read: {error}")
    return story.outcome(alive=alive)


def _look_at(queue: Queue, entry: Entry, run: RunDir) -> Standing:
    """How a living run stands."""
    try:
        story = run.recent()
    except (OSError, ValueError) as error:
        return Standing("training", queue, f"Training; its story cannot be read: {error}.", entry)
    outcome = story.outcome(alive=True)
    text = "Getting ready." if outcome.state == "waiting" else str(outcome)
    waits = story.state == "paused" and not (story.paused and story.paused.passing)
    return Standing("help" if waits else "training", queue, text, entry, outcome)


def _failure(outcome: Outcome, cause: Cause) -> str:
    text = str(outcome) if outcome.state == "failed" else f"{outcome} {cause.text}"
    return f"{text} {cause.hint}".strip()


def _told(error: CoreError | OSError) -> str:
    if isinstance(error, CoreError):
        return f"{error} {error.hint}".strip()
    reason = error.strerror or str(error)
    return str(RunError(f"The training process cannot be started: {reason}."))
