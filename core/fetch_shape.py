"""The shape of a model on the Hub: its configuration and the headers of its weights, no weights.

Runs in the fetch process. A header stands at the beginning of each file, so a model of a hundred
gigabytes is known after some megabytes.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core import durable, weights
from core.errors import HubError
from core.hub_wire import Wire, refusal
from core.models import SHAPE, shape_folder

CONFIG = "config.json"
MAX_CONFIG = 1_000_000


def fetch_shape(model_id: str, commit: str, files: Sequence[tuple[str, int]], wire: Wire) -> Path:
    """Store the shape; `files` are the model's files with their sizes. Raises HubError."""
    final = shape_folder(model_id)
    final.parent.mkdir(parents=True, exist_ok=True)
    place = f"/{model_id}/resolve/{commit}"
    with durable.staged(final) as aside:
        config = _begin_of(wire, model_id, f"{place}/{CONFIG}", MAX_CONFIG)
        (aside / CONFIG).write_bytes(config)
        shards = [(name, size) for name, size in files if name.endswith(".safetensors")]
        tensors: list[tuple[str, str, tuple[int, ...]]] = []
        for name, _ in shards:
            tensors += _tensors(wire, model_id, f"{place}/{name}")
        found: dict[str, Any] = {"tensors": tensors, "bytes": sum(size for _, size in shards)}
        (aside / SHAPE).write_text(json.dumps(found), encoding="utf-8")
        durable.seal(aside)
    return final


def _tensors(wire: Wire, model_id: str, path: str) -> list[tuple[str, str, tuple[int, ...]]]:
    """What the header of one file describes."""
    length = int.from_bytes(_begin_of(wire, model_id, path, 8), "little")
    if length > weights.MAX_HEADER:
        raise _damaged(path, f"its header claims {length:,} bytes")
    try:
        header = _begin_of(wire, model_id, path, 8 + length)[8:]
        found, _ = weights.parse_header(header)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(path, str(error)) from error
    return [(name, tensor.dtype, tensor.shape) for name, tensor in found.items()]


def _damaged(path: str, why: str) -> HubError:
    return HubError(
        f"{path.rpartition('/')[2]} on the Hub is damaged: {why}.",
        hint="Choose another model, or tell its maker.",
    )


def _begin_of(wire: Wire, model_id: str, path: str, size: int) -> bytes:
    """At most the first `size` bytes of a file."""
    try:
        answer, _ = wire.open_file(path, 0)
        with answer:
            return answer.read(size)
    except (OSError, http.client.HTTPException) as error:
        raise refusal(error, model_id) from error
