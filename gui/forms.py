"""Forms grown from a recipe's fields: title, range, meaning and kind are read, never repeated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QSizePolicy, QWidget

from core.errors import Problem
from core.plan import Plan
from core.recipe import Recipe
from gui.fields import Field, make_field, marks
from gui.parts import LEVELS
from gui.session import Session
from gui.widgets import IconButton, Notice, PlainLabel

LABEL_WIDTH, EDITOR_WIDTH = 150, 190


class Reason(NamedTuple):
    """What an automatic value comes to, and why."""

    value: str
    because: str = ""


class Form(QWidget):
    """The fields below one dotted prefix of the recipe; "" means the recipe itself."""

    def __init__(
        self,
        session: Session,
        prefix: str,
        names: Iterable[str] | None = None,
        parent: QWidget | None = None,
        *,
        expert: bool | None = None,
    ) -> None:
        super().__init__(parent)
        self.session, self.prefix = session, prefix
        self.rows: dict[str, Row] = {}
        self._names = None if names is None else tuple(names)
        self._expert = expert
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(14)
        self._grid.setVerticalSpacing(4)
        self._grid.setColumnStretch(2, 1)
        self._kind: type[BaseModel] = BaseModel
        self._take(session.recipe)
        self._judge(session.plan)
        session.changed.connect(self._take)
        session.planned.connect(self._judge)
        session.refused.connect(self._refused)

    def explain(self, reasons: Mapping[str, Reason]) -> None:
        """Show what automatic values come to, by field name."""
        for name, row in self.rows.items():
            row.explain(reasons.get(name))

    def _take(self, recipe: Recipe) -> None:
        value = recipe.get(self.prefix) if self.prefix else recipe
        if type(value) is not self._kind:
            self._grow(type(value))
        for name, row in self.rows.items():
            row.show(getattr(value, name))

    def _grow(self, kind: type[BaseModel]) -> None:
        """Another kind of adaptation has other fields."""
        self._kind = kind
        for row in self.rows.values():
            row.remove()
        self.rows = {}
        for name, info in kind.model_fields.items():
            if self._wanted(name, info) and (field := make_field(info)):
                self.rows[name] = Row(self, name, info, field)

    def _wanted(self, name: str, info: FieldInfo) -> bool:
        named = self._names is None or name in self._names
        return named and self._expert in (None, for_experts(info))

    def path(self, name: str) -> str:
        """Where a field lies in the recipe."""
        return f"{self.prefix}.{name}" if self.prefix else name

    def _judge(self, plan: Plan) -> None:
        found: dict[str, Problem] = {}
        for problem in plan.problems:
            found.setdefault(problem.where, problem)
        for name, row in self.rows.items():
            row.judge(found.get(self.path(name)))

    def _refused(self, path: str, reason: str) -> None:
        for name, row in self.rows.items():
            if self.path(name) == path:
                row.fault(f"Not taken: {reason}.")

    @property
    def grid(self) -> QGridLayout:
        """Where rows place their parts."""
        return self._grid


def for_experts(info: FieldInfo) -> bool:
    """Whether a field is one that most people never need."""
    return bool(marks(info).get("expert"))


class Row:
    """One field: title, editor, meaning, way back to the default, and a place for remarks."""

    def __init__(self, form: Form, name: str, info: FieldInfo, field: Field) -> None:
        self._form, self._name, self.field = form, name, field
        self._default = info.get_default(call_default_factory=True)
        self._reason: Reason | None = None
        self._problem: Problem | None = None
        self._fault = ""
        self._value: Any = self._default
        self.label = PlainLabel(info.title or name, "strong")
        self.label.setBuddy(field.widget)
        self.reset = IconButton("rotate-ccw", f"Back to the default: {info.title}")
        self.because = PlainLabel("", "small")
        self.notice = Notice()
        about = PlainLabel(info.description or "", "small")
        self._parts: list[QWidget] = [self.label, field.widget, about, self.reset, self.because]
        self._parts.append(self.notice)
        self._place(form.grid, about)
        field.wanted.connect(self._wanted)
        field.faulted.connect(self.fault)
        self.reset.clicked.connect(lambda: self._wanted(self._default))
        self.notice.pressed.connect(self._fix)
        self._draw()

    def _place(self, grid: QGridLayout, about: QWidget) -> None:
        top = Qt.AlignmentFlag.AlignTop
        line = grid.rowCount()
        self.label.setFixedWidth(LABEL_WIDTH)
        self.label.setContentsMargins(0, 7, 0, 0)
        about.setContentsMargins(0, 7, 0, 0)
        if self.field.wide:
            grid.addWidget(self.label, line, 0, top)
            grid.addWidget(about, line, 1, 1, 2, top)
            grid.addWidget(self.reset, line, 3, top)
            for down, part in enumerate((self.field.widget, self.because, self.notice), 1):
                grid.addWidget(part, line + down, 0, 1, 4)
            return
        self.field.widget.setFixedWidth(EDITOR_WIDTH)
        kept = QSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        kept.setRetainSizeWhenHidden(True)
        self.reset.setSizePolicy(kept)
        grid.addWidget(self.label, line, 0, top)
        grid.addWidget(self.field.widget, line, 1, top)
        grid.addWidget(about, line, 2, top)
        grid.addWidget(self.reset, line, 3, top)
        grid.addWidget(self.because, line + 1, 1, 1, 2)
        grid.addWidget(self.notice, line + 2, 1, 1, 2)
        grid.setRowMinimumHeight(line + 3, 6)

    def show(self, value: Any) -> None:
        """Show the recipe's value."""
        if value != self._value:
            self._fault = ""
            self.field.mark("")
        self._value = value
        self.field.show(value)
        self._draw()

    def explain(self, reason: Reason | None) -> None:
        """Say what the automatic value is and why."""
        self._reason = reason
        if reason is not None:
            self.field.set_automatic(reason.value)
        self._draw()

    def judge(self, problem: Problem | None) -> None:
        """Show what the plan says about this field."""
        self._problem = problem
        self._draw()

    def fault(self, reason: str) -> None:
        """Show why the last edit was not taken."""
        self._fault = reason
        self.field.mark(reason)
        self._draw()

    def remove(self) -> None:
        """Take the row out of the form."""
        for part in self._parts:
            part.setParent(None)
            part.deleteLater()

    def _wanted(self, value: Any) -> None:
        self._form.session.edit(self._form.path(self._name), value)

    def _fix(self) -> None:
        if self._problem is not None and self._problem.fix is not None:
            self._form.session.apply(self._problem.fix)

    def _draw(self) -> None:
        self.reset.setVisible(self._value != self._default)
        automatic = self._value in (None, "auto") and self._reason is not None
        because = self._reason.because if automatic and self._reason else ""
        self.because.setText(f"Automatic: {because}." if because else "")
        self.because.setVisible(bool(because))
        if self._fault:
            self.notice.show_as("bad", self._fault)
        elif self._problem:
            fix = self._problem.fix.label if self._problem.fix else ""
            self.notice.show_as(LEVELS[self._problem.level], self._problem.text, fix)
        self.notice.setVisible(bool(self._fault or self._problem))
