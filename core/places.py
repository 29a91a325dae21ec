"""Where things lie: what ships with the program, and what belongs to the user."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

SAMPLE = "sample:"
"""Begins the path of a dataset that ships with the program, so that recipes stay portable."""


def resources() -> Path:
    """What ships with the program; beside `core` in a checkout, an install and a bundle alike."""
    return Path(__file__).resolve().parent.parent / "resources"


def starter() -> Path:
    """The small model that ships with the program."""
    return resources() / "starter" / "model"


def sample(name: str) -> Path:
    """A dataset that ships with the program."""
    return resources() / "starter" / "data" / name


def data_home() -> Path:
    """The user's own folder; TUNESMITH_HOME moves it."""
    chosen = os.environ.get("TUNESMITH_HOME")
    if chosen:
        return Path(chosen).expanduser()
    return Path(platformdirs.user_data_dir("tunesmith", appauthor=False))


def runs_home() -> Path:
    """Where runs are kept unless the user says otherwise."""
    return data_home() / "runs"


def queue_file() -> Path:
    """Recipes that wait for the machine; the locks that guard it lie beside it."""
    return data_home() / "queue.json"


def copies_home() -> Path:
    """Where copies of datasets go that cannot lie beside the original."""
    return data_home() / "copies"


def rankings_home() -> Path:
    """Where answers that a person compares are kept, with what was said of them."""
    return data_home() / "rankings"


def models_home() -> Path:
    """Where downloaded models are kept."""
    return data_home() / "models"


def shapes_home() -> Path:
    """Where shapes of models on the Hub are kept, for plans; may be deleted at any time."""
    return _cache_home() / "shapes"


def datasets_home() -> Path:
    """Where downloaded datasets are kept."""
    return data_home() / "datasets"


def corrections_file() -> Path:
    """What measurements on this computer say about estimates; may be deleted at any time."""
    return data_home() / "measurements.json"


def traces_home() -> Path:
    """Where traced steps are remembered; may be deleted at any time."""
    return _cache_home() / "traces"


def tokens_home() -> Path:
    """Where encoded rows are kept; may be deleted at any time."""
    return _cache_home() / "tokens"


def compiled_home() -> Path:
    """Where libraries keep the programs they compile; may be deleted at any time."""
    return _cache_home() / "compiled"


def _cache_home() -> Path:
    if os.environ.get("TUNESMITH_HOME"):
        return data_home() / "cache"
    return Path(platformdirs.user_cache_dir("tunesmith", appauthor=False))


def portable(path: Path) -> str:
    """The other way round: a path as a recipe should hold it."""
    shipped = sample("")
    return f"{SAMPLE}{path.name}" if path.parent == shipped else str(path)


def expand(path: str | Path) -> Path:
    """A path from a recipe; `sample:NAME` is a dataset that ships with the program."""
    text = str(path)
    return sample(text.removeprefix(SAMPLE)) if text.startswith(SAMPLE) else Path(path)
