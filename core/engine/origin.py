"""What a checkpoint was made of, and whether a run that goes on is still made of the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from core.draft import Settings
from core.engine.emit import versions
from core.errors import RunError
from core.recipe import Recipe

WHOLE = 2**20
"""Bytes of the beginning of a file that are read; of the rest, samples."""
SAMPLES, SAMPLE = 256, 4096
_PLACES = ("data.path", "data.heldout", "model")
"""Where something lies may change; what lies there is compared by its contents."""
_HINT = (
    "Undo the change to go on. To learn with it, start a new run: what was learned so far belongs "
    "to what was there before."
)


def look(recipe: Recipe, settings: Settings, data: dict[str, str], model: Path) -> dict[str, Any]:
    """Everything that decides what a run learns, as plain data for the manifest.

    `data` holds the SHA-256 of each dataset by its place, `model` is the folder of the base.
    """
    chosen = {"data", "objective", "adaptation", "training"}
    choices = recipe.model_dump(mode="json", include=chosen)
    return {
        "recipe": text_sum(json.dumps(choices, sort_keys=True)),
        "choices": dict(_flat(choices)),
        "settings": settings.model_dump(mode="json"),
        "effective_batch": settings.micro_batch * settings.accumulation,
        "data": data,
        "model": fingerprint(model),
        "versions": versions(),
        "threads": torch.get_num_threads(),
    }


def _flat(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _flat(value, f"{path}.{name}" if path else name)
    else:
        yield path, node


def fingerprint(folder: Path) -> str:
    """SHA-256 over a model's configuration, tokenizer and weights; of weights, over samples that
    any training would change."""
    whole = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        if path.suffix in (".json", ".jinja", ".safetensors", ".model", ".txt"):
            whole.update(f"{path.name} {path.stat().st_size} {_samples(path)}\n".encode())
    return whole.hexdigest()


def _samples(path: Path) -> str:
    found, size = hashlib.sha256(), path.stat().st_size
    with path.open("rb") as file:
        found.update(file.read(WHOLE))
        for number in range(1, SAMPLES + 1) if size > WHOLE else ():
            file.seek(WHOLE + (size - WHOLE - SAMPLE) * number // SAMPLES)
            found.update(file.read(SAMPLE))
    return found.hexdigest()


def compare(then: dict[str, Any], now: dict[str, Any], step: int) -> list[str]:
    """What is different, and may be; raises RunError when it would be another training.

    A fact that one side does not tell, because its version did not know it, is not compared.
    """
    changed = [*_changes(then, now)]
    if changed:
        raise RunError(f"Since step {step:,} was saved, {'; '.join(changed)}.", hint=_HINT)
    return [*_other_libraries(then, now)]


def _changes(then: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    for part in ("choices", "settings"):
        was, known = then.get(part, {}), now[part]
        for name in sorted(was.keys() & known.keys()):
            if was[name] != known[name] and name not in _PLACES and not name.endswith(".path"):
                yield f"{name} was changed from {was[name]} to {known[name]}"
    was = then.get("data", {})
    for where in sorted(was.keys() & now["data"].keys()):
        if was[where] != now["data"][where]:
            yield f"the rows of data.{where} were changed"
    if then.get("model", now["model"]) != now["model"]:
        yield "the model was changed"
    if then.get("template", "") != now.get("template", then.get("template", "")):
        yield "the chat template was changed"


def text_sum(text: str) -> str:
    """SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def _other_libraries(then: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    was = then.get("versions", {})
    for name, version in now["versions"].items():
        if was.get(name, version) != version:
            yield f"{name} {was[name]} is now {version}"
    if then.get("threads", now["threads"]) != now["threads"]:
        yield f"{then['threads']} threads are now {now['threads']}"
