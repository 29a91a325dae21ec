"""The exact memory of one step: traced on demand, drawn from load to optimizer."""

from __future__ import annotations

from PySide6.QtWidgets import QProgressBar

from core.errors import CoreError
from core.memory.traced import Traced
from core.numbers import show_bytes, show_duration
from core.plan import Plan
from gui.curves import Series
from gui.plots import Line, Plot
from gui.session import Session
from gui.widgets import Card, Notice, PlainLabel, QuietButton, row

LINES = (
    Line("allocated", "allocated", 0, width=2),
    Line("peak", "the most", 3, symbol="o", joined=False),
)
_OFFER = (
    "The figure above is a formula. Tracing runs the very step of the training on tensors without "
    "numbers and counts what it allocates. That takes seconds, and no weights and no GPU."
)


class TraceCard(Card):
    """A button, then memory over the events of a step."""

    def __init__(self, session: Session) -> None:
        super().__init__("Within one step")
        self.session = session
        self.said = PlainLabel(_OFFER, "muted")
        self.trouble = Notice("warn")
        self.trouble.hide()
        self.busy = QProgressBar()
        self.busy.setRange(0, 0)
        self.busy.setAccessibleName("Tracing the step")
        self.plot = Plot(
            "Memory from loading to the second optimizer step", LINES, show_bytes,
            scale=1e-9, from_zero=True, height=180, unit="Event",
        )  # fmt: skip
        self.button = QuietButton("Trace the step exactly", "target")
        self.button.clicked.connect(self._start)
        self.add(self.said, self.trouble, self.busy, self.plot)
        self.body.addLayout(row(self.button))
        session.untraced.connect(self._failed)

    def _start(self) -> None:
        self.trouble.hide()
        self.session.trace()

    def _failed(self, error: CoreError) -> None:
        self.trouble.show_as("warn", f"{error} {error.hint}".strip())
        self.trouble.show()

    def show_plan(self, plan: Plan) -> None:
        """The trace of this very plan, or the offer to make one."""
        bill, exact = plan.bill, self.session.facts.exact
        found = exact.found if exact and bill and bill.method == "traced" else None
        self.busy.setVisible(self.session.tracing)
        self.button.setVisible(found is None)
        self.button.setEnabled(bill is not None and not self.session.tracing)
        self.plot.setVisible(found is not None)
        self.said.setText(_told(found) if found else _OFFER)
        if found is not None:
            self._draw(found, plan.limit)

    def _draw(self, found: Traced, limit: int) -> None:
        allocated, peak = Series(), Series()
        for point in found.timeline:
            allocated.append(point.event, point.bytes)
        most = max(found.timeline, key=lambda point: point.bytes)
        peak.append(most.event, most.bytes)
        near = limit < 3 * most.bytes
        self.plot.draw(
            {"allocated": allocated, "peak": peak}, (float(limit), "There are") if near else None
        )


def _told(found: Traced) -> str:
    place = f", {found.layer}" if found.layer else ""
    return (
        f"Traced in {show_duration(found.seconds)}. Most is needed in {found.phase}{place}: "
        f"{show_bytes(found.allocated_bytes)} by tensors."
    )
