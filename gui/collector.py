"""Python's collector of forgotten objects, kept to the window's thread.

Python collects in whichever thread happens to make the next object. Qt objects must end in the
thread they were made in: a widget that ends in a reader of events stops timers of another thread,
and now and then the whole process.
"""

from __future__ import annotations

import gc

from PySide6.QtCore import QObject, QTimer

PERIOD = 500
"""Milliseconds between two looks at how much there is to collect."""


class Collector(QObject):
    """As long as it lives, objects are collected in its own thread, by Python's own thresholds."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        gc.disable()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.collect)
        self._timer.start(PERIOD)
        self.destroyed.connect(gc.enable)

    def collect(self) -> None:
        """Collect the oldest generation that has reached its threshold, and all younger ones."""
        full = [
            n
            for n, (count, most) in enumerate(zip(gc.get_count(), gc.get_threshold(), strict=True))
            if count > most
        ]
        if full:
            gc.collect(max(full))
