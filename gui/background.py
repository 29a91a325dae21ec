"""Short work off the window's thread: `Task(self, work).then(show).failed(warn).start()`."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import cache
from typing import Any, Self

from PySide6.QtCore import QCoreApplication, QObject, QRunnable, QThreadPool, Signal, Slot
from shiboken6 import Shiboken

from core.errors import CoreError


class _Post(QObject):
    """Carries news from workers into the window's thread.

    There is one, as old as the application: signals of each task's own would end in its worker
    whenever that is the last to let go of them, and Qt objects must end in the window's thread.
    """

    news = Signal(object, object, object)
    """A weak reference to the task, the method to call, and what to tell it."""

    def __init__(self, parent: QObject | None) -> None:
        super().__init__(parent)
        self.awaited: set[Task] = set()
        self.news.connect(self._deliver)

    @Slot(object, object, object)
    def _deliver(
        self, find: Callable[[], Task | None], tell: Callable[[Task, Any], None], news: Any
    ) -> None:
        task = find()
        if task is not None:
            tell(task, news)


@cache
def _post() -> _Post:
    """Made by the first task, in the window's thread; the application ends it after all workers."""
    return _Post(QCoreApplication.instance())


class _Work(QRunnable):
    """Ends in a worker, so nothing of Qt may end with it."""

    def __init__(self, work: Callable[[], Any], task: weakref.ref[Task]) -> None:
        super().__init__()
        self._work, self._task, self._news = work, task, _post().news

    def run(self) -> None:
        try:
            result = self._work()
        except CoreError as error:
            self._news.emit(self._task, Task._failed, error)
        except Exception as error:  # noqa: BLE001 - the boundary: nothing may vanish in a thread
            self._news.emit(self._task, Task._failed, CoreError(f"Unexpected: {error!r}"))
        else:
            self._news.emit(self._task, Task._done, result)


class Task:
    """One piece of work. `work` must not touch a widget; `then` and `failed` may.

    The result is dropped when `parent` is gone by then. Not a QObject: as a child of `parent` that
    holds the last reference to it, a task would be deleted twice.
    """

    def __init__(self, parent: QObject, work: Callable[[], Any]) -> None:
        self._parent, self._work = parent, work
        self._advance: Callable[[Any], None] = _ignore
        self._then: Callable[[Any], None] = _ignore
        self._else: Callable[[CoreError], None] = _ignore
        self._active = True

    def then(self, show: Callable[[Any], None]) -> Self:
        """What to do with the result, in the window's thread."""
        self._then = show
        return self

    def failed(self, warn: Callable[[CoreError], None]) -> Self:
        """What to do with an error, in the window's thread."""
        self._else = warn
        return self

    def progress(self, show: Callable[[Any], None]) -> Self:
        """What to do with each report, in the window's thread."""
        self._advance = show
        return self

    def report(self, news: object) -> None:
        """Called by the work itself: how far it is."""
        _post().news.emit(weakref.ref(self), Task._advanced, news)

    def start(self) -> Self:
        """Begin."""
        _post().awaited.add(self)
        QThreadPool.globalInstance().start(_Work(self._work, weakref.ref(self)))
        return self

    def forget(self) -> None:
        """The result is no longer wanted; a newer task replaced this one."""
        self._active = False

    def _advanced(self, news: object) -> None:
        self._tell(self._advance, news)

    def _done(self, result: object) -> None:
        self._end(self._then, result)

    def _failed(self, error: CoreError) -> None:
        self._end(self._else, error)

    def _end(self, show: Callable[[Any], None], news: object) -> None:
        """What is held for the window is let go of here; a worker may let go of the rest later."""
        _post().awaited.discard(self)
        self._advance = self._then = self._else = _ignore
        self._tell(show, news)
        del self._parent

    def _tell(self, show: Callable[[Any], None], news: object) -> None:
        if self._active and Shiboken.isValid(self._parent):
            show(news)


def _ignore(_: object) -> None:
    """Nobody asked."""
