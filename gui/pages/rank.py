"""Two answers, one choice: a person makes the preferences that a model learns from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QWidget

from core.errors import CoreError
from core.plan import Plan
from core.ranking import Ranking, Verdict
from core.recipe import Recipe
from gui.duel import Duel
from gui.pages.base import Page
from gui.rank_outcome import RankOutcome
from gui.rank_setup import RankSetup
from gui.runner import Runner
from gui.session import Session
from gui.widgets import Notice


class RankPage(Page):
    """Asks what is compared, then shows pair after pair, then tells who was preferred."""

    title: ClassVar[str] = "Rank"
    question: ClassVar[str] = "Which answer is better?"
    help: ClassVar[str] = (
        "Compare answers without knowing whose they are; your choices become training data (DPO)."
    )
    icon: ClassVar[str] = "star"

    def __init__(self, session: Session, runner: Runner, parent: QWidget | None = None) -> None:
        self.runner = runner
        self.ranking: Ranking | None = None
        super().__init__(session, parent)

    def build(self) -> None:
        """The three parts of which one is seen."""
        self.setup = RankSetup(self.session, self.runner)
        self.duel, self.outcome = Duel(), RankOutcome(self.session)
        self.trouble = Notice("bad")
        self.trouble.hide()
        self.body.addWidget(self.trouble)
        for part in (self.setup, self.outcome):
            self.body.addWidget(part)
        self.body.addWidget(self.duel, 1000)
        self.body.addStretch(1)
        self.setup.ready.connect(self.show_ranking)
        self.duel.judged.connect(self._judge)
        self.duel.taken_back.connect(self._undo)
        self.duel.left.connect(self._show_outcome)
        self.outcome.again.connect(lambda: self._show_only(self.setup))
        self.outcome.onward.connect(self._next)
        self.outcome.taken_back.connect(self._undo)
        self.outcome.trained.connect(lambda: self.go.emit("Review"))
        self._show_only(self.setup)

    def show_plan(self, recipe: Recipe, plan: Plan) -> None:
        """The recipe's model is one of those that can answer."""
        if self.setup.isVisible():
            self.setup.refresh()

    @Slot(object)
    def show_ranking(self, ranking: Ranking) -> None:
        """Go on with a session where it stands."""
        self.ranking = ranking
        self._next()

    def _show_only(self, wanted: QWidget) -> None:
        for part in (self.setup, self.duel, self.outcome):
            part.setVisible(part is wanted)

    def _next(self) -> None:
        """The next pair, or the outcome when there is none."""
        if self.ranking is None:
            return
        if self.ranking.current is None:
            self._show_outcome()
            return
        self.duel.show_pair(self.ranking, self.ranking.current)
        self._show_only(self.duel)
        self.duel.setFocus()

    @Slot(str)
    def _judge(self, verdict: Verdict) -> None:
        if self.ranking is not None:
            self._write(partial(self.ranking.judge, verdict))

    @Slot()
    def _undo(self) -> None:
        if self.ranking is not None:
            self._write(self.ranking.undo)

    def _write(self, change: Callable[[], object]) -> None:
        """Nothing moves on before it is on the disk."""
        try:
            change()
        except CoreError as error:
            self.trouble.show_as("bad", f"{error} {error.hint}".strip())
            self.trouble.show()
            return
        self.trouble.hide()
        self._next()

    def _show_outcome(self) -> None:
        if self.ranking is not None:
            self.outcome.show_ranking(self.ranking)
            self._show_only(self.outcome)
            self.outcome.write.setFocus()
