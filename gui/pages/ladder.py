"""RLHF as one path: examples, comparisons, a reward model, PPO; each stage sets up the next."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from PySide6.QtCore import Slot
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QWidget

from core import ladder, launch
from core.dataset import Heed
from core.errors import CoreError
from core.ladder import STAGES, Rungs
from core.merging import Merged, mergeable, whole_model
from core.places import datasets_home, runs_home
from core.recipe import Recipe
from core.rundir import RunDir
from gui.background import Task
from gui.errand import Errand
from gui.pages.base import Page
from gui.rung import Rung
from gui.runner import Runner
from gui.session import Session
from gui.widgets import Notice, PlainLabel, QuietButton, row


class LadderPage(Page):
    """Four stages, each with what there is for it and a way to go on."""

    title: ClassVar[str] = "RLHF"
    question: ClassVar[str] = "From examples to rewards"
    help: ClassVar[str] = (
        "Reinforcement learning from human feedback, one stage after the other. Each is a run of "
        "its own, set up from the one before; everything can be changed before it starts."
    )
    icon: ClassVar[str] = "layers"

    def __init__(self, session: Session, runner: Runner, parent: QWidget | None = None) -> None:
        self.runner = runner
        super().__init__(session, parent)

    def build(self) -> None:
        """One card a stage."""
        self.errand = Errand(self)
        self.errand.moved.connect(self._draw)
        ways = (
            ("Choose examples", self._imitate),
            ("Compare answers", self._compare),
            ("Set up the reward model", self._judge),
            ("Set up PPO", self._reward),
        )
        self.rungs = [
            Rung(number, stage, *way)
            for number, (stage, way) in enumerate(zip(STAGES, ways, strict=True), 1)
        ]
        self.trouble, self.status = Notice("bad"), PlainLabel("", "small")
        self.trouble.hide()
        for rung in self.rungs:
            self.body.addWidget(rung)
        self.cancel = QuietButton("Cancel", "x")
        self.cancel.clicked.connect(self.errand.stop)
        self.body.addLayout(row(self.status, self.cancel))
        self.body.addWidget(self.trouble)
        self.body.addStretch(1)
        for rung in self.rungs:
            rung.chosen.connect(self._draw)
        self.runner.ended.connect(lambda _: self.refresh())
        self._draw()

    def showEvent(self, event: QShowEvent) -> None:
        """Runs may have finished and answers been compared since the last look."""
        super().showEvent(event)
        self.refresh()

    @Slot()
    def refresh(self) -> None:
        """Look on the disk what there is for each stage."""
        task = Task(self, lambda: ladder.look(runs_home(), datasets_home()))
        task.then(self.show_rungs).failed(self._failed).start()

    def show_rungs(self, found: Rungs) -> None:
        """Offer what there is."""
        runs = (found.policies, found.judges, found.outcomes)
        for rung, offered in zip((self.rungs[0], *self.rungs[2:]), runs, strict=True):
            rung.offer({str(run.root): run.root.name for run in offered})
        self.rungs[1].offer({str(file): file.name for file in found.preferences})
        self._draw()

    def _draw(self) -> None:
        """A stage can begin once the one before it has an outcome."""
        busy = self.errand.busy
        ready = [True, *(bool(rung.choice) for rung in self.rungs[:-1])]
        for rung, before in zip(self.rungs, ready, strict=True):
            rung.draw(ready=before and not busy)
        self.status.setText("Making the policy one whole model; this reads and writes all of it.")
        self.status.setVisible(busy)
        self.cancel.setVisible(busy)

    def _imitate(self) -> None:
        if self.session.recipe.objective.kind != "sft":
            self.session.edit("objective", {"kind": "sft"})
        self.go.emit("Data")

    def _compare(self) -> None:
        self.go.emit("Rank")

    def _judge(self) -> None:
        policy, file = self._policy(), Path(self.rungs[1].choice)
        self._once_whole(policy, lambda: ladder.judge_recipe(policy, file))

    def _reward(self) -> None:
        policy, judge = self._policy(), RunDir(Path(self.rungs[2].choice))
        self._once_whole(policy, lambda: ladder.rewarded_recipe(policy, judge))

    def _policy(self) -> RunDir:
        return RunDir(Path(self.rungs[0].choice))

    def _once_whole(self, policy: RunDir, make: Callable[[], Recipe]) -> None:
        """Merge the policy's adapter first, if that was not done yet."""
        self.trouble.hide()
        if whole_model(policy) is not None:
            self._set_up(make)
            return

        def merge(heed: Heed) -> Merged:
            return launch.merge(mergeable(policy), meanwhile=lambda: heed(0))

        self.errand.begin(merge, lambda made: self._merged(made, make), self._failed)

    def _merged(self, made: Merged, make: Callable[[], Recipe]) -> None:
        self._set_up(make)
        if not made.proof.close:
            self.trouble.show_as("warn", f"The merged model answers otherwise. {made.proof}")
            self.trouble.show()

    def _set_up(self, make: Callable[[], Recipe]) -> None:
        """Take the next recipe; undo brings the one before back."""
        try:
            recipe = make()
        except CoreError as error:
            self._failed(error)
            return
        self.session.replace(recipe)
        self.go.emit("Review")

    def _failed(self, error: CoreError) -> None:
        self.trouble.show_as("bad", f"{error} {error.hint}".strip())
        self.trouble.show()
