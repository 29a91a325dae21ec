"""Hyperparameters: the few that matter first, the rest unfolded on demand."""

from __future__ import annotations

from typing import ClassVar

from PySide6.QtWidgets import QVBoxLayout, QWidget

from core.choices import Checks, Training
from core.numbers import show_number
from core.plan import Plan
from core.recipe import Recipe
from gui.forms import Form, Reason
from gui.pages.base import Page
from gui.parts import Disclosure
from gui.rate_curve import RateCurve
from gui.widgets import Card, PlainLabel

BASICS = ("epochs", "learning_rate", "micro_batch", "accumulation", "max_length")
COMPUTING = ("checkpointing", "device", "seed")
MEASURED = ("every", "patience", "score_rows", "probes")
_DECIDED = {
    "epochs": "Epochs",
    "accumulation": "Effective batch",
    "max_length": "Maximum length",
    "learning_rate": "Learning rate",
    "optimizer": "Optimizer",
    "packing": "Packing",
    "every": "Evaluate every",
    "checkpointing": "Checkpointing",
    "kernels": "Kernels",
    "device": "Device",
}
"""Which decision of the plan fills in which field."""


class HyperparametersPage(Page):
    """Forms grown from Training, Checks and the objective."""

    title: ClassVar = "Hyperparameters"
    question: ClassVar = "How long, how fast, in what portions?"
    help: ClassVar = "Good values are filled in. Each automatic one says where it comes from."
    icon: ClassVar = "sliders-horizontal"
    paths: ClassVar = ("training", "checks")

    def build(self) -> None:
        """Basics and the goal's own settings in the open, the others folded."""
        self.forms: list[Form] = []
        basics = Card("The five that matter")
        basics.add(self._form("training", BASICS))
        self.batch = PlainLabel("", "muted")
        basics.add(self.batch)
        self.body.addWidget(basics)
        self.goal = Card("Settings of the goal")
        self.goal.add(self._form("objective", None, expert=False))
        self.body.addWidget(self.goal)
        rest = tuple(n for n in Training.model_fields if n not in (*BASICS, *COMPUTING))
        self.curve = RateCurve()
        self._fold("More: schedule, optimizer and limits", self.curve, self._form("training", rest))
        self._fold("More: computing", self._form("training", COMPUTING))
        saved = tuple(n for n in Checks.model_fields if n not in MEASURED)
        self._fold(
            "More: measuring and saving",
            self._form("checks", MEASURED),
            self._form("checks", saved),
        )
        self._fold(
            "For experts",
            self._form("training", None, expert=True),
            self._form("objective", None, expert=True),
        )
        self.body.addStretch(1)

    def _form(self, prefix: str, names: tuple[str, ...] | None, *, expert: bool = False) -> Form:
        form = Form(self.session, prefix, names, expert=expert)
        self.forms.append(form)
        return form

    def _fold(self, title: str, *parts: QWidget) -> None:
        card, inside = Card(), QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(6, 4, 0, 0)
        column.setSpacing(0)
        for part in parts:
            column.addWidget(part)
        card.body.setContentsMargins(10, 8, 16, 8)
        card.add(Disclosure(title, inside))
        self.body.addWidget(card)

    def show_plan(self, recipe: Recipe, plan: Plan) -> None:
        """Say what automatic values come to, and how large the effective batch is."""
        reasons = explain(plan)
        for form in self.forms:
            form.explain(reasons)
        self.batch.setText(_batch(recipe, plan))
        self.curve.show_settings(recipe.training, plan.settings)
        self.goal.heading.setText(f"Settings of: {recipe.objective.title}")


def _batch(recipe: Recipe, plan: Plan) -> str:
    """How large the effective batch is; not known while it is automatic and no data is."""
    training, settings = recipe.training, plan.settings
    times = settings.accumulation if settings else training.accumulation
    if times is None:
        return ""
    rows = f"{training.micro_batch:,} × {times:,} = {training.micro_batch * times:,} rows per step"
    steps = f", {settings.steps:,} steps in all" if settings else ""
    return f"Effective batch: {rows}{steps}."


def explain(plan: Plan) -> dict[str, Reason]:
    """Automatic values of a plan by field name."""
    known = {decision.name: decision for decision in plan.decisions}
    reasons = {
        field: Reason(f"automatic: {known[name].value}", known[name].because)
        for field, name in _DECIDED.items()
        if name in known
    }
    if plan.settings is None:
        return reasons
    reasons["save_every"] = Reason(
        f"automatic: {plan.settings.save_every:,} steps", "as often as evaluation"
    )
    for name in ("accumulation", "max_length"):
        if name in reasons:
            value = getattr(plan.settings, name)
            reasons[name] = Reason(f"automatic: {value:,}", reasons[name].because)
    if "learning_rate" in reasons:
        rate = show_number(plan.settings.learning_rate)
        reasons["learning_rate"] = Reason(f"automatic: {rate}", reasons["learning_rate"].because)
    return reasons
