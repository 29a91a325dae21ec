"""Model: what is trained further, and what is known of it before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QFileDialog, QHBoxLayout

from core.catalog import models
from core.errors import CoreError
from core.models import STARTER, ModelFacts, is_hub_id
from core.numbers import show_bytes, show_count
from core.plan import Plan
from core.recipe import Recipe
from gui.fields import Choice, LineEdit
from gui.hub_card import HubCard
from gui.pages.base import Page
from gui.parts import FactsTable
from gui.widgets import Card, Chip, Notice, PlainLabel, QuietButton, row


class ModelPage(Page):
    """The chosen model first, then three ways to choose another."""

    title: ClassVar = "Model"
    question: ClassVar = "Which model should be trained?"
    help: ClassVar = "Start small: a model that fits well beats a large one that hardly fits."
    icon: ClassVar = "box"
    paths: ClassVar = ("model",)

    def build(self) -> None:
        """Facts, starter, folder, Hub."""
        self.card = Card("No model is chosen")
        self.origin = Chip()
        self.card.header.addWidget(self.origin)
        self.facts = FactsTable()
        self.trouble = Notice("bad")
        self.template = Notice("warn")
        self.card.add(self.trouble, self.facts, self.template)
        self.body.addWidget(self.card)
        self.body.addWidget(self._starter())
        self.body.addWidget(self._folder())
        self.body.addWidget(self._known())
        self.hub = HubCard()
        self.hub.downloaded.connect(self._take)
        self.hub.known.connect(self._take)
        self.body.addWidget(self.hub)
        self.body.addStretch(1)
        self.session.trouble.connect(self._troubled)

    def _starter(self) -> Card:
        card = Card("The starter model")
        card.add(
            PlainLabel(
                "A very small model that comes with Tunesmith. It trains in minutes on any "
                "computer: right for trying everything out and too small for real work.",
                "muted",
            )
        )
        self.use_starter = QuietButton("Use the starter model", "sparkles")
        self.use_starter.clicked.connect(lambda: self.session.edit("model", STARTER))
        card.body.addLayout(row(self.use_starter))
        return card

    def _folder(self) -> Card:
        card = Card("A folder on this computer")
        card.add(
            PlainLabel(
                "A folder with config.json, tokenizer files and safetensors weights.", "muted"
            )
        )
        self.path = LineEdit("Folder of a model")
        self.path.committed.connect(lambda text: self.session.edit("model", text))
        browse = QuietButton("Choose a folder…", "folder-open")
        browse.clicked.connect(self._browse)
        line = QHBoxLayout()
        line.addWidget(self.path, 1)
        line.addWidget(browse)
        card.body.addLayout(line)
        return card

    def _known(self) -> Card:
        card = Card("A well-known model")
        card.add(
            PlainLabel(
                "Its shape is known without a network: see what memory, time and money a training "
                "takes before anything is downloaded.",
                "muted",
            )
        )
        self.known = Choice()
        self.known.setAccessibleName("Well-known model")
        self.known.addItem("Choose a model to plan with", "")
        for model in models():
            self.known.addItem(f"{model.name}, {show_count(model.counted)}", model.hub)
        self.known.activated.connect(self._plan_with)
        card.body.addLayout(row(self.known))
        return card

    @Slot(int)
    def _plan_with(self, index: int) -> None:
        if name := self.known.itemData(index):
            self.session.edit("model", name)

    def _browse(self) -> None:
        dialog = QFileDialog(self, "Choose the folder of a model")
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.fileSelected.connect(lambda path: self.session.edit("model", path))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _take(self, model_id: str) -> None:
        """Take the new model, or look again when it was asked for already."""
        if self.session.recipe.model == model_id:
            self.session.look_again()
        else:
            self.session.edit("model", model_id)

    def show_plan(self, recipe: Recipe, plan: Plan) -> None:
        """Draw what is known of the model."""
        model = self.session.facts.model
        self.use_starter.setEnabled(recipe.model != STARTER)
        self.path.set_text("" if _origin(recipe.model) != "folder" else recipe.model)
        self.origin.show_as(_origin(recipe.model), "note")
        self.known.setCurrentIndex(max(0, self.known.findData(recipe.model)))
        self.card.heading.setText(_heading(recipe.model, model))
        self.facts.show_facts(describe(model) if model else ())
        self.facts.setVisible(model is not None)
        self._troubled("model", self.session.troubles.get("model"))
        said = template_warning(model) if model else ""
        self.template.show_as("warn", said)
        self.template.setVisible(bool(said))

    def _troubled(self, what: str, error: CoreError | None) -> None:
        if what != "model":
            return
        self.trouble.setVisible(error is not None)
        if error is not None:
            self.trouble.show_as("bad", f"{error} {error.hint}".strip())


def _origin(model: str) -> str:
    if model == STARTER:
        return "comes with Tunesmith"
    return "Hub" if is_hub_id(model) else "folder"


def _heading(chosen: str, model: ModelFacts | None) -> str:
    if chosen == STARTER:
        return "Starter model"
    return model.name if model else chosen or "No model is chosen"


def describe(model: ModelFacts) -> Iterator[tuple[str, str]]:
    """What its files say."""
    yield "Parameters", f"{show_count(model.parameters)}, stored as {model.stored}"
    yield "Size on disk" if model.here else "Download", show_bytes(model.bytes)
    yield "Architecture", f"{model.architecture}, {model.layers} layers, width {model.hidden:,}"
    context = f"{model.context:,} tokens" if model.context else "not stated"
    yield "Context", context
    yield "Vocabulary", f"{model.vocab:,} tokens"
    if model.here:
        yield "Chat template", template_line(model)
    yield "Licence", model.licence or "not stated; look at the model's page before you publish"
    if model.quantised:
        yield "Quantised", model.quantised
    yield "Folder", str(model.path) if model.here else "not on this computer; only for a plan"


def template_line(model: ModelFacts) -> str:
    """Whether questions and answers can be told apart."""
    if model.template is None:
        return "none"
    if model.has_generation:
        return "yes, and it marks the answers"
    return "yes, without marks round the answers; known templates get them automatically"


def template_warning(model: ModelFacts) -> str:
    """What a model without a template cannot do; empty when all is well."""
    if model.template is not None or not model.here:
        return ""
    return (
        "This model has no chat template, so questions and answers cannot be told apart. Choose "
        "its instruct or chat variant, or a chat template on the Data page."
    )
