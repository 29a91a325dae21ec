"""The window's hand on the queue: changes it, and works on it unless somebody else does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from PySide6.QtCore import QObject, QTimer, Signal

from core.errors import CoreError
from core.keeper import Keeper, Standing, digests
from core.plan import Plan
from core.queue import AtEnd, Move, Queue, QueueFile
from core.recipe import Recipe
from core.rundir import RunDir
from gui.background import Task
from gui.runner import Runner

LOOK_MS = 1_500
"""Between two looks; a click looks at once."""


class QueueDesk(QObject):
    """One per window. Looking and beginning happen in the background, small changes at once."""

    changed = Signal(object)
    """The queue or what is done with it is not what it was (Standing)."""
    refused = Signal(object)
    """A change is not possible (CoreError)."""
    farewell = Signal(str)
    """The last run is over: "sleep" or "shutdown" was wanted then."""

    def __init__(self, runner: Runner, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.file, self.runner = QueueFile(), runner

        def training() -> RunDir | None:
            """An engine holds its run's lock only some time after it was started."""
            return runner.run if runner.alive() else None

        self.keeper = Keeper(plan_whole, self.file, training)
        self.standing = Standing("done")
        self.trouble: CoreError | None = None
        self._task: Task | None = None
        self._stale = False
        """Whether the queue was changed here since the look in hand began."""
        self._timer = QTimer(self, interval=LOOK_MS)
        self._timer.timeout.connect(self.look)

    @property
    def queue(self) -> Queue:
        """As it was when it was last looked at."""
        return self.standing.queue

    def begin(self) -> None:
        """Work on the queue from now on."""
        self._timer.start()
        self.look()

    def leave(self) -> None:
        """Let others work on it; a run in hand goes on."""
        self._timer.stop()
        if self._task is not None:
            self._task.forget()
        self.keeper.leave()

    def look(self) -> None:
        """Take a step, unless one is being taken; without a queue there is nothing to look at."""
        if self._task is None and self.file.path.exists():
            self._stale = False
            self._task = Task(self, self.keeper.turn).then(self._take).failed(self._warn).start()

    def add(self, recipe: Recipe, plan: Plan) -> bool:
        """Let a recipe wait, as it is now."""
        return self._change(lambda queue: queue.added(recipe, digests(plan)))

    def move(self, number: int, where: Move) -> bool:
        """Give an entry another place."""
        return self._change(lambda queue: queue.moved(number, where))

    def remove(self, number: int) -> bool:
        """Take an entry out."""
        return self._change(lambda queue: queue.removed(number))

    def clear(self) -> bool:
        """Take out what is over."""
        return self._change(Queue.cleared)

    def pause(self, paused: bool) -> bool:
        """Hold the queue, or let it go on."""
        return self._change(lambda queue: queue.with_pause(paused))

    def choose_end(self, at_end: AtEnd) -> bool:
        """What to do at the end of a run."""
        return self._change(lambda queue: queue.ending(at_end))

    def _change(self, edit: Callable[[Queue], Queue]) -> bool:
        try:
            queue = self.file.change(edit)
        except CoreError as error:
            self.refused.emit(error)
            return False
        self._stale = True
        self._show(replace(self.standing, queue=queue, entry=queue.in_hand))
        if self._timer.isActive():
            self.look()
        return True

    def _take(self, found: Standing) -> None:
        self._task, self.trouble = None, None
        if found.kind == "farewell":
            self.farewell.emit(found.queue.at_end)
        if not self._stale:
            self._show(found)
        if self._stale or found.kind == "ended":
            self.look()

    def _warn(self, error: CoreError) -> None:
        self._task, self.trouble = None, error
        self.changed.emit(self.standing)

    def _show(self, found: Standing) -> None:
        self.standing = found
        self.changed.emit(found)


def plan_whole(recipe: Recipe) -> Plan:
    """As for a run from the terminal; loaded when the first entry begins."""
    from core import commands

    return commands.plan_whole(recipe)
