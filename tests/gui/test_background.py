"""Work beside the window: what reaches its thread, and what must never leave it."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from types import FrameType

import pytest
from PySide6.QtCore import QObject, QThreadPool
from pytestqt.qtbot import QtBot
from shiboken6 import Shiboken

from core.errors import CoreError, DataError
from gui.background import Task

WAIT = 30_000


def finish(qtbot: QtBot) -> None:
    """Every worker is done, and what they sent has arrived."""
    assert QThreadPool.globalInstance().waitForDone(WAIT)
    qtbot.wait(1)


def test_results_and_reports_reach_the_windows_thread(qtbot: QtBot, qapp: QObject) -> None:
    parent, heard, threads = QObject(), [], {threading.get_ident()}

    def work() -> int:
        task.report("half")
        threads.add(threading.get_ident())
        return 7

    def hear(news: object) -> None:
        heard.append((news, threading.get_ident()))

    task = Task(parent, work)
    task.progress(hear).then(hear).start()
    qtbot.waitUntil(lambda: len(heard) == 2)
    assert heard == [("half", threading.get_ident()), (7, threading.get_ident())]
    assert len(threads) == 2


@pytest.mark.parametrize(
    ("raised", "told"),
    [(DataError("no rows"), "no rows"), (KeyError("x"), "Unexpected: KeyError('x')")],
)
def test_errors_reach_the_windows_thread(
    qtbot: QtBot, qapp: QObject, raised: Exception, told: str
) -> None:
    parent, heard = QObject(), list[CoreError]()

    def work() -> None:
        raise raised

    Task(parent, work).failed(heard.append).start()
    qtbot.waitUntil(lambda: bool(heard))
    assert str(heard[0]) == told


@pytest.mark.parametrize("end", [Shiboken.delete, None], ids=["parent gone", "forgotten"])
def test_nobody_is_told_what_nobody_waits_for(qtbot: QtBot, qapp: QObject, end: object) -> None:
    parent, heard, let_go = QObject(), [], threading.Event()
    task = Task(parent, lambda: let_go.wait(WAIT / 1000))
    task.then(heard.append).start()
    Shiboken.delete(parent) if end else task.forget()
    let_go.set()
    finish(qtbot)
    assert heard == []


def test_no_object_of_qt_ends_in_a_worker(qtbot: QtBot, qapp: QObject) -> None:
    """A worker may be the last to let go, long after the window is done with the task."""
    gc.collect()  # what earlier tests left is not meant
    parent, gone = QObject(), threading.Event()
    lingered: list[int] = []
    ended_in: list[int] = []

    def linger(frame: FrameType, event: str, _: object) -> None:
        if event == "return" and frame.f_code.co_name == "run":
            sys.setprofile(None)
            lingered.append(threading.get_ident())
            gone.wait(WAIT / 1000)

    task = Task(parent, lambda: sys.setprofile(linger))
    del parent
    watches: list[weakref.ref[object]] = [
        weakref.ref(thing, lambda _: ended_in.append(threading.get_ident()))
        for thing in gc.get_objects()
        if issubclass(type(thing), QObject)  # asking a thing itself may wake a library
    ]
    watches.append(weakref.ref(task, lambda _: gone.set()))
    task.start()
    del task
    qtbot.waitUntil(gone.is_set)
    finish(qtbot)
    assert len(lingered) == 1
    assert ended_in
    assert lingered[0] not in ended_in


class Owner(QObject):
    """Lives only as long as its task wants to tell it something."""

    def __init__(self, told: list[int]) -> None:
        super().__init__()
        self._told = told

    def take(self, result: int) -> None:
        self._told.append(result)


def test_a_parent_may_end_together_with_its_task(qtbot: QtBot, qapp: QObject) -> None:
    """The interpreter crashed here: parent and Qt's event loop both deleted the task."""
    told: list[int] = []
    ended: list[int] = []
    for number in range(20):
        owner = Owner(told)
        owner.destroyed.connect(lambda: ended.append(threading.get_ident()))
        Task(owner, lambda number=number: number).then(owner.take).start()
        del owner
    qtbot.waitUntil(lambda: len(ended) == 20)
    assert sorted(told) == list(range(20))
    assert set(ended) == {threading.get_ident()}
