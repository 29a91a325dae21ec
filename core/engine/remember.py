"""Answers to requests for a trace; one that was given before is given again at once."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from core import __version__, durable
from core.engine.emit import versions
from core.memory.traced import Request, Traced
from core.model_files import parse_config
from core.places import traces_home
from core.screening.base import read_json


def answer(request: Request) -> Traced:
    """The memory of the step that is asked about. Raises CoreError."""
    config = _configuration(request.model)
    place = traces_home() / f"{_key(config, request)}.json"
    known = _recall(place)
    if known is not None:
        return known
    from core.engine.trace import trace

    found = trace(config, request.adaptation, request.setup)
    with contextlib.suppress(OSError):  # an answer that cannot be remembered is still an answer
        place.parent.mkdir(parents=True, exist_ok=True)
        durable.write_atomically(place, found.model_dump_json())
    return found


def _configuration(path: Path) -> dict[str, Any]:
    """The content of a config.json, or of the one in a folder, once it is judged sound."""
    file = path / "config.json" if path.is_dir() else path
    raw = read_json(file)
    parse_config(file, raw)
    return raw


def _key(config: dict[str, Any], request: Request) -> str:
    """Whatever changes the answer changes the key, the libraries' versions included."""
    asked = request.model_dump(mode="json", exclude={"model"})
    parts = [config, asked, versions(), __version__]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _recall(place: Path) -> Traced | None:
    try:
        return Traced.model_validate_json(place.read_bytes())
    except (OSError, ValidationError):
        return None
