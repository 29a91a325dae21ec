"""What the window remembers between two starts: its looks, and the recipe being written."""

from __future__ import annotations

from pathlib import Path

from core import recipe as recipes
from core.durable import write_atomically
from core.errors import RecipeError
from core.places import data_home
from core.recipe import Recipe
from core.value import Value
from gui.theme import Choice


class Looks(Value):
    """Kept as JSON of our own; Qt's settings would store Python objects as pickles."""

    theme: Choice = "system"
    geometry: str = ""
    """Qt's saved geometry as base64."""
    page: str = ""


def load_looks() -> Looks:
    """The looks of last time, or the plain ones when the file is absent or damaged."""
    try:
        return Looks.model_validate_json(_looks_file().read_bytes())
    except (OSError, ValueError):
        return Looks()


def save_looks(looks: Looks) -> None:
    """Remember for the next start."""
    _looks_file().parent.mkdir(parents=True, exist_ok=True)
    write_atomically(_looks_file(), looks.model_dump_json(indent=1))


def load_draft() -> Recipe:
    """The recipe of last time; a damaged one is put aside, not overwritten."""
    draft = _draft_file()
    if not draft.is_file():
        return Recipe()
    try:
        return recipes.load(draft)
    except RecipeError:
        draft.replace(draft.with_suffix(".damaged.yaml"))
        return Recipe()


def save_draft(recipe: Recipe) -> None:
    """Keep the recipe as it is now."""
    _draft_file().parent.mkdir(parents=True, exist_ok=True)
    write_atomically(_draft_file(), recipe.to_yaml())


def _looks_file() -> Path:
    return data_home() / "window.json"


def _draft_file() -> Path:
    return data_home() / "draft.yaml"
