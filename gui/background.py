"""Short work off the window's thread: `Task(self, work).then(show).failed(warn).start()`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from PySide6.QtCore import QObject, QRunnable, QThreadPool, Signal, Slot

from core.errors import CoreError


class _Signals(QObject):
    done = Signal(object)
    failed = Signal(object)
    progress = Signal(object)


class _Work(QRunnable):
    def __init__(self, work: Callable[[], Any], signals: _Signals) -> None:
        super().__init__()
        self._work, self._signals = work, signals

    def run(self) -> None:
        try:
            result = self._work()
        except CoreError as error:
            _send(self._signals.failed, error)
        except Exception as error:  # noqa: BLE001 - the boundary: nothing may vanish in a thread
            _send(self._signals.failed, CoreError(f"Unexpected: {error!r}"))
        else:
            _send(self._signals.done, result)


def _send(signal: Any, payload: object) -> None:
    try:
        signal.emit(payload)
    except RuntimeError:
        return  # the window closed while the work went on; nobody is left to tell


class Task(QObject):
    """One piece of work. `work` must not touch a widget; `then` and `failed` may.

    The result is dropped when `parent` is gone by then.
    """

    def __init__(self, parent: QObject, work: Callable[[], Any]) -> None:
        super().__init__(parent)
        self._signals = _Signals()  # no child: it must outlive this object while work goes on
        self._work = work
        self._signals.done.connect(self._done)
        self._signals.failed.connect(self._failed)
        self._signals.progress.connect(self._advanced)
        self._advance: Callable[[Any], None] = lambda _: None
        self._then: Callable[[Any], None] = lambda _: None
        self._else: Callable[[CoreError], None] = lambda _: None
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
        _send(self._signals.progress, news)

    def start(self) -> Self:
        """Begin."""
        QThreadPool.globalInstance().start(_Work(self._work, self._signals))
        return self

    def forget(self) -> None:
        """The result is no longer wanted; a newer task replaced this one."""
        self._active = False

    @Slot(object)
    def _advanced(self, news: object) -> None:
        if self._active:
            self._advance(news)

    @Slot(object)
    def _done(self, result: object) -> None:
        if self._active:
            self._then(result)
        self.deleteLater()

    @Slot(object)
    def _failed(self, error: object) -> None:
        if self._active and isinstance(error, CoreError):
            self._else(error)
        self.deleteLater()
