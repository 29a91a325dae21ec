"""The window's hold on one run: start it, watch it, steer it, let go of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QEventLoop, QObject, QTimer, Signal, Slot

from core import launch, vacancy
from core.causes import PAUSE, restarts, taken_up
from core.errors import CoreError, RunError
from core.events import Event
from core.history import History, Outcome
from core.launch import Engine
from core.places import runs_home
from core.plan import Plan
from core.recipe import Recipe
from core.rundir import Command, RunDir, new_root
from gui.follower import Follower

REDRAW_MS, REDRAW_MOST_MS = 100, 1_000
"""Screens redraw at most ten times a second; a step is seldom faster."""
SHARE = 10
"""What the page and its first chart take is followed by so many times as long without, a second at
most: a long story is read first. The other charts take turns in between."""


class Runner(QObject):
    """One per window. The engine belongs to the run, not to the window: it survives `detach`."""

    opened = Signal(object)
    """Another run is shown from here on (RunDir); its history is empty for a moment."""
    changed = Signal(object)
    """The story went on (History); at most ten times a second."""
    ended = Signal(object)
    """Nothing more will be said (Outcome)."""
    refused = Signal(object)
    """Something asked for cannot be done (CoreError)."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.run: RunDir | None = None
        self.history = History()
        self._follower: Follower | None = None
        self._engines: dict[Path, Engine] = {}
        self._launched = 0.0
        self._tried: Counter[Path] = Counter()
        self._returning: set[Path] = set()
        self._redraw = QTimer(self, singleShot=True, interval=REDRAW_MS)
        self._redraw.timeout.connect(self._tell)

    def start(self, recipe: Recipe, plan: Plan) -> None:
        """Make a new run below the user's runs and start its engine."""

        def begin() -> Engine:
            self._refuse_second()
            return launch.start(new_root(runs_home(), recipe.name), recipe, plan)

        self._begin(begin)

    def resume(self) -> None:
        """Go on from the newest checkpoint of the open run."""
        if self.run is not None:
            self._tried.pop(self.run.root, None)
            self._returning.discard(self.run.root)
            self._go_on(self.run)

    def _go_on(self, run: RunDir, because: str = "", *, show: bool = True) -> None:
        def begin() -> Engine:
            if run.is_running():
                raise run.held()
            self._refuse_second()
            return launch.resume(run, because)

        self._begin(begin, show=show)

    def open(self, root: Path) -> None:
        """Show any run: finished, running (it is followed from its first event) or interrupted."""
        try:
            run = RunDir.open(Path(root))
        except CoreError as error:
            self.refused.emit(error)
            return
        self._watch(run)

    def ask(self, command: Command) -> None:
        """Pass a wish to the engine; it obeys at the end of its current step."""
        if self.run is None:
            return
        try:
            self.run.ask(command)
        except RunError as error:
            self.refused.emit(error)

    def alive(self) -> bool:
        """Whether an engine works on the open run now."""
        return self.run is not None and self._alive(self.run)()

    def outcome(self) -> Outcome:
        """How the open run stands."""
        return self.history.outcome(alive=self.alive())

    @property
    def returning(self) -> bool:
        """Whether the engine of the open run was lost, and another one is about to follow it."""
        return self.run is not None and self.run.root in self._returning

    def detach(self) -> None:
        """Stop watching; the engine goes on and can be watched again later."""
        self._redraw.stop()
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.stop()
            follower.deleteLater()

    def stop_and_wait(self, grace: float = 60.0) -> None:
        """Let the engine save and end, insist after `grace` seconds; the window stays painted."""
        if self.run is not None and self.alive():
            self.ask("stop")
            self._wait_for_end(grace)
            if engine := self._engines.get(self.run.root):
                engine.stop(grace=5.0)
        self.detach()

    def _wait_for_end(self, grace: float) -> None:
        loop, deadline = QEventLoop(), time.monotonic() + grace

        def look() -> None:
            if not self.alive() or time.monotonic() > deadline:
                loop.quit()

        poll = QTimer(interval=REDRAW_MS)
        poll.timeout.connect(look)
        poll.start()
        loop.exec()
        poll.stop()

    def _refuse_second(self) -> None:
        busy = [engine.run.root.name for engine in self._engines.values() if engine.alive()]
        if self.run is not None and self.alive():
            busy.append(self.run.root.name)
        if other := vacancy.training(runs_home()):
            busy.append(other.root.name)
        if busy:
            raise RunError(
                f"{busy[0]} is still training.",
                hint="Two runs would share this computer's memory. Stop it first, or wait.",
            )

    def _begin(self, begin: Callable[[], Engine], *, show: bool = True) -> None:
        launched = time.time()
        try:
            engine = begin()
        except CoreError as error:
            self.refused.emit(error)
            return
        except OSError as error:
            reason = error.strerror or str(error)
            self.refused.emit(RunError(f"The training process cannot be started: {reason}."))
            return
        self._engines[engine.run.root] = engine
        if show:
            self._watch(engine.run, launched)

    def _watch(self, run: RunDir, launched: float = 0.0) -> None:
        self.detach()
        self.run, self.history, self._launched = run, History(), launched
        self.opened.emit(run)
        own = self._engines.get(run.root)
        follower = Follower(run, self._alive(run), own.cause if own else None, self)
        follower.batch.connect(self._take)
        follower.failed.connect(self._unreadable)
        follower.finished.connect(self._end)
        self._follower = follower
        follower.start()

    def _alive(self, run: RunDir) -> Callable[[], bool]:
        """Our own child is asked itself; another window's engine is known by the lock it holds."""
        engine = self._engines.get(run.root)
        return engine.alive if engine else run.is_running

    @Slot(object, object)
    def _take(self, follower: Follower, events: list[Event]) -> None:
        if follower is self._follower:
            for event in events:
                self.history.apply(event)
            if not self._redraw.isActive():
                self._redraw.start()
        follower.folded()

    @Slot(object, object)
    def _unreadable(self, follower: Follower, error: CoreError) -> None:
        if follower is self._follower:
            self.refused.emit(error)

    @Slot()
    def _end(self) -> None:
        if self._follower is None or self.sender() is not self._follower:
            return
        self._redraw.stop()
        self._tell()
        if self._never_spoke():
            self.refused.emit(
                RunError(
                    "The training process ended before it said anything.",
                    hint="The end of the engine's log, on the Run page, names the reason.",
                )
            )
        self._take_up_again()
        self.ended.emit(self.outcome())

    def _take_up_again(self) -> None:
        """An engine of ours that was lost is followed by another one, after a while."""
        run, failure = self.run, self.history.failure
        if run is None or failure is None or self.history.state != "failed":
            return
        tried = self._tried[run.root]
        if run.root not in self._engines or not restarts(failure.code, tried):
            return
        del self._engines[run.root]  # whoever opens the run again does not find it lost once more
        self._returning.add(run.root)
        because = taken_up(failure.error, "the window", tried)

        def begin() -> None:
            if run.root in self._returning:  # else the user was faster
                self._returning.remove(run.root)
                self._tried[run.root] += 1
                self._go_on(run, because, show=self.run is run)

        QTimer.singleShot(round(PAUSE * 1e3), self, begin)

    def _never_spoke(self) -> bool:
        """A resumed engine that died at once leaves the story of its forerunner unchanged."""
        started = self.history.started
        silent = started is None or started.t < self._launched
        return bool(self._launched) and silent and self.history.state != "failed"

    def _tell(self) -> None:
        begun = time.perf_counter()
        self.changed.emit(self.history)
        spent = time.perf_counter() - begun
        wait = min(REDRAW_MOST_MS, round(SHARE * spent * 1e3))
        self._redraw.setInterval(max(REDRAW_MS, wait))
