"""Goal: what the model should become, and whether fine-tuning is the way there."""

from __future__ import annotations

from typing import ClassVar

from core import recipe as recipes
from core.errors import RecipeError
from core.objectives import OBJECTIVES, Objective
from core.places import resources
from core.plan import Plan
from core.recipe import Recipe
from gui.forms import Form
from gui.kind_chooser import KindChooser, name_of
from gui.pages.base import Page
from gui.parts import FactsTable
from gui.widgets import Card, Notice, PlainLabel, QuietButton, row

EXAMPLE = "recipes/tickets.yaml"
_ADVICE = (
    (
        "Prompting",
        "Try this first. A good instruction with three examples in it is often enough, costs "
        "nothing to change and works with any model.",
    ),
    (
        "Retrieval (RAG)",
        "When answers must come from documents that change: prices, manuals, policies. "
        "Fine-tuning is a poor way to teach facts.",
    ),
    (
        "Fine-tuning",
        "When the form matters: a fixed format, a tone, a narrow skill done thousands of times, "
        "or a small model that should do what a large one does. It needs a few hundred good "
        "examples.",
    ),
)


class GoalPage(Page):
    """The first step."""

    title: ClassVar = "Goal"
    question: ClassVar = "What should the model learn?"
    help: ClassVar = "Choose a goal and give the work a name, or try the example first."
    icon: ClassVar = "target"
    paths: ClassVar = ("name", "objective")

    def build(self) -> None:
        """Example, goals, name, advice."""
        self.body.addWidget(self._example())
        self.body.addWidget(self._goals())
        name = Card()
        name.add(Form(self.session, "", ("name",)))
        self.body.addWidget(name)
        self.body.addWidget(_advice())
        self.body.addStretch(1)

    def _example(self) -> Card:
        card = Card("New here?")
        card.add(
            PlainLabel(
                "The example teaches the small starter model to turn customer messages into one "
                "line of JSON. Model and data are already on this computer, and a graphics card "
                "is not needed."
            )
        )
        self.example = QuietButton("Try the example", "sparkles")
        self.example.clicked.connect(self.load_example)
        self.trouble = Notice("bad")
        self.trouble.hide()
        card.body.addLayout(row(self.example))
        card.add(self.trouble)
        return card

    def _goals(self) -> Card:
        card = Card("Goal")
        self.kinds = KindChooser(OBJECTIVES, "More goals")
        self.kinds.chosen.connect(self._choose)
        for kind in OBJECTIVES:
            if not kind.stable:
                self.kinds.options[name_of(kind)].tell("experimental", "note", "")
        card.add(self.kinds)
        return card

    def _choose(self, kind: type[Objective]) -> None:
        if self.session.recipe.objective.kind != name_of(kind):
            self.session.edit("objective", {"kind": name_of(kind)})
        self.show_plan(self.session.recipe, self.session.plan)

    def load_example(self) -> None:
        """Take over the example's recipe; undo brings the own one back."""
        try:
            self.session.replace(recipes.load(resources() / EXAMPLE))
        except RecipeError as error:
            self.trouble.show_as("bad", f"The example cannot be read: {error}")
            self.trouble.show()
            return
        self.go.emit("Review")

    def show_plan(self, recipe: Recipe, plan: Plan) -> None:
        """Mark the goal that is chosen."""
        self.kinds.mark(recipe.objective.kind)


def _advice() -> Card:
    card = Card("Is fine-tuning the right tool?")
    table = FactsTable(label_width=130)
    table.show_facts(_ADVICE)
    card.add(table)
    return card
