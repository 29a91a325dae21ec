"""The right side of the window: will it fit, and what is left to look at."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from core.errors import Edit, Problem
from core.memory import Item
from core.numbers import show_bytes, show_count, show_duration
from core.plan import Plan
from gui import theme
from gui.text import tip
from gui.verdict import judge, method
from gui.widgets import (
    Chip,
    FixButton,
    IconButton,
    LinkButton,
    Meter,
    Notice,
    PlainLabel,
    Swatch,
)

WIDTH = 286
FOLDED = 44
_PICTURES = {
    "blocker": ("circle-alert", "bad"),
    "warning": ("triangle-alert", "warn"),
    "tip": ("lightbulb", "accent"),
}


class SidePanel(QFrame):
    """Redrawn at every plan; folds into a bar in narrow windows."""

    fix = Signal(object)
    """A fix button was pressed (Edit)."""
    show_place = Signal(str)
    """Where a problem lies is wanted: a recipe path."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("side")
        self.setAccessibleName("Memory and problems")
        outside = QHBoxLayout(self)
        outside.setContentsMargins(0, 0, 0, 0)
        outside.setSpacing(0)
        self._bar = _Bar()
        self._bar.open.clicked.connect(lambda: self.fold(False))
        self.memory = MemoryGauge()
        self.memory.hider.clicked.connect(lambda: self.fold(True))
        self.problems = ProblemList()
        self.problems.fix.connect(self.fix)
        self.problems.show_place.connect(self.show_place)
        self._content = QWidget()
        inside = QVBoxLayout(self._content)
        inside.setContentsMargins(16, 14, 12, 12)
        inside.setSpacing(16)
        inside.addWidget(self.memory)
        inside.addWidget(self.problems, 1)
        outside.addWidget(self._bar)
        outside.addWidget(self._content)
        self.fold(False)

    @property
    def folded(self) -> bool:
        """Whether only the bar is seen."""
        return self._content.isHidden()

    def fold(self, folded: bool) -> None:
        """Show the bar or the panel."""
        self._content.setVisible(not folded)
        self._bar.setVisible(folded)
        self.setFixedWidth(FOLDED if folded else WIDTH)

    def show_plan(self, plan: Plan, problems: tuple[Problem, ...]) -> None:
        """Draw a new plan and what is wrong, the worst first."""
        self.memory.show_plan(plan)
        self.problems.show_problems(problems)
        self._bar.show_problems(problems)


class _Bar(QWidget):
    """The folded panel: a button, and how many problems there are."""

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(5, 12, 5, 12)
        self.open = IconButton("panel-right", "Show memory and problems")
        self._count = Chip()
        self._count.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column.addWidget(self.open)
        column.addWidget(self._count, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addStretch(1)

    def show_problems(self, problems: tuple[Problem, ...]) -> None:
        """The number, coloured by the worst."""
        serious = [p for p in problems if p.level != "tip"]
        worst = "bad" if any(p.level == "blocker" for p in serious) else "warn"
        self._count.show_as(str(len(serious)), worst if serious else "ok")  # type: ignore[arg-type]
        self._count.setAccessibleName(f"{len(serious)} problems")


class MemoryGauge(QWidget):
    """What a run needs of what the device has."""

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addLayout(self._head())
        self._figure, self._of = PlainLabel("", "figure"), PlainLabel("", "muted")
        self._figure.setWordWrap(False)
        figures = QHBoxLayout()
        figures.setSpacing(6)
        figures.addWidget(self._figure, 0, Qt.AlignmentFlag.AlignBottom)
        figures.addWidget(self._of, 1, Qt.AlignmentFlag.AlignBottom)
        column.addLayout(figures)
        self._meter = Meter("Memory")
        column.addWidget(self._meter)
        self._rows = QVBoxLayout()
        self._rows.setSpacing(5)
        column.addLayout(self._rows)
        self.verdict = Notice()
        self._note = PlainLabel("", "small")
        column.addWidget(self.verdict)
        column.addWidget(self._note)

    def _head(self) -> QHBoxLayout:
        line = QHBoxLayout()
        picture = QLabel()
        theme.set_picture(picture, "memory-stick", "muted", 18)
        picture.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        line.addWidget(picture)
        line.addWidget(PlainLabel("Memory", "heading"), 1)
        self._method = Chip("estimate")
        line.addWidget(self._method)
        self.hider = IconButton("panel-right", "Hide memory and problems")
        line.addWidget(self.hider)
        return line

    def show_plan(self, plan: Plan) -> None:
        """Draw the bill of a plan."""
        known = bool(plan.items)
        self._figure.setText(show_bytes(plan.needed) if known else "–")
        self._of.setText(f"of {show_bytes(plan.limit)}" if plan.limit else "")
        said = f"{show_bytes(plan.needed)} needed of {show_bytes(plan.limit)}" if known else ""
        self._meter.set_parts([(i.name, i.bytes) for i in plan.items], plan.limit, said)
        self._list(plan.items)
        self._method.show_as(method(plan))
        self.verdict.show_as(*judge(plan))
        self._note.setText(_note(plan))
        self._note.setVisible(bool(self._note.text()))

    def _list(self, items: tuple[Item, ...]) -> None:
        _clear(self._rows)
        for number, item in enumerate(items):
            self._rows.addWidget(_Row(number, item))


class _Row(QWidget):
    """One item of the bill."""

    def __init__(self, number: int, item: Item) -> None:
        super().__init__()
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 4, 0)
        line.setSpacing(8)
        size = PlainLabel(show_bytes(item.bytes), "small")
        size.setWordWrap(False)
        line.addWidget(Swatch(number))
        line.addWidget(PlainLabel(item.name, "small"), 1)
        line.addWidget(size)
        self.setToolTip(tip(item.note))


