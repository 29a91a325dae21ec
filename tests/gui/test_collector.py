"""Forgotten widgets end in the thread they were made in."""

from __future__ import annotations

import gc
import threading
import weakref

from PySide6.QtCore import QObject
from pytestqt.qtbot import QtBot
from shiboken6 import Shiboken

from gui.collector import Collector


class Loop(QObject):
    """Something that only a collection can end."""

    def __init__(self, ended_in: list[int]) -> None:
        super().__init__()
        self.me = self
        weakref.finalize(self, lambda: ended_in.append(threading.get_ident()))


def make_garbage() -> None:
    """Enough objects for Python to collect several times, were it free to."""
    for _ in range(20_000):
        ring: list[object] = []
        ring.append(ring)


def test_what_a_worker_leaves_is_collected_in_the_windows_thread(qtbot: QtBot) -> None:
    gc.collect()
    collector, ended_in = Collector(), list[int]()
    Loop(ended_in)
    worker = threading.Thread(target=make_garbage)
    worker.start()
    worker.join()
    assert ended_in == [], "no worker may collect"
    collector.collect()
    assert ended_in == [threading.get_ident()]


def test_without_a_window_python_collects_as_usual(qtbot: QtBot) -> None:
    collector = Collector()
    assert not gc.isenabled()
    Shiboken.delete(collector)
    assert gc.isenabled()
