"""Where files made from a dataset go, and what is said when they cannot be written."""

from __future__ import annotations

import os
from pathlib import Path

from core.errors import DataError
from core.jsonl import cannot_write
from core.places import copies_home, resources


def home_for(path: Path) -> Path:
    """The folder of a dataset; the user's own when nothing may be written there."""
    beside = path.parent
    if os.access(beside, os.W_OK) and not beside.is_relative_to(resources()):
        return beside
    own = copies_home()
    try:
        own.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(own, error) from error
    return own


def stem_of(path: Path) -> str:
    """The name of a dataset without endings, for the names of what is made from it."""
    return path.name.partition("#")[0].split(".")[0]


def refuse_changed(path: Path, before: str, now: str) -> None:
    """Raise DataError when a dataset's sum is no longer what it was."""
    if before != now:
        raise DataError(
            f"{path} was changed by another program meanwhile.",
            hint="Nothing was written. Look at the file, then try again.",
        )
