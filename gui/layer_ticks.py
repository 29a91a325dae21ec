"""Which layers of the chosen model get an adapter: one tick a name, read from the model."""

from __future__ import annotations

from PySide6.QtWidgets import QCheckBox, QGridLayout, QWidget

from core.numbers import show_count
from core.recipe import Recipe
from gui.parts import clear
from gui.session import Session
from gui.text import tip
from gui.widgets import Card, PlainLabel

COLUMNS = 4
PATH = "adaptation.modules"


class LayerTicks(Card):
    """Shown while a recipe names its layers one by one; what is ticked is what is named."""

    def __init__(self, session: Session) -> None:
        super().__init__("Layers of this model")
        self.session = session
        self.boxes: dict[str, QCheckBox] = {}
        self._holder = QWidget()
        self._grid = QGridLayout(self._holder)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self.add(PlainLabel("Each name stands for one matrix in every layer.", "small"))
        self.add(self._holder)

    def show_recipe(self, recipe: Recipe) -> None:
        """Tick what the recipe names; nothing is shown while no names are asked for."""
        model = self.session.facts.model
        asked = getattr(recipe.adaptation, "targets", "") == "custom"
        self.setVisible(asked and model is not None)
        if not asked or model is None:
            return
        if list(model.linear) != list(self.boxes):
            self._grow(model.linear)
        chosen = getattr(recipe.adaptation, "modules", ())
        for name, box in self.boxes.items():
            box.setChecked(name in chosen)

    def _grow(self, layers: dict[str, tuple[int, int]]) -> None:
        clear(self._holder)
        self.boxes = {}
        for place, (name, (rows, columns)) in enumerate(layers.items()):
            box = QCheckBox(name)
            box.setToolTip(tip(f"{rows:,} x {columns:,}: {show_count(rows * columns)} numbers"))
            box.clicked.connect(self._tell)
            self.boxes[name] = box
            self._grid.addWidget(box, place // COLUMNS, place % COLUMNS)

    def _tell(self) -> None:
        """Names that the model does not know stay: the plan says that they are wrong."""
        kept = self.session.recipe.get(PATH)
        unknown = [name for name in kept if name not in self.boxes]
        ticked = [name for name, box in self.boxes.items() if box.isChecked()]
        self.session.edit(PATH, [*unknown, *ticked])
