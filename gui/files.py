"""Recipes and runs from the disk into the window, by menu or by drag and drop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import QFileDialog, QWidget

from core import recipe as recipes
from core.durable import write_atomically
from core.errors import RecipeError
from core.places import runs_home
from core.reading import KINDS, kind_of
from gui import messages
from gui.session import Session

_RECIPES = "Recipes (*.yaml *.yml)"


DATASETS = f"Datasets ({' '.join(f'*{kind}' for kind in (*KINDS, '.gz', '.zst'))})"


def ask_dataset(parent: QWidget, title: str, then: Callable[[str], object]) -> None:
    """Let the user choose a file of rows; `then` is handed its path."""
    dialog = QFileDialog(parent, title, "", DATASETS)
    dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
    dialog.fileSelected.connect(then)
    dialog.finished.connect(dialog.deleteLater)
    dialog.open()


class Files(QObject):
    """Opens and writes for one window."""

    run_chosen = Signal(object)
    """A run's folder is to be opened (Path)."""
    said = Signal(str)
    """A remark on what was done."""
    taken = Signal(str)
    """A dropped thing changed the recipe: the path it changed."""

    def __init__(self, session: Session, window: QWidget) -> None:
        super().__init__(window)
        self._session, self._window = session, window

    def choose_recipe(self) -> None:
        """Ask for a recipe and open it."""
        self._ask(QFileDialog(self._window, "Open recipe", "", _RECIPES), self.open_recipe)

    def choose_target(self) -> None:
        """Ask where to write the recipe."""
        name = f"{self._session.recipe.name}.yaml"
        dialog = QFileDialog(self._window, "Save recipe", name, _RECIPES)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("yaml")
        self._ask(dialog, self.write_recipe)

    def choose_run(self) -> None:
        """Ask for a run's folder and open it."""
        dialog = QFileDialog(self._window, "Open run", str(runs_home()))
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        self._ask(dialog, self.run_chosen.emit)

    def _ask(self, dialog: QFileDialog, then: Callable[[Path], object]) -> None:
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda name: then(Path(name)))
        dialog.open()

    def open_recipe(self, path: Path) -> None:
        """Take a recipe from a file; undo brings the old one back."""
        try:
            self._session.replace(recipes.load(path))
        except RecipeError as error:
            messages.tell_error(self._window, error)
        else:
            self.said.emit(f"Opened {path.name}")

    def write_recipe(self, path: Path) -> None:
        """Write the recipe, every field under a comment."""
        try:
            write_atomically(path, self._session.recipe.to_yaml())
        except OSError as error:
            reason = error.strerror or str(error)
            messages.tell(self._window, f"{path}: {reason}.", "Choose another folder.")
        else:
            self.said.emit(f"Written to {path}")

    def take(self, path: Path) -> bool:
        """Use a dropped file or folder for what it is; False when it is none of ours."""
        if path.is_dir() and (path / "events.jsonl").is_file():
            self.run_chosen.emit(path)
        elif path.is_dir() and (path / "config.json").is_file():
            self._edit("model", path)
        elif path.suffix.lower() in (".yaml", ".yml"):
            self.open_recipe(path)
        elif kind_of(path) in KINDS:
            self._session.use_data(str(path))
            self.taken.emit("data.path")
        else:
            return False
        return True

    def _edit(self, where: str, path: Path) -> None:
        if self._session.edit(where, str(path)):
            self.taken.emit(where)
