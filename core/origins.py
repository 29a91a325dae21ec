"""Where a dataset comes from, when it is a mended copy or a part that was made here."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from core.mending import Record, record_of
from core.parting import Parting, record_of_parts

Origin = Record | Parting


def origin_of(path: Path) -> Origin | None:
    """The record that lies beside a file and speaks of it; None for every other file."""
    made = _read(Record, record_of(path))
    if isinstance(made, Record) and Path(made.copy_path).name == path.name:
        return made
    parted = _read(Parting, record_of_parts(path))
    if isinstance(parted, Parting) and path.name in {Path(p.path).name for p in parted.parts}:
        return parted
    return None


def _read(kind: type[Record] | type[Parting], path: Path) -> Origin | None:
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None  # a note that is missing or foreign takes nothing from the data
