"""What is kept for measuring: a share, a file, or two new files that do not leak."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QWidget

from core.copies import home_for
from core.data_choices import Data
from core.dataset import DataFacts, Heed
from core.doctor import usual_category
from core.errors import CoreError
from core.numbers import percent
from core.parting import EVAL, TRAIN, Parting, free_name, part
from gui.columns import ColumnChoice
from gui.doctor import Doctor
from gui.errand import Errand
from gui.finding_view import SEVERITIES
from gui.forms import Form
from gui.parts import Pile
from gui.session import Session
from gui.widgets import Card, Level, Notice, PlainLabel, QuietButton, row

USUAL_SHARE = 0.1
_HOW = (
    "Writes two new files and uses them. Rows that nearly repeat each other stay on one side, so "
    "that a score measures skill and not memory."
)


class SplitCard(Card):
    """Edits what is held out, and tells whether it leaks."""

    def __init__(self, session: Session, doctor: Doctor, parent: QWidget | None = None) -> None:
        super().__init__("Held-out rows, for measuring", parent)
        self.session, self.doctor = session, doctor
        self.errand = Errand(self)
        self.form = Form(session, "data", ("heldout", "heldout_share"))
        self.browse = QuietButton("Choose a held-out file…", "folder-open")
        self.leaks = Notice()
        self.findings = Pile()
        self.split = QuietButton("Split off 10 % without leaks", "layers")
        self.split.clicked.connect(self.part)
        self.how = PlainLabel(_HOW, "muted")
        self.progress = QProgressBar()
        self.progress.setAccessibleName("Rows grouped")
        self.stop = QuietButton("Cancel", "square")
        self.stop.clicked.connect(self.errand.stop)
        self.trouble = Notice("bad")
        self.trouble.hide()
        self.add(self.leaks, self.findings, self.form)
        self.body.addLayout(row(self.browse, self.split, self.stop))
        self.add(self._category(), self.how, self.progress, self.trouble)
        self.errand.moved.connect(self.refresh)
        doctor.changed.connect(self.refresh)
        self.refresh()

    def _category(self) -> QWidget:
        self.category = ColumnChoice()
        self.category.setAccessibleName("Column whose values keep their shares")
        self.by = QWidget()
        line = QHBoxLayout(self.by)
        line.setContentsMargins(0, 0, 0, 0)
        label = PlainLabel("The same share of every value in")
        label.setWordWrap(False)
        label.setBuddy(self.category)
        line.addWidget(label)
        line.addWidget(self.category)
        line.addStretch(1)
        self._offered: object = None
        return self.by

    def refresh(self) -> None:
        """Draw what is held out now."""
        data, facts = self.session.recipe.data, self.session.facts.data
        self.form.rows["heldout_share"].field.widget.setEnabled(not data.heldout)
        self._show_leaks()
        self._show_findings()
        busy = self.errand.busy
        ready = facts is not None and not data.heldout
        self._offer(facts)
        self.split.setText(f"Split off {percent(_share(data))} without leaks")
        self.split.setVisible(ready and not busy)
        self.how.setVisible(ready)
        self.by.setVisible(ready and self.category.count() > 1)
        for widget in (self.progress, self.stop):
            widget.setVisible(busy)
        self.progress.setRange(0, self.doctor.total)
        self.progress.setValue(self.errand.rows)

    def _offer(self, facts: DataFacts | None) -> None:
        """Columns that play no part may be categories; the usual names are taken at once."""
        columns = facts.columns if facts else ()
        mapping = facts.mapping if facts else {}
        if (columns, mapping) == self._offered:
            return
        self._offered = (columns, mapping)
        self.category.offer("no column", [c for c in columns if c not in mapping.values()])
        self.category.setCurrentIndex(self.category.findData(usual_category(columns, mapping)))

    def _show_leaks(self) -> None:
        said = leaks(self.session, self.doctor)
        self.leaks.setVisible(said is not None)
        if said is not None:
            self.leaks.show_as(*said)

    def _show_findings(self) -> None:
        """The first problem is told by the form already."""
        facts, problems = self.session.facts.heldout, self.session.plan.problems
        told = next((p.text for p in problems if p.where == "data.heldout"), "")
        grave = [f for f in facts.problems if f.severity != "note"] if facts else []
        found = [finding for finding in grave if finding.text != told]
        self.findings.fill(
            found,
            lambda: [
                Notice(SEVERITIES[f.severity], f"Held-out file: {f.text} {f.fix}".strip())
                for f in found
            ],
        )

    def part(self) -> None:
        """Write both files, then use them."""
        recipe, category = self.session.recipe, self.category.currentData()
        self.trouble.hide()
        self.errand.begin(
            lambda heed: _part(recipe.data, category, recipe.training.seed, heed),
            self._use,
            self._failed,
        )
        self.stop.setFocus()

    def _use(self, made: Parting) -> None:
        parts = {"path": made.parts[TRAIN].path, "heldout": made.parts[EVAL].path}
        self.browse.setFocus()
        self.session.edit("data", self.session.recipe.data.model_copy(update=parts))

    def _failed(self, error: CoreError) -> None:
        self.trouble.show_as("bad", f"{error} {error.hint}".strip())
        self.trouble.show()


def _share(data: Data) -> float:
    return data.heldout_share or USUAL_SHARE


def _part(data: Data, category: str, seed: int, heed: Heed) -> Parting:
    path = Path(data.path)
    home = home_for(path)
    how: dict[str, Any] = {"format": data.format, "columns": data.columns, "heed": heed}
    return part(
        path, home, name=free_name(path, home), shares=(_share(data), 0.0), category=category,
        seed=seed, **how,
    )  # fmt: skip


def leaks(session: Session, doctor: Doctor) -> tuple[Level, str] | None:
    """What is known of questions that are both learned and measured."""
    if doctor.health is None or session.facts.data is None:
        return None
    counts = {finding.code: finding.count for finding in doctor.findings}
    rows = session.facts.data.rows
    if session.recipe.data.heldout:
        if leaked := counts.get("leakage", 0):
            words = f"Questions of the held-out file among the rows: {leaked:,} of {rows:,}."
            return "bad", f"{words} The doctor leaves them out of a copy."
        return "ok", "No row asks what the held-out file asks, word by word or nearly so."
    if session.recipe.data.heldout_share != 0 and (near := counts.get("near_duplicates", 0)):
        return "warn", (
            f"Near-duplicates among the rows: {near:,} of {rows:,}. Drawn singly, some of them may "
            "be learned and measured at once; the split below keeps them together."
        )
    return None
