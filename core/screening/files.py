"""The names in a stranger's folder, before any file of it is opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from core.errors import ModelError
from core.screening.base import text_of

MOST = 10_000
"""Names in a folder; the largest model has some hundreds of shards."""
TEMPLATES = "additional_chat_templates"
"""The only inner folder that a library looks into."""
_OWN = "Make a folder that holds nothing but the files of the model."
Stamp: TypeAlias = tuple[tuple[str, int, int], ...]
"""Name, time and size of each file of a folder."""


def stamp(folder: Path) -> Stamp:
    """What changes when a file is added, removed or written; empty when there is no folder."""
    return tuple(
        (name, status.st_mtime_ns, status.st_size)
        for name, path in sorted(_entries(folder))
        if (status := _status(path))
    )


def check_files(folder: Path) -> None:
    """Refuse names and links that lead a library or a reader astray. Raises ModelError."""
    for number, (name, path) in enumerate(_entries(folder)):
        if number >= MOST:
            raise ModelError(f"{folder} holds more than {MOST:,} files.", hint=_OWN)
        _check_name(folder, name)
        if path.is_symlink():
            _check_link(folder, path)
        status = _status(path)
        if status and not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise ModelError(
                f"{path} is neither a file nor a folder; reading it may never end.", hint=_OWN
            )


def _entries(folder: Path) -> Iterator[tuple[str, Path]]:
    """Everything a library could open, each with its name seen from the folder."""
    for inner in (folder, folder / TEMPLATES):
        if inner.is_dir():
            for path in inner.iterdir():
                yield path.name, path


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:  # a link to nothing: whoever needs the file says that it is missing
        return None


def _check_name(folder: Path, name: str) -> None:
    if not name.isprintable() or len(name) > 255:
        raise ModelError(
            f"{folder} holds a file with unreadable signs in its name: {text_of(name, 80)}.",
            hint="Rename or delete the file; such names hide what they are.",
        )


def _check_link(folder: Path, path: Path) -> None:
    """The Hub's cache keeps files as links to its own `blobs`; other links must stay inside."""
    target = Path(os.path.realpath(path))
    home = Path(os.path.realpath(folder))
    blobs = home.parent.parent / "blobs" if home.parent.name == "snapshots" else None
    if not target.is_relative_to(home) and target.parent != blobs:
        raise ModelError(
            f"{path} is a link to a file outside the folder: {text_of(str(target), 120)}.",
            hint="Copy the real file into the folder if you know it; through a link a model can "
            "show any file of this computer to a library.",
        )
