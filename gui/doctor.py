"""The doctor of the window: examines the chosen dataset and mends it in a copy."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from PySide6.QtCore import QObject, Signal

from core.checkup import Checkup, examine
from core.data_choices import Data
from core.dataset import DataFacts, Heed
from core.doctor import CHECKS, Ask, Contamination, Leakage, verdict
from core.errors import CoreError, DataError
from core.excerpts import Excerpt, excerpts
from core.findings import DataFinding
from core.mending import Record, mend, withdraw
from core.places import expand
from gui.background import Task
from gui.errand import Errand
from gui.session import Session


class Draft(NamedTuple):
    """A copy that waits for the user's word, and what its rows said before."""

    record: Record
    before: dict[str, dict[int, Excerpt]]
    """By the code of the change: the rows that were left out."""


class Health(NamedTuple):
    """What is kept of an examination; the examination itself is as large as the dataset."""

    facts: DataFacts
    findings: tuple[DataFinding, ...]
    verdict: str


class Doctor(QObject):
    """Follows a session. What it found holds for one state of the files and is dropped with it."""

    changed = Signal()

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.health: Health | None = None
        self.trouble: CoreError | None = None
        self.draft: Draft | None = None
        self.errand = Errand(self)
        self.mending = False
        """Whether the errand writes a copy; else it examines."""
        self.state: object = None
        """What the findings hold for; None while there is nothing to examine."""
        self.errand.moved.connect(self.changed)
        session.planned.connect(self.follow)
        self.follow()

    @property
    def findings(self) -> tuple[DataFinding, ...]:
        """Everything found so far, the gravest first."""
        if self.health is not None:
            return self.health.findings
        facts = self.session.facts.data
        return facts.problems if facts is not None else ()

    @property
    def looked_for(self) -> tuple[str, ...]:
        """What the checks were after; some of them need a second file."""
        idle = {Contamination} | ({Leakage} if not self.session.recipe.data.heldout else set())
        return tuple(check.title for check in CHECKS if check not in idle)

    @property
    def total(self) -> int:
        """Rows of the dataset; 0 when nobody counted them."""
        facts = self.session.facts.data
        return facts.rows + facts.unusable if facts is not None else 0

    def follow(self, _plan: object = None) -> None:
        """Examine the dataset when it is another one now."""
        state = self._state()
        if state == self.state:
            return
        self.state = state
        self._forget()
        if state is None:
            self.errand.stop()
            self.changed.emit()
        else:
            self.check()

    def _state(self) -> object:
        facts, trouble = self.session.facts, self.session.troubles.get("data")
        read = self.session.recipe.data.model_copy(update={"heldout_share": 0.0})
        if facts.data is not None and facts.data.whole:
            return read, facts.data.digest, facts.heldout and facts.heldout.digest
        broken = isinstance(trouble, DataError) and bool(trouble.problems)
        return (read, str(trouble)) if broken else None

    def _forget(self) -> None:
        self.health = self.trouble = None
        self.refuse()

    def check(self) -> None:
        """Examine every row with every check."""
        self.mending = False
        self.trouble = None
        data, ask = self.session.recipe.data, self._ask()
        path = Path(data.path)
        self.errand.begin(
            lambda heed: _health(examine(path, ask, **_reading(data), pass_over=True, heed=heed)),
            self._examined_now,
            self._failed,
        )

    def _ask(self) -> Ask:
        """Also compare with the held-out rows, as far as those can be read."""
        data, known = self.session.recipe.data, self.session.facts.heldout is not None
        return Ask(
            heldout=Path(data.heldout) if known else None,
            heldout_format=data.format,
            heldout_columns=data.columns,
        )

    def _examined_now(self, found: Health) -> None:
        self.health = found

    def _failed(self, error: CoreError) -> None:
        """A dataset that cannot be read at all is the page's trouble, not the doctor's."""
        if self.session.facts.data is not None or self.mending:
            self.trouble = error

    def mend(self, codes: Sequence[str]) -> None:
        """Write a copy without these findings; it waits for `accept` or `refuse`."""
        if self.health is None:
            return
        self.mending, self.trouble = True, None
        data, ask, read = self.session.recipe.data, self._ask(), self.health.facts.digest
        self.errand.begin(
            lambda heed: _draft(data, ask, codes, read, heed), self._drafted, self._failed
        )

    def _drafted(self, draft: Draft) -> None:
        self.draft = draft

    def accept(self) -> None:
        """Learn from the copy."""
        if self.draft is not None:
            path, self.draft = self.draft.record.copy_path, None
            data = self.session.recipe.data.model_copy(update={"path": path})
            self.session.edit("data", data)

    def refuse(self) -> None:
        """Delete the copy again."""
        if self.draft is not None:
            record, self.draft = self.draft.record, None
            Task(self, lambda: withdraw(record)).start()  # a copy that stays harms nobody
            self.changed.emit()

    def look(self, code: str, lines: Collection[int]) -> Callable[[], dict[int, Excerpt]]:
        """What fetches rows of a finding; it reads the file, so a task should call it."""
        data = self.session.recipe.data
        return partial(excerpts, expand(data.path), lines, code, **_reading(data))


def _health(found: Checkup) -> Health:
    return Health(found.facts, found.findings, verdict(found.facts.rows))


def _reading(data: Data) -> dict[str, Any]:
    return {"format": data.format, "columns": data.columns}


def _draft(data: Data, ask: Ask, codes: Sequence[str], unchanged: str, heed: Heed) -> Draft:
    path = Path(data.path)
    record = mend(path, codes=codes, ask=ask, unchanged=unchanged, heed=heed, **_reading(data))
    try:
        heed(record.rows_before)
    except CoreError:
        withdraw(record)  # called off at the last moment
        raise
    lost = [change for change in record.changes if change.action == "left out"]
    lines = {change.code: [example.line for example in change.examples] for change in lost}
    return Draft(record, {c: excerpts(path, n, c, **_reading(data)) for c, n in lines.items()})
