"""Paths of a recipe that start at a folder, made to start nowhere: an engine works elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.data_choices import Source
from core.hub_spec import as_spec
from core.places import SAMPLE
from core.recipe import Recipe
from core.templates import find
from core.value import FILE, FOLDER, Value


def anchored(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with whole paths; names of models, datasets and templates stay names."""

    def moved(source: Source) -> Source:
        return source.model_copy(update={"path": anchored_rows(source.path, folder)})

    data = recipe.data
    placed = {
        "path": anchored_rows(data.path, folder),
        "heldout": anchored_rows(data.heldout, folder),
        "mix": tuple(map(moved, data.mix)),
        "replay": moved(data.replay),
        "template": _template(data.template, folder),
    }
    return recipe.model_copy(
        update={
            "data": data.model_copy(update=placed),
            "model": anchored_model(recipe.model, folder),
            "objective": _marked(recipe.objective, folder),
        }
    )


def anchored_model(name: str, folder: Path) -> str:
    """A model's folder as a whole path; the starter and ids of the Hub stay as they are."""
    if not name.strip() or not (name.startswith((".", "~")) or (folder / name).is_dir()):
        return name
    return str(folder / Path(name).expanduser())


def anchored_rows(path: str, folder: Path) -> str:
    """A file of rows as a whole path; samples and datasets of the Hub are names."""
    if not path or path.startswith(SAMPLE):
        return path
    if spec := as_spec(path, folder):
        return str(spec)
    return str(folder / Path(path).expanduser())


def _template(choice: str, folder: Path) -> str:
    """A file is looked for beside the recipe; names of the catalogue stay names."""
    return choice if not choice or find(choice) else anchored_rows(choice, folder)


def _marked(value: Value, folder: Path) -> Value:
    """What names a file or folder by its own mark, and whatever holds such values."""
    changed: dict[str, Any] = {}
    for name, field in type(value).model_fields.items():
        extra = field.json_schema_extra
        marks = extra if isinstance(extra, dict) else {}
        held = getattr(value, name)
        if FOLDER in marks and isinstance(held, str):
            changed[name] = anchored_model(held, folder)
        elif FILE in marks and isinstance(held, str) and held:
            changed[name] = str(folder / Path(held).expanduser())
        elif isinstance(held, Value):
            changed[name] = _marked(held, folder)
        elif isinstance(held, tuple):
            changed[name] = tuple(
                _marked(one, folder) if isinstance(one, Value) else one for one in held
            )
    return value.model_copy(update=changed)
