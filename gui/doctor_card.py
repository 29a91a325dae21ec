"""The doctor on the page: progress, findings, and the copy that mends them."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtWidgets import QProgressBar, QWidget

from gui.diff_view import DiffView
from gui.doctor import Doctor
from gui.finding_view import FindingView
from gui.parts import Pile, reveal
from gui.widgets import Card, Chip, Notice, PlainLabel, QuietButton, row

_READ = "Read the file again"
_KEPT = "The original is only read: what is fixed is fixed in a new file, and you see it first."


class DoctorCard(Card):
    """Shows what a Doctor knows, and asks it to mend."""

    def __init__(self, doctor: Doctor, parent: QWidget | None = None) -> None:
        super().__init__("Data doctor", parent)
        self.doctor = doctor
        self.chip = Chip()
        self.header.addWidget(self.chip)
        self.status = PlainLabel("", "muted")
        self.progress = QProgressBar()
        self.progress.setAccessibleName("Rows examined")
        self.stop = QuietButton("Cancel", "square")
        self.stop.clicked.connect(doctor.errand.stop)
        self.again = QuietButton("Examine every row", "search")
        self.again.clicked.connect(doctor.check)
        self.trouble = Notice("bad")
        self.trouble.pressed.connect(self._read_again)
        self.findings = Pile()
        self.fix = QuietButton("Fix", "sparkles")
        self.fix.clicked.connect(self._mend)
        self.kept = PlainLabel(_KEPT, "muted")
        self.diff = DiffView()
        self.diff.accepted.connect(doctor.accept)
        self.diff.refused.connect(self._refuse)
        self.scope = PlainLabel("", "small")
        self._lay_out()
        doctor.changed.connect(self.refresh)
        self.refresh()

    def _lay_out(self) -> None:
        self.add(self.status, self.progress)
        self.body.addLayout(row(self.fix, self.stop, self.again))
        self.add(self.kept, self.trouble, self.findings, self.diff, self.scope)

    @property
    def views(self) -> list[FindingView]:
        """The findings that are shown."""
        return self.findings.findChildren(FindingView)

    def refresh(self) -> None:
        """Draw what the doctor knows now."""
        doctor = self.doctor
        self.setVisible(bool(doctor.errand.busy or doctor.health or doctor.findings))
        self._show_progress()
        self.trouble.setVisible(doctor.trouble is not None)
        if doctor.trouble is not None:
            self.trouble.show_as("bad", f"{doctor.trouble} {doctor.trouble.hint}".strip(), _READ)
        self.findings.fill((doctor.state, doctor.findings), self._grow)
        self.findings.setVisible(doctor.draft is None and bool(doctor.findings))
        self._show_draft()
        self._show_fix()
        self.scope.setVisible(doctor.health is not None and doctor.draft is None)
        self.scope.setText(_scope(doctor.looked_for))

    def _show_progress(self) -> None:
        doctor, busy = self.doctor, self.doctor.errand.busy
        passes = 2 if doctor.mending else 1
        self.progress.setRange(0, doctor.total * passes if doctor.total else 0)
        self.progress.setValue(doctor.errand.rows)
        for widget in (self.progress, self.stop):
            widget.setVisible(busy)
        self.again.setVisible(not busy and doctor.health is None)
        self.status.setText(self._status())
        self._show_chip()

    def _status(self) -> str:
        doctor = self.doctor
        if doctor.errand.busy:
            if doctor.mending:
                return "Writing a copy …"
            return f"Examining every row: {doctor.errand.rows:,} of {doctor.total:,}"
        if doctor.health is None:
            return "Not every check was made."
        return doctor.health.verdict

    def _show_chip(self) -> None:
        found = [f for f in self.doctor.findings if f.severity != "note"]
        if self.doctor.health is None:
            self.chip.show_as("examining …" if self.doctor.errand.busy else "not examined", "note")
        elif found:
            worst = "bad" if found[0].severity == "error" else "warn"
            words = f"{len(found)} problem{'' if len(found) == 1 else 's'}"
            self.chip.show_as(words, worst)  # type: ignore[arg-type]
        else:
            self.chip.show_as("nothing found", "ok")

    def _grow(self) -> list[QWidget]:
        views: list[QWidget] = []
        for finding in self.doctor.findings:
            view = FindingView(finding, self.doctor.look)
            view.ticked.connect(self._show_fix)
            views.append(view)
        return views

    def _codes(self) -> list[str]:
        return [view.finding.code for view in self.views if view.wanted]

    def _show_fix(self) -> None:
        doctor, count = self.doctor, len(self._codes())
        can = any(finding.mendable for finding in doctor.findings)
        ready = can and doctor.health is not None and doctor.draft is None
        for widget in (self.fix, self.kept):
            widget.setVisible(ready and not doctor.errand.busy)
        self.fix.setText(f"Fix {count} problem{'' if count == 1 else 's'} in a copy")
        self.fix.setEnabled(count > 0)
        self.fix.setAccessibleDescription("" if count else "Tick what should be fixed.")

    def _mend(self) -> None:
        self.doctor.mend(self._codes())
        self.stop.setFocus()

    def _read_again(self) -> None:
        """The same file is examined again even when it is what it was."""
        self.doctor.session.read_again()
        self.again.setFocus()

    def _show_draft(self) -> None:
        draft = self.doctor.draft
        fresh = draft is not None and self.diff.isHidden()
        self.diff.setVisible(draft is not None)
        if draft is not None:
            titles = {finding.code: finding.title for finding in self.doctor.findings}
            self.diff.show_draft(draft, titles)
        if fresh:
            self.diff.accept.setFocus()
            reveal(self.diff.question)

    def _refuse(self) -> None:
        self.doctor.refuse()
        self.fix.setFocus()
        reveal(self.heading)


def _scope(titles: Sequence[str]) -> str:
    """Silence is worth more when it is known what was looked for."""
    listed = ", ".join(title[0].lower() + title[1:] for title in titles)
    return f"Looked for in every row: exact copies, contradicting answers, {listed}."
