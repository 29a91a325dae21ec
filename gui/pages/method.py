"""Method: which numbers of the model are trained."""

from __future__ import annotations

from typing import ClassVar

from core.adapt import ADAPTATIONS, Adaptation, carried_over
from core.adapt.which import advise
from core.errors import RecipeError
from core.numbers import show_bytes, show_count
from core.plan import Plan, make_plan
from core.recipe import Recipe
from gui.forms import Form
from gui.kind_chooser import KindChooser, name_of
from gui.layer_ticks import LayerTicks
from gui.pages.base import Page
from gui.parts import Disclosure, FactsTable
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
        self.advice, self.reasons = Card("Which one?"), FactsTable(label_width=130)
        self.advice.add(self.reasons)
        self.body.addWidget(self.advice)
        self.kinds = KindChooser(ADAPTATIONS, "More methods")
        self.kinds.chosen.connect(self._choose)
        self.body.addWidget(self.kinds)
        self.settings = Card("Settings")
        self.form = Form(self.session, "adaptation", expert=False)
        self.experts = Form(self.session, "adaptation", expert=True)
        self.rare = Disclosure("For experts", self.experts)
        self.settings.add(self.form, self.rare)
        self.layers = LayerTicks(self.session)
        self.body.addWidget(self.layers)
        self.body.addWidget(self.settings)
        self.body.addStretch(1)

    def _choose(self, kind: type[Adaptation]) -> None:
        self.session.edit("adaptation", carried_over(self.session.recipe.adaptation, kind))
        self.show_plan(self.session.recipe, self.session.plan)

    def show_plan(self, recipe: Recipe, plan: Plan) -> None:
        """Price every card; working out a plan takes well under a millisecond."""
        self._advise(plan)
        self.layers.show_recipe(recipe)
        for kind in ADAPTATIONS:
            self.kinds.options[name_of(kind)].tell(*self._price(recipe, kind, plan))
        self.kinds.mark(recipe.adaptation.kind)
        chosen = recipe.adaptation
        self.settings.heading.setText(f"Settings of {chosen.title}")
        self.settings.setVisible(bool(self.form.rows or self.experts.rows))
        self.rare.setVisible(bool(self.experts.rows))

    def _advise(self, plan: Plan) -> None:
        """What suits the model, the memory and the rows, once all three are known."""
        model, titles = (
            self.session.facts.model,
            {name_of(kind): kind.title for kind in ADAPTATIONS},
        )
        known = model is not None and plan.rows > 0 and plan.limit > 0
        found = advise(model, plan.limit, plan.rows) if known and model is not None else []
        self.reasons.show_facts((titles[name], because) for name, because in found)
        self.advice.setVisible(bool(found))

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
