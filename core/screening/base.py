"""Small files of a stranger's folder, read with a bound; and how something in one is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.errors import ModelError

MAX_CONFIG = 10_000_000
MAX_TOKENIZER = 200_000_000
DEEPEST = 40
"""Levels of lists and objects in each other; real settings have five."""
REPAIR = "The file is damaged. Download the model again, or repair the file."


def read_json(path: Path, limit: int = MAX_CONFIG) -> dict[str, Any]:
    """A JSON object from a model folder. Raises ModelError with file, line and column."""
    try:
        with path.open("rb") as file:
            raw = file.read(limit + 1)
        if len(raw) > limit:
            raise ValueError(f"larger than {limit // 1_000_000} MB")
        if not raw.strip():
            raise ValueError("the file is empty")
        found = json.loads(raw.decode("utf-8-sig"))
        if not isinstance(found, dict):
            raise ValueError("not a JSON object")
    except json.JSONDecodeError as error:
        place = f"{path}:{error.lineno}:{error.colno}"
        raise ModelError(f"{place}: not valid JSON: {error.msg}.", hint=REPAIR) from error
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: {error}.", hint=REPAIR) from error
    return found


def entries(found: Any, path: Path, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Every named value, on every level. Raises ModelError when it is nested without reason."""
    if depth > DEEPEST:
        raise ModelError(
            f"{path}: its values are nested deeper than {DEEPEST} levels.", hint=REPAIR
        )
    if isinstance(found, dict):
        for name, value in found.items():
            yield name, value
            yield from entries(value, path, depth + 1)
    elif isinstance(found, list):
        for value in found:
            if isinstance(value, dict | list):
                yield from entries(value, path, depth + 1)


def text_of(value: object, longest: int = 60) -> str:
    """A stranger's value as it may stand in a sentence: escaped, and cut."""
    try:
        told = ascii(value)
    except RecursionError:
        told = "values in values without end"
    return told if len(told) <= longest else f"{told[:longest]}..."


def name_of(key: str) -> str:
    """A stranger's name of a value: plain where it is one."""
    return key if key.isidentifier() and key.isascii() and len(key) < 60 else text_of(key)
