"""A model that another one learns from, seen from outside. No torch."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path

from core import durable, models
from core.errors import ModelError
from core.models import ModelFacts
from core.screening.base import MAX_TOKENIZER, read_json
from core.screening.files import Stamp, stamp


def look_at_teacher(teacher: str) -> ModelFacts:
    """What is known of a teacher, looked at once. Raises ModelError."""
    folder = models.resolve(teacher)
    return _look(folder, stamp(folder))


def numbers_of(teacher: str) -> int:
    """Parameters of a teacher; 0 when there is none that can be read."""
    try:
        return look_at_teacher(teacher).parameters if teacher else 0
    except ModelError:
        return 0


def refuse_stranger(student: ModelFacts, teacher: ModelFacts) -> None:
    """Raise ModelError when a teacher cannot tell this student anything."""
    hint = "Choose a larger model of the same family, or imitate examples that it wrote."
    if teacher.path.resolve() == student.path.resolve():
        raise ModelError("A model cannot be its own teacher: it knows nothing new.", hint=hint)
    if teacher.quantised:
        raise ModelError(
            f"The teacher is stored quantised ({teacher.quantised}).",
            hint="Choose the original in 16 bits.",
        )
    if teacher.vocab != student.vocab:
        raise ModelError(
            f"The teacher knows {teacher.vocab:,} tokens and the model {student.vocab:,}: their "
            "likelihoods cannot be compared.",
            hint=hint,
        )
    if tokens_of(teacher.path) != tokens_of(student.path):
        raise ModelError(
            "The teacher's tokenizer has other tokens than the model's: their likelihoods cannot "
            "be compared.",
            hint=hint,
        )


def tokens_of(folder: Path) -> str:
    """SHA-256 of what every token id stands for; of the binary vocabulary where that is all.

    Not of tokenizer.json, which another library writes otherwise for the same tokens. Empty
    without a tokenizer. Raises ModelError.
    """
    for name in ("tokenizer.json", "tokenizer.model", "vocab.json"):
        path = folder / name
        if path.is_file():
            status = path.stat()
            return _digest(path, status.st_mtime_ns, status.st_size)
    return ""


@functools.lru_cache(maxsize=8)
def _look(folder: Path, seen: Stamp) -> ModelFacts:  # noqa: ARG001 - the cache's key
    return models.look(folder)


@functools.lru_cache(maxsize=8)
def _digest(path: Path, modified: int, size: int) -> str:  # noqa: ARG001 - the cache's key
    if path.name != "tokenizer.json":
        return durable.digest(path)
    found = read_json(path, MAX_TOKENIZER)
    vocab = found.get("model", {}).get("vocab", {})
    if isinstance(vocab, list):  # tokens with their scores, in order
        vocab = {token: at for at, (token, *_) in enumerate(vocab)}
    known = {int(at): str(token) for token, at in vocab.items()}
    known |= {int(each["id"]): str(each["content"]) for each in found.get("added_tokens") or ()}
    return hashlib.sha256(json.dumps(sorted(known.items())).encode()).hexdigest()