class ProblemList(QWidget):
    """Problems in the order given, each with its fix."""

    fix = Signal(object)
    show_place = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        self._heading = PlainLabel("Before you start", "heading")
        column.addWidget(self._heading)
        sheet = QWidget()
        sheet.setObjectName("sheet")
        self._items = QVBoxLayout(sheet)
        self._items.setContentsMargins(0, 0, 6, 0)
        self._items.setSpacing(14)
        area = QScrollArea()
        area.setObjectName("problems")
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setWidget(sheet)
        column.addWidget(area, 1)
        self._shown: tuple[Problem, ...] | None = None

    def show_problems(self, problems: tuple[Problem, ...]) -> None:
        """Redraw only what changed: a button must not vanish under the mouse."""
        if problems == self._shown:
            return
        self._shown = problems
        _clear(self._items)
        for problem in problems:
            self._items.addWidget(self._item(problem))
        if not problems:
            self._items.addWidget(Notice("ok", "Nothing to repair."))
        self._items.addStretch(1)

    def _item(self, problem: Problem) -> QWidget:
        item = _ProblemItem(problem)
        item.fix.connect(self.fix)
        item.show_place.connect(self.show_place)
        return item


class _ProblemItem(QWidget):
    fix = Signal(object)
    show_place = Signal(str)

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(8)
        picture = QLabel()
        theme.set_picture(picture, *_PICTURES[problem.level], 16)
        picture.setAccessibleName(problem.level)
        line.addWidget(picture, 0, Qt.AlignmentFlag.AlignTop)
        column = QVBoxLayout()
        column.setSpacing(5)
        column.addWidget(PlainLabel(problem.text))
        column.addLayout(self._buttons(problem))
        line.addLayout(column, 1)

    def _buttons(self, problem: Problem) -> QHBoxLayout:
        line = QHBoxLayout()
        line.setSpacing(4)
        if (repair := problem.fix) is not None:
            line.addWidget(self._fix(repair))
        if problem.where:
            show = LinkButton("Show")
            show.setAccessibleName(f"Show where: {problem.text}")
            show.clicked.connect(lambda: self.show_place.emit(problem.where))
            line.addWidget(show)
        line.addStretch(1)
        return line

    def _fix(self, repair: Edit) -> FixButton:
        button = FixButton(repair.label or "Fix it")
        button.clicked.connect(lambda: self.fix.emit(repair))
        return button


def _note(plan: Plan) -> str:
    parts = [plan.device] if plan.device else []
    if plan.seconds is not None:
        parts.append(f"about {show_duration(plan.seconds)}")
    if plan.trainable and plan.parameters:
        share = plan.trainable / plan.parameters
        trained = show_count(plan.trainable)
        parts.append(f"{trained} of {show_count(plan.parameters)} weights trained ({share:.1%})")
    text = " · ".join(parts)
    return text[:1].upper() + text[1:]


def _clear(layout: QVBoxLayout) -> None:
    while (item := layout.takeAt(0)) is not None:
        if (widget := item.widget()) is not None:
            widget.hide()
            widget.deleteLater()
