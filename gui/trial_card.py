"""Measured instead of estimated: trial steps of the run on its own rows, here and now."""

from __future__ import annotations

from PySide6.QtWidgets import QProgressBar

from core.dataset import Heed
from core.errors import CoreError
from core.plan import Plan
from core.preflight import Trial, rehearse
from core.recipe import Recipe
from gui.errand import Errand
from gui.parts import Pile
from gui.session import Session
from gui.widgets import Card, Notice, PlainLabel, QuietButton, row

_OFFER = (
    "Takes three training steps on the longest rows and two on usual ones, and throws them away: "
    "what they take in memory and time is what the run will take. A run on a GPU does so by itself "
    "before it begins."
)
_NOT_READY = (
    "The run must be ready to start first: choose a model and rows, and mend what is wrong."
)


class TrialCard(Card):
    """A button, and what it found for the recipe as it is."""

    def __init__(self, session: Session) -> None:
        super().__init__("Measured on this computer")
        self.session = session
        self.errand = Errand(self)
        self._of: Recipe | None = None
        self.said = PlainLabel(_OFFER, "muted")
        self.busy = QProgressBar()
        self.busy.setRange(0, 0)
        self.busy.setAccessibleName("Taking trial steps")
        self.result = Notice()
        self.odd = Pile()
        self.button = QuietButton("Take trial steps", "play")
        self.button.clicked.connect(self._start)
        self.stop = QuietButton("Cancel", "x")
        self.stop.clicked.connect(self.errand.stop)
        self.add(self.said, self.busy, self.result, self.odd)
        self.body.addLayout(row(self.button, self.stop))
        self.errand.moved.connect(self._show_busy)
        self._clear()

    def show_plan(self, recipe: Recipe, plan: Plan) -> None:
        """What was measured holds for one recipe only."""
        if self._of is not None and recipe != self._of:
            self._clear()
        self.said.setText(_OFFER if plan.ready else _NOT_READY)
        self._show_busy()

    def _clear(self) -> None:
        self._of = None
        self.errand.stop()
        self.result.hide()
        self.odd.fill((), list)
        self._show_busy()

    def _show_busy(self) -> None:
        busy = self.errand.busy
        self.busy.setVisible(busy)
        self.stop.setVisible(busy)
        self.button.setEnabled(self.session.plan.ready and not busy)

    def _start(self) -> None:
        recipe, facts, plan = self.session.recipe, self.session.facts, self.session.plan
        self._of = recipe

        def work(heed: Heed) -> Trial:
            return rehearse(recipe, facts, plan, lambda: heed(0))

        self.errand.begin(work, self._measured, self._failed)

    def _measured(self, trial: Trial) -> None:
        self.result.show_as(
            "ok" if trial.found.fits else "bad", f"{trial.text} {trial.hint}".strip()
        )
        self.result.show()
        odd = tuple(problem.text for problem in trial.odd)
        self.odd.fill(odd, lambda: [Notice("warn", text) for text in odd])
        self.session.learned()

    def _failed(self, error: CoreError) -> None:
        self.result.show_as("bad", f"{error} {error.hint}".strip())
        self.result.show()
