"""The learning rate over the steps of a run, before it runs: as the engine will take it."""

from __future__ import annotations

from core.choices import Training
from core.draft import Settings
from core.numbers import show_number
from core.schedules import rate_at
from gui.curves import Series
from gui.plots import Line, Plot

POINTS = 200
"""Steps that are drawn of a long run; the last one is always among them."""
LINES = (Line("rate", "rate", 0, width=2),)


class RateCurve(Plot):
    """Redrawn at every plan; hidden while the number of steps is not known."""

    def __init__(self) -> None:
        super().__init__("Learning rate", LINES, _short, height=130)
        self._course_of: object = None
        self.hide()

    def show_settings(self, training: Training, settings: Settings | None) -> None:
        """Draw the schedule of these settings."""
        self.setVisible(settings is not None)
        if settings is not None and (training, settings) != self._course_of:
            self._course_of = training, settings
            self.draw({"rate": course(training, settings)})


def _short(rate: float) -> str:
    return show_number(float(f"{rate:.3g}"))


def course(training: Training, settings: Settings) -> Series:
    """The rate at some steps, the first and the last among them."""
    stride = max(1, settings.steps // POINTS)
    found = Series()
    for step in [*range(1, settings.steps, stride), settings.steps]:
        found.append(step, rate_at(training, settings, step))
    return found
