"""Method: which numbers of the model are trained."""

from __future__ import annotations

from typing import ClassVar

from PySide6.QtWidgets import QGridLayout

from core.adapt import ADAPTATIONS, Adaptation, carried_over
from core.errors import RecipeError
from core.numbers import show_bytes, show_count
from core.plan import Plan, make_plan
from core.recipe import Recipe
from gui.forms import Form
from gui.pages.base import Page
from gui.parts import OptionCard
from gui.widgets import Card, Level


class MethodPage(Page):
    """One card per method, priced for this model, data and device."""

    title: ClassVar = "Method"
    question: ClassVar = "How should it be trained?"
    help: ClassVar = "Memory is worked out for your model, your data and this computer."
    icon: ClassVar = "layers"
    paths: ClassVar = ("adaptation",)

    def build(self) -> None:
        """Cards, then the fields of the chosen one."""
        grid = QGridLayout()
        grid.setSpacing(12)
        self.options: dict[str, OptionCard] = {}
        for place, kind in enumerate(ADAPTATIONS):
            name = kind.model_fields["kind"].default
            option = OptionCard(kind.title, kind.summary)
            option.clicked.connect(lambda _, kind=kind: self._choose(kind))
            self.options[name] = option
            grid.addWidget(option, place // 2, place % 2)
        self.body.addLayout(grid)
        self.settings = Card("Settings")
        self.form = Form(self.session, "adaptation")
        self.settings.add(self.form)
        self.body.addWidget(self.settings)
        self.body.addStretch(1)

    def _choose(self, kind: type[Adaptation]) -> None:
        self.session.edit("adaptation", carried_over(self.session.recipe.adaptation, kind))
        self.show_plan(self.session.recipe, self.session.plan)

    def show_plan(self, recipe: Recipe, plan: Plan) -> None:
        """Price every card; working out a plan takes well under a millisecond."""
        for kind in ADAPTATIONS:
            name = kind.model_fields["kind"].default
            option = self.options[name]
            option.setChecked(name == recipe.adaptation.kind)
            option.tell(*self._price(recipe, kind, plan))
        chosen = recipe.adaptation
        self.settings.heading.setText(f"Settings of {chosen.title}")
        self.settings.setVisible(bool(self.form.rows))

    def _price(
        self, recipe: Recipe, kind: type[Adaptation], plan: Plan
    ) -> tuple[str, Level | None, str]:
        if not isinstance(recipe.adaptation, kind):
            try:
                other = recipe.edit("adaptation", carried_over(recipe.adaptation, kind))
            except RecipeError:
                return "", None, ""
            plan = make_plan(other, self.session.facts)
        if not plan.items:
            return "", None, ""
        share = plan.trainable / plan.parameters if plan.parameters else 0
        detail = f"Trains {show_count(plan.trainable)} numbers, {share * 100:.3g} % of the model."
        over = plan.needed - plan.limit
        if plan.limit and over > 0:
            detail += f" Needs {show_bytes(over)} more than {plan.device} has."
        return show_bytes(plan.needed), "warn" if plan.limit and over > 0 else "ok", detail
