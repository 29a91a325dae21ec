"""Reading a catalogue file into entries, and finding one by any of its names."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from core.errors import CoreError
from core.value import Value
from core.yamls import read_yaml

_REPAIR = "Compare the file with the one that ships in resources/catalog, or move it away."


class Named(Value):
    """An entry with a name of its own and further names it is known by."""

    name: str
    aliases: tuple[str, ...] = ()

    def names(self) -> tuple[str, ...]:
        """Everything this entry may be called."""
        return (self.name, *self.aliases)


AnyNamed = TypeVar("AnyNamed", bound=Named)
AnyValue = TypeVar("AnyValue", bound=Value)


def read(path: Path) -> dict[str, Any]:
    """The sections of a catalogue file. Raises CoreError with the file."""
    try:
        found = read_yaml(path)
    except OSError as error:
        raise CoreError(f"{path}: {error.strerror or error}", hint=_REPAIR) from error
    if not isinstance(found, dict):
        raise CoreError(f"{path}: a catalogue is a list of `name: value` lines.", hint=_REPAIR)
    return found


def section(path: Path, found: Mapping[str, Any], name: str, kind: type) -> Any:
    """One section of a catalogue file, a list or a mapping. Raises CoreError."""
    given = found.get(name)
    if not isinstance(given, kind):
        wanted = "a list of entries" if kind is list else "a list of `name: value` lines"
        raise CoreError(f"{path}: {name} is missing or not {wanted}.", hint=_REPAIR)
    return given


def check(path: Path, kind: type[AnyValue], raw: object, *, name: str) -> AnyValue:
    """One entry as a value. Raises CoreError that names file, entry and field."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        given = "" if first["type"] == "missing" else f", not {first['input']!r:.60}"
        message = f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]}{given}."
        raise fault(path, name, message.removeprefix(": ")) from error


def fault(path: Path, name: str, message: str) -> CoreError:
    """The error for a faulty entry."""
    return CoreError(f"{path}: {name}: {message}", hint=_REPAIR)


def called(raw: object, place: int) -> str:
    """How to call an entry that may be faulty."""
    name = raw.get("name") if isinstance(raw, dict) else None
    return name[:80] if isinstance(name, str) else f"entry {place}"


def find(wanted: str, entries: Sequence[AnyNamed], what: str) -> AnyNamed:
    """The entry of this name, in any case. Raises CoreError with the nearest names."""
    plain = wanted.strip().casefold()
    spelled = {name.casefold(): (name, found) for found in entries for name in found.names()}
    if plain in spelled:
        return spelled[plain][1]
    close = [spelled[key][0] for key in difflib.get_close_matches(plain, spelled, cutoff=0.55)]
    some = ", ".join(found.name for found in entries[:5])
    raise CoreError(
        f"The catalogue knows no {what} {wanted.strip()!r}.",
        hint=f"Did you mean {' or '.join(close)}?" if close else f"It knows {some} and others.",
    )
